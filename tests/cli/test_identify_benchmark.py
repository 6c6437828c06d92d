"""The benchmark of identify, at sizes that take seconds: every peer answers, and both sides see the same patterns."""

from __future__ import annotations

import importlib.util
import math
from types import SimpleNamespace

import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet import diffraction, models
from kikuchinet.cli import _benchmarks, _identify_benchmarks
from kikuchinet.cli._benchmarks import BENCHMARKS, Comparison, Missing
from kikuchinet.patterns import read_patterns


@pytest.mark.slow
def test_identify_is_compared_with_its_peers(monkeypatch, tiny_model):
    own = models.load_model
    monkeypatch.setattr(models, "load_model", lambda name, **words: own(tiny_model, **words))
    # Dictionaries of nickel twice: iron takes minutes to simulate, and no answer is looked at here.
    nickel = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    monkeypatch.setattr(
        diffraction, "simulate", lambda *words, **options: SimpleNamespace(to_kikuchipy=lambda: nickel)
    )
    for name, value in {"PATTERNS": 96, "PEERS_PATTERNS": 64, "STEP_DEG": 20.0, "REPEATS": 1}.items():
        monkeypatch.setattr(_identify_benchmarks, name, value)
    monkeypatch.setattr(_benchmarks.best_time, "__defaults__", (1,))
    results = BENCHMARKS["identify"]()
    measured = [result for result in results if isinstance(result, Comparison)]
    runtimes = ["torch"]
    if importlib.util.find_spec("openvino") is not None:
        runtimes.append("openvino")
        for prefix in _identify_benchmarks.MODELS.values():
            same, alone, cpu = (measured.pop(0) for _ in range(3))
            assert {result.peer for result in (same, alone, cpu)} == {"the same by PyTorch"}
            assert same.benchmark == cpu.benchmark == f"identify, {prefix}openvino"
            assert (alone.benchmark, cpu.unit) == (f"{same.benchmark}, one at a time", "patterns/CPU s")
            assert "made ready in" in same.note
            assert same.agreement > 0.5
    for prefix in _identify_benchmarks.MODELS.values():
        for runtime in runtimes:
            name = f"identify, {prefix}{runtime}"
            own = [result for result in measured if result.benchmark.startswith(name)]
            assert [result.peer for result in own][:3] == [
                "PyEBSDIndex Hough indexing", "PyEBSDIndex Hough indexing", "kikuchipy dictionary indexing",
            ]  # fmt: skip
    assert all(min(result.ours, result.theirs) > 0.1 for result in measured)
    assert all(0.0 <= result.agreement <= 1.0 for result in measured[:3])
    if importlib.util.find_spec("keras") is None:
        missing = [result.note for result in results if isinstance(result, Missing)]
        assert "pip install keras" in missing[-1]
    else:
        assert math.isnan(measured[-1].agreement)


def test_the_file_that_is_timed_holds_what_the_peers_get(tmp_path):
    images = np.random.default_rng(0).integers(0, 255, (64, 60, 60), dtype=np.uint8)
    _identify_benchmarks.write(tmp_path / "nickel.h5", images)
    (source,) = read_patterns(tmp_path / "nickel.h5")
    assert source.navigation_shape == (2, 32)
    np.testing.assert_array_equal(np.stack(list(source)), images)
