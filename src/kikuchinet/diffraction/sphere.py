"""Two hemispheres as one function on the sphere: sampling, the stereographic projection, symmetry.

Both projections keep x and y of a direction, for both hemispheres: a row is a y, a column an x, both growing with
the index, and the lower hemisphere is seen through the upper one (directions ``(x, y, z)`` and ``(x, y, -z)`` share a
pixel). EMsoft and kikuchipy lay their square Lambert maps out in the same way.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt, map_coordinates

from kikuchinet.crystal.symmetry import reference_setting
from kikuchinet.diffraction.lambert import direction_to_square, lambert_grid

_CELLS = {
    "triclinic": (0.9, 1.0, 1.1, 80.0, 95.0, 105.0),
    "monoclinic": (0.9, 1.0, 1.1, 90.0, 100.0, 90.0),
    "trigonal": (1.0, 1.0, 1.1, 90.0, 90.0, 120.0),
    "hexagonal": (1.0, 1.0, 1.1, 90.0, 90.0, 120.0),
}
"""A cell of each crystal system whose axes are not orthogonal; in the frame e1 ∥ a, e3 ∥ c* the operations of a point
group do not depend on the lengths and angles that its system leaves free."""


def sample(
    upper: NDArray[np.floating], lower: NDArray[np.floating], directions: NDArray[np.floating]
) -> NDArray[np.float32]:
    """Intensity along directions, bilinear in the square Lambert map.

    The equator is the edge of both squares, so every direction lies between four pixels of its own hemisphere and
    nothing is extrapolated.

    Parameters
    ----------
    upper, lower
        (2h+1, 2h+1) hemispheres.
    directions
        (..., 3) vectors of the crystal's Cartesian frame, any length but zero.

    Returns
    -------
    numpy.ndarray
        float32 of shape ``directions.shape[:-1]``.
    """
    v = np.asarray(directions, dtype=np.float64)
    half_width = upper.shape[0] // 2
    square = (direction_to_square(v) + 1.0) * half_width
    places = [square[..., 1], square[..., 0]]
    values = [map_coordinates(side, places, np.float32, order=1, mode="nearest") for side in (upper, lower)]
    return np.where(v[..., 2] >= 0.0, *values)


def stereographic_grid(half_width: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Directions of the pixels of a stereographic projection of the upper hemisphere.

    Parameters
    ----------
    half_width
        Pixels from the centre to the circle of the equator.

    Returns
    -------
    directions : numpy.ndarray
        (2h+1, 2h+1, 3) unit vectors; beyond the equator they go on into the lower hemisphere.
    inside : numpy.ndarray
        bool (2h+1, 2h+1), True up to the equator.
    """
    steps = np.arange(-half_width, half_width + 1) / half_width
    y, x = np.meshgrid(steps, steps, indexing="ij")
    r2 = x**2 + y**2
    directions = np.stack([2.0 * x, 2.0 * y, 1.0 - r2], axis=-1) / (1.0 + r2)[..., None]
    return directions, r2 <= 1.0


def to_stereographic(lambert: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stereographic projection of a hemisphere, zero outside the equator as in EMsoft's ``masterSP`` arrays."""
    directions, inside = stereographic_grid(lambert.shape[0] // 2)
    image = np.zeros_like(lambert)
    image[inside] = sample(lambert, lambert, directions[inside])
    return image


def from_stereographic(image: NDArray[np.floating]) -> NDArray[np.float32]:
    """Resample a stereographic projection to the square Lambert map of the same width.

    Bilinear. What lies on or outside the equator is first replaced by the nearest pixel inside, so that the zeros that
    programs write there do not darken the equator.

    Parameters
    ----------
    image
        (2h+1, 2h+1), rows along +y.
    """
    half_width = image.shape[0] // 2
    # Strictly inside: whether the circle itself was filled depends on how a program rounded.
    inside = stereographic_grid(half_width)[0][..., 2] > 1e-6
    nearest = distance_transform_edt(~inside, return_distances=False, return_indices=True)
    filled = np.asarray(image, dtype=np.float64)[tuple(nearest)]
    directions = lambert_grid(half_width)
    xy = directions[..., :2] / (1.0 + directions[..., 2:])
    places = (xy + 1.0) * half_width
    return np.asarray(map_coordinates(filled, [places[..., 1], places[..., 0]], np.float32, order=1))


def cartesian_operations(space_group: int) -> NDArray[np.float64]:
    """Operations of a space group's point group in the frame e1 ∥ a, e3 ∥ c*, shape (m, 3, 3).

    Of the setting that stands for the group by default: monoclinic groups with the unique axis b, rhombohedral ones on
    hexagonal axes.
    """
    setting = reference_setting(space_group)
    a, b, c, alpha, beta, gamma = _CELLS.get(setting.crystal_system, (1.0, 1.0, 1.0, 90.0, 90.0, 90.0))
    cosines = np.cos(np.radians([alpha, beta, gamma]))
    sine = np.sin(np.radians(gamma))
    across = (cosines[0] - cosines[1] * cosines[2]) / sine
    up = np.sqrt(1.0 - cosines[1] ** 2 - across**2)
    # Columns are the axes a, b, c.
    axes = np.array(
        [[a, b * cosines[2], c * cosines[1]], [0.0, b * sine, c * across], [0.0, 0.0, c * up]],
    )
    return np.asarray(axes @ setting.point_group_operations @ np.linalg.inv(axes))


def other_hemisphere(lambert: NDArray[np.float32], space_group: int) -> NDArray[np.float32] | None:
    """The hemisphere that follows from its opposite by symmetry, or None where none does.

    Any operation that turns one hemisphere over as a whole will do: an inversion, a mirror across z, a two-fold axis in the
    plane, an inversion axis along z. In each of the 230 groups that has such operations, one of them carries the square
    onto itself: pixels move, and nothing is interpolated.

    Parameters
    ----------
    lambert
        (2h+1, 2h+1), either hemisphere.
    space_group
        Its number.
    """
    over = [w for w in cartesian_operations(space_group) if w[2, 2] < -1.0 + 1e-9]
    if not over:
        return None
    best = min(over, key=lambda w: float(np.abs(w - np.rint(w)).max()))
    directions = lambert_grid(lambert.shape[0] // 2) * np.array([1.0, 1.0, -1.0])
    turned = directions @ best.T
    return sample(lambert, lambert, turned)
