"""One energy of a master pattern: depth weights, and the plan of tiles, patches and cut-offs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kikuchinet.crystal import crystals
from kikuchinet.diffraction import PRESETS, ElectronTransport
from kikuchinet.diffraction.energy import EnergyProblem, _refined, plan_energy

SMALL = replace(PRESETS["fast"], d_min_nm=0.06)


def _problem(name: str, half_width: int = 40, **settings: object) -> EnergyProblem:
    transport = ElectronTransport.simulate(crystals[name], energies=1, electrons=2_000)
    return plan_energy(crystals[name], transport, 0, half_width, replace(SMALL, **settings))


def test_refined_weights_are_the_trapezoidal_rule_of_the_finer_grid() -> None:
    depth = np.arange(41) * 0.5
    coarse = np.exp(-depth / 8.0) * 0.5
    coarse[0] *= 0.5
    np.testing.assert_array_equal(_refined(coarse, 1), coarse)
    fine = _refined(coarse, 4)
    expected = np.exp(-np.arange(161) * 0.125 / 8.0) * 0.125
    expected[0] *= 0.5
    np.testing.assert_allclose(fine, expected, rtol=6e-4)  # linear between nodes: (h/Λ)²/8 is 5e-4


def test_the_depth_step_follows_the_fastest_beat() -> None:
    """Tungsten's potential is deep: its waves beat faster than aluminium's."""
    for name in ("Al", "W"):
        problem = _problem(name, selection=replace(SMALL.selection, strong=6.0))
        potential = problem.potential
        beat_nm = 1.0 / (2.0 * 6.0 * potential.wavelength_nm * abs(potential.u_0))
        assert problem.step_nm <= beat_nm
        assert problem.step_nm > 0.5 * min(beat_nm, 0.5)
    assert problem.step_nm < 0.5


def test_a_limit_of_cost_lowers_the_cut_offs_and_the_weak_one_less() -> None:
    free = _problem("NiAl").solve(None, lambda _: None)
    spent = free.operations / len(free.intensities)
    problem = _problem("NiAl", most_operations=0.2 * spent * len(free.intensities) / 30_000)
    held = problem.solve(None, lambda _: None)
    factor = held.selection.cutoff / SMALL.selection.cutoff
    assert factor < 0.9
    assert SMALL.selection.weak_cutoff is not None
    assert held.selection.weak_cutoff == pytest.approx(factor**0.5 * SMALL.selection.weak_cutoff)
    assert held.operations < 0.35 * free.operations
    assert np.corrcoef(held.intensities, free.intensities)[0, 1] > 0.9


def test_some_directions_alone_have_the_intensities_that_they_have_among_all() -> None:
    problem = _problem("GaAs", half_width=60)
    chosen = np.array([3, 500, 1200])
    every = problem.solve(None, lambda _: None)
    some = problem.solve(None, lambda _: None, chosen)
    np.testing.assert_allclose(some.intensities[chosen], every.intensities[chosen], rtol=1e-5)
    assert 3 < np.count_nonzero(some.intensities) < 0.7 * len(every.intensities)
