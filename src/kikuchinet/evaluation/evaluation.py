"""Score a model on stored patterns or on fresh simulated ones, and write the tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.datasets import MasterSet, PatternStream, QualityRange, StreamConfig, prepare, windows
from kikuchinet.datasets.labels import accepted, among
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.errors import InputError
from kikuchinet.evaluation.grains import ScanScores, score_scan
from kikuchinet.evaluation.pooling import calibration_error, score_pools
from kikuchinet.evaluation.scores import Scores, score
from kikuchinet.models import Identification, SpaceGroupModel, load_model
from kikuchinet.models.card import CARD_FILE
from kikuchinet.models.space_group_model import answers
from kikuchinet.training.config import TrainingConfig
from kikuchinet.training.tables import build

if TYPE_CHECKING:
    import pandas as pd

    from kikuchinet.datasets.profiles import Profiles
    from kikuchinet.models.band_network import BandModel

GOOD_SEED = 2_000_003
"""Seed of the fresh patterns that models are scored on; no training stream uses it."""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A model's scores.

    Parameters
    ----------
    model
        Name and version of the model.
    visible, literal
        Scores against the visibility-limited and the literal space group. An answer that is another of the groups that the
        crystal's pattern does not tell apart (`kikuchinet.diffraction.visible_groups`) counts as the visible group.
    pools
        Scores of answers pooled over several patterns of a material, against the visible group; see
        `kikuchinet.evaluation.pooling.score_pools`.
    calibration_error
        Expected calibration error against the visible group; None if no pattern is of a group of the model's.
    scan
        Scores grain by grain, of a manifest that says which grain each pattern is of.
    """

    model: str
    visible: Scores
    literal: Scores
    pools: pd.DataFrame
    calibration_error: float | None
    scan: ScanScores | None = None

    def summary(self) -> dict[str, object]:
        """Return the figures that a card or a JSON file holds."""
        result: dict[str, object] = {}
        for scores in (self.visible, self.literal):
            groups = scores.groups[scores.groups["patterns"] > 0]
            result[scores.kind] = {
                "patterns": int(groups["patterns"].sum()),
                "accuracy": scores.accuracy,
                "macro_recall": scores.macro_recall,
                "recall": {
                    str(row.space_group): [row.recall, row.recall_low, row.recall_high]
                    for row in groups.itertuples()
                },
                "recall_by_material": {row.material: row.recall for row in scores.materials.itertuples()},
            }
        result["pooled"] = {
            str(row.pooled): {"accuracy": row.accuracy, "macro_recall": row.macro_recall}
            for row in self.pools.itertuples()
        }
        result["calibration_error"] = self.calibration_error
        if self.scan is not None:
            result["scan"] = self.scan.summary()
        return result

    def write(self, out: str | Path) -> None:
        """Write CSV tables, ``evaluation.md`` and ``evaluation.json`` into a folder."""
        out = Path(out)
        text = [f"# {self.model}", ""]
        for scores in (self.visible, self.literal):
            for name in ("groups", "materials", "counts"):
                frame: pd.DataFrame = getattr(scores, name)
                if name == "counts":
                    frame = frame.reset_index()
                with atomic_path(out / f"{scores.kind}_{name}.csv") as temporary:
                    frame.to_csv(temporary, index=False)
                text += [f"## {scores.kind} space group: {name}", "", *_markdown(frame), ""]
            text += [
                f"Accuracy {scores.accuracy:.4f}, mean recall of the groups {scores.macro_recall:.4f}.",
                "",
            ]
        with atomic_path(out / "pooled.csv") as temporary:
            self.pools.to_csv(temporary, index=False)
        text += ["## visible space group: patterns of one material pooled", "", *_markdown(self.pools), ""]
        if self.calibration_error is not None:
            text += [f"Expected calibration error {self.calibration_error:.4f}.", ""]
        if self.scan is not None:
            for name in ("grains", "places"):
                table: pd.DataFrame = getattr(self.scan, name)
                with atomic_path(out / f"scan_{name}.csv") as temporary:
                    table.to_csv(temporary, index=False)
            right = int(self.scan.grains["pooled_right"].sum())
            text += ["## Scan: places", "", *_markdown(self.scan.places), ""]
            text += [f"Pooled over each grain, {right} of {len(self.scan.grains)} grains are right.", ""]
        with atomic_path(out / "evaluation.md") as temporary:
            temporary.write_text("\n".join(text), encoding="utf-8")
        with atomic_path(out / "evaluation.json") as temporary:
            temporary.write_text(json.dumps(self.summary(), indent=1), encoding="utf-8")


