"""How much noise the shipped model stands on a coarse chip: simulated nickel at measured orientations.

    .venv/bin/python benchmarks/nickel_noise.py [--model NAME] [--rows 60]

Prints the share of right single answers (225) against noise over signal, for the orientations and pattern centres of the
first row of kikuchipy's measured nickel patterns, recorded by a simulated chip of 60 rows, as theirs, or another number up
to 128. The measured ones have about 1.5.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import kikuchipy
import numpy as np

import kikuchinet as kn
from kikuchinet.microscope import CameraRange

NOISE = (0.1, 0.5, 1.0, 1.5, 2.0)
EXPOSURES = 16


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default=None, help="a shipped model's name, or a folder")
    parser.add_argument("--rows", type=int, default=60, help="rows of the chip")
    options = parser.parse_args()
    model = kn.load_model(options.model)
    signal = kikuchipy.data.nickel_ebsd_small()
    centres = signal.detector.pc.reshape(-1, 3)
    for preset in ("fast", "accurate"):
        master = kn.simulate(kn.crystals["Ni"], half_width=125, preset=preset)
        detectors = [kn.Detector(shape=(128, 128), pattern_center=tuple(centres[i])) for i in range(3)]
        images = np.concatenate(
            [kn.project(master, signal.xmap.rotations[i], d) for i, d in enumerate(detectors)]
        )
        images /= images.mean()
        for noise in NOISE:
            cameras = replace(
                CameraRange.poor(),
                noise_to_signal=(noise, noise),
                coarse=1.0,
                capture_rows=(options.rows, options.rows),
                raw=0.0,
                shadowed=0.0,
                round_screen=0.0,
                dusty=0.0,
            )
            frames = [cameras.expose(images, np.random.default_rng(seed)) for seed in range(EXPOSURES)]
            best = model.identify(np.concatenate(frames)).probabilities.argmax(axis=1)
            right = (np.array(model.classes)[best] == 225).mean()
            print(f"{preset:>9}  noise {noise:.1f}  right {right:.2f}", flush=True)


if __name__ == "__main__":
    main()
