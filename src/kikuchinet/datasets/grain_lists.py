"""Manifests of measured maps in the layout of Kaufmann et al. (2020): a folder of TIFF images and a grain list."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kikuchinet.datasets.manifest import Manifest
from kikuchinet.errors import InputError
from kikuchinet.patterns.geometry import oxford_tiff_geometry
from kikuchinet.patterns.grain_list import FILE_NAME, read_grain_list
from kikuchinet.patterns.image_files import natural_key

_IMAGES = (".tif", ".tiff")


def manifest_from_grain_list(
    folder: str | Path,
    space_groups: Mapping[str, int],
    *,
    materials: Mapping[str, str] | None = None,
) -> Manifest:
    """Make a manifest of a folder of TIFF images and their ``Grain List.txt``.

    Parameters
    ----------
    folder
        The folder. An image belongs to the line of the list whose ID is the last number in its name.
    space_groups
        Space group of each phase that the list names. Patterns of other phases, and those without a solution, are left out:
        nothing is known of them.
    materials
        What to call a phase; its own name if not given.

    Returns
    -------
    Manifest
        With orientations (from the vendor's Bunge angles, in the vendor's frame of the sample), ``mad_deg``,
        ``band_contrast`` (the vendor's), ``map`` (the folder) and, where the images carry them, pattern centres.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no list, no image, an image without a line, or none of a known phase.
    """
    import pandas as pd
    from orix.quaternion import Rotation

    folder = Path(folder)
    table = read_grain_list(folder / FILE_NAME).set_index("id")
    images = sorted((f for f in folder.iterdir() if f.suffix.lower() in _IMAGES), key=natural_key)
    if not images:
        raise InputError(folder, "holds no TIFF images")
    rows = []
    for image in images:
        numbers = re.findall(r"\d+", image.stem)
        if not numbers or int(numbers[-1]) not in table.index:
            raise InputError(image, f"its name ends in no number that {FILE_NAME} lists")
        line = table.loc[int(numbers[-1])]
        if line["phase"] not in space_groups:
            continue
        geometry = oxford_tiff_geometry(image)
        center = [np.nan] * 3 if geometry is None else geometry.pattern_centers[0].tolist()
        rows.append((image.name, 0, str(line["phase"]), int(numbers[-1]), *center))
    if not rows:
        raise InputError(folder, f"holds no pattern of {', '.join(space_groups) or 'a known phase'}")
    frame = pd.DataFrame(rows, columns=["file", "index", "phase", "id", "pc_x", "pc_y", "pc_z"])
    if frame["pc_x"].isna().any():
        frame = frame.drop(columns=["pc_x", "pc_y", "pc_z"])
    lines = table.loc[frame["id"]]
    frame["material"] = [(materials or {}).get(phase, phase) for phase in frame["phase"]]
    frame["space_group"] = [int(space_groups[phase]) for phase in frame["phase"]]
    angles = ["phi1_deg", "Phi_deg", "phi2_deg"]
    if set(angles) <= set(lines.columns):
        euler: NDArray[np.float64] = np.deg2rad(lines[angles].to_numpy(dtype=np.float64))
        frame[["qa", "qb", "qc", "qd"]] = Rotation.from_euler(euler).data
    for name in ("mad_deg", "band_contrast", "grain"):
        if name in lines.columns:
            frame[name] = lines[name].to_numpy()
    frame["map"] = folder.name
    frame["source"] = "measured"
    return Manifest(frame.drop(columns=["phase", "id"]), folder)
