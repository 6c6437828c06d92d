"""Bloch-wave intensities for tiles of neighbouring directions at once.

Neighbouring directions share the potential and differ only in excitation errors. For each tile

1. the beams that are strong for any of its directions are solved for, at the tile's centre: one propagator E of a depth
   step. Beams that are weak for all of them are folded in (Löwdin's partitioning): they bend the potential that the
   strong beams feel, as in Bethe's second-order theory, *and* they carry intensity to the atoms. The second part is
   what makes few beams enough: backscattering happens within some 5 pm of an atom, and a wave field is that sharp only
   with the hundreds of high-order beams that no direction brings near their Bragg angle. What the atoms see of the waves
   has few numbers (`emission`), so weak beams by the hundred cost little. Close to an atom the potential is deep, and the
   weak beams scatter into each other too; without that, Ni is at NCC 0.998 from the converged solution instead of
   0.9997. This needs a product of all pairs of weak beams, but it changes slowly with direction: it is worked out
   once for a *patch* of tiles.
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
from kikuchinet.diffraction.emission import emission_amplitudes, emission_pays
from kikuchinet.diffraction.potential import CrystalPotential
from kikuchinet.diffraction.propagation import depth_sum, exponential, split_depth_sums


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
def _centre(directions):
    """Mean direction, and the largest distance from it."""
    count = directions.shape[0]
    centre = np.zeros(3)
    for t in range(count):
        centre += directions[t]
    centre /= np.sqrt(np.sum(centre**2))
    radius = 0.0
    for t in range(count):
        radius = max(radius, np.sqrt(np.sum((directions[t] - centre) ** 2)))
    return centre, radius


@nb.njit(cache=True)
def _reach(g, radius):
    """How much an excitation error changes at most within a distance from a direction: about |g| times it."""
    return 1.1 * radius * np.sqrt(g[0] ** 2 + g[1] ** 2 + g[2] ** 2)


@nb.njit(cache=True)
def _within_reach(directions, g, strengths, u0, wavelength, selection):
    """Reflections that may take part for some of the directions, (n,), 0 first."""
    centre, radius = _centre(directions)
    found = np.empty(g.shape[0], np.int64)
    count = 0
    for b in range(g.shape[0]):
        _, far = _limits(strengths[b], u0, wavelength, selection)
        if b == 0 or abs(_error(g[b], centre, 1.0 / wavelength)) <= far + _reach(g[b], radius):
            found[count] = b
            count += 1
    return found[:count]


@nb.njit(cache=True)
def _choose(directions, candidates, g, strengths, u0, wavelength, selection):
    """Strong and weak beams of a tile among candidates, with excitation errors: (n,), (m,), (n, count), (m, count)."""
    count = directions.shape[0]
    centre, radius = _centre(directions)
    k = 1.0 / wavelength
    strong = np.empty(candidates.shape[0], np.int64)
    weak = np.empty(candidates.shape[0], np.int64)
    n = 0
    m = 0
    for b in candidates:
        near, far = _limits(strengths[b], u0, wavelength, selection)
        size = abs(_error(g[b], centre, k))
        found = b == 0
        if not found and size <= near + _reach(g[b], radius):
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
def _gather(table, flat, left, right, sign):
    """Values at all index differences sign · (left - right), (left, right) complex64.

    `table` is flattened; `flat` are the reflections' positions in it, counted from (0, 0, 0), which lies in its middle.
    """
    out = np.empty((left.shape[0], right.shape[0]), np.complex64)
    others = np.empty(right.shape[0], np.int64)
    for j in range(right.shape[0]):
        others[j] = sign * flat[right[j]]
    centre = table.shape[0] // 2
    for i in range(left.shape[0]):
        start = centre + sign * flat[left[i]]
        for j in range(right.shape[0]):
            # Never negative; an unsigned index needs no look at its sign.
            out[i, j] = table[np.uint64(start - others[j])]
    return out


@nb.njit(cache=True)
def _bounded_inverses(couplings, weak_errors, wavelength, u0):
    """-1/D of weak beams, (m,) complex64, D_w = 2 s_w/λ + i U'_0.

    1/D is averaged over the tile's directions, which also disarms a beam that passes its Bragg angle within the tile. And
    it is bounded, D* / (|D|² + 4 max_h |U_{w-h}|²), as the amplitude of two coupled beams is: a beam may be weak by its own
    U_w, near its Bragg angle, and yet be coupled strongly to another one. `couplings` is U_{w-h}, (m, n).
    """
    m, count = weak_errors.shape
    inverses = np.empty(m, np.complex64)
    for w in range(m):
        largest = np.max(couplings[w].real ** 2 + couplings[w].imag ** 2)
        inverse = 0.0j
        for d in range(count):
            real = 2.0 * weak_errors[w, d] / wavelength
            inverse += (real - 1j * u0.imag) / (real**2 + u0.imag**2 + 4.0 * largest)
        inverses[w] = np.complex64(-inverse / count)
    return inverses


@nb.njit(cache=True)
def _scattered_on(u, flat, strong, weak, weak_errors, wavelength, u0):
    """What weak beams, excited by strong ones, scatter into each other per strong amplitude: Σ_v U_{w-v} ψ_v, (m, n)."""
    follow = _gather(u, flat, weak, strong, 1)
    inverses = _bounded_inverses(follow, weak_errors, wavelength, u0)
    for w in range(weak.shape[0]):
        follow[w] *= inverses[w]
    among = _gather(u, flat, weak, weak, 1)
    for w in range(weak.shape[0]):
        among[w, w] = 0.0
    return np.dot(among, follow)


@nb.njit(cache=True)
def _followers(u, flat, strong, weak, weak_errors, wavelength, u0, scattered_on, strong_place, weak_place):
    """Amplitudes of weak beams per amplitude of strong ones, (m, n): ψ_w = -(Σ_h U_{w-h} ψ_h + Σ_v U_{w-v} ψ_v) / D_w.

    The second sum, over weak beams, is the patch's: row and column of each reflection in `scattered_on` stand in
    `weak_place` and `strong_place`, -1 for those it has not.
    """
    follow = _gather(u, flat, weak, strong, 1)
    inverses = _bounded_inverses(follow, weak_errors, wavelength, u0)
    for w in range(weak.shape[0]):
        row = weak_place[weak[w]]
        if row >= 0:
            for h in range(strong.shape[0]):
                follow[w, h] += scattered_on[row, strong_place[strong[h]]]
        follow[w] *= inverses[w]
    return follow


@nb.njit(cache=True)
def _source_matrix(s_table, flat, strong, weak, follow):
    """S among the strong beams, the weak ones folded in, (n, n)."""
    source = _gather(s_table, flat, strong, strong, -1)
    if weak.shape[0] > 0:
        cross = np.dot(_gather(s_table, flat, strong, weak, -1), follow)
        source += cross + np.conj(cross.T)
        among = np.dot(_gather(s_table, flat, weak, weak, -1), follow)
        source += np.dot(np.conj(follow.T).copy(), among)
    return source


@nb.njit(cache=True)
def _source_factor(amplitudes, strong, weak, follow):
    """F among the strong beams, the weak ones folded in, (rows, n)."""
    rows = amplitudes.shape[1]
    factor = np.empty((rows, strong.shape[0]), np.complex64)
    for i in range(strong.shape[0]):
        factor[:, i] = amplitudes[strong[i]]
    if weak.shape[0] > 0:
        chosen = np.empty((rows, weak.shape[0]), np.complex64)
        for i in range(weak.shape[0]):
            chosen[:, i] = amplitudes[weak[i]]
        factor += np.dot(chosen, follow)
    return factor


@nb.njit(cache=True)
def squares_are_cheaper(strong, weak, waves, rows):
    """Whether products with F (rows, n), folding included, take fewer multiplications than those with S (n, n)."""
    return rows * (weak + waves) < weak * (weak + 2 * strong) + waves * strong


@nb.njit(cache=True)
def _tile(
    directions, candidates, flat, g, u, s_table, amplitudes, strengths, wavelength, selection, weights, step,
    scattered_on, strong_place, weak_place, out, beams,
):  # fmt: skip
    count = directions.shape[0]
    u0 = u[u.shape[0] // 2]
    strong, weak, errors, weak_errors, centre = _choose(
        directions, candidates, g, strengths, abs(u0), wavelength, selection
    )
    n = strong.shape[0]
    a = _gather(u, flat, strong, strong, 1)
    middle = np.empty(n)
    for i in range(n):
        middle[i] = _error(g[strong[i]], centre, 1.0 / wavelength)
        # The real part of U_0 is in the wavelength already.
        a[i, i] += np.complex64(2.0 * middle[i] / wavelength - u0.real)
    follow = _followers(
        u, flat, strong, weak, weak_errors, wavelength, u0, scattered_on, strong_place, weak_place
    )
    if weak.shape[0] > 0:
        a += np.dot(_gather(u, flat, strong, weak, 1), follow)
    # As a sum of squares where that costs less to fold and to apply.
    squares = amplitudes.shape[0] > 0 and squares_are_cheaper(
        n, weak.shape[0], count * weights.shape[0], amplitudes.shape[1]
    )
    if squares:
        source = _source_factor(amplitudes, strong, weak, follow)
    else:
        source = _source_matrix(s_table, flat, strong, weak, follow)
    e = exponential(a, 1j * np.pi * wavelength * step)
    beams[:, 0] = n
    beams[:, 1] = weak.shape[0]
    if count == 1:
        out[0] = depth_sum(e, source, squares, weights)
        return
    # Half of a step's phase comes before the scattering and half after it.
    half = np.empty((n, count), np.complex64)
    for i in range(n):
        for d in range(count):
            half[i, d] = np.complex64(np.exp(1j * np.pi * (errors[i, d] - middle[i]) * step))
    split_depth_sums(e, source, squares, half, weights, out)


@nb.njit(cache=True)
def _patch(
    starts, directions, flat, g, u, s_table, amplitudes, strengths, wavelength, selection, weights, step,
    out, beams,
):  # fmt: skip
    u0 = u[u.shape[0] // 2]
    first, end = starts[0], starts[-1]
    inside = directions[first:end]
    candidates = _within_reach(inside, g, strengths, abs(u0), wavelength, selection)
    strong, weak, _, weak_errors, _ = _choose(
        inside, candidates, g, strengths, abs(u0), wavelength, selection
    )
    scattered_on = _scattered_on(u, flat, strong, weak, weak_errors, wavelength, u0)
    strong_place = np.full(g.shape[0], -1, np.int64)
    weak_place = np.full(g.shape[0], -1, np.int64)
    strong_place[strong] = np.arange(strong.shape[0])
    weak_place[weak] = np.arange(weak.shape[0])
    for i in range(starts.shape[0] - 1):
        a, b = starts[i], starts[i + 1]
        _tile(
            directions[a:b], candidates, flat, g, u, s_table, amplitudes, strengths, wavelength, selection,
            weights, step, scattered_on, strong_place, weak_place, out[a:b], beams[a:b],
        )  # fmt: skip


@nb.njit(cache=True, parallel=True, nogil=True)
def _all_patches(
    patches, starts, directions, flat, g, u, s_table, amplitudes, strengths, wavelength, selection, weights,
    step, out, beams,
):  # fmt: skip
    for i in nb.prange(patches.shape[0] - 1):
        _patch(
            starts[patches[i] : patches[i + 1] + 1], directions, flat, g, u, s_table, amplitudes, strengths,
            wavelength, selection, weights, step, out, beams,
        )  # fmt: skip


def _amplitudes(potential: CrystalPotential) -> NDArray[np.complex64]:
    if emission_pays(potential):
        return emission_amplitudes(potential)
    return np.empty((0, 0), dtype=np.complex64)


def tiled_intensities(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    tiles: NDArray[np.integer],
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
    strengths: NDArray[np.float64] | None = None,
    amplitudes: NDArray[np.complex64] | None = None,
    patches: NDArray[np.integer] | None = None,
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
    amplitudes
        What `emission_amplitudes` gives, likewise; without rows, S itself is used.
    patches
        (n,) label of the patch each direction belongs to. A patch is of whole tiles, and what weak beams scatter into each
        other is worked out once for it; by default each tile is one.

    Returns
    -------
    intensities
        (n,) float64.
    beams
        (n, 2) int: numbers of strong and of folded beams of each direction's tile.
    """
    groups = np.stack([np.asarray(tiles if patches is None else patches), np.asarray(tiles)])
    order = np.lexsort(groups[::-1])
    new_patch, new_tile = np.diff(groups[:, order]) != 0
    starts = np.concatenate([[0], np.flatnonzero(new_patch | new_tile) + 1, [len(order)]]).astype(np.int64)
    patch_starts = np.concatenate([[0], np.flatnonzero(new_patch) + 1, [len(order)]])
    sorted_directions = np.ascontiguousarray(np.asarray(directions, dtype=np.float64)[order])
    out = np.zeros(len(order))
    beams = np.zeros((len(order), 2), dtype=np.int64)
    shape = potential.u.shape
    _all_patches(
        np.searchsorted(starts, patch_starts),
        starts,
        sorted_directions,
        potential.hkl @ np.array([shape[1] * shape[2], shape[2], 1]),
        potential.g,
        potential.u.astype(np.complex64).reshape(-1),
        potential.s.astype(np.complex64).reshape(-1),
        _amplitudes(potential) if amplitudes is None else amplitudes,
        reflection_strengths(potential, selection) if strengths is None else strengths,
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
        inside = directions[starts[i] : starts[i + 1]]
        candidates = _within_reach(inside, g, strengths, u0, wavelength, selection)
        strong, weak, _, _, _ = _choose(inside, candidates, g, strengths, u0, wavelength, selection)
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
