"""Band profiles as small drawings: the part of the page that shows what an answer was read from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.outside import answer_symbol
from kikuchinet.report._text import shown

if TYPE_CHECKING:
    from kikuchinet.identification import IdentificationResult
    from kikuchinet.identification.bands import SourceBands

_SHOWN = 8
"""Families that are drawn, those of lowest indices; all of them stand in summary.json."""
_WIDTH, _HEIGHT = 220, 96
_REACH_DEG = 6.0
"""Angle from the plane, on either side, that is drawn."""


def band_drawings(result: IdentificationResult) -> list[dict[str, Any]]:
    """Return, for each source whose bands were read, or each of its phases, what the page draws of them.

    Returns
    -------
    list of dict
        ``name``, ``answer``, ``patterns``, ``grains`` (None where every pattern was read), ``reach`` in degrees, the size
        of a drawing, and ``families``: of each its indices, the points of its curve as an SVG polyline has them, how much
        the answer rests on it, and the same in words.
    """
    return [
        _drawing(one, result.answers[one.source].source.name, result.card.classes) for one in result.bands
    ]


def _drawing(bands: SourceBands, name: str, classes: tuple[int, ...]) -> dict[str, Any]:
    from kikuchinet.indexing.bands import BINS, FAMILIES, REACH

    angles = np.rad2deg(np.arcsin((np.arange(BINS) + 0.5) * REACH / BINS))
    near = angles < _REACH_DEG
    curves = bands.pooled_profiles[
        0, :_SHOWN, near
    ]  # (points, families): a mask between an index and a slice goes first
    low, high = float(curves.min()), float(curves.max())
    weights = bands.families[:_SHOWN]
    runner_up = answer_symbol(bands.runner_up, classes)
    return {
        "name": shown(name),
        "answer": bands.answer,
        "patterns": len(bands.profiles),
        "grains": bands.grains,
        "reach": f"{_REACH_DEG:g}",
        "width": _WIDTH,
        "height": _HEIGHT,
        "families": [
            {
                "indices": "".join(map(str, family)),
                "points": _points(angles[near], curves[:, k], low, high),
                "weight": float(weights[k]),
                "words": _weight(float(weights[k]), runner_up),
            }
            for k, family in enumerate(FAMILIES[:_SHOWN])
        ],
    }


def _points(angles: NDArray[np.float64], curve: NDArray[np.floating[Any]], low: float, high: float) -> str:
    """Return a curve and its mirror image as the points of a polyline."""
    span = max(high - low, 1e-6)
    y = (_HEIGHT - 6) * (1.0 - (curve - low) / span) + 3.0
    x = _WIDTH / 2.0 * (1.0 + angles / _REACH_DEG)
    left = [f"{_WIDTH - a:.1f},{b:.1f}" for a, b in zip(x[::-1], y[::-1], strict=True)]
    right = [f"{a:.1f},{b:.1f}" for a, b in zip(x, y, strict=True)]
    return " ".join([*left, *right])


def _weight(value: float, runner_up: str) -> str:
    if abs(value) < 0.1:
        return "says little"
    return (
        f"speaks {'against' if value > 0 else 'for'} {runner_up}: odds × {np.exp(min(abs(value), 9.2)):.2g}"
    )
