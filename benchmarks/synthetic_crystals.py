"""Synthetic crystals: how fast, how many attempts fail, beside pyxtal, and how like the library's real ones.

    .venv/bin/python benchmarks/synthetic_crystals.py [--each 3] [--peer FOLDER] [--figure FILE]

One process and one thread; processor seconds, so that other work does not count. `--peer` is a folder that holds pyxtal
(`pip install --target FOLDER pyxtal`), a generator of random crystals for structure search. It is given as many atoms of
the same elements as each of ours has, may use its defaults for distances, and spglib is not asked whether its crystals
have their group, as it is for ours. It runs in a process of its own, with its own versions of numpy and spglib.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from kikuchinet.crystal import Crystal, SyntheticRanges, crystals
from kikuchinet.crystal.contacts import shortest_distances_nm
from kikuchinet.crystal.elements import covalent_radius_nm, symbol
from kikuchinet.crystal.synthetic import crystal_and_attempts

CLASSES = {
    "triclinic": range(1, 3),
    "monoclinic": range(3, 16),
    "orthorhombic": range(16, 75),
    "tetragonal": range(75, 143),
    "trigonal": range(143, 168),
    "hexagonal": range(168, 195),
    "cubic": range(195, 231),
    "of these m-3m": range(221, 231),
}
PERCENTILES = (5, 25, 50, 75, 95)

PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
from pyxtal import pyxtal
for line in sys.stdin:
    number, seed, elements, counts = json.loads(line)
    crystal = pyxtal()
    start = time.process_time()
    try:
        crystal.from_random(3, number, elements, counts, random_state=seed)
        valid = bool(crystal.valid)
    except Exception:
        valid = False
    print(json.dumps([valid, time.process_time() - start]), flush=True)
"""


def shortest_contact(crystal: Crystal) -> float:
    """Shortest distance of two atoms that are there together, in sums of covalent radii."""
    atoms = crystal.atoms()
    _, first = np.unique(atoms.site_index, return_index=True)
    radii = np.array([covalent_radius_nm(symbol(int(z))) for z in atoms.z])
    distances = shortest_distances_nm(atoms.positions, first, crystal.direct_matrix)
    together = (distances > 1e-3) & (atoms.occupancy[first][:, None] + atoms.occupancy > 1.015)
    together = together if together.any() else distances > 1e-3
    return float((distances / (radii[first][:, None] + radii))[together].min())


def filling(crystal: Crystal) -> float:
    """Fraction of the cell in spheres of covalent radius."""
    spheres = sum(n * covalent_radius_nm(e) ** 3 for e, n in crystal.composition.items())
    return 4.0 / 3.0 * np.pi * spheres / crystal.volume_nm3


QUANTITIES = {
    "density / g/cm³": lambda c: c.density_g_cm3,
    "shortest contact / sums of radii": shortest_contact,
    "spheres of covalent radius / cell": filling,
    "volume per atom / Å³": lambda c: 1000.0 * c.volume_nm3 / c.n_atoms,
    "atoms in the cell": lambda c: c.n_atoms,
    "elements": lambda c: float(len(c.composition)),
    "mean atomic number": lambda c: c.mean_atomic_number,
}


def timed(number: int, seed: int) -> tuple[Crystal, float, int]:
    """A crystal, the seconds it took, and the attempts."""
    start = time.process_time()
    crystal, attempts = crystal_and_attempts(number, np.random.default_rng([number, seed]), SyntheticRanges())
    return crystal, time.process_time() - start, attempts


