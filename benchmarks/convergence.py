"""How far presets `accurate` and `fast` are from a converged exact solution, crystal by crystal.

    .venv/bin/python benchmarks/convergence.py [--crystals Ni Si ...] [--directions 30] [--half-width 250]
    .venv/bin/python benchmarks/convergence.py --crystals W Cr3Si --cutoff 500 --d-min 0.0167

For pixels at random places of a map the preset's intensity (beams, tiles and all, one energy) is correlated with an exact
solution, direction by direction, of all beams with |s| <= 80 λ|U_0| and |s| <= 1000 λ|U_g|, d_min 0.02 nm, depth steps of
0.08 nm, no folding (seed 0). It is the pixels themselves that are compared: a camera's blur would hide much of the
difference. `--previous` leaves a solution of fewer beams beside it, which tells how converged the reference itself is.
Minutes, for the reference; half an hour for crystals of heavy atoms or large cells.
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

STEP_NM = 0.08
DEPTHS = 6.0
"""Depth of the reference in attenuation lengths."""


def reference(problem: EnergyProblem, chosen: np.ndarray, strong: float, cutoff: float) -> np.ndarray:
    """Exact intensities of some of a problem's directions."""
    potential = problem.potential
    attenuation = potential.absorption_length_nm / (2.0 * np.pi)
    weights = np.full(int(DEPTHS * attenuation / STEP_NM), STEP_NM)
    weights[0] *= 0.5
    selection = BeamSelection(strong, strong, cutoff, forbidden_s_per_nm=None)
    with threadpool_limits(1):
        return exact_intensities(potential, problem.directions[chosen], selection, weights, STEP_NM)[0]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--crystals", nargs="+", default=["Al", "Si", "Ni", "NiAl", "GaAs"])
    parser.add_argument("--directions", type=int, default=30)
    parser.add_argument("--half-width", type=int, default=250)
    parser.add_argument("--cutoff", type=float, default=1000.0, help="of the reference")
    parser.add_argument("--d-min", type=float, default=0.02, help="of the reference, nm")
    parser.add_argument("--previous", action="store_true", help="a reference of fewer beams, too")
    options = parser.parse_args()
    print(f"{'crystal':>9}  {'preset':>9}  {'NCC':>8}  strong  weak  cut-offs")
    for name in options.crystals:
        transport = ElectronTransport.simulate(crystals[name], energies=1, electrons=50_000)
        rng = np.random.default_rng(0)
        expected = None
        for preset in ("accurate", "fast"):
            settings = replace(PRESETS[preset], energies=1)
            problem = plan_energy(crystals[name], transport, 0, options.half_width, settings)
            if expected is None:
                chosen = rng.choice(len(problem.directions), options.directions, replace=False)
                energy = float(transport.energies_kev[0])
                finest = replace(problem, potential=crystal_potential(crystals[name], energy, options.d_min))
                expected = reference(finest, chosen, 80.0, options.cutoff)
                if options.previous:
                    coarser = reference(finest, chosen, 40.0, 0.5 * options.cutoff)
                    print(f"{name:>9}  {'half':>9}  {np.corrcoef(coarser, expected)[0, 1]:8.5f}")
            with threadpool_limits(1):
                solution = problem.solve(None, lambda _: None, chosen)
            agreement = np.corrcoef(solution.intensities[chosen], expected)[0, 1]
            print(
                f"{name:>9}  {preset:>9}  {agreement:8.5f}  {solution.mean_strong:6.0f}  {solution.mean_weak:4.0f}"
                f"  {solution.selection.cutoff:.0f}/{solution.selection.weak_cutoff:.0f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
