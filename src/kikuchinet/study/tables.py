"""The paper's tables A1 to A6, at three levels of truth, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import crystals
from kikuchinet.diffraction import visible_group, weakest_ordering
from kikuchinet.errors import InputError
from kikuchinet.evaluation import clustered_interval
from kikuchinet.study.protocol import Experiment, structure_type

if TYPE_CHECKING:
    import pandas as pd

LEVELS = ("literal", "visible", "structure")
"""Levels of truth: the space group; the group that a camera can see; the structure type."""

REQUIRED = ("material", "space_group", "answer")
"""Columns of a table of predictions: what the pattern is, and the space group that the network answered (0: none)."""


@dataclass(frozen=True, eq=False)
class LevelScores:
    """Scores of one experiment at one level of truth.

    Parameters
    ----------
    level
        One of `LEVELS`.
    classes
        Per class: ``class, patterns, right, recall, recall_low, recall_high, answered, precision, precision_low,
        precision_high``.
    materials
        Per material: ``material, space_group, class, seen, mean_z, superlattice_ratio, patterns, right, recall,
        recall_low, recall_high``.
    accuracy
        Overall: share of all patterns, with its interval. It weights materials by their number of patterns.
    macro_recall
        Mean recall of the classes.
    seen, unseen
        Mean recall of the materials that taught the network, and of the others; NaN where there are none.
    """

    level: str
    classes: pd.DataFrame
    materials: pd.DataFrame
    accuracy: tuple[float, float, float]
    macro_recall: float
    seen: float
    unseen: float


def counts(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return how often each material was given each answer: materials down, in the paper's order, answers across."""
    import pandas as pd

    _check(predictions)
    table = pd.crosstab(predictions["material"], predictions["answer"])
    order = sorted(
        table.index, key=lambda name: (crystals[name].space_group, -crystals[name].mean_atomic_number)
    )
    return table.loc[order].rename_axis(index="material", columns="answer")


