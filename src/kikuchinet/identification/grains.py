"""Grains of a scan, found from the patterns alone, and what is said about each of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from kikuchinet.identification.band_grains import BandShare, in_classes
from kikuchinet.identification.similarity import OFFSETS, Similarity, neighbour_similarity, pair_slices
from kikuchinet.models import NO_ANSWER, Identification
from kikuchinet.patterns import PatternSource

SMALL = 4
"""Groups of fewer points join the most similar neighbour: lone boundary points, mostly."""

SIMILAR = "similar neighbours"
"""How grains were found where no map was given."""


@dataclass(frozen=True, eq=False)
class Grains:
    """Which patterns belong together.

    Parameters
    ----------
    labels
        (n,) number of each pattern's grain, 0 to `count` - 1; -1 for patterns of no grain.
    origin
        `SIMILAR`, or the file with the grain map.
    details
        Numbers that the grouping went by, for summary.json.
    """

    labels: NDArray[np.int64]
    origin: str = SIMILAR
    details: dict[str, float] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """Number of grains."""
        return int(self.labels.max(initial=-1)) + 1

    @property
    def sizes(self) -> NDArray[np.int64]:
        """(count,) patterns in each grain."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.count)


def find_grains(source: PatternSource, progress: Callable[[int, int], None] | None = None) -> Grains:
    """Group the neighbouring patterns of a scan that look alike.

    Parameters
    ----------
    source
        A scan of one or two dimensions.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    Grains
        Connected pieces of similar patterns. Neither orientation nor phase is used: two grains of nearly the same
        orientation (see docs/identify.md for how near) are one, and so is one grain of slowly changing orientation.

    Raises
    ------
    kikuchinet.errors.InputError
        The source is no scan.
    """
    return group_similar(neighbour_similarity(source, progress=progress))


def group_similar(similarity: Similarity) -> Grains:
    """Group the points of a scan that are linked by similar patterns.

    Parameters
    ----------
    similarity
        Correlations of neighbours.

    Returns
    -------
    Grains
        Numbered in the order of their first points.
    """
    rows, columns = similarity.shape
    number = np.arange(rows * columns).reshape(rows, columns)
    pairs, values = [], []
    linked = similarity.linked()
    links = []
    for k, (down, right) in enumerate(OFFSETS):
        here, there = pair_slices(similarity.shape, down, right)
        pairs.append(np.stack([number[here].ravel(), number[there].ravel()]))
        values.append(similarity.neighbours[k][here].ravel())
        links.append(linked[k][here].ravel())
    ends, strength, link = np.concatenate(pairs, axis=1), np.concatenate(values), np.concatenate(links)
    labels = _components(ends[:, link], rows * columns)
    labels = _absorb(labels, ends, strength, similarity.least)
    level = similarity.level()
    return Grains(
        labels,
        details={
            "unrelated_correlation": round(similarity.unrelated[0], 4),
            "unrelated_deviation": round(similarity.unrelated[1], 4),
            "least_correlation": round(similarity.least, 4),
            "level_within_grains": round(float(np.median(level)), 4),
            "shared_part_removed": float(similarity.plain is not None),
        },
    )


