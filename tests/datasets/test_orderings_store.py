"""What a pattern can show of many crystals: the same by several processes, kept, and made anew where it is damaged."""

from __future__ import annotations

import pytest

from kikuchinet.crystal import crystals
from kikuchinet.datasets import orderings_store
from kikuchinet.datasets.orderings_store import orderings_of
from kikuchinet.diffraction import orderings

NAMES = ("Ni3Al", "KCl", "Ni", "MgO", "rutile", "Fe3Si")


def test_the_same_by_one_process_and_by_two(tmp_path):
    asked = [crystals[name] for name in NAMES]
    alone = orderings_of(asked, tmp_path / "one", workers=1, progress=False)
    together = orderings_of(asked, tmp_path / "two", workers=2, progress=False)
    assert alone == together == {crystal: orderings(crystal) for crystal in asked}


def test_kept_and_made_anew_where_damaged(tmp_path, monkeypatch):
    asked = [crystals["Ni3Al"], crystals["KCl"]]
    first = orderings_of(asked, tmp_path, workers=1, progress=False)
    made = []
    monkeypatch.setattr(
        orderings_store, "orderings", lambda crystal: made.append(crystal.name) or orderings(crystal)
    )
    assert orderings_of(asked, tmp_path, workers=1, progress=False) == first
    assert made == []
    damaged = sorted((tmp_path / "orderings").glob("*/*.json"))[0]
    damaged.write_text(damaged.read_text()[:10])
    assert orderings_of(asked, tmp_path, workers=1, progress=False) == first
    assert len(made) == 1


@pytest.mark.parametrize("workers", [1, 2])
def test_nobody_asked(tmp_path, workers):
    assert orderings_of([], tmp_path, workers=workers, progress=False) == {}
