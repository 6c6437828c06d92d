"""Time and memory for master patterns of the paper's 18 materials: half-width 250, three energies, preset accurate.

    .venv/bin/python benchmarks/paper_materials.py [--half-width 250] [--crystals Ni W ...] [--share 0.03]

Prints seconds on all processors of this machine for each crystal and in all, compilation not counted, and the peak of the
memory in use. With --share only about that share of the directions (whole patches, at random, seed 0) is solved, and the
time for them is scaled up: a minute or two instead of half an hour. Then it is processor time over number of processors,
so that other work on the machine does not count; set-up and the Monte Carlo run are counted whole.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import numpy as np
from threadpoolctl import threadpool_limits

import kikuchinet as kn
from kikuchinet.diffraction import PRESETS
from kikuchinet.diffraction.energy import plan_energy

MATERIALS = (
    "FeNi3", "Ni3Al", "NiAl", "FeAl", "Mo3Si", "Cr3Si", "TaC", "Ni", "NbC", "TiC", "Al", "Ge", "Si", "W", "Ta", "Fe",
    "Al4Ni3", "Al4CoNi2",
)  # fmt: skip
"""Kaufmann et al., Microsc. Microanal. 26 (2020) 447."""


def whole(name: str, half_width: int) -> tuple[float, float, float, float]:
    """Seconds, mean strong and weak beams, cut-off."""
    start = time.perf_counter()
    settings = kn.simulate(kn.crystals[name], half_width=half_width).settings
    seconds = time.perf_counter() - start
    cutoff = settings["beam_selection"]["cutoff"]
    return seconds, settings["mean_strong_beams"], settings["mean_weak_beams"], cutoff


def scaled(name: str, half_width: int, share: float) -> tuple[float, float, float, float]:
    """The same, from a share of the directions."""
    crystal, settings = kn.crystals[name], PRESETS["accurate"]
    start = time.process_time()
    transport = kn.ElectronTransport.simulate(crystal, 20.0, energies=settings.energies)
    total = time.process_time() - start
    strong = weak = 0.0
    for number in range(settings.energies):
        start = time.process_time()
        problem = plan_energy(crystal, transport, number, half_width, settings)
        # Nothing but the choice of beams and tiles.
        problem.solve(None, lambda _: None, np.zeros(0, dtype=np.int64))
        fixed = time.process_time() - start
        rng = np.random.default_rng(0)
        count = len(problem.directions)
        # One direction asks for its whole patch.
        patch = (settings.patch_rad * 2 * half_width) ** 2 / (2.0 * np.pi)
        chosen = rng.choice(count, max(2, int(share * count / patch)), replace=False)
        start = time.process_time()
        solution = problem.solve(None, lambda _: None, chosen)
        spent = max(time.process_time() - start - fixed, 0.0)
        total += fixed + spent * count / np.count_nonzero(solution.intensities)
        strong += solution.mean_strong / settings.energies
        weak += solution.mean_weak / settings.energies
    return total / (os.cpu_count() or 1), strong, weak, solution.selection.cutoff


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-width", type=int, default=250)
    parser.add_argument("--crystals", nargs="+", default=list(MATERIALS))
    parser.add_argument("--share", type=float, default=1.0, help="of the directions")
    options = parser.parse_args()
    for name in ("Mg", "NiAl"):
        kn.simulate(kn.crystals[name], half_width=20)
    total = 0.0
    with threadpool_limits(1):
        for name in options.crystals:
            arguments = (name, options.half_width)
            seconds, strong, weak, cutoff = (
                scaled(*arguments, options.share) if options.share < 1.0 else whole(*arguments)
            )
            total += seconds
            print(
                f"{name:>9}  {seconds:7.1f} s  strong {strong:4.0f}  weak {weak:5.0f}  cut-off {cutoff:5.1f}",
                flush=True,
            )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"in all {total / 60:.1f} minutes on {os.cpu_count()} processors, at most {peak:.1f} GB")


if __name__ == "__main__":
    main()
