"""What the vendor's software does to a frame before it is stored.

Conventions: `kikuchinet.microscope.grid`.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope.filters import gaussian_blur, resample
from kikuchinet.microscope.selection import both_ends

Images = NDArray[np.float32]
Image = NDArray[np.float32]


def remove_static(images: Images, background: Image, operation: str) -> Images:
    """Take off the static background: the screen's light averaged over many orientations.

    Parameters
    ----------
    images
        Brightness as measured.
    background
        (rows, columns), mean about 1.
    operation
        ``"divide"`` or ``"subtract"``. Division evens out the contrast and makes noise stronger where there is little
        light; subtraction leaves contrast and noise as they were. Both are in kikuchipy and in vendors' software.

    Returns
    -------
    numpy.ndarray
        Brightness about 1, or about 0.
    """
    if operation == "subtract":
        return images - background
    # A tenth of the mean: no software divides by the black of a shadow.
    return np.divide(images, np.maximum(background, np.float32(0.1)), dtype=np.float32)


def remove_dynamic(
    images: Images, width: float, operation: str = "subtract", lit: Image | None = None
) -> Images:
    """Take off the dynamic background: the pattern itself, blurred.

    Parameters
    ----------
    images
        Brightness.
    width
        Standard deviation of the Gaussian in heights; kikuchipy's default is an eighth of the width.
    operation
        ``"subtract"`` or ``"divide"``.
    lit
        (rows, columns) share of the screen that each pixel sees. The average is then taken over the screen alone: an
        average over the dark around it would leave a bright rim.

    Returns
    -------
    numpy.ndarray
        Brightness about 0, or about 1.

    Notes
    -----
    The average of a wide Gaussian has no detail: a quarter of the pixels hold it.
    """
    shape = (images.shape[1], images.shape[2])
    quarter = (max(3, shape[0] // 4), max(3, shape[1] // 4))

    def average(stack: Images) -> Images:
        return resample(gaussian_blur(resample(stack, quarter), width * quarter[0]), shape)

    smooth = average(images if lit is None else images * lit)
    if lit is not None:
        smooth /= np.maximum(average(lit[None]), np.float32(1e-3))
    if operation == "subtract":
        return images - smooth
    # Where an image has been brought to a mean of zero there is nothing to divide by; a tenth of its mean is a floor.
    floor = np.float32(0.1) * np.abs(smooth).mean(axis=(1, 2), keepdims=True) + np.float32(1e-6)
    return images / np.maximum(smooth, floor)


def stretch(images: Images, clip_fraction: float, *, from_zero: bool = False) -> Images:
    """Stretch brightness to 0..1 and clip the rest.

    Parameters
    ----------
    images
        Brightness on any scale.
    clip_fraction
        Part of the pixels that is clipped at each end. 0.005 on the measured Oxford pattern.
    from_zero
        Whether level 0 means no light, as in raw frames; else the darkest pixels are stretched down to it.

    Returns
    -------
    numpy.ndarray
        float32, 0 to 1; a blank image becomes 0.
    """
    n = len(images)
    flat = images.reshape(n, -1)
    low, high = both_ends(images, min(int(clip_fraction * flat.shape[1]), flat.shape[1] // 2))
    if from_zero:
        low = np.zeros_like(low)
    scale = np.where(high > low, 1 / np.where(high > low, high - low, 1), 0).astype(np.float32)
    levels = (flat - low[:, None]) * scale[:, None]
    np.clip(levels, 0, 1, out=levels)
    return levels.reshape(images.shape)


#: Few enough for a tile of 16 x 16 pixels to have some in each.
_BINS = 64


def equalise(images: Images, limit: float, tiles: int) -> Images:
    """Raise local contrast: contrast-limited adaptive histogram equalisation.

    Parameters
    ----------
    images
        Levels from 0 to 1.
    limit
        How many times a tile's contrast may grow, from 1: no bin of its histogram counts for more than this times the mean.
    tiles
        Number of tiles along the height; tiles are as good as square.

    Returns
    -------
    numpy.ndarray
        Levels from 0 to 1.

    Notes
    -----
    The histogram of each tile is cut at `limit` times its mean, what is cut off is spread evenly, and its running sum,
    linear within a bin, is the tile's grey scale; between tiles' middles scales are interpolated [1]_. scikit-image's
    `equalize_adapthist`, which kikuchipy calls, does the same with ``clip_limit = limit / nbins``.

    References
    ----------
    .. [1] K. Zuiderveld, Contrast limited adaptive histogram equalization, in Graphics Gems IV (1994) 474-485.
    """
    rows, columns = images.shape[1:]
    down = max(1, min(tiles, rows // 4))
    across = max(1, min(round(tiles * columns / rows), columns // 4))
    out = np.empty_like(images)
    _equalise_kernel(np.ascontiguousarray(images), np.float32(limit), down, across, out)
    return out


@nb.njit(nogil=True, cache=True)
def _equalise_kernel(images: Images, limit: np.float32, down: int, across: int, out: Images) -> None:
    n, rows, columns = images.shape
    scales = np.empty((down, across, _BINS + 1), dtype=np.float32)
    bins, zero, half = np.float32(_BINS), np.float32(0.0), np.float32(0.5)
    for k in range(n):
        for a in range(down):
            for b in range(across):
                _grey_scale(
                    images[k, a * rows // down : (a + 1) * rows // down],
                    b * columns // across,
                    (b + 1) * columns // across,
                    limit,
                    scales[a, b],
                )
        for i in range(rows):
            at_row = np.float32(i + half) * np.float32(down) / np.float32(rows) - half
            at_row = min(max(at_row, zero), np.float32(down - 1))
            a = min(int(at_row), max(down - 2, 0))
            below = min(a + 1, down - 1)
            wa = at_row - np.float32(a)
            for j in range(columns):
                at_column = np.float32(j + half) * np.float32(across) / np.float32(columns) - half
                at_column = min(max(at_column, zero), np.float32(across - 1))
                b = min(int(at_column), max(across - 2, 0))
                right = min(b + 1, across - 1)
                wb = at_column - np.float32(b)
                position = images[k, i, j] * bins
                level = min(int(position), _BINS - 1)
                part = position - np.float32(level)
                a_b, a_right = scales[a, b], scales[a, right]
                below_b, below_right = scales[below, b], scales[below, right]
                above = (1 - wb) * (a_b[level] + part * (a_b[level + 1] - a_b[level]))
                above += wb * (a_right[level] + part * (a_right[level + 1] - a_right[level]))
                under = (1 - wb) * (below_b[level] + part * (below_b[level + 1] - below_b[level]))
                under += wb * (below_right[level] + part * (below_right[level + 1] - below_right[level]))
                out[k, i, j] = (1 - wa) * above + wa * under


@nb.njit(nogil=True, cache=True, inline="always")
def _grey_scale(tile: Image, first: int, last: int, limit: np.float32, scale: Image) -> None:
    """Write the grey scale of the columns first to last, 0 to 1 at the bins' edges."""
    scale[:] = np.float32(0.0)
    for i in range(tile.shape[0]):
        for j in range(first, last):
            scale[min(int(tile[i, j] * np.float32(_BINS)), _BINS - 1) + 1] += np.float32(1.0)
    count = np.float32(tile.shape[0] * (last - first))
    most = limit * count / np.float32(_BINS)
    cut = np.float32(0.0)
    for level in range(1, _BINS + 1):
        if scale[level] > most:
            cut += scale[level] - most
            scale[level] = most
    for level in range(1, _BINS + 1):
        scale[level] = scale[level - 1] + (scale[level] + cut / np.float32(_BINS)) / count


def quantise(levels: Images, gamma: float, bits: int) -> Images:
    """Bend the grey scale and round it to whole levels.

    Parameters
    ----------
    levels
        0 to 1; changed in place.
    gamma
        Exponent.
    bits
        Bits per pixel.

    Returns
    -------
    numpy.ndarray
        float32 whole numbers from 0 to 2^bits - 1.
    """
    if gamma != 1.0:
        np.power(levels, np.float32(gamma), out=levels)
    levels *= np.float32(2**bits - 1)
    return np.rint(levels, out=levels)
