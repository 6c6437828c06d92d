"""Exact Bloch-wave intensities, one direction at a time, compiled.

For each direction the strong beams form a dynamical matrix A (weak beams enter by the Bethe perturbation); the wave at depth
z is ``ψ(z) = exp(iπλ A z) ψ(0)`` and the pattern is ``Σ_z w(z) ψ†(z) S ψ(z)``. Instead of solving an eigenproblem, the waves
at all depths are one Chebyshev expansion, see `kikuchinet.diffraction.chebyshev`. Beams are chosen in float64, the rest is
float32.

References
----------
.. [1] C. J. Humphreys, Rep. Prog. Phys. 42 (1979) 1825: dynamical theory and the Bethe perturbation.
.. [2] P. Callahan, M. De Graef, Microsc. Microanal. 19 (2013) 1255: depth-integrated master patterns.
.. [3] A. Wang, M. De Graef, Ultramicroscopy 160 (2016) 35: beam selection by |s_g| / (λ |U_g|).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.diffraction.chebyshev import real_bounds, waves
from kikuchinet.diffraction.potential import CrystalPotential
from kikuchinet.diffraction.simd import LANES, add_product, pack

_FORBIDDEN = 1e-4
"""|U_g| in 1/nm² below which a reflection counts as forbidden (rounding is 1e-12, the weakest real ones 1e-3)."""


@dataclass(frozen=True)
class BeamSelection:
    """Which reflections take part for one direction, by ``r = |s_g| / (λ |U|)``.

    Attributes
    ----------
    strong
        Beams with |s_g| <= strong · λ|U_0| are solved for.
    weak
        Beams up to weak · λ|U_0| enter by perturbation; `weak` = `strong` means none.
    cutoff
        A reflection with |s_g| > cutoff · λ|U_g| is left out.
    forbidden_s_per_nm
        A forbidden reflection takes part while |s_g| is below this, 1/nm: double diffraction feeds it. ``None`` asks
        instead how strongly it is fed, see :func:`reflection_strengths`.
    modulus_diagonal
        Perturb the diagonal by |U_{g-w}|² as EMsoft does instead of the product U_{g-w} U_{w-g}, which also
        carries the weak beams' absorption. For comparison with EMsoft only.
    weak_cutoff
        Beams with |s_g| between `cutoff` and weak_cutoff · λ|U_g| still count as weak ones, where weak beams are folded in
        (`tiled_intensities`). ``None`` means the same as `cutoff`.
    """

    strong: float
    weak: float
    cutoff: float
    forbidden_s_per_nm: float | None = 1.0
    modulus_diagonal: bool = False
    weak_cutoff: float | None = None

    def scaled(self, factor: float) -> BeamSelection:
        """Return the same with `cutoff` multiplied by a factor, and `weak_cutoff` by its root.

        Weak beams are the cheaper ones, and lose more accuracy when they are left out.
        """
        weak_cutoff = None if self.weak_cutoff is None else factor**0.5 * self.weak_cutoff
        return replace(self, cutoff=factor * self.cutoff, weak_cutoff=weak_cutoff)

    @property
    def numbers(self) -> tuple[float, float, float, float, float, float]:
        """The same as plain numbers, for compiled code."""
        forbidden = 0.0 if self.forbidden_s_per_nm is None else self.forbidden_s_per_nm
        weak_cutoff = self.cutoff if self.weak_cutoff is None else self.weak_cutoff
        return self.strong, self.weak, self.cutoff, forbidden, float(self.modulus_diagonal), weak_cutoff


_BOUND_SHARE = np.float32(0.75)
"""Im c over the absorption of the wave bound most tightly. Between a half and one no digits are lost."""
_FEEDERS = 200
"""Strong reflections tried as the first half of a double diffraction."""
_FEEDING_S_PER_NM = 0.05
"""Excitation error of the intermediate beam at which feeding is judged: near its Bragg angle."""


def reflection_strengths(potential: CrystalPotential, selection: BeamSelection) -> NDArray[np.float64]:
    """Strength |U| of each reflection by which the cut-off judges it, 1/nm².

    Parameters
    ----------
    potential
        The crystal's potential.
    selection
        Where its ``forbidden_s_per_nm`` is a number, the strength is |U_g|, and forbidden reflections are judged by
        that number.

    Returns
    -------
    numpy.ndarray
        (n,) for the potential's reflections. With ``forbidden_s_per_nm=None`` it is at least the second-order coupling
        of double diffraction, ``max_h λ |U_h| |U_{g-h}| / 2s`` at s = 0.05 /nm (Humphreys 1979, section 2.6). A glide
        absence between strong reflections is fed strongly and stays; the thousands of accidental absences of a
        large cell, fed by weak superlattice reflections only, go.
    """
    direct: NDArray[np.float64] = np.abs(potential.at(potential.u, potential.hkl))
    if selection.forbidden_s_per_nm is not None:
        return direct
    feeders = np.argsort(direct[1:])[::-1][:_FEEDERS] + 1
    fed = np.zeros_like(direct)
    for h in feeders:
        second = np.abs(potential.at(potential.u, potential.hkl - potential.hkl[h]))
        # h itself would be fed by U_0, which scatters nowhere.
        second[h] = 0.0
        np.maximum(fed, direct[h] * second, out=fed)
    return np.maximum(direct, fed * potential.wavelength_nm / (2.0 * _FEEDING_S_PER_NM))


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _excitation_errors(g, squared, direction, wavelength):
    """s_g = -g·(2k + g) / (2 (k + g)·n) along the direction's normal; n and k are antiparallel to it."""
    n = squared.shape[0]
    s = np.empty(n)
    k = 1.0 / wavelength
    x, y, z = g[0], g[1], g[2]
    for i in range(n):
        along = -(x[i] * direction[0] + y[i] * direction[1] + z[i] * direction[2])
        s[i] = -(2.0 * k * along + squared[i]) / (2.0 * (k + along))
    return s


