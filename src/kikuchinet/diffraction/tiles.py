"""Bloch-wave intensities for tiles of neighbouring directions at once, for crystals with many beams.

Neighbouring directions share the potential and differ only in excitation errors. Over one short depth step the
two are split (Strang): half a step of free propagation, which is a phase per beam and direction, a whole step of
scattering by the potential, which is one matrix for the whole tile, and half a step of phases again. Nearly all
the work is then the product of that matrix with the waves of all directions of the tile.

Each direction keeps its own set of beams, so that its intensity does not depend on the tile it happens to lie in. The
others change sign at every step: what is scattered into them in one step is undone by the next. (Holding them at
zero instead would take away, step by step, what is scattered into them, a false absorption of first order in the step;
a phase of π has no effect up to second order, since the perturbation ½ cot(φ/2) of a step vanishes there.)

References
----------
.. [1] G. Strang, SIAM J. Numer. Anal. 5 (1968) 506: second-order splitting.
.. [2] J. M. Cowley, A. F. Moodie, Acta Cryst. 10 (1957) 609: multislice, the same splitting in real space.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.diffraction.bloch import (
    BeamSelection,
    _excitation_errors,
    _select,
    reflection_strengths,
)
from kikuchinet.diffraction.potential import CrystalPotential


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
def _step_matrix(a, factor):
    """exp(factor · a) in complex64: Taylor polynomial of degree 6 with three products, then squarings.

    The spectral norm of the scaled matrix is at most 0.6, so the remainder is 0.6^7 / 7! = 6e-6.
    """
    n = a.shape[0]
    x = (a * factor).astype(np.complex64)
    norm = 1.05 * _spectral_norm(x)
    squarings = 0
    while norm > 0.6:
        norm *= 0.5
        squarings += 1
    if squarings > 0:
        x = x * np.float32(0.5**squarings)
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
def _scale(waves, phases, out):
    n, m = waves.shape
    for i in range(n):
        for j in range(m):
            out[i, j] = waves[i, j] * phases[i, j]


@nb.njit(cache=True, fastmath=True)
def _add_overlaps(waves, scattered, weight, out):
    n, m = waves.shape
    for i in range(n):
        for j in range(m):
            out[j] += weight * (
                waves[i, j].real * scattered[i, j].real + waves[i, j].imag * scattered[i, j].imag
            )


@nb.njit(cache=True)
def _tile(
    directions,
    hkl,
    g,
    u,
    s_table,
    u_abs,
    extent,
    wavelength,
    selection,
    weights,
    sample,
    substeps,
    out,
    beams,
):
    total = hkl.shape[0]
    count = directions.shape[0]
    u0_abs = abs(u[extent[0], extent[1], extent[2]])
    errors = np.empty((count, total))
    taken = np.zeros((count, total), np.bool_)
    anywhere = np.zeros(total, np.bool_)
    for t in range(count):
        s = _excitation_errors(g, directions[t], wavelength)
        strong, _ = _select(
            s, u_abs, u0_abs, wavelength, selection[0], selection[0], selection[2], selection[3]
        )
        errors[t] = s
        for b in strong:
            taken[t, b] = True
            anywhere[b] = True
        beams[t] = strong.shape[0]
    union = np.flatnonzero(anywhere)
    n = union.shape[0]
    step = sample / substeps
    potential = np.empty((n, n), np.complex128)
    thermal = np.empty((n, n), np.complex64)
    for i in range(n):
        p = hkl[union[i]] + extent
        for j in range(n):
            q = hkl[union[j]]
            potential[i, j] = u[p[0] - q[0], p[1] - q[1], p[2] - q[2]]
            # S_gh = s(h - g) = conj(s(g - h))
            value = s_table[p[0] - q[0], p[1] - q[1], p[2] - q[2]]
            thermal[i, j] = np.complex64(value.conjugate())
        # The real part of U_0 is in the wavelength already.
        potential[i, i] -= potential[i, i].real
    scatter = _step_matrix(potential, 1j * np.pi * wavelength * step)
    half = np.empty((n, count), np.complex64)
    full = np.empty((n, count), np.complex64)
    waves = np.zeros((n, count), np.complex64)
    for i in range(n):
        for t in range(count):
            if taken[t, union[i]]:
                phase = np.pi * errors[t, union[i]] * step
                half[i, t] = np.complex64(np.exp(1j * phase))
                full[i, t] = np.complex64(np.exp(2j * phase))
            else:
                half[i, t] = np.complex64(0.0)
                full[i, t] = np.complex64(-1.0)
    for t in range(count):
        out[t] = weights[0] * s_table[extent[0], extent[1], extent[2]].real
        waves[0, t] = half[0, t]
    scattered = np.empty((n, count), np.complex64)
    seen = np.empty((n, count), np.complex64)
    overlaps = np.empty((n, count), np.complex64)
    for k in range(1, weights.shape[0]):
        for _ in range(substeps):
            np.dot(scatter, waves, scattered)
            _scale(scattered, full, waves)
        # `scattered` is half a step of free propagation before the sample.
        _scale(scattered, half, seen)
        np.dot(thermal, seen, overlaps)
        _add_overlaps(seen, overlaps, weights[k], out)
    return n


@nb.njit(cache=True, parallel=True, nogil=True)
def _all_tiles(
    starts, directions, hkl, g, u, s_table, u_abs, extent, wavelength, selection, weights, sample, substeps,
    out, beams,
):  # fmt: skip
    for i in nb.prange(starts.shape[0] - 1):
        a = starts[i]
        b = starts[i + 1]
        _tile(
            directions[a:b], hkl, g, u, s_table, u_abs, extent, wavelength, selection, weights, sample, substeps,
            out[a:b], beams[a:b],
        )  # fmt: skip


def tiled_intensities(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    tiles: NDArray[np.integer],
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
    substeps: int = 2,
    strengths: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Backscattered intensity along each direction, tile by tile.

    Parameters
    ----------
    potential
        The crystal's potential.
    directions
        Unit vectors from the sample to the detector, Cartesian crystal frame, (n, 3).
    tiles
        (n,) label of the tile each direction belongs to; directions of a tile should be close together.
    selection
        Which beams take part. Weak beams cannot be treated here: ``weak`` must not exceed ``strong``.
    weights
        Weight of each depth ``k · step_nm``, k = 0, 1, ...
    step_nm
        Depth step of `weights`.
    substeps
        Splitting steps per depth step.
    strengths
        What `reflection_strengths` gives, where the caller has it already.

    Returns
    -------
    intensities
        (n,) float64.
    beams
        (n,) int: number of beams of each direction.
    """
    if selection.weak > selection.strong:
        raise ValueError("the tiled solver has no Bethe perturbation: weak must not exceed strong")
    order = np.argsort(tiles, kind="stable")
    changes = np.flatnonzero(np.diff(np.asarray(tiles)[order])) + 1
    starts = np.concatenate([[0], changes, [len(order)]]).astype(np.int64)
    sorted_directions = np.ascontiguousarray(np.asarray(directions, dtype=np.float64)[order])
    out = np.zeros(len(order))
    beams = np.zeros(len(order), dtype=np.int64)
    _all_tiles(
        starts,
        sorted_directions,
        potential.hkl,
        potential.g,
        potential.u,
        potential.s,
        reflection_strengths(potential, selection) if strengths is None else strengths,
        potential.extent,
        potential.wavelength_nm,
        selection.numbers,
        np.asarray(weights, dtype=np.float64),
        step_nm,
        substeps,
        out,
        beams,
    )
    intensities = np.empty_like(out)
    counts = np.empty_like(beams)
    intensities[order] = out
    counts[order] = beams
    return intensities, counts
