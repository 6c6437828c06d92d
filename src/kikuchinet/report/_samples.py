"""Of which patterns a page holds pictures when it cannot hold all."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from kikuchinet.models import Identification

SHOW_ALL = 36
"""Up to this many patterns, the page has pictures of every one."""
MOST = 96
"""Pictures of no more patterns than this, ever: the page stays below some ten megabytes."""
_LATTICE = 5
"""Rows and columns of the even lattice of points that is laid over each scan."""
_SPREAD = 8
"""Patterns of each answer, evenly spread from the most to the least certain."""


def chosen(
    identification: Identification,
    scans: Sequence[tuple[int, tuple[int, int]]] = (),
    always: Iterable[int] = (),
    most: int = MOST,
) -> NDArray[np.int64]:
    """Choose the patterns of which the page has pictures.

    Parameters
    ----------
    identification
        The answers for n patterns.
    scans
        First pattern, and rows and columns, of each scan.
    always
        Patterns that come before all others: those to which a crystal was fitted.
    most
        How many may be chosen, no fewer than `SHOW_ALL`.

    Returns
    -------
    numpy.ndarray
        (k,) indices in rising order, k at most `most`: all of them up to `SHOW_ALL`. Else, until there are `most`: those of
        `always`; then of each answer and of those without one, the answer with most patterns first, the most
        certain pattern, the least certain one and the one with the smallest lead over the second answer; an even lattice
        of 5 x 5 points of each scan; eight of each answer, spread evenly from the most to the least certain.
        Nothing is random.
    """
    n = len(identification)
    if n <= SHOW_ALL:
        return np.arange(n)
    ordered = np.sort(identification.probabilities, axis=1)
    best, lead = ordered[:, -1], ordered[:, -1] - ordered[:, -2]
    kinds, counts = np.unique(identification.answers, return_counts=True)
    picked = dict.fromkeys(int(place) for place in always)
    spread: list[int] = []
    for kind in kinds[np.argsort(-counts, kind="stable")]:
        members = np.flatnonzero(identification.answers == kind)
        order = members[np.argsort(-best[members], kind="stable")]
        border = members[lead[members].argmin()]
        picked.update(dict.fromkeys([int(order[0]), int(order[-1]), int(border)]))
        places = np.unique(np.linspace(0, len(order) - 1, min(_SPREAD, len(order))).round().astype(int))
        spread.extend(order[places].tolist())
    for first, (rows, columns) in scans:
        for row in _even(rows):
            picked.update(dict.fromkeys(first + row * columns + column for column in _even(columns)))
    picked.update(dict.fromkeys(spread))
    return np.sort(np.asarray(list(picked)[:most], dtype=np.int64))


def _even(size: int) -> list[int]:
    """Return the middles of equal parts of an axis."""
    parts = min(_LATTICE, size)
    return [int((part + 0.5) * size / parts) for part in range(parts)]
