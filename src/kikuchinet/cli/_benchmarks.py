"""The benchmarks: ours and a named peer on the same machine, the same input, at the same settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

PATTERN_SIDE = 128
PATTERNS = 512
REPEATS = 3


@dataclass(frozen=True)
class Comparison:
    """One measurement beside its peer's.

    Parameters
    ----------
    benchmark, peer
        What was measured, and what against.
    ours, theirs
        Rates in `unit`; more is better.
    unit
        Such as ``"patterns/s"``.
    agreement
        Normalised correlation of the two results; the worst one where there are several. Of answers, the share that is the
        same. NaN where the results are not to be compared.
    note
        How it was measured.
    """

    benchmark: str
    peer: str
    ours: float
    theirs: float
    unit: str
    agreement: float
    note: str

    @property
    def ratio(self) -> float:
        """Ours over theirs."""
        return self.ours / self.theirs


@dataclass(frozen=True)
class Missing:
    """A peer that is not on this machine.

    Parameters
    ----------
    benchmark, peer
        What would have been measured, and what against.
    note
        How to get it.
    """

    benchmark: str
    peer: str
    note: str


def correlation(first: np.ndarray, second: np.ndarray) -> float:
    """Return the normalised cross-correlation of two arrays of one shape."""
    return float(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1])


def best_time(function: Callable[[], Any], repeats: int = REPEATS) -> float:
    """Return the shortest of several wall times in seconds, after one run that compiles and warms up."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def projection() -> Comparison:
    """Project kikuchipy's own Ni master pattern at random orientations, as kikuchipy does."""
    import kikuchipy
    from orix.quaternion import Rotation

    from kikuchinet.microscope import Detector, project

    peer = kikuchipy.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    upper, lower = (np.asarray(half, dtype=np.float32) for half in peer.data)
    detector = Detector(shape=(PATTERN_SIDE, PATTERN_SIDE), pattern_center=(0.5, 0.3, 0.6))
    their_detector = detector.to_kikuchipy()
    rotations = Rotation(np.random.default_rng(0).standard_normal((PATTERNS, 4))).unit

    @dataclass(frozen=True)
    class Halves:
        upper: np.ndarray
        lower: np.ndarray

    master = Halves(upper, lower)

    def ours() -> np.ndarray:
        return project(master, rotations, detector)

    def theirs() -> np.ndarray:
        signal = peer.get_patterns(
            rotations, their_detector, energy=20, dtype_out="float32", compute=True, show_progressbar=False
        )
        return np.asarray(signal.data)

    # Pattern by pattern: kikuchipy stretches each of them over its own range.
    agreement = min(map(correlation, ours(), theirs()))
    return Comparison(
        "projection",
        "kikuchipy get_patterns",
        PATTERNS / best_time(ours),
        PATTERNS / best_time(theirs),
        "patterns/s",
        agreement,
        f"{PATTERNS} patterns of {PATTERN_SIDE} x {PATTERN_SIDE}, best of {REPEATS}, {os.cpu_count()} processors",
    )


def simulation_benchmarks() -> list[Comparison | Missing]:
    """All that `kikuchinet benchmark simulate` measures."""
    from kikuchinet.cli import _simulation_benchmarks as benchmarks

    return [
        benchmarks.emsoft_log(),
        benchmarks.de_ebsd(),
        benchmarks.eigensolver("Ni", 200),
        benchmarks.eigensolver("Mo3Si", 6),
        benchmarks.matrix_products("W"),
    ]


def stream_benchmarks() -> list[Comparison | Missing]:
    """All that `kikuchinet benchmark stream` measures."""
    from kikuchinet.cli import _stream_benchmarks as benchmarks

    return list(benchmarks.stream())


def identify_benchmarks() -> list[Comparison | Missing]:
    """All that `kikuchinet benchmark identify` measures."""
    from kikuchinet.cli import _identify_benchmarks as benchmarks

    return benchmarks.identify()


BENCHMARKS: dict[str, Callable[[], list[Comparison | Missing]]] = {
    "simulate": simulation_benchmarks,
    "projection": lambda: [projection()],
    "stream": stream_benchmarks,
    "identify": identify_benchmarks,
}
"""What ``kikuchinet benchmark`` knows, by name."""
