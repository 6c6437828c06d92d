"""A sheet of pictures: what each stage of the camera does at a few strengths, and each instrument's usual pattern.

    .venv/bin/python benchmarks/camera_sheet.py [--out docs/images/camera.png] [--instruments]

Nickel, kikuchipy's small master pattern, one orientation; the first column is the camera without the stage.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import kikuchipy as kp
import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation

from kikuchinet.microscope import INSTRUMENTS, Camera, Detector, Instrument, project_batch
from kikuchinet.microscope.specimen import overlap

PLAIN = Camera(dose_electrons_per_px=4000.0, contrast=0.12, compression=0.2, excess_deficiency=0.0)
RAW = replace(PLAIN, flat_fielded=False)
NOISY = replace(PLAIN, dose_electrons_per_px=300.0)
ROUND = replace(PLAIN, screen_radius=0.48)

ROWS: dict[str, tuple[Camera, str, tuple[object, ...]]] = {
    "excess-deficiency": (PLAIN, "excess_deficiency", (0.0, 0.3, 0.6, 0.9)),
    "its width, heights": (replace(PLAIN, excess_deficiency=0.6), "excess_width", (0.006, 0.012, 0.02, 0.03)),
    "amorphous layer, nm": (NOISY, "amorphous_nm", (0.0, 3.0, 8.0, 15.0)),
    "contrast lobe, width": (NOISY, "contrast_width", (0.0, 1.0, 0.6, 0.4)),
    "energy rise, raw": (RAW, "energy_rise", (0.0, 0.05, 0.1, 0.18)),
    "point spread, px": (PLAIN, "psf_sigma_px", (0.5, 1.0, 2.0, 3.0)),
    "drifted focus, px": (PLAIN, "focus_drift_px", (0.0, 2.0, 4.0, 8.0)),
    "glare, round, raw": (replace(RAW, screen_radius=0.45), "glare", (0.0, 0.1, 0.2, 0.4)),
    "dose, electrons/px": (PLAIN, "dose_electrons_per_px", (1e4, 1000.0, 100.0, 20.0)),
    "noise blur, px": (replace(PLAIN, dose_electrons_per_px=100.0), "noise_sigma_px", (0.0, 0.47, 0.7, 1.2)),
    "rows of the chip": (PLAIN, "capture_rows", (0, 80, 48, 24)),
    "vignette, raw": (RAW, "vignette", (0.0, 0.2, 0.4, 0.6)),
    "saturation, raw": (RAW, "saturation", (0.0, 1.8, 1.5, 1.2)),
    "drifted background": (PLAIN, "background_drift", ((0.0, 0.0), (0.02, 0.0), (0.05, 0.03), (0.1, 0.1))),
    "uneven": (PLAIN, "uneven", (0.0, 0.2, 0.5, 0.8)),
    "dead and hot pixels": (PLAIN, "dead_pixels", (0.0, 0.0005, 0.002, 0.01)),
    "hot columns, raw": (RAW, "hot_columns", (0, 1, 3, 6)),
    "dead lines": (PLAIN, "dead_lines", (0, 1, 2, 4)),
    "dust, raw": (RAW, "dust", (0, 2, 5, 12)),
    "shadow, raw": (
        replace(RAW, shadow_reach=0.25, shadow_angle=2.2, shadow_softness=0.06),
        "shadow_depth",
        (0.0, 0.4, 0.8, 1.0),
    ),
    "cropped screen": (
        RAW,
        "screen_margins",
        ((0.0,) * 4, (0.1, 0.0, 0.0, 0.0), (0.0, 0.1, 0.12, 0.0), (0.05, 0.1, 0.05, 0.1)),
    ),
    "dynamic background, width": (
        replace(ROUND, dynamic_background=True),
        "dynamic_width",
        (0.25, 0.17, 0.125, 0.08),
    ),
    "local contrast": (PLAIN, "local_contrast", (0.0, 1.5, 2.5, 4.0)),
    "scale bar": (PLAIN, "scale_bar", (0.0, 0.1, 0.2, 0.3)),
    "label": (PLAIN, "label", (0, 4, 12, 24)),
}


def clean(detector: Detector, seed: int = 0, n: int = 1) -> NDArray[np.float32]:
    """Return nickel's intensity on a detector, (n, rows, columns)."""
    data = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both").data
    rotations = (
        Rotation.random((n,)) if seed < 0 else Rotation.from_euler(np.deg2rad([[30 + 40 * seed, 35, 20]] * n))
    )
    return project_batch(
        data[0],
        data[1],
        rotations.data,
        detector.pattern_center,
        detector.shape,
        tilt_deg=detector.tilt_deg,
        sample_tilt_deg=detector.sample_tilt_deg,
    )


