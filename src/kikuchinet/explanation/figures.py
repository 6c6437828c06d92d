"""Pictures of explanations: pattern, Hough transform, heat, and what of the crystal lies where."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import answer_title, outside_name
from kikuchinet.explanation.features import PatternFeatures, find_bands, find_zone_axes
from kikuchinet.patterns.hough import hough_transform, line_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from kikuchinet.explanation.gradcam import Explanation

_BANDS_DRAWN = 12
_AXES_NAMED = 8
_NAME: dict[str, Any] = {"color": "white", "fontsize": 6, "ha": "left", "va": "bottom"}


def draw_explanation(
    explanation: Explanation, number: int, features: PatternFeatures | None = None, title: str = ""
) -> Figure:
    """Draw one pattern's explanation.

    Parameters
    ----------
    explanation
        Heat maps.
    number
        Which pattern.
    features
        The crystal in this pattern's orientation, on the detector of the prepared pattern; its bands are drawn over the
        pattern, its zone axes and HOLZ rings over the heat.
    title
        Of the figure; else the answer.

    Returns
    -------
    matplotlib.figure.Figure
        Pattern, Hough transform, Grad-CAM, guided Grad-CAM. Not shown; the caller saves and closes it.
    """
    return draw_explanations([(explanation, number, features, title)])


def draw_explanations(
    items: Sequence[tuple[Explanation, int, PatternFeatures | None, str]],
) -> Figure:
    """Draw several patterns' explanations below each other; each item holds the parameters of `draw_explanation`."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10.0, 2.9 * len(items)), dpi=150, layout="constrained")
    for part, item in zip(figure.subfigures(len(items), 1, squeeze=False)[:, 0], items, strict=True):
        _draw_row(part, *item)
    return figure


def _draw_row(
    part: SubFigure, explanation: Explanation, number: int, features: PatternFeatures | None, title: str
) -> None:
    pattern_ax, hough_ax, cam_ax, guided_ax = part.subplots(1, 4)
    pattern = explanation.prepared[number]
    for ax in (pattern_ax, cam_ax, guided_ax):
        ax.set(xticks=[], yticks=[])
    pattern_ax.imshow(pattern, cmap="gray")
    pattern_ax.set_title("pattern as the network sees it", fontsize=8)
    _draw_hough(hough_ax, pattern_ax, pattern)
    group = int(explanation.space_groups[number])
    classes = explanation.identification.classes
    for ax, heat, name in (
        (cam_ax, explanation.grad_cam[number], "Grad-CAM"),
        (guided_ax, explanation.guided[number], "guided Grad-CAM"),
    ):
        ax.imshow(pattern, cmap="gray", alpha=0.6)
        # Single bright pixels stretch the scale of a guided map until nothing else can be seen: its root is drawn.
        shown = ax.imshow(
            np.sqrt(heat) if name.startswith("guided") else heat, cmap="inferno", vmin=0, vmax=1, alpha=0.65
        )
        ax.set_title(f"{name} for {answer_title(group, classes)}", fontsize=8)
        if not heat.any():
            _say_no_heat(ax, outside_name(classes) if group == OUTSIDE else str(group))
    bar = part.colorbar(shown, ax=guided_ax, shrink=0.8)
    bar.ax.tick_params(labelsize=6)
    bar.set_label("heat (guided: its root)", fontsize=6)
    if features is not None:
        draw_bands(pattern_ax, features)
        for ax in (cam_ax, guided_ax):
            draw_zone_axes(ax, features)
    answer = explanation.identification.probabilities[number]
    best = int(answer.argmax())
    first = outside_name(classes) if classes[best] == OUTSIDE else classes[best]
    said = f"answer {first}, probability {answer[best]:.2f}"
    part.suptitle(f"{title}: {said}" if title else said, fontsize=9)


def _say_no_heat(ax: Axes, group: str) -> None:
    ax.text(
        0.5,
        0.5,
        f"no heat: nothing in the\nlast convolution speaks\nfor {group} on the whole",
        transform=ax.transAxes,
        ha="center",
        va="center",
        fontsize=7,
        bbox={"facecolor": "white", "edgecolor": "black", "linewidth": 0.5},
        zorder=5,
    )


def draw_bands(ax: Axes, features: PatternFeatures, strongest: int = _BANDS_DRAWN) -> None:
    """Draw the middle lines of the strongest bands over a pattern, with their indices."""
    angles = features.angles_to_planes()[:strongest]
    for hkl, angle in zip(find_bands(features.crystal).hkl.tolist(), angles, strict=False):
        if angle.min() < 0 < angle.max():
            lines = ax.contour(angle, levels=[0.0], colors="white", linewidths=0.5, linestyles="--")
            ax.clabel(lines, fmt={0.0: _indices(hkl, "()")}, fontsize=5, inline=True)


def draw_zone_axes(
    ax: Axes, features: PatternFeatures, named: int = _AXES_NAMED, *, rings: bool = True
) -> None:
    """Mark the strongest zone axes on a pattern, name them, and draw their first-order HOLZ rings."""
    from matplotlib.patheffects import withStroke

    axes = find_zone_axes(features.crystal)
    radii = axes.holz_angles(features.energy_kev)
    rows, columns = features.detector.shape
    shown = 0
    for uvw, angle, radius in zip(axes.uvw.tolist(), features.angles_to_axes(), radii, strict=True):
        row, column = np.unravel_index(int(angle.argmin()), angle.shape)
        inside = 0 < row < rows - 1 and 0 < column < columns - 1
        if not inside:
            continue
        ax.plot(
            column,
            row,
            "o",
            markersize=3,
            markerfacecolor="none",
            markeredgecolor="white",
            markeredgewidth=0.7,
        )
        name = ax.annotate(
            _indices(uvw, "[]"), (column, row), xytext=(2, 2), textcoords="offset points", **_NAME
        )
        # White on white cannot be read: a dark rim.
        name.set_path_effects([withStroke(linewidth=1.2, foreground="black")])
        if rings:
            ax.contour(angle, levels=[radius], colors="white", linewidths=0.4, linestyles=":")
        shown += 1
        if shown == named:
            return


def _draw_hough(ax: Axes, pattern_ax: Axes, pattern: np.ndarray) -> None:
    transform = hough_transform(pattern)
    theta, rho = transform.theta_deg, transform.rho
    ax.imshow(
        transform.values,
        cmap="gray",
        origin="lower",
        aspect="auto",
        extent=(float(theta[0]), float(theta[-1]), float(rho[0]), float(rho[-1])),
    )
    ax.plot(
        transform.bands[:, 0],
        transform.bands[:, 1],
        "o",
        markersize=5,
        markerfacecolor="none",
        markeredgecolor="white",
    )
    ax.set_title("Hough transform", fontsize=8)
    ax.set_xlabel("θ (°)", fontsize=7)
    ax.set_ylabel("ρ (heights)", fontsize=7)
    ax.tick_params(labelsize=6)
    for angle, distance, _ in transform.bands:
        ends = line_ends(angle, distance, pattern.shape)
        # Ticks outside the frame: the bands that Hough indexing would go by, without covering the pattern.
        pattern_ax.plot(ends[:, 0], ends[:, 1], "s", color="black", markersize=2, clip_on=False)


def _indices(index: list[int], brackets: str) -> str:
    inside = "".join(rf"\bar{{{-i}}}" if i < 0 else str(i) for i in index)
    return f"${brackets[0]}{inside}{brackets[1]}$"
