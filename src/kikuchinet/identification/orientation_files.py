"""Orientations of a scan in the vendors' text files: .ang (EDAX) and .ctf (Oxford, Channel 5)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.crystal.orix_phase import orix_phase
from kikuchinet.identification.extras import Orientations
from kikuchinet.identification.maps import coordinates, map_shape

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

    from kikuchinet.identification.result import SourceAnswer

_LAUE_NUMBERS = ("-1", "2/m", "mmm", "4/m", "4/mmm", "-3", "-3m", "6/m", "6/mmm", "m-3", "m-3m")
"""Laue classes as Channel 5 numbers them, from 1."""
_NO_SOLUTION = 3


def oriented_map(answer: SourceAnswer, orientations: Orientations) -> CrystalMap:
    """Return the fitted orientations of a scan as an orix map whose phases are the fitted crystals.

    Parameters
    ----------
    answer
        Of a two-dimensional scan.
    orientations
        Of its patterns.

    Returns
    -------
    orix.crystal_map.CrystalMap
        Points without an orientation are "not indexed". Properties ``correlation`` (0 there) and ``quality``.
    """
    from orix.crystal_map import CrystalMap, PhaseList
    from orix.quaternion import Rotation

    x, y, unit = coordinates(answer)
    phases = [
        orix_phase(crystal, name)
        for crystal, name in zip(orientations.crystals, _names(orientations), strict=True)
    ]
    return CrystalMap(
        rotations=Rotation(orientations.quaternions),
        phase_id=orientations.crystal.astype(np.int32),
        x=x,
        y=y,
        phase_list=PhaseList(phases, ids=list(range(len(phases)))),
        prop={"correlation": np.nan_to_num(orientations.correlations), "quality": answer.quality},
        scan_unit=unit,
    )


def save_ang(answer: SourceAnswer, orientations: Orientations, path: Path) -> None:
    """Write a scan's fitted orientations as EDAX's .ang file (orix's writer), over an existing one.

    Confidence index: correlation of measured and simulated pattern, -1 where not indexed. Image quality:
    `kikuchinet.patterns.quality`.
    """
    from orix import io

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        io.save(
            str(path),
            oriented_map(answer, orientations),
            image_quality_prop="quality",
            confidence_index_prop="correlation",
            overwrite=True,
        )


def save_ctf(answer: SourceAnswer, orientations: Orientations, path: Path) -> None:
    """Write a scan's fitted orientations as Oxford's Channel text file (.ctf), over an existing one.

    Parameters
    ----------
    answer
        Of a two-dimensional scan.
    orientations
        Of its patterns.
    path
        File to write.

    Notes
    -----
    Euler angles are Bunge's, in degrees, as Oxford's software means them:

    - Sample: x across the map. kikuchipy's frame, which is EDAX's, is turned by 90° about the normal against it (kikuchipy's
      tutorial on reference frames, checked there with PyEBSDIndex).
    - Crystal: x ∥ a*, z ∥ c, as MTEX reads .ctf files; ours and orix's is x ∥ a, z ∥ c*. They differ for triclinic,
      monoclinic, trigonal and hexagonal crystals.

    Points without an orientation are phase 0, error 3 (no solution). No bands are counted and no angular deviation exists
    in a fit of whole patterns: both are 0. Band contrast is 255 times `kikuchinet.patterns.quality`, band slope 255 times
    the correlation of measured and simulated pattern.
    """
    rows, columns = map_shape(answer)
    x, y, _ = coordinates(answer)
    step_x = float(x[1] - x[0]) if columns > 1 else 1.0
    step_y = float(y[columns] - y[0]) if rows > 1 else 1.0
    head = [
        "Channel Text File",
        f"Prj\t{_plain(answer.source.name)}",
        "Author\tkikuchinet",
        "JobMode\tGrid",
        f"XCells\t{columns}",
        f"YCells\t{rows}",
        f"XStep\t{step_x:.6g}",
        f"YStep\t{step_y:.6g}",
        "AcqE1\t0",
        "AcqE2\t0",
        "AcqE3\t0",
        _microscope(answer),
        f"Phases\t{len(orientations.crystals)}",
        *(
            _phase_line(crystal, name)
            for crystal, name in zip(orientations.crystals, _names(orientations), strict=True)
        ),
        "Phase\tX\tY\tBands\tError\tEuler1\tEuler2\tEuler3\tMAD\tBC\tBS",
    ]
    euler = _oxford_euler_deg(orientations)
    indexed = orientations.indexed
    # The decimals of the columns are those of Oxford's own files.
    table = np.column_stack(
        [
            orientations.crystal + 1,
            x,
            y,
            np.zeros(len(x)),
            np.where(indexed, 0, _NO_SOLUTION),
            euler,
            np.zeros(len(x)),
            np.rint(255.0 * np.clip(answer.quality, 0.0, 1.0)),
            np.rint(255.0 * np.clip(np.nan_to_num(orientations.correlations), 0.0, 1.0)),
        ]
    )
    with path.open("w", encoding="ascii", errors="replace", newline="\r\n") as file:
        file.write("\n".join(head) + "\n")
        np.savetxt(file, table, fmt="%d\t%.4f\t%.4f\t%d\t%d\t%.4f\t%.4f\t%.4f\t%.4f\t%d\t%d", newline="\n")


def oxford_crystal_frame(crystal: Crystal) -> NDArray[np.float64]:
    """Return the matrix that turns a vector's coordinates in our crystal frame (x ∥ a, z ∥ c*) to x ∥ a*, z ∥ c."""
    first = crystal.reciprocal_matrix[0] / np.linalg.norm(crystal.reciprocal_matrix[0])
    third = crystal.direct_matrix[2] / np.linalg.norm(crystal.direct_matrix[2])
    return np.stack([first, np.cross(third, first), third])


def _oxford_euler_deg(orientations: Orientations) -> NDArray[np.float64]:
    """Return Bunge's angles (n, 3) in Oxford's frames; 0 where there is no orientation."""
    from orix.quaternion import Rotation

    euler = np.zeros((len(orientations.crystal), 3))
    sample = Rotation.from_axes_angles([0, 0, 1], np.pi / 2)
    for number, crystal in enumerate(orientations.crystals):
        mine = orientations.crystal == number
        if mine.any():
            turn = Rotation.from_matrix(oxford_crystal_frame(crystal))
            euler[mine] = (turn * Rotation(orientations.quaternions[mine]) * sample).to_euler(degrees=True)
    return euler


def _phase_line(crystal: Crystal, name: str) -> str:
    a, b, c, alpha, beta, gamma = crystal.cell
    cell = ";".join(f"{10.0 * length:.4f}" for length in (a, b, c))
    angles = ";".join(f"{angle:.4f}" for angle in (alpha, beta, gamma))
    laue = _LAUE_NUMBERS.index(crystal.symmetry.laue_class) + 1
    return f"{cell}\t{angles}\t{_plain(name)}\t{laue}\t{crystal.space_group}\t\t\t{_plain(crystal.source)}"


def _microscope(answer: SourceAnswer) -> str:
    geometry = answer.source.geometry
    entries: dict[str, Any] = {
        "Mag": 0,
        "Coverage": 100,
        "Device": 0,
        "KV": 0 if geometry is None or geometry.energy_kev is None else f"{geometry.energy_kev:g}",
        "TiltAngle": f"{70.0 if geometry is None else geometry.sample_tilt_deg:g}",
        "TiltAxis": 0,
    }
    words = "\t".join(f"{key}\t{value}" for key, value in entries.items())
    return f"Euler angles refer to Sample Coordinate system (CS0)!\t{words}"


def _names(orientations: Orientations) -> list[str]:
    """Return the crystals' names, told apart by numbers where they are alike."""
    names = [crystal.name for crystal in orientations.crystals]
    return [
        name if names.count(name) == 1 else f"{name} {number}" for number, name in enumerate(names, start=1)
    ]


def _plain(text: str) -> str:
    """A text in one field of one line."""
    return " ".join(text.split())
