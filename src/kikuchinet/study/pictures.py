"""The paper's figures that show patterns: 1, 3, 8, 9 and A9."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation

from kikuchinet.crystal import crystals, ladder
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import prepare
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.explanation import Explanation, PatternFeatures, explain, find_zone_axes, prepared_detector
from kikuchinet.explanation.figures import draw_explanations, draw_zone_axes
from kikuchinet.microscope import Detector, instrument, project
from kikuchinet.models import load_model
from kikuchinet.study.patterns import INSTRUMENT
from kikuchinet.study.settings import StudySettings
from kikuchinet.training.run import MODEL_FOLDER

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from kikuchinet.study.run import ExperimentResult

_ROWS = 320
"""Of the patterns that are simulated for figures."""
_FAMILIES = (((0, 0, 1), "o"), ((1, 1, 1), "^"))
"""Sets of equivalent zone axes of Figure 9, and their marks."""
_ALIKE_DEG = 5.0
"""Orientations that count as nearly the same."""


def draw_simulated(names: Sequence[str], settings: StudySettings, cache_dir: str, *, title: str) -> Figure:
    """Draw materials in one orientation side by side, their four strongest zone axes named: Figures 1 and 3.

    Parameters
    ----------
    names
        Materials.
    settings
        Of the master patterns.
    cache_dir
        Where they are kept.
    title
        Over the figure.
    """
    from matplotlib.figure import Figure

    screen = _screen()
    rotation = _telling_orientation()
    figure = Figure(figsize=(3.6 * len(names), 3.6), dpi=200, layout="constrained")
    axes = np.atleast_1d(figure.subplots(1, len(names)))
    for ax, name, master in zip(axes, names, _masters(tuple(names), settings, cache_dir), strict=True):
        _show(ax, project(master, rotation, screen)[0])
        features = PatternFeatures.of(crystals[name], rotation, screen)
        draw_zone_axes(ax, features, named=4, rings=False)
        crystal = crystals[name]
        group = f"{crystal.space_group} {crystal.symmetry.symbol}"
        ax.set_title(f"{name}, {group}, mean Z {crystal.mean_atomic_number:.1f}", fontsize=8)
    figure.suptitle(title, fontsize=9)
    return figure


def draw_groups(settings: StudySettings, cache_dir: str, *, title: str) -> Figure:
    """Draw a simulated pattern of each space group, two sets of equivalent zone axes marked: Figure 9."""
    from matplotlib.figure import Figure

    names = [materials[0] for materials in PAPER_MATERIALS.values()]
    screen = _screen()
    rotation = _telling_orientation()
    figure = Figure(figsize=(10.0, 6.6), dpi=200, layout="constrained")
    axes = figure.subplots(2, -(-len(names) // 2)).ravel()
    for ax in axes[len(names) :]:
        ax.set_axis_off()
    for ax, name, master in zip(axes, names, _masters(tuple(names), settings, cache_dir), strict=False):
        _show(ax, project(master, rotation, screen)[0])
        features = PatternFeatures.of(crystals[name], rotation, screen)
        for family, mark in _FAMILIES:
            _mark_family(ax, features, family, mark)
        group = crystals[name].space_group
        ax.set_title(f"{group} {ladder(group).symbol}: {name}", fontsize=8)
    marks = ", ".join(
        f"{'circles' if mark == 'o' else 'triangles'}: ⟨{''.join(map(str, family))}⟩"
        for family, mark in _FAMILIES
    )
    figure.suptitle(f"{title} ({marks})", fontsize=9)
    return figure


@dataclass(frozen=True)
class Pair:
    """Two test patterns in nearly one orientation.

    Parameters
    ----------
    first, second
        Rows of the table of predictions.
    angle_deg
        Disorientation.
    """

    first: int
    second: int
    angle_deg: float


def nearest_pair(predictions: pd.DataFrame, first: str, second: str) -> Pair:
    """Return the patterns of two cubic materials whose orientations are nearest to each other.

    Of all pairs within 5° those whose bands have the most contrast together; else the nearest pair.

    Raises
    ------
    kikuchinet.errors.InputError
        Orientations are not known, or a material has no patterns of one grain alone.
    """
    if "qa" not in predictions.columns or predictions["qa"].isna().all():
        raise InputError("predictions", "hold no orientations")
    single = predictions["qa"].notna()
    if "overlap" in predictions.columns:
        single &= predictions["overlap"].fillna(0.0) <= 0.0
    rows = [np.flatnonzero(single & (predictions["material"] == name)) for name in (first, second)]
    for name, found in zip((first, second), rows, strict=True):
        if not len(found):
            raise InputError(name, "has no test pattern of one grain alone")
    quaternions = predictions[["qa", "qb", "qc", "qd"]].to_numpy(dtype=np.float64)
    angles = disorientations_deg(quaternions[rows[0]], quaternions[rows[1]])
    i, j = np.unravel_index(int(angles.argmin()), angles.shape)
    if angles.min() <= _ALIKE_DEG and "band_contrast" in predictions.columns:
        contrast = predictions["band_contrast"].fillna(-np.inf).to_numpy()
        together = contrast[rows[0]][:, None] + contrast[rows[1]][None]
        i, j = np.unravel_index(int(np.where(angles <= _ALIKE_DEG, together, -np.inf).argmax()), angles.shape)
    return Pair(int(rows[0][i]), int(rows[1][j]), float(angles[i, j]))


def disorientations_deg(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles (n, m) between orientations of cubic crystals, as quaternions (n, 4) and (m, 4), degrees.

    Sample to crystal: two crystals look alike on the screen if one of the 24 rotations of 432 takes one into the other.
    """
    from orix.quaternion.symmetry import O

    closest = np.zeros((len(first), len(second)))
    for operation in O:
        turned = (operation * Rotation(second)).data.reshape(-1, 4)
        np.maximum(closest, np.abs(first @ turned.T), out=closest)
    return np.rad2deg(2.0 * np.arccos(np.minimum(closest, 1.0)))


