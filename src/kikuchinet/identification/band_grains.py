"""Which patterns of a large scan are read by their bands, and which of these readings speak for a grain."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import OUTSIDE
from kikuchinet.models import Identification

if TYPE_CHECKING:
    from kikuchinet.identification.result import SourceAnswer

MOST_PATTERNS = 400
"""Patterns that are read by their bands where nothing is said: each takes some hundredths of a second."""
PER_GRAIN = 6
"""Patterns of a grain that are read, if `MOST_PATTERNS` is enough for all grains."""
LEAST_PER_GRAIN = 3
"""Patterns of a grain that are read at least: two alone cannot say which of them is right when they disagree."""
LEAST_POINTS = 4
"""Grains of fewer points are left to the network of whole patterns: boundary points, mostly."""
ALIKE_DEG = 5.0
"""Orientations of one grain differ by less."""


@dataclass(frozen=True, eq=False)
class BandShare:
    """How much of a source's answers comes from band profiles.

    Parameters
    ----------
    read
        bool (n,), patterns whose bands were read.
    speaks
        bool (n,), those of them that are answered by their bands.
    whole
        What the network of whole patterns says of all n; None where it answers none of them.
    """

    read: NDArray[np.bool_]
    speaks: NDArray[np.bool_]
    whole: Identification | None


def sample_grains(answers: Sequence[SourceAnswer], most: int = MOST_PATTERNS) -> list[NDArray[np.int64]]:
    """Choose the patterns by which the grains of scans are judged.

    Parameters
    ----------
    answers
        Of all sources.
    most
        Patterns in all.

    Returns
    -------
    list of numpy.ndarray
        Of each source the patterns, in rising order; none where it has no grains. Of each grain of at least
        `LEAST_POINTS` points that show something, the `PER_GRAIN` of best quality. Where that is more than `most`, each
        gets `LEAST_PER_GRAIN`, the largest grain first, and then one more in turn for as long as there are any.
    """
    members: list[tuple[int, NDArray[np.int64]]] = []
    for number, answer in enumerate(answers):
        if answer.grains is None:
            continue
        labels = answer.grains.labels
        seen = np.flatnonzero((labels >= 0) & (np.ptp(answer.identification.probabilities, axis=1) > 0.0))
        order = seen[np.lexsort((-answer.quality[seen], labels[seen]))]
        starts = np.flatnonzero(np.diff(labels[order], prepend=-1))
        members += [(number, grain) for grain in np.split(order, starts[1:]) if len(grain) >= LEAST_POINTS]
    members.sort(key=lambda one: -len(one[1]))
    shares = np.zeros(len(members), dtype=np.int64)
    left = most
    for wanted in range(LEAST_PER_GRAIN, PER_GRAIN + 1):
        for k, (_, grain) in enumerate(members):
            more = min(wanted, len(grain)) - shares[k]
            if more <= left:
                shares[k] += more
                left -= more
    chosen: list[NDArray[np.int64]] = []
    for number in range(len(answers)):
        mine = [grain[:share] for (of, grain), share in zip(members, shares, strict=True) if of == number]
        chosen.append(np.sort(np.concatenate(mine)) if mine else np.empty(0, dtype=np.int64))
    return chosen


def agreeing(labels: NDArray[np.int64], quaternions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Say which readings of a grain found the orientation that most of its readings found.

    Parameters
    ----------
    labels
        (m,) grain of each reading.
    quaternions
        (m, 4) sample to crystal, of cubic crystals.

    Returns
    -------
    numpy.ndarray
        bool (m,). Readings that differ by less than `ALIKE_DEG` from the one that most others are near to; none of a grain
        where these are fewer than two, or fewer than half.

    Notes
    -----
    The points of a grain share an orientation, and one that was found wrongly is seldom found twice: by chance two cubic
    crystals lie within 5° in one case of a thousand. So the readings of a grain judge one another, whatever their noise.
    """
    from orix.quaternion import Orientation
    from orix.quaternion.symmetry import Oh

    kept = np.zeros(len(labels), dtype=bool)
    for label in np.unique(labels):
        (mine,) = np.nonzero(labels == label)
        turned = Orientation(quaternions[mine], symmetry=Oh)
        near = np.rad2deg(np.asarray(turned.angle_with_outer(turned))) < ALIKE_DEG
        largest = near[near.sum(axis=1).argmax()]
        if largest.sum() >= max(2, len(mine) / 2):
            kept[mine[largest]] = True
    return kept


def comparable(whole: Sequence[int], bands: Sequence[int]) -> bool:
    """Say whether the answers of two models can stand in one table.

    Parameters
    ----------
    whole, bands
        Classes of the network of whole patterns and of the model of band profiles.

    Returns
    -------
    bool
        Whether the second can say all that the first can; "outside" means the same only where all classes are.
    """
    return set(whole) == set(bands) if OUTSIDE in whole else set(whole) <= set(bands)


def in_classes(
    probabilities: NDArray[np.float64], own: Sequence[int], classes: Sequence[int]
) -> NDArray[np.float64]:
    """Return probabilities (n, own) over more classes, (n, classes): those that a model cannot answer with have none."""
    wider = np.zeros((len(probabilities), len(classes)))
    wider[:, [list(classes).index(group) for group in own]] = probabilities
    # Equal ones say that there is nothing to see.
    wider[np.ptp(probabilities, axis=1) == 0.0] = 1.0 / len(classes)
    return wider


def merged(
    whole: Identification, reading: Identification, places: NDArray[np.int64], speaks: NDArray[np.bool_]
) -> Identification:
    """Put the answers of bands in place of those of whole patterns.

    Parameters
    ----------
    whole
        n answers.
    reading
        m answers from bands.
    places
        (m,) whose they are.
    speaks
        bool (m,), which of them count.

    Returns
    -------
    Identification
        n answers in the classes of `reading`.
    """
    probabilities = in_classes(whole.probabilities, whole.classes, reading.classes)
    groups, reasons = whole.space_groups.copy(), list(whole.reasons)
    probabilities[places[speaks]] = reading.probabilities[speaks]
    groups[places[speaks]] = reading.space_groups[speaks]
    for k in np.flatnonzero(speaks).tolist():
        reasons[places[k]] = reading.reasons[k]
    return Identification(reading.classes, probabilities, groups, tuple(reasons), reading.pool_correlation)
