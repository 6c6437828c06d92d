"""The bands of a crystal: which lattice planes reflect strongly enough to be seen."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.electrons import wavelength_nm
from kikuchinet.diffraction.potential import structure_factors

_D_MIN_NM = 0.06
"""Bands of smaller spacing are too faint to be looked for."""


@dataclass(frozen=True, eq=False)
class Bands:
    """Reflecting planes of a crystal, strongest first, one of each pair ±hkl and of all its multiples.

    Parameters
    ----------
    hkl
        (n, 3) indices, the lowest multiple that reflects.
    strength
        (n,) |F| of its strongest multiple, relative to the strongest of all.
    normals
        (n, 3) unit vectors, Cartesian.
    spacing_nm
        (n,) spacing of the planes hkl.
    """

    hkl: NDArray[np.int64]
    strength: NDArray[np.float64]
    normals: NDArray[np.float64]
    spacing_nm: NDArray[np.float64]

    def bragg_angles(self, energy_kev: float) -> NDArray[np.float64]:
        """Return the Bragg angles (n,) in radians: half the angular widths of the bands."""
        angles: NDArray[np.float64] = np.arcsin(0.5 * wavelength_nm(energy_kev) / self.spacing_nm)
        return angles


@lru_cache(maxsize=256)
def find_bands(crystal: Crystal, weakest: float = 0.15) -> Bands:
    """Return the bands of a crystal that are strong enough to be seen.

    Parameters
    ----------
    crystal
        The crystal.
    weakest
        Share of the strongest |F| (at 20 keV) below which a band is left out.
    """
    hkl = one_of_each_pair(
        index_box(np.floor(np.linalg.norm(crystal.direct_matrix, axis=1) / _D_MIN_NM).astype(int))
    )
    hkl = hkl[np.linalg.norm(hkl @ crystal.reciprocal_matrix, axis=1) <= 1.0 / _D_MIN_NM]
    strength = np.abs(structure_factors(crystal, hkl))
    strength /= strength.max()
    hkl, strength = hkl[strength >= weakest], strength[strength >= weakest]
    multiple = np.gcd.reduce(hkl, axis=1)
    planes, plane = np.unique(hkl // multiple[:, None], axis=0, return_inverse=True)
    lowest = np.full(len(planes), np.iinfo(np.int64).max)
    strongest = np.zeros(len(planes))
    np.minimum.at(lowest, plane.ravel(), multiple)
    np.maximum.at(strongest, plane.ravel(), strength)
    order = np.lexsort((*planes.T, -np.round(strongest, 9)))
    kept = (planes * lowest[:, None])[order]
    vectors = kept @ crystal.reciprocal_matrix
    length = np.linalg.norm(vectors, axis=1)
    return Bands(kept, strongest[order], vectors / length[:, None], 1.0 / length)


def index_box(limit: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return all indices (n, 3) between -limit and limit."""
    axes = [np.arange(-m, m + 1) for m in limit]
    return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)


def one_of_each_pair(index: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return one of each pair of opposite indices, without 000."""
    h, k, l = index.T
    return index[(h > 0) | ((h == 0) & (k > 0)) | ((h == 0) & (k == 0) & (l > 0))]
