"""Pictures of a scan: phases, confidence and quality, one map each."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.identification.maps import coloured, coordinates, legend, map_shape

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kikuchinet.identification.result import SourceAnswer

_PANEL = 5.0
"""Longer side of a map in inches."""


def save_phase_map(answer: SourceAnswer, path: Path, colours: Mapping[int, str]) -> None:
    """Draw the space group that each grain's patterns say together, with the grains' boundaries.

    Parameters
    ----------
    answer
        Of a two-dimensional scan. Without grains each point has its own answer.
    path
        A PNG file to write.
    colours
        Of the answers; see `group_colours`.
    """
    groups = answer.by_point[0].reshape(map_shape(answer))
    figure, axes, extent = _frame(answer)
    axes.imshow(coloured(groups, colours), interpolation="nearest", extent=extent)
    _boundaries(axes, answer, extent)
    figure.legend(
        handles=legend(groups, colours, answer.identification.classes),
        loc="outside lower center",
        ncols=2,
        fontsize=9,
        frameon=False,
    )
    title = "Space group" if answer.grains is None else "Space group of each grain"
    axes.set_title(title, fontsize=11)
    figure.savefig(path, metadata={"Software": None})


def save_confidence_map(answer: SourceAnswer, path: Path) -> None:
    """Draw the probability of the likeliest space group, of each grain where there are grains."""
    title = "Probability of the likeliest group" + ("" if answer.grains is None else ", by grain")
    _save_values(answer, answer.by_point[1], path, title, (0.0, 1.0), "viridis")


def save_quality_map(answer: SourceAnswer, path: Path) -> None:
    """Draw the image quality of each pattern (Krieger Lassen's, see `kikuchinet.patterns.quality`)."""
    _save_values(answer, answer.quality, path, "Image quality", None, "gray")


def _save_values(
    answer: SourceAnswer,
    values: NDArray[np.float64],
    path: Path,
    title: str,
    limits: tuple[float, float] | None,
    colours: str,
) -> None:
    figure, axes, extent = _frame(answer)
    low, high = limits or (float(values.min()), float(values.max()))
    image = axes.imshow(
        values.reshape(map_shape(answer)),
        cmap=colours,
        vmin=low,
        vmax=high,
        interpolation="nearest",
        extent=extent,
    )
    axes.set_title(title, fontsize=11)
    figure.colorbar(image, ax=axes, shrink=0.85, pad=0.02)
    figure.savefig(path, metadata={"Software": None})


def _frame(answer: SourceAnswer) -> tuple[Figure, Any, tuple[float, float, float, float]]:
    """Return a figure, its axes and the extent of the map, in the scan's unit."""
    from matplotlib.figure import Figure

    x, y, unit = coordinates(answer)
    columns = map_shape(answer)[1]
    half_x, half_y = 0.5 * (x[1] - x[0]), 0.5 * (y[columns] - y[0])
    extent = (float(-half_x), float(x.max() + half_x), float(y.max() + half_y), float(-half_y))
    ratio = (extent[2] - extent[3]) / (extent[1] - extent[0])
    width, height = (_PANEL, _PANEL * ratio) if ratio <= 1 else (_PANEL / ratio, _PANEL)
    figure = Figure(figsize=(max(width, 2.5) + 1.4, max(height, 1.2) + 1.6), dpi=150, layout="constrained")
    axes = figure.subplots()
    name = {"um": "µm", "px": "scan steps"}.get(unit, unit)
    axes.set_xlabel(f"x in {name}", fontsize=9)
    axes.set_ylabel(f"y in {name}", fontsize=9)
    axes.tick_params(labelsize=8)
    return figure, axes, extent


def _boundaries(axes: Any, answer: SourceAnswer, extent: tuple[float, float, float, float]) -> None:
    """Draw lines between points of different grains."""
    from matplotlib.collections import LineCollection

    if answer.grains is None:
        return
    rows, columns = map_shape(answer)
    labels = answer.grains.labels.reshape(rows, columns)
    dx, dy = (extent[1] - extent[0]) / columns, (extent[2] - extent[3]) / rows
    lines = []
    row, column = np.nonzero(labels[:, 1:] != labels[:, :-1])
    for r, c in zip(row.tolist(), column.tolist(), strict=True):
        x = extent[0] + (c + 1) * dx
        lines.append([(x, extent[3] + r * dy), (x, extent[3] + (r + 1) * dy)])
    row, column = np.nonzero(labels[1:] != labels[:-1])
    for r, c in zip(row.tolist(), column.tolist(), strict=True):
        y = extent[3] + (r + 1) * dy
        lines.append([(extent[0] + c * dx, y), (extent[0] + (c + 1) * dx, y)])
    # A dark line in a white one shows on every shade.
    axes.add_collection(LineCollection(lines, colors="white", linewidths=1.6))
    axes.add_collection(LineCollection(lines, colors="black", linewidths=0.7))
