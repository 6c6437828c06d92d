"""The report: one HTML file that holds everything it shows."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
import numpy as np
from markupsafe import Markup

from kikuchinet._files import atomic_path
from kikuchinet._version import __version__
from kikuchinet.crystal import ladder
from kikuchinet.identification import IdentificationResult, SourceAnswer
from kikuchinet.identification.files import REPORT_FILE, scan_files
from kikuchinet.patterns import preprocess
from kikuchinet.report import _words as words
from kikuchinet.report._images import file_uri, stretched
from kikuchinet.report._samples import chosen
from kikuchinet.report._symbols import hermann_mauguin, point_group, subscripts

_BARS = 6
"""Groups that get a bar of their own; the others share one."""


def write_report(result: IdentificationResult, folder: Path) -> Path:
    """Write report.html into a folder of results.

    Parameters
    ----------
    result
        What was found.
    folder
        Where `kikuchinet.identification.write_results` put the maps of scans.

    Returns
    -------
    pathlib.Path
        The page. Self-contained: no script, nothing loaded from anywhere. All that comes from the input, names
        above all, is escaped.
    """
    templates = resources.files("kikuchinet.report") / "templates"
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string((templates / "report.html.jinja").read_text(encoding="utf-8"))
    css = (templates / "report.css").read_text(encoding="utf-8")
    page = template.render(css=Markup(css), **view(result, folder))  # noqa: S704  our own file
    path = folder / REPORT_FILE
    with atomic_path(path) as temporary:
        # A file name may hold bytes that are no text; they must not stop the page.
        temporary.write_text(page, encoding="utf-8", errors="replace")
    return path


def view(result: IdentificationResult, folder: Path) -> dict[str, Any]:
    """Return everything that the template shows, by name."""
    ranking = result.ranking()
    winner = None
    if result.pooled is not None:
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
    shown = chosen(result.identification)
    said = words.verdict(result)
    title = f"{winner['symbol']} ({winner['number']})" if winner and said.answers else "no answer"
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
        "counts": [
            {"number": number, "count": count, "share": count / n} for number, count in result.counts.items()
        ],
        "inputs": [_input(answer) for answer in result.answers],
        "samples_title": "Every pattern" if len(shown) == n else "A sample of the patterns",
        "samples_text": (
            "All patterns that were read, in input order."
            if len(shown) == n
            else f"{len(shown)} of {n:,} patterns: up to the same number from every answer, spread evenly from the "
            "most to the least certain. The others stand in patterns.csv."
        ),
        "samples": _samples(result, shown),
        "input_size": "{} × {} pixels".format(*result.card.size),
        "model_facts": _model_facts(result),
        "settings": [(key.replace("_", " "), _plain(value)) for key, value in result.settings.items()],
        "card": _flat(result.card.details),
        "symbol": hermann_mauguin,
        "subscripts": subscripts,
        "percent": words.percent,
    }


def _what(result: IdentificationResult) -> str:
    names = [answer.source.name for answer in result.answers]
    n = words.patterns(len(result.identification))
    if len(names) == 1:
        return f"{n} from {names[0]}"
    return f"{n} from {len(names)} inputs"


def _input(answer: SourceAnswer) -> dict[str, Any]:
    shape = answer.scan_shape
    first = np.asarray(answer.source[0])
    return {
        "name": answer.source.name,
        "patterns": len(answer.identification),
        "pixels": "{} × {}".format(*first.shape),
        "arrangement": f"scan of {shape[0]} × {shape[1]}" if shape else "single patterns",
    }


def _maps(result: IdentificationResult, folder: Path) -> list[dict[str, Any]]:
    maps = []
    scans = [answer for answer in result.answers if answer.scan_shape is not None]
    for number, answer in enumerate(scans, start=1):
        picture, crystal_map = scan_files(number)
        groups, counts = np.unique(answer.identification.space_groups, return_counts=True)
        parts = [
            f"{ladder(int(group)).symbol if group else 'no answer'} at {count:,} points"
            for group, count in zip(groups, counts, strict=True)
        ]
        rows, columns = answer.scan_shape or (0, 0)
        maps.append(
            {
                "name": answer.source.name,
                "image": file_uri(folder / picture),
                "alt": f"Map of {rows} by {columns} points, space groups on the left: {', '.join(parts)}; on the right "
                "the probability of the likeliest group.",
                "caption": f"Left: space group of every point; white where there is no answer. Right: probability of "
                f"the likeliest group. The same as {picture}; {crystal_map} holds the numbers for orix. Orientations "
                "are not known and stand there as identity.",
            }
        )
    return maps


def _samples(result: IdentificationResult, shown: np.ndarray) -> list[dict[str, Any]]:
    identification = result.identification
    starts = np.cumsum([0, *(len(answer.identification) for answer in result.answers)])
    rows = []
    for position in shown.tolist():
        which = int(np.searchsorted(starts, position, side="right")) - 1
        answer = result.answers[which]
        local = position - int(starts[which])
        image = np.asarray(answer.source[local])
        probabilities = identification.probabilities[position]
        leading = np.argsort(-probabilities, kind="stable")[:3]
        entry = result.patterns.iloc[position]
        place = f"pattern {int(entry['index']) + 1}"
        if answer.scan_shape is not None:
            place += f", row {int(entry['row'])}, column {int(entry['column'])}"
        rows.append(
            {
                # The folder stands above, where the inputs are listed.
                "name": Path(entry["source"]).name,
                "place": place,
                "recorded": stretched(image),
                "seen": stretched(preprocess(image[None], size=result.card.size)[0]),
                "leading": [(identification.classes[i], float(probabilities[i])) for i in leading],
                "abstained": bool(identification.abstained[position]),
                "number": int(identification.space_groups[position]),
                "reason": identification.reasons[position],
                "quality": f"{answer.quality[local]:.2f}",
            }
        )
    return rows


def _model_facts(result: IdentificationResult) -> list[tuple[str, str]]:
    card = result.card
    return [
        ("name", f"{card.name}, version {card.version}"),
        ("network", card.architecture),
        ("space groups", ", ".join(str(group) for group in card.classes)),
        ("labels", "visible space group" if card.labels == "visible" else f"{card.labels} space group"),
        ("input", "{} × {} pixels".format(*card.size)),
        ("no answer below", words.percent(card.abstain_below)),
        ("SHA-256", card.sha256[:16] + "…"),
    ]


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
