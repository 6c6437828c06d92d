"""Exact Bloch-wave intensities, one direction at a time, compiled.

For each direction the strong beams form a dynamical matrix A (weak beams enter by the Bethe perturbation); the wave at depth
z is ``ψ(z) = exp(iπλ A z) ψ(0)`` and the pattern is ``Σ_z w(z) ψ†(z) S ψ(z)``. Instead of solving an eigenproblem, the
propagator of one depth step is computed as a matrix exponential and applied again and again.

References
----------
.. [1] C. J. Humphreys, Rep. Prog. Phys. 42 (1979) 1825: dynamical theory and the Bethe perturbation.
.. [2] P. Callahan, M. De Graef, Microsc. Microanal. 19 (2013) 1255: depth-integrated master patterns.
.. [3] A. Wang, M. De Graef, Ultramicroscopy 160 (2016) 35: beam selection by |s_g| / (λ |U_g|).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.diffraction.potential import CrystalPotential

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


@nb.njit(cache=True, fastmath=True)
def _excitation_errors(g, direction, wavelength):
    """s_g = -g·(2k + g) / (2 (k + g)·n) along the direction's normal; n and k are antiparallel to it."""
    n = g.shape[0]
    s = np.empty(n)
    k = 1.0 / wavelength
    for i in range(n):
        along = -(g[i, 0] * direction[0] + g[i, 1] * direction[1] + g[i, 2] * direction[2])
        g2 = g[i, 0] ** 2 + g[i, 1] ** 2 + g[i, 2] ** 2
        s[i] = -(2.0 * k * along + g2) / (2.0 * (k + along))
    return s


@nb.njit(cache=True)
def _select(s, u_abs, u0_abs, wavelength, strong, weak, cutoff, forbidden_s):
    n = s.shape[0]
    strong_beams = np.empty(n, np.int64)
    weak_beams = np.empty(n, np.int64)
    n_strong = 0
    n_weak = 0
    for i in range(n):
        size = abs(s[i])
        if u_abs[i] > _FORBIDDEN:
            if size > cutoff * wavelength * u_abs[i]:
                continue
        elif size > forbidden_s:
            continue
        ratio = size / (wavelength * u0_abs)
        if ratio <= strong or i == 0:
            strong_beams[n_strong] = i
            n_strong += 1
        elif ratio <= weak:
            weak_beams[n_weak] = i
            n_weak += 1
    return strong_beams[:n_strong], weak_beams[:n_weak]


@nb.njit(cache=True)
def _dynamical_matrix(hkl, s, u, extent, beams, weak, wavelength, modulus_diagonal):
    n = beams.shape[0]
    a = np.empty((n, n), np.complex128)
    for i in range(n):
        p = hkl[beams[i]] + extent
        for j in range(n):
            q = hkl[beams[j]]
            a[i, j] = u[p[0] - q[0], p[1] - q[1], p[2] - q[2]]
    m = weak.shape[0]
    if m > 0:
        left = np.empty((n, m), np.complex128)
        right = np.empty((m, n), np.complex128)
        for w in range(m):
            p = hkl[weak[w]]
            half = 0.5 * wavelength / s[weak[w]]
            for i in range(n):
                d = hkl[beams[i]] - p
                left[i, w] = u[extent[0] + d[0], extent[1] + d[1], extent[2] + d[2]] * half
                right[w, i] = u[extent[0] - d[0], extent[1] - d[1], extent[2] - d[2]]
        a -= np.dot(left, right)
        if modulus_diagonal:
            for i in range(n):
                total = 0.0
                for w in range(m):
                    size = abs(left[i, w])
                    if size > 0.0:
                        half = 0.5 * wavelength / s[weak[w]]
                        total += size * size / half
                a[i, i] = u[extent[0], extent[1], extent[2]] - total
    for i in range(n):
        # The real part of U_0 is in the wavelength already; only its absorption stays on the diagonal.
        a[i, i] += 2.0 * s[beams[i]] / wavelength - u[extent[0], extent[1], extent[2]].real
    # A common phase of all waves does not matter: with the diagonal about zero an exponential takes fewer squarings.
    low = a[0, 0].real
    high = low
    for i in range(1, n):
        low = min(low, a[i, i].real)
        high = max(high, a[i, i].real)
    for i in range(n):
        a[i, i] -= 0.5 * (low + high)
    return a


