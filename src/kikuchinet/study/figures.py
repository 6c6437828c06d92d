"""The paper's figures, from tables of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from kikuchinet.crystal import crystals, ladder
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.collections import QuadMesh
    from matplotlib.figure import Figure
    from orix.quaternion.symmetry import Symmetry

    from kikuchinet.study.tables import LevelScores

_FEWEST = 20
"""Patterns from which a density of poles is drawn."""
_SEEN, _UNSEEN = "0.35", "0.85"
"""Greys of the bars of materials that taught the network, and of the others; the others are hatched as well."""


def draw_recalls(scores: LevelScores, answers: int, title: str = "") -> Figure:
    """Draw the recall of each material as bars, a panel for each space group, as Figures 2, 4 to 7 and 10 of the paper.

    Parameters
    ----------
    scores
        Of one experiment at one level of truth.
    answers
        Number of space groups that the network chooses from; 1/answers is chance.
    title
        Over the figure.

    Returns
    -------
    matplotlib.figure.Figure
        Bars with 95 % intervals, the line of chance, the mean atomic number under each bar. Not shown; the caller saves it.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no answer to choose from.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    if answers < 1:
        raise InputError("answers", f"{answers} space groups to choose from")
    table = scores.materials
    groups = list(dict.fromkeys(table["space_group"].tolist()))
    widths = [int((table["space_group"] == group).sum()) for group in groups]
    figure = Figure(figsize=(1.2 + 0.62 * len(table), 3.4), dpi=200, layout="constrained")
    panels = np.atleast_1d(figure.subplots(1, len(groups), sharey=True, gridspec_kw={"width_ratios": widths}))
    for ax, group in zip(panels, groups, strict=True):
        _draw_panel(ax, table[table["space_group"] == group], 1.0 / answers)
        ax.set_title(f"{group} {ladder(group).symbol}", fontsize=8)
    panels[0].set_ylabel("recall", fontsize=8)
    panels[0].set_ylim(0.0, 1.0)
    figure.legend(
        handles=[
            Patch(facecolor=_SEEN, edgecolor="black", label="taught with"),
            Patch(facecolor=_UNSEEN, edgecolor="black", hatch="///", label="never seen"),
        ],
        loc="outside lower center",
        ncols=2,
        fontsize=7,
        frameon=False,
    )
    if title:
        figure.suptitle(title, fontsize=9)
    return figure


def _draw_panel(ax: Axes, table: pd.DataFrame, chance: float) -> None:
    place = np.arange(len(table))
    recall = table["recall"].to_numpy()
    seen = table["seen"].to_numpy(dtype=bool)
    for mask, grey, hatch in ((seen, _SEEN, ""), (~seen, _UNSEEN, "///")):
        ax.bar(place[mask], recall[mask], 0.7, color=grey, edgecolor="black", linewidth=0.6, hatch=hatch)
    interval = np.stack([recall - table["recall_low"], table["recall_high"] - recall])
    ax.errorbar(place, recall, interval, fmt="none", ecolor="black", elinewidth=0.8, capsize=2)
    ax.axhline(chance, color="black", linewidth=0.8, linestyle="--")
    names = [f"{row.material}\nZ {row.mean_z:.1f}" for row in table.itertuples()]
    ax.set_xticks(place, names, fontsize=6)
    ax.set_xlim(-0.6, len(table) - 0.4)
    ax.tick_params(axis="y", labelsize=7)
    ax.spines[["top", "right"]].set_visible(False)


