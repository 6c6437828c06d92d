"""Maps of a scan, as a picture and as an orix CrystalMap."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import ladder
from kikuchinet.identification.result import SourceAnswer

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

_NUMBERED_CELLS = 150
"""Maps with fewer cells than this carry the number of the space group in every cell."""


def crystal_map(answer: SourceAnswer) -> CrystalMap:
    """Return a scan's answers as an orix CrystalMap.

    Parameters
    ----------
    answer
        The answers of a source with a two-dimensional map.

    Returns
    -------
    orix.crystal_map.CrystalMap
        One phase per space group found, named by its symbol; points without an answer are "not indexed" (phase -1).
        Properties ``probability``, ``second_space_group``, ``second_probability`` and ``quality``. **Orientations
        are not known to the network: every rotation is the identity and means nothing.** Coordinates are in the
        source's unit, or count scan steps where its step is unknown.
    """
    from orix.crystal_map import CrystalMap, Phase, PhaseList
    from orix.quaternion import Rotation

    rows, columns = _shape(answer)
    groups = answer.identification.space_groups
    found = [int(group) for group in np.unique(groups) if group]
    phase_id = np.full(groups.shape, -1, dtype=np.int32)
    for number, group in enumerate(found):
        phase_id[groups == group] = number
    row, column = np.divmod(np.arange(rows * columns), columns)
    step, unit = _step(answer)
    frame = answer.identification.to_frame(quality=answer.quality)
    return CrystalMap(
        rotations=Rotation.identity((rows * columns,)),
        phase_id=phase_id,
        x=column * step[1],
        y=row * step[0],
        phase_list=PhaseList(
            phases=[Phase(name=ladder(group).symbol, space_group=group) for group in found],
            ids=list(range(len(found))),
        ),
        prop={
            "probability": frame["probability"].to_numpy(dtype=float),
            "second_space_group": frame["second_space_group"].to_numpy(dtype=np.int32),
            "second_probability": frame["second_probability"].to_numpy(dtype=float),
            "quality": frame["quality"].to_numpy(dtype=float),
        },
        scan_unit=unit,
    )


def _step(answer: SourceAnswer) -> tuple[tuple[float, float], str]:
    """Step between rows and between columns, and its unit."""
    step = answer.source.step
    if step is None or not all(np.isfinite(step)) or min(step) <= 0.0:
        return (1.0, 1.0), "px"
    return step, answer.source.step_unit


def save_crystal_map(answer: SourceAnswer, path: Path) -> None:
    """Write a scan's answers as an orix HDF5 file, over an existing one."""
    from orix import io

    io.save(str(path), crystal_map(answer), overwrite=True)


def save_map(answer: SourceAnswer, path: Path) -> None:
    """Draw the space group and the probability of every point of a scan.

    Parameters
    ----------
    answer
        The answers of a source with a two-dimensional map.
    path
        A PNG file to write.

    Notes
    -----
    The groups' colours differ in lightness (matplotlib's cividis), so the map reads in grey and for the colour blind;
    points without an answer are white, which no group is. Small maps carry the numbers in their cells.
    """
    from matplotlib import colormaps
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    rows, columns = _shape(answer)
    groups = answer.identification.space_groups.reshape(rows, columns)
    best = answer.identification.probabilities.max(axis=1).reshape(rows, columns)
    found = [int(group) for group in np.unique(groups) if group]
    shades = colormaps["cividis"](np.linspace(0.12, 0.9, max(len(found), 2)))[:, :3]
    picture = np.ones((rows, columns, 3))
    for shade, group in zip(shades, found, strict=False):
        picture[groups == group] = shade

    aspect = rows / columns
    panel = 4.6 if aspect <= 1 else max(4.6 / aspect, 1.6)
    figure = Figure(figsize=(2 * panel + 2.4, panel * aspect + 1.15), dpi=150, layout="constrained")
    phases, certainty = figure.subplots(1, 2)
    phases.imshow(picture, interpolation="nearest")
    phases.set_title("Space group", fontsize=11)
    patches = [
        Patch(facecolor=tuple(shade), edgecolor="0.3", label=_label(group, groups))
        for shade, group in zip(shades, found, strict=False)
    ]
    if (groups == 0).any():
        patches.append(Patch(facecolor="white", edgecolor="0.3", label=_label(0, groups)))
    phases.legend(
        handles=patches, loc="upper center", bbox_to_anchor=(0.5, -0.02), ncols=2, fontsize=9, frameon=False
    )
    if rows * columns <= _NUMBERED_CELLS:
        _number_cells(phases, groups, picture)
    image = certainty.imshow(best, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest")
    certainty.set_title("Probability of the likeliest group", fontsize=11)
    figure.colorbar(image, ax=certainty, shrink=0.85, pad=0.02)
    for axes in (phases, certainty):
        axes.set_xticks([])
        axes.set_yticks([])
    # Without a date and the library's version the same answers give the same bytes.
    figure.savefig(path, metadata={"Software": None})


def _label(group: int, groups: NDArray[np.int64]) -> str:
    share = float((groups == group).mean())
    name = f"{ladder(group).symbol} ({group})" if group else "no answer"
    return f"{name}, {share:.0%}" if share >= 0.01 else f"{name}, {share:.1%}"


def _number_cells(axes: object, groups: NDArray[np.int64], picture: NDArray[np.float64]) -> None:
    for (row, column), group in np.ndenumerate(groups):
        dark = picture[row, column].mean() < 0.5
        axes.text(  # type: ignore[attr-defined]
            column,
            row,
            str(group) if group else "–",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else "black",
        )


def _shape(answer: SourceAnswer) -> tuple[int, int]:
    shape = answer.scan_shape
    if shape is None:
        raise ValueError(f"{answer.source.name} has no two-dimensional map")
    return shape
