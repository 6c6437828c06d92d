"""Structure types."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kikuchinet.crystal import Crystal, Site, crystals, near_copies, prototype_label

# The encyclopedia describes these with another origin or other axes than spglib: letters swap (a and b, d and f, ...).
OTHER_DESCRIPTION = {
    "WC", "CrSi2", "TiSi2", "CdAl2S4", "beta-Sn", "Se", "Cu3Ti", "beta-quartz", "coesite", "bixbyite", "FeCr (sigma)",
}  # fmt: skip
LABEL = re.compile(r"^AFLOW ((?:[A-Z]\d*)+_[a-z][A-Z]\d+_\d+(?:_[0-9a-zA-Z]+)+)")


def label_in_source(crystal: Crystal) -> str:
    found = LABEL.match(crystal.source)
    return found[1] if found else ""


@pytest.mark.parametrize(
    "name", [c.name for c in crystals.values() if label_in_source(c) and c.name not in OTHER_DESCRIPTION]
)
def test_labels_are_those_of_the_encyclopedia(name: str) -> None:
    crystal = crystals[name]
    label, stated = prototype_label(crystal), label_in_source(crystal)
    # Isotypes that stand for their type may have their elements in another order.
    assert label.split("_")[1:3] == stated.split("_")[1:3]
    assert sorted(label.split("_")[3:]) == sorted(stated.split("_")[3:])


def test_label_does_not_depend_on_the_description() -> None:
    crystal = crystals["forsterite"]
    assert crystal.setting == "P b n m"
    # AFLOW A2BC4 is the spinel; olivine is A2B4C there (Mg, O, Si).
    assert prototype_label(crystal) == "A2B4C_oP28_62_ac_2cd_c"
    assert prototype_label(crystals["Cu3Au"]) == "AB3_cP4_221_a_c"
    assert prototype_label(Crystal.from_cif_string(crystals["rutile"].to_cif())) == "A2B_tP6_136_f_a"


def test_near_copies() -> None:
    names = [crystal.name for crystal in near_copies(crystals["Ni3Al"], crystals.values())]
    assert set(names) == {c.name for c in crystals(prototype="L1_2")} - {"Ni3Al"}
    assert names.index("FeNi3") < names.index("Cu3Au")  # mean atomic numbers 24.25; 27.5, 41.5
    assert {"KCl", "CsF", "PbS"} <= {c.name for c in near_copies(crystals["NaCl"], crystals.values())}
    assert "diopside" not in [c.name for c in near_copies(crystals["jadeite"], crystals(space_group=14))]


@pytest.mark.parametrize("prototype", ["B1", "B2", "C14", "C15", "B4", "D0_19", "A1", "A2", "A3", "D0_3"])
def test_types_of_the_library_are_one_label(prototype: str) -> None:
    members = crystals(prototype=prototype)
    assert members
    first = members[0]
    alike = {c.name for c in near_copies(first, crystals.values())} | {first.name}
    assert {c.name for c in members} <= alike


def test_axes_of_a_rhombohedral_crystal_do_not_change_its_type() -> None:
    """Arsenic (A7) on hexagonal axes, and the same cell on rhombohedral ones: 2 atoms in the primitive cell."""
    a, c, z = 0.37598, 1.05475, 0.22707
    edge = np.sqrt(3.0 * a**2 + c**2) / 3.0
    angle = np.rad2deg(2.0 * np.arcsin(1.5 / np.sqrt(3.0 + (c / a) ** 2)))
    on_hexagonal = Crystal(
        "As", a, a, c, 90.0, 90.0, 120.0, 166, "R -3 m:H", (Site("As", (0.0, 0.0, z), 1.0, 0.005),)
    )
    turned = Crystal(
        "As R", edge, edge, edge, angle, angle, angle, 166, "R -3 m:R", (Site("As", (z, z, z), 1.0, 0.005),)
    )
    assert len(turned.atoms().z) == 2
    assert prototype_label(on_hexagonal) == prototype_label(turned) == "A_hR2_166_c"
    antimony = turned.replace(name="Sb R", sites=(Site("Sb", (z, z, z), 1.0, 0.005),))
    assert near_copies(on_hexagonal, [antimony]) == (antimony,)