@nb.njit(cache=True)
def _select(s, strong_limit, weak_limit):
    """Indices of strong and of weak beams, whose |s_g| is within their limits."""
    n = s.shape[0]
    strong_beams = np.empty(n, np.int64)
    weak_beams = np.empty(n, np.int64)
    n_strong = 0
    n_weak = 0
    for i in range(n):
        size = abs(s[i])
        if size <= strong_limit[i]:
            strong_beams[n_strong] = i
            n_strong += 1
        elif size <= weak_limit[i]:
            weak_beams[n_weak] = i
            n_weak += 1
    return strong_beams[:n_strong], weak_beams[:n_weak]


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _potential_columns(u, centre, to, origin):
    """U_{g-h} from beams h to beams g, (h, 2, padded) float32: real and imaginary part of each h's column.

    Parameters
    ----------
    u, centre
        As in `FlatTables`.
    to, origin
        Positions of the beams g and h there.
    """
    padded = (to.shape[0] + LANES - 1) // LANES * LANES
    columns = np.zeros((origin.shape[0], 2, padded), np.float32)
    for h in range(origin.shape[0]):
        row = centre - origin[h]
        for g in range(to.shape[0]):
            # An index without sign, so that no code for negative ones is made.
            value = u[np.uintp(row + to[g])]
            columns[h, 0, g] = value.real
            columns[h, 1, g] = value.imag
    return columns


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _perturb(columns, u, centre, places, weak_places, halves, modulus_diagonal):
    """Subtract Σ_w U_{g-w} U_{w-h} λ / 2s_w, Bethe's perturbation, from columns h; `halves` are λ / 2s_w.

    With `modulus_diagonal` the diagonal is diminished by Σ_w |U_{g-w}|² λ / 2s_w instead.
    """
    m = weak_places.shape[0]
    from_weak = _potential_columns(u, centre, places, weak_places)
    packed = pack(from_weak)
    vector = np.empty((2, m), np.float32)
    for h in range(places.shape[0]):
        row = centre - places[h]
        before = columns[h, 0, h], columns[h, 1, h]
        moduli = np.float32(0.0)
        for w in range(m):
            value = u[np.uintp(row + weak_places[w])]
            vector[0, w] = value.real * halves[w]
            vector[1, w] = value.imag * halves[w]
            moduli += halves[w] * (from_weak[w, 0, h] ** 2 + from_weak[w, 1, h] ** 2)
        add_product(packed, vector, columns[h], np.float32(1.0), np.float32(-1.0), columns[h])
        if modulus_diagonal:
            columns[h, 0, h] = before[0] - moduli
            columns[h, 1, h] = before[1]


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _centre(columns):
    """Turn A into i(A - c), where c lies amid the spectrum; return half the spectrum's width, and Im c.

    The spectrum's real parts are bounded safely. Im c is a good part of the absorption of the wave that is bound most
    tightly, or the mean absorption, where that is larger.
    """
    n, _, padded = columns.shape
    moduli = np.empty((n, padded), np.float32)
    diagonal = np.zeros(padded, np.float32)
    for i in range(n):
        re, im = columns[i, 0], columns[i, 1]
        out = moduli[i]
        for j in range(padded):
            out[j] = math.sqrt(re[j] * re[j] + im[j] * im[j])
        diagonal[i] = re[i]
        out[i] = np.float32(0.0)
    low, high, bound = real_bounds(moduli, diagonal, n)
    absorption = np.float32(0.0)
    square = np.float32(0.0)
    for i in range(n):
        im = columns[i, 1]
        part = np.float32(0.0)
        for j in range(padded):
            part += im[j] * bound[j]
        absorption += part * bound[i]
        square += bound[i] * bound[i]
    middle = np.float32(0.5) * (low + high)
    centre = max(_BOUND_SHARE * absorption / square, columns[0, 1, 0])
    for i in range(n):
        columns[i, 0, i] -= middle
        columns[i, 1, i] -= centre
        for j in range(padded):
            columns[i, 0, j], columns[i, 1, j] = -columns[i, 1, j], columns[i, 0, j]
    # Bounds are float32 sums; and an empty interval would be divided by.
    return max(np.float32(0.501) * (high - low), np.float32(1e-3)), centre


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _source_sum(psi, weights, s, centre, places):
    """Σ_z w(z) ψ†(z) S ψ(z), with the Hermitian S_gh = s(h - g)."""
    n = places.shape[0]
    padded = psi.shape[2]
    depths = weights.shape[0]
    flat = psi[:depths].reshape(depths, 2 * padded)
    weighted = np.empty_like(flat)
    for k in range(depths):
        for j in range(2 * padded):
            weighted[k, j] = weights[k] * flat[k, j]
    # Σ w ψ_g* ψ_h, in four parts.
    density = np.dot(weighted.T, flat)
    total = 0.0
    for i in range(n):
        re = density[i]
        im = density[padded + i]
        row = centre - places[i]
        total += 0.5 * s[np.uintp(centre)].real * (re[i] + im[padded + i])
        part = np.float32(0.0)
        for j in range(i + 1, n):
            value = s[np.uintp(row + places[j])]
            part += value.real * (re[j] + im[padded + j]) - value.imag * (re[padded + j] - im[j])
        total += part
    return 2.0 * total


