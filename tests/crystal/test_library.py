"""Every crystal of the library is what it says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kikuchinet.crystal import PAPER_MATERIALS, crystals
from kikuchinet.crystal.contacts import minimum_distance_nm
from kikuchinet.errors import InputError

# Pearson symbols' atom counts and densities from the CRC Handbook of Chemistry and Physics (elements, common compounds).
KNOWN = {
    "Al": (4, 2.70),
    "Ni": (4, 8.90),
    "Cu": (4, 8.96),
    "Ag": (4, 10.5),
    "Au": (4, 19.3),
    "Pb": (4, 11.3),
    "Fe": (2, 7.87),
    "W": (2, 19.3),
    "Ta": (2, 16.4),
    "Cr": (2, 7.15),
    "Mo": (2, 10.2),
    "Si": (8, 2.33),
    "Ge": (8, 5.32),
    "C (diamond)": (8, 3.51),
    "TiC": (8, 4.93),
    "TaC": (8, 14.3),
    "NbC": (8, 7.82),
    "MgO": (8, 3.58),
    "NaCl": (8, 2.17),
    "CaF2": (12, 3.18),
    "MgAl2O4": (56, 3.58),
    "Fe3O4": (56, 5.17),
    "Cu2O": (6, 6.0),
    "LaB6": (7, 4.72),
    "Y3Al5O12 (YAG)": (160, 4.56),
    "Ni3Al": (4, 7.4),
    "NiAl": (2, 5.9),
    "Cr3Si": (8, 6.4),
    "Al4Ni3": (112, 5.1),
    "GaAs": (8, 5.32),
    "Mg": (2, 1.74),
    "quartz": (9, 2.65),
    "rutile": (6, 4.24),
    "GaN": (4, 6.1),
    "calcite": (30, 2.71),
    "forsterite": (28, 3.23),
    "diopside": (40, 3.28),
    "kyanite": (32, 3.67),
    "sillimanite": (32, 3.25),
    "titanite": (32, 3.53),
}


@pytest.mark.parametrize("name", crystals.names)
def test_crystal_is_sound(name: str) -> None:
    crystal = crystals[name]
    crystal.check()  # overlap, and spglib finds the group
    assert crystal.name == name
    assert crystal.source
    assert crystal.prototype
    assert 0.5 < crystal.density_g_cm3 < 23.0
    # O-H bonds seen by X-rays are 0.08 nm long, B-B bonds 0.16, Cs-Cs contacts 0.5.
    shortest = 0.08 if "H" in crystal.composition else 0.12
    assert shortest < minimum_distance_nm(crystal) < 0.48
    assert all(0.0005 <= site.b_iso_nm2 <= 0.12 for site in crystal.sites)
    # Lattice symmetry keeps the whole set of atoms: the number of atoms is the sum of orbits that divide the group.
    order = len(crystal.setting_operations.rotations)
    counts = [int((crystal.atoms().site_index == i).sum()) for i in range(len(crystal.sites))]
    assert all(order % count == 0 for count in counts)


@pytest.mark.parametrize("name", KNOWN)
def test_atoms_and_density_as_in_the_literature(name: str) -> None:
    n_atoms, density = KNOWN[name]
    assert crystals[name].n_atoms == pytest.approx(n_atoms)
    assert crystals[name].density_g_cm3 == pytest.approx(density, rel=0.02)


def test_the_paper_has_its_materials() -> None:
    mean_z = {
        "FeNi3": 27.5,
        "Ni3Al": 24.25,
        "NiAl": 20.5,
        "FeAl": 19.5,
        "Mo3Si": 35,
        "Cr3Si": 21.5,
        "TaC": 39.5,
    }
    mean_z |= {"Ni": 28, "NbC": 23.5, "TiC": 14, "Al": 13, "Ge": 32, "Si": 14, "W": 74, "Ta": 73, "Fe": 26}
    mean_z |= {"Al4Ni3": 19.43, "Al4CoNi2": 19.29}
    assert sum(len(names) for names in PAPER_MATERIALS.values()) == 18
    for group, names in PAPER_MATERIALS.items():
        for name in names:
            assert crystals[name].space_group == group
            assert crystals[name].mean_atomic_number == pytest.approx(mean_z[name], abs=0.005)
    flagged = {name for name, entry in crystals._entries.items() if entry["paper"]}
    assert flagged == {name for names in PAPER_MATERIALS.values() for name in names}


def test_agrees_with_the_reference_list(shared_dir: Path) -> None:
    listed = json.loads((shared_dir / "reference" / "structures.json").read_text(encoding="utf-8"))
    assert len(listed) == 182
    for entry in listed:
        crystal = crystals[entry["name"]]
        assert crystal.space_group == entry["space_group"]
        assert crystal.n_atoms == pytest.approx(entry["atoms_per_cell"], abs=1e-3)
        assert crystal.mean_atomic_number == pytest.approx(entry["meanZ"], abs=0.01)
        if entry["name"] != "FeAl":  # its lattice parameter was replaced by one that was read
            assert crystal.density_g_cm3 == pytest.approx(entry["density_g_cm3"], rel=1e-3)
        # No number may be more trusted here than where it came from, but for the one that was looked up.
        assert crystal.verified <= (entry["verified"] or entry["name"] == "FeAl")


def test_library_covers_the_groups() -> None:
    assert len(crystals) >= 190
    for group in range(221, 231):
        assert crystals(space_group=group)
    systems = {crystal.symmetry.crystal_system for crystal in crystals.values()}
    assert len(systems) == 7
    assert {crystal.symmetry.point_group for crystal in crystals(space_group=186)} == {"6mm"}


def test_selection() -> None:
    assert [c.name for c in crystals(space_group=224)] == ["Cu2O", "Ag2O", "Ag2O3 (224 model)"]
    assert crystals(space_group=3) == ()
    assert all(c.verified for c in crystals(verified=True))
    assert {c.name for c in crystals(crystal_system="triclinic")} == {"kyanite"}
    assert crystals["Ni"] is crystals["Ni"]
    assert "Ni" in crystals
    assert "Nickel" not in crystals
    assert list(crystals) == list(crystals.names)


def test_unknown_name_is_answered_with_a_suggestion() -> None:
    with pytest.raises(InputError, match=r"NI3AL: no such crystal in the library; did you mean Ni3Al"):
        crystals["NI3AL"]
    with pytest.raises(InputError, match=r"no such crystal in the library$"):
        crystals["zzzzzzzzz"]


def test_import_is_light() -> None:
    code = (
        "import sys, kikuchinet.crystal as k; k.crystals['Si'].check(); "
        "print([m for m in ('torch', 'kikuchipy', 'orix', 'hyperspy', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
