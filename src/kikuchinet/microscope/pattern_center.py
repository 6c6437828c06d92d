"""Pattern-centre conventions of the vendors, converted at the door.

The pattern centre is the point of the screen closest to the source point on the sample, and its distance.
Inside kikuchinet it is always Bruker's: `x` from the left edge in widths, `y` from the top edge in heights,
and the distance `z` in heights.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.errors import InputError

_ALIASES: dict[str, str] = {
    "bruker": "bruker",
    "tsl": "tsl",
    "edax": "tsl",
    "amatek": "tsl",
    "oxford": "oxford",
    "aztec": "oxford",
    "emsoft": "emsoft5",
    "emsoft4": "emsoft4",
    "emsoft5": "emsoft5",
}

#: Names that `Detector` and the conversions below take.
CONVENTIONS: tuple[str, ...] = tuple(_ALIASES)


def canonical_convention(convention: str) -> str:
    """Return the one name of a pattern-centre convention.

    Parameters
    ----------
    convention
        Any of `CONVENTIONS`, in upper or lower case.

    Returns
    -------
    str
        ``"bruker"``, ``"tsl"``, ``"oxford"``, ``"emsoft4"`` or ``"emsoft5"``.

    Raises
    ------
    InputError
        If the convention is unknown.
    """
    try:
        return _ALIASES[str(convention).lower()]
    except KeyError:
        raise InputError(
            f"pattern-centre convention {convention!r}", f"unknown; known are {', '.join(CONVENTIONS)}"
        ) from None


def to_bruker(
    pattern_center: ArrayLike,
    convention: str,
    shape: tuple[int, int],
    *,
    binning: float = 1.0,
    px_size_um: float = 1.0,
) -> NDArray[np.float64]:
    """Convert pattern centres to Bruker's convention.

    Parameters
    ----------
    pattern_center
        One or more pattern centres, shape (..., 3), in `convention`.
    convention
        Any of `CONVENTIONS`.
    shape
        Detector rows and columns, after binning.
    binning
        Detector binning; EMsoft counts in unbinned pixels.
    px_size_um
        Unbinned pixel size in µm; EMsoft gives the distance in µm.

    Returns
    -------
    numpy.ndarray
        Same shape as `pattern_center`, Bruker's convention.

    Notes
    -----
    With :math:`r` rows and :math:`c` columns: EDAX/TSL measures `y` from the bottom and `z` in units of the
    shorter side; Oxford measures both in widths, `y` from the bottom; EMsoft gives the offset from the
    screen's middle in unbinned pixels (with the sign of `x` turned since version 5) and the distance in µm.
    The formulas are those of kikuchipy's `EBSDDetector` [1]_, which are tested to be equal, and of [2]_.

    References
    ----------
    .. [1] https://kikuchipy.org, tutorial "Reference frames".
    .. [2] M. A. Jackson, E. Pascal, M. De Graef, Integr. Mater. Manuf. Innov. 8 (2019) 226-246.
    """
    pc = _three_numbers(pattern_center)
    offset, scale = _offset_and_scale(convention, shape, binning, px_size_um)
    return offset + scale * pc


def from_bruker(
    pattern_center: ArrayLike,
    convention: str,
    shape: tuple[int, int],
    *,
    binning: float = 1.0,
    px_size_um: float = 1.0,
) -> NDArray[np.float64]:
    """Convert pattern centres from Bruker's convention; the inverse of `to_bruker`.

    Parameters
    ----------
    pattern_center
        One or more pattern centres, shape (..., 3), in Bruker's convention.
    convention, shape, binning, px_size_um
        As in `to_bruker`.

    Returns
    -------
    numpy.ndarray
        Same shape as `pattern_center`, in `convention`.
    """
    pc = _three_numbers(pattern_center)
    offset, scale = _offset_and_scale(convention, shape, binning, px_size_um)
    return (pc - offset) / scale


def _three_numbers(pattern_center: ArrayLike) -> NDArray[np.float64]:
    pc = np.array(pattern_center, dtype=np.float64)
    if pc.ndim == 0 or pc.shape[-1] != 3:
        raise InputError("pattern centre", f"needs three numbers (x, y, z), got shape {pc.shape}")
    return pc


def _offset_and_scale(
    convention: str, shape: tuple[int, int], binning: float, px_size_um: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return (3,) each: Bruker's x, y, z where a convention's are 0, and by how much they grow with those."""
    kind = canonical_convention(convention)
    rows, columns = shape
    if kind == "tsl":
        return np.array([0.0, 1.0, 0.0]), np.array([1.0, -1.0, min(rows, columns) / rows])
    if kind == "oxford":
        return np.array([0.0, 1.0, 0.0]), np.array([1.0, -columns / rows, columns / rows])
    if kind.startswith("emsoft"):
        sign = -1.0 if kind == "emsoft5" else 1.0
        width, height = columns * binning, rows * binning
        return np.array([0.5, 0.5, 0.0]), np.array([sign / width, -1.0 / height, 1.0 / (height * px_size_um)])
    return np.zeros(3), np.ones(3)
