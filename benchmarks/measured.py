"""Scores models on measured patterns of known phase, a set at a time: a network alone, adapted, and band profiles.

    python benchmarks/measured.py --model xception-m3m-6 --set look --out scores/ [--adapt] [--bands bands-m3m-10]

Which patterns belong to `look` and which to `held` stands, with the reason, in measured_sets.toml: `held` is scored once,
for a finished model. Sets that are not on this machine are named and left out. Written are measured.md and measured.csv, a
row a set and a way of answering. Patterns of one map share specimen and camera, so the Wilson interval of single patterns is
narrower than what is known of other maps.
"""

from __future__ import annotations

import argparse
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import kikuchinet as kn
from kikuchinet._files import atomic_path
from kikuchinet.evaluation import wilson_interval
from kikuchinet.identification import IdentificationResult
from kikuchinet.microscope import Detector
from kikuchinet.models import SpaceGroupModel
from kikuchinet.patterns import Geometry, PatternSource

SETS = Path(__file__).with_name("measured_sets.toml")
PATTERNS = Path(__file__).resolve().parents[2] / "shared" / "patterns"


@dataclass(frozen=True)
class MeasuredSet:
    """Patterns of one phase.

    Parameters
    ----------
    name, title
        What it is called.
    space_group
        The truth.
    source
        The patterns.
    """

    name: str
    title: str
    space_group: int
    source: PatternSource


def main() -> None:
    """Score and write."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    arguments.add_argument("--model", default=None, help="a shipped model's name, or a folder")
    arguments.add_argument("--set", required=True, choices=("look", "held"), dest="split")
    arguments.add_argument("--out", type=Path, required=True, help="folder for the tables")
    arguments.add_argument("--patterns", type=Path, default=PATTERNS, help="folder of measured patterns")
    arguments.add_argument("--only", nargs="*", default=None, help="names of sets, all if not given")
    arguments.add_argument("--adapt", action="store_true", help="also adapted to each set, without labels")
    arguments.add_argument("--bands", default=None, help="a model of band profiles, which is scored too")
    given = arguments.parse_args()
    model = kn.load_model(given.model, precision="auto")
    sets, absent = measured_sets(given.split, given.patterns, given.only)
    rows: list[dict[str, Any]] = []
    notes = [f"{name}: not on this machine" for name in absent]
    for one in sets:
        plain = kn.identify(one.source, model, bands=False)
        rows.append(scored(one, "network alone", plain))
        if given.bands is not None and one.source.geometry is None:
            notes.append(f"{one.name}: bands not read, no pattern centre is known")
        elif given.bands is not None:
            read = kn.identify(one.source, model, bands=given.bands)
            rows.append(scored(one, f"bands ({read.card.name} {read.card.version})", read))
        if given.adapt:
            adapted = kn.identify(one.source, model, adapt=True, bands=False)
            rows.append(scored(one, "adapted", adapted))
            if adapted.adaptation is not None:
                notes.append(f"{one.name}: {adapted.adaptation.sentence}")
        print(pd.DataFrame(rows).to_string(index=False), *notes, sep="\n", flush=True)
    write(rows, notes, model, given)


def measured_sets(
    split: str, folder: Path, only: Sequence[str] | None = None
) -> tuple[list[MeasuredSet], list[str]]:
    """Return the sets that are on this machine, and the names of those that are not."""
    described = tomllib.loads(SETS.read_text(encoding="utf-8"))
    sets, absent = [], []
    for name, entry in described.items():
        if only is not None and name not in only:
            continue
        source = (
            from_kikuchipy(entry[split]) if entry["from"] == "kikuchipy" else from_files(folder, entry[split])
        )
        if source is None:
            absent.append(name)
            continue
        if "pattern_centers" in entry:
            source = with_centers(source, entry["pattern_centers"][split], entry["convention"])
        sets.append(
            MeasuredSet(
                name,
                entry["title"],
                entry["space_group"],
                source,
            )
        )
    return sets, absent


def with_centers(source: PatternSource, centers: Sequence[Sequence[float]], convention: str) -> PatternSource:
    """Return patterns with the pattern centre, or one each, that their files do not say."""
    if len(centers) not in {1, len(source)}:
        raise ValueError(f"{len(centers)} pattern centres for {len(source)} patterns")
    screens = [
        Detector(source[k].shape, (x, y, z), convention=convention) for k, (x, y, z) in enumerate(centers)
    ]
    return replace(source, geometry=Geometry(np.array([screen.pattern_center for screen in screens])))


def from_kikuchipy(places: Sequence[int]) -> PatternSource:
    """Return some of kikuchipy's nickel patterns, at their pattern centres."""
    whole = kn.example_patterns()
    geometry = whole.geometry
    if geometry is not None and len(geometry.pattern_centers) > 1:
        geometry = replace(geometry, pattern_centers=geometry.pattern_centers[list(places)])

    def read(first: int, last: int) -> list[np.ndarray]:
        return [whole[k] for k in places[first:last]]

    return PatternSource(
        "kikuchipy", ["kikuchipy"] * len(places), read, geometry=geometry, numbers=np.array(places)
    )


