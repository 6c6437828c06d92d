"""What benchmarks/band_ablations.py takes away, on a set of four crystals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from kikuchinet.crystal import crystals
from kikuchinet.datasets.profiles import Profiles
from kikuchinet.indexing.bands import BINS, CHANNELS, FAMILIES
from kikuchinet.training.band_config import read_band_config

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("Ni", "Cu", "Al", "NaCl")


@pytest.fixture(scope="module")
def script(benchmark_script: Callable[[str], ModuleType]) -> ModuleType:
    return benchmark_script("band_ablations")


@pytest.fixture
def taught(script: ModuleType) -> Any:
    n = 8 * len(NAMES)
    rng = np.random.default_rng(0)
    profiles = Profiles(
        rng.normal(size=(n, len(CHANNELS), len(FAMILIES), BINS)).astype(np.float16),
        np.zeros(n, dtype=np.int64),
        np.repeat(np.arange(len(NAMES)), 8),
        np.repeat(np.arange(n // 4), 4),
        np.full(n, 0.1),
        np.zeros(n),
    )
    config = read_band_config(ROOT / "configs" / "m3m-10-bands.toml")
    return script.Taught(config, None, tuple(crystals[name] for name in NAMES), profiles)


def names_of(taught: Any, kept: np.ndarray) -> set[str]:
    return {taught.bases[k].name for k in taught.profiles.masters[kept]}


def test_a_material_is_left_out_with_what_is_like_it(script: ModuleType, taught: Any) -> None:
    # Copper is within a quarter of nickel, aluminium is not; rock salt is another type.
    assert names_of(taught, script.left_out("Ni", taught, "copies")) == {"Al", "NaCl"}
    assert names_of(taught, script.left_out("Ni", taught, "type")) == {"NaCl"}
    assert names_of(taught, script.left_out("Al", taught, "copies")) == {"Ni", "Cu", "NaCl"}


def test_shares_keep_whole_crystals_and_whole_blocks(script: ModuleType, taught: Any) -> None:
    kept = script.share_of_crystals(1 / 2)(taught)
    assert len(names_of(taught, kept)) == 2
    assert kept.sum() == 16
    kept = script.share_of_patterns(1 / 4)(taught)
    assert kept.sum() == 8
    assert len(set(taught.profiles.blocks[kept])) == 2


def test_only_the_18_materials(script: ModuleType, taught: Any) -> None:
    assert names_of(taught, script.CASES["paper-18"].kept(taught)) == {"Ni", "Al"}


def test_what_is_shown_loses_what_is_taken_away(script: ModuleType, taught: Any) -> None:
    values = taught.profiles.values
    left = script.averages_only(values)
    assert (left[:, CHANNELS.index("separated")] == 0).all()
    assert np.array_equal(left[:, :3], values[:, :3])
    few = script.first_families(4)(values)
    assert (few[:, :, 4:] == 0).all()
    assert np.array_equal(few[:, :, :4], values[:, :, :4])


def test_a_table_knows_what_is_done(script: ModuleType, tmp_path: Path) -> None:
    table = script.Table(tmp_path / "table.csv", "case")
    table.add({"case": "all", "recall": 0.5})
    again = script.Table(tmp_path / "table.csv", "case")
    assert again.has("all")
    assert not again.has("library")
    again.add({"case": "library", "recall": 0.25})
    assert (tmp_path / "table.csv").read_text().splitlines() == ["case,recall", "all,0.5", "library,0.25"]