def draw_inverse_pole_figures(
    predictions: pd.DataFrame, materials: Sequence[str] | None = None, *, split_by_answer: bool = False
) -> Figure:
    """Draw inverse pole figures of the sample's normal, as Figures A2, A5 and A7 of the paper.

    Parameters
    ----------
    predictions
        Columns ``material, qa, qb, qc, qd`` (sample to crystal), and ``right`` (bool) for `split_by_answer`.
    materials
        Which to draw, in order; all if not given.
    split_by_answer
        One row for patterns answered rightly, one for the others; else all patterns in one row.

    Returns
    -------
    matplotlib.figure.Figure
        Pole densities in multiples of random (orix), one column a material.

    Raises
    ------
    kikuchinet.errors.InputError
        A material has no patterns.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from orix.measure import pole_density_function
    from orix.quaternion import Rotation
    from orix.quaternion.symmetry import get_point_group
    from orix.vector import Vector3d

    names = list(materials) if materials is not None else list(dict.fromkeys(predictions["material"]))
    rows = ("right", "wrong") if split_by_answer else ("all",)
    per_row = min(len(names), 6)
    lines = -(-len(names) // per_row)
    figure = Figure(
        figsize=(1.75 * per_row + 0.6, 1.75 * lines * len(rows) + 0.3), dpi=200, layout="constrained"
    )
    axes = figure.subplots(lines * len(rows), per_row, squeeze=False)
    for ax in axes.ravel():
        ax.set_axis_off()
    shown = None
    for number, name in enumerate(names):
        table = predictions[predictions["material"] == name]
        if table.empty:
            raise InputError(name, "has no patterns to draw")
        for line, row in enumerate(rows):
            part = table if row == "all" else table[table["right"] == (row == "right")]
            ax = axes[number // per_row * len(rows) + line, number % per_row]
            ax.set_title(f"{name}" + ("" if row == "all" else f", {row}") + f"\nn = {len(part)}", fontsize=6)
            if len(part) < _FEWEST:
                if len(part):
                    ax.text(
                        0.5, 0.5, f"fewer than {_FEWEST}", fontsize=5, ha="center", transform=ax.transAxes
                    )
                continue
            symmetry = get_point_group(crystals[name].space_group).laue
            normals = Rotation(part[["qa", "qb", "qc", "qd"]].to_numpy()) * Vector3d.zvector()
            density, (x, y) = pole_density_function(normals, resolution=1, sigma=7, symmetry=symmetry)
            shown = ax.pcolormesh(x, y, density, cmap="cividis", vmin=0, vmax=3, rasterized=True)
            _outline(ax, shown, symmetry)
    if shown is not None:
        bar = figure.colorbar(mpl.cm.ScalarMappable(shown.norm, shown.cmap), ax=axes, shrink=0.6)
        bar.set_label("multiples of random", fontsize=6)
        bar.ax.tick_params(labelsize=6)
    return figure


def _outline(ax: Axes, shown: QuadMesh, symmetry: Symmetry) -> None:
    """Cut a density to the edge of the fundamental sector, draw the edge, and name a cubic one's corners."""
    from matplotlib.patches import Polygon
    from orix.projections import StereographicProjection
    from orix.vector import Vector3d

    sector = symmetry.fundamental_sector
    x, y = StereographicProjection().vector2xy(sector.edges)
    edge = Polygon(np.stack([x, y], axis=1), closed=True, fill=False, edgecolor="black", linewidth=0.6)
    ax.add_patch(edge)
    shown.set_clip_path(edge)
    margin = 0.09
    ax.set_xlim(x.min() - margin, x.max() + margin)
    ax.set_ylim(y.min() - margin, y.max() + margin)
    ax.set_aspect("equal")
    if symmetry.name != "m-3m":
        return
    for name, vector in (("001", (0, 0, 1)), ("011", (1, 0, 1)), ("111", (1, 1, 1))):
        u, v = StereographicProjection().vector2xy(Vector3d(vector).unit)
        under = name != "111"
        ax.text(float(u[0]), float(v[0]) + (-0.02 if under else 0.01), name, fontsize=4, ha="center",
                va="top" if under else "bottom")  # fmt: skip


def draw_quality(
    predictions: pd.DataFrame,
    column: str,
    materials: Sequence[str] | None = None,
    *,
    label: str = "",
    split_by_answer: bool = False,
) -> Figure:
    """Draw histograms of a quality figure, as Figures A3, A6 and A8 of the paper.

    Parameters
    ----------
    predictions
        Columns ``material``, `column`, and ``right`` (bool) for `split_by_answer`.
    column
        Such as ``band_contrast`` or ``mad_deg``; rows without a number are left out and counted.
    materials
        Which to draw; all if not given.
    label
        Of the axis; else the column's name.
    split_by_answer
        Outlines for right and wrong answers beside each other.

    Returns
    -------
    matplotlib.figure.Figure
        One panel a material, with mean and standard deviation.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such column, or nothing in it.
    """
    from matplotlib.figure import Figure

    if column not in predictions.columns or predictions[column].notna().sum() == 0:
        raise InputError("predictions", f"hold no numbers in a column {column!r}")
    names = list(materials) if materials is not None else list(dict.fromkeys(predictions["material"]))
    per_row = min(len(names), 6)
    lines = -(-len(names) // per_row)
    figure = Figure(figsize=(1.6 * per_row + 0.4, 1.5 * lines + 0.4), dpi=200, layout="constrained")
    axes = figure.subplots(lines, per_row, squeeze=False, sharex=True)
    values = predictions[column].dropna()
    low, high = np.percentile(values, [0.5, 99.5])
    edges = np.linspace(low, high, 26)
    for ax in axes.ravel()[len(names) :]:
        ax.set_axis_off()
    for ax, name in zip(axes.ravel(), names, strict=False):
        table = predictions[predictions["material"] == name]
        found = table[column].dropna()
        if split_by_answer:
            for right, style in ((True, "-"), (False, "--")):
                part = table.loc[table["right"] == right, column].dropna()
                count, _ = np.histogram(part, edges)
                # As shares, so that few right answers can be held against many wrong ones.
                ax.stairs(count / max(count.sum(), 1), edges, color="black", linestyle=style)
        else:
            ax.hist(found, edges, color="0.6", edgecolor="black", linewidth=0.3)
        missing = len(table) - len(found)
        note = f"\n{missing} without" if missing else ""
        ax.set_title(f"{name}: {_mean_and_spread(found)}{note}", fontsize=6)
        if split_by_answer:
            both = [
                _mean_and_spread(table.loc[table["right"] == right, column].dropna())
                for right in (True, False)
            ]
            ax.set_title(f"{name}{note}\nright {both[0]}, wrong {both[1]}", fontsize=5)
        ax.tick_params(labelsize=5)
        ax.set_yticks([])
    figure.supxlabel(
        (label or column) + (" (solid: right, dashed: wrong)" if split_by_answer else ""), fontsize=7
    )
    return figure


def _mean_and_spread(values: pd.Series) -> str:
    if values.empty:
        return "none"
    spread = f" ± {values.std():.2g}" if len(values) > 1 else ""
    return f"{values.mean():.3g}{spread}"
