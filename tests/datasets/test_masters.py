"""Variants, the cache, and what a killed run leaves behind."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from kikuchinet.crystal import crystals
from kikuchinet.datasets import MastersConfig, MasterSet, plan, prepare
from kikuchinet.datasets.masters_plan import same
from kikuchinet.diffraction import ElectronTransport, job, simulate
from kikuchinet.diffraction import cache as cache_module
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError

CONFIG = MastersConfig(materials=("Al", "FeNi3"), half_width=6, preset="fast", variants=2)


@pytest.fixture(scope="module", autouse=True)
def _one_monte_carlo_run():
    """Share one among all simulations here: it takes most of the time of a small one."""
    transport = ElectronTransport.simulate(crystals["Al"], energies=1, electrons=20_000)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "simulate", partial(simulate, transport=transport))
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    prepare(CONFIG, folder, progress=False)
    return folder


def test_plan_is_reproducible_and_independent_of_other_materials():
    specs = plan(CONFIG)
    assert specs == plan(CONFIG)
    alone = plan(MastersConfig(materials=("FeNi3",), half_width=6, preset="fast", variants=2))
    assert [s for s in specs if s.material == "FeNi3"] == alone
    assert len({s.key() for s in specs}) == 4
    # Breadth first: the first variants of all materials come before any second one.
    assert [s.variant for s in specs[:3]] == [0, 0, 1]


def test_variants_stay_inside_their_ranges_and_the_first_is_the_librarys():
    specs = plan(
        MastersConfig(materials=("Al",), variants=200, lattice_change=0.02, b_factor_range=(0.5, 2.0))
    )
    library = crystals["Al"]
    assert specs[0].crystal().a_nm == library.a_nm
    assert specs[0].crystal().sites[0].b_iso_nm2 == library.sites[0].b_iso_nm2
    ratios = np.array([s.crystal().a_nm for s in specs[1:]]) / library.a_nm
    assert np.abs(ratios - 1.0).max() <= 0.02
    assert ratios.std() > 0.005
    factors = np.array([s.crystal().sites[0].b_iso_nm2 for s in specs[1:]]) / library.sites[0].b_iso_nm2
    assert factors.min() >= 0.5 - 1e-6
    assert factors.max() <= 2.0 + 1e-6
    energies = np.array([s.energy_kev for s in specs])
    assert 0.35 < (energies == 20.0).mean() < 0.65
    assert energies.min() >= 15.0
    assert energies.max() <= 25.0


def test_keys_follow_the_physics():
    (spec,) = plan(MastersConfig(materials=("Al",), variants=1))
    (other,) = plan(MastersConfig(materials=("Al",), variants=1, half_width=124))
    assert spec.key() != other.key()


def test_a_key_is_that_of_the_simulation_alone():
    spec = plan(CONFIG)[0]
    assert replace(spec, variant=7).key() == spec.key()
    same = SimulationJob(crystals["Al"], energy_kev=20.0, half_width=6, preset="fast", seed=spec.seed)
    assert same.key == spec.key()


def test_others_are_planned_beside_the_materials_and_marked(tmp_path):
    config = replace(CONFIG, materials=("Al",), others=("FeNi3",), other_variants=1)
    assert [(s.material, s.variant) for s in plan(config)] == [("Al", 0), ("FeNi3", 0), ("Al", 1)]
    assert [s for s in plan(config) if s.material == "Al"] == [s for s in plan(CONFIG) if s.material == "Al"]
    masters = prepare(config, tmp_path, progress=False)
    assert [(entry.material, entry.other) for entry in masters] == [
        ("Al", False),
        ("FeNi3", True),
        ("Al", False),
    ]
    with pytest.raises(InputError, match="Al is named twice"):
        replace(config, others=("Al",))


def test_the_number_of_energies_is_that_of_the_preset_or_of_the_configuration():
    (preset,) = plan(replace(CONFIG, materials=("Al",), variants=1))
    (three,) = plan(replace(CONFIG, materials=("Al",), variants=1, energies=3))
    (one,) = plan(replace(CONFIG, materials=("Al",), variants=1, energies=1))
    assert len({preset.key(), three.key(), one.key()}) == 3
    masters = [spec.job().run() for spec in (three, one)]
    assert [len(master.settings["energies_kev"]) for master in masters] == [3, 1]
    assert one.job().made(masters[1])
    assert not one.job().made(masters[0])
    # The same physics as the preset's at one energy, which `fast` has.
    transport = ElectronTransport.simulate(crystals["Al"], energies=1, seed=one.seed)
    alone = simulate(crystals["Al"], half_width=6, preset="fast", transport=transport, seed=one.seed)
    np.testing.assert_array_equal(masters[1].upper, alone.upper)
    with pytest.raises(InputError, match="-1 energies"):
        replace(CONFIG, energies=-1)


def test_cache_is_used_and_survives_lost_and_damaged_files(cache):
    first = prepare(CONFIG, cache, progress=False)
    assert len(first) == 4
    contents = {entry.path: entry.path.read_bytes() for entry in first}
    stamps = {entry.path: entry.path.stat().st_mtime_ns for entry in first}
    lost, damaged = first[2].path, first[1].path
    lost.unlink()
    damaged.write_bytes(contents[damaged][:-1])
    again = prepare(CONFIG, cache, progress=False)
    assert list(again) == list(first)
    changed = {path for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp}
    assert changed == {lost, damaged}
    assert {path: path.read_bytes() for path in contents} == contents


def test_patterns_of_an_older_revision_are_not_used(cache, monkeypatch):
    monkeypatch.setattr(cache_module, "PHYSICS_REVISION", cache_module.PHYSICS_REVISION + 1)
    store = MasterCache(cache)
    assert [store.find(spec.key()) for spec in plan(CONFIG)] == [None] * 4
    monkeypatch.undo()
    assert None not in [store.find(spec.key()) for spec in plan(CONFIG)]


def test_a_material_that_cannot_be_simulated_is_named_and_the_others_are_kept(tmp_path, monkeypatch):
    works = job.simulate

    def picky(crystal, **settings):
        if crystal.name == "Al":
            raise InputError("Al", "is not to my taste")
        return works(crystal, **settings)

    monkeypatch.setattr(job, "simulate", picky)
    config = replace(CONFIG, variants=1)
    with pytest.raises(InputError, match="Al: is not to my taste"):
        prepare(config, tmp_path, progress=False)
    al, feni3 = (MasterCache(tmp_path).find(spec.key()) for spec in plan(config))
    assert al is None
    assert feni3 is not None


def test_labels_are_literal_and_visible(cache):
    entries = {entry.material: entry for entry in prepare(CONFIG, cache, progress=False)}
    # Ordering of FeNi3 shows in reflections of 1.5 % of the strongest: fcc to a camera.
    assert (entries["FeNi3"].space_group, entries["FeNi3"].visible_group) == (221, 225)
    assert (entries["Al"].space_group, entries["Al"].visible_group) == (225, 225)


def test_hemispheres_have_mean_one(cache):
    masters = prepare(CONFIG, cache, progress=False)
    upper, lower, texels = masters.hemispheres(1)
    assert 0.5 * (upper.mean() + lower.mean()) == pytest.approx(1.0, abs=1e-5)
    assert texels.shape == (2 * 13 * 13, 4)


def test_files_make_a_set(cache, tmp_path):
    entry = prepare(CONFIG, cache, progress=False)[1]
    (found,) = MasterSet.from_files([entry.path])
    assert (found.material, found.space_group, found.visible_group) == ("FeNi3", 221, 225)
    with pytest.raises(InputError, match="no such file"):
        MasterSet.from_files([tmp_path / "none.h5"])


def test_one_name_is_not_two_crystals(tmp_path):
    iron = ElectronTransport.simulate(crystals["Fe"], energies=1, electrons=5_000)
    austenite = crystals["Ni"].replace(name="Fe")
    paths = [tmp_path / "bcc.h5", tmp_path / "fcc.h5"]
    for path, crystal in zip(paths, (crystals["Fe"], austenite), strict=True):
        simulate(crystal, half_width=4, preset="fast", transport=iron).save(path)
    assert len(MasterSet.from_files(paths[:1] * 2)) == 2
    with pytest.raises(
        InputError, match=r"fcc\.h5: its material 'Fe' has space group 225, that of another file 229"
    ):
        MasterSet.from_files(paths)


def test_wrong_configurations_are_refused():
    with pytest.raises(InputError, match="no crystal of this name"):
        plan(MastersConfig(materials=("Unobtainium",)))
    with pytest.raises(InputError, match="no materials"):
        MastersConfig(materials=())
    with pytest.raises(InputError, match="rising order"):
        MastersConfig(materials=("Al",), energy_range_kev=(25.0, 15.0))


DRAWN = MastersConfig(
    materials=("Cu3Au", "Ni"),
    others=("Cr3Si",),
    variants=1,
    other_variants=1,
    half_width=10,
    preset="fast",
    energies=1,
    prototype_variants=3,
    synthetic=((194, 2), (225, 3)),
)


def test_drawn_crystals_join_the_others_and_the_same_are_drawn_again(tmp_path):
    specs = plan(DRAWN)
    assert specs == plan(DRAWN)
    drawn = specs[3:]
    assert len(drawn) == 3 * 3 + 2 + 3
    assert len({s.key() for s in drawn}) == len(drawn)
    kinds = [s.material.rsplit("-", 1)[0] for s in drawn]
    assert {kind: kinds.count(kind) for kind in kinds} == {
        "variant-Cu3Au": 3,
        "variant-Ni": 3,
        "variant-Cr3Si": 3,
        "synthetic-194": 2,
        "synthetic-225": 3,
    }
    # What is asked for of one kind does not depend on what is asked for of another.
    fewer = plan(replace(DRAWN, synthetic=((225, 3),), others=()))
    assert set(fewer) <= set(specs)


def test_another_seed_of_the_drawn_crystals_changes_them_alone():
    usual, other = plan(DRAWN), plan(replace(DRAWN, drawn_seed=1))
    assert other[:3] == usual[:3]
    assert not {s.key() for s in other[3:]} & {s.key() for s in usual[3:]}


def test_drawn_crystals_carry_the_group_of_their_symmetry(tmp_path):
    config = replace(DRAWN, materials=("Ni",), others=(), prototype_variants=1, synthetic=((194, 1),))
    with pytest.MonkeyPatch.context() as patch:
        transport = ElectronTransport.simulate(crystals["Al"], energies=1, electrons=20_000)
        patch.setattr(ElectronTransport, "simulate", lambda *_, **__: transport)
        masters = prepare(config, tmp_path, progress=False, workers=1)
    assert [(m.space_group, m.visible_group, m.other) for m in masters] == [
        (225, 225, False),
        (225, 225, True),
        (194, 194, True),
    ]


def test_no_drawn_crystal_equals_one_that_is_withheld():
    copies = replace(DRAWN, materials=("Pd",), others=(), synthetic=(), prototype_variants=30)
    assert any(same(s.base, crystals["Ni"]) for s in plan(copies)[1:])
    assert not any(same(s.base, crystals["Ni"]) for s in plan(replace(copies, withheld=("Ni",)))[1:])
    with pytest.raises(InputError, match="Ni is withheld, and named"):
        replace(DRAWN, withheld=("Ni",))
    with pytest.raises(InputError, match="Nothing: no crystal"):
        replace(DRAWN, withheld=("Nothing",))


def test_drawn_crystals_cost_no_more_than_asked():
    cheap = replace(DRAWN, others=(), half_width=80, synthetic=((62, 6),), most_cost_s=12.0)
    drawn = [s for s in plan(cheap) if s.material.startswith("synthetic")]
    assert drawn
    assert max(s.job().cost_s for s in drawn) <= 12.0
    dear = [
        s.job().cost_s for s in plan(replace(cheap, most_cost_s=60.0)) if s.material.startswith("synthetic")
    ]
    assert max(dear) > 12.0


def test_fewer_electrons_are_drawn_for_drawn_crystals_alone():
    specs = plan(replace(DRAWN, drawn_electrons=2000))
    assert [s.job().electrons for s in specs] == [0] * 3 + [2000] * 14
    usual = plan(DRAWN)
    assert [s.key() for s in specs[:3]] == [s.key() for s in usual[:3]]
    assert not {s.key() for s in specs[3:]} & {s.key() for s in usual[3:]}
    with pytest.raises(InputError, match="drawn_electrons"):
        replace(DRAWN, energies=0, drawn_electrons=2000)
