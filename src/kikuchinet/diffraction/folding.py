"""Which directions of a square Lambert grid are equivalent, and which have to be computed.

Only operations that carry the grid onto itself are used: signed permutations of the Cartesian axes that leave z in
place, 16 at most (4/mmm). Every value is then computed or copied, never interpolated.
"""

from __future__ import annotations

from dataclasses import dataclass

import numba as nb
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
    best = _smallest_equivalents(grid_operations(crystal), half_width)
    chosen, source = np.unique(best, return_inverse=True)
    below, rest = np.divmod(chosen, size * size)
    rows, columns = np.divmod(rest, size)
    return Folding(rows, columns, 1 - 2 * below, source.reshape(2, size, size))


@nb.njit(cache=True)
def _smallest_equivalents(operations: NDArray[np.int64], half_width: int) -> NDArray[np.int64]:
    """Smallest index, (hemisphere · size + row) · size + column, among the equivalents of every pixel, (2, size, size)."""
    size = 2 * half_width + 1
    best = np.full((2, size, size), 2 * size * size)
    for hemisphere in range(2):
        for row in range(size):
            y = row - half_width
            for column in range(size):
                x = column - half_width
                # The equator belongs to both hemispheres: count it to the upper one.
                equator = max(abs(x), abs(y)) == half_width
                for k in range(operations.shape[0]):
                    u = operations[k, 0, 0] * x + operations[k, 0, 1] * y
                    v = operations[k, 1, 0] * x + operations[k, 1, 1] * y
                    turned = (operations[k, 2, 2] < 0) != (hemisphere == 1)
                    below = 1 if turned and not equator else 0
                    index = (below * size + v + half_width) * size + u + half_width
                    best[hemisphere, row, column] = min(best[hemisphere, row, column], index)
    return best
