"""Are the model's heat maps true? Deletion and insertion, random weights, and what of the crystal lies under the heat.

    .venv/bin/python benchmarks/faithfulness.py [--model NAME] [--count 12] [--cache FOLDER] [--out FOLDER] [--seed 0]
    .venv/bin/python benchmarks/faithfulness.py --redraw [--out FOLDER]

Simulates patterns of the paper's 18 materials at known orientations (master patterns of half-width 100, preset accurate, one
energy; a good camera), has the model answer them, and tries its Grad-CAM and guided Grad-CAM maps. Prints the tables of
docs/explanation.md and writes faithfulness.json and faithfulness.png into FOLDER. Tables and figure come from what
faithfulness.json holds and from nothing else; --redraw makes them anew from the file of an earlier run, without measuring.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray
from orix.quaternion import Rotation

import kikuchinet as kn
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import GeometryRange, MastersConfig, MasterSet, prepare, record
from kikuchinet.explanation import FEATURES, Difference, PatternFeatures, Trial, feature_masks, judge
from kikuchinet.microscope import CameraRange

NAMES = {
    "grad_cam": "Grad-CAM",
    "guided": "guided Grad-CAM",
    "random": "random order",
    "centre": "blob in the middle",
}
LINES = {"grad_cam": ("0.45", "-"), "guided": ("0.0", "-"), "random": ("0.0", ":"), "centre": ("0.45", "--")}
FEATURE_NAMES = {"zone_axes": "zone axes", "bands": "bands", "holz_rings": "HOLZ rings"}


def patterns(
    masters: MasterSet, count: int, size: tuple[int, int], seed: int
) -> tuple[NDArray[np.float32], dict[str, NDArray[np.bool_]], NDArray[np.int64]]:
    """Return prepared patterns, masks of their features, and the group that a camera can see in each."""
    place = GeometryRange(
        sample_tilt_deg=(70.0, 70.0), detector_tilt_deg=(0.0, 0.0), azimuthal_deg=(0.0, 0.0)
    )
    cameras = CameraRange.good()
    images, masks, truth = [], {name: [] for name in FEATURES}, []
    for number, entry in enumerate(masters):
        rng = np.random.default_rng([seed, number])
        block = record(masters, number, count, size, geometry=place, cameras=cameras, quality=0.5, rng=rng)
        images.append(kn.preprocess(block.images, size=size))
        crystal = kn.crystals[entry.material]
        for quaternion, center in zip(block.quaternions, block.pattern_centers, strict=True):
            screen = kn.Detector(size, tuple(center))
            found = feature_masks(PatternFeatures.of(crystal, Rotation(quaternion), screen, entry.energy_kev))
            for name, mask in found.items():
                masks[name].append(mask)
        truth += [entry.visible_group] * count
    return np.concatenate(images), {name: np.array(found) for name, found in masks.items()}, np.array(truth)


def figures(trial: Trial) -> dict[str, Any]:
    """Return all that tables and figure are made of, as plain numbers."""
    return {
        "curves": {
            name: {
                "share": curves.share.tolist(),
                "deletion": curves.deletion.mean(axis=0).tolist(),
                "insertion": curves.insertion.mean(axis=0).tolist(),
            }
            for name, curves in trial.curves.items()
        },
        "maps": {
            name: {
                "deletion": {key: asdict(value) for key, value in one.deletion.items()},
                "insertion": {key: asdict(value) for key, value in one.insertion.items()},
                "similarity": asdict(one.similarity),
                "features": {
                    key: asdict(value) | {"verdict": value.verdict} for key, value in one.features.items()
                },
                "verdict": one.verdict,
            }
            for name, one in trial.judgements.items()
        },
    }


def draw(found: dict[str, Any]) -> Figure:
    """Draw the curves, and the heat on features against chance."""
    figure = Figure(figsize=(10.0, 3.2), dpi=150, layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    for ax, kind in ((left, "deletion"), (middle, "insertion")):
        for name, curves in found["curves"].items():
            grey, line = LINES[name]
            ax.plot(curves["share"], curves[kind], color=grey, linestyle=line, label=NAMES[name])
        ax.set(xlabel=f"share of the pixels ({kind},\nhottest first)", ylim=(0.0, 1.0))
        ax.spines[["top", "right"]].set_visible(False)
    left.set_ylabel("probability of the answer")
    middle.legend(fontsize=7, frameon=False)
    place = np.arange(len(FEATURES))
    for shift, (name, judgement) in zip((-0.2, 0.2), found["maps"].items(), strict=True):
        shares = [judgement["features"][feature] for feature in FEATURES]
        values = np.array([one["share"] for one in shares])
        error = np.array([[one["share"] - one["low"], one["high"] - one["share"]] for one in shares]).T
        right.bar(
            place + shift,
            values,
            0.36,
            yerr=error,
            capsize=2,
            color="0.8" if name == "grad_cam" else "0.4",
            edgecolor="black",
            linewidth=0.6,
            hatch="///" if name == "grad_cam" else "",
            label=NAMES[name],
        )
        for x, one in zip(place + shift, shares, strict=True):
            right.plot([x - 0.18, x + 0.18], [one["exchanged"]] * 2, color="black", linewidth=1.6)
    right.plot([], [], color="black", linewidth=1.6, label="another pattern's features")
    right.set_xticks(place, [FEATURE_NAMES[name] for name in FEATURES], fontsize=8)
    right.set_ylabel("share of the heat")
    right.spines[["top", "right"]].set_visible(False)
    right.set_ylim(0.0, 1.1)
    right.legend(fontsize=7, frameon=False, loc="upper right")
    return figure


def tables(found: dict[str, Any]) -> str:
    """Return the tables and verdicts as Markdown."""
    columns = ("map", "deletion, less random", "deletion, less blob", "insertion, less random")
    columns += ("insertion, less blob", "rank correlation with random weights")
    lines = ["| " + " | ".join(columns) + " |", "|" + " --- |" * 6]
    for name, one in found["maps"].items():
        cells = [one[test][other] for test in ("deletion", "insertion") for other in ("random", "centre")]
        words = (str(Difference(**cell)) for cell in (*cells, one["similarity"]))
        lines.append(f"| {NAMES[name]} | " + " | ".join(words) + " |")
    columns = ("map", "on", "share of the heat (95 %)", "another pattern's features (upper end of 95 %)")
    columns += ("share of the pixels", "patterns with heat", "so")
    lines += ["", "| " + " | ".join(columns) + " |", "|" + " --- |" * len(columns)]
    for name, one in found["maps"].items():
        for feature, share in one["features"].items():
            lines.append(
                f"| {NAMES[name]} | {FEATURE_NAMES[feature]} | {share['share']:.3f} "
                f"({share['low']:.3f} to {share['high']:.3f}) | {share['exchanged']:.3f} "
                f"({share['exchanged_high']:.3f}) | {share['area']:.3f} | {share['n_patterns']} | {share['verdict']} |"
            )
    lines.append("")
    lines += [f"**{NAMES[name]}.** {one['verdict']}\n" for name, one in found["maps"].items()]
    return "\n".join(lines)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Simulate, answer, try the maps."""
    model = kn.load_model(options.model)
    materials = tuple(name for names in PAPER_MATERIALS.values() for name in names)
    config = MastersConfig(materials=materials, half_width=options.half_width, variants=1, energies=1)
    masters = prepare(config, options.cache, progress=False, workers=options.workers)
    prepared, masks, truth = patterns(masters, options.count, model.card.size, options.seed)
    trial = judge(model.network, prepared, masks, steps=options.steps, seed=options.seed)
    right = float((np.array(model.classes)[trial.targets] == truth).mean())
    return {
        "model": model.name,
        "version": model.version,
        "patterns": len(prepared),
        "right": right,
        "seed": options.seed,
        "count": options.count,
        "steps": options.steps,
        "half_width": options.half_width,
        **figures(trial),
    }


def main() -> None:
    """Measure or read what was measured, print, draw."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=None, help="a shipped model's name, or a folder")
    parser.add_argument("--count", type=int, default=12, help="patterns of each material")
    parser.add_argument("--half-width", type=int, default=100)
    parser.add_argument("--steps", type=int, default=12)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--workers", type=int, default=None, help="processes that simulate master patterns")
    parser.add_argument("--redraw", action="store_true", help="from FOLDER/faithfulness.json")
    parser.add_argument("--out", type=Path, default=Path("docs/images"), metavar="FOLDER")
    options = parser.parse_args()
    store = options.out / "faithfulness.json"
    if options.redraw:
        found = json.loads(store.read_text(encoding="utf-8"))
    else:
        found = measure(options)
        options.out.mkdir(parents=True, exist_ok=True)
        store.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(
        f"{found['model']} version {found['version']}; {found['patterns']} patterns, "
        f"{found['right']:.3f} answered rightly\n"
    )
    print(tables(found))
    draw(found).savefig(options.out / "faithfulness.png")


if __name__ == "__main__":
    main()
