"""Pixel coordinates of a screen, and the scale that signals are put on.

The stages of the camera (`specimen`, `optics`, `detection`, `faults`, `processing`) share one convention: images are
float32 (n, rows, columns); positions and lengths that do not end in ``_px`` are fractions of the image's height (x: of
its width), from the top left corner.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Image = NDArray[np.float32]


def coordinates(shape: tuple[int, int]) -> tuple[Image, Image]:
    """Return pixel centres as fractions of height: y (rows, 1) and x (1, columns)."""
    rows, columns = shape
    y = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) / np.float32(rows)
    x = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) / np.float32(rows)
    return y[:, None], x[None, :]


def standardise(images: Images) -> Images:
    """Return images of mean 0 and standard deviation 1 each; a blank one becomes 0."""
    stack = np.ascontiguousarray(images, dtype=np.float32)
    out = np.empty(stack.shape, dtype=np.float32)
    _standardise_kernel(stack, out)
    return out


@nb.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _standardise_kernel(images: Images, out: Images) -> None:
    n, rows, columns = images.shape
    for k in range(n):
        # Lines are added up in float32, for SIMD, and sums of lines in float64; measured from the first pixel, so that a
        # blank image has no spread.
        first = images[k, 0, 0]
        total = np.float64(0.0)
        for i in range(rows):
            line = np.float32(0.0)
            for j in range(columns):
                line += images[k, i, j] - first
            total += line
        mean = first + np.float32(total / (rows * columns))
        squares = np.float64(0.0)
        for i in range(rows):
            line = np.float32(0.0)
            for j in range(columns):
                value = images[k, i, j] - mean
                out[k, i, j] = value
                line += value * value
            squares += line
        spread = np.sqrt(squares / (rows * columns))
        scale = np.float32(1.0 / spread) if spread > 0.0 else np.float32(0.0)
        for i in range(rows):
            for j in range(columns):
                out[k, i, j] *= scale
