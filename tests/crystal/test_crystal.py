"""The crystal itself: lattice, contents, checks."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import gemmi
import numpy as np
import pytest
from diffpy.structure import Lattice
from orix.crystal_map import Phase

from kikuchinet.crystal import Crystal, Site, crystals
from kikuchinet.crystal.crystal import format_formula
from kikuchinet.errors import InputError

CUBIC = (90.0, 90.0, 90.0)
TRICLINIC = (0.712, 0.78479, 0.55738, 89.974, 101.117, 106.0)


def test_triclinic_frame_is_that_of_orix() -> None:
    crystal = Crystal("T", *TRICLINIC, 1, "", (Site("Si", (0.1, 0.2, 0.3)),))
    phase = Phase(space_group=1)
    phase.structure.lattice = Lattice(*TRICLINIC)
    # orix turns the lattice on assignment so that e1 ∥ a and e3 ∥ c*.
    phase = Phase(space_group=1, structure=phase.structure)
    np.testing.assert_allclose(crystal.direct_matrix, phase.structure.lattice.base, atol=1e-9)
    a, b, c = crystal.direct_matrix
    assert a[1] == a[2] == b[2] == 0.0
    c_star = crystal.reciprocal_matrix[2]
    np.testing.assert_allclose(c_star[:2], 0.0, atol=1e-12)
    assert c_star[2] > 0
    np.testing.assert_allclose(crystal.direct_matrix @ crystal.reciprocal_matrix.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose([np.linalg.norm(v) for v in (a, b, c)], TRICLINIC[:3])
    angle = np.degrees(np.arccos(b @ c / (np.linalg.norm(b) * np.linalg.norm(c))))
    np.testing.assert_allclose(angle, TRICLINIC[3])


def test_lattice_agrees_with_gemmi() -> None:
    crystal = Crystal("T", *TRICLINIC, 1, "", (Site("Si", (0.1, 0.2, 0.3)),))
    cell = gemmi.UnitCell(*(10 * x for x in TRICLINIC[:3]), *TRICLINIC[3:])
    assert crystal.volume_nm3 == pytest.approx(cell.volume / 1000, rel=1e-12)
    for hkl in ([1, 0, 0], [1, -2, 3], [0, 4, -1]):
        d_nm = 1 / np.linalg.norm(np.array(hkl) @ crystal.reciprocal_matrix)
        assert d_nm == pytest.approx(cell.calculate_d(hkl) / 10, rel=1e-12)


def test_silicon_has_eight_atoms() -> None:
    second = Crystal(
        "Si", 0.5431, 0.5431, 0.5431, *CUBIC, 227, "F d -3 m:2", (Site("Si", (0.125, 0.125, 0.125)),)
    )
    first = Crystal("Si", 0.5431, 0.5431, 0.5431, *CUBIC, 227, "F d -3 m:1", (Site("Si", (0.0, 0.0, 0.0)),))
    for crystal in (second, first, crystals["Si"]):
        crystal.check()
        assert len(crystal.atoms()) == 8
        assert crystal.n_atoms == 8
        assert crystal.density_g_cm3 == pytest.approx(2.329, abs=0.003)  # CRC Handbook


def test_rounded_coordinates_stay_on_their_special_position() -> None:
    cell = (0.320927, 0.320927, 0.521033, 90.0, 90.0, 120.0)
    exact = Crystal("Mg", *cell, 194, "", (Site("Mg", (1 / 3, 2 / 3, 0.25)),))
    rounded = Crystal("Mg", *cell, 194, "", (Site("Mg", (0.333, 0.667, 0.25)),))
    np.testing.assert_allclose(rounded.atoms().positions, exact.atoms().positions, atol=1e-9)
    assert len(rounded.atoms()) == 2


def test_mixed_and_partial_sites() -> None:
    sites = (Site("Fe", (0, 0, 0), 0.5), Site("Ni", (0, 0, 0), 0.25))
    crystal = Crystal("M", 0.36, 0.36, 0.36, *CUBIC, 225, "", sites)
    crystal.check()
    assert crystal.n_atoms == 3.0
    assert crystal.formula == "Fe2Ni"
    assert crystal.mean_atomic_number == pytest.approx((2 * 26 + 28) / 3)
    assert len(crystal.atoms()) == 8
    np.testing.assert_array_equal(np.unique(crystal.atoms().site_index), [0, 1])


def test_rhombohedral_axes_and_hexagonal_axes_are_the_same_crystal() -> None:
    a_nm, c_nm = 0.498, 1.7192
    length = np.sqrt(a_nm**2 / 3 + c_nm**2 / 9)
    angle = np.degrees(2 * np.arcsin(a_nm / 2 / length))
    sites = (Site("Ca", (0, 0, 0)), Site("C", (0.25, 0.25, 0.25)), Site("O", (0.511, 0.989, 0.25)))
    small = Crystal("calcite", length, length, length, angle, angle, angle, 167, "R -3 c:R", sites)
    small.check()
    large = crystals["calcite"]
    assert (small.n_atoms, large.n_atoms) == (10, 30)
    assert (small.centring, large.centring) == ("P", "R")
    assert small.density_g_cm3 == pytest.approx(large.density_g_cm3, rel=1e-9)


@pytest.mark.parametrize(
    ("composition", "formula"),
    [
        ({"Ni": 3.0, "Al": 1.0}, "AlNi3"),
        ({"Si": 8.0}, "Si"),
        ({"O": 4.0, "Mg": 4.0}, "MgO"),
        ({"Al": 64.0, "Co": 16.0, "Ni": 32.0}, "Al4CoNi2"),
        ({"Fe": 3.8, "O": 4.0}, "Fe3.8O4"),
    ],
)
def test_formula(composition: dict[str, float], formula: str) -> None:
    assert format_formula(composition) == formula


def test_replace_forgets_what_was_verified() -> None:
    nickel = crystals["Ni"]
    assert nickel.verified
    assert not nickel.replace(a_nm=0.36, b_nm=0.36, c_nm=0.36).lattice_verified
    assert nickel.replace(a_nm=0.36, b_nm=0.36, c_nm=0.36).structure_verified
    assert not nickel.replace(sites=(Site("Cu", (0, 0, 0)),)).structure_verified
    assert nickel.replace(name="nickel").verified


def test_survives_a_process_boundary() -> None:
    crystal = crystals["Ni3Al"]
    crystal.atoms()
    again = pickle.loads(pickle.dumps(crystal))
    assert again == crystal
    np.testing.assert_array_equal(again.atoms().positions, crystal.atoms().positions)
    with pytest.raises(ValueError, match="read-only"):
        crystal.atoms().positions[0] = 1.0


def test_bad_crystals_say_why() -> None:
    iron = (Site("Fe", (0, 0, 0)),)
    with pytest.raises(InputError, match="does not obey space group"):
        Crystal("X", 0.3, 0.3, 0.31, *CUBIC, 225, "", iron)
    with pytest.raises(InputError, match="six positive numbers"):
        Crystal("X", 0.3, 0.3, -0.3, *CUBIC, 225, "", iron)
    with pytest.raises(InputError, match="six positive numbers"):
        Crystal("X", 0.3, 0.3, float("nan"), *CUBIC, 225, "", iron)
    with pytest.raises(InputError, match="do not close"):
        Crystal("X", 0.3, 0.4, 0.5, 20.0, 30.0, 170.0, 1, "", iron)
    with pytest.raises(InputError, match="not one of space group 225"):
        Crystal("X", 0.3, 0.3, 0.3, *CUBIC, 225, "P m -3 m", iron)
    with pytest.raises(InputError, match="no atoms"):
        Crystal("X", 0.3, 0.3, 0.3, *CUBIC, 225, "", ())
    with pytest.raises(InputError, match="no such chemical element"):
        Site("Xx", (0, 0, 0))
    with pytest.raises(InputError, match="occupancy"):
        Site("Fe", (0, 0, 0), 1.5)
    with pytest.raises(InputError, match="Debye-Waller"):
        Site("Fe", (0, 0, 0), 1.0, -0.1)
    with pytest.raises(InputError, match="position"):
        Site("Fe", (0, float("inf"), 0))


def test_check_finds_overlap_and_wrong_group() -> None:
    close = (Site("Fe", (0, 0, 0)), Site("Al", (0.05, 0, 0)))
    with pytest.raises(InputError, match=r"Fe and Al are 0\.0150 nm apart"):
        Crystal("X", 0.3, 0.3, 0.3, *CUBIC, 1, "", close).check()
    twice = (Site("Fe", (0, 0, 0), 0.8), Site("Al", (0, 0, 0), 0.5))
    with pytest.raises(InputError, match="cannot both be there"):
        Crystal("X", 0.3, 0.3, 0.3, *CUBIC, 221, "", twice).check()
    three = tuple(Site(e, (0, 0, 0), 0.4) for e in ("Fe", "Al", "Ni"))
    with pytest.raises(InputError, match="cannot both be there"):
        Crystal("X", 0.3, 0.3, 0.3, *CUBIC, 221, "", three).check()
    with pytest.raises(InputError, match="says space group 195, but spglib finds 221"):
        Crystal("X", 0.3, 0.3, 0.3, *CUBIC, 195, "", (Site("Fe", (0, 0, 0)),)).check()


@pytest.mark.parametrize(
    ("name", "n_atoms"),
    [
        ("Cu", 4),
        ("Fe", 2),
        ("GaAs", 8),
        ("MgO", 8),
        ("Mg", 2),
        ("Ni", 4),
        ("Si", 8),
        ("quartz", 9),
        ("rutile", 6),
    ],
)
def test_agrees_with_the_crystals_emsoft_used(shared_dir: Path, name: str, n_atoms: int) -> None:
    with np.load(shared_dir / "reference" / "emsoft" / f"{name}_20kev.npz") as file:
        facts = json.loads(str(file["metadata"]))
    number = facts["space_group"]
    # EMsoft's setting 1 is origin choice 1, which has another symbol where there are two origins.
    setting = {227: "F d -3 m:1"}.get(number, "")
    sites = tuple(
        Site(gemmi.Element(atom["Z"]).name, (atom["x"], atom["y"], atom["z"]), atom["occ"], atom["dw"])
        for atom in facts["atoms"]
    )
    theirs = Crystal(name, *facts["cell_nm_deg"], number, setting, sites)
    theirs.check()
    ours = crystals[name]
    assert theirs.n_atoms == ours.n_atoms == n_atoms
    assert ours.space_group == number
    assert ours.formula == theirs.formula
    np.testing.assert_allclose(ours.cell, facts["cell_nm_deg"], rtol=2e-3)
