"""Stored sets of simulated patterns: an HDF5 file that kikuchipy reads, and a manifest beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import kikuchinet
from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.h5ebsd import BLOCK, SAMPLE_TILT_DEG, create_patterns, write_header
from kikuchinet.datasets.labels import written
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.orientations import FibreTexture
from kikuchinet.datasets.recording import record
from kikuchinet.datasets.stream import CAMERAS
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.microscope import CameraRange
from kikuchinet.microscope import instrument as find_instrument

SHARED_BLOCK = 8
"""Patterns of a material that are recorded with one camera where all materials have the same cameras."""

_CAMERAS = 1
"""Tells the seeds of cameras from those of patterns."""


def generate(
    masters: MasterSet,
    out: str | Path,
    *,
    count: int,
    shape: tuple[int, int] = (128, 128),
    camera: str | CameraRange = "mixed",
    quality: tuple[float, float] = (0.0, 0.0),
    geometry: GeometryRange | None = None,
    detector_tilt_deg: float = 0.0,
    instrument: str = "",
    texture: float = 1.0,
    same_cameras: bool = False,
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
        ``good``, ``mixed``, ``poor``, ``binned`` or ``fast_scan``, the presets of `CameraRange`; or a range.
    quality
        Range, drawn from uniformly for every 32 patterns: 0 for the camera's full range, 1 for its best.
    geometry
        Ranges of the pattern centre. Its tilts are not used: a file has one set of tilts.
    detector_tilt_deg
        Tilt of the detector.
    instrument
        Name of one of `kikuchinet.microscope.INSTRUMENTS` in place of `geometry` and `detector_tilt_deg`: patterns are
        recorded around its place, with its tilt.
    texture
        Maximum of each material's inverse pole figure in multiples of random, `FibreTexture`; 1 for orientations that are
        uniform on SO(3). The fibre's direction is drawn, one a material and seed.
    same_cameras
        Every material is recorded with the same cameras: the n-th `SHARED_BLOCK` patterns of each with the n-th. Else there
        is a camera for every 32 patterns of a material, and a network that learns from few patterns can tell materials by
        the camera.
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
    if isinstance(camera, str) and camera not in CAMERAS:
        raise InputError("camera", f"{camera!r} is none of {', '.join(CAMERAS)}")
    if not 0.0 <= quality[0] <= quality[1] <= 1.0:
        raise InputError("quality", "must be a range in rising order between 0 and 1")
    if instrument:
        if geometry is not None:
            raise InputError("instrument", "give either an instrument or a geometry")
        place = find_instrument(instrument)
        geometry = GeometryRange.around(place, shape)
        detector_tilt_deg = place.detector.tilt_deg
    tilts = (detector_tilt_deg, detector_tilt_deg)
    geometry = replace(
        geometry or GeometryRange(),
        sample_tilt_deg=(SAMPLE_TILT_DEG, SAMPLE_TILT_DEG),
        detector_tilt_deg=tilts,
        azimuthal_deg=(0.0, 0.0),
    )
    cameras = CAMERAS[camera]() if isinstance(camera, str) else camera
    textures = _textures(masters, texture, seed)
    jobs = _jobs(masters, count, SHARED_BLOCK if same_cameras else BLOCK)
    out = Path(out)
    rows = []
    n = sum(size for _, size, _ in jobs)
    centers = np.empty((n, 3))
    quaternions = np.empty((n, 4))
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        patterns = create_patterns(file, n, shape)
        start = 0
        for number, (master, size, of_material) in enumerate(
            track(jobs, description="patterns", disable=not progress, transient=True)
        ):
            rng = np.random.default_rng([seed, number])
            camera_rng = np.random.default_rng([seed, of_material, _CAMERAS]) if same_cameras else None
            block = record(
                masters,
                master,
                size,
                shape,
                geometry=geometry,
                cameras=cameras,
                quality=float((rng if camera_rng is None else camera_rng).uniform(*quality)),
                rng=rng,
                camera_rng=camera_rng,
                texture=textures.get(masters[master].material),
            )
            where = slice(start, start + size)
            patterns[where] = to_uint8(block.images)
            centers[where], quaternions[where] = block.pattern_centers, block.quaternions
            entry = masters[master]
            known = (
                entry.material,
                entry.space_group,
                entry.visible_group,
                written(entry.visible_groups),
                entry.energy_kev,
                block.quality[0],
            )
            rows += [(*known, float(overlap)) for overlap in block.overlaps]
            start += size
        write_header(file, shape, centers, detector_tilt_deg)
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


def _jobs(masters: MasterSet, count: int, block: int) -> list[tuple[int, int, int]]:
    """Divide the work into blocks: (index of the master pattern, number of patterns, number within the material)."""
    jobs = []
    for material in masters.materials:
        variants = [i for i, entry in enumerate(masters) if entry.material == material]
        shares = [len(part) for part in np.array_split(np.arange(count), len(variants))]
        sizes = [
            (variant, min(block, share - done))
            for variant, share in zip(variants, shares, strict=True)
            for done in range(0, share, block)
        ]
        jobs += [(*one, number) for number, one in enumerate(sizes)]
    return jobs


def _textures(masters: MasterSet, strength: float, seed: int) -> dict[str, FibreTexture]:
    """Draw each material's texture, from the seed and its name."""
    if strength == 1.0:
        return {}
    return {
        name: FibreTexture.draw(
            _crystal(masters, name),
            strength,
            np.random.default_rng([seed, *name.encode()]),
        )
        for name in masters.materials
    }


def _crystal(masters: MasterSet, material: str) -> Crystal:
    path = next(entry.path for entry in masters if entry.material == material)
    crystal = MasterPattern.load(path).crystal
    if crystal is None:
        raise InputError(path, "holds no crystal, which a texture needs")
    return crystal


def _manifest(
    out: Path,
    rows: list[tuple[str, int, int, str, float, float, float]],
    quaternions: NDArray[np.float64],
    centers: NDArray[np.float64],
) -> Manifest:
    import pandas as pd

    columns = [
        *("material", "space_group", "visible_group", "visible_groups", "energy_kev", "quality", "overlap")
    ]
    frame = pd.DataFrame(rows, columns=columns)
    frame.insert(0, "file", out.name)
    frame.insert(1, "index", np.arange(len(rows)))
    frame[["qa", "qb", "qc", "qd"]] = quaternions
    frame[["pc_x", "pc_y", "pc_z"]] = centers
    frame["source"] = f"simulated by kikuchinet {kikuchinet.__version__}"
    return Manifest(frame, out.parent)