def usual(instrument: Instrument) -> Camera:
    """Return a camera with an instrument's screen, depth and processing."""
    return replace(
        PLAIN,
        bits=instrument.bits,
        screen_radius=0.48 if instrument.screen == "round" else 0.0,
        flat_fielded="static" in instrument.processing,
        dynamic_background="dynamic" in instrument.processing,
        excess_deficiency=0.4,
        dose_electrons_per_px=1000.0,
    )


def main() -> None:
    """Draw the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("docs/images/camera.png"))
    parser.add_argument(
        "--instruments", action="store_true", help="a row for each instrument, not the stages"
    )
    parser.add_argument(
        "--rows", default="", help="only rows whose names hold one of these words, comma-separated"
    )
    options = parser.parse_args()
    if options.instruments:
        grid = [_of_instrument(each) for each in INSTRUMENTS.values()]
        names = [name.replace("_", "\n") for name in INSTRUMENTS]
        titles = [[""] * 4 for _ in names]
    else:
        words = options.rows.split(",")
        names = [name for name in ROWS if any(word in name for word in words)]
        grid, titles = zip(*(_of_stage(*ROWS[name]) for name in names), strict=True)
        if "overlap" in options.rows or not options.rows:
            names.append("overlap")
            grid, titles = (*grid, _of_overlaps()), (*titles, ["0", "0.15", "0.3", "0.45"])
    figure, axes = plt.subplots(len(grid), 4, figsize=(8, 2.05 * len(grid)), squeeze=False)
    for name, images, line, captions in zip(names, grid, axes, titles, strict=True):
        for image, ax, caption in zip(images, line, captions, strict=True):
            ax.imshow(image, cmap="gray", vmin=0, vmax=image.max())
            ax.set(xticks=[], yticks=[])
            ax.set_title(caption, fontsize=7, pad=2)
        line[0].set_ylabel(name, fontsize=7)
    figure.tight_layout(pad=0.3)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.out, dpi=90)


def _of_stage(
    camera: Camera, field: str, values: tuple[object, ...]
) -> tuple[list[NDArray[np.generic]], list[str]]:
    pattern = clean(Detector((128, 128), (0.5, 0.35, 0.7)))
    images = [
        replace(camera, **{field: value}).expose(pattern, np.random.default_rng(1))[0]
        for value in values  # type: ignore[arg-type]
    ]
    return images, [str(value) for value in values]


def _of_overlaps() -> list[NDArray[np.generic]]:
    place = Detector((128, 128), (0.5, 0.35, 0.7))
    first, second = clean(place), clean(place, 1)
    mixed = [overlap(first, second, np.array([share])) for share in (0.0, 0.15, 0.3, 0.45)]
    return [PLAIN.expose(each, np.random.default_rng(1))[0] for each in mixed]


def _of_instrument(instrument: Instrument) -> list[NDArray[np.generic]]:
    place = instrument.detector
    place = place.binned((round(160 * place.shape[0] / place.shape[1]), 160))
    camera = usual(instrument)
    return [camera.expose(clean(place, seed), np.random.default_rng(seed))[0] for seed in range(4)]


if __name__ == "__main__":
    main()
