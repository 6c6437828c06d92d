"""Fourier coefficients of the crystal potential, and the thermal scattering weights, on a box of indices."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.electrons import potential_volt, relativistic_factor, wavelength_nm
from kikuchinet.diffraction.scattering import elastic_factor, scattering_factor
from kikuchinet.errors import InputError

_FACTOR_SAMPLES_PER_INVERSE_NM = 10
"""Scattering factors vary over several 1/nm; a cubic spline at 0.1 1/nm is within 3e-9 of U_0 (Ni, W, GaN, quartz)."""


@dataclass(frozen=True, eq=False)
class Emitters:
    """Where backscattered electrons start: the atoms of a primitive cell.

    Attributes
    ----------
    positions
        (n, 3) fractional coordinates of the conventional cell.
    strengths
        (n,) Z² times occupancy, times the lattice points of the conventional cell.
    b_iso_nm2
        (n,) B factors.
    """

    positions: NDArray[np.float64]
    strengths: NDArray[np.float64]
    b_iso_nm2: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FlatTables:
    """A potential's tables in the order in which compiled code reads them.

    Attributes
    ----------
    g
        Reflections, Cartesian crystal frame, (3, n) float64, 1/nm.
    squared
        |g|², (n,) float64, 1/nm².
    position
        (n,) int64: place of each reflection in the flattened tables, counted from (0, 0, 0). It is linear in the
        indices: ``centre + position[g] - position[h]`` is the place of g - h.
    centre
        Place of (0, 0, 0).
    u, s
        The potential's `u` and `s`, flattened, complex64.
    """

    g: NDArray[np.float64]
    squared: NDArray[np.float64]
    position: NDArray[np.int64]
    centre: int
    u: NDArray[np.complex64]
    s: NDArray[np.complex64]


@dataclass(frozen=True)
class CrystalPotential:
    """Everything about a crystal that a Bloch-wave calculation at one energy needs.

    Attributes
    ----------
    wavelength_nm
        Electron wavelength inside the crystal.
    hkl
        Reflections with d >= d_min that the centring allows, (n, 3) int, sorted by length, (0, 0, 0) first.
    g
        The same in the Cartesian crystal frame, (n, 3), 1/nm.
    u
        U_g = γ/(π V) Σ f exp(-2πi g·r) for every index difference, 1/nm², complex, shape ``2 extent + 1``.
    s
        Σ_atoms occ Z² exp(2πi g·r) exp(-B g²/4): weights of localised (Rutherford-like) backscattering.
    extent
        (3,) largest index of the box.
    emitters
        The atoms behind `s`.
    """

    wavelength_nm: float
    hkl: NDArray[np.int64]
    g: NDArray[np.float64]
    u: NDArray[np.complex128]
    s: NDArray[np.complex128]
    extent: NDArray[np.int64]
    emitters: Emitters

    @property
    def u_0(self) -> complex:
        """Mean potential, imaginary part included, 1/nm²."""
        return complex(self.u[tuple(self.extent)])

    @property
    def inner_potential_v(self) -> float:
        """Mean inner potential in volt (times γ, as it enters the wavelength)."""
        return potential_volt(self.u_0.real)

    @property
    def absorption_length_nm(self) -> float:
        """ξ'₀ = 1 / (λ U'₀): the intensity decays as exp(-2π z / ξ'₀)."""
        return 1.0 / (self.wavelength_nm * self.u_0.imag)

    @cached_property
    def flat(self) -> FlatTables:
        """The same for compiled code; made once."""
        shape = self.u.shape
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        return FlatTables(
            g=np.ascontiguousarray(self.g.T),
            squared=np.sum(self.g**2, axis=1),
            position=self.hkl @ strides,
            centre=int(self.extent @ strides),
            u=self.u.astype(np.complex64).reshape(-1),
            s=self.s.astype(np.complex64).reshape(-1),
        )

    def at(self, table: NDArray[np.complex128], hkl: NDArray[np.int64]) -> NDArray[np.complex128]:
        """Values of a table (`u` or `s`) at indices (..., 3)."""
        h, k, l = np.moveaxis(hkl + self.extent, -1, 0)
        return table[h, k, l]


def _phase_sums(crystal: Crystal, extent: NDArray[np.int64]) -> Iterator[NDArray[np.complex128]]:
    """Σ_j exp(-2πi h·r_j) for the atoms of each site, as boxes; one product of matrices each.

    One box at a time: all of them together fill the memory of a large cell with many sites.
    """
    atoms = crystal.atoms()
    for site in range(len(crystal.sites)):
        positions = atoms.positions[atoms.site_index == site]
        waves = [
            np.exp(-2j * np.pi * np.arange(-m, m + 1)[:, None] * positions[:, axis])
            for axis, m in enumerate(extent)
        ]
        plane = (waves[0][:, None, :] * waves[1][None, :, :]).reshape(-1, len(positions))
        yield (plane @ waves[2].T).reshape([2 * m + 1 for m in extent])


def _site_parameters(crystal: Crystal) -> list[tuple[int, float, float]]:
    """(Z, occupancy, B in nm²) of each site."""
    atoms = crystal.atoms()
    first = [int(np.argmax(atoms.site_index == site)) for site in range(len(crystal.sites))]
    return [(int(atoms.z[i]), float(atoms.occupancy[i]), float(atoms.b_iso_nm2[i])) for i in first]


def reflections(crystal: Crystal, d_min_nm: float) -> NDArray[np.int64]:
    """Indices with d >= `d_min_nm` that the lattice centring allows, sorted by length, (0, 0, 0) first.

    Returns
    -------
    numpy.ndarray
        (n, 3) int. Glide and screw absences stay in: double diffraction feeds them.
    """
    limit = np.floor(np.linalg.norm(crystal.direct_matrix, axis=1) / d_min_nm + 1e-9).astype(int)
    axes = [np.arange(-m, m + 1) for m in limit]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(hkl @ crystal.reciprocal_matrix, axis=1)
    keep = (length <= 1.0 / d_min_nm) & _allowed_by_centring(hkl, crystal.centring)
    order = np.lexsort((*hkl[keep].T[::-1], np.round(length[keep], 9)))
    return hkl[keep][order].astype(np.int64)


def _allowed_by_centring(hkl: NDArray[np.int64], centring: str) -> NDArray[np.bool_]:
    h, k, l = hkl.T
    rules = {
        "P": np.zeros_like(h),
        "I": (h + k + l) % 2,
        "A": (k + l) % 2,
        "B": (h + l) % 2,
        "C": (h + k) % 2,
        "F": (h + k) % 2 + (k + l) % 2,
        "R": (-h + k + l) % 3,
    }
    return rules[centring] == 0


def crystal_potential(
    crystal: Crystal, energy_kev: float, d_min_nm: float, wavelength_energy_kev: float | None = None
) -> CrystalPotential:
    """Tabulate the potential of a crystal for electrons of one energy.

    Parameters
    ----------
    crystal
        The crystal.
    energy_kev
        Kinetic energy, used for γ and absorption.
    d_min_nm
        Smallest interplanar spacing of a reflection.
    wavelength_energy_kev
        Energy whose wavelength is used; the same by default. EMsoft's files use the beam's top energy.

    Returns
    -------
    CrystalPotential
    """
    hkl = reflections(crystal, d_min_nm)
    extent = 2 * np.abs(hkl).max(axis=0)
    axes = [np.arange(-m, m + 1) for m in extent]
    box = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1)
    length = np.linalg.norm(box @ crystal.reciprocal_matrix, axis=-1)
    samples = np.linspace(0.0, length.max() + 0.1, int(length.max() * _FACTOR_SAMPLES_PER_INVERSE_NM) + 8)
    u = np.zeros(length.shape, dtype=np.complex128)
    s = np.zeros(length.shape, dtype=np.complex128)
    prefactor = 1.0 / (np.pi * crystal.volume_nm3)
    for (z, occupancy, b_iso), phases in zip(
        _site_parameters(crystal), _phase_sums(crystal, extent), strict=True
    ):
        factor = CubicSpline(samples, scattering_factor(z, samples, b_iso, energy_kev))(length)
        u += prefactor * occupancy * factor * phases
        s += z**2 * occupancy * np.exp(-0.25 * b_iso * length**2) * phases.conj()
    inner_v = potential_volt(float(u[tuple(extent)].real))
    return CrystalPotential(
        wavelength_nm=wavelength_nm(wavelength_energy_kev or energy_kev, inner_v),
        hkl=hkl,
        g=hkl @ crystal.reciprocal_matrix,
        u=u,
        s=s,
        extent=extent,
        emitters=_emitters(crystal),
    )


