"""The command ``kikuchinet``: one file a command, put together here."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Annotated

import typer

from kikuchinet._version import __version__
from kikuchinet.cli._group import CommandGroup
from kikuchinet.cli._huge_pages import restart_with_huge_pages
from kikuchinet.cli._quiet import quieten
from kikuchinet.cli.benchmark import benchmark
from kikuchinet.cli.calibrate import calibrate
from kikuchinet.cli.crystals import crystals
from kikuchinet.cli.evaluate import evaluate
from kikuchinet.cli.explain import explain
from kikuchinet.cli.generate import generate
from kikuchinet.cli.identify import identify
from kikuchinet.cli.models import models
from kikuchinet.cli.simulate import simulate
from kikuchinet.cli.study import study
from kikuchinet.cli.train import train

app = typer.Typer(
    cls=CommandGroup,
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    context_settings={"help_option_names": ["-h", "--help"]},
)

for _command in (
    identify,
    crystals,
    simulate,
    generate,
    train,
    calibrate,
    evaluate,
    explain,
    study,
    models,
    benchmark,
):
    app.command()(_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"kikuchinet {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and leave."
        ),
    ] = False,
) -> None:
    """Space groups from electron backscatter (Kikuchi) diffraction patterns.

    Start with: kikuchinet identify --example --out demo
    """
    quieten()


def _terminated(number: int, frame: FrameType | None) -> None:
    # An ordinary exit, so that temporary files are removed on the way out.
    sys.exit(128 + number)


def main() -> None:
    """Run the command line and leave with its exit status."""
    restart_with_huge_pages()
    signal.signal(signal.SIGTERM, _terminated)
    app(prog_name="kikuchinet")