def from_files(folder: Path, globs: Sequence[str]) -> PatternSource | None:
    """Return the patterns of all files of a set in one source, or None where there are none."""
    files = [file for pattern in globs for file in sorted(folder.glob(pattern))]
    if not files:
        return None
    parts = kn.read_patterns(files)
    names = [name for part in parts for name in part.names]
    where = [(part, k) for part in parts for k in range(len(part))]

    def read(first: int, last: int) -> list[np.ndarray]:
        return [part[k] for part, k in where[first:last]]

    known = [part.geometry for part in parts if part.geometry is not None]
    geometry = None
    if len(known) == len(parts):
        # One file each with its own screen distance.
        centers = [
            np.broadcast_to(found.pattern_centers, (len(part), 3))
            for found, part in zip(known, parts, strict=True)
        ]
        geometry = replace(known[0], pattern_centers=np.concatenate(centers))
    return PatternSource(globs[0], names, read, geometry=geometry)


def scored(one: MeasuredSet, way: str, result: IdentificationResult) -> dict[str, Any]:
    """Return a row of the table."""
    answers = result.identification.space_groups
    n, right = len(answers), int((answers == one.space_group).sum())
    abstained = int(result.identification.abstained.sum())
    low, high = (float(bound) for bound in wilson_interval(right, n))
    pooled = result.pooled
    return {
        "set": one.name,
        "truth": one.space_group,
        "answered by": way,
        "patterns": n,
        "right": right,
        "wrong": n - right - abstained,
        "abstained": abstained,
        "accuracy": round(right / n, 3),
        "95 % from": round(low, 3),
        "to": round(high, 3),
        "pooled": "" if pooled is None else str(pooled.space_group),
        "probability": "" if pooled is None else f"{pooled.probability:.3f}",
        "pooled right": "" if pooled is None else ("yes" if pooled.space_group == one.space_group else "no"),
    }


def write(
    rows: list[dict[str, Any]], notes: list[str], model: SpaceGroupModel, given: argparse.Namespace
) -> None:
    """Write both tables."""
    given.out.mkdir(parents=True, exist_ok=True)
    frame = pd.DataFrame(rows)
    with atomic_path(given.out / "measured.csv") as path:
        frame.to_csv(path, index=False, lineterminator="\n")
    head = " | ".join(frame.columns)
    lines = [
        f"# Measured patterns, set `{given.split}`, model {model.name}, version {model.version}",
        "",
        f"| {head} |",
        "|" + " --- |" * len(frame.columns),
        *("| " + " | ".join(str(value) for value in row) + " |" for row in frame.itertuples(index=False)),
        "",
        *(f"- {note}" for note in notes),
    ]
    with atomic_path(given.out / "measured.md") as path:
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
