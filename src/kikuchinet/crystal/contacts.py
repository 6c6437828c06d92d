"""Distances between atoms."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kikuchinet.crystal.crystal import Crystal

_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)
_ONE_POSITION_NM = 1e-3
_HOME = len(_NEIGHBOURS) // 2  # index of the shift (0, 0, 0)


def shortest_distances_nm(
    positions: NDArray[np.float64], chosen: NDArray[np.int64], direct_matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shortest distance from chosen atoms to every atom, periodic images included.

    Parameters
    ----------
    positions
        Fractional coordinates of all atoms, shape (n, 3).
    chosen
        Indices of the atoms to measure from, shape (m,).
    direct_matrix
        Rows a, b, c in nm. The nearest image is sought in the 27 cells around, which is enough for cells whose angles
        lie between 60 and 120 degrees.

    Returns
    -------
    numpy.ndarray
        Distances in nm, shape (m, n). From an atom to itself it is the distance to its nearest periodic image.
    """
    difference = positions[chosen][:, None, :] - positions[None, :, :]
    difference -= np.rint(difference)
    images = (difference[:, :, None, :] + _NEIGHBOURS) @ direct_matrix
    squared = np.einsum("mnki,mnki->mnk", images, images)
    squared[np.arange(len(chosen)), chosen, _HOME] = np.inf
    return np.sqrt(squared.min(axis=-1))


def minimum_distance_nm(crystal: Crystal) -> float:
    """Shortest distance between two positions of a crystal, in nm; the elements of a mixed site are one position."""
    atoms = crystal.atoms()
    _, first = np.unique(atoms.site_index, return_index=True)
    distances = shortest_distances_nm(atoms.positions, first, crystal.direct_matrix)
    return float(distances[distances > _ONE_POSITION_NM].min())


def overlapping_sites(crystal: Crystal, touching_nm: float) -> tuple[int, int, float] | None:
    """Two sites that cannot both be occupied as stated.

    Parameters
    ----------
    crystal
        The crystal.
    touching_nm
        Atoms nearer than this exclude one another.

    Returns
    -------
    tuple or None
        Indices of the two sites and their distance in nm, for the first place where the occupancies of atoms that
        exclude one another sum to more than 1.
    """
    atoms = crystal.atoms()
    _, representatives = np.unique(atoms.site_index, return_index=True)
    for here in representatives:
        difference = atoms.positions - atoms.positions[here]
        difference -= np.rint(difference)
        distance = np.linalg.norm(difference @ crystal.direct_matrix, axis=1)
        near = np.flatnonzero(distance < touching_nm)
        for other in near:
            # One percent and a bit: published occupancies are rounded.
            if other != here and atoms.occupancy[here] + atoms.occupancy[other] > 1.015:
                return int(atoms.site_index[here]), int(atoms.site_index[other]), float(distance[other])
        on_site = near[distance[near] < _ONE_POSITION_NM]
        if atoms.occupancy[on_site].sum() > 1.015:
            return int(atoms.site_index[on_site[0]]), int(atoms.site_index[on_site[-1]]), 0.0
    return None
