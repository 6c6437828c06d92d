"""Crystals of CIF files in a configuration: they are materials like those of the library."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kikuchinet.crystal import crystals
from kikuchinet.datasets import MastersConfig, plan, prepare
from kikuchinet.datasets.cifs import cif_crystals
from kikuchinet.diffraction import ElectronTransport
from kikuchinet.errors import InputError


@pytest.fixture
def folder(tmp_path):
    """Two titaniums of one formula, and a file that is no CIF."""
    place = tmp_path / "cifs"
    place.mkdir()
    for name, crystal in (("alpha-titanium", crystals["Mg"]), ("beta-titanium", crystals["Fe"])):
        titanium = crystal.replace(
            name="Ti", sites=tuple(replace(site, element="Ti") for site in crystal.sites)
        )
        (place / f"{name}.cif").write_text(titanium.to_cif())
    (place / "notes.txt").write_text("not a crystal")
    return place


def test_crystals_carry_the_names_of_their_files(folder):
    found = cif_crystals([folder])
    assert list(found) == ["alpha-titanium", "beta-titanium"]
    assert [crystal.space_group for crystal in found.values()] == [194, 229]
    assert all(crystal.name == name for name, crystal in found.items())
    assert all(crystal.composition.keys() == {"Ti"} for crystal in found.values())
    assert list(cif_crystals([folder / "beta-titanium.cif"])) == ["beta-titanium"]


def test_they_are_planned_as_materials(folder):
    config = MastersConfig(
        materials=("Al",), others=("Ni",), cifs=(str(folder),), variants=3, other_variants=1, preset="fast"
    )
    counts = {}
    for spec in plan(config):
        counts[spec.material] = counts.get(spec.material, 0) + 1
    assert counts == {"Al": 3, "alpha-titanium": 3, "beta-titanium": 3, "Ni": 1}
    # Variants of a structure type are drawn of them, too.
    drawn = plan(replace(config, prototype_variants=1))[len(plan(config)) :]
    assert [spec.base.space_group for spec in drawn] == [225, 194, 229, 225]
    # What the library's crystals look like does not depend on them.
    assert [s for s in plan(config) if s.material == "Al"] == plan(replace(config, others=(), cifs=()))


def test_their_patterns_carry_name_and_group(folder, tmp_path, monkeypatch):
    transport = ElectronTransport.simulate(crystals["Al"], energies=1, electrons=20_000)
    monkeypatch.setattr(ElectronTransport, "simulate", lambda *_, **__: transport)
    config = MastersConfig(
        cifs=(str(folder),),
        others=("Al",),
        variants=1,
        other_variants=1,
        half_width=6,
        preset="fast",
        energies=1,
    )
    masters = prepare(config, tmp_path / "cache", progress=False, workers=1)
    assert [(one.material, one.space_group, one.visible_group, one.other) for one in masters] == [
        ("alpha-titanium", 194, 194, False),
        ("beta-titanium", 229, 229, False),
        ("Al", 225, 225, True),
    ]


def test_files_that_cannot_be_meant_are_refused(folder, tmp_path):
    with pytest.raises(InputError, match=r"none\.cif: does not exist"):
        plan(MastersConfig(cifs=(str(tmp_path / "none.cif"),)))
    with pytest.raises(InputError, match="without any CIF file"):
        plan(MastersConfig(cifs=(str(tmp_path),)))
    with pytest.raises(InputError, match="second CIF file of the name beta-titanium"):
        cif_crystals([folder, folder / "beta-titanium.cif"])
    (folder / "Ni.cif").write_text(crystals["Ni"].to_cif())
    with pytest.raises(InputError, match="Ni is the name of a crystal of the library: rename the file"):
        plan(MastersConfig(cifs=(str(folder),)))
    (folder / "Ni.cif").write_text("nothing")
    with pytest.raises(InputError, match=r"Ni\.cif"):
        plan(MastersConfig(materials=("Al",), cifs=(str(folder / "Ni.cif"),)))
    with pytest.raises(InputError, match="no materials"):
        MastersConfig(others=("Al",))