def level_labels(
    level: str, predictions: pd.DataFrame, experiment: Experiment
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Return what is true and what was answered at one level of truth.

    Parameters
    ----------
    level
        One of `LEVELS`.
    predictions
        Columns `REQUIRED`.
    experiment
        What the network was taught.

    Returns
    -------
    tuple of numpy.ndarray
        (n,) true and answered classes, as text; no answer is ``"none"``.

    Notes
    -----
    A network answers with a space group. At the other two levels the answer means what the group was taught with: taught 221
    with FeNi3, whose ordering no camera sees, the answer 221 stands for what 225 looks like, and is right for Ni. Where a
    group was taught with several classes, the answer is taken for the true one if that is among them.
    """
    _check(predictions)
    truths = [
        _truth(level, name, int(group)) for name, group in predictions[["material", "space_group"]].to_numpy()
    ]
    meant = {
        int(answer): _meaning(level, int(answer), experiment) for answer in predictions["answer"].unique()
    }
    answered = [
        truth if truth in meant[int(answer)] else meant[int(answer)][0]
        for truth, answer in zip(truths, predictions["answer"], strict=True)
    ]
    return np.array(truths, dtype=str), np.array(answered, dtype=str)


def score_level(level: str, predictions: pd.DataFrame, experiment: Experiment) -> LevelScores:
    """Score predictions at one level of truth; precision and recall are scikit-learn's, intervals Wilson's.

    Where predictions say of which scan a pattern is (``map``), intervals take its patterns for a cluster.

    Raises
    ------
    kikuchinet.errors.InputError
        There are no predictions, or a column is missing.
    """
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    truths, answered = level_labels(level, predictions, experiment)
    labels = sorted(set(truths) | (set(answered) - {"none"}))
    precision, recall, _, support = precision_recall_fscore_support(
        truths, answered, labels=labels, zero_division=0.0
    )
    right = np.array([int(((truths == label) & (answered == label)).sum()) for label in labels])
    given = np.array([int((answered == label).sum()) for label in labels])
    hits, scans = truths == answered, _scans(predictions)
    names = predictions["material"].to_numpy(dtype=str)

    def intervals(parts: list[NDArray[np.bool_]]) -> tuple[list[float], list[float]]:
        ends = [clustered_interval(hits[part], scans[part], names[part]) for part in parts]
        return [low for low, _ in ends], [high for _, high in ends]

    recall_low, recall_high = intervals([truths == label for label in labels])
    precision_low, precision_high = intervals([answered == label for label in labels])
    classes = pd.DataFrame(
        {
            "class": labels,
            "patterns": support,
            "right": right,
            "recall": recall,
            "recall_low": recall_low,
            "recall_high": recall_high,
            "answered": given,
            "precision": precision,
            "precision_low": precision_low,
            "precision_high": precision_high,
        }
    )
    materials = _by_material(predictions, truths, answered, experiment)
    total = int((truths == answered).sum())
    low, high = clustered_interval(hits, scans, names)
    taught = materials["seen"].to_numpy()
    recalls = materials["recall"].to_numpy()
    return LevelScores(
        level=level,
        classes=classes,
        materials=materials,
        accuracy=(total / len(truths), low, high),
        macro_recall=float(recall[support > 0].mean()),
        seen=float(recalls[taught].mean()) if taught.any() else float("nan"),
        unseen=float(recalls[~taught].mean()) if (~taught).any() else float("nan"),
    )


def _scans(predictions: pd.DataFrame) -> NDArray[np.str_]:
    """Return which scan each pattern is of; each stands alone where nothing says so."""
    if "map" in predictions.columns and predictions["map"].notna().all():
        return predictions["map"].to_numpy(dtype=str)
    return np.arange(len(predictions)).astype(str)


def markdown(frame: pd.DataFrame) -> str:
    """Return a table as Markdown; numbers that are not whole get three digits."""

    def cell(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + " --- |" * len(frame.columns)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in frame.itertuples(index=False)]
    return "\n".join(lines)


def _check(predictions: pd.DataFrame) -> None:
    if missing := [name for name in REQUIRED if name not in predictions.columns]:
        raise InputError("predictions", f"have no column {missing[0]!r}")
    if predictions.empty:
        raise InputError("predictions", "there are none")


def _truth(level: str, material: str, group: int) -> str:
    if level == "literal":
        return str(group)
    if level == "visible":
        return str(visible_group(crystals[material]))
    if level == "structure":
        return structure_type(material)
    raise InputError("level", f"{level!r} is none of {', '.join(LEVELS)}")


def _meaning(level: str, answer: int, experiment: Experiment) -> Sequence[str]:
    if answer == 0:
        return ("none",)
    if level == "literal":
        return (str(answer),)
    meant = experiment.taught_visible(answer) if level == "visible" else experiment.taught_types(answer)
    return tuple(map(str, meant)) or ("none",)


def _by_material(
    predictions: pd.DataFrame, truths: NDArray[np.str_], answered: NDArray[np.str_], experiment: Experiment
) -> pd.DataFrame:
    import pandas as pd

    names = predictions["material"].astype(str).to_numpy()
    scans = _scans(predictions)
    rows = []
    for name in counts(predictions).index:
        mine = names == name
        crystal = crystals[name]
        ordering = weakest_ordering(crystal)
        n, right = int(mine.sum()), int((truths[mine] == answered[mine]).sum())
        low, high = clustered_interval(truths[mine] == answered[mine], scans[mine])
        rows.append(
            {
                "material": name,
                "space_group": crystal.space_group,
                "class": str(truths[mine][0]),
                "seen": name in experiment.taught,
                "mean_z": crystal.mean_atomic_number,
                "superlattice_ratio": ordering[1] if ordering is not None else float("nan"),
                "patterns": n,
                "right": right,
                "recall": right / n,
                "recall_low": low,
                "recall_high": high,
            }
        )
    return pd.DataFrame(rows)
