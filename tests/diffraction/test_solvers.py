"""Both production solvers against a float64 eigen-solution, over all seven crystal systems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import linalg
from scipy.spatial.transform import Rotation

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.diffraction.bloch import (
    BeamSelection,
    count_beams,
    exact_intensities,
    reflection_strengths,
)
from kikuchinet.diffraction.emission import emission_amplitudes, emission_rows
from kikuchinet.diffraction.lambert import lambert_grid
from kikuchinet.diffraction.potential import CrystalPotential, crystal_potential
from kikuchinet.diffraction.tiles import tiled_intensities

SELECTION = BeamSelection(strong=3.0, weak=3.0, cutoff=40.0)
WIDE = BeamSelection(strong=30.0, weak=30.0, cutoff=1e6)
"""So wide that all directions of a tile have the same beams."""
UNIFORM = np.concatenate([[0.5], np.ones(79)])
"""A source as strong at all depths, as in a master pattern (trapezoidal rule); the waves decay by themselves."""
DEPTHS = np.exp(-np.arange(24) * 0.5 / 3.0)


def _examples() -> list[str]:
    """One crystal of each system, and the cubic ones that the paper's groups need; light and heavy."""
    by_system: dict[str, str] = {}
    for name, crystal in crystals.items():
        if crystal.volume_nm3 < 0.4:
            by_system.setdefault(crystal.symmetry.crystal_system, name)
    return sorted({*by_system.values(), "Ni", "W", "GaAs", "GaN", "quartz", "Mo3Si", "Si"})


def _neighbours(count: int, seed: int = 1, spread: float = 0.015) -> np.ndarray:
    """Directions around a random one, by default within about a degree or two."""
    rng = np.random.default_rng(seed)
    centre = Rotation.random(random_state=rng).as_matrix()[0]
    cloud = centre + rng.normal(scale=spread, size=(count, 3))
    return cloud / np.linalg.norm(cloud, axis=1, keepdims=True)


def test_examples_cover_the_seven_crystal_systems_and_lack_of_inversion() -> None:
    systems = {crystals[name].symmetry.crystal_system for name in _examples()}
    assert systems == {
        "triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic",
    }  # fmt: skip
    assert len(_examples()) >= 10
    polar = [crystals[name].symmetry for name in ("GaAs", "GaN", "quartz")]
    assert all(ladder.point_group != ladder.laue_class for ladder in polar)


@pytest.mark.parametrize("name", _examples())
def test_solvers_agree_with_an_eigen_solution(name: str, eigen_solution: Callable[..., np.ndarray]) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.07)
    directions = np.concatenate([_neighbours(12, seed) for seed in (1, 2)])
    reference = eigen_solution(potential, directions, SELECTION, DEPTHS, 0.5)
    exact, beams = exact_intensities(potential, directions, SELECTION, DEPTHS, 0.5)
    np.testing.assert_allclose(exact, reference, rtol=2e-4)
    assert np.corrcoef(exact, reference)[0, 1] > 0.9999
    np.testing.assert_array_equal(beams[:, 0], count_beams(potential, directions, SELECTION))
    alone, alone_beams = tiled_intensities(potential, directions, np.arange(24), SELECTION, DEPTHS, 0.5)
    np.testing.assert_array_equal(alone_beams[:, 0], beams[:, 0])
    assert np.corrcoef(alone, reference)[0, 1] > 0.9999
    np.testing.assert_allclose(alone, reference, rtol=5e-3)


