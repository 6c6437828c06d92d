"""Maps of a scan, as a picture and as an orix CrystalMap."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import answer_symbol, outside_name
from kikuchinet.models import NO_ANSWER

if TYPE_CHECKING:
    from matplotlib.patches import Patch
    from orix.crystal_map import CrystalMap
    from orix.quaternion import Rotation

    from kikuchinet.identification.extras import Orientations
    from kikuchinet.identification.result import SourceAnswer

_NUMBERED_CELLS = 150
"""Maps with fewer cells than this carry the number of the space group in every cell."""
_PANEL, _NARROWEST, _THINNEST = 4.6, 1.6, 0.4
"""Longer side of a map in map.png, the least room for the shorter one, and the least that it is drawn true to scale with, in
inches."""
_OUTSIDE_COLOUR = "#000000"
"""Of points outside the model's groups: darker than the darkest group's, so that it stands apart in grey as well."""
_MARKS = {NO_ANSWER: "–", OUTSIDE: "out"}
"""What stands in cells that have no number."""


def crystal_map(
    answer: SourceAnswer, orientations: Orientations | None = None, *, rotations: Rotation | None = None
) -> CrystalMap:
    """Return a scan's answers as an orix CrystalMap.

    Parameters
    ----------
    answer
        The answers of a source. Patterns that are no scan stand in a row.
    orientations
        Of crystals fitted to its patterns, if there are any.
    rotations
        (n,) rotations to be put into the map where no orientations are given.

    Returns
    -------
    orix.crystal_map.CrystalMap
        One phase per space group found, named by its symbol; points without an answer are "not indexed" (phase -1). Points
        outside the model's groups are the last phase, which has the name of the outside and no space group.
        Properties ``probability``, ``second_space_group``, ``second_probability`` and ``quality``; with grains ``grain``,
        ``grain_space_group`` (0: none; of models with a class 0, which is outside, -1: none) and ``grain_probability``
        (0: none); ``correlation`` and ``fitted``. **The network knows no orientations: where ``fitted`` is 0, the rotation
        is the identity and means nothing.** Coordinates are in the source's unit, or count scan steps where it is not known.
        A scan of one row or one column is a line: orix has no axis of a single point.
    """
    from orix.crystal_map import CrystalMap, Phase, PhaseList
    from orix.quaternion import Rotation

    groups, classes = answer.identification.answers, answer.identification.classes
    found = _ordered(groups)
    phase_id = np.full(groups.shape, -1, dtype=np.int32)
    for number, group in enumerate(found):
        phase_id[groups == group] = number
    n = len(groups)
    x, y, unit = _places(answer)
    frame = answer.identification.to_frame(quality=answer.quality)
    prop = {
        "probability": frame["probability"].to_numpy(dtype=float),
        "second_space_group": frame["second_space_group"].to_numpy(dtype=np.int32),
        "second_probability": frame["second_probability"].to_numpy(dtype=float),
        "quality": frame["quality"].to_numpy(dtype=float),
    }
    if answer.grains is not None and answer.grain_answers is not None:
        labels = answer.grains.labels
        belongs = labels >= 0
        none = NO_ANSWER if OUTSIDE in classes else 0
        of_grain, sure = np.full(n, none, dtype=np.int32), np.zeros(n)
        answers = answer.grain_answers.answers
        of_grain[belongs] = np.where(answers == NO_ANSWER, none, answers)[labels[belongs]]
        sure[belongs] = np.where(answers == NO_ANSWER, 0.0, answer.grain_answers.best)[labels[belongs]]
        prop |= {"grain": labels, "grain_space_group": of_grain, "grain_probability": sure}
    if orientations is not None:
        prop["fitted"] = orientations.indexed.astype(np.int32)
        prop["correlation"] = np.nan_to_num(orientations.correlations)
    if orientations is not None:
        rotations = Rotation(orientations.quaternions)
    return CrystalMap(
        rotations=Rotation.identity((n,)) if rotations is None else rotations,
        phase_id=phase_id,
        x=x,
        y=y,
        phase_list=PhaseList(
            phases=[
                Phase(name=answer_symbol(group, classes), space_group=None if group == OUTSIDE else group)
                for group in found
            ],
            ids=list(range(len(found))),
        ),
        prop=prop,
        scan_unit=unit,
    )


def _ordered(answers: NDArray[np.int64]) -> list[int]:
    """Return the different answers in rising order, outside after the space groups."""
    found = [int(group) for group in np.unique(answers) if group != NO_ANSWER]
    return sorted(found, key=lambda group: (group == OUTSIDE, group))


def coordinates(answer: SourceAnswer) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    """Return x and y, (n,), of a scan's points from its first one, and their unit."""
    return _coordinates(answer, map_shape(answer))


def _places(answer: SourceAnswer) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, str]:
    """Return x, y and their unit for any source; y is None in a row."""
    shape = answer.source.navigation_shape
    if shape is None:
        return np.arange(len(answer.identification), dtype=float), None, "px"
    rows, columns = shape if len(shape) == 2 else (1, *shape)
    x, y, unit = _coordinates(answer, (rows, columns))
    return x, y if rows > 1 else None, unit


def _coordinates(
    answer: SourceAnswer, shape: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64], str]:
    row, column = np.divmod(np.arange(shape[0] * shape[1]), shape[1])
    (down, right), unit = _step(answer, shape)
    return column * right, row * down, unit


def _step(answer: SourceAnswer, shape: tuple[int, int]) -> tuple[tuple[float, float], str]:
    """Step between rows and between columns, and its unit; 0 along an axis of a single point, of which it means nothing."""
    step = answer.source.step
    if step is None:
        return (1.0, 1.0), "px"
    down, right = (one if points > 1 else 0.0 for one, points in zip(step, shape, strict=True))
    if any(
        points > 1 and not (np.isfinite(one) and one > 0.0)
        for one, points in zip((down, right), shape, strict=True)
    ):
        return (1.0, 1.0), "px"
    return (down, right), answer.source.step_unit


