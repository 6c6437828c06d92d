"""The slow trend of an image: a polynomial fitted to the screen."""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]

#: Products of Legendre polynomials in y and x of total degree up to four.
_TERMS = 15


@nb.njit(nogil=True, cache=True)
def _legendre(x: float) -> tuple[float, float, float, float, float]:
    """Return the Legendre polynomials P0 to P4 at x."""
    x2 = x * x
    return 1.0, x, 1.5 * x2 - 0.5, (2.5 * x2 - 1.5) * x, (4.375 * x2 - 3.75) * x2 + 0.375


@nb.njit(nogil=True, cache=True)
def _fit(values: NDArray[np.float64], outside: NDArray[np.bool_], offset: float) -> NDArray[np.float64]:
    """Return the 15 coefficients of P_a(y) P_b(x), a + b <= 4, that fit the blocks on the screen best."""
    normal = np.zeros((_TERMS, _TERMS), dtype=np.float64)
    right = np.zeros(_TERMS, dtype=np.float64)
    design = np.empty(_TERMS, dtype=np.float64)
    blocks = values.shape[0]
    for i in range(blocks):
        py = _legendre((2.0 * i + 1.0) / blocks - 1.0)
        for j in range(blocks):
            if outside[i, j]:
                continue
            px = _legendre((2.0 * j + 1.0) / blocks - 1.0)
            k = 0
            for a in range(5):
                for b in range(5 - a):
                    design[k] = py[a] * px[b]
                    k += 1
            value = values[i, j] - offset
            for k in range(_TERMS):
                right[k] += design[k] * value
                for m in range(k + 1):
                    normal[k, m] += design[k] * design[m]
    for k in range(_TERMS):
        # The ridge only matters where a small screen leaves some terms undetermined.
        normal[k, k] += 1e-6 * blocks * blocks
        for m in range(k):
            normal[m, k] = normal[k, m]
    return np.linalg.solve(normal, right)  # type: ignore[return-value, unused-ignore]


@nb.njit(nogil=True, cache=True)
def remove_trend(image: Images, means: Images, outside: NDArray[np.bool_]) -> None:
    """Take the slow trend out of an image, in place.

    Where zero means no light, the trend is a factor: a polynomial of fourth degree is fitted to the logarithm of
    brightness, in which a Gaussian lobe is a parabola, and the image is divided. Elsewhere it is fitted to brightness
    and subtracted. Gaussian averages, which come next, mirror the image at its edges and cannot follow a slope
    there: without this, raw frames keep a dark rim.
    """
    rows, columns = image.shape
    factor = means.min() >= np.float32(0.0)
    values = means.astype(np.float64)
    if factor:
        least = 0.05 * np.median(means)
        if least <= 0.0:
            factor = False
        else:
            values = np.log(np.maximum(values, least))
    solution = _fit(values, outside, values.mean())
    along = np.empty((5, columns), dtype=np.float32)
    for j in range(columns):
        px = _legendre((2.0 * j + 1.0) / columns - 1.0)
        for b in range(5):
            along[b, j] = px[b]
    line = np.empty(5, dtype=np.float32)
    trend = np.empty(columns, dtype=np.float32)
    for i in range(rows):
        py = _legendre((2.0 * i + 1.0) / rows - 1.0)
        line[:] = np.float32(0.0)
        k = 0
        for a in range(5):
            for b in range(5 - a):
                line[b] += np.float32(solution[k] * py[a])
                k += 1
        trend[:] = np.float32(values.mean())
        for b in range(5):
            for j in range(columns):
                trend[j] += line[b] * along[b, j]
        if factor:
            for j in range(columns):
                image[i, j] = image[i, j] * np.exp(-trend[j]) - np.float32(1.0)
        else:
            for j in range(columns):
                image[i, j] -= trend[j]
