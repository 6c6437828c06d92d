"""What adapting to a scan without labels does to simulated scans: the basis of `models.adaptation`'s prior and of its guard.

Scans of one crystal or several, of many orientations or one, from cameras like those of training and from changed ones
(blur, noise, grey scale) are answered by the network as it is and adapted; printed are the right single answers and the mean
entropy of the answers before and after, and whether the rule of `models.adapt` would have used the adaptation.

    python benchmarks/adaptation.py --masters folder/ [--patterns 64] [--seeds 3] [--prior 4 16 64] [--early 0.1 0.5 1]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.ndimage import gaussian_filter

import kikuchinet as kn
from kikuchinet.datasets.generation import to_uint8
from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.diffraction import visible_group
from kikuchinet.microscope import CameraRange, project_batch
from kikuchinet.models import SpaceGroupModel, adapt
from kikuchinet.models.adaptation import EARLY, PRIOR

SHAPE = (96, 96)
SCANS = {
    "four crystals": (("Ni", "Fe", "Ni3Al", "Si"), 0),
    "Ni and Fe": (("Ni", "Fe"), 0),
    "Fe": (("Fe",), 0),
    "Ni": (("Ni",), 0),
    "Fe, three grains": (("Fe",), 3),
    "Si, one orientation": (("Si",), 1),
}
"""Crystals, and orientations of each; 0 for as many as patterns."""
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def blurred(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Blur by 1.6 pixels of 96."""
    return np.stack([gaussian_filter(image, 1.6) for image in images])


def noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Add white noise of 1.2 times the image's own spread."""
    return images + 1.2 * images.std(axis=(1, 2), keepdims=True) * rng.standard_normal(images.shape)


def darkened(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bend the grey scale by a power of 2.2."""
    low = images.min(axis=(1, 2), keepdims=True)
    return ((images - low) / np.ptp(images, axis=(1, 2), keepdims=True)) ** 2.2


CAMERAS: dict[str, Change | None] = {
    "as taught": None,
    "blur": blurred,
    "noise": noisy,
    "grey scale": darkened,
}


def main() -> None:
    """Simulate, adapt, print."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--model", default=None, help="a shipped model's name, or a folder")
    arguments.add_argument(
        "--masters", type=Path, required=True, help="folder where master patterns are kept"
    )
    arguments.add_argument("--patterns", type=int, default=64, help="of a scan")
    arguments.add_argument("--seeds", type=int, default=3, help="scans of each kind")
    arguments.add_argument("--prior", type=float, nargs="*", default=[PRIOR])
    arguments.add_argument("--early", type=float, nargs="*", default=[EARLY], help="shares of the layers")
    arguments.add_argument("--scans", nargs="*", default=list(SCANS), choices=list(SCANS))
    arguments.add_argument("--cameras", nargs="*", default=list(CAMERAS), choices=list(CAMERAS))
    arguments.add_argument("--out", type=Path, default=None, help="CSV file with every scan")
    given = arguments.parse_args()
    given.masters.mkdir(parents=True, exist_ok=True)
    model = kn.load_model(given.model, precision="auto")
    rows = []
    for seed in range(given.seeds):
        for camera in given.cameras:
            for scan in given.scans:
                prepared, truth = record(scan, camera, seed, given, model.card.size)
                before = right(model, prepared, truth)
                for prior, early in product(given.prior, given.early):
                    found = adapt(model, prepared, prior=prior, early=early)
                    after = right(replace(found, used=True).applied(model), prepared, truth)
                    row = {
                        "camera": camera,
                        "scan": scan,
                        "seed": seed,
                        "prior": prior,
                        "early": early,
                        "unlike": round(found.effective, 1),
                        "weight": round(found.weight, 2),
                        "before": before,
                        "after": after,
                        "entropy before": round(found.entropies[0], 3),
                        "entropy after": round(found.entropies[1], 3),
                        "used": found.used,
                        "with the rule": after if found.used else before,
                    }
                    print(", ".join(f"{key} {value}" for key, value in row.items()), flush=True)
                    rows.append(row)
    table = pd.DataFrame(rows)
    if given.out is not None:
        table.to_csv(given.out, index=False)
    columns = ["before", "after", "with the rule", "used"]
    print(
        table.groupby(["prior", "early", "camera", "scan"], sort=False)[columns].mean().round(3).to_string()
    )
    print(table.groupby(["prior", "early", "camera"], sort=False)[columns].mean().round(3).to_string())


def record(
    scan: str, camera: str, seed: int, given: argparse.Namespace, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Return the patterns of a scan made ready, in random order, and their visible groups."""
    names, orientations = SCANS[scan]
    rng = np.random.default_rng([seed, list(SCANS).index(scan)])
    center = (rng.uniform(0.42, 0.58), rng.uniform(0.2, 0.6), rng.uniform(0.45, 0.75))
    images = []
    for name in names:
        n = given.patterns // len(names)
        quaternions = random_quaternions(orientations or n, rng)[np.arange(n) % (orientations or n)]
        # The scatter of a third of a degree that grains have.
        quaternions = quaternions + 0.003 * rng.standard_normal(quaternions.shape)
        quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
        pattern = master(name, given)
        images.append(
            project_batch(pattern.upper, pattern.lower, quaternions, center, SHAPE, sample_tilt_deg=70.0)
        )
    drawn = CameraRange.good().sample(rng, rows=SHAPE[0], quality=0.5)
    stack = to_uint8(drawn.expose(np.concatenate(images), rng).astype(np.float32))
    change = CAMERAS[camera]
    if change is not None:
        stack = to_uint8(change(stack.astype(np.float32), rng).astype(np.float32))
    truth = np.repeat([visible_group(kn.crystals[name]) for name in names], given.patterns // len(names))
    order = rng.permutation(len(truth))
    return kn.preprocess(stack[order], size=size), truth[order]


def right(model: SpaceGroupModel, prepared: np.ndarray, truth: np.ndarray) -> float:
    """Return the share of right answers, abstaining left aside."""
    best = model.logits(prepared).argmax(axis=1)
    return round(float((np.asarray(model.classes)[best] == truth).mean()), 4)


def master(name: str, given: argparse.Namespace) -> kn.MasterPattern:
    """Return a master pattern, simulated once."""
    path = given.masters / f"{name}.h5"
    if not path.exists():
        kn.simulate(kn.crystals[name], half_width=100, preset="fast").save(path)
    return kn.MasterPattern.load(path)


if __name__ == "__main__":
    main()
