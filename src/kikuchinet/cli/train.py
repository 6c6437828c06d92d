"""``kikuchinet train``: a network from a configuration or a manifest."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kikuchinet.cli._group import INTERRUPTED
from kikuchinet.cli._output import console, text


def train(
    source: Annotated[
        Path,
        typer.Argument(
            help="A training configuration (TOML), or a manifest (CSV or Parquet) of stored patterns, which is "
            "trained on with the settings of the paper.",
            metavar="CONFIG|MANIFEST",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the run: checkpoint, log, and the model at the end.")
    ],
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the checkpoint in --out.")] = False,
    cache: Annotated[
        Path, typer.Option("--cache", help="Folder where simulated master patterns are kept.")
    ] = Path("cache"),
) -> None:
    """Train a network on simulated or stored patterns.

    Ctrl-C saves the state and leaves; `--resume` goes on from there. The finished model is the folder `model` inside
    --out: weights and card, ready for `kikuchinet identify --model`.

    For example:

    - `kikuchinet train configs/xception-m3m-6.toml --out runs/m3m`
    - `kikuchinet train configs/xception-m3m-6.toml --out runs/m3m --resume`
    - `kikuchinet train patterns.csv --out runs/stored`
    """
    from kikuchinet.training import train as run
    from kikuchinet.training.band_config import is_band_config
    from kikuchinet.training.bands import train_bands

    if is_band_config(source):
        card = train_bands(source, out, resume=resume, cache_dir=cache, progress=sys.stderr.isatty())
        console().print(
            f"Trained on {card.details['images_seen']:,} band profiles in {card.details['hours']:.2f} hours"
        )
        console().print(f"Model: {text(out / 'model')}", soft_wrap=True)
        return
    result = run(source, out, resume=resume, cache_dir=cache, progress=sys.stderr.isatty())
    if not result.finished:
        console().print(
            f"Stopped after {result.images_seen:,} patterns; the state is saved. Go on with --resume.",
            soft_wrap=True,
        )
        raise typer.Exit(INTERRUPTED)
    console().print(f"Trained on {result.images_seen:,} patterns in {result.hours:.2f} hours")
    if result.card is not None:
        for name, value in result.card.details.get("figures", {}).items():
            console().print(f"  {name.replace('_', ' ')}: {_figure(value)}")
    console().print(f"Model: {text(result.folder / 'model')}", soft_wrap=True)


def _figure(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_figure(item)}" for key, item in value.items())
    return f"{value:.4f}" if isinstance(value, float) else text(value)
