"""What `beyond` found: a figure and a sentence for each question, worked out from its rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kikuchinet.errors import InputError
from kikuchinet.evaluation import wilson_interval

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

AXES = {
    "materials": ("materials", "training materials per group"),
    "patterns": ("patterns", "training patterns per group"),
    "synthetic": ("synthetic", "synthetic crystals per group besides"),
    "dose": ("bin", "noise over signal"),
    "band contrast": ("bin", "band contrast"),
    "orientation": ("bin", "angle of the normal to ⟨001⟩, ⟨011⟩ or ⟨111⟩ (degrees)"),
}
"""Column and label of what is varied in each question."""


@dataclass(frozen=True, eq=False)
class Trend:
    """Accuracy on unseen materials against one thing.

    Parameters
    ----------
    question
        One of `AXES`.
    table
        Per value: ``value, n, accuracy, low, high, networks``. Materials weigh the same; the interval is that of draws of
        materials and networks (bootstrap over rows) where there are several, else Wilson's.
    sentence
        What it shows, in words.
    chance
        Recall of a guess: each group has a material that is asked about, so their number is that of the answers.
    """

    question: str
    table: pd.DataFrame
    sentence: str
    chance: float


def find_trend(results: pd.DataFrame, question: str, *, seed: int = 0) -> Trend:
    """Return accuracy on unseen materials against what a question varies.

    Parameters
    ----------
    results
        Rows of `kikuchinet.study.beyond.run_beyond`.
    question
        One of `AXES`.
    seed
        Of resampling.

    Raises
    ------
    kikuchinet.errors.InputError
        There are no rows of this question, or no such question.
    """
    import pandas as pd

    if question not in AXES:
        raise InputError(f"question {question!r}", f"is none of {', '.join(AXES)}")
    rows = results[results["question"] == question] if "question" in results.columns else results
    if rows.empty:
        raise InputError(f"question {question!r}", "has no results yet")
    column, label = AXES[question]
    rows = _one_a_material(rows, column)
    rng = np.random.default_rng(seed)
    lines = []
    for value, part in rows.groupby(column):
        shares = (part["right"] / part["n"]).to_numpy()
        if len(shares) > 1:
            drawn = shares[rng.integers(len(shares), size=(2000, len(shares)))].mean(axis=1)
            low, high = (float(end) for end in np.quantile(drawn, (0.025, 0.975)))
        else:
            low, high = (float(end) for end in wilson_interval(part["right"].sum(), part["n"].sum()))
        lines.append(
            (float(value), int(part["n"].sum()), float(shares.mean()), low, high, part["key"].nunique())
        )
    table = pd.DataFrame(lines, columns=["value", "n", "accuracy", "low", "high", "networks"])
    return Trend(question, table, _sentence(question, table, rows, label), _chance(rows))


def _one_a_material(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return one row for each network, value and material: older tables have one for each master pattern of ``dose``."""
    keys = ["key", column, "material"]
    others = {name: (name, "first") for name in rows.columns if name not in {*keys, "n", "right"}}
    return rows.groupby(keys, as_index=False, sort=False).agg(
        n=("n", "sum"), right=("right", "sum"), **others
    )


def draw_trend(trend: Trend) -> Figure:
    """Draw accuracy on unseen materials against what was varied, with 95 % intervals."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 3.2), dpi=200, layout="constrained")
    ax = figure.subplots()
    table = trend.table
    error = np.stack([table["accuracy"] - table["low"], table["high"] - table["accuracy"]])
    ax.errorbar(
        table["value"], table["accuracy"], np.maximum(error, 0.0), color="black", marker="o", capsize=3
    )
    ax.axhline(trend.chance, color="black", linewidth=0.8, linestyle="--")
    if trend.question in ("patterns", "dose") and (table["value"] > 0).all():
        ax.set_xscale("log")
        ax.set_xticks(table["value"], [f"{value:g}" for value in table["value"]])
        ax.minorticks_off()
    ax.set_xlabel(AXES[trend.question][1], fontsize=8)
    ax.set_ylabel("recall of unseen materials", fontsize=8)
    ax.set_ylim(0.0, 1.0)
    ax.tick_params(labelsize=7)
    ax.spines[["top", "right"]].set_visible(False)
    return figure


def draw_z_range(results: pd.DataFrame) -> tuple[Figure, str]:
    """Draw accuracy of each network of question ``materials`` against the range of mean Z that taught it.

    Returns
    -------
    tuple
        The figure, and a sentence: Spearman's rank correlation over networks with as many materials.
    """
    from matplotlib.figure import Figure

    rows = results[results["question"] == "materials"]
    if rows.empty:
        raise InputError("question 'materials'", "has no results yet")
    rows = rows.assign(share=rows["right"] / rows["n"])
    networks = rows.groupby("key", as_index=False).agg(
        materials=("materials", "first"), z_range=("z_range", "first"), share=("share", "mean")
    )
    figure = Figure(figsize=(4.4, 3.2), dpi=200, layout="constrained")
    ax = figure.subplots()
    for (count, part), marker in zip(networks.groupby("materials"), "os^Dv", strict=False):
        ax.plot(
            part["z_range"], part["share"], marker, color="black", markerfacecolor="none", label=f"{count}"
        )
    ax.axhline(_chance(rows), color="black", linewidth=0.8, linestyle="--")
    ax.set_xlabel("range of mean Z that taught a group, mean of the groups", fontsize=8)
    ax.set_ylabel("recall of unseen materials", fontsize=8)
    ax.set_ylim(0.0, 1.0)
    ax.tick_params(labelsize=7)
    ax.legend(title="materials per group", fontsize=7, title_fontsize=7, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    return figure, _z_sentence(networks)


def _chance(rows: pd.DataFrame) -> float:
    return 1.0 / int(rows["space_group"].nunique())


def _z_sentence(networks: pd.DataFrame) -> str:
    from scipy.stats import spearmanr

    # Within one number of materials, ranks are taken by themselves: more materials span more Z anyway.
    several = networks[networks["materials"] > 1]
    groups = several.groupby("materials").filter(lambda part: len(part) > 2)
    if len(groups) < 6 or groups["z_range"].nunique() < 3:
        return f"{len(several)} networks of two materials or more: too few to tell range from number."
    centred = groups.groupby("materials")[["z_range", "share"]].rank(pct=True)
    test = spearmanr(centred["z_range"], centred["share"])
    words = "goes with" if test.pvalue < 0.05 else "does not clearly go with"
    return (
        f"At the same number of materials, a wider range of mean Z {words} better recall (Spearman {test.statistic:.2f}, "
        f"p {test.pvalue:.2g}, {len(groups)} networks)."
    )


def _sentence(question: str, table: pd.DataFrame, rows: pd.DataFrame, label: str) -> str:
    networks = rows["key"].nunique()
    first, last = table.iloc[0], table.iloc[-1]
    if len(table) < 2:
        return (
            f"Only one value of {label}: {first['accuracy']:.0%} ({first['low']:.0%} to {first['high']:.0%})."
        )
    ends = (
        f"{first['accuracy']:.0%} ({first['low']:.0%} to {first['high']:.0%}) at {first['value']:g}, "
        f"{last['accuracy']:.0%} ({last['low']:.0%} to {last['high']:.0%}) at {last['value']:g}"
    )
    if last["low"] > first["high"]:
        words = "rises"
    elif last["high"] < first["low"]:
        words = "falls"
    else:
        words = "does not clearly change"
    return f"Recall of unseen materials {words} with {label}: {ends}; {networks} networks."
