"""Quality figures for the patterns of a manifest, simulated or measured."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.microscope import Detector
from kikuchinet.patterns import quality
from kikuchinet.patterns.indexing import band_contrast, hough_indexing

MEASURED = ("image_quality", "band_contrast", "mad_deg")
"""Columns that `measure_quality` adds."""

_BATCH = 256
_CENTER = ["pc_x", "pc_y", "pc_z"]


def measure_quality(
    manifest: Manifest,
    *,
    phases: Mapping[str, Crystal] | None = None,
    detector_tilt_deg: float = 0.0,
    sample_tilt_deg: float = 70.0,
    progress: bool = True,
) -> Manifest:
    """Add image quality, band contrast and mean angular deviation to a manifest.

    Parameters
    ----------
    manifest
        The patterns. Where it has pattern centres (``pc_x, pc_y, pc_z``), patterns are indexed as what they are.
    phases
        The crystal of each material; the library's of that name if not given. Materials without one are not indexed.
    detector_tilt_deg, sample_tilt_deg
        Tilts, for indexing.
    progress
        Show a progress bar.

    Returns
    -------
    Manifest
        With the columns ``image_quality`` (`kikuchinet.patterns.quality`), ``band_contrast`` and ``mad_deg``
        (`kikuchinet.patterns.indexing`; NaN where a pattern was not indexed).

    Raises
    ------
    kikuchinet.errors.InputError
        A file cannot be read.
    """
    from rich.progress import Progress

    frame = manifest.frame.reset_index(drop=True).copy()
    stored = StoredPatterns(
        manifest, tuple(sorted(set(manifest.labels("literal").tolist()))), size=(32, 32), labels="literal"
    )
    known = (
        frame[_CENTER].notna().all(axis=1).to_numpy()
        if set(_CENTER) <= set(frame.columns)
        else np.zeros(len(frame), dtype=bool)
    )
    figures = {name: np.full(len(frame), np.nan) for name in MEASURED}
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("quality", total=len(frame))
        for material, members in frame.groupby("material", sort=False).indices.items():
            crystal = (phases or {}).get(str(material)) or crystals.get(str(material))
            for start in range(0, len(members), _BATCH):
                rows = members[start : start + _BATCH]
                images = stored.images(rows)
                for shape in dict.fromkeys(image.shape for image in images):
                    alike = np.array([image.shape == shape for image in images])
                    part = rows[alike]
                    stack = np.stack([image for image in images if image.shape == shape])
                    figures["image_quality"][part] = quality(stack)
                    if crystal is None or not known[part].all():
                        figures["band_contrast"][part] = band_contrast(stack)
                        continue
                    centers = frame.loc[part, _CENTER].to_numpy(dtype=np.float64)
                    middle = tuple(float(value) for value in centers.mean(axis=0))
                    detector = Detector(
                        (shape[0], shape[1]),
                        (middle[0], middle[1], middle[2]),
                        tilt_deg=detector_tilt_deg,
                        sample_tilt_deg=sample_tilt_deg,
                    )
                    found = hough_indexing(stack, crystal, detector, pattern_centers=centers)
                    figures["band_contrast"][part] = found.band_contrast
                    figures["mad_deg"][part] = found.mad_deg
                bar.advance(task, len(rows))
    return Manifest(frame.assign(**figures), manifest.folder)
