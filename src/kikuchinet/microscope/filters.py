"""Separable image filters in float32: Gaussian blur and resampling.

They run on one thread, release the GIL and give the same bytes every time, which libraries that share work
among threads do not promise.
"""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]


def gaussian_blur(images: Images, sigma_px: float, *, truncate: float = 3.5) -> Images:
    """Blur images with a Gaussian; the edge is mirrored.

    Parameters
    ----------
    images
        float32 (n, rows, columns).
    sigma_px
        Standard deviation in pixels. Nothing happens below 0.05.
    truncate
        Radius of the kernel in standard deviations.

    Returns
    -------
    numpy.ndarray
        float32 (n, rows, columns), a new array.
    """
    if sigma_px < 0.05:
        return images.copy()
    out = np.empty_like(images)
    _convolve_kernel(np.ascontiguousarray(images), gaussian_taps(sigma_px, truncate), out)
    return out


def gaussian_taps(sigma_px: float, truncate: float = 3.5) -> Images:
    """Return the taps of a sampled, normalised Gaussian, float32 (2·radius+1,)."""
    radius = max(1, int(truncate * sigma_px + 0.5))
    position = np.arange(-radius, radius + 1)
    taps = np.exp(-0.5 * (position / sigma_px) ** 2)
    return (taps / taps.sum()).astype(np.float32)


def resample(images: Images, shape: tuple[int, int]) -> Images:
    """Resize images: area averages where they shrink, linear interpolation where they grow.

    Parameters
    ----------
    images
        float32 (n, rows, columns).
    shape
        New rows and columns.

    Returns
    -------
    numpy.ndarray
        float32 (n, *shape). The input itself where the shape is already right.

    Notes
    -----
    Both keep the mean: pixels are small areas, and pixel centres lie at half-integers. An area average is a
    camera's binning, and so removes what would alias.
    """
    n, rows, columns = images.shape
    if (rows, columns) == tuple(shape):
        return images
    first_r, weights_r = _resampling_weights(rows, shape[0])
    first_c, weights_c = _resampling_weights(columns, shape[1])
    out = np.empty((n, *shape), dtype=np.float32)
    _resample_kernel(
        np.ascontiguousarray(images, dtype=np.float32), first_r, weights_r, first_c, weights_c, out
    )
    return out


@lru_cache(maxsize=64)
def _resampling_weights(old: int, new: int) -> tuple[NDArray[np.int64], Images]:
    """Return, for each new pixel, the first old pixel it takes from and the weights, (new,) and (new, k)."""
    ratio = old / new
    index = np.arange(new)
    if new < old:
        low, high = index * ratio, (index + 1) * ratio
        first = np.floor(low + 1e-9).astype(np.int64)
        count = int(np.max(np.ceil(high - 1e-9).astype(np.int64) - first))
        first = np.minimum(first, old - count)
        pixel = first[:, None] + np.arange(count)
        weights = np.minimum(pixel + 1, high[:, None]) - np.maximum(pixel, low[:, None])
        weights = np.clip(weights, 0.0, None)
    else:
        centre = np.clip((index + 0.5) * ratio - 0.5, 0.0, old - 1.0)
        first = np.minimum(np.floor(centre).astype(np.int64), max(old - 2, 0))
        fraction = centre - first
        weights = np.stack([1.0 - fraction, fraction], axis=1) if old > 1 else np.ones((new, 1))
    weights /= weights.sum(axis=1, keepdims=True)
    return first, weights.astype(np.float32)


@nb.njit(nogil=True, cache=True, fastmath=True)
def _convolve_kernel(images: Images, taps: Images, out: Images) -> None:
    n, rows, columns = images.shape
    radius = taps.size // 2
    padded = np.empty(columns + 2 * radius, dtype=np.float32)
    middle = np.empty((rows, columns), dtype=np.float32)
    for k in range(n):
        for i in range(rows):
            for j in range(columns):
                padded[radius + j] = images[k, i, j]
            for j in range(radius):
                # Mirrored about the pixel's outer edge; the modulus serves kernels wider than the image.
                padded[radius - 1 - j] = images[k, i, _mirror(-1 - j, columns)]
                padded[radius + columns + j] = images[k, i, _mirror(columns + j, columns)]
            for j in range(columns):
                middle[i, j] = np.float32(0.0)
            for t in range(taps.size):
                weight = taps[t]
                for j in range(columns):
                    middle[i, j] += weight * padded[t + j]
        for i in range(rows):
            for j in range(columns):
                out[k, i, j] = np.float32(0.0)
            for t in range(taps.size):
                weight = taps[t]
                source = _mirror(i + t - radius, rows)
                for j in range(columns):
                    out[k, i, j] += weight * middle[source, j]


@nb.njit(nogil=True, cache=True, inline="always")
def _mirror(index: int, size: int) -> int:
    index %= 2 * size
    return index if index < size else 2 * size - 1 - index


@nb.njit(nogil=True, cache=True, fastmath=True)
def _resample_kernel(
    images: Images,
    first_r: NDArray[np.int64],
    weights_r: Images,
    first_c: NDArray[np.int64],
    weights_c: Images,
    out: Images,
) -> None:
    n, _, columns = images.shape
    new_rows, new_columns = out.shape[1:]
    line = np.empty(columns, dtype=np.float32)
    for k in range(n):
        for i in range(new_rows):
            for j in range(columns):
                line[j] = np.float32(0.0)
            for t in range(weights_r.shape[1]):
                weight = weights_r[i, t]
                source = first_r[i] + t
                for j in range(columns):
                    line[j] += weight * images[k, source, j]
            for j in range(new_columns):
                total = np.float32(0.0)
                for t in range(weights_c.shape[1]):
                    total += weights_c[j, t] * line[first_c[j] + t]
                out[k, i, j] = total
