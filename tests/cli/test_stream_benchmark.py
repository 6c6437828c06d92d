"""The benchmark of the stream, at sizes that take seconds: it times what it says, and both sides show the same."""

from __future__ import annotations

import pytest

from kikuchinet.cli import _stream_benchmarks as benchmarks
from kikuchinet.cli._benchmarks import BENCHMARKS


@pytest.mark.slow
def test_stream_is_compared_with_kikuchipy(monkeypatch):
    for name, value in {"PATTERN_SIDE": 64, "BLOCK": 4, "BLOCKS": 3, "WINDOWS": 1, "REPEATS": 1}.items():
        monkeypatch.setattr(benchmarks, name, value)
    results = BENCHMARKS["stream"]()
    assert [result.benchmark for result in results] == [
        "stream, one process",
        "stream, one process",
        "stream, two workers",
        "stream, torch on cpu" if not benchmarks_on_gpu() else "stream, torch on cuda",
    ]
    assert {result.unit for result in results} == {"patterns/s", "patterns/CPU s"}
    for result in results:
        assert min(result.ours, result.theirs) > 1.0
        # kikuchipy takes off the background once and leaves the contrast uneven.
        assert 0.9 < result.agreement < 1.0


def benchmarks_on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def test_stream_has_the_size_that_is_timed():
    with benchmarks.nickel_masters() as (signal, masters):
        stream = benchmarks.nickel_stream(masters, size=(48, 40), blocks=2)
        assert stream.config.window == 2 * benchmarks.BLOCK
        images, labels = next(stream.batches(8))
        assert images.shape == (8, 48, 40)
        assert not labels.any()
        assert masters[0].space_group == signal.phase.space_group.number
