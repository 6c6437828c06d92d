"""Time and memory for master patterns of the paper's 18 materials: half-width 250, three energies, preset accurate.

    .venv/bin/python benchmarks/paper_materials.py [--half-width 250] [--crystals Ni W ...]

Prints seconds on all processors of this machine for each crystal and in all, compilation not counted, and the peak of the
memory in use.
"""

from __future__ import annotations

import argparse
import os
import resource
import time

import kikuchinet as kn

MATERIALS = (
    "FeNi3", "Ni3Al", "NiAl", "FeAl", "Mo3Si", "Cr3Si", "TaC", "Ni", "NbC", "TiC", "Al", "Ge", "Si", "W", "Ta", "Fe",
    "Al4Ni3", "Al4CoNi2",
)  # fmt: skip
"""Kaufmann et al., Microsc. Microanal. 26 (2020) 447."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-width", type=int, default=250)
    parser.add_argument("--crystals", nargs="+", default=list(MATERIALS))
    options = parser.parse_args()
    kn.simulate(kn.crystals["NiAl"], half_width=20)
    total = 0.0
    for name in options.crystals:
        start = time.perf_counter()
        settings = kn.simulate(kn.crystals[name], half_width=options.half_width).settings
        seconds = time.perf_counter() - start
        total += seconds
        print(
            f"{name:>9}  {seconds:7.1f} s  strong {settings['mean_strong_beams']:4.0f}  weak"
            f" {settings['mean_weak_beams']:5.0f}  cut-off {settings['beam_selection']['cutoff']:5.1f}",
            flush=True,
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"in all {total / 60:.1f} minutes on {os.cpu_count()} processors, at most {peak:.1f} GB")


if __name__ == "__main__":
    main()
