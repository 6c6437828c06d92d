"""How the cameras of benchmarks/realism.py were found: a fit to the patterns that may be looked at.

    .venv/bin/python benchmarks/realism_fit.py --patterns FOLDER [--cache FOLDER]

Prints for each set the numbers that `CAMERAS` in benchmarks/realism.py holds. Three steps, each with its own data: the
lobe of diffuse light from the static background that the file holds; compression and asymmetry of bands from the
correlation with the measured patterns; blur, contrast, dose and noise's correlation from their radial power spectrum.
"""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path

import h5py
import kikuchipy
import numpy as np
from numpy.typing import NDArray
from realism_cameras import CAMERAS
from realism_sets import (
    HIGH_PASS,
    SIDE,
    MeasuredSet,
    best_match,
    clean_twins,
    looked_at,
    master_pattern,
    photograph,
)
from scipy.optimize import least_squares, minimize

from kikuchinet.evaluation.realism import contrast_map, noise, radial_spectrum
from kikuchinet.indexing.refinement import normalised, without_average
from kikuchinet.microscope import Camera
from kikuchinet.microscope.exposure import kikuchi_signal
from kikuchinet.microscope.filters import resample
from kikuchinet.microscope.specimen import contrast_lobe, diffuse_background

Images = NDArray[np.float32]
#: Patterns that are matched worse are of poor quality or of a boundary, and say nothing of bands' shape.
LEAST_CORRELATION = {"steel": 0.6}
#: Lowest frequency of the spectra's fit, cycles per height: below, what static backgrounds have left or taken reigns.
LOWEST = {"Ni": 6.0, "Si": 8.0, "steel": 3.0}


def fit_lobe(light: NDArray[np.floating], mask: NDArray[np.bool_]) -> dict[str, object]:
    """Fit the Gaussian lobe of diffuse light to a static background."""
    relative = light / light[mask].mean()

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        lobe = diffuse_background((light.shape[0], light.shape[1]), (p[0], p[1]), p[2], 0.0).astype(
            np.float64
        )
        return np.asarray((lobe / lobe[mask].mean() - relative)[mask])

    # The lobe is float32: steps must be coarse.
    result = least_squares(misfit, [0.5, 0.5, 0.5], bounds=([-1, -1, 0.1], [2, 3, 4]), diff_step=1e-2)
    x, y, width = (round(float(v), 3) for v in result.x)
    return {"source_center": (x, y), "source_width": width, "rms": rms(result.fun)}


def fit_bands(measured: MeasuredSet, clean: Images) -> dict[str, object]:
    """Fit compression, asymmetry and (not returned) blur for the largest mean correlation."""
    height = min(SIDE, measured.frames.shape[1])
    frames, twins = (resample(images, (height, height)) for images in (measured.frames, clean))
    mask = resample(measured.mask[None].astype(np.float32), (height, height))[0] > 0.99
    wanted = normalised(frames, mask, HIGH_PASS)

    def camera(p: NDArray[np.float64]) -> Camera:
        compression, strength, width, beam, blur = p
        return Camera(
            compression=max(compression, 0.0),
            excess_deficiency=max(strength, 0.0),
            excess_width=float(np.clip(width, 0.004, 0.1)),
            beam_center=(0.5, float(np.clip(beam, -10, 10))),
            psf_sigma_px=max(blur, 0.0) * height,
        )

    def badness(p: NDArray[np.float64]) -> float:
        seen = normalised(kikuchi_signal(camera(p), twins), mask, HIGH_PASS)
        return -float(np.einsum("ij,ij->i", seen, wanted).mean())

    best = None
    for width in (0.012, 0.03):
        for beam in (0.5, 1.3):
            start = np.array([0.3, 0.3, width, beam, 0.008])
            simplex = start + np.vstack([np.zeros(5), np.diag([0.3, 0.3, width, 0.3, 0.008])])
            result = minimize(
                badness, start, method="Nelder-Mead", options={"maxfev": 160, "initial_simplex": simplex}
            )
            if best is None or result.fun < best.fun:
                best = result
    found = camera(best.x)
    plain = -badness(np.array([0, 0, 0.012, 0.9, best.x[4]]))
    return {
        "compression": round(float(found.compression), 2),
        "excess_deficiency": round(float(found.excess_deficiency), 2),
        "excess_width": round(found.excess_width, 3),
        "beam_center": (0.5, round(found.beam_center[1], 2)),
        "correlation": round(-best.fun, 3),
        "without both": round(plain, 3),
    }


