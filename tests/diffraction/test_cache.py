"""What decides a key, and what a damaged store hands out: nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from kikuchinet.crystal import crystals
from kikuchinet.diffraction import PRESETS
from kikuchinet.diffraction import cache as cache_module
from kikuchinet.diffraction.cache import MasterCache, check_writable, default_cache_folder
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError

JOB = SimulationJob(crystals["Ni3Al"], energy_kev=20.0, half_width=40, preset="fast")
KEY = "0123456789abcdef0123456789abcdef"


def with_site(**changes) -> SimulationJob:
    first, *others = JOB.crystal.sites
    return replace(JOB, crystal=JOB.crystal.replace(sites=(replace(first, **changes), *others)))


@pytest.mark.parametrize(
    "other",
    [
        replace(JOB, energy_kev=20.001),
        replace(JOB, half_width=41),
        replace(JOB, preset="accurate"),
        replace(JOB, seed=1),
        with_site(b_iso_nm2=JOB.crystal.sites[0].b_iso_nm2 * (1 + 1e-9)),
        with_site(occupancy=0.99),
        with_site(element="Au"),
        with_site(position=(0.01, 0.0, 0.0)),
        replace(JOB, crystal=JOB.crystal.replace(a_nm=0.36, b_nm=0.36, c_nm=0.36)),
        # The cell and sites fit this group as well; its point group is another.
        replace(JOB, crystal=JOB.crystal.replace(space_group=195, setting="")),
    ],
)
def test_a_key_follows_what_decides_the_intensities(other):
    assert other.key != JOB.key


def test_a_key_does_not_follow_names():
    sites = tuple(replace(site, label=f"M{i}") for i, site in enumerate(JOB.crystal.sites))
    renamed = JOB.crystal.replace(name="other", source="elsewhere", note="?", sites=sites)
    assert replace(JOB, crystal=renamed).key == JOB.key
    assert replace(JOB, energy_kev=20).key == JOB.key


def test_a_key_follows_a_presets_values_and_not_its_name(monkeypatch):
    monkeypatch.setitem(PRESETS, "quick", PRESETS["fast"])
    assert replace(JOB, preset="quick").key == JOB.key
    changed = replace(PRESETS["fast"], selection=replace(PRESETS["fast"].selection, cutoff=51.0))
    monkeypatch.setitem(PRESETS, "fast", changed)
    assert replace(JOB).key != JOB.key


def test_a_key_follows_the_revision(monkeypatch):
    before = JOB.key
    monkeypatch.setattr(cache_module, "PHYSICS_REVISION", cache_module.PHYSICS_REVISION + 1)
    assert replace(JOB).key != before


def test_an_unknown_preset_has_no_key():
    with pytest.raises(InputError, match="no such preset"):
        _ = replace(JOB, preset="sloppy").key


def test_what_is_stored_is_found(tmp_path):
    store = MasterCache(tmp_path)
    assert store.find(KEY) is None
    path = store.store(KEY, b"content")
    assert store.find(KEY) == path
    assert path.read_bytes() == b"content"
    assert store.find(KEY[::-1]) is None


@pytest.mark.parametrize(
    "damage",
    [
        lambda content: content[:-1],
        lambda content: content + b"\0",
        lambda content: b"",
        lambda content: content[:100] + bytes([content[100] ^ 1]) + content[101:],
    ],
)
def test_a_damaged_file_is_never_handed_out(tmp_path, damage):
    content = bytes(range(256))
    store = MasterCache(tmp_path)
    path = store.store(KEY, content)
    path.write_bytes(damage(content))
    assert store.find(KEY) is None
    assert not path.exists()
    assert store.store(KEY, content) == store.find(KEY) == path


def test_a_file_that_is_replaced_while_it_is_sought_is_found_anew(tmp_path, monkeypatch):
    store = MasterCache(tmp_path)
    store.store(KEY, b"old")
    read = Path.read_bytes

    def other_process_is_faster(path):
        monkeypatch.setattr(Path, "read_bytes", read)
        MasterCache(tmp_path).store(KEY, b"new")
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", other_process_is_faster)
    found = store.find(KEY)
    assert found is not None
    assert found.read_bytes() == b"new"


def test_a_new_file_takes_the_place_of_the_old_one(tmp_path):
    store = MasterCache(tmp_path)
    old = store.store(KEY, b"old")
    new = store.store(KEY, b"new")
    assert store.find(KEY) == new
    assert not old.exists()


def test_a_folder_that_cannot_be_written_is_noticed_before(tmp_path):
    check_writable(tmp_path / "new" / "folder")
    assert (tmp_path / "new" / "folder").is_dir()
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="cannot be kept here"):
        check_writable(tmp_path / "file")
    with pytest.raises(InputError, match="cannot be kept here"):
        check_writable(tmp_path / "file" / "folder")


def test_where_the_cache_is(monkeypatch, tmp_path):
    monkeypatch.setenv("KIKUCHINET_CACHE", str(tmp_path))
    assert default_cache_folder() == tmp_path
    monkeypatch.delenv("KIKUCHINET_CACHE")
    assert default_cache_folder() == Path(platformdirs.user_cache_dir("kikuchinet", appauthor=False))
