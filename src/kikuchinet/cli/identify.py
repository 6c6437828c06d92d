"""``kikuchinet identify``: patterns in, space groups out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kikuchinet.cli._output import console, table, text
from kikuchinet.cli._progress import progress
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.identification import IdentificationResult

_ROWS = 40
"""Patterns in the table on the terminal; all of them stand in patterns.csv."""


def identify(
    inputs: Annotated[
        list[Path] | None,
        typer.Argument(
            help="Pattern files that kikuchipy reads, images (TIFF, PNG, BMP, JPEG), or folders of images.",
            metavar="INPUT...",
            show_default=False,
        ),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the results; made if it does not exist.")
    ] = ...,  # type: ignore[assignment]
    model: Annotated[
        str | None,
        typer.Option("--model", help="A shipped model (see 'kikuchinet models') or a folder with one."),
    ] = None,
    elements: Annotated[
        str,
        typer.Option(
            "--elements", help="Elements known to be there, such as Al,Ni: lists crystals that agree."
        ),
    ] = "",
    device: Annotated[str, typer.Option("--device", help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    example: Annotated[
        bool,
        typer.Option(
            "--example", help="Take the measured nickel patterns inside kikuchipy in place of INPUT."
        ),
    ] = False,
) -> None:
    """Identify the space group of Kikuchi patterns.

    Writes patterns.csv (one row a pattern), summary.json, report.html and, for a scan, map.png and crystal_map.h5
    (orix; orientations are not known and stand there as identity). All patterns of one run are taken for one crystal
    when their evidence is pooled. Results of an earlier run in the same folder are replaced when this one is done.

    For example:

    - `kikuchinet identify --example --out demo`
    - `kikuchinet identify scan.h5 --out results --elements Al,Ni`
    - `kikuchinet identify patterns/ single.tif --out results --model my-model/`
    """
    if example == bool(inputs):
        raise typer.BadParameter("give pattern files, or --example in place of them", param_hint="INPUT")
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for results")
    for path in inputs or ():
        # A mistyped name is answered at once, before libraries are loaded for seconds.
        if not path.exists():
            raise InputError(path, "does not exist")

    from kikuchinet.identification import identify as run
    from kikuchinet.identification import whole_folder, write_results
    from kikuchinet.patterns import example_patterns
    from kikuchinet.report import write_report

    with progress("Identifying", "patterns") as advance:
        result = run(
            example_patterns() if example else list(inputs or ()),
            model,
            elements=elements,
            device=device,
            progress=advance,
        )
    with whole_folder(out) as folder:
        write_results(result, folder)
        report = write_report(result, folder)
    _print(result)
    console().print(f"Report: {text(out / report.name)}", soft_wrap=True)


def _print(result: IdentificationResult) -> None:
    frame = result.patterns
    several = len(result.answers) > 1 or frame["source"].nunique() > 1
    rows = table("pattern", "space group", "probability", "abstained", "reason", right=("probability",))
    for entry in frame.head(_ROWS).to_dict("records"):
        name = f"{entry['source']} [{entry['index']}]" if several else str(entry["index"])
        group = "" if entry["abstained"] else f"{entry['space_group']} {entry['symbol']}"
        rows.add_row(
            text(name),
            group,
            f"{entry['probability']:.3f}",
            "yes" if entry["abstained"] else "no",
            text(entry["reason"]),
        )
    console().print(rows)
    if len(frame) > _ROWS:
        console().print(f"... and {len(frame) - _ROWS:,} more in patterns.csv")
    counts = ", ".join(f"{count:,} x {group or 'no answer'}" for group, count in result.counts.items())
    console().print(f"Single patterns: {counts}")
    if result.pooled is None:
        console().print("All together: no answer, no pattern shows any contrast")
        return
    from kikuchinet.crystal import ladder

    pooled = result.pooled
    answer = f"{pooled.space_group} {ladder(pooled.space_group).symbol}"
    console().print(f"All together: {answer}, probability {pooled.probability:.3f} ({result.verdict})")
    if result.elements:
        names = ", ".join(candidate.name for candidate in result.candidates) or "none"
        console().print(
            f"Library crystals of {', '.join(result.elements)} that agree (not fitted): {text(names)}"
        )