@pytest.mark.parametrize("name", _examples())
def test_folding_replaces_most_beams(name: str, eigen_solution: Callable[..., np.ndarray]) -> None:
    """Few strong beams with the weak ones folded in give what the eigen-solution needs all of them for."""
    potential = crystal_potential(crystals[name], 20.0, 0.06)
    directions = _neighbours(16, spread=0.5)
    everything = BeamSelection(20.0, 20.0, 600.0, forbidden_s_per_nm=0.5)
    reference = eigen_solution(potential, directions, everything, UNIFORM, 0.5)
    few = BeamSelection(4.0, 20.0, 200.0, forbidden_s_per_nm=0.5, weak_cutoff=600.0)
    folded, beams = tiled_intensities(potential, directions, np.arange(16), few, UNIFORM, 0.5)
    dropped, _ = tiled_intensities(
        potential, directions, np.arange(16), replace(few, weak=4.0, weak_cutoff=None), UNIFORM, 0.5
    )
    agreement = np.corrcoef(folded, reference)[0, 1]
    # In W the weak beams are not so weak.
    assert agreement > (0.995 if name == "W" else 0.998)
    assert 1.0 - agreement < 0.6 * (1.0 - np.corrcoef(dropped, reference)[0, 1])
    assert beams[:, 0].mean() < 0.8 * count_beams(potential, directions, everything).mean()


@pytest.mark.parametrize("name", ["W", "GaAs", "Mo3Si"])
def test_tiles_agree_with_directions_by_themselves(name: str) -> None:
    potential = crystal_potential(crystals[name], 20.0, 0.05)
    selection = BeamSelection(4.0, 20.0, 100.0, None, weak_cutoff=300.0)
    # 2 x 2 pixels of a map of half-width 250, at many places.
    rng = np.random.default_rng(0)
    centres = Rotation.random(30, random_state=rng).as_matrix()
    steps = np.array([(x, y, 0.0) for x in (0.0, 0.005) for y in (0.0, 0.005)])
    directions = np.concatenate([m[:, 2] + steps @ m.T for m in centres])
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    tiled, _ = tiled_intensities(potential, directions, np.repeat(np.arange(30), 4), selection, UNIFORM, 0.5)
    alone, _ = tiled_intensities(potential, directions, np.arange(120), selection, UNIFORM, 0.5)
    assert np.corrcoef(tiled, alone)[0, 1] > 0.999


