"""From which depths do the electrons of a pattern come? Both laws of depths against measured nickel.

    .venv/bin/python benchmarks/escape_depth.py [--half-width 100]

Simulates Ni with the distances from the last elastic event (as EMsoft does) and with depths that fall as exp(-z / kΛ), where
Λ = ξ'₀/2π is the attenuation of the waves' own absorption, and fits orientation and pattern centre to the first row of
kikuchipy's measured nickel patterns (three; the others are for scoring only). Prints the normalised correlation after the
same preprocessing. k = 1 is what `simulate` takes; k > 1.3 makes the source grow with depth.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import kikuchipy
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation

import kikuchinet as kn
from kikuchinet.diffraction.potential import absorption_length_nm
from kikuchinet.microscope import Camera, project_batch
from kikuchinet.patterns import example_patterns, preprocess

SIZE = (96, 96)
FACTORS = (0.25, 0.5, 0.8, 1.0, 1.3, 2.0, 3.0)
CAMERA = Camera(
    dose_electrons_per_px=1e7,
    psf_sigma_px=1.5,
    compression=0.4,
    excess_deficiency=0.4,
    beam_center=(0.5, 1.2),
)
STEP = 0.02
"""First step of the fit: radians, and shares of the pattern's size."""


def similarity(
    pattern: NDArray[np.float32], master: kn.MasterPattern, rotation: Rotation, center: NDArray[np.float64]
) -> float:
    """Correlation of a prepared pattern with the simulated one."""
    quaternion = np.roll(rotation.as_quat(), 1)[None]
    clean = project_batch(master.upper, master.lower, quaternion, center[None], (128, 128))
    prepared = preprocess(CAMERA.expose(clean, np.random.default_rng(0)), size=SIZE)
    return float(np.corrcoef(prepared.ravel(), pattern.ravel())[0, 1])


def fit(
    pattern: NDArray[np.float32],
    master: kn.MasterPattern,
    rotation: Rotation,
    center: NDArray[np.float64],
    evaluations: int,
) -> tuple[float, Rotation, NDArray[np.float64]]:
    """Best correlation over small changes of orientation and pattern centre, by Nelder and Mead's simplex."""

    def moved(x: NDArray[np.float64]) -> tuple[Rotation, NDArray[np.float64]]:
        return Rotation.from_rotvec(STEP * x[:3]) * rotation, center + STEP * x[3:]

    start = np.vstack([np.zeros(6), np.eye(6)])
    found = minimize(
        lambda x: -similarity(pattern, master, *moved(x)),
        np.zeros(6),
        method="Nelder-Mead",
        options={"maxfev": evaluations, "initial_simplex": start, "xatol": 0.01, "fatol": 1e-4},
    )
    return -float(found.fun), *moved(found.x)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half-width", type=int, default=100)
    half_width = parser.parse_args().half_width
    nickel = kn.crystals["Ni"]
    counted = kn.ElectronTransport.simulate(nickel, energies=1, depths="last elastic event")
    attenuation = absorption_length_nm(nickel, float(counted.energies_kev[0]))
    print(f"last elastic event: {counted.mean_depth_nm:.1f} nm on average; Λ = {attenuation:.1f} nm")
    laws = {"last elastic event": counted}
    for factor in FACTORS:
        weights = np.exp(-np.arange(401) * 0.5 / (factor * attenuation))
        weights[0] *= 0.5
        laws[f"exp(-z/{factor:g} Λ)"] = replace(counted, depth_weights=(weights / weights.sum())[None])
    masters = {law: kn.simulate(nickel, 20.0, half_width, transport=laws[law]) for law in laws}
    signal = kikuchipy.data.nickel_ebsd_small()
    patterns = preprocess([example_patterns()[k] for k in range(3)], size=SIZE)
    starts = []
    for k, pattern in enumerate(patterns):
        rotation = Rotation.from_quat(np.roll(signal.xmap.rotations.data.reshape(9, 4)[k], -1))
        center = signal.detector.pc.reshape(-1, 3)[k]
        starts.append((pattern, *fit(pattern, masters["exp(-z/1 Λ)"], rotation, center, 600)[1:]))
    for law, master in masters.items():
        values = [fit(pattern, master, rotation, center, 150)[0] for pattern, rotation, center in starts]
        print(f"{law:>20}  " + "  ".join(f"{value:.3f}" for value in values), flush=True)


if __name__ == "__main__":
    main()
