"""What makes the steel set's grey levels as they are: one part of the camera or of the simulation changed at a time.

    .venv/bin/python benchmarks/realism_causes.py --patterns FOLDER [--cache FOLDER]

Prints the kurtosis and skewness of grey levels without slow parts, and the correlation with the measured patterns, of every
third of the patterns that were looked at.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from realism_cameras import CAMERAS
from realism_sets import HIGH_PASS, best_match, clean_twins, looked_at, master_pattern, photograph

import kikuchinet as kn
from kikuchinet.evaluation.realism import grey_levels
from kikuchinet.indexing.refinement import normalised, without_average


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=Path, required=True, help="folder of the measured patterns")
    parser.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder of simulated master patterns"
    )
    options = parser.parse_args()
    (start,) = looked_at(options.patterns)["steel"]
    keep = np.zeros(len(start.frames), bool)
    keep[1::3] = True
    iron = master_pattern("Fe", options.cache)
    measured, fit = best_match([start.only(keep)], iron)
    mask, camera = measured.mask, CAMERAS["steel"]
    wanted = normalised(measured.frames, mask, HIGH_PASS)

    def show(name: str, frames: NDArray[np.float32]) -> None:
        fast = [without_average(frame[None] - frame[mask].mean(), mask, HIGH_PASS)[0] for frame in frames]
        levels = [grey_levels(image, mask) for image in fast]
        r = np.einsum("ij,ij->i", normalised(frames, mask, HIGH_PASS), wanted).mean()
        kurtosis, skewness = (
            float(np.mean([getattr(g, key) for g in levels])) for key in ("kurtosis", "skewness")
        )
        print(f"{name:34s} kurtosis {kurtosis:5.2f}  skewness {skewness:5.2f}  r {r:.3f}", flush=True)

    show("measured", measured.frames)
    clean = clean_twins(measured, iron, fit)
    changes = {
        "simulated": {},
        "background divided out": {"static_operation": "divide"},
        "contrast the same everywhere": {"contrast_width": 0.0},
        "both": {"static_operation": "divide", "contrast_width": 0.0},
        "no compression": {"compression": 0.0},
        "no asymmetry": {"excess_deficiency": 0.0},
        "asymmetry of edges (width 0.012)": {"excess_width": 0.012},
        "point spread of one part": {"glare": 0.0, "psf_sigma_px": 2.26},
    }
    for name, change in changes.items():
        show(name, photograph(replace(camera, **change), clean, mask, 0))  # type: ignore[arg-type]
    ferrite = kn.crystals["Fe"]
    for factor in (1.0, 0.5, 2.0):
        site = replace(ferrite.sites[0], b_iso_nm2=factor * ferrite.sites[0].b_iso_nm2)
        master = kn.simulate(replace(ferrite, sites=(site,)), 20.0, 250, "fast")
        twins = clean_twins(measured, master, fit)
        show(f"preset fast, Debye-Waller B x {factor:g}", photograph(camera, twins, mask, 0))


if __name__ == "__main__":
    main()
