"""Waves in depth, compiled: the matrix of a depth step, and the intensity summed over depths."""

from __future__ import annotations

import numba as nb
import numpy as np


@nb.njit(cache=True)
def _spectral_norm(a):
    """Largest singular value of a nearly Hermitian matrix, by power iteration; a few per cent are enough here."""
    n = a.shape[0]
    vector = np.ones(n, np.complex64)
    norm = np.float32(0.0)
    for _ in range(10):
        vector = np.dot(a, vector)
        norm = np.sqrt(np.sum(vector.real**2 + vector.imag**2))
        vector = vector / norm
    return norm


@nb.njit(cache=True)
def exponential(a, factor):
    """exp(factor · a) in complex64: Taylor polynomial of degree 6 with three products, then squarings.

    The spectral norm of the scaled matrix is at most 0.6, so the remainder is 0.6^7 / 7! = 6e-6.
    """
    n = a.shape[0]
    norm = 1.05 * _spectral_norm(a) * abs(factor)
    squarings = 0
    while norm > 0.6 * 2.0**squarings:
        squarings += 1
    x = a * np.complex64(factor / 2.0**squarings)
    x2 = np.dot(x, x)
    x3 = np.dot(x2, x)
    e = np.empty_like(x)
    high = np.empty_like(x)
    for i in range(n):
        for j in range(n):
            e[i, j] = x[i, j] + np.float32(1 / 2) * x2[i, j]
            high[i, j] = (
                np.float32(1 / 24) * x[i, j] + np.float32(1 / 120) * x2[i, j] + np.float32(1 / 720) * x3[i, j]
            )
        e[i, i] += np.float32(1.0)
        high[i, i] += np.float32(1 / 6)
    e += np.dot(x3, high)
    for _ in range(squarings):
        e = np.dot(e, e)
    return e


@nb.njit(cache=True, fastmath=True)
def _add_squares(amplitudes, weights, out):
    """Add weight_j · Σ_i |a_ij|² of each column j to `out`."""
    n, m = amplitudes.shape
    for i in range(n):
        for j in range(m):
            out[j] += weights[j] * (amplitudes[i, j].real ** 2 + amplitudes[i, j].imag ** 2)


@nb.njit(cache=True, fastmath=True)
def _add_overlaps(waves, scattered, weights, out):
    """Add weight_j · Re(ψ_j† Tψ_j) of each column j to `out`."""
    n, m = waves.shape
    for i in range(n):
        for j in range(m):
            out[j] += weights[j] * (
                waves[i, j].real * scattered[i, j].real + waves[i, j].imag * scattered[i, j].imag
            )


@nb.njit(cache=True)
def _add_intensities(source, squares, waves, seen, weights, out):
    """Add weight_j ψ_j† S ψ_j to `out`; `source` is F with S = F†F if `squares`, else S itself; `seen` holds its product."""
    np.dot(source, waves, seen)
    if squares:
        _add_squares(seen, weights, out)
    else:
        _add_overlaps(waves, seen, weights, out)


@nb.njit(cache=True, fastmath=True)
def _multiply(factors, waves, out):
    n, m = waves.shape
    for i in range(n):
        for j in range(m):
            out[i, j] = factors[i, j] * waves[i, j]


@nb.njit(cache=True)
def depth_sum(e, source, squares, weights):
    """Σ_k w_k ψ_k† S ψ_k for one direction, ψ_k = E^k e_0; sixteen steps at once with E^16."""
    n = e.shape[0]
    depth = weights.shape[0]
    waves = np.zeros((n, 1), np.complex64)
    waves[0, 0] = 1.0
    power = e
    block = 1
    while block < 16 and block < depth:
        more = np.empty((n, 2 * block), np.complex64)
        more[:, :block] = waves
        more[:, block:] = np.dot(power, waves)
        waves = more
        power = np.dot(power, power)
        block *= 2
    total = np.zeros(block, np.float64)
    shares = np.zeros(block, np.float64)
    seen = np.empty((source.shape[0], block), np.complex64)
    for done in range(0, depth, block):
        if done > 0:
            waves = np.dot(power, waves)
        shares[:] = 0.0
        end = min(block, depth - done)
        shares[:end] = weights[done : done + end]
        _add_intensities(source, squares, waves, seen, shares, total)
    return total.sum()


@nb.njit(cache=True)
def split_depth_sums(e, source, squares, half, weights, out):
    """Σ_k w_k ψ_k† S ψ_k for all directions, ψ_{k+1} = half · E (half · ψ_k)."""
    n, count = half.shape
    waves = np.zeros((n, count), np.complex64)
    waves[0] = 1.0
    shares = np.empty(count, np.float64)
    turned = np.empty((n, count), np.complex64)
    product = np.empty((n, count), np.complex64)
    seen = np.empty((source.shape[0], count), np.complex64)
    for k in range(weights.shape[0]):
        shares[:] = weights[k]
        _add_intensities(source, squares, waves, seen, shares, out)
        _multiply(half, waves, turned)
        np.dot(e, turned, product)
        _multiply(half, product, waves)
