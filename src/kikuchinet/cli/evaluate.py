"""``kikuchinet evaluate``: how good a model is."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kikuchinet.cli._output import console, table, text
from kikuchinet.cli.generate import CameraPreset
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.evaluation import Evaluation, Scores


def evaluate(
    model: Annotated[str, typer.Argument(help="A shipped model, or a folder with one.", metavar="MODEL")],
    patterns: Annotated[
        Path,
        typer.Argument(
            help="A manifest (CSV or Parquet) of stored patterns; or a training configuration (TOML), for fresh "
            "simulated patterns of its materials.",
            metavar="MANIFEST|CONFIG",
        ),
    ],
    out: Annotated[Path, typer.Option("--out", help="Folder for the tables; made if it does not exist.")],
    count: Annotated[
        int, typer.Option("--count", min=1, help="Fresh patterns, with a configuration.")
    ] = 6000,
    camera: Annotated[
        CameraPreset, typer.Option("--camera", help="Quality of fresh patterns, with a configuration.")
    ] = CameraPreset.GOOD,
    cache: Annotated[
        Path, typer.Option("--cache", help="Folder where simulated master patterns are kept.")
    ] = Path("cache"),
) -> None:
    """Score a model: recall, precision and counts, with 95 % intervals.

    Against the literal space group and against the one that a camera can see; pooled over 1 to 100 patterns of a material;
    and whether the probabilities mean what they say. Writes CSV tables, evaluation.md and
    evaluation.json.

    For example:

    - `kikuchinet evaluate xception-m3m-6 patterns.csv --out scores`
    - `kikuchinet evaluate my-model/ configs/xception-m3m-6.toml --out scores --count 6000`
    """
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for tables")
    result = _run(model, patterns, out, count, camera, cache)
    for scores in (result.visible, result.literal):
        _print(scores)
    rows = table("pooled", "materials", "right", "mean of the groups", right=("pooled", "materials", "right"))
    for row in result.pools.itertuples():
        rows.add_row(str(row.pooled), str(row.materials), f"{row.accuracy:.3f}", f"{row.macro_recall:.3f}")
    console().print("visible space group, patterns of one material pooled")
    console().print(rows)
    if result.calibration_error is not None:
        console().print(f"expected calibration error {result.calibration_error:.3f}\n")
    if result.scan is not None:
        rows = table("place", "patterns", "recall", "95 %", right=("patterns", "recall"))
        for row in result.scan.places.itertuples():
            interval = f"{row.recall_low:.3f} to {row.recall_high:.3f}" if row.patterns else ""
            rows.add_row(
                row.place, f"{row.patterns:,}", f"{row.recall:.3f}" if row.patterns else "", interval
            )
        console().print("visible space group, by place in the scan")
        console().print(rows)
        right = int(result.scan.grains["pooled_right"].sum())
        console().print(f"pooled over each grain: {right} of {len(result.scan.grains)} grains right\n")
    console().print(f"Tables: {text(out)}", soft_wrap=True)


def _run(model: str, patterns: Path, out: Path, count: int, camera: CameraPreset, cache: Path) -> Evaluation:
    progress = sys.stderr.isatty()
    if patterns.suffix.lower() != ".toml":
        from kikuchinet.evaluation import evaluate as run

        return run(model, patterns, out, progress=progress)

    from kikuchinet.datasets import prepare
    from kikuchinet.evaluation import evaluate_bands, evaluate_fresh
    from kikuchinet.models import ModelCard, load_model
    from kikuchinet.models.band_network import load_band_model
    from kikuchinet.models.card import CARD_FILE
    from kikuchinet.models.registry import BAND_PROFILES, model_folder
    from kikuchinet.training import read_config

    config = read_config(patterns)
    if config.masters is None or config.stream is None:
        raise InputError(patterns, "describes no stream of simulated patterns")
    # The model first: a mistyped name must not wait for hours of simulation.
    if ModelCard.load(model_folder(model) / CARD_FILE).architecture == BAND_PROFILES:
        bands = load_band_model(model)
        masters = prepare(replace(config.masters, others=()), cache, progress=progress)
        return evaluate_bands(
            bands, masters, out, config=config.stream, camera=camera.value, count=count, progress=progress
        )
    network = load_model(model)
    masters = prepare(replace(config.masters, others=()), cache, progress=progress)
    return evaluate_fresh(
        network, masters, out, config=config.stream, camera=camera.value, count=count, progress=progress
    )


def _print(scores: Scores) -> None:
    rows = table(
        "space group",
        "symbol",
        "patterns",
        "recall",
        "95 %",
        "precision",
        right=("patterns", "recall", "precision"),
    )
    for row in scores.groups.itertuples():
        interval = f"{row.recall_low:.3f} to {row.recall_high:.3f}" if row.patterns else ""
        recall = f"{row.recall:.3f}" if row.patterns else ""
        precision = f"{row.precision:.3f}" if row.answered else ""
        rows.add_row(str(row.space_group), row.symbol, f"{row.patterns:,}", recall, interval, precision)
    console().print(f"{scores.kind} space group")
    console().print(rows)
    console().print(f"accuracy {scores.accuracy:.4f}, mean recall of the groups {scores.macro_recall:.4f}\n")
