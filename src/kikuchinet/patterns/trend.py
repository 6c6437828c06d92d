"""The slow trend of an image: a polynomial fitted to the screen."""

from __future__ import annotations

import math
from functools import lru_cache

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
def _design(blocks: int) -> NDArray[np.float64]:
    """Return the 15 products P_a(y) P_b(x), a + b <= 4, at the centres of blocks, (blocks², 15)."""
    design = np.empty((blocks * blocks, _TERMS), dtype=np.float64)
    for i in range(blocks):
        py = _legendre((2.0 * i + 1.0) / blocks - 1.0)
        for j in range(blocks):
            px = _legendre((2.0 * j + 1.0) / blocks - 1.0)
            k = 0
            for a in range(5):
                for b in range(5 - a):
                    design[i * blocks + j, k] = py[a] * px[b]
                    k += 1
    return design


@lru_cache(maxsize=4)
def trend_fit(blocks: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return what fitting blocks takes: the polynomials (blocks², 15), their products (15, 15), and these inverted.

    Without any surround the products are the same for every image.
    """
    design = _design(blocks)
    # The ridge only matters where a small screen leaves some terms undetermined.
    normal = design.T @ design + 1e-6 * blocks * blocks * np.eye(_TERMS)
    return design, normal, np.linalg.inv(normal).astype(np.float64)


@nb.njit(nogil=True, cache=True, fastmath=True)
def _fit(
    values: NDArray[np.float64],
    outside: NDArray[np.bool_],
    offset: float,
    design: NDArray[np.float64],
    products: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return the 15 coefficients of P_a(y) P_b(x), a + b <= 4, that fit the blocks on the screen best."""
    right = np.zeros(_TERMS, dtype=np.float64)
    normal = products.copy()
    flat, covered = values.ravel(), outside.ravel()
    whole = True
    for n in range(flat.size):
        if covered[n]:
            whole = False
            for k in range(_TERMS):
                for m in range(_TERMS):
                    normal[k, m] -= design[n, k] * design[n, m]
        else:
            value = flat[n] - offset
            for k in range(_TERMS):
                right[k] += design[n, k] * value
    if whole:
        return inverse @ right  # type: ignore[no-any-return, unused-ignore]
    return np.linalg.solve(normal, right)  # type: ignore[return-value, unused-ignore]


# exp(x) = 2^k 2^f with |f| <= 1/2; coefficients of 2^f are ln(2)^n / n!, the sixth leaves 2e-7 of the value.
_LOG2_E = np.float32(1.4426950408889634)
_E1, _E2, _E3, _E4, _E5, _E6 = (np.float32(np.log(2.0) ** n / math.factorial(n)) for n in range(1, 7))


@nb.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _exp_line(x: Images, power: NDArray[np.int32], out: Images) -> None:
    """Write exp(x) to `out`, to 3e-7 of its value; `power` is working space. Free of branches and calls, for SIMD."""
    for j in range(x.size):
        y = min(max(x[j] * _LOG2_E, np.float32(-126.0)), np.float32(126.0))
        k = np.floor(y + np.float32(0.5))
        f = y - k
        value = _E5 + f * _E6
        value = _E4 + f * value
        value = _E3 + f * value
        value = _E2 + f * value
        value = _E1 + f * value
        out[j] = np.float32(1.0) + f * value
        power[j] = (np.int32(k) + np.int32(127)) << np.int32(23)
    scale = power.view(np.float32)
    for j in range(x.size):
        out[j] *= scale[j]


@nb.njit(nogil=True, cache=True)
def remove_trend(
    image: Images,
    means: Images,
    outside: NDArray[np.bool_],
    design: NDArray[np.float64],
    products: NDArray[np.float64],
    inverse: NDArray[np.float64],
) -> None:
    """Take the slow trend out of an image, in place; the last three are those of `trend_fit`.

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
    level = values.mean()
    solution = _fit(values, outside, level, design, products, inverse)
    along = np.empty((5, columns), dtype=np.float32)
    for j in range(columns):
        px = _legendre((2.0 * j + 1.0) / columns - 1.0)
        for b in range(5):
            along[b, j] = px[b]
    line = np.empty(5, dtype=np.float32)
    trend, factors = np.empty(columns, dtype=np.float32), np.empty(columns, dtype=np.float32)
    power = np.empty(columns, dtype=np.int32)
    for i in range(rows):
        py = _legendre((2.0 * i + 1.0) / rows - 1.0)
        line[:] = np.float32(0.0)
        k = 0
        for a in range(5):
            for b in range(5 - a):
                line[b] += np.float32(solution[k] * py[a])
                k += 1
        trend[:] = np.float32(level)
        for b in range(5):
            for j in range(columns):
                trend[j] += line[b] * along[b, j]
        if factor:
            for j in range(columns):
                trend[j] = -trend[j]
            _exp_line(trend, power, factors)
            for j in range(columns):
                image[i, j] = image[i, j] * factors[j] - np.float32(1.0)
        else:
            for j in range(columns):
                image[i, j] -= trend[j]
