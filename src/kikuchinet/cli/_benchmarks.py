"""The benchmarks: ours and a named peer on the same machine, the same input, at the same settings."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

PATTERN_SIDE = 128
PATTERNS = 512
REPEATS = 3
EMSOFT_FILE = "ni_mc_mp_20kv_uint8_gzip_opts9.h5"
"""EMsoft's Ni master pattern as it lies inside kikuchipy, with EMsoft's own log."""


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
        Normalised correlation of the two results; the worst one where there are several.
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


def simulate() -> Comparison:
    """Simulate Ni at the settings of EMsoft's file in kikuchipy, against the time that EMsoft logged in it.

    EMsoft itself is not run: its time is from another machine, taken per thread.
    """
    import h5py
    import kikuchipy

    from kikuchinet.crystal import crystals
    from kikuchinet.diffraction import ElectronTransport, MasterPattern
    from kikuchinet.diffraction import simulate as run

    signal = kikuchipy.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    path = Path(kikuchipy.__file__).parent / "data" / "emsoft_ebsd_master_pattern" / EMSOFT_FILE
    with h5py.File(path) as file:
        seconds = float(file["EMheader/EBSDmaster/Duration"][0])
        threads = int(file["NMLparameters/EBSDMasterNameList/nthreads"][0])
        half_width = int(file["NMLparameters/EBSDMasterNameList/npx"][0])
    transport = ElectronTransport.from_emsoft(path)
    made: list[MasterPattern] = []

    def ours() -> None:
        made.append(
            run(crystals["Ni"], energy_kev=20.0, half_width=half_width, preset="parity", transport=transport)
        )

    own = best_time(ours, repeats=1)
    processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    agreement = correlation(made[-1].upper, np.asarray(signal.data[0], dtype=np.float32))
    return Comparison(
        "simulate",
        "EMsoft's logged time",
        1.0 / (own * processors),
        1.0 / (seconds * threads),
        "master patterns per second and thread",
        agreement,
        f"Ni, {2 * half_width + 1} x {2 * half_width + 1}, ours {own:.2f} s on {processors} processors, EMsoft "
        f"{seconds:.2f} s on {threads} threads of another machine",
    )


BENCHMARKS: dict[str, Callable[[], Comparison]] = {"simulate": simulate, "projection": projection}
"""What ``kikuchinet benchmark`` knows, by name."""
