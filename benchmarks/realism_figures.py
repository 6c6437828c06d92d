"""Figures of benchmarks/realism.py: patterns beside each other, and curves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kikuchinet._files import atomic_path
from kikuchinet.evaluation.realism import PERCENTILES
from kikuchinet.indexing.refinement import without_average
from kikuchinet.microscope.filters import resample

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from realism import Comparison

mpl.use("Agg")

_TITLES = {"measured": "measured", "before": "simulated, before", "now": "simulated, now"}
#: Told apart without colour.
_STYLES = {
    "measured": {"color": "black", "linewidth": 2.2},
    "now": {"color": "#c03000", "linewidth": 1.6, "linestyle": "--"},
    "before": {"color": "#7090b0", "linewidth": 1.4, "linestyle": ":"},
}
#: Panels of patterns are this many pixels wide, and details show this many pixels of a frame.
_PANEL, _DETAIL = 200, 100
_HIGH_PASS = 1 / 8


def draw_patterns(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw measured patterns, their twins by both cameras, and the difference, without slow parts, in one grey scale."""
    import matplotlib.pyplot as plt

    rows: list[tuple[str, list[NDArray[np.float64]]]] = []
    for comparison in comparisons:
        order = np.argsort(-comparison.fit.correlations)
        if comparison.measured.frames.shape[1] > 2 * _PANEL:
            first = order[len(order) // 2]
            rows += [
                (f"r = {comparison.fit.correlations[first]:.2f}", _whole(comparison, first)),
                ("detail", _detail(comparison, first)),
            ]
            if len(order) > 1:
                last = order[-1]
                rows.append((f"r = {comparison.fit.correlations[last]:.2f}", _whole(comparison, last)))
        else:
            rows += [(f"r = {comparison.fit.correlations[k]:.2f}", _whole(comparison, k)) for k in order[:3]]
    figure, axes = plt.subplots(
        len(rows), 4, figsize=(8.6, 2.15 * len(rows) + 0.25), squeeze=False, layout="constrained"
    )
    for line, (label, images) in zip(axes, rows, strict=True):
        for panel, image in zip(line, images, strict=True):
            panel.imshow(image, cmap="gray", vmin=-2.5, vmax=2.5, interpolation="nearest")
            panel.set_xticks([])
            panel.set_yticks([])
            panel.set_frame_on(False)
        line[0].set_ylabel(label)
    for panel, title in zip(axes[0], (*_TITLES.values(), "measured - now"), strict=True):
        panel.set_title(title, fontsize=10)
    _save(figure, path, greys=24)
    plt.close(figure)


def _without_slow_parts(comparison: Comparison, kind: str, k: int) -> NDArray[np.float32]:
    mask = comparison.measured.mask
    frame = comparison.frames[kind][k]
    fast = without_average(frame[None] - frame[mask].mean(), mask, _HIGH_PASS)[0]
    return np.where(mask, fast / fast[mask].std(), 0).astype(np.float32)


def _row(images: list[NDArray[np.float32]]) -> list[NDArray[np.float64]]:
    measured, _before, now = images
    return [image.astype(np.float64) for image in (*images, measured - now)]


def _whole(comparison: Comparison, k: int) -> list[NDArray[np.float64]]:
    images = [_without_slow_parts(comparison, kind, k) for kind in _TITLES]
    side = min(_PANEL, images[0].shape[0])
    return _row([resample(image[None], (side, side))[0] for image in images])


def _detail(comparison: Comparison, k: int) -> list[NDArray[np.float64]]:
    images = [_without_slow_parts(comparison, kind, k) for kind in _TITLES]
    first = images[0].shape[0] // 2 - _DETAIL
    part = np.s_[first : first + _DETAIL, first : first + _DETAIL]
    return _row([image[part] for image in images])


def draw_curves(comparisons: Sequence[Comparison], path: Path) -> None:
    """Draw spectrum, grey levels, noise and contrast by height, and the noise's correlation; mean over comparisons."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 5, figsize=(15, 3.1), layout="constrained")
    spectrum, levels, by_height, correlation, contrast = axes
    for kind, style in _STYLES.items():
        looks = [comparison.looks[kind] for comparison in comparisons]
        frequency = looks[0].frequency
        power = np.exp(np.mean([np.log(look.power) for look in looks], axis=0))
        seen = np.isfinite(power)
        spectrum.loglog(frequency[seen], power[seen], label=_TITLES[kind], **style)
        levels.plot(PERCENTILES, np.mean([look.levels.percentiles for look in looks], axis=0), **style)
        heights = looks[0].noise.heights
        by_height.plot(np.mean([look.noise.profile for look in looks], axis=0), heights, **style)
        table = np.mean([look.noise.correlation for look in looks], axis=0)
        across = 0.5 * (table[2, 2:] + table[2:, 2])
        correlation.plot([0, 1, 2], across, marker="o", markersize=4, **style)
        slope = np.mean([look.contrast / np.nanmax(look.contrast) for look in looks], axis=0)
        contrast.plot(slope, heights, **style)
    levels.set(xlabel="percentile", ylabel="grey level / spread", title="grey levels")
    levels.text(0.04, 0.96, _kurtoses(comparisons), transform=levels.transAxes, va="top", fontsize=8)
    spectrum.set(xlabel="cycles per height", ylabel="power / spread²", title="radial power spectrum")
    by_height.set(xlabel="noise / spread", ylabel="height (0: top)", title="noise by height", ylim=(1, 0))
    by_height.set_xlim(left=0)
    correlation.set(xlabel="distance, px", title="noise autocorrelation", xticks=[0, 1, 2], ylim=(-0.1, 1.05))
    contrast.set(
        xlabel="contrast / its maximum", title="Kikuchi contrast by height", ylim=(1, 0), xlim=(0, 1.05)
    )
    spectrum.legend(fontsize=8)
    ticks = [value for value in (3, 10, 30, 100) if value < 1.1 * looks[0].frequency[-1]]
    spectrum.set_xticks(ticks, [str(value) for value in ticks])
    spectrum.set_xticks([], minor=True)
    for panel in axes:
        panel.title.set_fontsize(9)
        panel.grid(alpha=0.25)
    _save(figure, path, greys=0)
    plt.close(figure)


def _kurtoses(comparisons: Sequence[Comparison]) -> str:
    means = [
        f"{kind} {np.mean([comparison.looks[kind].levels.kurtosis for comparison in comparisons]):.2f}"
        for kind in ("measured", "before", "now")
    ]
    return "\n".join(["kurtosis", *means])


def _save(figure: Figure, path: Path, greys: int) -> None:
    """Save a figure; in so many grey levels, which makes noisy pictures small, or in colour for 0."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.canvas.draw()
    pixels = np.asarray(figure.canvas.buffer_rgba())[..., :3]  # type: ignore[attr-defined]
    if greys:
        levels = np.rint(pixels.mean(axis=2) / 255 * (greys - 1))
        image = Image.fromarray(np.rint(levels * 255 / (greys - 1)).astype(np.uint8)).quantize(greys)
    else:
        image = Image.fromarray(pixels).quantize(64)
    with atomic_path(path) as temporary:
        image.save(temporary, format="PNG", optimize=True)
