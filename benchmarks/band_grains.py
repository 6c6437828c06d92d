"""What band profiles add to a large scan: the table of docs/bands.md.

    .venv/bin/python benchmarks/band_grains.py [--only SEED...] [--cache FOLDER]

Simulates two-phase scans of `grain_grouping.py` that are too large for every pattern to be read by its bands, identifies
them as `kikuchinet identify` does without and with bands, and prints in Markdown what share of the points gets its true
visible space group: as single patterns, with grains pooled from whole patterns, and with grains answered by bands where
they could be read. The networks were taught the crystals of these scans, but not these patterns.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from grain_grouping import MASTERS, SCANS, Scan

import kikuchinet as kn
from kikuchinet.datasets import MasterSet, prepare
from kikuchinet.datasets.scans import simulate_scan
from kikuchinet.identification import with_bands, with_grains
from kikuchinet.models.band_network import DEFAULT_BAND_MODEL, load_band_model

SEEDS = (1, 8)
"""Scans of `SCANS` with several phases and no more than 600 points, grains of which can be found."""


def row(masters: MasterSet, scan: Scan) -> str:
    """Simulate and identify a scan; return a line of the table."""
    entries = [entry for name in scan.phases for entry in masters if entry.material == name]
    detector = kn.Detector((scan.pixels, scan.pixels), (0.5, 0.4, 0.6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        manifest, _ = simulate_scan(MasterSet(entries), path, scan.settings, detector, progress=False)
        truth = manifest.labels("visible")
        plain = with_grains(kn.identify(path, bands=False))
        started = time.perf_counter()
        read = with_bands(plain, load_band_model(DEFAULT_BAND_MODEL))
        seconds = time.perf_counter() - started
    (before,), (after,) = plain.answers, read.answers
    right = [
        float(np.mean(answers == truth))
        for answers in (before.identification.answers, before.by_point[0], after.by_point[0])
    ]
    assert after.bands is not None
    assert after.grain_answers is not None
    assert after.grain_answers.by_bands is not None
    return (
        f"| {scan.name} | {scan.settings.camera} | {right[0]:.3f} | {right[1]:.3f} | {right[2]:.3f} "
        f"| {after.grain_answers.by_bands.sum()} of {len(after.grain_answers.patterns)} "
        f"| {after.bands.speaks.sum()} of {after.bands.read.sum()} | {seconds:.0f} |"
    )


def main() -> None:
    """Simulate, identify, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--only", type=int, nargs="*", metavar="SEED", default=SEEDS, help="scans with these seeds"
    )
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="of master patterns")
    parser.add_argument("--workers", type=int, default=None, help="processes that simulate master patterns")
    options = parser.parse_args()
    masters = prepare(MASTERS, options.cache, progress=False, workers=options.workers)
    print(
        "| scan | camera | single | grains | with bands | grains by bands | patterns that speak | seconds |"
    )
    print("|" + " --- |" * 8)
    for scan in SCANS:
        if scan.settings.seed in options.only:
            print(row(masters, scan), flush=True)


if __name__ == "__main__":
    main()
