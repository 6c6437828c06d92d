"""How alike the patterns of neighbouring points of a scan are, and how alike they must be to come from one grain."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import percentile_filter

from kikuchinet.errors import InputError
from kikuchinet.patterns import PatternSource, preprocess

SIZE = (32, 32)
"""Patterns are compared at this size: pixels of the camera are averaged, which takes off most of the noise."""
OFFSETS = ((0, 1), (1, 0), (1, 1), (1, -1))
"""Neighbours of a point by rows and columns; the other four of its eight are the same pairs seen from there."""

SHARE = 0.9
"""Part of the local level that a pair must reach. Two thirds of one grain and one third of another have that with the first:
with much less, chains of boundary points join grains. On simulated scans 0.9 was better than 0.8 (docs/identify.md)."""
DEVIATIONS = 4.0
"""Standard deviations above unrelated patterns. Of pairs that are normally distributed 3 in 100,000 lie higher."""
_SAMPLE = 256
"""Patterns from all over a scan that show what all of its patterns share."""
_FEW = 0.05
"""Part of the pairs from all over a scan that must be unlike for the scan to have several grains beyond doubt."""
_WINDOW = 5
"""Side, in points, of the neighbourhood whose patterns say how alike two patterns of one grain are there."""


@dataclass(frozen=True, eq=False)
class Similarity:
    """Correlations of neighbouring patterns of a scan.

    Parameters
    ----------
    neighbours
        float32 (4, rows, columns): normalised cross-correlation of a pattern with its neighbour at each of `OFFSETS`; NaN
        where there is none.
    unrelated
        Median and standard deviation of the correlation of patterns that have nothing to do with each other.
    plain
        As `neighbours`, before what all patterns share was taken off; None where it was not.
    """

    neighbours: NDArray[np.float32]
    unrelated: tuple[float, float]
    plain: Similarity | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scan."""
        return self.neighbours.shape[1], self.neighbours.shape[2]

    @property
    def least(self) -> float:
        """Correlation above which two patterns have something in common."""
        return self.unrelated[0] + DEVIATIONS * self.unrelated[1]

    def level(self) -> NDArray[np.float32]:
        """Return how alike patterns of one grain are around each point, (rows, columns).

        Noise sets it: two patterns of one orientation correlate by the signal's part in their power. It is taken from the
        second most similar of a point's neighbours, which nearly always belongs to the same grain, as the third quartile
        over 5 x 5 points, so that boundaries do not lower it.
        """
        rows, columns = self.shape
        around = np.full((8, rows, columns), -1.0, dtype=np.float32)
        for k, (down, right) in enumerate(OFFSETS):
            here, there = pair_slices(self.shape, down, right)
            values = np.nan_to_num(self.neighbours[k][here], nan=-1.0)
            around[2 * k][here] = values
            around[2 * k + 1][there] = values
        second = np.partition(around, -2, axis=0)[-2]
        return np.asarray(percentile_filter(second, 75, size=_WINDOW, mode="nearest"), dtype=np.float32)

    def linked(self) -> NDArray[np.bool_]:
        """Return which pairs come from one grain, as `neighbours` is laid out, (4, rows, columns).

        Where nothing but noise is left once what all patterns share is taken off, patterns do not differ from the scan's
        mean: those are one grain if they were alike before.
        """
        with np.errstate(invalid="ignore"):
            links = np.asarray(self.neighbours >= self.threshold())
        if self.plain is not None:
            empty = self.level() < self.least
            before = self.plain.linked()
            for k, (down, right) in enumerate(OFFSETS):
                here, there = pair_slices(self.shape, down, right)
                links[k][here] |= empty[here] & empty[there] & before[k][here]
        return links

    def threshold(self) -> NDArray[np.float32]:
        """Return the correlation that a pair must reach, as `neighbours` is laid out, (4, rows, columns)."""
        level = np.maximum(self.level(), 0.0)
        wanted = np.full_like(self.neighbours, np.inf)
        for k, (down, right) in enumerate(OFFSETS):
            here, there = pair_slices(self.shape, down, right)
            wanted[k][here] = SHARE * np.sqrt(level[here] * level[there])
        return np.maximum(wanted, np.float32(self.least))


def pair_slices(
    shape: tuple[int, int], down: int, right: int
) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
    """Return where the first and where the second points of all pairs of one offset lie in a map."""
    rows, columns = shape
    left, first = max(0, -right), max(0, right)
    here = (slice(0, rows - down), slice(left, columns - first))
    there = (slice(down, rows), slice(left + right, columns - first + right))
    return here, there


