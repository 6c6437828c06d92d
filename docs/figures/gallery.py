"""The gallery's figures: a simulated crystal of each of the ten space groups of class m-3m, as a ball and on a detector.

    .venv/bin/python docs/figures/gallery.py [--half-width N] [--groups 221,225] [--preset fast]

Writes docs/images/gallery-221.png to gallery-230.png. Nothing is kept between runs. All crystals are turned alike, so that
the pictures differ by what the crystals are and by nothing else.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from orix.quaternion import Rotation
from PIL import Image

import kikuchinet as kn
from kikuchinet.diffraction.plotting import equivalent_directions, family_label, view_frame

CRYSTALS = {
    221: "NiAl",
    222: "Ce5Mo3O16",
    223: "Cr3Si",
    224: "Cu2O",
    225: "Ni",
    226: "NaZn13",
    227: "Si",
    228: "TeO6H6 (Te,O only)",
    229: "Fe",
    230: "Al4Ni3",
}
"""The paper's materials where it has any; of the four groups that it lacks, library crystals whose structure was read in a
source."""

FAMILIES = (((0, 1, 1), "s"), ((1, 1, 2), "o"))
"""The two sets of zone axes, three of each in view around [111], and their markers."""

VIEW = (1.0, 1.12, 1.28)
"""Direction at the middle of both pictures, near [111] and off every mirror."""

SEED = 2020
ENERGY_KEV = 20.0
DETECTOR = kn.Detector(shape=(320, 320), pattern_center=(0.5, 0.5, 0.52), convention="bruker")


def orientation(detector: kn.Detector) -> Rotation:
    """Sample to crystal, such that `VIEW` is in the middle of the screen and e3 points up, as on the ball."""
    return Rotation.from_matrix(view_frame(VIEW).T @ detector.detector_to_sample.T)


def places_on_screen(directions: NDArray[np.float64], detector: kn.Detector) -> NDArray[np.float64]:
    """Column and row of the directions that hit the screen, (n, 2)."""
    across, up, towards = view_frame(VIEW) @ directions.T
    ahead = towards > 0.1
    rows, columns = detector.shape
    x, y, z = detector.pattern_center
    # Bruker's centre is in widths and heights from the top left; the distance in heights.
    column = x * columns + z * rows * across[ahead] / towards[ahead] - 0.5
    row = y * rows - z * rows * up[ahead] / towards[ahead] - 0.5
    places = np.stack([column, row], axis=1)
    return places[((places > 0) & (places < [columns - 1, rows - 1])).all(axis=1)]


def draw_screen(ax: Axes, master: kn.MasterPattern) -> None:
    """Draw what a detector sees, with both sets of zone axes."""
    pattern = kn.project(master, orientation(DETECTOR), DETECTOR)[0]
    low, high = np.percentile(pattern, (0.5, 99.5))
    ax.imshow(pattern, cmap="gray", vmin=low, vmax=high)
    ax.set_axis_off()
    for uvw, marker in FAMILIES:
        places = places_on_screen(equivalent_directions(master, uvw), DETECTOR)
        ax.plot(*places.T, marker, ls="none", mfc="none", mec="black", mew=3.0, ms=11)
        ax.plot(
            *places.T, marker, ls="none", mfc="none", mec="white", mew=1.4, ms=11, label=family_label(uvw)
        )


def draw(group: int, master: kn.MasterPattern, path: Path) -> None:
    """Draw one group's figure in grey."""
    figure, (ball, screen) = plt.subplots(1, 2, figsize=(6.6, 3.8), layout="constrained")
    figure.get_layout_engine().set(rect=(0.0, 0.0, 1.0, 0.975))
    master.plot("sphere", ax=ball, view=VIEW)
    draw_screen(screen, master)
    symbol = kn.ladder(group).symbol.replace("-3", r"\bar{3}")
    figure.suptitle(rf"{group}   ${symbol}$   {formula(CRYSTALS[group])}", fontsize=12)
    handles, labels = screen.get_legend_handles_labels()
    legend = figure.legend(
        handles, labels, loc="outside lower center", ncols=2, frameon=False, handletextpad=0.2
    )
    for handle in legend.legend_handles:
        handle.set(markeredgecolor="black", markersize=8)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    plt.close(figure)
    # Grey in 8 bits: a third of the size.
    Image.open(path).convert("L").save(path, optimize=True)


def formula(name: str) -> str:
    """Return a library name with its numbers as subscripts."""
    bare = name.split(" ", maxsplit=1)[0]
    text = "".join(f"_{{{c}}}" if c.isdigit() else c for c in bare).replace("}_{", "")
    return rf"$\mathrm{{{text}}}$"


def main() -> None:
    """Simulate and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--half-width", type=int, default=200, help="of the master patterns")
    parser.add_argument("--groups", default=",".join(map(str, CRYSTALS)), help="which, with commas between")
    parser.add_argument("--preset", default="accurate", help="numerical settings; fast for the largest cells")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "images")
    options = parser.parse_args()
    mpl.use("Agg")
    plt.rcParams["mathtext.fontset"] = "dejavusans"
    for group in map(int, options.groups.split(",")):
        start = time.perf_counter()
        master = kn.simulate(
            kn.crystals[CRYSTALS[group]],
            ENERGY_KEV,
            half_width=options.half_width,
            preset=options.preset,
            seed=SEED,
        )
        path = options.out / f"gallery-{group}.png"
        draw(group, master, path)
        print(f"{path}  {time.perf_counter() - start:.0f} s  {path.stat().st_size / 1e3:.0f} kB", flush=True)


if __name__ == "__main__":
    main()
