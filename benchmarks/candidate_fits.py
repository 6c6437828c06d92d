"""How well right and wrong crystals fit simulated patterns: the basis of the thresholds of `identification.fitting`.

Patterns of some crystals, one of each with every camera drawn, are fitted with all of them: the best orientation is searched
and refined as `kikuchinet identify --elements` does. Printed are, for the right crystal and for wrong ones, the correlation
and how many standard deviations it stands out of what all orientations give; and how often, and by how much, a wrong crystal
beats the right one, pattern by pattern and in the mean.

The patterns and the candidates' master patterns come from one simulator, so what is said of the right crystal is the best
that can be hoped for; what is said of wrong ones is not touched by that.

    python benchmarks/candidate_fits.py --patterns 5 --masters folder/
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd

import kikuchinet as kn
from kikuchinet.datasets.generation import to_uint8
from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.datasets.stream import CAMERAS
from kikuchinet.identification.fitting import fit_candidate, prepare
from kikuchinet.microscope import project_batch

CRYSTALS = (
    "Ni", "Al", "Cu", "Fe", "W", "Si", "GaAs", "NaCl", "Ni3Al", "NiAl", "Cr3Si", "Ti", "TiAl", "Al3Ni2", "martensite",
    "quartz",
)  # fmt: skip
"""Cubic ones of several lattices, close relatives among them, and hexagonal, tetragonal and trigonal ones."""
SHAPE = (60, 60)
CENTER = (0.5, 0.3, 0.6)


def main() -> None:
    """Simulate, fit and print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--patterns", type=int, default=5, help="patterns of each crystal")
    arguments.add_argument("--preset", default="fast", help="of the master patterns")
    arguments.add_argument("--half-width", type=int, default=100, help="of the master patterns")
    arguments.add_argument(
        "--masters", type=Path, required=True, help="folder where master patterns are kept"
    )
    arguments.add_argument("--camera", default="mixed", choices=CAMERAS)
    arguments.add_argument("--seed", type=int, default=0)
    arguments.add_argument("--out", type=Path, default=None, help="CSV file with every fit")
    given = arguments.parse_args()
    given.masters.mkdir(parents=True, exist_ok=True)
    masters = {name: master(name, given) for name in CRYSTALS}
    rng = np.random.default_rng(given.seed)
    cameras = [
        CAMERAS[given.camera]().sample(rng, rows=SHAPE[0], quality=(k + 0.5) / given.patterns)
        for k in range(given.patterns)
    ]
    sets = []
    for camera in cameras:
        images = [
            project_batch(
                masters[name].upper,
                masters[name].lower,
                random_quaternions(1, rng),
                CENTER,
                SHAPE,
                sample_tilt_deg=70.0,
            )
            for name in CRYSTALS
        ]
        sets.append(to_uint8(camera.expose(np.concatenate(images), rng).astype(np.float32)))
    table = pd.concat([fits(name, masters[name], sets) for name in CRYSTALS], ignore_index=True)
    if given.out is not None:
        table.to_csv(given.out, index=False)
    report(table)


def master(name: str, given: argparse.Namespace) -> kn.MasterPattern:
    """Return a master pattern, simulated once."""
    path = given.masters / f"{name}.h5"
    if not path.exists():
        kn.simulate(kn.crystals[name], half_width=given.half_width, preset=given.preset).save(path)
    return kn.MasterPattern.load(path)


def fits(name: str, pattern: kn.MasterPattern, sets: list[np.ndarray]) -> pd.DataFrame:
    """Fit one crystal to all patterns, a camera at a time."""
    frames = []
    for number, images in enumerate(sets):
        prepared, mask = prepare(images)
        _, _, correlations, standing = fit_candidate(prepared, mask, pattern, kn.Detector(SHAPE, CENTER))
        frames.append(
            pd.DataFrame(
                {
                    "pattern": [f"{number} {truth}" for truth in CRYSTALS],
                    "truth": CRYSTALS,
                    "candidate": name,
                    "correlation": correlations,
                    "standing": standing,
                }
            )
        )
    print(f"{name} fitted", flush=True)
    return pd.concat(frames)


def report(table: pd.DataFrame) -> None:
    """Print what the thresholds rest on."""
    right = table[table["truth"] == table["candidate"]].set_index("pattern")
    wrong = table[table["truth"] != table["candidate"]].copy()
    kin = {
        name: (kn.crystals[name].symmetry.bravais_lattice, kn.crystals[name].symmetry.laue_class)
        for name in CRYSTALS
    }
    related = wrong.apply(lambda row: kin[row["truth"]] == kin[row["candidate"]], axis=1)
    levels = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)
    for title, part in (
        ("right crystal", right),
        ("wrong, same Bravais lattice and Laue class", wrong[related]),
        ("wrong, another lattice or Laue class", wrong[~related]),
    ):
        for column in ("correlation", "standing"):
            values = ", ".join(f"{level:g}: {part[column].quantile(level):.3f}" for level in levels)
            print(f"{title}: {column}, quantiles over {len(part)}: {values}")
    for threshold in (8.0, 10.0, 12.0, 13.0, 14.0, 15.0, 16.0):
        shares = [(part["standing"] >= threshold).mean() for part in (right, wrong[~related], wrong[related])]
        print(
            "standing >= {}: right {:.3f}, wrong of another lattice {:.3f}, of the same {:.3f}".format(
                threshold, *shares
            )
        )
    lead = right.loc[wrong["pattern"], "correlation"].to_numpy() - wrong["correlation"].to_numpy()
    wrong["lead"] = lead
    print(
        f"one pattern: a wrong crystal is ahead in {np.mean(lead < 0):.4f} of pairs, at most by {-lead.min():.4f}"
    )
    by_pair = wrong.groupby(["truth", "candidate"])["lead"]
    mean, error = by_pair.mean(), by_pair.std(ddof=1) / np.sqrt(by_pair.size())
    print(
        f"means over {by_pair.size().iloc[0]} patterns: a wrong crystal is ahead for {(mean < 0).sum()} of {len(mean)} pairs"
    )
    for pair, value in mean.nsmallest(12).items():
        print(f"  {pair[0]} fitted with {pair[1]}: right ahead by {value:.4f} ± {error[pair]:.4f}")


if __name__ == "__main__":
    main()
