"""Debye-Waller factors of the elements against another paper's, and what is done where a structure gives none."""

from __future__ import annotations

import pytest

from kikuchinet.crystal import Crystal
from kikuchinet.crystal.debye_waller import elemental_b_iso_nm2, likely_b_iso_nm2

# B in Å² at room temperature, V. F. Sears, S. A. Shelley, Acta Cryst. A47 (1991) 441.
SEARS_SHELLEY = {
    "Li": 4.9, "Na": 6.6, "Al": 0.81, "Si": 0.52, "K": 10.7, "V": 0.58, "Cr": 0.263, "Fe": 0.34, "Ni": 0.34,
    "Cu": 0.56, "Ge": 0.61, "Nb": 0.45, "Mo": 0.220, "Pd": 0.45, "Ag": 0.73, "Ta": 0.32, "W": 0.161,
    "Pt": 0.37, "Au": 0.62, "Pb": 2.11,
}  # fmt: skip


@pytest.mark.parametrize("element", SEARS_SHELLEY)
def test_values_agree_with_another_calculation(element: str) -> None:
    value = elemental_b_iso_nm2(element)
    assert value is not None
    # The two papers differ by 7 % for Si, by less for the others.
    assert 100.0 * value == pytest.approx(SEARS_SHELLEY[element], rel=0.08)


def test_what_is_not_tabulated_or_too_soft_in_a_compound() -> None:
    assert elemental_b_iso_nm2("O") is None
    assert likely_b_iso_nm2("Na", {"Na"}) == elemental_b_iso_nm2("Na")
    assert likely_b_iso_nm2("Na", {"Na", "Cl"}) is None
    assert likely_b_iso_nm2("Ni", {"Ni", "Al"}) == elemental_b_iso_nm2("Ni")


def test_a_file_without_factors() -> None:
    """Each site gets what its element has; those that the file does give are kept, also on one mixed position."""
    text = """data_x
_cell_length_a 3.7
_cell_length_b 3.7
_cell_length_c 3.7
_cell_angle_alpha 90
_cell_angle_beta 90
_cell_angle_gamma 90
_symmetry_space_group_name_H-M 'P m -3 m'
loop_
_atom_site_label
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
_atom_site_occupancy
_atom_site_B_iso_or_equiv
Cu1 0 0 0 0.5 ?
Au1 0 0 0 0.5 0.9
O1 0.5 0.5 0 1 ?
"""
    crystal = Crystal.from_cif_string(text)
    copper, gold, oxygen = crystal.sites
    assert copper.b_iso_nm2 == elemental_b_iso_nm2("Cu")
    assert gold.b_iso_nm2 == pytest.approx(0.009)
    assert oxygen.b_iso_nm2 == 0.005
    assert "B of elemental crystals at 293 K assumed for Cu1" in crystal.note
    assert "B = 0.005 nm² assumed for O1" in crystal.note
