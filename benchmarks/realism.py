"""How like measured patterns the simulated ones look: figures and numbers of docs/realism.md.

    .venv/bin/python benchmarks/realism.py --patterns FOLDER [--cache FOLDER] [--figures FOLDER] [--held] [--seed N]

FOLDER of patterns holds si_nordif/ and steel_ferrite/; nickel is inside kikuchipy. Orientation and pattern centre of each
measured pattern are found by search and refinement, its twin is simulated there and photographed by its set's camera, and
both are compared. Without --held only patterns that were looked at while the cameras were made are used; with it also the
others, with the same cameras.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from realism_cameras import CAMERAS, old_camera
from realism_figures import draw_curves, draw_patterns
from realism_sets import (
    HIGH_PASS,
    MeasuredSet,
    best_match,
    clean_twins,
    held,
    looked_at,
    master_pattern,
    photograph,
)

from kikuchinet.evaluation.discriminator import discriminate
from kikuchinet.evaluation.realism import GreyLevels, Noise, contrast_map, grey_levels, noise, radial_spectrum
from kikuchinet.identification import Refinement
from kikuchinet.indexing.refinement import without_average
from kikuchinet.microscope import Camera
from kikuchinet.microscope.exposure import kikuchi_signal
from kikuchinet.patterns import preprocess

Images = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Patterns that are matched worse than this are left out of the comparison: martensite, boundaries, scratches.
LEAST_CORRELATION = {"steel": 0.6}


@dataclass(frozen=True, eq=False)
class Look:
    """What frames look like: means over a set, in units of a frame's own spread without its slow parts."""

    frequency: NDArray[np.float64]
    power: NDArray[np.float64]
    levels: GreyLevels
    noise: Noise
    contrast: NDArray[np.float64]


def look_of(frames: Images, signal: Images, mask: Mask) -> Look:
    """Return the statistics of frames; `signal` are the simulated patterns without a camera."""
    fast = [without_average(frame[None] - frame[mask].mean(), mask, HIGH_PASS)[0] for frame in frames]
    scale = [image[mask].std() for image in fast]
    scaled = [frame / s for frame, s in zip(frames, scale, strict=True)]
    spectra = [radial_spectrum(frame, mask) for frame in scaled]
    levels = [grey_levels(image, mask) for image in fast]
    noises = [noise(frame, mask) for frame in scaled]
    slopes = [contrast_map(frame, one, mask)[0] for frame, one in zip(scaled, signal, strict=True)]
    slope = np.where(mask, np.mean(slopes, axis=0), np.nan)
    bands = np.array_split(slope, len(noises[0].heights))
    return Look(
        spectra[0][0],
        np.exp(np.mean([np.log(power) for _f, power in spectra], axis=0)),
        GreyLevels(
            np.mean([g.percentiles for g in levels], axis=0),
            float(np.mean([g.skewness for g in levels])),
            float(np.mean([g.kurtosis for g in levels])),
        ),
        Noise(
            float(np.mean([n.sigma for n in noises])),
            np.mean([n.correlation for n in noises], axis=0),
            noises[0].heights,
            np.mean([n.profile for n in noises], axis=0),
        ),
        np.array([np.nanmean(band) if np.isfinite(band).any() else np.nan for band in bands]),
    )


@dataclass(frozen=True, eq=False)
class Comparison:
    """A measured set beside its simulated twins, by the camera before and after."""

    name: str
    measured: MeasuredSet
    fit: Refinement
    frames: dict[str, Images]
    looks: dict[str, Look]


def compare(title: str, starts: list[MeasuredSet], cache: Path, seed: int) -> Comparison:
    """Match a set, photograph its twins with both cameras, and take the statistics of all."""
    master = master_pattern(starts[0].crystal, cache)
    everything, fit = best_match(starts, master)
    name = everything.name
    good = fit.correlations > LEAST_CORRELATION.get(name, 0.0)
    measured = everything.only(good)
    fit = Refinement(
        fit.rotations[good], fit.pattern_centers[good], fit.correlations[good], fit.start_correlations[good]
    )
    print(f"{title}: {len(good)} patterns, {good.sum()} compared", flush=True)
    clean = clean_twins(measured, master, fit)
    signal = kikuchi_signal(Camera(psf_sigma_px=0.0, compression=0.0, excess_deficiency=0.0), clean)
    frames = {
        "measured": measured.frames,
        "before": photograph(old_camera(name), clean, measured.mask, seed),
        "now": photograph(CAMERAS[name], clean, measured.mask, seed),
    }
    looks = {kind: look_of(images, signal, measured.mask) for kind, images in frames.items()}
    return Comparison(title, measured, fit, frames, looks)


def similarity(comparison: Comparison, kind: str) -> float:
    """Return the mean correlation of measured and simulated patterns as a network gets them."""
    first, second = (preprocess(comparison.frames[key]) for key in ("measured", kind))
    values = []
    for a, b in zip(first, second, strict=True):
        both = (a != 0) & (b != 0)
        values.append(np.corrcoef(a[both], b[both])[0, 1])
    return float(np.mean(values))


