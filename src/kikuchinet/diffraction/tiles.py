"""Bloch-wave intensities for tiles of neighbouring directions at once.

Neighbouring directions share the potential and differ only in excitation errors. For each tile

1. the beams that are strong for any of its directions are solved for, at the tile's centre: one propagator E of a depth
   step. Beams that are weak for all of them are folded in (Löwdin's partitioning): they bend the potential that the
   strong beams feel, as in Bethe's second-order theory, *and* they carry intensity to the atoms. The second part is
   what makes few beams enough: backscattering happens within some 5 pm of an atom, and a wave field is that sharp only
   with the hundreds of high-order beams that no direction brings near their Bragg angle.
2. each direction differs from the centre by a phase per beam and step, split off symmetrically (Strang). Only
   *differences* of excitation errors from the centre are split off, so the error is small.
A tile of one direction is the same calculation without splitting; powers of E then take several steps at once.

References
----------
.. [1] P.-O. Löwdin, J. Chem. Phys. 19 (1951) 1396: partitioning.
.. [2] C. J. Humphreys, Rep. Prog. Phys. 42 (1979) 1825, section 2: Bethe potentials, the first part of the folding.
.. [3] G. Strang, SIAM J. Numer. Anal. 5 (1968) 506: symmetric splitting.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.diffraction.bloch import BeamSelection, reflection_strengths
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
def _exponential(a, factor):
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
def _add_overlaps(waves, scattered, weights, out):
    """Add weight_j · Re(ψ_j† Tψ_j) of each column j to `out`."""
    n, m = waves.shape
    for i in range(n):
        for j in range(m):
            out[j] += weights[j] * (
                waves[i, j].real * scattered[i, j].real + waves[i, j].imag * scattered[i, j].imag
            )


@nb.njit(cache=True, fastmath=True)
def _multiply(factors, waves, out):
    n, m = waves.shape
    for i in range(n):
        for j in range(m):
            out[i, j] = factors[i, j] * waves[i, j]


@nb.njit(cache=True)
def _depth_sum(e, source, weights):
    """Σ_k w_k ψ_k† T ψ_k for one direction, ψ_k = E^k e_0; sixteen steps at once with E^16."""
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
    scattered = np.empty((n, block), np.complex64)
    for done in range(0, depth, block):
        if done > 0:
            waves = np.dot(power, waves)
        shares[:] = 0.0
        end = min(block, depth - done)
        shares[:end] = weights[done : done + end]
        np.dot(source, waves, scattered)
        _add_overlaps(waves, scattered, shares, total)
    return total.sum()


@nb.njit(cache=True)
def _split_depth_sums(e, source, half, weights, out):
    """Σ_k w_k ψ_k† T ψ_k for all directions, ψ_{k+1} = half · E (half · ψ_k)."""
    n, count = half.shape
    waves = np.zeros((n, count), np.complex64)
    waves[0] = 1.0
    shares = np.empty(count, np.float64)
    turned = np.empty((n, count), np.complex64)
    product = np.empty((n, count), np.complex64)
    for k in range(weights.shape[0]):
        np.dot(source, waves, product)
        shares[:] = weights[k]
        _add_overlaps(waves, product, shares, out)
        _multiply(half, waves, turned)
        np.dot(e, turned, product)
        _multiply(half, product, waves)


@nb.njit(cache=True, fastmath=True)
def _error(g, direction, k):
    """Excitation error along the direction's normal; see `bloch._excitation_errors`."""
    along = -(g[0] * direction[0] + g[1] * direction[1] + g[2] * direction[2])
    g2 = g[0] * g[0] + g[1] * g[1] + g[2] * g[2]
    return -(2.0 * k * along + g2) / (2.0 * (k + along))


@nb.njit(cache=True)
def _limits(strength, u0, wavelength, selection):
    """Largest |s| at which a reflection is strong, and at which it counts at all."""
    strong, weak, cutoff, forbidden, _, weak_cutoff = selection
    if strength <= 1e-4:  # forbidden, and judged by its excitation error alone
        return min(forbidden, strong * wavelength * u0), min(forbidden, weak * wavelength * u0)
    near = wavelength * min(strong * u0, cutoff * strength)
    return near, max(near, wavelength * min(weak * u0, weak_cutoff * strength))


