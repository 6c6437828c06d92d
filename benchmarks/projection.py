"""Patterns a second: projection beside kikuchipy's, and the chain that training runs (one thread).

Run ``python benchmarks/projection.py [SIDE]``. Every figure is the best of three on this machine, as it is.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import kikuchipy as kp
import numpy as np
from orix.quaternion import Rotation

from kikuchinet.microscope import CameraRange, Detector, interleave, project_batch
from kikuchinet.patterns import preprocess


def rate(function: Callable[[], object], n: int, repeats: int = 3) -> float:
    """Return n over the shortest wall time of `function`, after one run that compiles."""
    function()
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return n / min(times)


def figures(side: int = 128, n: int = 512) -> dict[str, float]:
    """Return patterns a second of each part, by name."""
    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    upper, lower = (np.ascontiguousarray(half, dtype=np.float32) for half in master.data)
    rotations = Rotation(np.random.default_rng(0).standard_normal((n, 4))).unit
    detector = Detector((side, side), (0.5, 0.4, 0.6))
    theirs = detector.to_kikuchipy()
    texels = interleave(upper, lower)
    quaternions = rotations.data

    def ours(threads: int | None) -> np.ndarray:
        return project_batch(
            upper,
            lower,
            quaternions,
            detector.pattern_center,
            detector.shape,
            threads=threads,
            texels=texels,
        )

    def peer() -> object:
        return master.get_patterns(
            rotations, theirs, energy=20, dtype_out="float32", compute=True, show_progressbar=False
        )

    clean = ours(1)
    cameras = CameraRange.mixed()
    camera = cameras.sample(np.random.default_rng(0), rows=side)
    noisy = camera.expose(clean, np.random.default_rng(0))

    def chain() -> object:
        return preprocess(cameras.expose(ours(1), np.random.default_rng(0)), (side, side))

    return {
        "kikuchipy get_patterns, all threads": rate(peer, n),
        "project_batch, all threads": rate(lambda: ours(None), n),
        "project_batch, one thread": rate(lambda: ours(1), n),
        "a camera for each pattern": rate(lambda: cameras.expose(clean, np.random.default_rng(0)), n),
        "one camera for all": rate(lambda: camera.expose(clean, np.random.default_rng(0)), n),
        "preprocess": rate(lambda: preprocess(noisy, (side, side)), n),
        "projection + camera for each + preprocess, one thread": rate(chain, n),
    }


if __name__ == "__main__":
    measured = figures(int(sys.argv[1]) if len(sys.argv) > 1 else 128)
    reference = next(iter(measured.values()))
    for name, value in measured.items():
        print(f"{name:<56}{value:>10.0f} /s {value / reference:>8.1f} x kikuchipy")
