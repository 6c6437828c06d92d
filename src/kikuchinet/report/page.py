"""The report: one HTML file that holds everything it shows."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from markupsafe import Markup

from kikuchinet._files import atomic_path
from kikuchinet._version import __version__
from kikuchinet.crystal import OUTSIDE, ladder
from kikuchinet.crystal.outside import answer_symbol, listed_classes, outside_name
from kikuchinet.identification import IdentificationResult, SourceAnswer
from kikuchinet.identification.files import REPORT_FILE, scan_files
from kikuchinet.identification.gather import UNREADABLE
from kikuchinet.models import NO_ANSWER
from kikuchinet.report import _words as words
from kikuchinet.report._bands import band_drawings
from kikuchinet.report._grids import page_data, place_numbers
from kikuchinet.report._images import file_uri
from kikuchinet.report._pictures import fitted_patterns, picture_rows
from kikuchinet.report._samples import chosen
from kikuchinet.report._symbols import hermann_mauguin, outside, point_group, subscripts
from kikuchinet.report._text import shown as name_of

if TYPE_CHECKING:
    from kikuchinet.identification.fitting import PhaseFit
    from kikuchinet.models import SpaceGroupModel

_BARS = 6
"""Groups that get a bar of their own; the others share one."""


def write_report(result: IdentificationResult, folder: Path, model: SpaceGroupModel | None = None) -> Path:
    """Write report.html into a folder of results.

    Parameters
    ----------
    result
        What was found.
    folder
        Where `kikuchinet.identification.write_results` put the maps of scans.
    model
        The model that gave the answers, as it was before it was adapted; without it the page has no heat maps.

    Returns
    -------
    pathlib.Path
        The page. Self-contained: its one script is its own, its content security policy lets nothing else run and nothing be
        loaded. All that comes from the input, names above all, is escaped.

    Notes
    -----
    The page's size is bounded whatever the size of the scan: answers of at most `POINTS` points (larger maps are thinned),
    pictures of at most `MOST` patterns, chosen as `kikuchinet.report._samples.chosen` says.
    """
    templates = resources.files("kikuchinet.report") / "templates"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((templates / "report.html.jinja").read_text(encoding="utf-8"))
    css, script = ((templates / name).read_text(encoding="utf-8") for name in ("report.css", "report.js"))
    allowed = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    page = template.render(
        css=Markup(css),  # noqa: S704  our own files
        script=Markup(script),  # noqa: S704
        script_hash=f"sha256-{allowed}",
        **view(result, folder, model),
    )
    path = folder / REPORT_FILE
    with atomic_path(path) as temporary:
        # A file name may hold bytes that are no text; they must not stop the page.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def view(result: IdentificationResult, folder: Path, model: SpaceGroupModel | None = None) -> dict[str, Any]:
    """Return everything that the template shows, by name."""
    ranking = result.ranking()
    winner: dict[str, Any] | None = None
    classes = result.card.classes
    if result.pooled is not None and result.pooled.space_group == OUTSIDE:
        winner = {"number": OUTSIDE, "symbol": outside_name(classes)}
    elif result.pooled is not None:
        steps = ladder(result.pooled.space_group)
        winner = {
            "number": steps.space_group,
            "symbol": steps.symbol,
            "crystal_system": steps.crystal_system,
            "bravais_lattice": f"{steps.bravais_lattice} ({words.LATTICES[steps.bravais_lattice]})",
            "point_group": point_group(steps.point_group),
        }
    rest = ranking[_BARS:]
    what = _what(result)
    starts = np.cumsum([0, *(len(answer.identification) for answer in result.answers)]).tolist()
    scans = [
        (start, answer.scan_shape)
        for start, answer in zip(starts, result.answers, strict=False)
        if answer.scan_shape is not None
    ]
    shown = chosen(result.identification, scans, fitted_patterns(result))
    if model is not None and result.adaptation is not None:
        model = result.adaptation.applied(model)
    pictures = picture_rows(result, shown, model)
    said = words.verdict(result)
    title = said.part or "no answer"
    if winner and said.answers:
        title = f"{winner['symbol']} ({winner['number']})" if winner["number"] else winner["symbol"]
    n = len(result.identification)
    return {
        "version": __version__,
        "page_title": f"{title}: {what} | kikuchinet",
        "what": what,
        "verdict": said,
        "reasons": words.reasons(result),
        "limits": words.limits(result),
        "winner": winner,
        "pooled": ranking[:_BARS],
        "pooled_rest": (
            {"label": f"{len(rest)} others", "value": sum(value for _, value in rest)} if rest else None
        ),
        "look_alikes": result.look_alikes,
        "elements": result.elements,
        "candidates": result.candidates,
        "maps": _maps(result, folder),
        "counts": [{"number": number, "count": count, "share": count / n} for number, count in result.tally],
        "inputs": [_input(answer) for answer in result.answers],
        "samples_title": "Every pattern" if len(shown) == n else "A sample of the patterns",
        "samples_text": (
            "All patterns that were read, in input order."
            if len(shown) == n
            else f"The page holds pictures of {len(shown)} of {n:,} patterns, chosen by rule: those to which a crystal was "
            "fitted; of every answer the most certain, the least certain and the one nearest to another answer; an even "
            "lattice over each scan; of every answer some from the most to the least certain."
        ),
        "samples": pictures,
        "bands": band_drawings(result),
        "heats": model is not None,
        "fits": [_fit(fit, result) for fit in result.fits],
        "ladder": result.ladder,
        "phases": [_phases(result, k) for k, answer in enumerate(result.answers) if answer.phases],
        "tables": [_table(answer) for answer in result.answers if answer.scan_shape is not None],
        "failures": [(name_of(error.subject), name_of(error.cause)) for error in result.failures],
        "data": page_data(result, {row["position"]: row["unread"] for row in pictures}),
        "input_size": "{} × {} pixels".format(*result.card.size),
        "model_facts": _model_facts(result),
        "settings": [
            (key.replace("_", " "), name_of(_plain(value))) for key, value in result.settings.items()
        ],
        "card": _flat(result.card.details),
        "symbol": hermann_mauguin,
        "no_answer": NO_ANSWER,
        # Of models without such a class the page never asks.
        "outside": outside(classes) if OUTSIDE in classes else "",
        "subscripts": subscripts,
        "percent": words.percent,
    }


def _what(result: IdentificationResult) -> str:
    names = [answer.source.name for answer in result.answers]
    n = words.patterns(len(result.identification))
    if len(names) == 1:
        return f"{n} from {name_of(names[0])}"
    return f"{n} from {len(names)} inputs"


def _input(answer: SourceAnswer) -> dict[str, Any]:
    shape = answer.scan_shape
    # Of a source at least one pattern could be read; what stands for the others is none.
    first = next(
        k for k, reason in enumerate(answer.identification.reasons) if not reason.startswith(UNREADABLE)
    )
    pixels = "{} × {}".format(*np.asarray(answer.source[first]).shape)
    return {
        "name": name_of(answer.source.name),
        "patterns": len(answer.identification),
        "pixels": pixels,
        "arrangement": f"scan of {shape[0]} × {shape[1]}" if shape else "single patterns",
    }


def _maps(result: IdentificationResult, folder: Path) -> list[dict[str, Any]]:
    maps = []
    scans = [(k, answer) for k, answer in enumerate(result.answers) if answer.scan_shape is not None]
    for number, (which, answer) in enumerate(scans, start=1):
        known = result.orientations(which).indexed
        picture, crystal_map = scan_files(number)
        groups, counts = np.unique(answer.identification.answers, return_counts=True)
        names = [
            "no answer" if group == NO_ANSWER else answer_symbol(group, result.card.classes)
            for group in groups.tolist()
        ]
        parts = [f"{name} at {count:,} points" for name, count in zip(names, counts, strict=True)]
        rows, columns = answer.scan_shape or (0, 0)
        maps.append(
            {
                "name": name_of(answer.source.name),
                "image": file_uri(folder / picture),
                "alt": f"Map of {rows} by {columns} points, space groups on the left: {', '.join(parts)}; on the right "
                "the probability of the likeliest group.",
                "caption": f"Left: space group of every point; white where there is no answer. Right: probability of "
                f"the likeliest group. The same as {picture}; {crystal_map} holds the numbers for orix. "
                + _orientations_said(int(known.sum()), len(known)),
            }
        )
    return maps


def _orientations_said(known: int, points: int) -> str:
    if not known:
        return "Orientations are not known and stand there as identity."
    if known == points:
        return "Orientations there are those of the fitted crystals."
    return (
        f"Orientations are known for the {words.patterns(known)} to which a crystal was fitted, and stand there as identity "
        "for all others."
    )


_CELLS = 24
"""Rows and columns of the table that stands for a map."""


def _table(answer: SourceAnswer) -> dict[str, Any]:
    """Return a map as a table of at most 24 x 24 cells, each with the answer most frequent in its part of the map."""
    rows, columns = answer.scan_shape or (0, 0)
    groups = answer.identification.answers.reshape(rows, columns)
    row_numbers, column_numbers = place_numbers(answer)
    height, width = -(-rows // _CELLS), -(-columns // _CELLS)
    cells = []
    for top in range(0, rows, height):
        line = []
        for left in range(0, columns, width):
            numbers, counts = np.unique(groups[top : top + height, left : left + width], return_counts=True)
            line.append(int(numbers[counts.argmax()]))
        cells.append((_part(row_numbers[top : top + height]), line))
    return {
        "name": name_of(answer.source.name),
        "columns": [_part(column_numbers[left : left + width]) for left in range(0, columns, width)],
        "rows": cells,
        "whole": height == width == 1,
    }


def _part(numbers: list[int]) -> str:
    first, last = numbers[0], numbers[-1]
    return str(first) if last == first else f"{first}–{last}"


def _phases(result: IdentificationResult, number: int) -> dict[str, Any]:
    answer = result.answers[number]
    grains, found = answer.grains, answer.grain_answers
    assert grains is not None
    assert found is not None
    by_bands = np.zeros(grains.count, dtype=bool)
    if found.by_bands is not None and result.sampled(number):
        by_bands = found.by_bands
    return {
        "name": name_of(answer.source.name),
        "phases": answer.phases,
        "grains": grains.count,
        "by_bands": int(by_bands.sum()),
        "points_by_bands": float(grains.sizes[by_bands].sum() / len(grains.labels)),
    }


def _fit(fit: PhaseFit, result: IdentificationResult) -> dict[str, Any]:
    return {
        "source": name_of(result.answers[fit.source].source.name),
        "space_group": fit.space_group,
        "statement": name_of(fit.statement),
        "patterns": len(fit.patterns),
        "candidates": [
            {
                "name": name_of(one.crystal.name),
                "formula": one.crystal.formula,
                "space_group": one.crystal.space_group,
                "evidence": one.evidence,
                "score": f"{one.score:.3f}",
                "behind": f"{fit.margin(one)[0]:.3f}" if place else "",
                "fits": one.fits,
            }
            for place, one in enumerate(fit.candidates)
        ],
    }


def _model_facts(result: IdentificationResult) -> list[tuple[str, str]]:
    card = result.card
    return [
        ("name", f"{card.name}, version {card.version}"),
        ("network", card.architecture),
        ("space groups", listed_classes(card.classes)),
        ("labels", "visible space group" if card.labels == "visible" else f"{card.labels} space group"),
        ("input", "{} × {} pixels".format(*card.size)),
        ("no answer below", words.percent(card.abstain_below)),
        ("SHA-256", card.sha256[:16] + "…"),
        ("adapted to these patterns", _adapted(result)),
    ]


def _adapted(result: IdentificationResult) -> str:
    found = result.adaptation
    if found is None:
        return "no, and not asked for"
    return f"yes, to {found.patterns:,} of them" if found.used else "no, though asked for"


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


def _flat(details: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    pairs: list[tuple[str, str]] = []
    for key, value in details.items():
        name = f"{prefix}{key}".replace("_", " ")
        if key == "config":
            # The whole training configuration is for programs: it stands on the card itself.
            continue
        if isinstance(value, Mapping) and value and all(isinstance(item, Mapping) for item in value.values()):
            pairs.append((name, ", ".join(value)))
        elif isinstance(value, Mapping):
            pairs.extend(_flat(value, f"{name}: "))
        else:
            pairs.append((name, _plain(value)))
    return pairs
