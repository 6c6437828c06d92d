"""Patterns a second of each stage of the camera, beside a peer that does the same, and of whole cameras by preset.

    .venv/bin/python benchmarks/camera.py [--side 128]

One thread, best of five. Peers: kikuchipy for the removal of backgrounds, scikit-image for local contrast and resizing,
SciPy for blur, NumPy for Poisson counts. Cameras of a preset photograph 16 patterns each, as in training.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import kikuchipy as kp
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import exposure, transform

from kikuchinet.microscope import (
    Camera,
    CameraRange,
    detection,
    faults,
    optics,
    processing,
    project_batch,
    specimen,
)
from kikuchinet.microscope.filters import gaussian_blur, resample
from kikuchinet.microscope.grid import standardise

Images = NDArray[np.float32]


def rate(function: Callable[[], object], n: int) -> float:
    """Return n over the shortest of five wall times, after one run that compiles."""
    function()
    times = []
    for _ in range(5):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return n / min(times)


def stages(clean: Images) -> dict[str, tuple[Callable[[], object], Callable[[], object] | None]]:
    """Return each stage and a peer of it, if there is one."""
    rng = np.random.default_rng(0)
    side = clean.shape[1]
    signal = standardise(clean)
    static = specimen.diffuse_background((side, side), (0.5, 0.7), 0.7, 0.3)
    bright = (1 + 0.1 * signal) * static
    levels = processing.stretch(bright, 0.002)
    measured = detection.detect(bright, 1000.0, 2.0, rng)

    def with_kikuchipy(method: str, **settings: object) -> Callable[[], object]:
        def run() -> object:
            patterns = kp.signals.EBSD(measured.copy())
            return getattr(patterns, method)(show_progressbar=False, **settings)

        return run

    return {
        "compression": (lambda: specimen.compress(signal, 0.3), None),
        "excess-deficiency": (lambda: specimen.excess_deficiency(signal, (0.5, 0.9), 0.4), None),
        "point spread, 1.5 px": (
            lambda: gaussian_blur(signal, 1.5),
            lambda: ndimage.gaussian_filter(signal, (0, 1.5, 1.5), truncate=3.5),
        ),
        "drifted focus, 3 px": (lambda: optics.drifted_focus(signal, 3.0, 1.0), None),
        "glare": (
            lambda: optics.glare(bright, 0.1, 0.2),
            lambda: ndimage.gaussian_filter(bright, (0, 0.2 * side, 0.2 * side), truncate=2.5),
        ),
        "binning to 60 rows": (
            lambda: resample(bright, (60, 60)),
            lambda: [transform.resize(image, (60, 60), anti_aliasing=True) for image in bright],
        ),
        "counts and read-out": (
            lambda: detection.detect(bright, 1000.0, 2.0, rng),
            lambda: rng.poisson(1000.0 * bright) + 2.0 * rng.standard_normal(bright.shape),
        ),
        "broken pixels": (
            lambda: faults.draw_defects((side, side), 0.002, 1, 2, rng).apply(measured),
            None,
        ),
        "static background": (
            lambda: processing.remove_static(measured, static, "divide"),
            with_kikuchipy("remove_static_background", operation="divide", static_bg=static),
        ),
        "dynamic background": (
            lambda: processing.remove_dynamic(measured, 1 / 8),
            with_kikuchipy("remove_dynamic_background", operation="subtract", std=side / 8),
        ),
        "grey scale": (
            lambda: processing.stretch(measured, 0.005),
            lambda: [
                exposure.rescale_intensity(i, tuple(np.percentile(i, (0.5, 99.5))), (0, 1)) for i in measured
            ],
        ),
        "local contrast": (
            lambda: processing.equalise(levels, 2.0, 8),
            lambda: [exposure.equalize_adapthist(i, side // 8, clip_limit=2 / 64, nbins=64) for i in levels],
        ),
    }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--side", type=int, default=128, help="rows and columns of the patterns")
    side = parser.parse_args().side
    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    quaternions = np.random.default_rng(0).standard_normal((64, 4))
    clean = project_batch(master.data[0], master.data[1], quaternions, (0.5, 0.4, 0.6), (side, side))
    for name, (ours, theirs) in stages(clean).items():
        figure = rate(ours, len(clean))
        ratio = f"{figure / rate(theirs, len(clean)):>8.1f} x peer" if theirs else ""
        print(f"{name:<28}{figure:>10.0f} /s{ratio}", flush=True)

    def both_backgrounds() -> object:
        patterns = kp.signals.EBSD(clean.copy())
        patterns.remove_static_background(static_bg=clean.mean(axis=0), show_progressbar=False)
        return patterns.remove_dynamic_background(show_progressbar=False)

    peer = rate(both_backgrounds, len(clean))
    print(f"\n{'kikuchipy, both backgrounds':<28}{peer:>10.0f} /s")
    for preset in ("good", "mixed", "poor", "binned", "fast_scan"):
        ranges = getattr(CameraRange, preset)()
        rng = np.random.default_rng(0)
        cameras = [ranges.sample(rng, rows=side) for _ in range(60)]

        def photograph(cameras: list[Camera] = cameras, rng: np.random.Generator = rng) -> object:
            return [camera.expose(clean[:16], rng) for camera in cameras]

        figure = rate(photograph, 16 * len(cameras))
        print(
            f"{'whole camera, ' + preset:<28}{figure:>10.0f} /s{figure / peer:>8.1f} x kikuchipy's backgrounds",
            flush=True,
        )


if __name__ == "__main__":
    main()
