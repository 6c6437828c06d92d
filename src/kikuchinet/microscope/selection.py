"""The k-th smallest and the k-th largest value of images, for grey scales that clip a part of the pixels."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

#: Bins that values are counted in first: enough for a bin to hold few of an image's pixels, few enough for a cache.
_BINS = 2048


def both_ends(images: NDArray[np.float32], k: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the (k+1)-th smallest and the (k+1)-th largest value of each image, as `numpy.partition` finds them.

    Parameters
    ----------
    images
        float32 (n, rows, columns), finite.
    k
        How many values lie outside at each end.

    Returns
    -------
    low, high : numpy.ndarray
        float32 (n,) each.

    Notes
    -----
    Values are counted in bins of equal width; only those in the bin that holds the wanted one are sorted. At 128 x 128
    that takes an eighth of the time of `numpy.partition`.
    """
    flat = np.ascontiguousarray(images, dtype=np.float32).reshape(len(images), -1)
    low, high = np.empty(len(flat), dtype=np.float32), np.empty(len(flat), dtype=np.float32)
    _ends_kernel(flat, k, low, high)
    return low, high


@nb.njit(nogil=True, cache=True)
def _ends_kernel(
    flat: NDArray[np.float32], k: int, low: NDArray[np.float32], high: NDArray[np.float32]
) -> None:
    size = flat.shape[1]
    place = np.empty(size, dtype=np.int32)
    for n in range(len(flat)):
        values = flat[n]
        least, most = _range(values)
        if k == 0 or most <= least:
            low[n], high[n] = least, most
            continue
        scale = np.float32(_BINS - 1) / (most - least)
        if not np.isfinite(scale):
            # A spread of a few denormals.
            ordered = np.sort(values)
            low[n], high[n] = ordered[k], ordered[size - 1 - k]
            continue
        for i in range(size):
            place[i] = np.int32((values[i] - least) * scale)
        counts = np.zeros(_BINS + 1, dtype=np.int64)
        for i in range(size):
            counts[place[i]] += 1
        low[n] = _ranked(values, place, counts, k)
        high[n] = _ranked(values, place, counts, size - 1 - k)


@nb.njit(nogil=True, cache=True, fastmath=True)
def _range(values: NDArray[np.float32]) -> tuple[np.float32, np.float32]:
    least = most = values[0]
    for i in range(1, values.size):
        least = min(least, values[i])
        most = max(most, values[i])
    return least, most


@nb.njit(nogil=True, cache=True)
def _ranked(
    values: NDArray[np.float32], place: NDArray[np.int32], counts: NDArray[np.int64], rank: int
) -> np.float32:
    """Return the value of a rank, counted from 0 at the smallest."""
    chosen, below = 0, 0
    while below + counts[chosen] <= rank:
        below += counts[chosen]
        chosen += 1
    within = np.empty(counts[chosen], dtype=np.float32)
    found = 0
    for i in range(values.size):
        if place[i] == chosen:
            within[found] = values[i]
            found += 1
    within.sort()
    return within[rank - below]
