"""Orbits: all positions of the cell that the symmetry makes of one."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.symmetry import Setting

SAME_POSITION_NM = 0.01
"""Images of one atom nearer than this are the same atom on a special position: published coordinates such as 0.333
miss it by up to 0.0005 of the cell edge, and atoms are never this near."""


def wrap(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates taken into [0, 1), with rounding noise next to 1 taken to 0."""
    wrapped = positions - np.floor(positions)
    wrapped[wrapped > 1.0 - 1e-10] = 0.0
    wrapped[np.abs(wrapped) < 1e-10] = 0.0
    return wrapped


def snap(
    position: tuple[float, float, float],
    setting: Setting,
    direct_matrix: NDArray[np.float64],
    tolerance_nm: float = SAME_POSITION_NM,
) -> NDArray[np.float64]:
    """Move a position onto the special position that it nearly has.

    The average of the images of an atom under the operations that nearly keep it (its site symmetry) is kept exactly
    by all of them.

    Parameters
    ----------
    position
        Fractional coordinates.
    setting
        Setting of the space group.
    direct_matrix
        Rows a, b, c in nm.
    tolerance_nm
        How far an image may be to count as the same atom.

    Returns
    -------
    numpy.ndarray
        Fractional coordinates, shape (3,), not wrapped.
    """
    start = np.asarray(position, dtype=np.float64)
    images = setting.rotations @ start + setting.translations
    images -= np.rint(images - start)
    near = np.linalg.norm((images - start) @ direct_matrix, axis=1) < tolerance_nm
    return images[near].mean(axis=0)


def full_orbit(
    position: tuple[float, float, float],
    setting: Setting,
    direct_matrix: NDArray[np.float64],
    tolerance_nm: float = SAME_POSITION_NM,
) -> NDArray[np.float64]:
    """All distinct positions of an atom in the cell.

    Parameters
    ----------
    position, setting, direct_matrix, tolerance_nm
        As in `snap`.

    Returns
    -------
    numpy.ndarray
        Fractional coordinates in [0, 1), shape (n, 3); n divides the number of operations. The given atom is first.
    """
    exact = snap(position, setting, direct_matrix, tolerance_nm)
    images = wrap(setting.rotations @ exact + setting.translations)
    # Images that coincide now agree to rounding noise, so equal digits find them; the odd offset keeps fractions such as
    # 1/3 away from the edges of rounding. By Lagrange's theorem the count proves the result; else compare all pairs.
    _, first = np.unique(np.floor((images + 0.2345678e-6) * 1e6), axis=0, return_index=True)
    home = images - exact
    home -= np.rint(home)
    site_symmetry = int((np.linalg.norm(home @ direct_matrix, axis=1) < tolerance_nm).sum())
    if len(first) * site_symmetry == len(images):
        return images[np.sort(first)]
    difference = images[:, None, :] - images[None, :, :]
    difference -= np.rint(difference)
    same = np.linalg.norm(difference @ direct_matrix, axis=-1) < tolerance_nm
    first = same.argmax(axis=1)
    return images[np.unique(first)]
