"""Beyond the paper: what makes a network find materials that it has never seen. One point at a time, resumable."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal, crystals, synthetic_crystal
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import (
    GeometryRange,
    Manifest,
    MasterEntry,
    MasterSet,
    StoredPatterns,
    generate,
    prepare,
    record,
    visible_or_literal,
)
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.campaign import simulate_many
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError
from kikuchinet.microscope import CameraRange
from kikuchinet.models import SpaceGroupModel, load_model
from kikuchinet.patterns import preprocess
from kikuchinet.patterns.indexing import band_contrast
from kikuchinet.study.patterns import CAMERA, QUALITY
from kikuchinet.study.settings import StudySettings
from kikuchinet.training.run import MODEL_FOLDER
from kikuchinet.training.stored import train_stored

if TYPE_CHECKING:
    import pandas as pd

QUESTIONS = ("materials", "patterns", "synthetic", "dose", "orientation")
RESULTS_FILE = "results.csv"
SETTINGS_FILE = "settings.json"
_NOISES = (0.1, 0.2, 0.4, 0.8, 1.6)
"""Noise over signal of the patterns of question ``dose``; the dose goes with its inverse square."""
_ANGLE_EDGES = (0.0, 5.0, 10.0, 15.0, 20.0, 30.0)
_CONTRAST_EDGES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Of bins; what lies outside belongs to the first or the last."""
_BATCH = 64


@dataclass(frozen=True)
class Point:
    """One network that is taught, and what it is asked.

    Parameters
    ----------
    question
        ``materials``, ``patterns``, ``synthetic``, or ``baseline`` for the network that ``dose`` and ``orientation`` ask.
    materials
        Library materials per group that teach it, at most; one of each group is never taught.
    patterns
        Training patterns per group.
    synthetic
        Synthetic crystals per group that teach it besides.
    draw
        Which random choice of materials; also the seed of the network.
    """

    question: str
    materials: int
    patterns: int
    synthetic: int = 0
    draw: int = 0

    @property
    def key(self) -> str:
        """Name of the point's folder and of its rows; a network that answers two questions is taught once."""
        return f"m{self.materials}-p{self.patterns}-s{self.synthetic}-d{self.draw}"


