"""What commands that answer for somebody's patterns take alike: the patterns, the model, where it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

PatternInputs = Annotated[
    list[Path] | None,
    typer.Argument(
        help="Pattern files that kikuchipy reads, images (TIFF, PNG, BMP, JPEG), or folders of images.",
        metavar="INPUT...",
        show_default=False,
    ),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", help="A shipped model (see 'kikuchinet models') or a folder with one."),
]
DeviceName = Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")]
Example = Annotated[
    bool,
    typer.Option("--example", help="Take the measured nickel patterns inside kikuchipy in place of INPUT."),
]
