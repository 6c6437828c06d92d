"""Whole scans: a map of grains, photographed point by point with one camera."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

import kikuchinet
from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.datasets.generation import to_uint8
from kikuchinet.datasets.grains import RESOLUTION_NM, GrainMap, draw_grains
from kikuchinet.datasets.h5ebsd import create_patterns, write_header
from kikuchinet.datasets.labels import written
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.orientations import FibreTexture
from kikuchinet.datasets.stream import CAMERAS
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.microscope import Camera, Detector, project_batch
from kikuchinet.microscope.specimen import overlap

_BLOCK = 64
"""Patterns in memory at a time; each block has its own noise generator."""
LEAST_SHARE = 0.02
"""A neighbour of a smaller part cannot be seen and is left out."""


@dataclass(frozen=True)
class ScanSettings:
    """A scan to be simulated.

    Parameters
    ----------
    shape
        Rows and columns of the scan.
    step_um
        Step.
    grain_um
        Mean diameter of a grain.
    fractions
        Share of each phase; equal ones if empty.
    texture
        Maximum of each phase's inverse pole figure in multiples of random; 1 for none.
    spread_deg
        Scatter of orientations within a grain.
    resolution_nm
        Width of the region that a pattern comes from; see `draw_grains`.
    camera
        One of the presets of `CameraRange`: the scan has one camera, drawn from it.
    quality
        0 for the preset's full range, 1 for its best.
    px_size_um
        Size of a screen pixel as stored: how far the pattern centre moves with the beam depends on it. 0: that of a screen
        25 mm high.
    seed
        Same seed, same scan.
    """

    shape: tuple[int, int]
    step_um: float = 1.0
    grain_um: float = 10.0
    fractions: tuple[float, ...] = ()
    texture: float = 1.0
    spread_deg: float = 0.3
    resolution_nm: float = RESOLUTION_NM
    camera: str = "mixed"
    quality: float = 0.5
    px_size_um: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.camera not in CAMERAS:
            raise InputError("camera", f"{self.camera!r} is none of {', '.join(CAMERAS)}")
        if not 0.0 <= self.quality <= 1.0:
            raise InputError("quality", "must be between 0 and 1")


_SCREEN_MM = 25.0
"""Height of a usual phosphor screen, where no pixel size is given (recalled)."""


def simulate_scan(
    masters: MasterSet,
    out: str | Path,
    settings: ScanSettings,
    detector: Detector,
    *,
    progress: bool = True,
) -> tuple[Manifest, GrainMap]:
    """Simulate a scan of grains.

    Parameters
    ----------
    masters
        One or more master patterns a phase; the first of each material is used.
    out
        HDF5 file, which kikuchipy opens with its navigation shape and the true crystal map. The manifest goes beside it,
        same name, ``.csv``, with columns ``map``, ``grain``, ``neighbour``, ``row``, ``column`` and ``overlap``.
    settings
        The scan.
    detector
        Screen, pattern centre at the middle of the scan, and tilts.
    progress
        Show a progress bar.

    Returns
    -------
    tuple
        The manifest and the true map.

    Raises
    ------
    kikuchinet.errors.InputError
        A number makes no sense, or a master pattern has no crystal.
    """
    from rich.progress import track

    out = Path(out)
    phases = _phases(masters)
    crystals = [MasterPattern.load(masters[index].path).crystal for index in phases]
    if any(crystal is None for crystal in crystals):
        raise InputError("master patterns", "one holds no crystal, which a scan needs")
    known = [crystal for crystal in crystals if crystal is not None]
    grains = _draw(settings, known)
    camera = CAMERAS[settings.camera]().sample(
        np.random.default_rng([settings.seed, 1]), rows=detector.shape[0], quality=settings.quality
    )
    centers = scan_centers(detector, settings)
    n = centers.shape[0]
    with atomic_path(out) as temporary, h5py.File(temporary, "w") as file:
        patterns = create_patterns(file, n, detector.shape)
        blocks = range(0, n, _BLOCK)
        for start in track(blocks, description="scan", disable=not progress, transient=True):
            where = slice(start, min(start + _BLOCK, n))
            noise = np.random.default_rng([settings.seed, 2, start])
            patterns[where] = _record(masters, phases, grains, centers, detector, camera, where, noise)
        write_header(
            file,
            detector.shape,
            centers,
            detector.tilt_deg,
            sample_tilt_deg=detector.sample_tilt_deg,
            azimuthal_deg=detector.azimuthal_deg,
            twist_deg=detector.twist_deg,
            scan_shape=settings.shape,
            step_um=settings.step_um,
            crystal_map=grains.to_crystal_map(known),
        )
        file["kikuchinet/quaternions"] = grains.quaternions.reshape(-1, 4)
        file["kikuchinet"].attrs["version"] = kikuchinet.__version__
    manifest = _manifest(masters, phases, grains, centers, settings, out)
    manifest.write(out.with_suffix(".csv"))
    return manifest, grains


def scan_centers(detector: Detector, settings: ScanSettings) -> NDArray[np.float64]:
    """Return the pattern centres (n, 3), Bruker's convention, of the points of a scan, row by row.

    The screen stays where it is and the beam moves, along the sample's -y in a row and along its -x from row to row. With
    neither azimuth nor twist this is the plane of S. Singh, F. Ram, M. De Graef, J. Appl. Cryst. 50 (2017) 1664, appendix
    A, and kikuchipy's `EBSDDetector.extrapolate_pc`.
    """
    rows, columns = settings.shape
    px_size = settings.px_size_um or 1e3 * _SCREEN_MM / detector.shape[0]
    row, column = np.indices(settings.shape, dtype=np.float64)
    # The point nearest to the middle has the detector's own pattern centre.
    down = row.ravel() - round((rows - 1) / 2)
    along = column.ravel() - round((columns - 1) / 2)
    moved_um = settings.step_um * np.column_stack([-down, -along, np.zeros_like(down)])
    x, y, z = (moved_um @ detector.detector_to_sample).T / px_size
    height, width = detector.shape
    return np.asarray(detector.pattern_center) + np.column_stack([x / width, -y / height, -z / height])


def _phases(masters: MasterSet) -> list[int]:
    """Return the index of the first master pattern of each material."""
    first: dict[str, int] = {}
    for index, entry in enumerate(masters):
        first.setdefault(entry.material, index)
    return list(first.values())


def _draw(settings: ScanSettings, crystals: Sequence[Crystal]) -> GrainMap:
    fractions = settings.fractions or (1.0,) * len(crystals)
    if len(fractions) != len(crystals):
        raise InputError("fractions", f"{len(fractions)} numbers for {len(crystals)} phases")
    rng = np.random.default_rng([settings.seed, 0])
    textures = [
        FibreTexture.draw(crystal, settings.texture, rng) if settings.texture != 1.0 else None
        for crystal in crystals
    ]
    return draw_grains(
        settings.shape,
        step_um=settings.step_um,
        grain_um=settings.grain_um,
        fractions=fractions,
        rng=rng,
        textures=textures,
        spread_deg=settings.spread_deg,
        resolution_nm=settings.resolution_nm,
    )


def _record(
    masters: MasterSet,
    phases: Sequence[int],
    grains: GrainMap,
    centers: NDArray[np.float64],
    detector: Detector,
    camera: Camera,
    where: slice,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Photograph some points of a scan, (n, rows, columns)."""
    grain, neighbour = (part.ravel()[where] for part in (grains.grain, grains.neighbour))
    share = grains.share.ravel()[where]
    own, other = (part.reshape(-1, 4)[where] for part in (grains.quaternions, grains.neighbour_quaternions))
    clean = _project(masters, phases, grains.phase[grain], own, centers[where], detector)
    (boundary,) = np.nonzero(share >= LEAST_SHARE)
    if boundary.size:
        second = _project(
            masters,
            phases,
            grains.phase[neighbour[boundary]],
            other[boundary],
            centers[where][boundary],
            detector,
        )
        clean[boundary] = overlap(clean[boundary], second, share[boundary])
    return to_uint8(camera.expose(clean, rng).astype(np.float32, copy=False))