def plan(settings: StudySettings, draws: int = 3) -> list[Point]:
    """Return the points of all questions, the cheapest sorts first, all of one draw before the next.

    Parameters
    ----------
    settings
        Size; its `training` is the largest number of patterns per group.
    draws
        Random choices of materials for each point.
    """
    most = settings.training
    points = []
    for draw in range(draws):
        points += [Point("baseline", 2, most, draw=draw)]
        points += [Point("materials", count, most, draw=draw) for count in (1, 2, 3, 4)]
        points += [Point("patterns", 2, max(most // part, 1), draw=draw) for part in (16, 8, 4, 2, 1)]
        points += [Point("synthetic", 2, most, count, draw) for count in (0, 4, 16)]
    return points


def run_beyond(
    out: str | Path,
    settings: StudySettings,
    *,
    points: Sequence[Point] | None = None,
    pool: Mapping[int, Sequence[str]] = PAPER_MATERIALS,
    cache_dir: str | Path = "cache",
    progress: bool = True,
) -> pd.DataFrame:
    """Teach the networks of all points that are not done yet, and ask them about materials they have never seen.

    Parameters
    ----------
    out
        Folder: patterns, a folder a network, and ``results.csv``, to which every finished point adds its rows.
    settings
        Size of patterns, networks and training.
    points
        What to do; `plan` if not given.
    pool
        Materials of each group: what is not drawn to teach is asked about.
    cache_dir
        Where master patterns are kept.
    progress
        Show progress bars.

    Returns
    -------
    pandas.DataFrame
        All rows so far: ``question, key, asked_as, materials, z_range, patterns, synthetic, draw, material, space_group,
        mean_z, bin, n, right``. ``bin`` is the noise of ``dose``, the middle of the bin of ``orientation`` and of ``band
        contrast``, else empty. One row counts the patterns of one unseen material.

    Raises
    ------
    kikuchinet.errors.InputError
        A group has too few materials, a material too few patterns, or the folder holds networks of other settings or
        materials.
    """
    import pandas as pd

    out = Path(out)
    if few := [group for group, names in pool.items() if len(names) < 2]:
        raise InputError(f"space group {few[0]}", "has one material; one teaches and another is asked about")
    _claim(out, settings, pool)
    path = out / RESULTS_FILE
    table = pd.read_csv(path) if path.is_file() else None
    patterns = _pool_patterns(out, settings, pool, cache_dir, progress)
    for point in points if points is not None else plan(settings):
        if table is not None and ((table["key"] == point.key) & (table["asked_as"] == point.question)).any():
            continue
        taught = choose(pool, point)
        model = _taught(out, point, taught, patterns, settings, cache_dir, progress)
        if model is None:
            break  # interrupted; the state is saved
        rows = _ask(point, taught, model, patterns, pool, settings, cache_dir)
        frame = pd.DataFrame(rows)
        table = frame if table is None else pd.concat([table, frame], ignore_index=True)
        with atomic_path(path) as temporary:
            table.to_csv(temporary, index=False)
    return pd.DataFrame() if table is None else table


def _claim(out: Path, settings: StudySettings, pool: Mapping[int, Sequence[str]]) -> None:
    """See that a folder is of these settings and materials, or make it so."""
    groups = {str(group): list(names) for group, names in pool.items()}
    text = json.dumps({"pool": groups, **asdict(settings)}, indent=1)
    path = out / SETTINGS_FILE
    if not path.is_file():
        with atomic_path(path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    elif path.read_text(encoding="utf-8") != text:
        raise InputError(out, "holds networks of other settings or materials; choose another folder")


def choose(pool: Mapping[int, Sequence[str]], point: Point) -> dict[int, tuple[str, ...]]:
    """Return the materials that teach each group: nested, so that of one draw more materials hold fewer."""
    chosen = {}
    for group, names in pool.items():
        order = np.random.default_rng([point.draw, group]).permutation(len(names))
        count = min(point.materials, len(names) - 1)
        chosen[group] = tuple(names[i] for i in order[:count])
    return chosen


def z_range(taught: Mapping[int, Sequence[str]]) -> float:
    """Return the mean over groups of the range of mean Z that teaches them."""
    ranges = [np.ptp([crystals[name].mean_atomic_number for name in names]) for names in taught.values()]
    return float(np.mean(ranges))


def axis_angles_deg(quaternions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles (n,) between the sample's normal and the nearest of ⟨001⟩, ⟨011⟩ and ⟨111⟩ of a cubic crystal."""
    from orix.quaternion import Rotation
    from orix.vector import Vector3d

    normals = np.abs((Rotation(quaternions) * Vector3d.zvector()).data)
    normals = np.sort(normals / np.linalg.norm(normals, axis=1, keepdims=True), axis=1)
    axes = np.array([[0, 0, 1], [0, 1, 1], [1, 1, 1]]) / np.sqrt([[1], [2], [3]])
    nearest: NDArray[np.float64] = np.rad2deg(np.arccos(np.minimum((normals @ axes.T).max(axis=1), 1.0)))
    return nearest


def _pool_patterns(
    out: Path,
    settings: StudySettings,
    pool: Mapping[int, Sequence[str]],
    cache_dir: str | Path,
    progress: bool,
) -> Manifest:
    file = out / "patterns.h5"
    if file.is_file() and file.with_suffix(".csv").is_file():
        return Manifest.read(file.with_suffix(".csv"))
    masters = _pool_masters(settings, pool, cache_dir, progress)
    return generate(
        masters,
        file,
        count=settings.pool,
        shape=settings.size,
        camera=CAMERA,
        quality=QUALITY,
        same_cameras=True,
        seed=settings.seed,
        progress=progress,
    )


def _pool_masters(
    settings: StudySettings, pool: Mapping[int, Sequence[str]], cache_dir: str | Path, progress: bool
) -> MasterSet:
    names = tuple(name for members in pool.values() for name in members)
    return prepare(settings.masters(names), cache_dir, progress=progress)


def _synthetic_patterns(
    out: Path, point: Point, groups: Sequence[int], count: int, settings: StudySettings, cache_dir: str | Path,
    progress: bool,
) -> Manifest:  # fmt: skip
    """Return patterns of synthetic crystals, each group's shared evenly by its crystals."""
    file = out / f"synthetic-{point.synthetic}-{point.draw}.h5"
    if file.is_file() and file.with_suffix(".csv").is_file():
        return Manifest.read(file.with_suffix(".csv"))
    drawn: list[Crystal] = []
    for group in groups:
        rng = np.random.default_rng([settings.seed, point.draw, group])
        drawn += [
            synthetic_crystal(group, rng).replace(name=f"synthetic {group} {number}")
            for number in range(point.synthetic)
        ]
    cache = MasterCache(cache_dir)
    jobs = [
        SimulationJob(one, half_width=settings.half_width, preset=settings.preset, seed=settings.seed)
        for one in drawn
    ]
    missing = [job for job in jobs if cache.find(job.key) is None]
    for finished in simulate_many(missing, cache, workers=1):
        if finished.error is not None:
            raise finished.error
    entries = []
    for crystal, job in zip(drawn, jobs, strict=True):
        path = cache.find(job.key)
        assert path is not None
        visible = visible_or_literal(crystal, "visible")
        entries.append(MasterEntry(path, crystal.name, crystal.space_group, visible, job.energy_kev))
    each = -(-count // point.synthetic)
    return generate(
        MasterSet(entries),
        file,
        count=each,
        shape=settings.size,
        camera=CAMERA,
        quality=QUALITY,
        same_cameras=True,
        seed=settings.seed + 1000 * (point.draw + 1),
        progress=progress,
    )


def _taught(
    out: Path,
    point: Point,
    taught: Mapping[int, Sequence[str]],
    patterns: Manifest,
    settings: StudySettings,
    cache_dir: str | Path,
    progress: bool,
) -> SpaceGroupModel | None:
    """Teach the point's network, or go on with it; None if it was interrupted."""
    import pandas as pd

    run = out / point.key
    if (run / MODEL_FOLDER / "card.json").is_file():
        return load_model(run / MODEL_FOLDER)
    parts = []
    # Half of the training patterns are synthetic where there are any: the number of patterns stays what it is.
    real = point.patterns // 2 if point.synthetic else point.patterns
    names = patterns.frame["material"].astype(str).to_numpy()
    for members in taught.values():
        for place, name in enumerate(members):
            (rows,) = np.nonzero(names == name)
            rows = np.random.default_rng([point.draw, *name.encode()]).permutation(rows)
            learn, check = (
                total // len(members) + (place < total % len(members))
                for total in (real, settings.validation)
            )
            if len(rows) < learn + check:
                raise InputError(name, f"has {len(rows)} patterns; {learn + check} are needed to teach")
            parts.append(patterns.frame.iloc[rows[:learn]].assign(split="train"))
            parts.append(patterns.frame.iloc[rows[learn : learn + check]].assign(split="validation"))
    if point.synthetic:
        more = _synthetic_patterns(
            out, point, tuple(taught), point.patterns - real, settings, cache_dir, progress
        )
        parts.append(more.frame.assign(split="train"))
    manifest = Manifest(pd.concat(parts, ignore_index=True), out)
    config = replace(settings, seed=settings.seed + point.draw).training_config(point.key)
    result = train_stored(manifest, config, run, resume=(run / "config.json").is_file(), progress=progress)
    return load_model(run / MODEL_FOLDER) if result.finished else None


def _ask(
    point: Point,
    taught: Mapping[int, Sequence[str]],
    model: SpaceGroupModel,
    patterns: Manifest,
    pool: Mapping[int, Sequence[str]],
    settings: StudySettings,
    cache_dir: str | Path,
) -> list[dict[str, object]]:
    seen = {name for members in taught.values() for name in members}
    known = {
        "key": point.key, "asked_as": point.question, "materials": point.materials, "z_range": z_range(taught),
        "patterns": point.patterns, "synthetic": point.synthetic, "draw": point.draw,
    }  # fmt: skip
    rows: list[dict[str, object]] = []

    def add(question: str, name: str, right: NDArray[np.bool_], middle: float = float("nan")) -> None:
        crystal = crystals[name]
        about = {"material": name, "space_group": crystal.space_group, "mean_z": crystal.mean_atomic_number}
        counts = {"bin": middle, "n": len(right), "right": int(right.sum())}
        rows.append({"question": question, **known, **about, **counts})

    names = patterns.frame["material"].astype(str).to_numpy()
    for group, members in pool.items():
        for name in members:
            if name in seen:
                continue
            test = patterns.where(names == name)
            right, contrast = _answers(model, test, group)
            if point.question != "baseline":
                add(point.question, name, right)
                continue
            angles = axis_angles_deg(test.frame[["qa", "qb", "qc", "qd"]].to_numpy(dtype=np.float64))
            for question, values, edges in (
                ("orientation", angles, _ANGLE_EDGES),
                ("band contrast", contrast, _CONTRAST_EDGES),
            ):
                inside = np.clip(values, edges[0], np.nextafter(edges[-1], 0.0))
                for low, high in itertools.pairwise(edges):
                    if (which := (inside >= low) & (inside < high)).any():
                        add(question, name, right[which], round((low + high) / 2, 6))
    if point.question == "baseline":
        unseen = {group: tuple(n for n in members if n not in seen) for group, members in pool.items()}
        masters = _pool_masters(settings, unseen, cache_dir, progress=False)
        for noise in _NOISES:
            # A material's master patterns of several energies are one row, as those of one material.
            by_material: dict[str, list[NDArray[np.bool_]]] = {}
            for number, entry in enumerate(masters):
                right = _noisy(masters, number, noise, model, settings)
                by_material.setdefault(entry.material, []).append(right)
            for name, parts in by_material.items():
                add("dose", name, np.concatenate(parts), noise)
    return rows


def _answers(
    model: SpaceGroupModel, test: Manifest, group: int
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Return which patterns of one group are answered rightly, and their band contrast."""
    stored = StoredPatterns(test, (group,), size=model.card.size, labels="literal")
    right, contrast = [], []
    for start in range(0, len(test), _BATCH):
        images = stored.images(np.arange(start, min(start + _BATCH, len(test))))
        prepared = preprocess(images, size=model.card.size)
        best = model.logits(prepared).argmax(axis=1)
        right.append(np.asarray(model.classes)[best] == group)
        contrast.append(band_contrast(images))
    return np.concatenate(right), np.concatenate(contrast)


def _noisy(
    masters: MasterSet, number: int, noise: float, model: SpaceGroupModel, settings: StudySettings
) -> NDArray[np.bool_]:
    """Return which patterns are answered rightly that a good camera records with a given noise over signal."""
    count = max(settings.test // 10, 8)
    rng = np.random.default_rng([settings.seed, number, round(1000 * noise)])
    block = record(
        masters,
        number,
        count,
        settings.size,
        geometry=GeometryRange(),
        cameras=replace(CameraRange.good(), noise_to_signal=(noise, noise)),
        quality=0.0,
        rng=rng,
    )
    best = model.logits(preprocess(block.images, size=model.card.size)).argmax(axis=1)
    right: NDArray[np.bool_] = np.asarray(model.classes)[best] == masters[number].space_group
    return right
