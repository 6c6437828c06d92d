"""Settings and the symmetry ladder against spglib's tables, orix's and International Tables."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
import spglib
from orix.crystal_map import Phase

from kikuchinet.crystal import Crystal, Site, find_setting, ladder, reference_setting
from kikuchinet.crystal.ladder import absent, classes_by_absences
from kikuchinet.crystal.standard import hall_number_of_reference, operation_keys
from kikuchinet.errors import InputError

ALL = range(1, 231)
TWO_ORIGINS = [48, 50, 59, 68, 70, 85, 86, 88, 125, 126, 129, 130, 133, 134, 137, 138, 141, 142]
TWO_ORIGINS += [201, 203, 222, 224, 227, 228]
RHOMBOHEDRAL = [146, 148, 155, 160, 161, 166, 167]
CELLS = {
    "triclinic": (0.5, 0.61, 0.72, 83.0, 97.0, 106.0),
    "monoclinic": (0.5, 0.61, 0.72, 90.0, 101.0, 90.0),
    "orthorhombic": (0.5, 0.61, 0.72, 90.0, 90.0, 90.0),
    "tetragonal": (0.5, 0.5, 0.72, 90.0, 90.0, 90.0),
    "trigonal": (0.5, 0.5, 0.72, 90.0, 90.0, 120.0),
    "hexagonal": (0.5, 0.5, 0.72, 90.0, 90.0, 120.0),
    "cubic": (0.5, 0.5, 0.5, 90.0, 90.0, 90.0),
}


def one_atom(number: int) -> Crystal:
    # Large enough that the point stays clear of every special position.
    a, b, c, *angles = CELLS[ladder(number).crystal_system]
    return Crystal("X", 3 * a, 3 * b, 3 * c, *angles, number, "", (Site("Fe", (0.07, 0.19, 0.36)),))


@pytest.mark.parametrize("number", ALL)
def test_ladder_agrees_with_spglib(number: int) -> None:
    rungs = ladder(number)
    kind = spglib.get_spacegroup_type(hall_number_of_reference(number))
    assert kind.number == rungs.space_group == number
    # gemmi and spglib orient -42m, 32 and the like differently in the symbol; the class is the same.
    same = {"-4m2": "-42m", "-6m2": "-62m", "312": "32", "321": "32", "3m1": "3m", "31m": "3m"}
    same |= {"-3m1": "-3m", "-31m": "-3m", "m-3": "m-3"}
    point_group = kind.pointgroup_international
    assert same.get(point_group, point_group) == rungs.point_group
    # The arithmetic class ends in the Bravais letter.
    letter = kind.arithmetic_crystal_class_symbol[-1]
    assert rungs.bravais_lattice[1] == ("S" if letter in "ABC" else letter)
    renamed = {39: "Aem2", 41: "Aea2", 64: "Cmce", 67: "Cmme", 68: "Ccce"}  # e glides, since 1992
    old = {39: "Abm2", 41: "Aba2", 64: "Cmca", 67: "Cmma", 68: "Ccca"}
    short = kind.international_short.replace("_", "")
    assert rungs.symbol == old.get(number, short) or short == renamed.get(number)


@pytest.mark.parametrize("number", ALL)
def test_operations_are_those_of_spglib(number: int) -> None:
    setting = reference_setting(number)
    database = spglib.get_symmetry_from_database(hall_number_of_reference(number))
    assert operation_keys(setting.rotations, setting.translations) == operation_keys(
        database["rotations"], database["translations"]
    )
    choice = spglib.get_spacegroup_type(hall_number_of_reference(number)).choice
    assert (choice == "2") == (number in TWO_ORIGINS)
    assert setting.symbol.endswith(":H") == (number in RHOMBOHEDRAL)


def test_origin_choice_2_is_at_an_inversion_centre() -> None:
    for number in TWO_ORIGINS:
        setting = reference_setting(number)
        inversion = (setting.rotations == -np.eye(3, dtype=int)).all(axis=(1, 2))
        assert (setting.translations[inversion] == 0).all(axis=1).any(), number


def test_ladder_levels_count_as_in_the_tables() -> None:
    rungs = [ladder(number) for number in ALL]
    assert len({r.point_group for r in rungs}) == 32
    assert len({r.laue_class for r in rungs}) == 11
    assert len({r.bravais_lattice for r in rungs}) == 14
    assert len({r.crystal_system for r in rungs}) == 7
    assert len({r.symbol for r in rungs}) == 230
    # 122 diffraction symbols (Looijenga-Vos & Buerger, International Tables A, chapter 1.6).
    assert len({r.extinction_class for r in rungs}) == 122
    # Point group and absences leave the 11 enantiomorphic pairs and two more undecided.
    undecided = {groups for groups in classes_by_absences("point group") if len(groups) > 1}
    enantiomorphs = [(76, 78), (91, 95), (92, 96), (144, 145), (151, 153), (152, 154), (169, 170), (171, 172)]
    enantiomorphs += [(178, 179), (180, 181), (212, 213)]
    assert undecided == {*enantiomorphs, (23, 24), (197, 199)}


def test_counts_without_regard_to_axes() -> None:
    # 131 and 210: absences as the reference settings write them, orthorhombic axes not relabelled, Laue class and
    # point group as symbols.
    hkl = np.stack(np.meshgrid(*[np.arange(-6, 7)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    masks = {number: absent(reference_setting(number), hkl).tobytes() for number in ALL}
    assert len({(ladder(n).laue_class, masks[n]) for n in ALL}) == 131
    assert len({(ladder(n).point_group, masks[n]) for n in ALL}) == 210


@pytest.mark.parametrize("number", [1, 14, 19, 61, 88, 122, 152, 167, 186, 205, 220, 227, 230])
def test_absences_agree_with_gemmi(number: int) -> None:
    hkl = np.stack(np.meshgrid(*[np.arange(-7, 8)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    hkl = hkl[(hkl != 0).any(axis=1)]
    operations = gemmi.get_spacegroup_reference_setting(number).operations()
    expected = operations.systematic_absences(hkl.astype(np.int32))
    np.testing.assert_array_equal(absent(reference_setting(number), hkl), expected)


def test_extinctions_of_m3m_are_all_different() -> None:
    # What the whole project rests on: the ten m-3m groups never share a class.
    assert len({ladder(number).extinction_class for number in range(221, 231)}) == 10
    assert ladder(225).extinction_groups == (209, 216, 225)
    assert ladder(221).extinction_groups == (207, 215, 221)
    assert ladder(223).extinction_groups == (218, 223)
    assert ladder(227).extinction_groups == (227,)


def test_short_symbols() -> None:
    assert [ladder(n).symbol for n in (221, 225, 227, 229, 230)] == [
        "Pm-3m",
        "Fm-3m",
        "Fd-3m",
        "Im-3m",
        "Ia-3d",
    ]
    assert ladder(166).symbol == "R-3m"
    assert ladder(14).symbol == "P21/c"


@pytest.mark.parametrize("number", ALL)
def test_cartesian_operations_are_orthogonal(number: int) -> None:
    crystal = one_atom(number)
    # r = x @ A and x' = W x, so r' = r @ (A^-1 W^T A).
    inverse = np.linalg.inv(crystal.direct_matrix)
    cartesian = np.einsum("ij,nkj,kl->nil", inverse, crystal.point_group_operations, crystal.direct_matrix)
    np.testing.assert_allclose(
        cartesian @ cartesian.transpose(0, 2, 1), np.eye(3)[None] + 0 * cartesian, atol=1e-12
    )
    assert len(crystal.atoms()) == len(crystal.setting_operations.rotations)
    assert (crystal.point_group_operations[0] == np.eye(3)).all()
    assert len(crystal.laue_operations) in {2, 4, 6, 8, 12, 16, 24, 48}
    assert len(crystal.laue_operations) / len(crystal.point_group_operations) in {1.0, 2.0}


@pytest.mark.parametrize("number", [2, 47, 87, 139, 147, 175, 194, 200, 216, 221, 227, 230])
def test_cartesian_laue_group_is_that_of_orix(number: int) -> None:
    crystal = one_atom(number)
    inverse = np.linalg.inv(crystal.direct_matrix)
    ours = np.einsum("ij,nkj,kl->nil", inverse, crystal.laue_operations, crystal.direct_matrix).transpose(
        0, 2, 1
    )
    group = Phase(space_group=number).point_group.laue
    theirs = group.to_matrix() * np.where(group.improper.ravel(), -1, 1)[:, None, None]
    assert len(ours) == len(theirs)
    for matrix in ours:
        assert np.abs(theirs - matrix).max(axis=(1, 2)).min() < 1e-6


@pytest.mark.parametrize("number", [0, 231, -1, 2.5, True])
def test_no_such_group(number: float) -> None:
    with pytest.raises(InputError, match="1 to 230"):
        ladder(number)  # type: ignore[arg-type]


@pytest.mark.parametrize("symbol", ["F d -3 m", "Fd-3m:2", "", "nonsense"])
def test_no_such_setting(symbol: str) -> None:
    with pytest.raises(InputError, match="not a space-group setting"):
        find_setting(symbol)