def draw_pair(
    result: ExperimentResult, manifest: Manifest, first: str, second: str, *, simulated: bool
) -> Figure:
    """Draw two materials in nearly one orientation: pattern, Hough transform, Grad-CAM; Figure 8."""
    predictions = result.predictions
    assert predictions is not None
    pair = nearest_pair(predictions, first, second)
    items = [
        _explained(result, predictions.iloc[row], manifest, simulated) for row in (pair.first, pair.second)
    ]
    figure = draw_explanations(items)
    figure.suptitle(
        f"{first} and {second}, orientations {pair.angle_deg:.1f}° apart; network of {result.experiment.name}",
        fontsize=9,
    )
    return figure


def draw_two_models(
    results: Sequence[ExperimentResult], manifest: Manifest, *, simulated: bool
) -> tuple[Figure, str]:
    """Draw one pattern under two models, of which one is right and the other wrong; Figure A9.

    Of all patterns that two experiments were tested on, the one with the highest product of both answers' probabilities.

    Returns
    -------
    tuple
        The figure, and the names of the experiments.

    Raises
    ------
    kikuchinet.errors.InputError
        No pattern was answered rightly by one experiment and wrongly by another.
    """
    best: tuple[float, ExperimentResult, ExperimentResult, pd.Series] | None = None
    for one in results:
        for other in results:
            if one is other or one.predictions is None or other.predictions is None:
                continue
            right = one.predictions[one.predictions["right"]]
            wrong = other.predictions[~other.predictions["right"]]
            both = right.merge(
                wrong[["file", "index", "probability"]], on=["file", "index"], suffixes=("", "_wrong")
            )
            if both.empty:
                continue
            sure = both["probability"] * both["probability_wrong"]
            at = int(sure.to_numpy().argmax())
            if best is None or sure.iloc[at] > best[0]:
                best = (float(sure.iloc[at]), one, other, both.iloc[at])
    if best is None:
        raise InputError("experiments", "no pattern is answered rightly by one and wrongly by another")
    _, one, other, row = best
    figure = draw_explanations([_explained(model, row, manifest, simulated) for model in (one, other)])
    names = f"{one.experiment.name} (right) and {other.experiment.name} (wrong)"
    figure.suptitle(f"One pattern of {row['material']} under the networks of {names}", fontsize=9)
    return figure, names


