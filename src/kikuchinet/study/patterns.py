"""The patterns of the study: the paper's 18 materials on the paper's instrument, simulated."""

from __future__ import annotations

from pathlib import Path

from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import GeometryRange, generate, prepare
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.measuring import MEASURED, measure_quality
from kikuchinet.microscope import CameraRange, instrument
from kikuchinet.study.settings import StudySettings

INSTRUMENT = "oxford_symmetry"
"""The paper's detector."""

TEXTURE = 2.5
"""Highest density of the inverse pole figures in multiples of random; the paper's are 2 to 3 (Figure A2)."""

CAMERA = CameraRange(
    coarse=0.0,
    raw=0.0,
    round_screen=0.0,
    shadowed=0.0,
    dusty=0.0,
    cropped=0.0,
    saturated=0.0,
    broken=0.0,
    written=0.0,
)
"""A whole, flat-fielded screen, as the paper's; noise, blur, contrast, layers on the specimen and second grains as ever."""

QUALITY = (0.0, 1.0)
"""Of the patterns, drawn evenly: from the full range of noise and faults to none; the paper's were not filtered either."""

_MANIFEST = "patterns.csv"


def simulate_patterns(
    out: str | Path, settings: StudySettings, *, cache_dir: str | Path = "cache", progress: bool = True
) -> Manifest:
    """Simulate the paper's patterns: every material in several scans, of mixed quality, partial patterns among them.

    Parameters
    ----------
    out
        Folder: one HDF5 file a scan, which kikuchipy opens, and ``patterns.csv``. Scans that are there already, of the
        same settings, are not made again.
    settings
        Size of the study.
    cache_dir
        Where master patterns are kept.
    progress
        Show progress bars.

    Returns
    -------
    Manifest
        All patterns, with the column ``map``.
    """
    import pandas as pd

    out = Path(out)
    materials = tuple(name for names in PAPER_MATERIALS.values() for name in names)
    masters = prepare(settings.masters(materials), cache_dir, progress=progress)
    place = instrument(INSTRUMENT)
    screen = GeometryRange.around(place, settings.size, center=0.02)
    frames = []
    for number in range(settings.maps):
        name = f"scan_{number}"
        file = out / f"{name}.h5"
        count = settings.pool // settings.maps + (number < settings.pool % settings.maps)
        if not (file.is_file() and file.with_suffix(".csv").is_file()):
            made = generate(
                masters,
                file,
                count=count,
                shape=settings.size,
                camera=CAMERA,
                quality=QUALITY,
                same_cameras=True,
                geometry=screen,
                detector_tilt_deg=place.detector.tilt_deg,
                texture=TEXTURE,
                seed=settings.seed * 1000 + number,
                progress=progress,
            )
        else:
            made = Manifest.read(file.with_suffix(".csv"))
        if not set(MEASURED) <= set(made.frame.columns):
            made = measure_quality(made, detector_tilt_deg=place.detector.tilt_deg, progress=progress)
            made.write(file.with_suffix(".csv"))
        frame = made.frame
        frame["map"] = frame["material"] + f"_{number}"
        frames.append(frame)
    manifest = Manifest(pd.concat(frames, ignore_index=True), out)
    manifest.write(out / _MANIFEST)
    return manifest
