"""``kikuchinet study``: the paper's experiments."""

from __future__ import annotations

import shlex
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from kikuchinet.cli._group import INTERRUPTED
from kikuchinet.cli._output import console, table, text


class Size(StrEnum):
    """How large the study is."""

    PAPER = "paper"
    CPU = "cpu"


def study(
    out: Annotated[Path, typer.Option("--out", help="Folder of the study.")],
    experiments: Annotated[
        list[str] | None,
        typer.Argument(
            help="fig2, fig4, fig5, fig6, fig7, fig10: the paper's figures; all six if none is named.",
            metavar="[EXPERIMENT]...",
            show_default=False,
        ),
    ] = None,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick", help="Minutes for all six, to see that everything runs. Its figures mean nothing."
        ),
    ] = False,
    size: Annotated[
        Size,
        typer.Option(
            "--size", help="paper: 246 x 299 pixels, for a GPU; cpu: 106 x 128, in bf16, for two cores."
        ),
    ] = Size.PAPER,
    patterns: Annotated[
        Path | None,
        typer.Option(
            "--patterns",
            help="Manifest of measured patterns of the paper's materials in place of simulated ones.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of patterns, weights and order.")] = 0,
    cache: Annotated[
        Path, typer.Option("--cache", help="Folder where simulated master patterns are kept.")
    ] = Path("cache"),
) -> None:
    """Repeat the experiments of Kaufmann et al. (2020).

    Each experiment trains an Xception network on patterns of some of 18 materials and asks it about all others. Writes, a
    folder each: the model, predictions.csv, tables (CSV and Markdown) at three levels of truth, figures; and study.html,
    which sets the paper's figures and statements beside ours. Ctrl-C saves the state; the same command goes on from there.

    For example:

    - `kikuchinet study --quick --out quick-study`
    - `kikuchinet study fig2 fig10 --size cpu --out study`
    - `kikuchinet study --patterns measured.csv --out measured-study`
    """
    from dataclasses import replace

    from kikuchinet.study import CPU_SIZE, PAPER_SIZE, QUICK, run_study

    settings = QUICK if quick else CPU_SIZE if size is Size.CPU else PAPER_SIZE
    results = run_study(
        experiments or (),
        out,
        replace(settings, seed=seed),
        patterns=patterns,
        cache_dir=cache,
        command=shlex.join(["kikuchinet", *sys.argv[1:]]),
        progress=sys.stderr.isatty(),
    )
    rows = table("experiment", "paper", "literal", "visible", "structure type", "macro (literal)")
    for result in results:
        if result.predictions is None:
            console().print(rows)
            console().print(
                f"{result.experiment.name}: stopped; the state is saved, the same command goes on.",
                soft_wrap=True,
            )
            raise typer.Exit(INTERRUPTED)
        scores = [result.scores(level) for level in ("literal", "visible", "structure")]
        rows.add_row(
            result.experiment.name,
            text(result.experiment.accuracy),
            *(f"{one.accuracy[0]:.3f}" for one in scores),
            f"{scores[0].macro_recall:.3f}",
        )
    console().print(rows)
    console().print(f"Page: {text(out / 'study.html')}", soft_wrap=True)
