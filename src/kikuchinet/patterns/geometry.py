"""Where the screen stood when patterns were recorded, as far as their files say."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector
from kikuchinet.microscope.pattern_center import to_bruker
from kikuchinet.patterns.libraries import words

_OXFORD_TAG = 51122
"""TIFF tag in which Oxford's software writes the geometry as XML."""
_LARGEST_XML = 100_000


@dataclass(frozen=True, eq=False)
class Geometry:
    """Geometry of one file's patterns.

    Parameters
    ----------
    pattern_centers
        (1, 3) or (n, 3), Bruker's convention.
    sample_tilt_deg, detector_tilt_deg, azimuthal_deg, twist_deg
        Tilts as in `kikuchinet.microscope.Detector`.
    energy_kev
        Energy of the beam; None where the file does not say.
    """

    pattern_centers: NDArray[np.float64]
    sample_tilt_deg: float = 70.0
    detector_tilt_deg: float = 0.0
    azimuthal_deg: float = 0.0
    twist_deg: float = 0.0
    energy_kev: float | None = None

    def detector(self, shape: tuple[int, int], index: int | None = None) -> Detector:
        """Return the detector of one pattern, or with the mean pattern centre of all.

        Parameters
        ----------
        shape
            Rows and columns of the patterns.
        index
            Which pattern; the mean if not given.
        """
        if index is None or len(self.pattern_centers) == 1:
            center = self.pattern_centers.mean(axis=0)
        else:
            center = self.pattern_centers[index]
        return Detector(
            shape,
            (float(center[0]), float(center[1]), float(center[2])),
            tilt_deg=self.detector_tilt_deg,
            azimuthal_deg=self.azimuthal_deg,
            twist_deg=self.twist_deg,
            sample_tilt_deg=self.sample_tilt_deg,
        )


def signal_geometry(signal: Any, n: int) -> Geometry | None:
    """Return what a kikuchipy signal knows of its detector.

    None where it knows nothing: kikuchipy then has every pattern centre at (0.5, 0.5, 0.5), where none ever is, or the file
    holds one that was never calibrated, with the screen at no distance from the specimen.
    """
    detector = getattr(signal, "detector", None)
    if detector is None:
        return None
    centers = np.asarray(detector.pc, dtype=np.float64).reshape(-1, 3)
    if not np.isfinite(centers).all() or (centers == 0.5).all() or len(centers) not in (1, n):
        return None
    if (centers[:, 2] <= 0).any():
        return None
    return Geometry(
        pattern_centers=centers,
        sample_tilt_deg=float(detector.sample_tilt),
        detector_tilt_deg=float(detector.tilt),
        azimuthal_deg=float(detector.azimuthal),
        twist_deg=float(getattr(detector, "twist", 0.0)),
        energy_kev=_beam_energy(signal),
    )


def _beam_energy(signal: Any) -> float | None:
    """Return the energy of the beam in keV, or None; readers give a number of any type, or an array of one."""
    said = signal.metadata.get_item("Acquisition_instrument.SEM.beam_energy", default=None)
    value = np.ravel(said)
    if value.size != 1 or value.dtype.kind not in "uif" or not np.isfinite(value[0]) or value[0] <= 0:
        return None
    return float(value[0])


def oxford_tiff_geometry(path: Path) -> Geometry | None:
    """Return the geometry that Oxford's software writes into a TIFF image of a pattern.

    Parameters
    ----------
    path
        The image.

    Returns
    -------
    Geometry or None
        None where the image has no such tag.

    Raises
    ------
    kikuchinet.errors.InputError
        The tag is there and cannot be understood.

    Notes
    -----
    Tag 51122 holds XML with the pattern centre (in widths of the image, Oxford's convention), the beam's energy, the
    specimen's tilt and the detector's Euler angles; its tilt is the second one less 90 degrees, as kikuchipy reads
    Oxford's HDF5 files.
    """
    import tifffile

    try:
        with tifffile.TiffFile(path) as file:
            page = file.pages.first
            tag = page.tags.get(_OXFORD_TAG)
            text = None if tag is None else tag.value
            shape = (int(page.imagelength), int(page.imagewidth))
    except Exception as error:  # decoders raise anything at all on damaged files
        raise InputError(path, f"cannot be read as an image ({words(error)})") from error
    if text is None:
        return None
    if isinstance(text, bytes):
        text = text.decode("utf-8", errors="replace")
    numbers = _numbers(path, str(text))
    try:
        center = [
            numbers[f"{name}-pu"] for name in ("pattern-center-x", "pattern-center-y", "detector-distance")
        ]
    except KeyError as error:
        raise InputError(path, f"TIFF tag {_OXFORD_TAG} holds no {error.args[0]}") from error
    if not np.isfinite(center).all() or center[2] <= 0:
        raise InputError(path, f"TIFF tag {_OXFORD_TAG} holds an impossible pattern centre {center}")
    inside = to_bruker(np.array([center]), "oxford", shape)
    return Geometry(
        pattern_centers=np.asarray(inside, dtype=np.float64).reshape(1, 3),
        sample_tilt_deg=numbers.get("specimen-tilt-deg", 70.0),
        detector_tilt_deg=numbers.get("detector-orientation-euler2-deg", 90.0) - 90.0,
        energy_kev=numbers.get("sem-acc-voltage-kv"),
    )


def _numbers(path: Path, text: str) -> dict[str, float]:
    """Return the elements of the XML that hold a number."""
    from xml.etree import ElementTree as ET

    # No document type: nothing to expand, and nothing to fetch.
    if len(text) > _LARGEST_XML or "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise InputError(path, f"TIFF tag {_OXFORD_TAG} holds no geometry of a pattern")
    try:
        root = ET.fromstring(text)  # noqa: S314 - see above
    except ET.ParseError as error:
        raise InputError(path, f"TIFF tag {_OXFORD_TAG} is no XML ({error})") from error
    numbers = {}
    for element in root.iter():
        try:
            numbers[element.tag] = float(element.text or "")
        except ValueError:
            continue
    return numbers
