"""Generated crystals: all 230 groups."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.crystal import Crystal, SyntheticRanges, crystals, reference_setting, synthetic_crystal
from kikuchinet.crystal.contacts import minimum_distance_nm, shortest_distances_nm
from kikuchinet.crystal.elements import covalent_radius_nm, symbol
from kikuchinet.crystal.orbits import full_orbit, snap
from kikuchinet.crystal.packing import Packing, contacts_nm, random_position
from kikuchinet.crystal.standard import spglib_cell, spglib_dataset
from kikuchinet.errors import InputError


def shortest_contact(crystal: Crystal) -> float:
    """Shortest distance in sums of covalent radii, any two atoms."""
    atoms = crystal.atoms()
    _, first = np.unique(atoms.site_index, return_index=True)
    radii = np.array([covalent_radius_nm(symbol(int(z))) for z in atoms.z])
    ratio = shortest_distances_nm(atoms.positions, first, crystal.direct_matrix) / (
        radii[first][:, None] + radii
    )
    return float(ratio[ratio > 1e-2].min())  # elements of one mixed site are at no distance


@pytest.mark.parametrize("number", range(1, 231))
def test_every_group(number: int) -> None:
    crystal = synthetic_crystal(number, np.random.default_rng([20, number]))
    crystal.check()
    dataset = spglib_dataset(spglib_cell(crystal), 1e-4)
    assert dataset is not None
    assert dataset.number == number
    # spglib's cell has no fewer atoms: the conventional cell is not a supercell, and the origin is the stated one.
    assert len(dataset.std_types) == len(spglib_cell(crystal)[2])
    assert len(dataset.rotations) == len(crystal.setting_operations.rotations)
    ranges = SyntheticRanges()
    assert ranges.density_g_cm3[0] <= crystal.density_g_cm3 <= ranges.density_g_cm3[1]
    # The atoms' contacts are those of real bonds; partners on mixed sites differ by up to 15 %.
    assert 0.67 < shortest_contact(crystal) < 1.4
    spheres = sum(n * covalent_radius_nm(e) ** 3 for e, n in crystal.composition.items()) * 4.0 / 3.0 * np.pi
    assert ranges.filling[0] <= spheres / crystal.volume_nm3 <= ranges.filling[1]
    # A round trip through a file keeps group, setting and contents.
    again = Crystal.from_cif_string(crystal.to_cif())
    assert (again.space_group, again.setting, again.n_atoms) == (
        number,
        crystal.setting,
        pytest.approx(crystal.n_atoms),
    )


def test_same_seed_same_crystal() -> None:
    first = [synthetic_crystal(n, np.random.default_rng(7)) for n in (2, 62, 167, 225)]
    second = [synthetic_crystal(n, np.random.default_rng(7)) for n in (2, 62, 167, 225)]
    assert first == second
    assert synthetic_crystal(225, np.random.default_rng(8)) != first[-1]


def test_crystals_are_diverse() -> None:
    rng = np.random.default_rng(3)
    drawn = [synthetic_crystal(221, rng) for _ in range(12)]
    assert len({c.formula for c in drawn}) >= 10
    assert np.ptp([c.a_nm for c in drawn]) > 0.2
    assert len({len(c.atoms()) for c in drawn}) >= 5
    assert len({c.name for c in drawn}) == 12


def test_ranges_are_kept() -> None:
    ranges = SyntheticRanges(most_elements=1, most_sites=2, mixed_fraction=0.0, vacant_fraction=0.0)
    rng = np.random.default_rng(5)
    for _ in range(5):
        crystal = synthetic_crystal(229, rng, ranges)
        assert len(crystal.composition) == 1
        assert len(crystal.sites) <= 2
        assert all(site.occupancy == 1.0 for site in crystal.sites)


def test_impossible_ranges_end() -> None:
    with pytest.raises(RuntimeError, match="space group 229"):
        synthetic_crystal(
            229,
            np.random.default_rng(0),
            SyntheticRanges(most_atoms=4, most_sites=1, density_g_cm3=(40.0, 41.0)),
        )
    with pytest.raises(InputError, match="1 to 230"):
        synthetic_crystal(0, np.random.default_rng(0))


@pytest.mark.parametrize("number", [47, 123, 166, 194, 221, 225, 227, 230])
def test_special_positions_are_special(number: int) -> None:
    setting = reference_setting(number)
    rng = np.random.default_rng(number)
    sizes = {
        degree: [
            len(full_orbit(tuple(random_position(setting, rng, degree)), setting, np.eye(3), 1e-7))
            for _ in range(30)
        ]
        for degree in (0, 3)
    }
    order = len(setting.rotations)
    assert set(sizes[0]) == {order}
    assert min(sizes[3]) < order / 4
    assert all(order % size == 0 for size in sizes[3])


def test_snap_moves_only_what_is_near() -> None:
    setting = reference_setting(225)
    matrix = 0.36 * np.eye(3)
    np.testing.assert_allclose(snap((0.001, 0.0, -0.001), setting, matrix), [0, 0, 0], atol=1e-12)
    np.testing.assert_allclose(snap((0.1, 0.2, 0.3), setting, matrix), [0.1, 0.2, 0.3], atol=1e-12)


@pytest.mark.parametrize(
    ("name", "nearest_nm"), [("Ni", 0.2492), ("Si", 0.2352), ("NaCl", 0.2820), ("Fe", 0.2482)]
)
def test_minimum_distance(name: str, nearest_nm: float) -> None:
    assert minimum_distance_nm(crystals[name]) == pytest.approx(nearest_nm, abs=2e-4)


def test_anions_keep_apart_from_one_another() -> None:
    palette = ("O", "Fe")
    lengths = contacts_nm(palette, palette, palette)
    np.testing.assert_allclose(lengths, lengths.T)
    # O-O of oxides is 0.22 nm and more, Fe-O about 0.2 (Shannon 1976); O-O of a peroxide 0.15.
    assert 0.2 < lengths[0, 0] < 0.23
    assert lengths[0, 1] == pytest.approx(0.198, abs=0.005)
    assert contacts_nm(["O"], ["O"], ["O", "N"])[0, 0] == pytest.approx(0.132, abs=0.005)


@pytest.mark.parametrize("number", [2, 14, 62, 136, 166, 194, 216, 227])
def test_relaxed_packings_are_denser_and_keep_their_symmetry(number: int) -> None:
    setting = reference_setting(number)
    rng = np.random.default_rng(number)
    metric = np.diag([1.0, 1.3, 1.6]) ** 2
    if setting.crystal_system in {"trigonal", "hexagonal"}:
        metric = np.array([[1.0, -0.5, 0.0], [-0.5, 1.0, 0.0], [0.0, 0.0, 1.7]])
    elif setting.crystal_system in {"tetragonal", "cubic"}:
        metric = np.diag([1.0, 1.0, 1.4 if setting.crystal_system == "tetragonal" else 1.0])
    packing = Packing(setting, metric, ("Fe", "O"))
    for degree, element in ((2, "Fe"), (1, "O"), (0, "O")):
        tries = [packing.with_orbit(random_position(setting, rng, degree), element) for _ in range(6)]
        packing = max(tries, key=lambda one: one.tightest)
    relaxed = packing.relaxed()
    assert relaxed.emptiness < 0.9 * packing.emptiness
    for before, after in zip(packing.orbits, relaxed.orbits, strict=True):
        position = tuple(after.position)
        assert len(full_orbit(position, setting, relaxed.matrix, 1e-7)) == len(before.operations)
        np.testing.assert_allclose(
            np.sort(after.atoms, axis=0),
            np.sort(full_orbit(position, setting, relaxed.matrix, 1e-7), axis=0),
            atol=1e-9,
        )
    # The tightest contact is the one that an independent search over all atoms finds.
    atoms = np.concatenate([orbit.atoms for orbit in relaxed.orbits])
    names = [orbit.element for orbit in relaxed.orbits for _ in orbit.operations]
    distances = shortest_distances_nm(atoms, np.arange(len(atoms)), relaxed.matrix)
    assert relaxed.tightest == pytest.approx(
        (distances / contacts_nm(names, names, ("Fe", "O"))).min(), rel=1e-9
    )


def test_as_dense_as_real_crystals() -> None:
    """Medians of the library lie within the middle half of what is drawn (all groups, equally often)."""
    rng = np.random.default_rng(11)
    drawn = [synthetic_crystal(int(number), rng) for number in rng.integers(1, 231, size=40)]
    for value in (
        lambda c: c.density_g_cm3,
        shortest_contact,
        lambda c: c.mean_atomic_number,
    ):
        known = float(np.median([value(c) for c in list(crystals.values())[::4]]))
        low, high = np.percentile([value(c) for c in drawn], (20, 80))
        assert low < known < high
