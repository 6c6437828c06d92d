"""Random orientations and random places of the screen."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector, Instrument


def random_quaternions(n: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw orientations uniformly on SO(3).

    Parameters
    ----------
    n
        How many.
    rng
        Source of randomness.

    Returns
    -------
    numpy.ndarray
        (n, 4) unit quaternions, scalar first and not negative.

    Notes
    -----
    Four independent normal deviates have no preferred direction, so their unit vector is uniform on the
    3-sphere, which covers SO(3) twice and evenly (G. Marsaglia, Ann. Math. Stat. 43 (1972) 645).
    """
    normal = rng.standard_normal((n, 4))
    quaternions = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    flipped: NDArray[np.float64] = np.where(quaternions[:, :1] < 0.0, -quaternions, quaternions)
    return flipped


@dataclass(frozen=True)
class GeometryRange:
    """Uniform ranges of where the screen stands; each a pair of numbers in rising order.

    Parameters
    ----------
    pc_x, pc_y, pc_z
        Pattern centre in Bruker's convention: fraction of the width from the left, of the height from the top,
        and screen distance in heights. Drawn for every pattern.
    sample_tilt_deg, detector_tilt_deg, azimuthal_deg
        Tilts as in `kikuchinet.microscope.Detector`. Drawn for every block of patterns.
    """

    pc_x: tuple[float, float] = (0.35, 0.65)
    pc_y: tuple[float, float] = (0.1, 0.9)
    pc_z: tuple[float, float] = (0.35, 0.9)
    sample_tilt_deg: tuple[float, float] = (68.0, 72.0)
    detector_tilt_deg: tuple[float, float] = (-5.0, 10.0)
    azimuthal_deg: tuple[float, float] = (-2.0, 2.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            low, high = getattr(self, field.name)
            if not low <= high:
                raise InputError(
                    f"geometry {field.name}", f"{low:g} to {high:g} is not a range in rising order"
                )
        if self.pc_z[0] <= 0.0:
            raise InputError("geometry pc_z", "the screen's distance must be positive")

    @classmethod
    def around(
        cls,
        place: Detector | Instrument,
        size: tuple[int, int] | None = None,
        *,
        center: float = 0.1,
        tilt_deg: float = 2.0,
    ) -> GeometryRange:
        """Return ranges around a real set-up, for training.

        Parameters
        ----------
        place
            The set-up.
        size
            Rows and columns of the patterns that will be made. Where their aspect is not the screen's, they show its
            middle (`Detector.binned`), which moves the pattern centre. Without it they have the screen's aspect.
        center
            How far each number of the pattern centre may be off, in widths and heights. Between insertions of a detector,
            working distances and the ends of a map it moves by 0.1 or more.
        tilt_deg
            How far each tilt may be off, in degrees.
        """
        detector = place.detector if isinstance(place, Instrument) else place
        x, y, z = (detector if size is None else detector.binned(size)).pattern_center
        tilts = (detector.sample_tilt_deg, detector.tilt_deg, detector.azimuthal_deg)
        return cls(
            (x - center, x + center),
            (y - center, y + center),
            (max(z - center, 0.5 * z), z + center),
            *((tilt - tilt_deg, tilt + tilt_deg) for tilt in tilts),
        )

    def pattern_centers(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n pattern centres, (n, 3)."""
        low, high = np.transpose([self.pc_x, self.pc_y, self.pc_z])
        centers: NDArray[np.float64] = rng.uniform(low, high, size=(n, 3))
        return centers

    def tilts_deg(self, rng: np.random.Generator) -> tuple[float, float, float]:
        """Draw the tilt of the sample, the tilt of the detector and the detector's azimuthal angle, in degrees."""
        return (
            float(rng.uniform(*self.sample_tilt_deg)),
            float(rng.uniform(*self.detector_tilt_deg)),
            float(rng.uniform(*self.azimuthal_deg)),
        )
