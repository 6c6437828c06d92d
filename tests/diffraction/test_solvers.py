"""Both production solvers against a float64 eigen-solution, over all seven crystal systems."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kikuchinet.crystal import crystals
from kikuchinet.diffraction.bloch import (
    BeamSelection,
    count_beams,
    exact_intensities,
    reflection_strengths,
)
from kikuchinet.diffraction.potential import crystal_potential
from kikuchinet.diffraction.tiles import tiled_intensities

SELECTION = BeamSelection(strong=3.0, weak=3.0, cutoff=40.0)
DEPTHS = np.exp(-np.arange(24) * 0.5 / 3.0)


def _examples() -> list[str]:
    """One crystal of each system, and the cubic ones that the paper's groups need; light and heavy."""
    by_system: dict[str, str] = {}
    for name, crystal in crystals.items():
        if crystal.volume_nm3 < 0.4:
            by_system.setdefault(crystal.symmetry.crystal_system, name)
    return sorted({*by_system.values(), "Ni", "W", "GaAs", "Mo3Si", "Si"})


def _neighbours(count: int, seed: int = 1) -> np.ndarray:
    """Directions within about two degrees of a random one, as in a tile."""
    rng = np.random.default_rng(seed)
    centre = Rotation.random(random_state=rng).as_matrix()[0]
    cloud = centre + rng.normal(scale=0.015, size=(count, 3))
    return cloud / np.linalg.norm(cloud, axis=1, keepdims=True)


def test_examples_cover_the_crystal_systems() -> None:
    systems = {crystals[name].symmetry.crystal_system for name in _examples()}
    assert {"cubic", "hexagonal", "tetragonal", "trigonal"} <= systems
    assert len(systems) >= 6


@pytest.mark.parametrize("name", _examples())
def test_solvers_agree_with_an_eigen_solution(name: str, eigen_solution: Callable[..., np.ndarray]) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.07)
    directions = np.concatenate([_neighbours(12, seed) for seed in (1, 2)])
    tiles = np.repeat([0, 1], 12)
    reference = eigen_solution(potential, directions, SELECTION, DEPTHS, 0.5)
    exact, beams = exact_intensities(potential, directions, SELECTION, DEPTHS, 0.5)
    np.testing.assert_allclose(exact, reference, rtol=2e-4)
    assert np.corrcoef(exact, reference)[0, 1] > 0.9999
    np.testing.assert_array_equal(beams[:, 0], count_beams(potential, directions, SELECTION))
    tiled, tiled_beams = tiled_intensities(potential, directions, tiles, SELECTION, DEPTHS, 0.5, substeps=8)
    np.testing.assert_array_equal(tiled_beams, beams[:, 0])
    assert np.corrcoef(tiled, reference)[0, 1] > 0.999
    np.testing.assert_allclose(tiled, reference, rtol=0.03)


def test_a_tile_leaves_no_edges() -> None:
    """A direction's intensity does not depend on which others share its tile."""
    potential = crystal_potential(crystals["W"], 20.0, 0.06)
    directions = _neighbours(24)
    alone, _ = tiled_intensities(potential, directions, np.arange(24), SELECTION, DEPTHS, 0.5, substeps=8)
    together, _ = tiled_intensities(
        potential, directions, np.zeros(24, int), SELECTION, DEPTHS, 0.5, substeps=8
    )
    np.testing.assert_allclose(together, alone, rtol=0.01)


def test_tiles_converge_at_second_order() -> None:
    potential = crystal_potential(crystals["Ni"], 20.0, 0.06)
    directions = _neighbours(16)
    exact, _ = exact_intensities(potential, directions, SELECTION, DEPTHS, 0.5)
    errors = []
    for substeps in (4, 8, 16):
        values, _ = tiled_intensities(
            potential, directions, np.zeros(16, int), SELECTION, DEPTHS, 0.5, substeps
        )
        errors.append(np.abs(values - exact).max())
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.25)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.25)


def test_long_depths_stay_exact(eigen_solution: Callable[..., np.ndarray]) -> None:
    """Light crystals need a hundred nanometres: the step matrix is applied hundreds of times."""
    potential = crystal_potential(crystals["Al"], 20.0, 0.06)
    weights = np.exp(-np.arange(260) * 0.5 / 20.0)
    directions = _neighbours(8)
    reference = eigen_solution(potential, directions, SELECTION, weights, 0.5)
    exact, _ = exact_intensities(potential, directions, SELECTION, weights, 0.5)
    np.testing.assert_allclose(exact, reference, rtol=5e-4)


@pytest.mark.parametrize("name", ["Si", "GaAs", "Mg", "Mo3Si"])
def test_equivalent_directions_have_equal_intensity(name: str) -> None:
    """The potential knows nothing of the point group; the solution has its symmetry all the same."""
    crystal = crystals[name]
    potential = crystal_potential(crystal, 20.0, 0.07)
    direct = crystal.direct_matrix
    direction = np.array([0.31, 0.17, 0.935])
    direction /= np.linalg.norm(direction)
    operations = np.array([direct.T @ w @ np.linalg.inv(direct.T) for w in crystal.point_group_operations])
    values, _ = exact_intensities(potential, operations @ direction, SELECTION, DEPTHS, 0.5)
    np.testing.assert_allclose(values, values[0], rtol=1e-4)
    opposite, _ = exact_intensities(potential, -direction[None], SELECTION, DEPTHS, 0.5)
    centrosymmetric = any((w == -np.eye(3)).all() for w in crystal.point_group_operations)
    assert np.isclose(opposite[0], values[0], rtol=1e-4) == centrosymmetric


def test_tiled_solver_refuses_weak_beams() -> None:
    potential = crystal_potential(crystals["Ni"], 20.0, 0.1)
    with pytest.raises(ValueError, match="Bethe"):
        tiled_intensities(potential, _neighbours(2), np.zeros(2, int), BeamSelection(4, 8, 50), DEPTHS, 0.5)


def test_forbidden_reflections_that_double_diffraction_feeds_stay_the_others_go() -> None:
    everything, fed = BeamSelection(4.0, 4.0, 60.0, 1.0), BeamSelection(4.0, 4.0, 60.0, None)
    silicon = crystal_potential(crystals["Si"], 20.0, 0.06)
    directions = _neighbours(30)
    full, _ = exact_intensities(silicon, directions, everything, DEPTHS, 0.5)
    without = exact_intensities(silicon, directions, BeamSelection(4.0, 4.0, 60.0, 0.0), DEPTHS, 0.5)[0]
    chosen, _ = exact_intensities(silicon, directions, fed, DEPTHS, 0.5)
    assert np.abs(chosen - full).std() < 0.3 * np.abs(without - full).std()
    forbidden = np.abs(silicon.at(silicon.u, silicon.hkl)) < 1e-4
    basal = (np.abs(silicon.hkl) == 2).all(
        axis=1
    )  # {222}: forbidden, and the best known case of double diffraction
    strengths = reflection_strengths(silicon, fed)
    assert forbidden[basal].all()
    assert (strengths[basal] > 0.05).all()
    large = crystal_potential(crystals["Al4Ni3"], 20.0, 0.08)
    counts = [count_beams(large, directions, selection).mean() for selection in (everything, fed)]
    assert counts[1] < 0.5 * counts[0]