def fit_noise_lobe(measured: MeasuredSet) -> dict[str, object]:
    """Fit the lobe of diffuse light to the noise of frames whose background was subtracted: variance goes with light."""
    down, across = (
        np.mean([noise(frame, mask).profile ** 2 for frame in frames], axis=0)
        for frames, mask in (
            (measured.frames, measured.mask),
            (measured.frames.transpose(0, 2, 1), measured.mask.T),
        )
    )
    place = (np.arange(len(down)) + 0.5) / len(down)

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        models = [np.exp(p[3 + k] - 0.5 * (place - p[k]) ** 2 / p[2] ** 2) for k in (0, 1)]
        return np.concatenate([models[0] / across - 1, models[1] / down - 1])

    result = least_squares(misfit, [0.5, 0.7, 0.7, np.log(across.max()), np.log(down.max())])
    x, y, width = (round(float(v), 3) for v in result.x[:3])
    return {"source_center": (x, y), "source_width": width, "rms": rms(result.fun)}


def fit_contrast_lobe(measured: MeasuredSet, signal: Images, light: Images | None) -> dict[str, object]:
    """Fit a Gaussian to where on the screen the contrast is strong; `light` where the background was subtracted."""
    slopes = [contrast_map(a, b, measured.mask)[0] for a, b in zip(measured.frames, signal, strict=True)]
    slope = np.mean(slopes, axis=0) / (1.0 if light is None else light)
    rows, columns = measured.mask.shape
    y, x = (np.arange(rows)[:, None] + 0.5) / rows, (np.arange(columns)[None] + 0.5) / columns
    scale = slope[measured.mask].mean()
    step = max(1, rows // 60)

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        lobe = p[3] * np.exp(-0.5 * ((y - p[1]) ** 2 + (x - p[0]) ** 2) / p[2] ** 2)
        return np.asarray((lobe - slope / scale)[::step, ::step][measured.mask[::step, ::step]])

    result = least_squares(misfit, [0.5, 0.5, 0.5, 1.0])
    cx, cy, width = (round(float(v), 3) for v in result.x[:3])
    return {"contrast_center": (cx, cy), "contrast_width": abs(width), "rms": rms(result.fun)}


def fit_quality(measured: MeasuredSet, signal: Images, lowest: float) -> dict[str, float]:
    """Fit blur, contrast and noise so that the power spectrum is the measured one from a frequency on.

    The spectrum is a S(f) [(1-g) G(σ) + g G(w)]² + N G(s)²: S that of the signal, a the contrast squared, G(σ) a
    Gaussian's transfer function; a share g of the light goes into a wide part of the point spread.
    """
    # Within 60 px a wide part of the point spread cannot be told from what the background has left.
    most_glare = 0.95 if measured.frames.shape[1] > 100 else 1e-6
    frequency, _power = radial_spectrum(measured.frames[0], measured.mask)
    rows = measured.frames.shape[1]
    mine, theirs = (
        np.mean([radial_spectrum(image, measured.mask)[1] for image in images], axis=0)
        for images in (signal, measured.frames)
    )
    use = (frequency > lowest) & np.isfinite(mine) & np.isfinite(theirs)
    f, mine, theirs = frequency[use] / rows, mine[use], theirs[use]

    def transfer(sigma: float) -> NDArray[np.float64]:
        return np.asarray(np.exp(-2 * (np.pi * sigma * f) ** 2))

    def misfit(p: NDArray[np.float64]) -> NDArray[np.float64]:
        blur = (1 - p[4]) * transfer(p[1]) + p[4] * transfer(p[5] * rows)
        model = np.exp(p[0]) * mine * blur**2 + np.exp(p[2]) * transfer(p[3]) ** 2
        return np.asarray(np.log(model) - np.log(theirs))

    best = min(
        (
            least_squares(
                misfit,
                [np.log(theirs[0] / mine[0]), blur, np.log(theirs[-1]), 0.2, share * most_glare, 0.015],
                bounds=([-30, 0, -30, 0, 0, 0.008], [30, 10, 30, 2, most_glare, 0.06]),
            )
            for blur in (0.3, 1.0, 3.0)
            for share in (0.02, 0.4)
        ),
        key=lambda r: float(r.cost),
    )
    scale, blur, power, spread, share, wide = best.x
    return {
        "contrast": round(float(np.exp(scale / 2)), 4),
        "psf_sigma_px": round(float(blur), 2),
        "glare": round(float(share), 2),
        "glare_width": round(float(wide), 4),
        "noise": float(np.exp(power / 2)),
        "noise/signal": round(float(np.exp((power - scale) / 2)), 2),
        "noise_sigma_px": round(float(spread), 2),
        "rms of ln": rms(best.fun),
    }


def fit_dose(measured: MeasuredSet, clean: Images, camera: Camera) -> Camera:
    """Return the camera with the dose at which its frames have the measured noise, relative to their spread."""

    def relative(frames: Images) -> float:
        found = []
        for frame in frames[:3]:
            fast = without_average(frame[None] - frame[measured.mask].mean(), measured.mask, HIGH_PASS)[0]
            found.append(noise(frame, measured.mask).sigma / fast[measured.mask].std())
        return float(np.mean(found))

    wanted = relative(measured.frames)
    for _step in range(4):
        ratio = relative(photograph(camera, clean[:3], measured.mask, 0)) / wanted
        # More dose lowers noise and spread: a whole step would fall short, not beyond.
        camera = replace(camera, dose_electrons_per_px=round(camera.dose_electrons_per_px * ratio**2))
    return camera


def polish(
    measured: MeasuredSet,
    clean: Images,
    light: Images | None,
    bands: dict[str, object],
    lobe: dict[str, object],
) -> dict[str, object]:
    """Fit bands' shape and the lobe of contrast together, for the largest mean correlation.

    Slopes are averages over an eighth of the height, which makes a lobe look wider than it is; this has no such bias.
    """
    height = min(SIDE, measured.frames.shape[1])
    frames, twins = (resample(images, (height, height)) for images in (measured.frames, clean))
    mask = resample(measured.mask[None].astype(np.float32), (height, height))[0] > 0.99
    glow = np.float32(1) if light is None else resample(light[None], (height, height))[0]
    wanted = normalised(frames, mask, HIGH_PASS)

    def camera(p: NDArray[np.float64]) -> Camera:
        return Camera(
            compression=max(p[0], 0.0),
            excess_deficiency=max(p[1], 0.0),
            excess_width=float(np.clip(p[2], 0.004, 0.1)),
            beam_center=(0.5, float(np.clip(p[3], -10, 10))),
            psf_sigma_px=max(p[4], 0.0) * height,
            contrast_center=(p[5], p[6]),
            contrast_width=float(np.clip(p[7], 0.1, 3)),
        )

    def badness(p: NDArray[np.float64]) -> float:
        chosen = camera(p)
        weight = contrast_lobe((height, height), chosen.contrast_center, chosen.contrast_width) * glow
        seen = normalised(kikuchi_signal(chosen, twins) * weight, mask, HIGH_PASS)
        return -float(np.einsum("ij,ij->i", seen, wanted).mean())

    start = np.array(
        [
            bands["compression"],
            bands["excess_deficiency"],
            bands["excess_width"],
            bands["beam_center"][1],  # type: ignore[index]
            0.008,
            *lobe["contrast_center"],  # type: ignore[misc]
            0.8 * float(lobe["contrast_width"]),  # type: ignore[arg-type]
        ]
    )
    simplex = start + np.vstack([np.zeros(8), np.diag([0.1, 0.1, 0.01, 0.5, 0.003, 0.05, 0.05, -0.1])])
    result = minimize(
        badness, start, method="Nelder-Mead", options={"maxfev": 500, "initial_simplex": simplex}
    )
    found = camera(result.x)
    return {
        "compression": round(float(found.compression), 2),
        "excess_deficiency": round(float(found.excess_deficiency), 2),
        "excess_width": round(found.excess_width, 3),
        "beam_center": (0.5, round(found.beam_center[1], 2)),
        "contrast_center": (
            round(float(found.contrast_center[0]), 3),
            round(float(found.contrast_center[1]), 3),
        ),
        "contrast_width": round(found.contrast_width, 3),
        "correlation": round(-result.fun, 3),
    }


def rms(values: NDArray[np.float64]) -> float:
    """Return the root of the mean square, rounded."""
    return round(float(np.sqrt((values**2).mean())), 3)


def main() -> None:
    """Print the fits."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=Path, required=True, help="folder of the measured patterns")
    parser.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder of simulated master patterns"
    )
    parser.add_argument("--only", help="one set: Ni, Si or steel")
    options = parser.parse_args()
    for name, starts in looked_at(options.patterns).items():
        if options.only not in (None, name):
            continue
        master = master_pattern(starts[0].crystal, options.cache)
        measured, fit = best_match(starts, master)
        good = fit.correlations > LEAST_CORRELATION.get(name, 0.0)
        clean, measured = clean_twins(measured, master, fit)[good], measured.only(good)
        print(f"{name}: {good.sum()} patterns, r = {fit.correlations.round(2)}", flush=True)
        if name == "steel":
            lobe = fit_noise_lobe(measured)
        else:
            lobe = fit_lobe(
                _nickel_light() if name == "Ni" else _silicon_light(options.patterns), measured.mask
            )
        print("  ", lobe, flush=True)
        bands = fit_bands(measured, clean)
        print("  ", bands, flush=True)
        keys = ("compression", "excess_deficiency", "excess_width", "beam_center")
        signal = kikuchi_signal(Camera(psf_sigma_px=0.0, **{key: bands[key] for key in keys}), clean)
        shape = (clean.shape[1], clean.shape[2])
        light = None
        if name == "steel":
            light = diffuse_background(shape, lobe["source_center"], lobe["source_width"], 0.0)
        contrast = fit_contrast_lobe(measured, signal, light)
        print("  ", contrast, flush=True)
        bands = polish(measured, clean, light, bands, contrast)
        signal = kikuchi_signal(Camera(psf_sigma_px=0.0, **{key: bands[key] for key in keys}), clean)
        weight = contrast_lobe(shape, bands["contrast_center"], bands["contrast_width"])
        weight = weight if light is None else weight * light
        quality = fit_quality(measured, signal * weight, LOWEST[name])
        print("  ", bands, flush=True)
        print("  ", quality, flush=True)
        found = {**lobe, **bands, **quality}
        names = {field.name for field in fields(Camera)}
        camera = replace(CAMERAS[name], **{key: value for key, value in found.items() if key in names})
        # The grey levels of subtracted frames have no known zero: their contrast is a choice.
        if name == "steel":
            camera = replace(camera, contrast=CAMERAS[name].contrast)
        print("   dose", fit_dose(measured, clean, camera).dose_electrons_per_px, flush=True)


def _nickel_light() -> NDArray[np.float64]:
    return np.asarray(kikuchipy.data.nickel_ebsd_small().static_background, dtype=np.float64)


def _silicon_light(folder: Path) -> NDArray[np.float64]:
    with h5py.File(folder / "si_nordif/si_in.h5") as file:
        return np.asarray(file["Scan 1/EBSD/Header/static_background"][()], dtype=np.float64)


if __name__ == "__main__":
    main()