@nb.njit(cache=True, fastmath=True, error_model="numpy")
def _one_direction(
    direction, g, squared, position, centre, u, s_table, limits, wavelength, modulus_diagonal, weights, step
):
    s = _excitation_errors(g, squared, direction, wavelength)
    beams, weak = _select(s, limits[0], limits[1])
    n = beams.shape[0]
    m = weak.shape[0]
    places = np.empty(n, np.int64)
    for i in range(n):
        places[i] = position[beams[i]]
    columns = _potential_columns(u, centre, places, places)
    if m > 0:
        weak_places = np.empty(m, np.int64)
        halves = np.empty(m, np.float32)
        for w in range(m):
            weak_places[w] = position[weak[w]]
            halves[w] = 0.5 * wavelength / s[weak[w]]
        _perturb(columns, u, centre, places, weak_places, halves, modulus_diagonal)
    # The real part of U_0 is in the wavelength already; only its absorption stays on the diagonal.
    inner = u[np.uintp(centre)].real
    for i in range(n):
        columns[i, 0, i] += 2.0 * s[beams[i]] / wavelength - inner
    radius, decay = _centre(columns)
    psi = waves(columns, radius, decay, np.pi * wavelength * step, weights.shape[0])
    return _source_sum(psi, weights, s_table, centre, places), n, m


