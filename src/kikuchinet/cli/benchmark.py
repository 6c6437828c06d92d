"""``kikuchinet benchmark``: how fast we are beside others."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from kikuchinet.cli._benchmarks import BENCHMARKS, Comparison, Missing
from kikuchinet.cli._output import console, table
from kikuchinet.cli._progress import progress


def benchmark(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            help=f"Which ones: {', '.join(BENCHMARKS)}. All of them if none is named.", metavar="[NAME]..."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
) -> None:
    """Measure speed and agreement beside named peers, on this machine and in one run.

    For example:

    - `kikuchinet benchmark`
    - `kikuchinet benchmark projection --json`
    """
    chosen = list(dict.fromkeys(names or BENCHMARKS))
    for name in chosen:
        if name not in BENCHMARKS:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(BENCHMARKS)}", param_hint="NAME")
    results: list[Comparison | Missing] = []
    with progress("Measuring", "benchmarks") as advance:
        for done, name in enumerate(chosen):
            advance(done, len(chosen))
            results += BENCHMARKS[name]()
    if as_json:
        print(json.dumps([_plain(result) for result in results], indent=1))
    else:
        _print(results)


def _plain(result: Comparison | Missing) -> dict[str, object]:
    return asdict(result) | ({"ratio": result.ratio} if isinstance(result, Comparison) else {})


def _print(results: list[Comparison | Missing]) -> None:
    rows = table(
        "benchmark", "peer", "ours", "theirs", "ratio", "unit", "agreement", right=("ours", "theirs", "ratio")
    )
    for result in results:
        if isinstance(result, Comparison):
            rows.add_row(
                result.benchmark,
                result.peer,
                f"{result.ours:,.4g}",
                f"{result.theirs:,.4g}",
                f"{result.ratio:,.3g}",
                result.unit,
                f"{result.agreement:.6f}",
            )
    console().print(rows)
    for result in results:
        console().print(f"{result.benchmark}, {result.peer}: {result.note}")