def evaluate(
    model: str | Path | SpaceGroupModel,
    patterns: str | Path | Manifest | PatternStream,
    out: str | Path | None = None,
    *,
    count: int = 6000,
    batch_size: int = 64,
    progress: bool = True,
) -> Evaluation:
    """Score a model.

    Parameters
    ----------
    model
        A model, or what `kikuchinet.models.load_model` takes.
    patterns
        A manifest of stored patterns, or a stream of simulated ones.
    out
        Folder for the tables; nothing is written if not given.
    count
        Patterns to take from a stream, at least; rounded up to whole windows.
    batch_size
        Patterns per pass through the network.
    progress
        Show a progress bar.

    Returns
    -------
    Evaluation
        Scores against the visible and the literal space group. For a model with `kikuchinet.crystal.OUTSIDE` among its
        classes that is the truth of all crystals of groups that are not.

    Raises
    ------
    kikuchinet.errors.InputError
        The model or the manifest is wrong.
    """
    network = model if isinstance(model, SpaceGroupModel) else load_model(model)
    if isinstance(patterns, PatternStream):
        batches, total = _from_stream(patterns, count, network.classes), count
    else:
        manifest = patterns if isinstance(patterns, Manifest) else Manifest.read(patterns)
        batches, total = _from_manifest(manifest, network, batch_size), len(manifest)
    parts: list[Identification] = []
    visible, literal, materials, right = [], [], [], []
    for batch in _tracked(batches, total, progress):
        logits = network.logits(batch.images, batch_size=batch_size)
        parts.append(network.answer(logits, batch.images))
        visible.append(batch.visible)
        right.append(batch.right)
        literal.append(batch.literal)
        materials.append(batch.materials)
    identification = Identification.concatenate(parts)
    scan = None
    if not isinstance(patterns, PatternStream) and "grain" in manifest.frame.columns:
        scan = score_scan(manifest, identification)
    result = _scored(
        f"{network.name} {network.version}",
        identification,
        np.concatenate(visible),
        np.concatenate(literal),
        np.concatenate(materials),
        np.concatenate(right),
        scan,
    )
    if out is not None:
        result.write(out)
    return result


def _scored(
    model: str,
    identification: Identification,
    visible: NDArray[np.int64],
    literal: NDArray[np.int64],
    names: NDArray[np.str_],
    right: NDArray[np.bool_],
    scan: ScanScores | None = None,
) -> Evaluation:
    said, classes = identification.answers, identification.classes
    seen = among(visible, classes)
    accepts = np.array([bool(row[np.isin(classes, one)].any()) for row, one in zip(right, said, strict=True)])
    return Evaluation(
        model=model,
        visible=score("visible", seen, np.where(accepts, seen, said), names, classes),
        literal=score("literal", among(literal, classes), said, names, classes),
        pools=score_pools(identification, seen, names, right=right),
        calibration_error=calibration_error(identification, seen, right),
        scan=scan,
    )


def evaluate_fresh(
    model: str | Path | SpaceGroupModel,
    masters: MasterSet,
    out: str | Path | None = None,
    *,
    config: StreamConfig | None = None,
    quality: QualityRange | None = None,
    camera: str = "good",
    count: int = 6000,
    seed: int = GOOD_SEED,
    progress: bool = True,
) -> Evaluation:
    """Score a model on fresh simulated patterns of good quality.

    Parameters
    ----------
    model
        A model, or what `kikuchinet.models.load_model` takes.
    masters
        Master patterns of the materials.
    out
        Folder for the tables.
    config
        A stream's geometry and block sizes; the default's if not given.
    quality
        Range of qualities; all that `camera` allows if not given.
    camera
        ``good`` or ``mixed``.
    count
        Patterns, at least.
    seed
        Seed of the patterns; must differ from the training's.
    progress
        Show a progress bar.

    Returns
    -------
    Evaluation
        The scores.
    """
    network = model if isinstance(model, SpaceGroupModel) else load_model(model)
    base = config if config is not None else StreamConfig()
    stream = PatternStream(
        masters,
        # Groups of which there is no crystal are not asked about; they may be answered.
        masters.classes_shown(network.classes, network.card.labels),
        # Compiled code: a score does not depend on the machine that it is worked out on.
        replace(base, seed=seed, camera=camera, cameras=(), quality=quality or QualityRange(), device=""),
        size=network.card.size,
        labels=network.card.labels,
    )
    return evaluate(network, stream, out, count=count, progress=progress)


def evaluate_bands(
    model: BandModel,
    masters: MasterSet,
    out: str | Path | None = None,
    *,
    config: StreamConfig | None = None,
    camera: str = "good",
    count: int = 6000,
    seed: int = GOOD_SEED,
    progress: bool = True,
) -> Evaluation:
    """Score a model of band profiles on fresh simulated patterns; orientations are found as in measured ones.

    Parameters
    ----------
    model
        The model.
    masters, out, config, camera, count, seed, progress
        As for `evaluate_fresh`. About 200 patterns share a screen, whose pattern centre is known with an error.

    Returns
    -------
    Evaluation
        The scores.
    """
    from kikuchinet.training.bands import fresh_profiles

    base = config if config is not None else StreamConfig()
    stream = replace(base, seed=seed, camera=camera, cameras=(), quality=QualityRange(), device="")
    profiles = fresh_profiles(model, masters, stream, count, progress=progress)
    result = score_profiles(model, masters, profiles)
    if out is not None:
        result.write(out)
    return result