_CENTRING_SHIFTS = {
    "P": [],
    "I": [(0.5, 0.5, 0.5)],
    "A": [(0.0, 0.5, 0.5)],
    "B": [(0.5, 0.0, 0.5)],
    "C": [(0.5, 0.5, 0.0)],
    "F": [(0.0, 0.5, 0.5), (0.5, 0.0, 0.5), (0.5, 0.5, 0.0)],
    "R": [(2 / 3, 1 / 3, 1 / 3), (1 / 3, 2 / 3, 2 / 3)],
}
"""Lattice points of the conventional cell besides the origin (R: obverse setting), International Tables A, table 2.1.1.2."""


def _emitters(crystal: Crystal) -> Emitters:
    """One atom of each set that the lattice's centring makes equivalent; they emit alike into all beams."""
    atoms = crystal.atoms()
    shifts = np.array(_CENTRING_SHIFTS[crystal.centring]).reshape(-1, 3)
    left = np.ones(len(atoms.z), dtype=bool)
    chosen = []
    for i in range(len(atoms.z)):
        if not left[i]:
            continue
        chosen.append(i)
        for shift in shifts:
            apart = atoms.positions - atoms.positions[i] - shift
            same = np.abs(apart - np.round(apart)).max(axis=1) < 1e-4
            left &= ~(same & (atoms.site_index == atoms.site_index[i]))
    points = len(shifts) + 1
    if len(chosen) * points != len(atoms.z):
        raise InputError(crystal.name, "its atoms do not have the translations of its lattice")
    return Emitters(
        np.asarray(atoms.positions[chosen], dtype=np.float64),
        points * atoms.z[chosen].astype(np.float64) ** 2 * atoms.occupancy[chosen],
        np.asarray(atoms.b_iso_nm2[chosen], dtype=np.float64),
    )