def _explained(
    result: ExperimentResult, row: pd.Series, manifest: Manifest, simulated: bool
) -> tuple[Explanation, int, PatternFeatures | None, str]:
    """Explain one pattern; with its crystal drawn over it where the screen's place is known, as in simulation it is."""
    at = (manifest.frame["file"] == row["file"]) & (manifest.frame["index"] == row["index"])
    one = manifest.where(at.to_numpy())
    group = int(row["space_group"])
    image = StoredPatterns(one, (group,), size=(32, 32), labels="literal").image(0)
    model = load_model(result.folder / "run" / MODEL_FOLDER)
    explanation = explain(model, [image])
    features = None
    if simulated:
        tilt = instrument(INSTRUMENT).detector.tilt_deg
        center = (float(row["pc_x"]), float(row["pc_y"]), float(row["pc_z"]))
        detector = prepared_detector(
            Detector((image.shape[0], image.shape[1]), center, tilt_deg=tilt), model.card.size
        )
        rotation = Rotation(row[["qa", "qb", "qc", "qd"]].to_numpy(dtype=np.float64))
        features = PatternFeatures.of(crystals[row["material"]], rotation, detector)
    return explanation, 0, features, f"{row['material']}, {group}, network of {result.experiment.name}"


def _screen() -> Detector:
    detector = instrument(INSTRUMENT).detector
    rows, columns = detector.shape
    return detector.binned((_ROWS, round(_ROWS * columns / rows)))


@lru_cache(maxsize=1)
def _telling_orientation() -> Rotation:
    """Return an orientation in which several strong zone axes of a cubic crystal lie well inside the screen."""
    detector = instrument(INSTRUMENT).detector
    rows, columns = detector.shape
    small = detector.binned((48, round(48 * columns / rows)))
    axes = find_zone_axes(crystals["Al"])
    rng = np.random.default_rng(0)
    best, found = -1.0, None
    for quaternion in rng.standard_normal((300, 4)):
        rotation = Rotation(quaternion / np.linalg.norm(quaternion))
        angles = PatternFeatures.of(crystals["Al"], rotation, small).angles_to_axes()
        inside = angles[:, 5:-5, 5:-5].min(axis=(1, 2)) < np.deg2rad(1.5)
        # The four that are named: the more they weigh, the better they are known to a reader.
        strength = float(np.sort(axes.strength[inside])[-4:].sum()) if inside.any() else 0.0
        if strength > best:
            best, found = strength, rotation
    assert found is not None
    return found


def _masters(names: tuple[str, ...], settings: StudySettings, cache_dir: str) -> list[MasterPattern]:
    """Return the materials' first master patterns: those that the study's own patterns were made from, if it simulated."""
    config = settings.masters(names, variants=1)
    return [MasterPattern.load(entry.path) for entry in prepare(config, cache_dir, progress=False)]


def _show(ax: Axes, image: NDArray[np.float32]) -> None:
    low, high = np.percentile(image, (0.5, 99.5))
    ax.imshow(image, cmap="gray", vmin=low, vmax=high)
    ax.set(xticks=[], yticks=[])


def _mark_family(ax: Axes, features: PatternFeatures, family: tuple[int, int, int], mark: str) -> None:
    crystal = features.crystal
    equivalents = np.unique(crystal.laue_operations @ np.asarray(family), axis=0) @ crystal.direct_matrix
    directions = equivalents / np.linalg.norm(equivalents, axis=1, keepdims=True)
    cosine = np.einsum("ijk,nk->nij", features.directions, directions)
    rows, columns = features.detector.shape
    for one in cosine:
        row, column = np.unravel_index(int(one.argmax()), one.shape)
        if 0 < row < rows - 1 and 0 < column < columns - 1:
            for edge, width in (("black", 2.2), ("white", 1.0)):
                ax.plot(column, row, mark, markersize=8, markerfacecolor="none", markeredgecolor=edge,
                        markeredgewidth=width)  # fmt: skip
