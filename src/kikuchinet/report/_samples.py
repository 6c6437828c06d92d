"""Which patterns a page shows when it cannot show all."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kikuchinet.models import Identification

SHOW_ALL = 36
"""Up to this many patterns, the page shows every one."""


def chosen(identification: Identification, most: int = SHOW_ALL) -> NDArray[np.int64]:
    """Choose the patterns to show.

    Parameters
    ----------
    identification
        The answers for n patterns.
    most
        How many may be shown.

    Returns
    -------
    numpy.ndarray
        (k,) indices in rising order: all of them where they are few; else from every answered group, and from those
        without an answer, an equal number, spread evenly from the most to the least certain. The choice hides
        neither the best nor the worst.
    """
    n = len(identification)
    if n <= most:
        return np.arange(n)
    groups = identification.space_groups
    best = identification.probabilities.max(axis=1)
    kinds = np.unique(groups)
    share = max(most // len(kinds), 1)
    picked: list[int] = []
    for kind in kinds:
        members = np.flatnonzero(groups == kind)
        order = members[np.argsort(-best[members], kind="stable")]
        places = np.unique(np.linspace(0, len(order) - 1, min(share, len(order))).round().astype(int))
        picked.extend(order[places].tolist())
    return np.sort(np.asarray(picked[:most] if len(kinds) > most else picked, dtype=np.int64))
