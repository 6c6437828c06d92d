"""Where a crystal's zone axes, bands and HOLZ rings lie on a pattern of known orientation."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.bands import find_bands, index_box, one_of_each_pair
from kikuchinet.diffraction.electrons import wavelength_nm
from kikuchinet.microscope import Detector, pixel_directions

if TYPE_CHECKING:
    from orix.quaternion import Rotation

_HIGHEST_INDEX = 4
"""Of zone axes."""


@dataclass(frozen=True, eq=False)
class ZoneAxes:
    """Zone axes of a crystal, those where most bands meet first, one of each pair ±uvw.

    Parameters
    ----------
    uvw
        (n, 3) indices without common divisor.
    strength
        (n,) summed strength of the bands that meet there, relative to the largest sum.
    directions
        (n, 3) unit vectors, Cartesian.
    translation_nm
        (n,) length of the shortest lattice translation along the axis.
    """

    uvw: NDArray[np.int64]
    strength: NDArray[np.float64]
    directions: NDArray[np.float64]
    translation_nm: NDArray[np.float64]

    def holz_angles(self, energy_kev: float) -> NDArray[np.float64]:
        """Return the angular radii (n,) of the first-order HOLZ rings, radians.

        Notes
        -----
        The lines of the reflections in the first layer above the zero layer, at the height H = 1/translation, have a
        common envelope, a cone around the axis with cos φ = 1 - λH [1]_.

        References
        ----------
        .. [1] J. R. Michael, J. A. Eades, Ultramicroscopy 81 (2000) 67-81.
        """
        angles: NDArray[np.float64] = np.arccos(1.0 - wavelength_nm(energy_kev) / self.translation_nm)
        return angles


@lru_cache(maxsize=256)
def find_zone_axes(crystal: Crystal, weakest: float = 0.25) -> ZoneAxes:
    """Return the zone axes of a crystal at which at least three bands meet.

    Parameters
    ----------
    crystal
        The crystal.
    weakest
        Share of the largest summed strength of bands below which an axis is left out.
    """
    uvw = one_of_each_pair(index_box(np.full(3, _HIGHEST_INDEX)))
    uvw = uvw[np.gcd.reduce(uvw, axis=1) == 1]
    planes = find_bands(crystal)
    meets = planes.hkl @ uvw.T == 0
    total = np.where(meets.sum(axis=0) >= 3, planes.strength @ meets, 0.0)
    total /= total.max()
    order = np.lexsort((*uvw.T, -np.round(total, 9)))
    order = order[total[order] >= weakest]
    uvw = uvw[order]
    vectors = uvw @ crystal.direct_matrix
    length = np.linalg.norm(vectors, axis=1)
    return ZoneAxes(uvw, total[order], vectors / length[:, None], length / _repeats(crystal, uvw))


@dataclass(frozen=True, eq=False)
class PatternFeatures:
    """What of a crystal lies where on one pattern.

    Parameters
    ----------
    crystal, detector, energy_kev
        What is drawn, on which screen.
    directions
        (rows, columns, 3) unit vectors in the crystal.
    """

    crystal: Crystal
    detector: Detector
    energy_kev: float
    directions: NDArray[np.float64]

    @classmethod
    def of(
        cls, crystal: Crystal, rotation: Rotation, detector: Detector, energy_kev: float = 20.0
    ) -> PatternFeatures:
        """Return the features of a crystal in one orientation (sample to crystal) on a detector."""
        return cls(crystal, detector, energy_kev, pixel_directions(rotation, detector))

    def angles_to_axes(self) -> NDArray[np.float64]:
        """Return the angles (n, rows, columns) between each pixel and each zone axis, radians, 0 to π/2."""
        axes = find_zone_axes(self.crystal)
        cosine = np.abs(np.einsum("ijk,nk->nij", self.directions, axes.directions))
        return np.arccos(np.minimum(cosine, 1.0))

    def angles_to_planes(self) -> NDArray[np.float64]:
        """Return the angles (n, rows, columns) between each pixel and each reflecting plane, radians, with sign."""
        return np.arcsin(
            np.einsum("ijk,nk->nij", self.directions, find_bands(self.crystal).normals).clip(-1, 1)
        )

    def zone_axis_mask(self, radius_deg: float = 2.5) -> NDArray[np.bool_]:
        """Return where (rows, columns) a zone axis is nearer than `radius_deg`."""
        return (self.angles_to_axes() <= np.deg2rad(radius_deg)).any(axis=0)

    def holz_mask(self, width_deg: float = 1.0, strongest: int = 12) -> NDArray[np.bool_]:
        """Return where (rows, columns) a first-order HOLZ ring of one of the strongest zone axes runs.

        Parameters
        ----------
        width_deg
            Width of the ring.
        strongest
            How many zone axes; equivalent ones count each.
        """
        radii = find_zone_axes(self.crystal).holz_angles(self.energy_kev)[:strongest, None, None]
        return (np.abs(self.angles_to_axes()[:strongest] - radii) <= 0.5 * np.deg2rad(width_deg)).any(axis=0)

    def band_mask(self, strongest: int = 20) -> NDArray[np.bool_]:
        """Return where (rows, columns) one of the strongest bands lies, Kikuchi line to Kikuchi line."""
        half = find_bands(self.crystal).bragg_angles(self.energy_kev)[:strongest, None, None]
        return np.asarray((np.abs(self.angles_to_planes()[:strongest]) <= half).any(axis=0))


def prepared_detector(detector: Detector, size: tuple[int, int]) -> Detector:
    """Return the detector of patterns that went through `kikuchinet.patterns.preprocess`.

    Parameters
    ----------
    detector
        Of the patterns as they were stored.
    size
        Rows and columns of the prepared patterns.

    Returns
    -------
    Detector
        With the pattern centre of the centred crop that has the aspect of `size`.
    """
    rows, columns = detector.shape
    kept_columns = min(columns, max(1, round(rows * size[1] / size[0])))
    kept_rows = min(rows, max(1, round(columns * size[0] / size[1])))
    top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
    x, y, z = detector.pattern_center
    return Detector(
        shape=size,
        pattern_center=(
            (x * columns - left) / kept_columns,
            (y * rows - top) / kept_rows,
            z * rows / kept_rows,
        ),
        tilt_deg=detector.tilt_deg,
        azimuthal_deg=detector.azimuthal_deg,
        twist_deg=detector.twist_deg,
        sample_tilt_deg=detector.sample_tilt_deg,
    )


def _repeats(crystal: Crystal, uvw: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return how many lattice translations the vector uvw holds: more than one in some directions of centred cells."""
    points = {"P": [], "A": [(0, 3, 3)], "B": [(3, 0, 3)], "C": [(3, 3, 0)], "I": [(3, 3, 3)]}
    points |= {"F": [(0, 3, 3), (3, 0, 3), (3, 3, 0)], "R": [(4, 2, 2), (2, 4, 4)]}
    # In sixths of the cell: uvw/2 or uvw/3 is a translation if it is a centring point, but for whole cells.
    centring = {(0, 0, 0), *points[crystal.centring]}
    repeats = np.ones(len(uvw), dtype=np.int64)
    for divisor in (2, 3):
        parts = 6 // divisor * uvw % 6
        repeats[[tuple(part) in centring for part in parts.tolist()]] = divisor
    return repeats
