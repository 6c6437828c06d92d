"""Where the screen stands: shape, pattern centre and tilts."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.pattern_center import canonical_convention, from_bruker, to_bruker

if TYPE_CHECKING:
    from kikuchipy.detectors import EBSDDetector


@dataclass(frozen=True)
class Detector:
    """An EBSD detector in front of a tilted sample.

    Parameters
    ----------
    shape
        Rows and columns in (binned) pixels.
    pattern_center
        (x, y, z) in `convention`. It is converted when the detector is made: afterwards `pattern_center` is
        Bruker's and `convention` is ``"bruker"``, so that `dataclasses.replace` keeps its meaning.
    convention
        ``"bruker"``, ``"tsl"`` (``"edax"``), ``"oxford"`` (``"aztec"``), ``"emsoft"`` (version 5) or
        ``"emsoft4"``.
    tilt_deg
        Tilt of the detector about its x axis, positive downwards, degrees.
    azimuthal_deg
        Rotation of the detector about its y axis, degrees.
    twist_deg
        Rotation of the detector about its normal, degrees.
    sample_tilt_deg
        Tilt of the sample towards the detector, degrees; 70 in nearly every set-up.
    px_size_um
        Unbinned pixel size in µm. Only EMsoft's convention needs it.
    binning
        Binning of the camera. Only EMsoft's convention needs it.

    Raises
    ------
    InputError
        If the shape, the pattern centre or an angle cannot be.

    Examples
    --------
    >>> detector = Detector(shape=(60, 80), pattern_center=(0.4, 0.2, 0.6), convention="tsl")
    >>> detector.pattern_center
    (0.4, 0.8, 0.6)
    """

    shape: tuple[int, int]
    pattern_center: tuple[float, float, float] = (0.5, 0.5, 0.5)
    convention: str = "bruker"
    tilt_deg: float = 0.0
    azimuthal_deg: float = 0.0
    sample_tilt_deg: float = 70.0
    px_size_um: float = 1.0
    binning: float = 1.0
    twist_deg: float = 0.0

    def __post_init__(self) -> None:
        shape = _checked_shape(self.shape)
        numbers = {
            "tilt_deg": self.tilt_deg,
            "azimuthal_deg": self.azimuthal_deg,
            "sample_tilt_deg": self.sample_tilt_deg,
            "twist_deg": self.twist_deg,
            "px_size_um": self.px_size_um,
            "binning": self.binning,
        }
        for name, value in numbers.items():
            try:
                number = float(value)
            except (TypeError, ValueError):
                raise InputError(f"detector {name}", f"{value!r} is not a number") from None
            if not np.isfinite(number):
                raise InputError(f"detector {name}", f"{number} is not a finite number")
            if name in ("px_size_um", "binning") and number <= 0:
                raise InputError(f"detector {name}", f"must be larger than zero, got {number}")
            object.__setattr__(self, name, number)
        try:
            given = np.asarray(self.pattern_center, dtype=np.float64)
        except (TypeError, ValueError):
            raise InputError("pattern centre", f"{self.pattern_center!r} is not three numbers") from None
        if given.shape != (3,):
            raise InputError("pattern centre", f"needs three numbers (x, y, z), got shape {given.shape}")
        pc = to_bruker(given, self.convention, shape, binning=self.binning, px_size_um=self.px_size_um)
        if not np.all(np.isfinite(pc)):
            raise InputError("pattern centre", f"{tuple(given)} holds a number that is not finite")
        if pc[2] <= 0:
            raise InputError("pattern centre", f"the distance z must be larger than zero, got {given[2]}")
        object.__setattr__(self, "shape", shape)
        object.__setattr__(self, "pattern_center", (float(pc[0]), float(pc[1]), float(pc[2])))
        object.__setattr__(self, "convention", "bruker")

    def pattern_center_in(self, convention: str) -> tuple[float, float, float]:
        """Return the pattern centre in a vendor's convention.

        Parameters
        ----------
        convention
            As for the class.

        Returns
        -------
        tuple of float
            (x, y, z); in EMsoft's convention pixels, pixels and µm, else fractions.
        """
        pc = from_bruker(
            self.pattern_center,
            canonical_convention(convention),
            self.shape,
            binning=self.binning,
            px_size_um=self.px_size_um,
        )
        return (float(pc[0]), float(pc[1]), float(pc[2]))

    @property
    def detector_to_sample(self) -> NDArray[np.float64]:
        """Matrix (3, 3) that takes a vector's detector coordinates to its sample coordinates."""
        return detector_to_sample(self.sample_tilt_deg, self.tilt_deg, self.azimuthal_deg, self.twist_deg)

    def binned(self, to: int | tuple[int, int]) -> Detector:
        """Return the detector with larger pixels.

        Parameters
        ----------
        to
            A binning factor, or the rows and columns to come to. A chip leaves out the rows and columns at its end that
            fill no whole pixel. Where a shape of another aspect is asked for, a centred part of the screen with that
            aspect is taken, as `kikuchinet.patterns.preprocess` does.

        Raises
        ------
        InputError
            If the factor is not a whole number of at least 1 that leaves a pixel, or the shape cannot be.
        """
        rows, columns = self.shape
        if isinstance(to, int):
            if not 1 <= to <= min(self.shape):
                raise InputError("detector binning", f"{to} does not fit a screen of {rows} x {columns} px")
            shape = (rows // to, columns // to)
            part = self.cropped(0, 0, shape[0] * to, shape[1] * to)
        else:
            shape = _checked_shape(to)
            kept_columns = min(columns, max(1, round(rows * shape[1] / shape[0])))
            kept_rows = min(rows, max(1, round(columns * shape[0] / shape[1])))
            top, left = (rows - kept_rows) // 2, (columns - kept_columns) // 2
            part = self.cropped(top, left, kept_rows, kept_columns)
        return replace(part, shape=shape, binning=self.binning * part.shape[0] / shape[0])

    def cropped(self, top: int, left: int, rows: int, columns: int) -> Detector:
        """Return a part of the screen as a detector of its own.

        Parameters
        ----------
        top, left
            First row and column of the part.
        rows, columns
            Its size.

        Raises
        ------
        InputError
            If the part does not lie on the screen.
        """
        inside = min(top, left) >= 0 and top + rows <= self.shape[0] and left + columns <= self.shape[1]
        if not (inside and rows > 0 and columns > 0):
            raise InputError(
                "detector crop",
                f"{rows} x {columns} px from ({top}, {left}) do not lie on {self.shape[0]} x {self.shape[1]}",
            )
        x, y, z = self.pattern_center
        center = (
            (x * self.shape[1] - left) / columns,
            (y * self.shape[0] - top) / rows,
            z * self.shape[0] / rows,
        )
        return replace(self, shape=(rows, columns), pattern_center=center)

    def to_kikuchipy(self) -> EBSDDetector:
        """Return the same detector as kikuchipy's `EBSDDetector`."""
        import kikuchipy as kp

        return kp.detectors.EBSDDetector(
            shape=self.shape,
            pc=self.pattern_center,
            convention="bruker",
            tilt=self.tilt_deg,
            azimuthal=self.azimuthal_deg,
            twist=self.twist_deg,
            sample_tilt=self.sample_tilt_deg,
            px_size=self.px_size_um,
            binning=self.binning,
        )

    @classmethod
    def from_kikuchipy(cls, detector: EBSDDetector) -> Detector:
        """Make a detector from kikuchipy's `EBSDDetector`.

        Parameters
        ----------
        detector
            A detector with one pattern centre.

        Raises
        ------
        InputError
            If it has more than one pattern centre.
        """
        pc = np.asarray(detector.pc, dtype=np.float64).reshape(-1, 3)
        if len(pc) != 1:
            raise InputError("kikuchipy detector", f"has {len(pc)} pattern centres, one is needed")
        return cls(
            shape=(int(detector.nrows), int(detector.ncols)),
            pattern_center=(pc[0, 0], pc[0, 1], pc[0, 2]),
            convention="bruker",
            tilt_deg=detector.tilt,
            azimuthal_deg=detector.azimuthal,
            sample_tilt_deg=detector.sample_tilt,
            px_size_um=detector.px_size,
            binning=detector.binning,
            twist_deg=float(getattr(detector, "twist", 0.0)),
        )


def detector_to_sample(
    sample_tilt_deg: float, tilt_deg: float = 0.0, azimuthal_deg: float = 0.0, twist_deg: float = 0.0
) -> NDArray[np.float64]:
    """Return the matrix from detector to sample coordinates.

    Parameters
    ----------
    sample_tilt_deg, tilt_deg, azimuthal_deg, twist_deg
        As in `Detector`.

    Returns
    -------
    numpy.ndarray
        (3, 3), acting on column vectors.

    Notes
    -----
    With all angles zero the detector's x axis is the sample's y (transverse direction), its y axis the
    sample's z (normal) and its z axis, the screen's normal, the sample's x. The detector frame is then
    turned about its own axes: x by the detector's tilt less the sample's, y by the negative azimuth, z by
    the negative twist. This is kikuchipy's convention; the tests hold it to that.
    """
    about_x = np.deg2rad(tilt_deg - sample_tilt_deg)
    about_y = np.deg2rad(-azimuthal_deg)
    about_z = np.deg2rad(-twist_deg)
    frame = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    for axis, angle in ((0, about_x), (1, about_y), (2, about_z)):
        second, third = (axis + 1) % 3, (axis + 2) % 3
        turned = frame.copy()
        turned[second] = np.cos(angle) * frame[second] + np.sin(angle) * frame[third]
        turned[third] = np.cos(angle) * frame[third] - np.sin(angle) * frame[second]
        frame = turned
    return frame.T


def _checked_shape(shape: Any) -> tuple[int, int]:
    """Return `shape` as two positive integers or raise an `InputError`."""
    try:
        rows, columns = shape
        checked = (int(rows), int(columns))
        whole = checked == (rows, columns)
    except (TypeError, ValueError, OverflowError):
        raise InputError("detector shape", f"{shape!r} is not (rows, columns)") from None
    if not whole:
        raise InputError("detector shape", f"{shape!r} is not (rows, columns) in whole pixels")
    if min(checked) < 1:
        raise InputError("detector shape", f"{checked} has a side of less than one pixel")
    return checked
