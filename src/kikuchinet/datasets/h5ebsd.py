"""kikuchipy's own HDF5 layout, as far as simulated patterns need it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import h5py
import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

PATTERNS = "Scan 1/EBSD/Data/patterns"
SAMPLE_TILT_DEG = 70.0
"""Where no other is given; 70 degrees is the paper's and nearly everybody's."""
BLOCK = 32
"""Patterns in a chunk of a file."""


def create_patterns(file: h5py.File, n: int, shape: tuple[int, int]) -> h5py.Dataset:
    """Return a new data set for n patterns of 8 bits."""
    return file.create_dataset(
        PATTERNS,
        shape=(n, *shape),
        dtype=np.uint8,
        chunks=(min(BLOCK, n), *shape),
        compression="gzip",
        compression_opts=1,
        shuffle=True,
    )


def write_header(
    file: h5py.File,
    shape: tuple[int, int],
    centers: NDArray[np.float64],
    detector_tilt_deg: float,
    *,
    sample_tilt_deg: float = SAMPLE_TILT_DEG,
    azimuthal_deg: float = 0.0,
    twist_deg: float = 0.0,
    scan_shape: tuple[int, int] | None = None,
    step_um: float = 1.0,
    crystal_map: CrystalMap | None = None,
) -> None:
    """Write what kikuchipy needs beside the patterns (its h5ebsd layout, version 0.11 and later).

    Parameters
    ----------
    file
        The open file.
    shape
        Rows and columns of a pattern.
    centers
        (n, 3) pattern centres, Bruker's convention.
    detector_tilt_deg
        Tilt of the detector.
    sample_tilt_deg, azimuthal_deg, twist_deg
        The other angles of `Detector`.
    scan_shape
        Rows and columns of the scan; one row if not given.
    step_um
        Step of the scan.
    crystal_map
        What lies where, in the order of the patterns.
    """
    from kikuchipy import __version__ as kikuchipy_version

    rows, columns = scan_shape or (1, len(centers))
    header = file.create_group("Scan 1/EBSD/Header")
    numbers: dict[str, float] = {
        "azimuth_angle": azimuthal_deg,
        "binning": 1.0,
        "detector_pixel_size": 1.0,
        "elevation_angle": detector_tilt_deg,
        "n_columns": columns,
        "n_rows": rows,
        "pattern_height": shape[0],
        "pattern_width": shape[1],
        "sample_tilt": sample_tilt_deg,
        "static_background": -1,
        "step_x": step_um,
        "step_y": step_um if rows > 1 else 1,
        "twist_angle": twist_deg,
    }
    for name, number in numbers.items():
        header[name] = np.array([number])
    for name, values in zip(("pcx", "pcy", "pcz"), centers.T, strict=True):
        header[name] = values
    microscope = file.create_group("Scan 1/SEM/Header")
    for name in ("beam_energy", "magnification", "working_distance"):
        microscope[name] = np.array([0])
    microscope["microscope"] = np.array([b"kikuchinet"])
    file["manufacturer"] = np.array([b"kikuchipy"])
    file["version"] = np.array([kikuchipy_version.encode()])
    if crystal_map is not None:
        from orix import __version__ as orix_version
        from orix.io.plugins.orix_hdf5 import crystalmap2dict, dict2hdf5group

        group = file.create_group("Scan 1/EBSD/CrystalMap")
        content = {
            "manufacturer": "orix",
            "version": orix_version,
            "crystal_map": crystalmap2dict(crystal_map),
        }
        dict2hdf5group(content, group)
