"""``kikuchinet calibrate``: how sure a model may be of crystals that it was not taught."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from kikuchinet.cli._output import console


def calibrate(
    model: Annotated[Path, typer.Argument(help="Folder of a model; its card is rewritten.", metavar="MODEL")],
    config: Annotated[
        Path,
        typer.Argument(
            help="A training configuration (TOML) whose crystals the model was not taught.", metavar="CONFIG"
        ),
    ],
    count: Annotated[int, typer.Option("--count", min=100, help="Fresh patterns.")] = 6000,
    cache: Annotated[
        Path, typer.Option("--cache", help="Folder where simulated master patterns are kept.")
    ] = Path("cache"),
) -> None:
    """Fit a model's temperature on fresh patterns of crystals that it was not taught.

    For example:

    - `kikuchinet calibrate runs/m3m-10/model configs/m3m-10-calibration.toml`
    """
    from kikuchinet.training import calibrate as run

    card = run(model, config, count=count, cache_dir=cache, progress=sys.stderr.isatty())
    facts = card.details["calibration"]
    console().print(
        f"temperature {card.temperature:.3f} (was {facts['temperature_before']:.3f}), expected calibration error "
        f"{facts['expected_calibration_error']:.4f} (was {facts['expected_calibration_error_before']:.4f}), accuracy "
        f"{facts['accuracy']:.4f} on {facts['patterns']:,} patterns that it was not fitted on",
        soft_wrap=True,
    )
