"""How well grains are found from patterns alone: the table of docs/identify.md.

    .venv/bin/python benchmarks/grain_grouping.py [--only SEED...] [--cache FOLDER]

Simulates scans of known grain maps (patterns of 60 x 60 pixels if nothing else is said; master patterns of preset fast,
half-width 100, one energy; every scan is decided by its seed), groups the patterns of each as `identify` does, and holds the
groups against the true grains: adjusted Rand index (scikit-learn), 1 for the same grouping, 0 for chance. Prints Markdown.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_rand_score

import kikuchinet as kn
from kikuchinet.datasets import MastersConfig, MasterSet, prepare
from kikuchinet.datasets.scans import ScanSettings, simulate_scan
from kikuchinet.identification import find_grains

MASTERS = MastersConfig(
    materials=("Ni", "Fe", "Si"), half_width=100, preset="fast", energies=1, variants=1, seed=0
)


@dataclass(frozen=True)
class Scan:
    """A scan of the table.

    Parameters
    ----------
    settings
        How it is simulated.
    phases
        Names among the materials of `MASTERS`.
    pixels
        Rows and columns of a pattern.
    seen
        Whether the rule that groups was chosen by looking at a scan with these settings.
    """

    settings: ScanSettings
    phases: tuple[str, ...] = ("Ni", "Fe")
    pixels: int = 60
    seen: bool = False

    @property
    def name(self) -> str:
        """The scan in words."""
        one = self.settings
        words = [f"{one.shape[0]} x {one.shape[1]}", ", ".join(self.phases)]
        words.append(
            f"step {one.step_um:g} µm, "
            + ("one crystal" if one.grain_um > 1e3 else f"grains {one.grain_um:g} µm")
        )
        if self.pixels != 60:
            words.append(f"{self.pixels} x {self.pixels} px")
        return "; ".join(words) + f" (seed {one.seed})"


SMALL, LARGE = (20, 30), (40, 60)
SCANS = (
    Scan(ScanSettings(SMALL, 1.0, 6.0, camera="mixed", seed=1), seen=True),
    Scan(ScanSettings(SMALL, 0.2, 2.0, camera="poor", seed=4), seen=True),
    Scan(ScanSettings(SMALL, 1.0, 1e6, camera="mixed", seed=5), ("Ni",), seen=True),
    Scan(ScanSettings(SMALL, 1.0, 6.0, camera="good", seed=3), pixels=120),
    Scan(ScanSettings(LARGE, 0.5, 5.0, camera="mixed", seed=6), ("Ni", "Fe", "Si")),
    Scan(ScanSettings(SMALL, 1.0, 6.0, camera="binned", seed=8)),
    Scan(ScanSettings(SMALL, 1.0, 6.0, camera="fast_scan", quality=0.95, seed=9)),
    Scan(ScanSettings(LARGE, 0.5, 2.0, camera="mixed", seed=7)),
    Scan(ScanSettings(SMALL, 1.0, 6.0, camera="fast_scan", seed=2), seen=True),
)
"""The scans of the table, in its order."""


def score(masters: MasterSet, scan: Scan) -> tuple[int, int, float]:
    """Return the number of true grains, of grains found, and the adjusted Rand index."""
    entries = [entry for name in scan.phases for entry in masters if entry.material == name]
    detector = kn.Detector((scan.pixels, scan.pixels), (0.5, 0.4, 0.6))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scan.h5"
        _, truth = simulate_scan(MasterSet(entries), path, scan.settings, detector, progress=False)
        (source,) = kn.read_patterns([path])
        found = find_grains(source)
    labels = truth.grain.ravel()
    return len(np.unique(labels)), found.count, float(adjusted_rand_score(labels, found.labels))


def row(scan: Scan, scores: tuple[int, int, float]) -> str:
    """Return a line of the table."""
    true, found, index = scores
    quality = "" if scan.settings.quality == 0.5 else f", quality {scan.settings.quality:g}"
    seen = "yes" if scan.seen else "no"
    return f"| {scan.name} | {scan.settings.camera}{quality} | {true} | {found} | {index:.3f} | {seen} |"


def main() -> None:
    """Simulate, group, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", type=int, nargs="*", metavar="SEED", help="scans with these seeds")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="of master patterns")
    parser.add_argument("--workers", type=int, default=None, help="processes that simulate master patterns")
    options = parser.parse_args()
    masters = prepare(MASTERS, options.cache, progress=False, workers=options.workers)
    print("| scan | camera | true grains | found | index | seen while the rule was chosen |")
    print("|" + " --- |" * 6)
    for scan in SCANS:
        if options.only is None or scan.settings.seed in options.only:
            print(row(scan, score(masters, scan)), flush=True)


if __name__ == "__main__":
    main()