def neighbour_similarity(
    source: PatternSource, *, batch_size: int = 256, progress: Callable[[int, int], None] | None = None
) -> Similarity:
    """Compare every pattern of a scan with its eight neighbours.

    Parameters
    ----------
    source
        A scan of one or two dimensions.
    batch_size
        Patterns read at a time. Beside them one row of the scan stays in memory, at 32 x 32 pixels a pattern.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    Similarity
        Normalised cross-correlations of patterns made ready by `kikuchinet.patterns.preprocess` at 32 x 32 pixels. No
        orientation and no phase is needed.

    Raises
    ------
    kikuchinet.errors.InputError
        The source is no scan.

    Notes
    -----
    What two unrelated patterns have in common by chance is measured on the scan itself: on neighbours of which one is
    turned by a quarter or half or put upside down. Its spectrum and its noise are those of the others, and its bands lie
    elsewhere. A mirror left to right is not used, as crystals often lie symmetrically to that plane.

    Cameras leave marks that all patterns share: dirt, hot columns, an old background. If hardly any two patterns from all
    over the scan are unlike, their mean is projected out of all of them, provided that neighbours are then more alike than
    by chance. They are not in a single crystal, nor where the marks are all that can be seen: such a scan is one grain.
    """
    shape = source.navigation_shape
    if shape is None or not 1 <= len(shape) <= 2:
        raise InputError(source.name, "is no scan, so it has no grains")
    rows, columns = (1, shape[0]) if len(shape) == 1 else shape
    n = rows * columns
    mean, distant = _shared(source)
    plain, rest = _Pairs(rows, columns), _Pairs(rows, columns)
    first = 0
    for images in source.batches(batch_size):
        new = _unit(preprocess(images, size=SIZE))
        plain.add(first, new)
        along = np.einsum("nij,ij->n", new, mean)
        rest.add(first, _unit(new - along[:, None, None] * mean))
        first += len(new)
        if progress is not None:
            progress(first, n)
    found, without = plain.similarity(), rest.similarity()
    all_alike = distant.size > 0 and float(np.quantile(distant, _FEW)) > found.least
    if all_alike and float(np.nanmedian(without.neighbours)) > without.least:
        return replace(without, plain=found)
    return found


class _Pairs:
    """Correlations of neighbours, gathered batch by batch in the order of the scan."""

    def __init__(self, rows: int, columns: int) -> None:
        self.shape = (rows, columns)
        self.found = np.full((4, rows * columns), np.nan, dtype=np.float32)
        self.by_chance: list[NDArray[np.float32]] = []
        # The patterns of the last row and one more: all that a new pattern has for neighbours before it.
        self.kept = np.empty((0, *SIZE), dtype=np.float32)

    def add(self, first: int, new: NDArray[np.float32]) -> None:
        """Take up the patterns from number `first` on."""
        columns = self.shape[1]
        window = np.concatenate([self.kept, new])
        start = first - len(self.kept)
        for k, (down, right) in enumerate(OFFSETS):
            there = np.arange(first, first + len(new))
            here = there - down * columns - right
            column = there % columns - right
            valid = (here >= 0) & (column >= 0) & (column < columns)
            here, there = here[valid], there[valid]
            self.found[k, here] = np.einsum("nij,nij->n", window[here - start], window[there - start])
        self.by_chance.append(_turned(window[-len(new) - 1 :]))
        self.kept = window[-(columns + 1) :]

    def similarity(self) -> Similarity:
        """Return what was found."""
        chance = np.concatenate(self.by_chance)
        middle = float(np.median(chance)) if chance.size else 0.0
        # 1.4826 makes a median deviation of normally distributed numbers their standard deviation.
        spread = float(1.4826 * np.median(np.abs(chance - middle))) if chance.size else 1.0
        return Similarity(self.found.reshape(4, *self.shape), (middle, spread))


def _shared(source: PatternSource) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the mean of patterns from all over a scan, of norm 1, and the correlations of pairs of them."""
    places = np.unique(np.linspace(0, len(source) - 1, min(_SAMPLE, len(source))).astype(np.int64))
    sample = _unit(preprocess([source[int(k)] for k in places], size=SIZE))
    sample = sample[sample.any(axis=(1, 2))]
    if len(sample) < 2:
        return np.zeros(SIZE, dtype=np.float32), np.empty(0, dtype=np.float32)
    flat = sample.reshape(len(sample), -1)
    products = flat @ flat.T
    return _unit(sample.mean(axis=0)[None])[0], products[np.triu_indices(len(sample), 1)]


def _unit(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale images to norm 1; blank ones stay 0."""
    norm = np.sqrt(np.einsum("nij,nij->n", images, images, dtype=np.float64))
    scale = np.where(norm > 0, norm, np.inf)[:, None, None]
    return np.asarray(images / scale, dtype=np.float32)


def _turned(images: NDArray[np.float32]) -> NDArray[np.float32]:
    """Correlate each image with the turned one before it, four ways: (4 (n - 1),). Blank ones are left out."""
    before, after = images[:-1], images[1:]
    ways = (before[:, ::-1, ::-1], before[:, ::-1], np.rot90(before, 1, (1, 2)), np.rot90(before, 3, (1, 2)))
    values = np.stack([np.einsum("nij,nij->n", way, after) for way in ways])
    shown = before.any(axis=(1, 2)) & after.any(axis=(1, 2))
    return np.asarray(values[:, shown].ravel(), dtype=np.float32)