def peer_seconds(folder: Path, drawn: list[tuple[int, Crystal]]) -> list[tuple[int, bool, float]]:
    """Group, success and seconds of pyxtal for as many atoms of the same elements."""
    tasks = []
    for seed, (number, crystal) in enumerate(drawn):
        points = np.unique(crystal.atoms().site_index, return_counts=True)[1]
        counts: dict[str, int] = {}
        for site, n in zip(crystal.sites, points, strict=True):
            if site.occupancy >= 0.5:
                counts[site.element] = counts.get(site.element, 0) + int(n)
        # pyxtal counts the atoms of the primitive cell.
        lattice_points = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}[crystal.centring]
        tasks.append((number, seed, list(counts), [n // lattice_points for n in counts.values()]))
    environment = os.environ | {
        "PYTHONPATH": str(folder),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
    }
    lines = "".join(json.dumps(task) + "\n" for task in tasks)
    done = subprocess.run(
        [sys.executable, "-c", PEER], input=lines, capture_output=True, text=True, check=True, env=environment
    )
    results = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("[")]
    return [(task[0], bool(ok), float(s)) for task, (ok, s) in zip(tasks, results, strict=True)]


def print_rates(times: dict[int, list[tuple[float, int]]], peer: list[tuple[int, bool, float]]) -> None:
    """Rates by class of groups, and the slowest group."""
    print(
        "| groups | crystals an hour | attempts a crystal | slowest group | pyxtal an hour | pyxtal fails |"
    )
    print("| --- | --- | --- | --- | --- | --- |")
    for name, numbers in {**CLASSES, "all": range(1, 231)}.items():
        rows = [row for number in numbers for row in times[number]]
        mean = {number: float(np.mean([s for s, _ in times[number]])) for number in numbers}
        slowest = max(mean, key=mean.__getitem__)
        theirs = [(ok, s) for number, ok, s in peer if number in numbers]
        good = sum(ok for ok, _ in theirs)
        rate = 3600.0 * len(rows) / sum(s for s, _ in rows)
        print(
            f"| {name} | {rate:.0f} | {np.mean([n for _, n in rows]):.1f} "
            f"| {slowest}: {3600.0 / mean[slowest]:.0f} an hour "
            + (
                f"| {3600.0 * good / sum(s for _, s in theirs):.0f} | {len(theirs) - good} of {len(theirs)} |"
                if theirs
                else "| | |"
            )
        )


def print_likeness(drawn: list[Crystal]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Percentiles beside those of the library."""
    print(f"\n| percentiles {', '.join(map(str, PERCENTILES))} | library | synthetic |\n| --- | --- | --- |")
    values = {}
    for name, value in QUANTITIES.items():
        real, made = (np.array([value(c) for c in some]) for some in (crystals.values(), drawn))
        values[name] = real, made
        cells = (", ".join(f"{v:.3g}" for v in np.percentile(v, PERCENTILES)) for v in (real, made))
        print(f"| {name} | {' | '.join(cells)} |")
    return values


def draw_figure(values: dict[str, tuple[np.ndarray, np.ndarray]], file: Path) -> None:
    """Histograms of the first quantities."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 4, figsize=(13, 3.2), layout="constrained")
    for axis, (name, (real, made)) in zip(axes, values.items(), strict=False):
        bins = np.linspace(*np.percentile(np.concatenate([real, made]), (0.5, 99.5)), 30)
        axis.hist(real, bins, density=True, alpha=0.6, label=f"library ({len(real)})")
        axis.hist(made, bins, density=True, histtype="step", color="k", label=f"synthetic ({len(made)})")
        axis.set_xlabel(name)
        axis.set_yticks([])
    axes[0].legend(frameon=False)
    figure.savefig(file, dpi=110)


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--each", type=int, default=3, help="crystals of each group")
    parser.add_argument("--peer", type=Path, help="folder that holds pyxtal")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    timed(1, 0)
    times: dict[int, list[tuple[float, int]]] = {number: [] for number in range(1, 231)}
    drawn: list[tuple[int, Crystal]] = []
    with threadpool_limits(1):
        for number, rows in times.items():
            for seed in range(options.each):
                crystal, seconds, attempts = timed(number, seed)
                rows.append((seconds, attempts))
                drawn.append((number, crystal))
    peer = peer_seconds(options.peer, drawn[:: options.each]) if options.peer else []
    print_rates(times, peer)
    values = print_likeness([crystal for _, crystal in drawn])
    if options.figure:
        draw_figure(values, options.figure)


if __name__ == "__main__":
    main()
