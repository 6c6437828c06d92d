r"""Figure of docs/data.md: a simulated scan, its phases, orientations, and a pattern at a boundary.

kikuchinet generate --crystals Ni,Fe --scan 20x30 --step 0.5 --grain 4 --rows 96 --columns 96 --half-width 100 \
        --camera good --out scan.h5
.venv/bin/python benchmarks/scan_figure.py scan.h5 --out docs/figures/scan.png
"""

from __future__ import annotations

import argparse
from pathlib import Path

import kikuchipy
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from orix.plot import IPFColorKeyTSL


def _example(table: pd.DataFrame) -> tuple[int, int, int]:
    """Return a pattern that shows two grains, and the nearest ones that show either alone."""
    alone = table[table["overlap"] == 0]
    for at in table["overlap"].sort_values(ascending=False).index:
        row = table.loc[at]
        distance = (alone["row"] - row["row"]) ** 2 + (alone["column"] - row["column"]) ** 2
        sides = [distance[alone["grain"] == row[name]] for name in ("grain", "neighbour")]
        if all(len(side) for side in sides):
            return int(at), int(sides[0].idxmin()), int(sides[1].idxmin())
    raise SystemExit("no boundary in this scan")


def main() -> None:
    """Draw the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("scan", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    signal = kikuchipy.load(arguments.scan)
    table = pd.read_csv(arguments.scan.with_suffix(".csv"))
    xmap = signal.xmap
    colours = np.zeros((len(table), 3))
    for number, phase in xmap.phases:
        mine = xmap.phase_id == number
        colours[mine] = IPFColorKeyTSL(phase.point_group.laue).orientation2color(xmap[mine].orientations)
    figure = Figure(figsize=(10, 4.6), dpi=110, layout="constrained")
    axes = figure.subplots(2, 3)
    shape = xmap.shape
    maps = (
        (
            "phase: " + ", ".join(f"{number} {phase.name}" for number, phase in xmap.phases),
            xmap.phase_id,
            "gray",
        ),
        ("orientation of the normal", colours.reshape(*shape, 3), None),
        ("part of the second grain", table["overlap"].to_numpy(), "gray"),
    )
    for ax, (title, values, colour_map) in zip(axes[0], maps, strict=True):
        image = values if values.ndim == 3 else np.asarray(values).reshape(shape)
        shown = ax.imshow(image, cmap=colour_map)
        if title.startswith("part"):
            figure.colorbar(shown, ax=ax, shrink=0.7)
        ax.set_title(title, fontsize=9)
        ax.set(xticks=[], yticks=[])
    at, inside, beyond = _example(table)
    for ax, (title, index) in zip(
        axes[1],
        (
            ("inside a grain", inside),
            (f"at its boundary, second grain {table['overlap'][at]:.2f}", at),
            ("the grain beyond", beyond),
        ),
        strict=True,
    ):
        ax.imshow(signal.data[table["row"][index], table["column"][index]], cmap="gray")
        ax.set_title(f"{title} (row {table['row'][index]}, column {table['column'][index]})", fontsize=9)
        ax.set(xticks=[], yticks=[])
        axes[0, 2].plot(
            table["column"][index], table["row"][index], "o", markeredgecolor="white", markerfacecolor="none"
        )
    figure.savefig(arguments.out)


if __name__ == "__main__":
    main()
