"""Every pattern has the symmetry of its crystal's point group and no other: all 230 groups, and the folding of whole maps.

What the symmetry has to be comes from spglib's operations for the atoms, not from the tables that the simulator folds by.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal, Site, SyntheticRanges, synthetic_crystal
from kikuchinet.crystal.standard import spglib_cell, spglib_dataset
from kikuchinet.diffraction import PRESETS, ElectronTransport, simulate
from kikuchinet.diffraction.bloch import BeamSelection, exact_intensities
from kikuchinet.diffraction.folding import fold, grid_operations
from kikuchinet.diffraction.lambert import lambert_grid
from kikuchinet.diffraction.potential import crystal_potential
from kikuchinet.diffraction.presets import Preset

PLAIN = SyntheticRanges(most_sites=3, most_atoms=60, mixed_fraction=0.0, vacant_fraction=0.0)
REFLECTIONS = 300
"""Reflections of a calculation. Symmetry holds at any truncation, so few are enough."""
SELECTION = BeamSelection(strong=6.0, weak=6.0, cutoff=400.0)
DEPTHS = np.exp(-np.arange(40) * 0.5 / 10.0)
LATTICE_POINTS = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}

THREEFOLD = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
FOURFOLD = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
SIXFOLD = np.array([[0.5, -np.sqrt(0.75), 0.0], [np.sqrt(0.75), 0.5, 0.0], [0.0, 0.0, 1.0]])


def generated_group(*generators: NDArray[np.float64]) -> NDArray[np.float64]:
    """All products of some matrices, (n, 3, 3)."""
    found = [np.eye(3)]
    for element in found:
        for generator in generators:
            product = generator @ element
            if min(np.abs(product - known).max() for known in found) > 1e-6:
                found.append(product)
    return np.array(found)


CUBIC = generated_group(FOURFOLD, THREEFOLD, -np.eye(3))
HEXAGONAL = generated_group(SIXFOLD, np.diag([1.0, -1.0, 1.0]), -np.eye(3))


def cartesian_operations(crystal: Crystal) -> NDArray[np.float64]:
    """Point operations that spglib finds for the atoms, in the Cartesian crystal frame, (n, 3, 3)."""
    dataset = spglib_dataset(spglib_cell(crystal), 1e-4)
    assert dataset is not None
    assert dataset.number == crystal.space_group
    columns = crystal.direct_matrix.T
    return columns @ np.unique(dataset.rotations, axis=0) @ np.linalg.inv(columns)


def contains(group: NDArray[np.float64], operation: NDArray[np.floating]) -> bool:
    """Whether an operation is among those of a group."""
    return bool(np.abs(group - operation).max(axis=(1, 2)).min() < 1e-6)


def coset_representatives(group: NDArray[np.float64], subgroup: NDArray[np.float64]) -> NDArray[np.float64]:
    """One operation of each coset ``subgroup @ operation`` but the subgroup itself, (n, 3, 3).

    Where the subgroup is a symmetry, all operations of a coset give one intensity.
    """
    found: list[NDArray[np.float64]] = []
    reached = subgroup
    for operation in group:
        if not contains(reached, operation):
            found.append(operation)
            reached = np.concatenate([reached, subgroup @ operation])
    return np.array(found).reshape(-1, 3, 3)


def few_reflections_nm(crystal: Crystal) -> float:
    """Spacing down to which a crystal has about REFLECTIONS reflections that its centring allows."""
    primitive = crystal.volume_nm3 / LATTICE_POINTS[crystal.centring]
    return float((4.0 / 3.0 * np.pi * primitive / REFLECTIONS) ** (1.0 / 3.0))


def test_the_two_largest_point_groups() -> None:
    assert (len(CUBIC), len(HEXAGONAL)) == (48, 24)


@pytest.mark.parametrize("number", range(1, 231))
def test_a_pattern_has_the_symmetry_it_must_have_and_none_it_must_not(number: int) -> None:
    """Intensities along a few directions and along all their images under m-3m or 6/mmm.

    Images under the crystal's own point operations agree; one of each coset of them differs in at least one of the
    directions. Among these are the opposite directions of a crystal without inversion centre.
    """
    crystal = synthetic_crystal(number, np.random.default_rng([234, number]), PLAIN)
    own = cartesian_operations(crystal)
    hexagonal = crystal.symmetry.crystal_system in {"trigonal", "hexagonal"}
    operations = HEXAGONAL if hexagonal else CUBIC
    assert all(contains(operations, operation) for operation in own)
    others = coset_representatives(operations, own)
    assert len(own) * (len(others) + 1) == len(operations)
    directions = np.random.default_rng(5).normal(size=(4, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    images = np.einsum("oij,dj->odi", np.concatenate([own, others]), directions)
    potential = crystal_potential(crystal, 20.0, few_reflections_nm(crystal))
    values, _ = exact_intensities(potential, images.reshape(-1, 3), SELECTION, DEPTHS, 0.5)
    values = values.reshape(-1, len(directions))
    change = np.abs(values / values[0] - 1.0).max(axis=1)
    # The largest change of equal ones is 2e-5 (single precision), the smallest of unequal ones 1e-3. The seed is one of
    # which no crystal has a symmetry that light atoms alone break: such changes are real, but may be ten times smaller.
    assert change[: len(own)].max() < 1e-4
    assert change[len(own) :].min(initial=1.0) > 1e-3


# One group of each of the 32 point groups, most with a glide or a screw; then other settings.
ONE_OF_EACH = (
    1, 2, 4, 7, 14, 19, 33, 62, 76, 82, 88, 92, 102, 114, 136, 144, 148, 152, 159, 167,
    169, 174, 176, 178, 186, 188, 194, 198, 205, 212, 218, 227,
)  # fmt: skip
TWO_SITES = (Site("Cu", (0.1, 0.2, 0.3)), Site("S", (0.61, 0.27, 0.08)))
OTHER_SETTINGS = (
    ("P 1 1 2", (0.41, 0.52, 0.63, 90.0, 90.0, 104.0), 3),
    ("P 1 1 21/b", (0.41, 0.52, 0.63, 90.0, 90.0, 104.0), 14),
    ("P 21/m 1 1", (0.41, 0.52, 0.63, 104.0, 90.0, 90.0), 11),
    ("P b n m", (0.41, 0.52, 0.63, 90.0, 90.0, 90.0), 62),
    ("R 3:R", (0.5, 0.5, 0.5, 72.0, 72.0, 72.0), 146),
    ("R -3 c:R", (0.5, 0.5, 0.5, 72.0, 72.0, 72.0), 167),
    ("R 3 2:H", (0.5, 0.5, 0.8, 90.0, 90.0, 120.0), 155),
    ("P 3 1 2", (0.5, 0.5, 0.8, 90.0, 90.0, 120.0), 149),
    ("P 3 2 1", (0.5, 0.5, 0.8, 90.0, 90.0, 120.0), 150),
)


def test_one_of_each_point_group() -> None:
    names = {synthetic_crystal(n, np.random.default_rng(n), PLAIN).symmetry.point_group for n in ONE_OF_EACH}
    assert len(names) == 32


def crystal_of(case: int | tuple[str, tuple[float, ...], int]) -> Crystal:
    """A generated crystal of a space group, or one in a setting that is not the reference one."""
    if isinstance(case, int):
        return synthetic_crystal(case, np.random.default_rng([32, case]), PLAIN)
    setting, cell, number = case
    return Crystal(setting, *cell, number, setting, TWO_SITES)


@pytest.mark.parametrize("case", [*ONE_OF_EACH, *OTHER_SETTINGS], ids=str)
def test_a_whole_map_is_folded_as_it_should_be(
    case: int | tuple[str, tuple[float, ...], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    crystal = crystal_of(case)
    own = cartesian_operations(crystal)
    # All operations of 4/mmm along z that the atoms have are used, and no other.
    upright = [operation for operation in CUBIC if abs(operation[2, 2]) == 1.0]
    expected = {tuple(o.astype(int).ravel()) for o in upright if contains(own, o)}
    used = grid_operations(crystal)
    assert {tuple(o.ravel()) for o in used} == expected
    assert len(used) == len(expected)

    half_width, d_min_nm = 4, few_reflections_nm(crystal)
    monkeypatch.setitem(PRESETS, "coarse", Preset(d_min_nm, SELECTION, 1, 0.0, 2e-3, bethe=True))
    transport = ElectronTransport(
        np.array([20.0]), np.ones(1), 0.5, (DEPTHS / DEPTHS.sum())[None], float("nan"), 20.0
    )
    master = simulate(crystal, 20.0, half_width, "coarse", transport)

    # Each pixel by itself, with depth weights written out again from the docstring of `simulate`.
    potential = crystal_potential(crystal, 20.0, d_min_nm)
    upper = lambert_grid(half_width)
    weights = DEPTHS / DEPTHS.sum()
    end = int((1.0 - np.cumsum(weights) > 2e-3).sum()) + 1
    weights = weights[:end] / weights[:end].sum()
    weights = weights * np.exp(2.0 * np.pi * 0.5 * np.arange(end) / potential.absorption_length_nm)
    for image, signs in ((master.upper, [1, 1, 1]), (master.lower, [1, 1, -1])):
        directions = (upper * signs).reshape(-1, 3)
        alone, _ = exact_intensities(potential, directions, SELECTION, weights, 0.5)
        np.testing.assert_allclose(image.ravel(), alone, rtol=1e-4)
    # One pixel stands for as many as there are operations, but those on symmetry elements and on the equator.
    assert len(fold(crystal, 30).rows) == pytest.approx(2 * 61**2 / len(used), rel=0.12)
