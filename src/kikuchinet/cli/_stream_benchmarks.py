"""``kikuchinet benchmark stream``: patterns as a network gets them, beside kikuchipy's of the same master pattern.

Ours are projected, photographed by cameras of preset ``mixed`` and made ready for the network. kikuchipy's are projected and
have its dynamic background removed; it has no camera, so it does less. Rates are those of the machine as it is; a rate per
CPU second leaves out what other programs take.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from kikuchinet.cli._benchmarks import PATTERN_SIDE, REPEATS, Comparison, correlation

WINDOWS = 2
"""Windows of the stream (960 patterns each) that are timed together."""
BLOCK = 16
BLOCKS = 60


def stream() -> list[Comparison]:
    """Compare the stream in one process, with two workers, and by torch, with kikuchipy."""
    import torch

    with nickel_masters() as (signal, masters):
        theirs_wall, theirs_cpu, agreement = _kikuchipy(signal)
        comparisons = []

        def compare(name: str, ours: float, theirs: float, unit: str, note: str) -> None:
            comparisons.append(
                Comparison(name, "kikuchipy, without a camera", ours, theirs, unit, agreement, note)
            )

        size = f"{PATTERN_SIDE} x {PATTERN_SIDE}, best of {REPEATS}, {os.cpu_count()} processors"
        wall, cpu = _alone(masters, "")
        compare("stream, one process", wall, theirs_wall, "patterns/s", f"{size}; kikuchipy on all of them")
        compare("stream, one process", cpu, theirs_cpu, "patterns/CPU s", size)
        wall = _with_workers(masters, 2)
        compare("stream, two workers", wall, theirs_wall, "patterns/s", f"{size}; kikuchipy on all of them")
        device = "cuda" if torch.cuda.is_available() else "cpu"
        wall, cpu = _alone(masters, device)
        compare(f"stream, torch on {device}", wall, theirs_wall, "patterns/s", size)
    return comparisons


@contextmanager
def nickel_masters() -> Iterator[tuple[Any, Any]]:
    """Give kikuchipy's nickel master pattern, and the same as a set of ours."""
    import kikuchipy

    from kikuchinet.datasets import MasterSet
    from kikuchinet.diffraction import MasterPattern

    signal = kikuchipy.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    with TemporaryDirectory() as folder:
        path = Path(folder) / "nickel.h5"
        MasterPattern.from_kikuchipy(signal).save(path)
        yield signal, MasterSet.from_files([path])


def nickel_stream(
    masters: Any,
    device: str = "",
    size: tuple[int, int] = (PATTERN_SIDE, PATTERN_SIDE),
    blocks: int = BLOCKS,
) -> Any:
    """Return a stream of one class, of cameras of all sorts, with windows of so many blocks."""
    from kikuchinet.datasets import StreamConfig, pattern_stream

    config = StreamConfig(camera="mixed", block=BLOCK, blocks_per_window=blocks, device=device)
    return pattern_stream(masters, (masters[0].visible_group,), config, size=size)


def best_rates(function: Callable[[], Any], n: int) -> tuple[float, float]:
    """Return n over the shortest wall time and over the shortest CPU time, after one run that compiles."""
    function()
    walls, cpus = [], []
    for _ in range(REPEATS):
        wall, cpu = time.perf_counter(), time.process_time()
        function()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return n / min(walls), n / min(cpus)


def _alone(masters: Any, device: str) -> tuple[float, float]:
    source = nickel_stream(masters, device)
    n = WINDOWS * source.config.window

    def make() -> None:
        # The last pattern is fetched: a device may still be at work when it has been told everything.
        images = [images for images, _ in islice(source.batches(source.config.window), WINDOWS)]
        float(images[-1][-1, -1, -1])

    return best_rates(make, n)


def _with_workers(masters: Any, workers: int) -> float:
    """Return the rate once the workers are at work, over as many windows as one process is timed with, and repeats."""
    source = nickel_stream(masters)
    made = source.batches(source.config.window, workers=workers)
    # The first windows hold the workers' start.
    for _ in range(2 * workers):
        next(made)
    count = WINDOWS * REPEATS
    start = time.perf_counter()
    for _ in range(count):
        next(made)
    return count * int(source.config.window) / (time.perf_counter() - start)


def _kikuchipy(signal: Any) -> tuple[float, float, float]:
    """Return kikuchipy's rates, and how alike its patterns and ours without a camera are."""
    from orix.quaternion import Rotation

    from kikuchinet.microscope import Detector, project_batch
    from kikuchinet.patterns import preprocess

    shape = (PATTERN_SIDE, PATTERN_SIDE)
    detector = Detector(shape=shape, pattern_center=(0.5, 0.3, 0.6))
    theirs = detector.to_kikuchipy()
    n = BLOCK * BLOCKS
    rotations = Rotation(np.random.default_rng(0).standard_normal((n, 4))).unit

    def make() -> np.ndarray:
        patterns = signal.get_patterns(
            rotations, theirs, energy=20, dtype_out="float32", compute=True, show_progressbar=False
        )
        patterns.remove_dynamic_background(std=PATTERN_SIDE / 8, show_progressbar=False)
        return np.asarray(patterns.data)

    upper, lower = signal.data.astype(np.float32)
    clean = project_batch(upper, lower, rotations.data[:BLOCK], detector.pattern_center, shape)
    ours = preprocess(clean, shape)
    agreement = float(np.median([correlation(*pair) for pair in zip(ours, make()[:BLOCK], strict=True)]))
    return *best_rates(make, n), agreement
