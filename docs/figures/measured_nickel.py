"""The README's figure: measured nickel, what the network sees, our simulation beside it, and the answer.

    .venv/bin/python docs/figures/measured_nickel.py [--model NAME]

Writes docs/images/measured_nickel.png. The orientations and pattern centres of the simulations are those that kikuchipy
ships with the patterns (dictionary indexing); nothing is fitted here.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kikuchipy
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray

import kikuchinet as kn
from kikuchinet.patterns import example_patterns, preprocess

SHOWN = (1, 3, 8)
"""One pattern of each of three grains."""


def simulated(indices: tuple[int, ...]) -> NDArray[np.float32]:
    """Project our Ni master pattern at the indexed orientations, 240 x 240."""
    signal = kikuchipy.data.nickel_ebsd_small()
    master = kn.simulate(kn.crystals["Ni"], energy_kev=20.0, half_width=250)
    images = []
    for i in indices:
        detector = kn.Detector(
            shape=(240, 240), pattern_center=tuple(signal.detector.pc.reshape(-1, 3)[i]), convention="bruker"
        )
        images.append(kn.project(master, signal.xmap.rotations[i], detector)[0])
    return np.array(images)


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None, help="a shipped model's name, or a folder")
    parser.add_argument(
        "--out", type=Path, default=Path(__file__).parents[1] / "images" / "measured_nickel.png"
    )
    options = parser.parse_args()
    mpl.use("Agg")
    source = example_patterns()
    measured = np.stack([source[i] for i in SHOWN])
    result = kn.load_model(options.model).identify(measured)
    columns = (measured, preprocess(measured, size=(128, 128)), simulated(SHOWN))
    titles = ("measured, 60 × 60", "what the network sees", "simulated Ni, same orientation", "probability")
    figure, axes = plt.subplots(
        len(SHOWN),
        4,
        figsize=(10.0, 7.6),
        layout="constrained",
        gridspec_kw={"width_ratios": (1, 1, 1, 1.15)},
    )
    symbols = [f"{group} {kn.ladder(group).symbol}" for group in result.classes]
    for row, probabilities in enumerate(result.probabilities):
        for axis, images in zip(axes[row], columns, strict=False):
            low, high = np.percentile(images[row], (0.5, 99.5))
            axis.imshow(images[row], cmap="gray", vmin=low, vmax=high)
            axis.set_xticks([])
            axis.set_yticks([])
        bars = axes[row, 3]
        answer = int(np.argmax(probabilities))
        colours = ["#1b4f72" if i == answer else "#aab7b8" for i in range(len(symbols))]
        bars.barh(symbols, probabilities, color=colours)
        for i, value in enumerate(probabilities):
            # Inside the bar where there is no room beside it.
            inside = value > 0.82
            bars.text(value + (-0.02 if inside else 0.02), i, f"{value:.2f}", va="center", fontsize=9,
                      ha="right" if inside else "left", color="white" if inside else "black")  # fmt: skip
        bars.set_xlim(0, 1)
        bars.invert_yaxis()
        bars.tick_params(labelsize=9)
        for side in ("top", "right"):
            bars.spines[side].set_visible(False)
        axes[row, 0].set_ylabel(f"pattern {SHOWN[row]}")
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=110)
    print(options.out)


if __name__ == "__main__":
    main()
