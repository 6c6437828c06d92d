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
    chosen, source = _orbits(grid_operations(crystal), half_width)
    below, rest = np.divmod(chosen, size * size)
    rows, columns = np.divmod(rest, size)
    return Folding(rows, columns, 1 - 2 * below, source.reshape(2, size, size))


@nb.njit(cache=True)
def _orbits(operations: NDArray[np.int64], half_width: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First pixel of each set of equivalent ones, (n,), and the number of the set of every pixel, (2 size²,).

    Pixels are numbered (hemisphere · size + row) · size + column.
    """
    size = 2 * half_width + 1
    source = np.full(2 * size * size, -1)
    chosen = np.empty(2 * size * size, np.int64)
    count = 0
    for pixel in range(2 * size * size):
        if source[pixel] >= 0:
            continue
        lower = pixel >= size * size
        y = pixel // size % size - half_width
        x = pixel % size - half_width
        equator = max(abs(x), abs(y)) == half_width
        if equator and lower:
            # The equator belongs to both hemispheres: it is counted to the upper one.
            source[pixel] = source[pixel - size * size]
            continue
        for k in range(operations.shape[0]):
            u = operations[k, 0, 0] * x + operations[k, 0, 1] * y
            v = operations[k, 1, 0] * x + operations[k, 1, 1] * y
            below = (operations[k, 2, 2] < 0) != lower and not equator
            source[((size if below else 0) + v + half_width) * size + u + half_width] = count
        chosen[count] = pixel
        count += 1
    return chosen[:count].copy(), source
