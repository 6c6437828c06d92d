"""Pictures of explanations of band profiles: the bands that speak for the answer, their profiles, their weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kikuchinet.crystal.outside import answer_title
from kikuchinet.explanation.bands import BandExplanation, family_name
from kikuchinet.indexing.bands import BINS, FAMILIES, REACH, plane_normals

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DRAWN = 3
"""Families whose bands are drawn on the pattern: more cover it."""
_REACH_DEG = 6.0
"""Angle from the plane, on either side, that is drawn of a profile."""
_COLORS = ("#ff7f0e", "#17becf", "#e377c2")
_OTHERS = "0.35"


def draw_band_explanation(explanation: BandExplanation, classes: tuple[int, ...], title: str = "") -> Figure:
    """Draw why a model of band profiles answers a pattern as it does.

    Parameters
    ----------
    explanation
        Of one pattern.
    classes
        Of the model.
    title
        Of the figure.

    Returns
    -------
    matplotlib.figure.Figure
        The pattern with the bands of the heaviest families, the profile and the weight of each family. Not shown; the caller
        saves and closes it.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11.0, 5.4), dpi=150, layout="constrained")
    figure.suptitle(title, fontsize=9)
    pattern_part, profile_part, weight_part = figure.subfigures(
        1, 3, squeeze=False, width_ratios=(0.85, 1.75, 0.95)
    )[0]
    colors = dict(zip(explanation.speaking(_DRAWN), _COLORS, strict=False))
    _draw_pattern(
        pattern_part.subplots(2, 1), explanation, colors, answer_title(explanation.space_group, classes)
    )
    _draw_profiles(profile_part.subplots(4, 4, sharex=True, sharey=True), explanation, colors)
    profile_part.supxlabel("degrees from the plane", fontsize=7)
    profile_part.supylabel("mean intensity / σ", fontsize=7)
    _draw_weights(weight_part.subplots(), explanation, colors, classes)
    return figure


def _draw_pattern(
    axes: np.ndarray, explanation: BandExplanation, colors: dict[int, str], answer: str
) -> None:
    from matplotlib.lines import Line2D

    plain, ax = axes
    for one in axes:
        one.imshow(explanation.prepared, cmap="gray")
        one.set(xticks=[], yticks=[])
    plain.set_title("pattern as the model reads it", fontsize=8)
    if explanation.reason:
        ax.set_title(f"no answer:\n{explanation.reason}", fontsize=8, wrap=True)
        return
    ax.set_title(
        f"bands that speak most for\n{answer}" if colors else f"no band speaks for\n{answer}", fontsize=8
    )
    normals, family = plane_normals()
    for k, color in colors.items():
        for sine in sines_to_planes(explanation, normals[family == k]):
            if sine.min() < 0.0 < sine.max():
                ax.contour(sine, levels=[0.0], colors=color, linewidths=0.8)
    ax.legend(
        handles=[Line2D([], [], color=color, label=family_name(FAMILIES[k])) for k, color in colors.items()],
        loc="upper center",
        bbox_to_anchor=(0.5, -0.02),
        ncols=max(1, len(colors)),
        fontsize=7,
        frameon=False,
    )


def sines_to_planes(explanation: BandExplanation, normals: np.ndarray) -> np.ndarray:
    """Return the sine of the angle of every pixel's direction from each plane.

    Parameters
    ----------
    explanation
        Of the pattern.
    normals
        (n, 3) unit normals in the crystal.

    Returns
    -------
    numpy.ndarray
        (n, rows, columns); 0 in the middle of a plane's band.
    """
    rows, columns = explanation.prepared.shape
    first, per_column, per_row = explanation.rays
    directions = (
        first + np.arange(columns)[None, :, None] * per_column + np.arange(rows)[:, None, None] * per_row
    )
    directions = directions / np.linalg.norm(directions, axis=-1, keepdims=True)
    return np.moveaxis(directions @ normals.T, -1, 0)


def _draw_profiles(axes: np.ndarray, explanation: BandExplanation, colors: dict[int, str]) -> None:
    angles = np.rad2deg(np.arcsin((np.arange(BINS) + 0.5) * REACH / BINS))
    near = angles < _REACH_DEG
    x = np.concatenate([-angles[near][::-1], angles[near]])
    for k, (ax, family) in enumerate(zip(axes.flat, FAMILIES, strict=True)):
        # Nothing was averaged where no pixel is.
        curve = np.where(explanation.profiles[2, k] > 0, explanation.profiles[0, k], np.nan)[near]
        ax.plot(x, np.concatenate([curve[::-1], curve]), color=colors.get(k, _OTHERS), linewidth=1.0)
        weight = explanation.weights[k]
        ax.set_title(
            family_name(family) + ("" if np.isnan(weight) else f" {weight:+.2f}"),
            fontsize=6.5,
            color=colors.get(k, "black"),
            pad=2,
        )
        ax.tick_params(labelsize=5.5, length=2)
        ax.set_xlim(-_REACH_DEG, _REACH_DEG)


def _draw_weights(
    ax: Axes, explanation: BandExplanation, colors: dict[int, str], classes: tuple[int, ...]
) -> None:
    if explanation.reason:
        ax.set_axis_off()
        return
    places = np.arange(len(FAMILIES))
    ax.barh(places, explanation.weights, color=[colors.get(int(k), _OTHERS) for k in places])
    ax.axvline(0.0, color="black", linewidth=0.6)
    ax.set_yticks(places, [family_name(family) for family in FAMILIES])
    ax.invert_yaxis()
    ax.tick_params(labelsize=6)
    group, against = (answer_title(one, classes) for one in (explanation.space_group, explanation.against))
    ax.set_xlabel(
        f"weight: how far ln(odds) falls\nwithout the family\n← for {against}     for {group} →", fontsize=6.5
    )
