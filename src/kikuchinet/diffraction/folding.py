"""Which directions of a square Lambert grid are equivalent, and which have to be computed.

Only operations that carry the grid onto itself are used: signed permutations of the Cartesian axes that leave z in
place, 16 at most (4/mmm). Every value is then computed or copied, never interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal


@dataclass(frozen=True, eq=False)
class Folding:
    """Directions to compute, and how they spread over both hemispheres.

    Attributes
    ----------
    rows, columns
        (n,) pixels to compute.
    signs
        (n,) +1 for the upper, -1 for the lower hemisphere.
    source
        (2, 2h+1, 2h+1) index into them for every pixel of the upper and lower hemisphere.
    """

    rows: NDArray[np.int64]
    columns: NDArray[np.int64]
    signs: NDArray[np.int64]
    source: NDArray[np.int64]


def grid_operations(crystal: Crystal) -> NDArray[np.int64]:
    """Operations of the point group that carry the square Lambert grid onto itself.

    The point group, not the Laue group: without an inversion centre a pattern differs at k and -k.

    Returns
    -------
    numpy.ndarray
        (m, 3, 3) int, Cartesian, each a signed permutation that keeps the z axis.
    """
    direct = crystal.direct_matrix
    found = []
    for operation in crystal.point_group_operations:
        cartesian = direct.T @ operation @ np.linalg.inv(direct.T)
        rounded = np.rint(cartesian)
        if np.abs(cartesian - rounded).max() < 1e-6 and abs(rounded[2, 2]) == 1.0:
            found.append(rounded.astype(np.int64))
    return np.array(found)


def fold(crystal: Crystal, half_width: int) -> Folding:
    """Find one pixel of each set of equivalent ones.

    Parameters
    ----------
    crystal
        The crystal, whose point group and Cartesian frame decide.
    half_width
        Half the width of the square.
    """
    size = 2 * half_width + 1
    steps = np.arange(-half_width, half_width + 1)
    y, x = np.meshgrid(steps, steps, indexing="ij")
    best = None
    # The equator belongs to both hemispheres: count it to the upper one.
    equator = np.maximum(np.abs(x), np.abs(y)) == half_width
    for operation in grid_operations(crystal):
        for hemisphere, sign in ((0, 1), (1, -1)):
            u = operation[0, 0] * x + operation[0, 1] * y
            v = operation[1, 0] * x + operation[1, 1] * y
            below = np.where(equator, 0, (operation[2, 2] * sign < 0)).astype(np.int64)
            index = (below * size + v + half_width) * size + u + half_width
            if best is None:
                best = np.full((2, size, size), np.iinfo(np.int64).max)
            best[hemisphere] = np.minimum(best[hemisphere], index)
    assert best is not None  # the identity is always among the operations
    chosen, source = np.unique(best, return_inverse=True)
    below, rest = np.divmod(chosen, size * size)
    rows, columns = np.divmod(rest, size)
    return Folding(rows, columns, 1 - 2 * below, source.reshape(2, size, size))
