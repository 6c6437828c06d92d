"""The study's simulated patterns."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.measuring import MEASURED
from kikuchinet.study import QUICK
from kikuchinet.study import patterns as patterns_module
from kikuchinet.study.patterns import simulate_patterns

SMALL = replace(QUICK, training=3, validation=1, test=3, half_width=10, variants=1)


def test_scans_are_measured_once_and_what_was_cut_off_is_made_up_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patterns_module, "PAPER_MATERIALS", {225: ("Al",), 229: ("Fe",)})
    options = {"cache_dir": tmp_path / "cache", "progress": False}
    first = simulate_patterns(tmp_path / "patterns", SMALL, **options)
    assert len(first) == 2 * SMALL.pool
    assert sorted(first.frame["map"].unique()) == ["Al_0", "Al_1", "Fe_0", "Fe_1"]
    assert first.frame["band_contrast"].notna().all()

    # Cut off between making a scan and measuring it.
    table = tmp_path / "patterns" / "scan_1.csv"
    Manifest(Manifest.read(table).frame.drop(columns=list(MEASURED)), table.parent).write(table)
    images = (tmp_path / "patterns" / "scan_1.h5").stat().st_mtime_ns
    measured = []
    real = patterns_module.measure_quality
    monkeypatch.setattr(
        patterns_module, "measure_quality", lambda made, **more: measured.append(made) or real(made, **more)
    )
    again = simulate_patterns(tmp_path / "patterns", SMALL, **options)
    assert len(measured) == 1
    assert (tmp_path / "patterns" / "scan_1.h5").stat().st_mtime_ns == images
    assert again.frame["band_contrast"].to_numpy() == pytest.approx(first.frame["band_contrast"].to_numpy())
    simulate_patterns(tmp_path / "patterns", SMALL, **options)
    assert len(measured) == 1