def _components(ends: NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Return the number of each point's connected piece, (n,)."""
    graph = coo_array((np.ones(ends.shape[1], dtype=np.int8), (ends[0], ends[1])), shape=(n, n))
    return np.asarray(connected_components(graph, directed=False)[1], dtype=np.int64)


def _absorb(
    labels: NDArray[np.int64], ends: NDArray[np.int64], strength: NDArray[np.float32], least: float
) -> NDArray[np.int64]:
    """Give small groups to the large neighbour of which they have most; renumber by first points."""
    sizes = np.bincount(labels)
    owner = np.arange(len(sizes))
    a, b = labels[ends[0]], labels[ends[1]]
    # Either end may be the small one.
    small, large = np.concatenate([a, b]), np.concatenate([b, a])
    value = np.concatenate([strength, strength])
    useful = (sizes[small] < SMALL) & (sizes[large] >= SMALL) & (value >= least)
    small, large, value = small[useful], large[useful], value[useful]
    order = np.argsort(value, kind="stable")
    # The last one written is the most similar one.
    owner[small[order]] = large[order]
    joined = owner[labels]
    _, first, numbers = np.unique(joined, return_index=True, return_inverse=True)
    rank = np.empty(len(first), dtype=np.int64)
    rank[np.argsort(first)] = np.arange(len(first))
    return np.asarray(rank[numbers.ravel()])


@dataclass(frozen=True, eq=False)
class GrainAnswers:
    """What all patterns of a grain say together, grain by grain.

    Parameters
    ----------
    classes
        Classes of the model.
    probabilities
        (grains, classes); equal ones where no pattern shows anything.
    patterns
        (grains,) patterns that count.
    by_bands
        bool (grains,), grains that are answered by their band profiles; None where none is.
    whole_classes
        Where some are, the classes of the network that answers the others.
    """

    classes: tuple[int, ...]
    probabilities: NDArray[np.float64]
    patterns: NDArray[np.int64]
    by_bands: NDArray[np.bool_] | None = None
    whole_classes: tuple[int, ...] = ()

    @property
    def space_groups(self) -> NDArray[np.int64]:
        """(grains,) likeliest space group; 0 where there is none to name: nothing to see, or outside the model's groups."""
        return np.maximum(self.answers, 0)

    @property
    def answers(self) -> NDArray[np.int64]:
        """(grains,) likeliest class, 0 for outside; `kikuchinet.models.NO_ANSWER` where no pattern shows anything."""
        best = np.asarray(self.classes, dtype=np.int64)[self.probabilities.argmax(axis=1)]
        return np.where(self.patterns > 0, best, NO_ANSWER)

    @property
    def best(self) -> NDArray[np.float64]:
        """(grains,) probability of the likeliest class."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def models(self) -> list[tuple[NDArray[np.int64], tuple[int, ...]]]:
        """Grains answered by one model, and the classes among which it chose: what all of these share, it assumed."""
        if self.by_bands is None:
            return [(np.arange(len(self.patterns)), self.classes)]
        return [
            (np.flatnonzero(self.by_bands), self.classes),
            (np.flatnonzero(~self.by_bands), self.whole_classes),
        ]


def pool_grains(
    identification: Identification, grains: Grains, bands: BandShare | None = None
) -> GrainAnswers:
    """Pool the evidence of each grain's patterns, as `Identification.pooled` does.

    Parameters
    ----------
    identification
        Answers for n patterns.
    grains
        Their grains.
    bands
        Which of them come from band profiles. In a grain that has such, these count and no others; grains that have none are
        pooled from the answers of the network of whole patterns.
    """
    if bands is None:
        probabilities, n = _pooled(identification, grains, np.ones(len(identification), dtype=bool))
        return GrainAnswers(identification.classes, probabilities, n)
    probabilities, n = _pooled(identification, grains, bands.speaks)
    by_bands = n > 0
    if bands.whole is None:
        return GrainAnswers(identification.classes, probabilities, n, by_bands, identification.classes)
    everything = np.ones(len(identification), dtype=bool)
    others, patterns = _pooled(bands.whole, grains, everything)
    wider = in_classes(others, bands.whole.classes, identification.classes)
    probabilities[~by_bands] = wider[~by_bands]
    return GrainAnswers(
        identification.classes, probabilities, np.where(by_bands, n, patterns), by_bands, bands.whole.classes
    )


def _pooled(
    identification: Identification, grains: Grains, where: NDArray[np.bool_]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Return pooled probabilities (grains, classes) and how many patterns count, (grains,)."""
    floor = 1e-12
    probabilities = identification.probabilities
    counts = where & (grains.labels >= 0) & (np.ptp(probabilities, axis=1) > 0.0)
    labels = grains.labels[counts]
    n = np.bincount(labels, minlength=grains.count)
    logs = np.log(np.maximum(probabilities[counts], floor))
    sums = np.stack(
        [np.bincount(labels, weights=column, minlength=grains.count) for column in logs.T], axis=1
    )
    evidence = sums / (1.0 + (np.maximum(n, 1)[:, None] - 1) * identification.pool_correlation)
    weights = np.exp(evidence - evidence.max(axis=1, keepdims=True, initial=-np.inf))
    return weights / weights.sum(axis=1, keepdims=True), n
