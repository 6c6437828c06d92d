"""The scans behind the table of grains in docs/identify.md, on a small one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import kikuchipy as kp
import pytest

from kikuchinet.crystal import crystals
from kikuchinet.datasets import MasterSet
from kikuchinet.diffraction import MasterPattern

TABLE = Path(__file__).resolve().parents[2] / "docs" / "identify.md"


@pytest.fixture(scope="module")
def script(benchmark_script):
    return benchmark_script("grain_grouping")


@pytest.fixture(scope="module")
def masters(tmp_path_factory) -> MasterSet:
    path = tmp_path_factory.mktemp("masters") / "Ni.h5"
    signal = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    replace(MasterPattern.from_kikuchipy(signal), name="Ni", crystal=crystals["Ni"]).save(path)
    return MasterSet.from_files([path])


def test_a_scan_is_grouped_and_decided_by_its_seed(script, masters):
    settings = replace(script.SCANS[3].settings, shape=(10, 12))
    scan = script.Scan(settings, ("Ni",), pixels=48)
    true, found, index = script.score(masters, scan)
    assert true > 3
    assert abs(found - true) <= 2
    assert index > 0.9
    assert script.score(masters, scan) == (true, found, index)
    assert script.row(scan, (8, 9, 0.98765)) == (
        "| 10 x 12; Ni; step 1 µm, grains 6 µm; 48 x 48 px (seed 3) | good | 8 | 9 | 0.988 | no |"
    )


def test_the_table_lists_every_scan(script):
    text = TABLE.read_text(encoding="utf-8")
    assert "benchmarks/grain_grouping.py" in text
    for scan in script.SCANS:
        assert f"| {scan.name} | {scan.settings.camera}" in text
