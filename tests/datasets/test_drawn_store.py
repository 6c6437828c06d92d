"""Drawn crystals in the cache: the same as drawn anew, and drawn anew wherever anything that decides them differs."""

from __future__ import annotations

import errno
import os
from dataclasses import replace
from pathlib import Path

import pytest

from kikuchinet import _files
from kikuchinet.datasets import MastersConfig, drawn_store, masters_plan, plan
from kikuchinet.errors import InputError

CONFIG = MastersConfig(
    materials=("Cu3Au", "Ni"),
    variants=1,
    half_width=10,
    preset="fast",
    energies=1,
    prototype_variants=2,
    synthetic=((194, 1), (225, 2)),
)


@pytest.fixture(scope="module")
def drawn():
    return plan(CONFIG)


@pytest.fixture
def made(monkeypatch):
    """Names of the crystals that are drawn from now on, in their order."""
    names: list[str] = []
    for maker in ("synthetic_crystal", "prototype_variant"):
        draws = getattr(masters_plan, maker)

        def counted(*args, draws=draws, **settings):
            crystal = draws(*args, **settings)
            names.append(crystal.name)
            return crystal

        monkeypatch.setattr(masters_plan, maker, counted)
    return names


def test_kept_crystals_are_those_drawn_to_the_last_bit(drawn, made, tmp_path):
    assert plan(CONFIG, tmp_path) == drawn
    assert made
    made.clear()
    again = plan(CONFIG, tmp_path)
    assert again == drawn
    assert [spec.key() for spec in again] == [spec.key() for spec in drawn]
    assert [spec.material for spec in again] == [spec.material for spec in drawn]
    assert not made


def test_what_is_damaged_is_drawn_anew_and_mended(drawn, made, tmp_path):
    plan(CONFIG, tmp_path)
    whole = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}
    assert len(whole) == 4
    cut = next(path for path, content in whole.items() if b"synthetic-194" in content)
    cut.write_bytes(whole[cut][:-1])
    # Sound JSON of another crystal: only the digest in the name tells.
    changed = next(path for path, content in whole.items() if b"variant-Ni" in content)
    changed.write_bytes(whole[changed].replace(b'"seed": ', b'"seed": 1'))
    made.clear()
    assert plan(CONFIG, tmp_path) == drawn
    assert {name.rsplit("-", 1)[0] for name in made} == {"synthetic-194", "variant-Ni"}
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == whole


def test_a_kind_is_drawn_anew_only_when_something_that_decides_it_differs(made, tmp_path):
    plan(CONFIG, tmp_path)
    for same in (
        replace(CONFIG, materials=("Ni",)),
        replace(CONFIG, synthetic=((225, 2),)),
        replace(CONFIG, variants=3, large_cell_variants=1),
    ):
        made.clear()
        found = plan(same, tmp_path)
        assert not made
        assert found == plan(same)
    for other in (
        replace(CONFIG, seed=1),
        replace(CONFIG, drawn_seed=1),
        replace(CONFIG, synthetic_sites=1),
        replace(CONFIG, most_cost_s=5.0),
        replace(CONFIG, withheld=("Ag",)),
        replace(CONFIG, energy_range_kev=(15.0, 20.0)),
        replace(CONFIG, preset="accurate"),
        replace(CONFIG, synthetic=((194, 2), (225, 3))),
    ):
        made.clear()
        found = plan(other, tmp_path)
        assert any(name.startswith("synthetic") for name in made), other
        assert found == plan(other)


def test_a_change_of_the_code_draws_anew(made, tmp_path, monkeypatch):
    plan(CONFIG, tmp_path)
    made.clear()
    monkeypatch.setattr(drawn_store, "code_revision", lambda: "another")
    plan(CONFIG, tmp_path)
    assert made


def test_the_revision_of_the_code_is_that_of_every_module_that_draws(monkeypatch, tmp_path):
    usual, whole = drawn_store.code_revision(), drawn_store.files
    for package, modules in drawn_store._CODE:
        source = drawn_store.files(package)
        names = modules or ("synthetic.py", "packing.py", "variants.py", "standard.py", "symmetry.py")
        for name in names:
            folder = tmp_path / package / name
            folder.mkdir(parents=True)
            for module in source.iterdir():
                if module.name.endswith(".py"):
                    (folder / module.name).write_bytes(module.read_bytes())
            assert (folder / name).is_file()
            with (folder / name).open("a") as file:
                file.write("\n")
            with monkeypatch.context() as patch:
                patch.setattr(drawn_store, "files", lambda p, f=folder, o=package: f if p == o else whole(p))
                assert drawn_store.code_revision.__wrapped__() != usual, name
    assert drawn_store.code_revision.__wrapped__() == usual


def test_an_interrupted_draw_leaves_whole_kinds_only(drawn, made, tmp_path, monkeypatch):
    draws = masters_plan.synthetic_crystal

    def interrupted(group, *args, **settings):
        if group == 225:
            raise KeyboardInterrupt
        return draws(group, *args, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(masters_plan, "synthetic_crystal", interrupted)
        with pytest.raises(KeyboardInterrupt):
            plan(CONFIG, tmp_path)
    made.clear()
    assert plan(CONFIG, tmp_path) == drawn
    assert {name.rsplit("-", 1)[0] for name in made} == {"synthetic-225"}


def test_a_store_that_may_only_be_read_serves_and_a_full_disk_is_named(drawn, tmp_path, monkeypatch):
    def fails(number):
        def replaced(*_):
            raise OSError(number, os.strerror(number))

        return replaced

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, "replace", fails(errno.EROFS))
        assert plan(CONFIG, tmp_path) == drawn
    assert not list(tmp_path.rglob("*.json"))
    monkeypatch.setattr(_files.os, "replace", fails(errno.ENOSPC))
    with pytest.raises(InputError, match="drawn crystals cannot be kept here: No space left"):
        plan(CONFIG, tmp_path)
    assert not list(tmp_path.rglob("*.json"))


def test_an_unknown_preset_is_named():
    with pytest.raises(InputError, match="preset 'nice': no such preset"):
        plan(replace(CONFIG, preset="nice"))


def test_a_file_that_vanishes_while_it_is_looked_for_is_drawn_anew(drawn, made, tmp_path, monkeypatch):
    plan(CONFIG, tmp_path)
    made.clear()
    read_bytes = Path.read_bytes

    def read(path):
        if path.suffix == ".json":
            path.unlink()
        return read_bytes(path)

    monkeypatch.setattr(Path, "read_bytes", read)
    assert plan(CONFIG, tmp_path) == drawn
    assert made