def save_crystal_map(answer: SourceAnswer, path: Path, orientations: Orientations | None = None) -> None:
    """Write a scan's answers as an orix HDF5 file, over an existing one."""
    from orix import io

    io.save(str(path), crystal_map(answer, orientations), overwrite=True)


def group_colours(groups: Iterable[int]) -> dict[int, str]:
    """Return a colour for each space group, the same in all pictures of a run.

    Parameters
    ----------
    groups
        Answers as of `kikuchinet.models.Identification.answers`; `NO_ANSWER` gets none.

    Returns
    -------
    dict of int to str
        ``#rrggbb``, by number. They differ in lightness (matplotlib's cividis, and black for outside), so a map reads in
        grey and for the colour blind.
    """
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    answers = set(groups)
    found = sorted(answers - {NO_ANSWER, OUTSIDE})
    shades = colormaps["cividis"](np.linspace(0.12, 0.95, max(len(found), 2)))
    colours = {group: to_hex(shade) for group, shade in zip(found, shades, strict=False)}
    return colours | {OUTSIDE: _OUTSIDE_COLOUR} if OUTSIDE in answers else colours


def save_map(answer: SourceAnswer, path: Path, colours: Mapping[int, str]) -> None:
    """Draw the space group and the probability of every point of a scan.

    Parameters
    ----------
    answer
        The answers of a source with a two-dimensional map.
    path
        A PNG file to write.
    colours
        Of the answers; see `group_colours`. Points without an answer are white.

    Notes
    -----
    Small maps carry the numbers in their cells, "out" for outside. The picture's size is bounded whatever the scan's is: the
    points of a scan that is more than eleven times as long as wide, or as wide as long, are drawn out.
    """
    from matplotlib.figure import Figure

    rows, columns = map_shape(answer)
    groups = answer.identification.answers.reshape(rows, columns)
    best = answer.identification.probabilities.max(axis=1).reshape(rows, columns)
    picture = coloured(groups, colours)

    ratio = rows / columns
    width, height = (_PANEL, _PANEL * ratio) if ratio <= 1 else (_PANEL / ratio, _PANEL)
    # A panel thinner than can be seen is filled: the points of a long scan are drawn out, not the picture.
    aspect = "equal" if min(width, height) >= _THINNEST else "auto"
    size = (2 * max(width, _NARROWEST) + 2.4, max(height, _NARROWEST) + 1.15)
    figure = Figure(figsize=size, dpi=150, layout="constrained")
    phases, certainty = figure.subplots(1, 2)
    phases.imshow(picture, interpolation="nearest", aspect=aspect)
    phases.set_title("Space group", fontsize=11)
    phases.legend(
        handles=legend(groups, colours, answer.identification.classes),
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=2,
        fontsize=9,
        frameon=False,
    )
    if rows * columns <= _NUMBERED_CELLS:
        _number_cells(phases, groups, picture)
    image = certainty.imshow(best, cmap="gray", vmin=0.0, vmax=1.0, interpolation="nearest", aspect=aspect)
    certainty.set_title("Probability of the likeliest group", fontsize=11)
    figure.colorbar(image, ax=certainty, shrink=0.85, pad=0.02)
    for axes in (phases, certainty):
        axes.set_xticks([])
        axes.set_yticks([])
    # Without a date and the library's version the same answers give the same bytes.
    figure.savefig(path, metadata={"Software": None})


def coloured(groups: NDArray[np.int64], colours: Mapping[int, str]) -> NDArray[np.float64]:
    """Return a picture (rows, columns, 3) of answers (rows, columns)."""
    from matplotlib.colors import to_rgb

    picture = np.ones((*groups.shape, 3))
    for group, colour in colours.items():
        picture[groups == group] = to_rgb(colour)
    return picture


def legend(groups: NDArray[np.int64], colours: Mapping[int, str], classes: Sequence[int]) -> list[Patch]:
    """Return an entry for each answer of a picture, with its share, and for points without one.

    Parameters
    ----------
    groups
        Answers, as of `kikuchinet.models.Identification.answers`.
    colours
        Of the answers.
    classes
        The model's.
    """
    from matplotlib.patches import Patch

    shown = [(group, colours[group]) for group in _ordered(groups)]
    if (groups == NO_ANSWER).any():
        shown.append((NO_ANSWER, "white"))
    return [
        Patch(facecolor=colour, edgecolor="0.3", label=_label(group, groups, classes))
        for group, colour in shown
    ]


def _label(group: int, groups: NDArray[np.int64], classes: Sequence[int]) -> str:
    share = float((groups == group).mean())
    if group in _MARKS:
        name = "no answer" if group == NO_ANSWER else outside_name(classes)
    else:
        name = f"{answer_symbol(group, classes)} ({group})"
    return f"{name}, {share:.0%}" if share >= 0.01 else f"{name}, {share:.1%}"


def _number_cells(axes: object, groups: NDArray[np.int64], picture: NDArray[np.float64]) -> None:
    for (row, column), group in np.ndenumerate(groups):
        dark = picture[row, column].mean() < 0.5
        axes.text(  # type: ignore[attr-defined]
            column,
            row,
            _MARKS.get(int(group), str(group)),
            ha="center",
            va="center",
            fontsize=9,
            color="white" if dark else "black",
        )


def map_shape(answer: SourceAnswer) -> tuple[int, int]:
    """Return rows and columns of a scan."""
    shape = answer.scan_shape
    if shape is None:
        raise ValueError(f"{answer.source.name} has no two-dimensional map")
    return shape
