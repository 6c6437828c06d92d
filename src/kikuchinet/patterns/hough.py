"""The Hough (Radon) transform of a pattern, as indexing software sees it: PyEBSDIndex's."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.patterns.libraries import import_pyebsdindex

if TYPE_CHECKING:
    from pyebsdindex.band_detect import BandDetect


@dataclass(frozen=True, eq=False)
class HoughTransform:
    """The transform of one pattern and the bands found in it.

    Parameters
    ----------
    values
        float32 (n_rho, n_theta), mean grey level along each line.
    theta_deg
        (n_theta,) direction of the line's normal, degrees, counted from x to y with y upwards, ascending.
    rho
        (n_rho,) distance of the line from the middle of the pattern along its normal, in heights, ascending.
    bands
        (n, 3) theta in degrees, rho in heights, and height of the peak relative to the strongest, strongest first.
    """

    values: NDArray[np.float32]
    theta_deg: NDArray[np.float64]
    rho: NDArray[np.float64]
    bands: NDArray[np.float64]


def hough_transform(image: NDArray[np.generic], n_bands: int = 9) -> HoughTransform:
    """Return the Hough transform of a pattern.

    Parameters
    ----------
    image
        (rows, columns), at best prepared: a background shows as one broad peak.
    n_bands
        Number of bands to find, at most.

    Returns
    -------
    HoughTransform
        By PyEBSDIndex [1]_: 180 angles, 90 distances, peaks of the transform filtered with the second derivative of a
        Gaussian.

    Raises
    ------
    kikuchinet.errors.InputError
        The image does not have rows and columns.

    References
    ----------
    .. [1] D. J. Rowenhorst, P. G. Callahan, H. W. Ånes, J. Appl. Cryst. 57 (2024) 3-19.
    """
    pattern = np.asarray(image, dtype=np.float32)
    if pattern.ndim != 2:
        raise InputError("pattern", f"shape {pattern.shape}; an image has rows and columns")
    return hough_transforms(pattern[None], n_bands)[0]


def hough_transforms(images: NDArray[np.generic], n_bands: int = 9) -> list[HoughTransform]:
    """Return the Hough transforms of patterns (n, rows, columns), faster than one by one; see `hough_transform`."""
    patterns = np.ascontiguousarray(images, dtype=np.float32)
    if patterns.ndim != 3:
        raise InputError("patterns", f"shape {patterns.shape}; (n, rows, columns) is needed")
    rows = patterns.shape[1]
    detect = _band_detection((rows, patterns.shape[2]), n_bands)
    transforms = detect.radonPlan.radon_faster(patterns, fixArtifacts=False)
    theta_deg = 180.0 - detect.radonPlan.theta[::-1].astype(np.float64)
    rho = -detect.radonPlan.rho[::-1].astype(np.float64) / rows
    results = []
    for number, peaks in enumerate(detect.find_bands(patterns)):
        found = peaks[peaks["max"] > 0]
        found = found[np.argsort(-found["max"], kind="stable")]
        strongest = float(found["max"].max(initial=0.0)) or 1.0
        bands = np.stack([np.rad2deg(found["theta"]), found["rho"] / rows, found["max"] / strongest], axis=1)
        results.append(
            HoughTransform(
                # Both axes run backwards there: its angles count with y downwards.
                values=np.ascontiguousarray(transforms[::-1, ::-1, number]),
                theta_deg=theta_deg,
                rho=rho,
                bands=bands.astype(np.float64),
            )
        )
    return results


@lru_cache(maxsize=8)
def _band_detection(shape: tuple[int, int], n_bands: int) -> BandDetect:
    """Return PyEBSDIndex's plan for a shape, which takes longer to make than to use."""
    import_pyebsdindex()
    from pyebsdindex.band_detect import BandDetect

    return BandDetect(patDim=shape, nTheta=180, nRho=90, nBands=n_bands)


def line_ends(theta_deg: float, rho: float, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Return where a line enters and leaves a pattern.

    Parameters
    ----------
    theta_deg, rho
        As in `HoughTransform.bands`.
    shape
        Rows and columns.

    Returns
    -------
    numpy.ndarray
        (2, 2) column and row of both ends, pixels; NaN if the line misses the pattern.
    """
    rows, columns = shape
    normal = np.array([np.cos(np.deg2rad(theta_deg)), np.sin(np.deg2rad(theta_deg))])
    along = np.array([-normal[1], normal[0]])
    low, high = -np.inf, np.inf
    half = np.array([0.5 * columns, 0.5 * rows])
    foot = rho * rows * normal
    for axis in range(2):
        if abs(along[axis]) < 1e-12:
            if abs(foot[axis]) > half[axis]:
                return np.full((2, 2), np.nan)
            continue
        ends = sorted((side * half[axis] - foot[axis]) / along[axis] for side in (-1.0, 1.0))
        low, high = max(low, ends[0]), min(high, ends[1])
    if low >= high:
        return np.full((2, 2), np.nan)
    points = foot + np.array([[low], [high]]) * along
    return np.stack([points[:, 0] + half[0] - 0.5, half[1] - points[:, 1] - 0.5], axis=1)