@nb.njit(cache=True)
def _choose(directions, g, strengths, u0, wavelength, selection):
    """Strong and weak beams of a tile, with excitation errors: (n,), (m,), (n, count), (m, count)."""
    count = directions.shape[0]
    centre = np.zeros(3)
    for t in range(count):
        centre += directions[t]
    centre /= np.sqrt(np.sum(centre**2))
    radius = 0.0
    for t in range(count):
        radius = max(radius, np.sqrt(np.sum((directions[t] - centre) ** 2)))
    k = 1.0 / wavelength
    total = g.shape[0]
    strong = np.empty(total, np.int64)
    weak = np.empty(total, np.int64)
    n = 0
    m = 0
    for b in range(total):
        near, far = _limits(strengths[b], u0, wavelength, selection)
        size = abs(_error(g[b], centre, k))
        # Within the tile s changes by at most about |g| times its radius.
        reach = 1.1 * radius * np.sqrt(g[b, 0] ** 2 + g[b, 1] ** 2 + g[b, 2] ** 2)
        found = b == 0
        if not found and size <= near + reach:
            for t in range(count):
                if abs(_error(g[b], directions[t], k)) <= near:
                    found = True
                    break
        if found:
            strong[n] = b
            n += 1
        elif size <= far:
            weak[m] = b
            m += 1
    strong_errors = np.empty((n, count))
    weak_errors = np.empty((m, count))
    for i in range(n):
        for t in range(count):
            strong_errors[i, t] = _error(g[strong[i]], directions[t], k)
    for i in range(m):
        for t in range(count):
            weak_errors[i, t] = _error(g[weak[i]], directions[t], k)
    return strong[:n], weak[:m], strong_errors, weak_errors, centre


@nb.njit(cache=True)
def _gather(table, hkl, extent, left, right, sign):
    """Table of all index differences sign · (left - right), (left, right) complex64."""
    out = np.empty((left.shape[0], right.shape[0]), np.complex64)
    for i in range(left.shape[0]):
        p = hkl[left[i]]
        for j in range(right.shape[0]):
            q = hkl[right[j]]
            out[i, j] = table[
                extent[0] + sign * (p[0] - q[0]),
                extent[1] + sign * (p[1] - q[1]),
                extent[2] + sign * (p[2] - q[2]),
            ]
    return out


@nb.njit(cache=True)
def _fold(a, t, hkl, u, s_table, extent, strong, weak, weak_errors, wavelength, u0):
    """Fold the weak beams into the dynamical matrix and into the source matrix.

    A weak beam follows the strong ones, ψ_w = -Σ_h U_{w-h} ψ_h / D_w with D_w = 2 s_w/λ + i U'_0; 1/D is averaged over the
    tile's directions, which also disarms a beam that passes its Bragg angle within the tile.
    """
    m, count = weak_errors.shape
    follow = _gather(u, hkl, extent, weak, strong, 1)
    for w in range(m):
        inverse = 0.0j
        for d in range(count):
            inverse += 1.0 / (2.0 * weak_errors[w, d] / wavelength + 1j * u0.imag)
        follow[w] *= np.complex64(-inverse / count)
    a += np.dot(_gather(u, hkl, extent, strong, weak, 1), follow)
    cross = np.dot(_gather(s_table, hkl, extent, strong, weak, -1), follow)
    t += cross + np.conj(cross.T)
    t += np.dot(np.conj(follow.T).copy(), np.dot(_gather(s_table, hkl, extent, weak, weak, -1), follow))


