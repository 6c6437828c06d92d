"""Stored sets of simulated patterns: an HDF5 file that kikuchipy reads, and a manifest beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import kikuchinet
from kikuchinet._files import atomic_path
from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.recording import record
from kikuchinet.datasets.stream import CAMERAS
from kikuchinet.errors import InputError

_BLOCK = 32
SAMPLE_TILT_DEG = 70.0
"""One file has one sample tilt; 70 degrees is the paper's and nearly everybody's."""


def generate(
    masters: MasterSet,
    out: str | Path,
    *,
    count: int,
    shape: tuple[int, int] = (128, 128),
    camera: str = "mixed",
    quality: tuple[float, float] = (0.0, 0.0),
    geometry: GeometryRange | None = None,
    detector_tilt_deg: float = 0.0,
    seed: int = 0,
    progress: bool = True,
) -> Manifest:
    """Write labelled detector patterns of every material.

    Parameters
    ----------
    masters
        The master patterns; a material's patterns are shared evenly over its master patterns.
    out
        HDF5 file to write, in kikuchipy's own layout. The manifest goes beside it, same name, ``.csv``.
    count
        Patterns per material.
    shape
        Rows and columns of the screen.
    camera
        ``good``, ``mixed``, ``poor`` or ``binned``: which of `CameraRange`'s presets the cameras are drawn from.
    quality
        Range, drawn from uniformly for every 32 patterns: 0 for the camera's full range, 1 for its best.
    geometry
        Ranges of the pattern centre. Its tilts are not used: a file has one set of tilts.
    detector_tilt_deg
        Tilt of the detector.
    seed
        Same seed, same patterns.
    progress
        Show a progress bar.

    Returns
    -------
    Manifest
        As written.

    Raises
    ------
    kikuchinet.errors.InputError
        A number makes no sense.
    """
    from rich.progress import track

    if count < 1:
        raise InputError("count", f"{count} is not positive")
    if camera not in CAMERAS:
        raise InputError("camera", f"{camera!r} is none of {', '.join(CAMERAS)}")
    if not 0.0 <= quality[0] <= quality[1] <= 1.0:
        raise InputError("quality", "must be a range in rising order between 0 and 1")
    tilts = (detector_tilt_deg, detector_tilt_deg)
    geometry = replace(
        geometry or GeometryRange(),
        sample_tilt_deg=(SAMPLE_TILT_DEG, SAMPLE_TILT_DEG),
        detector_tilt_deg=tilts,
        azimuthal_deg=(0.0, 0.0),
    )
    cameras = CAMERAS[camera]()
    jobs = _jobs(masters, count)
    out = Path(out)
    rows = []
    n = sum(size for _, size in jobs)
    centers = np.empty((n, 3))
    quaternions = np.empty((n, 4))
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        patterns = file.create_dataset(
            "Scan 1/EBSD/Data/patterns",
            shape=(n, *shape),
            dtype=np.uint8,
            chunks=(min(_BLOCK, n), *shape),
            compression="gzip",
            compression_opts=1,
            shuffle=True,
        )
        start = 0
        for number, (master, size) in enumerate(
            track(jobs, description="patterns", disable=not progress, transient=True)
        ):
            rng = np.random.default_rng([seed, number])
            block = record(
                masters,
                master,
                size,
                shape,
                geometry=geometry,
                cameras=cameras,
                quality=float(rng.uniform(*quality)),
                rng=rng,
            )
            where = slice(start, start + size)
            patterns[where] = to_uint8(block.images)
            centers[where], quaternions[where] = block.pattern_centers, block.quaternions
            entry = masters[master]
            rows += [
                (entry.material, entry.space_group, entry.visible_group, entry.energy_kev, block.quality[0])
            ] * size
            start += size
        _write_header(file, shape, centers, detector_tilt_deg)
        file["kikuchinet/quaternions"] = quaternions
        file["kikuchinet"].attrs["version"] = kikuchinet.__version__
    manifest = _manifest(out, rows, quaternions, centers)
    manifest.write(out.with_suffix(".csv"))
    return manifest


def to_uint8(images: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Stretch every pattern (n, rows, columns) over 0 to 255, as a vendor's program does."""
    low = images.min(axis=(1, 2), keepdims=True)
    span = images.max(axis=(1, 2), keepdims=True) - low
    scaled = (images - low) * (255.0 / np.maximum(span, np.finfo(np.float32).tiny))
    return np.rint(np.minimum(scaled, 255.0)).astype(np.uint8)


def _jobs(masters: MasterSet, count: int) -> list[tuple[int, int]]:
    """Divide the work into blocks: (index of the master pattern, number of patterns)."""
    jobs = []
    for material in masters.materials:
        variants = [i for i, entry in enumerate(masters) if entry.material == material]
        shares = [len(part) for part in np.array_split(np.arange(count), len(variants))]
        for variant, share in zip(variants, shares, strict=True):
            jobs += [(variant, min(_BLOCK, share - done)) for done in range(0, share, _BLOCK)]
    return jobs


def _write_header(
    file: h5py.File, shape: tuple[int, int], centers: NDArray[np.float64], detector_tilt_deg: float
) -> None:
    """Write what kikuchipy needs beside the patterns (its h5ebsd layout, version 0.11 and later)."""
    from kikuchipy import __version__ as kikuchipy_version

    header = file.create_group("Scan 1/EBSD/Header")
    numbers: dict[str, float] = {
        "azimuth_angle": 0.0,
        "binning": 1.0,
        "detector_pixel_size": 1.0,
        "elevation_angle": detector_tilt_deg,
        "n_columns": len(centers),
        "n_rows": 1,
        "pattern_height": shape[0],
        "pattern_width": shape[1],
        "sample_tilt": SAMPLE_TILT_DEG,
        "static_background": -1,
        "step_x": 1.0,
        "step_y": 1,
        "twist_angle": 0.0,
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


def _manifest(
    out: Path,
    rows: list[tuple[str, int, int, float, float]],
    quaternions: NDArray[np.float64],
    centers: NDArray[np.float64],
) -> Manifest:
    import pandas as pd

    columns = ["material", "space_group", "visible_group", "energy_kev", "quality"]
    frame = pd.DataFrame(rows, columns=columns)
    frame.insert(0, "file", out.name)
    frame.insert(1, "index", np.arange(len(rows)))
    frame[["qa", "qb", "qc", "qd"]] = quaternions
    frame[["pc_x", "pc_y", "pc_z"]] = centers
    frame["source"] = f"simulated by kikuchinet {kikuchinet.__version__}"
    return Manifest(frame, out.parent)