def _project(
    masters: MasterSet,
    phases: Sequence[int],
    phase: NDArray[np.int64],
    quaternions: NDArray[np.float64],
    centers: NDArray[np.float64],
    detector: Detector,
) -> NDArray[np.float32]:
    """Project patterns of several phases."""
    images = np.empty((len(phase), *detector.shape), dtype=np.float32)
    for number in np.unique(phase).tolist():
        mine = phase == number
        upper, lower, texels = masters.hemispheres(phases[number])
        images[mine] = project_batch(
            upper,
            lower,
            quaternions[mine],
            centers[mine],
            detector.shape,
            sample_tilt_deg=detector.sample_tilt_deg,
            tilt_deg=detector.tilt_deg,
            azimuthal_deg=detector.azimuthal_deg,
            twist_deg=detector.twist_deg,
            texels=texels,
        )
    return images


def _manifest(
    masters: MasterSet,
    phases: Sequence[int],
    grains: GrainMap,
    centers: NDArray[np.float64],
    settings: ScanSettings,
    out: Path,
) -> Manifest:
    import pandas as pd

    entries = [masters[phases[number]] for number in grains.phases.ravel().tolist()]
    row, column = (part.ravel() for part in np.indices(settings.shape))
    share = grains.share.ravel()
    frame = pd.DataFrame(
        {
            "file": out.name,
            "index": np.arange(len(entries)),
            "material": [entry.material for entry in entries],
            "space_group": [entry.space_group for entry in entries],
            "visible_group": [entry.visible_group for entry in entries],
            "visible_groups": [written(entry.visible_groups) for entry in entries],
            "energy_kev": [entry.energy_kev for entry in entries],
            "quality": settings.quality,
            "overlap": np.where(share >= LEAST_SHARE, share, 0.0),
            "map": out.stem,
            "grain": grains.grain.ravel(),
            "neighbour": grains.neighbour.ravel(),
            "row": row,
            "column": column,
        }
    )
    frame[["qa", "qb", "qc", "qd"]] = grains.quaternions.reshape(-1, 4)
    frame[["pc_x", "pc_y", "pc_z"]] = centers
    frame["source"] = f"simulated by kikuchinet {kikuchinet.__version__}"
    return Manifest(frame, out.parent)