def spectral_distance(comparison: Comparison, kind: str) -> float:
    """Return the root mean square of ln(simulated/measured power) over the bins from 4 cycles per height on."""
    mine, theirs = comparison.looks[kind], comparison.looks["measured"]
    use = (mine.frequency > 4) & np.isfinite(mine.power) & np.isfinite(theirs.power)
    return float(np.sqrt((np.log(mine.power[use] / theirs.power[use]) ** 2).mean()))


def print_looks(comparison: Comparison) -> None:
    """Print the statistics as rows of a table."""
    r = comparison.fit.correlations
    print(f"  correlation with the clean twins {r.mean():.3f} ({r.min():.3f} to {r.max():.3f})")
    print(
        "            r      spectrum  skew   kurt   p1     p99    noise  top    bottom lag1   lag2   contrast t/b"
    )
    for kind, look in comparison.looks.items():
        p, n = look.levels.percentiles, look.noise
        profile, contrast = (part[np.isfinite(part)] for part in (n.profile, look.contrast))
        alike = (
            "     -      -  "
            if kind == "measured"
            else f"{similarity(comparison, kind):6.3f} {spectral_distance(comparison, kind):8.2f}"
        )
        print(
            f"  {kind:9s}{alike}  {look.levels.skewness:6.2f} {look.levels.kurtosis:6.2f} {p[0]:6.2f} {p[-1]:6.2f}"
            f" {n.sigma:6.3f} {profile[0]:6.3f} {profile[-1]:6.3f} {n.correlation[2, 3]:6.2f} {n.correlation[2, 4]:6.2f}"
            f" {contrast[0] / contrast.max():6.2f} {contrast[-1] / contrast.max():6.2f}",
            flush=True,
        )


def print_discrimination(comparisons: list[Comparison], seed: int) -> None:
    """Print how well classifiers tell the sets' simulated patterns from the measured ones."""
    for kind in ("before", "now"):
        measured = np.concatenate([preprocess(c.frames["measured"]) for c in comparisons])
        simulated = np.concatenate([preprocess(c.frames[kind]) for c in comparisons])
        if len(measured) < 2:
            print(f"  discriminator, {kind}: one pattern cannot be learnt from and tested on")
            continue
        masks = (measured != 0) & (simulated != 0)
        # Values of exactly 0 on the screen are chance; holes of one pixel are none.
        masks = np.stack([_closed(mask) for mask in masks])
        found = discriminate(measured * masks, simulated * masks, masks, seed=seed)
        scores = "; ".join(
            f"{name}: AUC {found.auc[name]:.2f}, accuracy {found.accuracy[name]:.2f}, patterns {found.pattern_auc[name]:.2f}"
            for name in found.auc
        )
        by = ", ".join(f"{name} {value:.2f}" for name, value in found.giveaways)
        print(
            f"  discriminator, {kind} ({found.patterns} pairs, {found.patches} patches): {scores}", flush=True
        )
        print(f"    by {by}", flush=True)


def _closed(mask: Mask) -> Mask:
    from scipy.ndimage import binary_closing

    return np.asarray(binary_closing(np.pad(mask, 2, mode="edge"), iterations=2)[2:-2, 2:-2])


def main() -> None:
    """Print the numbers and draw the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--patterns", type=Path, required=True, help="folder of the measured patterns")
    parser.add_argument(
        "--cache", type=Path, default=Path("cache"), help="folder of simulated master patterns"
    )
    parser.add_argument("--figures", type=Path, help="folder to draw figures into")
    parser.add_argument("--held", action="store_true", help="score the patterns that were not looked at, too")
    parser.add_argument("--seed", type=int, default=0, help="of the cameras' noise and of the classifiers")
    parser.add_argument("--only", help="one set: Ni, Si or steel")
    options = parser.parse_args()
    sets = {f"{name}, looked at": [starts] for name, starts in looked_at(options.patterns).items()}
    if options.held:
        others = held(options.patterns)
        sets["Ni, held"] = [others["Ni"]]
        sets["Si, held"] = [others["Si, 5 mm"], others["Si, 10 mm"]]
        sets["steel, held"] = [others["steel"]]
    for title, groups in sets.items():
        if options.only is not None and not title.startswith(options.only):
            continue
        comparisons = [compare(title, starts, options.cache, options.seed) for starts in groups]
        for comparison in comparisons:
            print_looks(comparison)
        print_discrimination(comparisons, options.seed)
        if options.figures is not None:
            stem = title.replace(", ", "_").replace(" ", "_").lower()
            draw_curves(comparisons, options.figures / f"realism_{stem}_curves.png")
            draw_patterns(comparisons, options.figures / f"realism_{stem}_patterns.png")


if __name__ == "__main__":
    main()