@nb.njit(cache=True)
def _tile(
    directions, hkl, g, u, s_table, strengths, extent, wavelength, selection, weights, step, out, beams
):  # fmt: skip
    count = directions.shape[0]
    u0 = u[extent[0], extent[1], extent[2]]
    strong, weak, errors, weak_errors, centre = _choose(
        directions, g, strengths, abs(u0), wavelength, selection
    )
    n = strong.shape[0]
    a = _gather(u, hkl, extent, strong, strong, 1)
    source = _gather(s_table, hkl, extent, strong, strong, -1)
    middle = np.empty(n)
    for i in range(n):
        middle[i] = _error(g[strong[i]], centre, 1.0 / wavelength)
        # The real part of U_0 is in the wavelength already.
        a[i, i] += np.complex64(2.0 * middle[i] / wavelength - u0.real)
    if weak.shape[0] > 0:
        _fold(a, source, hkl, u, s_table, extent, strong, weak, weak_errors, wavelength, u0)
    e = _exponential(a, 1j * np.pi * wavelength * step)
    beams[:, 0] = n
    beams[:, 1] = weak.shape[0]
    if count == 1:
        out[0] = _depth_sum(e, source, weights)
        return
    # Half of a step's phase comes before the scattering and half after it.
    half = np.empty((n, count), np.complex64)
    for i in range(n):
        for d in range(count):
            half[i, d] = np.complex64(np.exp(1j * np.pi * (errors[i, d] - middle[i]) * step))
    _split_depth_sums(e, source, half, weights, out)


@nb.njit(cache=True, parallel=True, nogil=True)
def _all_tiles(
    starts, directions, hkl, g, u, s_table, strengths, extent, wavelength, selection, weights, step, out, beams
):  # fmt: skip
    for i in nb.prange(starts.shape[0] - 1):
        a = starts[i]
        b = starts[i + 1]
        _tile(
            directions[a:b], hkl, g, u, s_table, strengths, extent, wavelength, selection, weights, step,
            out[a:b], beams[a:b],
        )  # fmt: skip


def tiled_intensities(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    tiles: NDArray[np.integer],
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
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
        Which beams are solved for, and which are folded in. ``modulus_diagonal`` plays no part.
    weights
        Weight of each depth ``k · step_nm``, k = 0, 1, ...
    step_nm
        Depth step of `weights`.
    strengths
        What `reflection_strengths` gives, where the caller has it already.

    Returns
    -------
    intensities
        (n,) float64.
    beams
        (n, 2) int: numbers of strong and of folded beams of each direction's tile.
    """
    order = np.argsort(tiles, kind="stable")
    changes = np.flatnonzero(np.diff(np.asarray(tiles)[order])) + 1
    starts = np.concatenate([[0], changes, [len(order)]]).astype(np.int64)
    sorted_directions = np.ascontiguousarray(np.asarray(directions, dtype=np.float64)[order])
    out = np.zeros(len(order))
    beams = np.zeros((len(order), 2), dtype=np.int64)
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
        out,
        beams,
    )
    intensities = np.empty_like(out)
    counts = np.empty_like(beams)
    intensities[order] = out
    counts[order] = beams
    return intensities, counts


@nb.njit(cache=True)
def _counts(starts, directions, g, strengths, u0, wavelength, selection, out):
    for i in range(starts.shape[0] - 1):
        strong, weak, _, _, _ = _choose(
            directions[starts[i] : starts[i + 1]], g, strengths, u0, wavelength, selection
        )
        out[i, 0] = strong.shape[0]
        out[i, 1] = weak.shape[0]


def count_tile_beams(
    potential: CrystalPotential,
    tiles: list[NDArray[np.float64]],
    selection: BeamSelection,
    strengths: NDArray[np.float64],
) -> NDArray[np.int64]:
    """Numbers of strong and of folded beams of tiles, each given by its directions (n, 3); (tiles, 2) int."""
    out = np.zeros((len(tiles), 2), dtype=np.int64)
    starts = np.concatenate([[0], np.cumsum([len(tile) for tile in tiles])])
    directions = np.ascontiguousarray(np.concatenate(tiles), dtype=np.float64)
    _counts(
        starts,
        directions,
        potential.g,
        strengths,
        abs(potential.u_0),
        potential.wavelength_nm,
        selection.numbers,
        out,
    )
    return out