@nb.njit(cache=True)
def _exponential(a, factor):
    """exp(factor · a) in complex64: scaled Taylor polynomial of degree 8 with four products, then squarings.

    The scaled 1-norm is at most 1, so the remainder is at most 1 / 9! = 3e-6, and far less in the spectral norm.
    """
    n = a.shape[0]
    norm = 0.0
    for j in range(n):
        column = 0.0
        for i in range(n):
            column += abs(a[i, j])
        norm = max(norm, column)
    norm *= abs(factor)
    squarings = 0
    while norm > 1.0:
        norm *= 0.5
        squarings += 1
    b = (a * (factor / 2.0**squarings)).astype(np.complex64)
    b2 = np.dot(b, b)
    b3 = np.dot(b2, b)
    b4 = np.dot(b2, b2)
    low = np.empty_like(b)
    high = np.empty_like(b)
    for i in range(n):
        for j in range(n):
            low[i, j] = b[i, j] + np.float32(1 / 2) * b2[i, j] + np.float32(1 / 6) * b3[i, j]
            high[i, j] = (
                np.float32(1 / 120) * b[i, j]
                + np.float32(1 / 720) * b2[i, j]
                + np.float32(1 / 5040) * b3[i, j]
                + np.float32(1 / 40320) * b4[i, j]
            )
        low[i, i] += np.float32(1.0)
        high[i, i] += np.float32(1 / 24)
    e = low + np.dot(b4, high)
    for _ in range(squarings):
        e = np.dot(e, e)
    return e


@nb.njit(cache=True, fastmath=True)
def _depth_integral(e, s_matrix, weights):
    """Σ_k w_k ψ_k† S ψ_k with ψ_0 = e_0 and ψ_k = E ψ_{k-1}; S is Hermitian."""
    n = e.shape[0]
    depth = weights.shape[0]
    waves = np.zeros((depth, n), np.complex64)
    waves[0, 0] = np.complex64(1.0)
    transposed = e.T.copy()
    # Rows 0..m-1 give rows m..2m-1 by E^m: whole matrix products instead of single vectors. Doubling stops at eight
    # rows, or sooner for few depths, where another power of E would cost more than it saves.
    power = transposed
    block = 1
    done = 1
    while done < depth:
        rows = min(block, depth - done)
        waves[done : done + rows] = np.dot(waves[done - block : done - block + rows], power)
        done += rows
        if block < 8 and 4 * done < depth:
            block *= 2
            power = np.dot(power, power)
    product = np.dot(waves, s_matrix)
    total = 0.0
    for k in range(depth):
        inner = np.float32(0.0)
        for i in range(n):
            inner += waves[k, i].real * product[k, i].real + waves[k, i].imag * product[k, i].imag
        total += weights[k] * inner
    return total


@nb.njit(cache=True)
def _one_direction(direction, hkl, g, u, s_table, u_abs, extent, wavelength, selection, weights, step):
    s = _excitation_errors(g, direction, wavelength)
    u0_abs = abs(u[extent[0], extent[1], extent[2]])
    beams, weak = _select(
        s, u_abs, u0_abs, wavelength, selection[0], selection[1], selection[2], selection[3]
    )
    a = _dynamical_matrix(hkl, s, u, extent, beams, weak, wavelength, selection[4] > 0.0)
    n = beams.shape[0]
    thermal = np.empty((n, n), np.complex64)
    for i in range(n):
        p = hkl[beams[i]]
        for j in range(n):
            q = hkl[beams[j]]
            # Rows of waves are ψᵀ, so the table is laid out for ψ_gᵀ S_gh ψ_h*: S_gh = s(h - g).
            thermal[i, j] = s_table[extent[0] + p[0] - q[0], extent[1] + p[1] - q[1], extent[2] + p[2] - q[2]]
    e = _exponential(a, 1j * np.pi * wavelength * step)
    return _depth_integral(e, thermal, weights), n, weak.shape[0]


@nb.njit(cache=True, parallel=True, nogil=True)
def _all_directions(
    directions, hkl, g, u, s_table, u_abs, extent, wavelength, selection, weights, step, out, beams
):
    for i in nb.prange(directions.shape[0]):
        value, n, m = _one_direction(
            directions[i], hkl, g, u, s_table, u_abs, extent, wavelength, selection, weights, step
        )
        out[i] = value
        beams[i, 0] = n
        beams[i, 1] = m


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
    _all_directions(
        directions,
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
    return out, beams


@nb.njit(cache=True)
def _count(directions, g, u_abs, u0_abs, wavelength, selection):
    counts = np.empty(directions.shape[0], np.int64)
    for i in range(directions.shape[0]):
        s = _excitation_errors(g, directions[i], wavelength)
        beams, _ = _select(
            s, u_abs, u0_abs, wavelength, selection[0], selection[1], selection[2], selection[3]
        )
        counts[i] = beams.shape[0]
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
        potential.g,
        reflection_strengths(potential, selection) if strengths is None else strengths,
        abs(potential.u_0),
        potential.wavelength_nm,
        selection.numbers,
    )


@nb.njit(cache=True)
def _count_union(directions, g, u_abs, u0_abs, wavelength, selection):
    anywhere = np.zeros(g.shape[0], np.bool_)
    for i in range(directions.shape[0]):
        s = _excitation_errors(g, directions[i], wavelength)
        beams, _ = _select(
            s, u_abs, u0_abs, wavelength, selection[0], selection[1], selection[2], selection[3]
        )
        anywhere[beams] = True
    return anywhere.sum()


def count_union(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    selection: BeamSelection,
    strengths: NDArray[np.float64] | None = None,
) -> int:
    """Number of strong beams that any of the directions (n, 3) has."""
    return int(_count_union(*_counting_arguments(potential, directions, selection, strengths)))
