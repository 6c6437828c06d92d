"""Very smooth parts of images: Gaussian averages by a few cosine coefficients.

A Gaussian much wider than a pixel leaves only the lowest cosine coefficients of an image with mirrored
edges: 14 a side where its standard deviation is an eighth of the side. Working with those alone is exact to
rounding and costs a tenth of a filter.
"""

from __future__ import annotations

from functools import lru_cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]

#: Coefficients that a Gaussian leaves less than this of are dropped.
_NEGLIGIBLE = 1e-6


@lru_cache(maxsize=64)
def gaussian_basis(size: int, sigma_px: float) -> tuple[Images, Images]:
    """Return the cosine basis that a wide Gaussian leaves, and what it leaves of it.

    Parameters
    ----------
    size
        Number of pixels along this side.
    sigma_px
        Standard deviation of the Gaussian in pixels.

    Returns
    -------
    basis : numpy.ndarray
        float32 (k, size), orthonormal rows (DCT-II, mirrored about the edges).
    transfer : numpy.ndarray
        float32 (k,), the Gaussian's factor on each.
    """
    order = np.arange(size)
    transfer = np.exp(-0.5 * (np.pi * order * sigma_px / size) ** 2)
    order = order[transfer > _NEGLIGIBLE]
    basis = np.cos(np.pi * order[:, None] * (np.arange(size) + 0.5) / size)
    basis *= np.sqrt(np.where(order == 0, 1.0, 2.0) / size)[:, None]
    return basis.astype(np.float32), transfer[order].astype(np.float32)


@nb.njit(nogil=True, cache=True, fastmath=True)
def _gather(image: Images, basis: Images, half: Images) -> None:
    """Write basis @ image to `half`. Four lines at a time: each visit to a line of `half` does four products."""
    rows, columns = image.shape
    whole = rows - rows % 4
    half[:] = np.float32(0.0)
    for i in range(0, whole, 4):
        for a in range(basis.shape[0]):
            w0, w1, w2, w3 = basis[a, i], basis[a, i + 1], basis[a, i + 2], basis[a, i + 3]
            for j in range(columns):
                half[a, j] += (w0 * image[i, j] + w1 * image[i + 1, j]) + (
                    w2 * image[i + 2, j] + w3 * image[i + 3, j]
                )
    for i in range(whole, rows):
        for a in range(basis.shape[0]):
            for j in range(columns):
                half[a, j] += basis[a, i] * image[i, j]


@nb.njit(nogil=True, cache=True, fastmath=True)
def _scatter(half: Images, basis: Images, out: Images) -> None:
    """Write basisᵀ @ half to `out`, four lines of `half` at a time."""
    rows, columns = out.shape
    whole = basis.shape[0] - basis.shape[0] % 4
    for i in range(rows):
        for j in range(columns):
            out[i, j] = np.float32(0.0)
        for a in range(0, whole, 4):
            w0, w1, w2, w3 = basis[a, i], basis[a + 1, i], basis[a + 2, i], basis[a + 3, i]
            for j in range(columns):
                out[i, j] += (w0 * half[a, j] + w1 * half[a + 1, j]) + (
                    w2 * half[a + 2, j] + w3 * half[a + 3, j]
                )
        for a in range(whole, basis.shape[0]):
            for j in range(columns):
                out[i, j] += basis[a, i] * half[a, j]


@nb.njit(nogil=True, cache=True, fastmath=True)
def smooth_kernel(
    image: Images,
    basis_r: Images,
    transfer_r: Images,
    basis_c: Images,
    transfer_c: Images,
    passes: int,
    out: Images,
) -> None:
    """Write to `out` what `passes` rounds of removing a Gaussian average take from `image`.

    One pass leaves 1 - g of a coefficient, so p passes take 1 - (1 - g)^p; p = 1 is the Gaussian average itself.
    """
    columns = image.shape[1]
    kr, kc = basis_r.shape[0], basis_c.shape[0]
    half = np.empty((kr, columns), dtype=np.float32)
    # rows first: contiguous lines for SIMD
    _gather(image, basis_r, half)
    for a in range(kr):
        coefficients = np.empty(kc, dtype=np.float32)
        for b in range(kc):
            total = np.float32(0.0)
            for j in range(columns):
                total += half[a, j] * basis_c[b, j]
            kept = np.float32(1.0) - transfer_r[a] * transfer_c[b]
            left = np.float32(1.0)
            for _ in range(passes):
                left *= kept
            coefficients[b] = total * (np.float32(1.0) - left)
        for j in range(columns):
            half[a, j] = np.float32(0.0)
        for b in range(kc):
            weight = coefficients[b]
            for j in range(columns):
                half[a, j] += weight * basis_c[b, j]
    _scatter(half, basis_r, out)