@nb.njit(cache=True, parallel=True, nogil=True)
def _all_directions(
    directions,
    g,
    squared,
    position,
    centre,
    u,
    s_table,
    limits,
    wavelength,
    modulus_diagonal,
    weights,
    step,
    out,
    beams,
):
    for i in nb.prange(directions.shape[0]):
        value, n, m = _one_direction(
            directions[i],
            g,
            squared,
            position,
            centre,
            u,
            s_table,
            limits,
            wavelength,
            modulus_diagonal,
            weights,
            step,
        )
        out[i] = value
        beams[i, 0] = n
        beams[i, 1] = m


def _limits(
    potential: CrystalPotential, selection: BeamSelection, strengths: NDArray[np.float64] | None
) -> NDArray[np.float64]:
    """Largest |s_g| at which each reflection is a strong beam, and at which it is a beam at all, (2, n), 1/nm."""
    if strengths is None:
        strengths = reflection_strengths(potential, selection)
    strong, weak, cutoff, forbidden, _, _ = selection.numbers
    unit = potential.wavelength_nm * abs(potential.u_0)
    alone = np.where(strengths > _FORBIDDEN, cutoff * potential.wavelength_nm * strengths, forbidden)
    return np.stack([np.minimum(alone, strong * unit), np.minimum(alone, weak * unit)])


def exact_intensities(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
    strengths: NDArray[np.float64] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Backscattered intensity that leaves along each direction.

    Parameters
    ----------
    potential
        The crystal's potential.
    directions
        Unit vectors from the sample to the detector, Cartesian crystal frame, (n, 3). By reciprocity the wave solved
        for travels the other way.
    selection
        Which beams take part.
    weights
        Weight of each depth ``k · step_nm``, k = 0, 1, ...
    step_nm
        Depth step.
    strengths
        What :func:`reflection_strengths` gives, where the caller has it already.

    Returns
    -------
    intensities
        (n,) float64.
    beams
        (n, 2) int: numbers of strong and of weak beams.
    """
    directions = np.ascontiguousarray(directions, dtype=np.float64)
    out = np.empty(len(directions))
    beams = np.empty((len(directions), 2), dtype=np.int64)
    tables = potential.flat
    _all_directions(
        directions,
        tables.g,
        tables.squared,
        tables.position,
        tables.centre,
        tables.u,
        tables.s,
        _limits(potential, selection, strengths),
        potential.wavelength_nm,
        selection.modulus_diagonal,
        np.asarray(weights, dtype=np.float32),
        step_nm,
        out,
        beams,
    )
    return out, beams


@nb.njit(cache=True)
def _count(directions, g, squared, limits, wavelength):
    counts = np.empty(directions.shape[0], np.int64)
    for i in range(directions.shape[0]):
        s = _excitation_errors(g, squared, directions[i], wavelength)
        counts[i] = _select(s, limits[0], limits[1])[0].shape[0]
    return counts


def count_beams(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    selection: BeamSelection,
    strengths: NDArray[np.float64] | None = None,
) -> NDArray[np.int64]:
    """Number of strong beams along each direction, (n,) int, without solving anything."""
    counts: NDArray[np.int64] = _count(*_counting_arguments(potential, directions, selection, strengths))
    return counts


def _counting_arguments(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    selection: BeamSelection,
    strengths: NDArray[np.float64] | None = None,
) -> tuple[object, ...]:
    return (
        np.ascontiguousarray(directions, dtype=np.float64),
        potential.flat.g,
        potential.flat.squared,
        _limits(potential, selection, strengths),
        potential.wavelength_nm,
    )


@nb.njit(cache=True)
def _count_union(directions, g, squared, limits, wavelength):
    anywhere = np.zeros(squared.shape[0], np.bool_)
    for i in range(directions.shape[0]):
        s = _excitation_errors(g, squared, directions[i], wavelength)
        anywhere[_select(s, limits[0], limits[1])[0]] = True
    return anywhere.sum()


def count_union(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    selection: BeamSelection,
    strengths: NDArray[np.float64] | None = None,
) -> int:
    """Number of strong beams that any of the directions (n, 3) has."""
    return int(_count_union(*_counting_arguments(potential, directions, selection, strengths)))