def absorption_length_nm(crystal: Crystal, energy_kev: float) -> float:
    """ξ'₀/2π: the depth over which absorption takes the mean intensity down by a factor e, in nm.

    Parameters
    ----------
    crystal
        The crystal.
    energy_kev
        Kinetic energy of the electron.

    Returns
    -------
    float
        1 / (2π λ U'₀), the same as ``crystal_potential(...).absorption_length_nm / 2π``, without its tables.
    """
    atoms = crystal.atoms()
    u_0 = 0.0j
    for site, (z, occupancy, b_iso) in enumerate(_site_parameters(crystal)):
        factor = scattering_factor(z, np.zeros(1), b_iso, energy_kev)[0]
        u_0 += occupancy * factor * int((atoms.site_index == site).sum())
    u_0 /= np.pi * crystal.volume_nm3
    length = wavelength_nm(energy_kev, potential_volt(u_0.real))
    return float(1.0 / (2.0 * np.pi * length * u_0.imag))


def structure_factors(
    crystal: Crystal, hkl: NDArray[np.int64], energy_kev: float = 20.0
) -> NDArray[np.complex128]:
    """Elastic structure factors F = Σ occ γ f exp(-B g²/4) exp(-2πi h·r) in nm.

    Parameters
    ----------
    hkl
        Indices, (n, 3).

    Returns
    -------
    numpy.ndarray
        (n,) complex.
    """
    atoms = crystal.atoms()
    length = np.linalg.norm(hkl @ crystal.reciprocal_matrix, axis=1)
    result = np.zeros(len(hkl), dtype=np.complex128)
    for site, (z, occupancy, b_iso) in enumerate(_site_parameters(crystal)):
        positions = atoms.positions[atoms.site_index == site]
        factor = relativistic_factor(energy_kev) * elastic_factor(z, length)
        wave = np.exp(-2j * np.pi * hkl @ positions.T).sum(axis=1)
        result += occupancy * factor * np.exp(-0.25 * b_iso * length**2) * wave
    return result
