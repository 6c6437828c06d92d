"""Distances between atoms."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from kikuchinet.crystal.crystal import Crystal

_NEIGHBOURS = np.array(list(product((-1, 0, 1), repeat=3)), dtype=np.float64)


def shortest_distances_nm(
    first: NDArray[np.float64], second: NDArray[np.float64], direct_matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Shortest distance from each atom to each other one or to its own images.

    Parameters
    ----------
    first, second
        Fractional coordinates, shapes (n, 3) and (m, 3).
    direct_matrix
        Rows a, b, c in nm. The nearest image is sought in the 27 cells around, which is enough for cells whose angles
        lie between 60 and 120 degrees.

    Returns
    -------
    numpy.ndarray
        Distances in nm, shape (n, m); the distance of an atom to itself is that to its nearest image.
    """
    difference = first[:, None, :] - second[None, :, :]
    difference -= np.rint(difference)
    images = (difference[:, :, None, :] + _NEIGHBOURS) @ direct_matrix
    squared = np.einsum("nmki,nmki->nmk", images, images)
    squared[squared < 1e-12] = np.inf
    return np.sqrt(squared.min(axis=-1))


def minimum_distance_nm(crystal: Crystal) -> float:
    """Shortest distance between two atoms of a crystal that are not on one mixed site, in nm."""
    atoms = crystal.atoms()
    _, first = np.unique(atoms.site_index, return_index=True)
    distances = shortest_distances_nm(atoms.positions[first], atoms.positions, crystal.direct_matrix)
    return float(distances.min())


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
        on_site = near[distance[near] < 1e-3]
        if atoms.occupancy[on_site].sum() > 1.015:
            return int(atoms.site_index[on_site[0]]), int(atoms.site_index[on_site[-1]]), 0.0
    return None