@pytest.mark.parametrize("name", ["W", "GaAs"])
def test_no_tile_edges_in_a_map(name: str) -> None:
    """On part of a map the pattern jumps no more where tiles meet than it does with every direction by itself."""
    potential = crystal_potential(crystals[name], 20.0, 0.05)
    selection = BeamSelection(4.0, 20.0, 100.0, None, weak_cutoff=300.0)
    size, side = 40, 2
    directions = lambert_grid(250)[230 : 230 + size, 300 : 300 + size].reshape(-1, 3)
    row, column = np.indices((size, size))
    labels = ((row // side) * size + column // side).ravel()
    exact, _ = tiled_intensities(potential, directions, np.arange(size**2), selection, UNIFORM, 0.5)
    tiled, _ = tiled_intensities(potential, directions, labels, selection, UNIFORM, 0.5)
    assert np.corrcoef(tiled, exact)[0, 1] > 0.999
    exact, tiled = exact.reshape(size, size), tiled.reshape(size, size)
    border = np.arange(1, size) % side == 0

    def ratio_of_steps(image: np.ndarray) -> float:
        """Steps between neighbours across borders of tiles over those inside."""
        steps = np.diff(image, axis=1), np.diff(image, axis=0).T
        across = np.concatenate([step[:, border].ravel() for step in steps])
        inside = np.concatenate([step[:, ~border].ravel() for step in steps])
        return float(np.sqrt(np.mean(across**2) / np.mean(inside**2)))

    # A visible edge is a step that the map itself does not have.
    assert ratio_of_steps(tiled) == pytest.approx(ratio_of_steps(exact), abs=0.03)


@pytest.mark.parametrize("name", ["Ni", "Mg", "Si", "GaAs", "W"])
def test_emission_is_a_sum_of_squares(name: str) -> None:
    """F†F against the source matrix itself, for waves that fall off with |g| as dynamical ones do."""
    potential = crystal_potential(crystals[name], 20.0, 0.035)
    amplitudes = emission_amplitudes(potential)
    assert amplitudes.shape == (len(potential.hkl), emission_rows(potential))
    rng = np.random.default_rng(0)
    chosen = np.concatenate([[0], 1 + rng.choice(len(potential.hkl) - 1, 250, replace=False)])
    length = np.linalg.norm(potential.g[chosen], axis=1)
    waves = rng.normal(size=(20, len(chosen), 2)).view(complex)[..., 0] / (1.0 + length**2)
    difference = potential.hkl[chosen][None] - potential.hkl[chosen][:, None]
    expected = np.einsum("kg,gh,kh->k", waves.conj(), potential.at(potential.s, difference), waves).real
    squares = np.sum(np.abs(waves @ amplitudes[chosen]) ** 2, axis=1)
    np.testing.assert_allclose(squares, expected, rtol=1e-3, atol=1e-3 * expected.max())
    assert np.corrcoef(squares, expected)[0, 1] > 0.99999


def test_the_pattern_is_what_atoms_emit() -> None:
    """Point sources on the atoms, their waves followed out of the crystal along +k, without the theorem of reciprocity.

    This fixes the handedness: the solver lets a wave in along -k and asks how strong it is on the atoms. For a crystal
    without inversion centre a solver that lets it in along +k gives the pattern of the opposite direction.
    """
    crystal = crystals["GaAs"]
    # Atoms at rest: a vibrating source would have to be averaged over its displacements.
    crystal = crystal.replace(sites=tuple(replace(site, b_iso_nm2=1e-9) for site in crystal.sites))
    potential = crystal_potential(crystal, 20.0, 0.1)
    direction = np.array([0.31, 0.17, 0.935]) / np.linalg.norm([0.31, 0.17, 0.935])
    solved, _ = exact_intensities(potential, np.array([direction, -direction]), SELECTION, DEPTHS, 0.5)
    emitted = [_emitted(crystal, potential, sign * direction) for sign in (1.0, -1.0)]
    np.testing.assert_allclose(solved, emitted, rtol=1e-5)
    assert abs(emitted[0] / emitted[1] - 1.0) > 5e-3


def _emitted(crystal: Crystal, potential: CrystalPotential, direction: np.ndarray) -> float:
    k = 1.0 / potential.wavelength_nm
    total = k * direction + potential.g
    s = (k**2 - np.sum(total**2, axis=1)) / (2.0 * np.abs(total @ direction))
    strength = np.abs(potential.at(potential.u, potential.hkl))
    limit = np.where(strength > 1e-4, SELECTION.cutoff * strength / k, 1.0)
    taken = (np.abs(s) <= limit) & (np.abs(s) <= SELECTION.strong * abs(potential.u_0) / k)
    taken[0] = True
    beams = potential.hkl[taken]
    matrix = potential.at(potential.u, beams[:, None, :] - beams[None, :, :])
    matrix[np.diag_indices(len(beams))] = 2.0 * k * s[taken] + 1j * potential.u_0.imag
    atoms = crystal.atoms()
    # A point source at r sends exp(-2πi (k + g)·r) into the beam k + g; the common phase does not matter.
    sources = np.exp(-2j * np.pi * beams @ atoms.positions.T)
    result = 0.0
    for depth, weight in zip(np.arange(len(DEPTHS)) * 0.5, DEPTHS, strict=True):
        leaving = linalg.expm(1j * np.pi / k * matrix * depth)[0]
        result += weight * float(atoms.z**2 @ np.abs(leaving @ sources) ** 2)
    return result


def test_tiles_converge_at_second_order() -> None:
    """With shorter steps the splitting's error falls with their square."""
    potential = crystal_potential(crystals["Ni"], 20.0, 0.06)
    directions = _neighbours(16)
    errors = []
    for steps in (1, 2, 4):
        weights = np.zeros(23 * steps + 1)
        weights[::steps] = DEPTHS
        together, _ = tiled_intensities(potential, directions, np.zeros(16, int), WIDE, weights, 0.5 / steps)
        alone, _ = tiled_intensities(potential, directions, np.arange(16), WIDE, weights, 0.5 / steps)
        errors.append(np.abs(together - alone).max())
    assert errors[0] / errors[1] == pytest.approx(4.0, rel=0.3)
    assert errors[1] / errors[2] == pytest.approx(4.0, rel=0.3)


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