def score_profiles(model: BandModel, masters: MasterSet, profiles: Profiles) -> Evaluation:
    """Score a model on band profiles that are there already.

    Parameters
    ----------
    model
        The model.
    masters
        The master patterns that the profiles are of.
    profiles
        The profiles, `kikuchinet.training.bands.fresh_profiles`.

    Returns
    -------
    Evaluation
        The scores.
    """
    entries = [masters[int(k)] for k in profiles.masters]
    logits = model.logits(profiles.values)
    return _scored(
        f"{model.card.name} {model.card.version}",
        answers(model.card, logits, np.zeros(len(logits), dtype=bool)),
        np.array([entry.visible_group for entry in entries], dtype=np.int64),
        np.array([entry.space_group for entry in entries], dtype=np.int64),
        np.array([entry.material for entry in entries]),
        accepted([entry.visible_groups for entry in masters], model.card.classes)[profiles.masters],
    )


def add_to_card(folder: str | Path, name: str, evaluation: Evaluation) -> None:
    """Write an evaluation's figures into the card of a model's folder, under a name.

    Parameters
    ----------
    folder
        The model's folder.
    name
        What the figures are called on the card.
    evaluation
        The scores.
    """
    from kikuchinet.models import ModelCard

    path = Path(folder) / CARD_FILE
    card = ModelCard.load(path)
    figures = {**card.details.get("figures", {}), name: evaluation.summary()}
    replace(card, details={**card.details, "figures": figures}).save(path)


def score_card(
    folder: str | Path,
    out: str | Path | None = None,
    *,
    cache_dir: str | Path = "cache",
    count: int = 6000,
    progress: bool = True,
) -> Evaluation:
    """Score a model that was trained on a stream on fresh patterns of good quality, and write that on its card.

    Parameters
    ----------
    folder
        The model's folder. Its card says which master patterns and which geometry it was trained with. It is scored on
        the materials, not on the others that it learnt from besides.
    out
        Folder for the tables.
    cache_dir
        Where simulated master patterns are kept.
    count
        Patterns, at least.
    progress
        Show progress bars.

    Returns
    -------
    Evaluation
        The scores, on the card as ``fresh_good``.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such model, or it was not trained on a stream.
    """
    model = load_model(folder)
    config = build(TrainingConfig, model.card.details.get("config", {}), f"{folder}: config")
    if config.masters is None or config.stream is None:
        raise InputError(folder, "was not trained on a stream")
    masters = prepare(replace(config.masters, others=()), cache_dir, progress=progress)
    result = evaluate_fresh(model, masters, out, config=config.stream, count=count, progress=progress)
    add_to_card(folder, "fresh_good", result)
    return result


@dataclass(frozen=True, eq=False)
class _Truths:
    images: NDArray[np.float32]
    visible: NDArray[np.int64]
    literal: NDArray[np.int64]
    materials: NDArray[np.str_]
    right: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.images)


def _from_stream(stream: PatternStream, count: int, classes: tuple[int, ...]) -> Iterator[_Truths]:
    if count < 1:
        raise InputError("count", f"{count} is not positive")
    visible = np.array([entry.visible_group for entry in stream.masters], dtype=np.int64)
    literal = np.array([entry.space_group for entry in stream.masters], dtype=np.int64)
    names = np.array([entry.material for entry in stream.masters])
    right = accepted([entry.visible_groups for entry in stream.masters], classes)
    made = 0
    for window in windows(stream):
        k = window.masters
        yield _Truths(window.images, visible[k], literal[k], names[k], right[k])
        made += len(window)
        if made >= count:
            return


def _from_manifest(manifest: Manifest, model: SpaceGroupModel, batch_size: int) -> Iterator[_Truths]:
    # A manifest may hold groups that the model does not know: they count as not found.
    groups = tuple(sorted(set(manifest.labels("literal").tolist())))
    stored = StoredPatterns(manifest, groups, size=model.card.size, labels="literal")
    visible, literal = manifest.labels("visible"), manifest.labels("literal")
    right = accepted(manifest.right_groups(), model.classes)
    names = manifest.frame["material"].to_numpy(dtype=str)
    start = 0
    for images, _ in stored.batches(batch_size):
        where = slice(start, start + len(images))
        yield _Truths(images.numpy(), visible[where], literal[where], names[where], right[where])
        start += len(images)


def _tracked(batches: Iterable[_Truths], total: int, progress: bool) -> Iterator[_Truths]:
    from rich.progress import Progress

    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("evaluating", total=total)
        for batch in batches:
            yield batch
            bar.advance(task, len(batch))


def _markdown(frame: pd.DataFrame) -> list[str]:
    def cell(value: object) -> str:
        return f"{value:.3f}" if isinstance(value, float) else str(value)

    lines = ["| " + " | ".join(map(str, frame.columns)) + " |", "|" + " --- |" * len(frame.columns)]
    lines += ["| " + " | ".join(cell(v) for v in row) + " |" for row in frame.itertuples(index=False)]
    return lines
