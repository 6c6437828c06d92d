"""How far presets `accurate` and `fast` are from a converged exact solution, crystal by crystal.

    .venv/bin/python benchmarks/convergence.py [--crystals Ni Si ...] [--directions 60] [--half-width 250]

For pixels at random places of a map the preset's intensity (beams, tiles and all, one energy) is correlated with an exact
solution, direction by direction, of all beams with |s| <= 24 λ|U_0| and |s| <= 500 λ|U_g|, d_min 0.025 nm, depth steps of
0.08 nm, no folding (seed 0). It is the pixels themselves that are compared: a camera's blur would hide much of the
difference.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from threadpoolctl import threadpool_limits

from kikuchinet.crystal import crystals
from kikuchinet.diffraction import PRESETS, ElectronTransport
from kikuchinet.diffraction.bloch import BeamSelection, exact_intensities
from kikuchinet.diffraction.energy import EnergyProblem, plan_energy
from kikuchinet.diffraction.potential import crystal_potential

REFERENCE = BeamSelection(24.0, 24.0, 500.0, forbidden_s_per_nm=None)
STEP_NM = 0.08
DEPTHS = 6.0
"""Depth of the reference in attenuation lengths."""


def reference(problem: EnergyProblem, chosen: np.ndarray) -> np.ndarray:
    """Converged intensities of some of a problem's directions."""
    potential = problem.potential
    attenuation = potential.absorption_length_nm / (2.0 * np.pi)
    weights = np.full(int(DEPTHS * attenuation / STEP_NM), STEP_NM)
    weights[0] *= 0.5
    return exact_intensities(potential, problem.directions[chosen], REFERENCE, weights, STEP_NM)[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", nargs="+", default=["Al", "Si", "Ni", "NiAl", "GaAs", "W", "Cr3Si"])
    parser.add_argument("--directions", type=int, default=60)
    parser.add_argument("--half-width", type=int, default=250)
    options = parser.parse_args()
    print(f"{'crystal':>9}  {'preset':>9}  {'NCC':>8}  strong  weak  cut-off")
    for name in options.crystals:
        transport = ElectronTransport.simulate(crystals[name], energies=1, electrons=50_000)
        rng = np.random.default_rng(0)
        expected = None
        for preset in ("accurate", "fast"):
            settings = replace(PRESETS[preset], energies=1)
            problem = plan_energy(crystals[name], transport, 0, options.half_width, settings)
            if expected is None:
                chosen = rng.choice(len(problem.directions), options.directions, replace=False)
                finest = replace(
                    problem,
                    potential=crystal_potential(crystals[name], float(transport.energies_kev[0]), 0.025),
                )
                with threadpool_limits(1):
                    expected = reference(finest, chosen)
            with threadpool_limits(1):
                solution = problem.solve(None, lambda _: None, chosen)
            agreement = np.corrcoef(solution.intensities[chosen], expected)[0, 1]
            print(
                f"{name:>9}  {preset:>9}  {agreement:8.5f}  {solution.mean_strong:6.0f}  {solution.mean_weak:4.0f}"
                f"  {solution.selection.cutoff:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
