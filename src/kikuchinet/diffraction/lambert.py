"""The square Lambert map: an equal-area image of each hemisphere on a square.

References
----------
.. [1] D. Roşca, "New uniform grids on the sphere", Astron. Astrophys. 520 (2010) A63.
.. [2] P. Callahan, M. De Graef, Microsc. Microanal. 19 (2013) 1255.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_EDGE = np.sqrt(np.pi / 2.0)


def square_to_direction(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.float64]:
    """Unit vectors of the upper hemisphere for points of the square.

    Parameters
    ----------
    x, y
        Square coordinates in [-1, 1], any equal shape.

    Returns
    -------
    numpy.ndarray
        Unit vectors of shape ``x.shape + (3,)`` with ``z >= 0``. Equation 9 of [1]_.
    """
    a = np.asarray(x, dtype=np.float64) * _EDGE
    b = np.asarray(y, dtype=np.float64) * _EDGE
    swap = np.abs(a) <= np.abs(b)
    major = np.where(swap, b, a)
    minor = np.where(swap, a, b)
    safe = np.where(major == 0.0, 1.0, major)
    q = 2.0 * major / np.pi * np.sqrt(np.maximum(np.pi - major**2, 0.0))
    angle = np.pi / 4.0 * minor / safe
    along, across = q * np.cos(angle), q * np.sin(angle)
    z = 1.0 - 2.0 * major**2 / np.pi
    vectors = np.stack([np.where(swap, across, along), np.where(swap, along, across), z], axis=-1)
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


def direction_to_square(directions: NDArray[np.floating]) -> NDArray[np.float64]:
    """Square coordinates of directions; both hemispheres fall on the same square.

    Parameters
    ----------
    directions
        Vectors of shape (..., 3), any length but zero.

    Returns
    -------
    numpy.ndarray
        ``(x, y)`` in [-1, 1], shape (..., 2). Inverse of :func:`square_to_direction` for ``z >= 0``.
    """
    v = np.asarray(directions, dtype=np.float64)
    v = v / np.linalg.norm(v, axis=-1, keepdims=True)
    x, y, z = v[..., 0], v[..., 1], np.abs(v[..., 2])
    radius = np.sqrt(np.maximum(2.0 * (1.0 - z), 0.0))
    swap = np.abs(y) > np.abs(x)
    major = np.where(swap, y, x)
    minor = np.where(swap, x, y)
    safe = np.where(major == 0.0, 1.0, major)
    along = np.sign(major) * radius * np.sqrt(np.pi) / 2.0
    across = np.sign(major) * radius * 2.0 / np.sqrt(np.pi) * np.arctan(minor / safe)
    square = np.stack([np.where(swap, across, along), np.where(swap, along, across)], axis=-1)
    return square / _EDGE


def pixel_directions(
    rows: NDArray[np.integer], columns: NDArray[np.integer], half_width: int
) -> NDArray[np.float64]:
    """Directions of some pixels of the upper hemisphere's square, ``rows.shape + (3,)``; see `lambert_grid`."""
    return square_to_direction((columns - half_width) / half_width, (rows - half_width) / half_width)


def lambert_grid(half_width: int) -> NDArray[np.float64]:
    """Directions of every pixel of the upper hemisphere's square.

    Parameters
    ----------
    half_width
        Pixels from the centre to the edge, the centre not counted.

    Returns
    -------
    numpy.ndarray
        Unit vectors of shape (2h+1, 2h+1, 3), ``[row, column]`` at ``x = (column - h)/h``,
        ``y = (row - h)/h``: the layout of EMsoft's files as kikuchipy reads them.
    """
    rows, columns = np.indices((2 * half_width + 1, 2 * half_width + 1))
    return pixel_directions(rows, columns, half_width)
