"""Pictures of chosen patterns: recorded, prepared, with the heat of the answer, and simulated."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.identification import IdentificationResult
from kikuchinet.identification.gather import UNREADABLE
from kikuchinet.patterns import preprocess
from kikuchinet.report._images import heat, stretched
from kikuchinet.report._text import shown
from kikuchinet.report._words import named

if TYPE_CHECKING:
    from kikuchinet.models import SpaceGroupModel

_PIXELS = 192
"""Longest side of a recorded pattern in the page."""


@dataclass(frozen=True)
class Fitted:
    """The best candidate's pattern beside a measured one.

    Parameters
    ----------
    name
        Of the crystal.
    correlation
        With the measured pattern.
    measured, simulated
        Both as they were compared, data URIs.
    """

    name: str
    correlation: float
    measured: str
    simulated: str


def picture_rows(
    result: IdentificationResult, chosen: NDArray[np.int64], model: SpaceGroupModel | None
) -> list[dict[str, Any]]:
    """Return what the page shows of each chosen pattern.

    Parameters
    ----------
    result
        The answers.
    chosen
        (k,) patterns.
    model
        The model that gave them, for heat maps; none are made without it.

    Returns
    -------
    list of dict
        One a pattern, with number, row and column as in patterns.csv. A pattern that cannot be read has no pictures, and
        ``unread`` says why.
    """
    identification = result.identification
    starts = np.cumsum([0, *(len(answer.identification) for answer in result.answers)])
    fitted = _fitted(result, starts)
    rows: list[dict[str, Any]] = []
    prepared: dict[int, NDArray[np.float32]] = {}
    for position in chosen.tolist():
        which = int(np.searchsorted(starts, position, side="right")) - 1
        answer = result.answers[which]
        local = position - int(starts[which])
        source = answer.source
        probabilities = identification.probabilities[position]
        leading = np.argsort(-probabilities, kind="stable")[:3]
        place = f"pattern {int(source.indices[local])}"
        if answer.scan_shape is not None and source.rows is not None and source.columns is not None:
            place += f", row {int(source.rows[local])}, column {int(source.columns[local])}"
        row: dict[str, Any] = {
            "position": position,
            # The folder stands above, where the inputs are listed.
            "name": shown(Path(source.names[local]).name),
            "place": place,
            "recorded": "",
            "unread": "",
            "leading": [(identification.classes[i], float(probabilities[i])) for i in leading],
            "abstained": bool(identification.abstained[position]),
            "number": int(identification.space_groups[position]),
            "reason": identification.reasons[position],
            "quality": f"{answer.quality[local]:.2f}",
            "heat": "",
            "heat_of": named(identification.classes[int(leading[0])], identification.classes),
            "fitted": fitted.get(position),
        }
        if row["reason"].startswith(UNREADABLE):
            # The source has a black stand-in for it.
            row["unread"] = shown(row["reason"].removeprefix(UNREADABLE))
        else:
            image = np.asarray(source[local])
            prepared[len(rows)] = preprocess(image[None], size=result.card.size)[0]
            row["recorded"] = stretched(image, _PIXELS)
            row["seen"] = stretched(prepared[len(rows)])
        rows.append(row)
    if model is not None and prepared:
        _add_heat(rows, prepared, model, identification.probabilities[chosen].argmax(axis=1))
    return rows


def _add_heat(
    rows: list[dict[str, Any]],
    prepared: dict[int, NDArray[np.float32]],
    model: SpaceGroupModel,
    targets: NDArray[np.int64],
) -> None:
    from kikuchinet.explanation import heat_maps

    places = list(prepared)
    maps, _ = heat_maps(model.network, np.stack(list(prepared.values())), targets[places])
    for place, values in zip(places, maps, strict=True):
        # An even pattern, or one that nothing speaks for, has no heat; an all-zero map would look like an answer.
        rows[place]["heat"] = heat(values) if values.any() else ""


def fitted_patterns(result: IdentificationResult) -> list[int]:
    """Return the patterns to which a crystal was fitted, counted over all sources."""
    starts = np.cumsum([0, *(len(answer.identification) for answer in result.answers)])
    return list(_fitted(result, starts))


def _fitted(result: IdentificationResult, starts: NDArray[np.int64]) -> dict[int, Fitted]:
    found: dict[int, Fitted] = {}
    for fit in result.fits:
        if fit.best is None or fit.compared is None:
            continue
        measured, simulated = fit.compared
        for k, local in enumerate(fit.patterns.tolist()):
            found[int(starts[fit.source]) + local] = Fitted(
                shown(fit.best.crystal.name),
                float(fit.best.correlations[k]),
                stretched(measured[k]),
                stretched(simulated[k]),
            )
    return found
