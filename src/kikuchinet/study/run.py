"""One experiment from patterns to predictions, and all of them, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kikuchinet._files import atomic_path
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.errors import InputError
from kikuchinet.models import load_model
from kikuchinet.study.protocol import Experiment, divide
from kikuchinet.study.settings import StudySettings
from kikuchinet.study.tables import LEVELS, LevelScores, counts, markdown, score_level
from kikuchinet.training.run import MODEL_FOLDER, TrainingResult
from kikuchinet.training.stored import train_stored

if TYPE_CHECKING:
    import pandas as pd

PREDICTIONS = "predictions.csv"
_CARRIED = (
    *("qa", "qb", "qc", "qd", "pc_x", "pc_y", "pc_z", "map"),
    *("quality", "overlap", "image_quality", "band_contrast", "mad_deg"),
)
_BATCH = 64


@dataclass(frozen=True, eq=False)
class ExperimentResult:
    """What an experiment has reached.

    Parameters
    ----------
    experiment
        The experiment.
    folder
        Where its tables and its model are.
    predictions
        One row a test pattern: ``material, space_group, answer, probability, right``, a column ``p_NUMBER`` for each group,
        ``file`` and ``index`` of the pattern, and what the manifest says of orientation and quality. None if training was
        interrupted.
    """

    experiment: Experiment
    folder: Path
    predictions: pd.DataFrame | None

    def scores(self, level: str) -> LevelScores:
        """Return the scores at a level of truth.

        Raises
        ------
        kikuchinet.errors.InputError
            The experiment is not finished, or there is no such level.
        """
        if self.predictions is None:
            raise InputError(self.experiment.name, "was interrupted; it has no predictions yet")
        return score_level(level, self.predictions, self.experiment)


def run_experiment(
    experiment: Experiment,
    manifest: Manifest,
    out: str | Path,
    settings: StudySettings,
    *,
    progress: bool = True,
) -> ExperimentResult:
    """Train one of the paper's networks on patterns of its materials and ask it about all others.

    Parameters
    ----------
    experiment
        What teaches the network.
    manifest
        Patterns of the paper's materials, simulated or measured.
    out
        Folder of this experiment. What is finished there is not done again; what was interrupted goes on.
    settings
        Size of the study.
    progress
        Show progress bars.

    Returns
    -------
    ExperimentResult
        With predictions, unless training was interrupted (Ctrl-C).

    Raises
    ------
    kikuchinet.errors.InputError
        The manifest has too few patterns, or the folder holds another experiment.
    """
    out = Path(out)
    divided = divide(
        manifest, experiment, training=settings.training, validation=settings.validation, seed=settings.seed
    )
    with atomic_path(out / "patterns.csv") as temporary:
        divided.frame.to_csv(temporary, index=False)
    run = out / "run"
    parts = divided.frame["split"].isin(["train", "validation"]).to_numpy()
    # Predictions may be there without the network that made them: those of a published study are.
    known = _known_predictions(out / PREDICTIONS)
    if known is None and not (run / MODEL_FOLDER / "card.json").is_file():
        training: TrainingResult = train_stored(
            divided.where(parts),
            settings.training_config(experiment.name),
            run,
            resume=(run / "config.json").is_file(),
            progress=progress,
        )
        if not training.finished:
            return ExperimentResult(experiment, out, None)
    if known is None:
        known = _predictions(divided, run / MODEL_FOLDER, out / PREDICTIONS, progress)
    finished = ExperimentResult(experiment, out, known)
    write_tables(finished)
    return finished


def load_result(experiment: Experiment, folder: Path) -> ExperimentResult | None:
    """Return what an earlier run found of an experiment; None if it is not finished."""
    import pandas as pd

    path = folder / PREDICTIONS
    if not path.is_file():
        return None
    return ExperimentResult(experiment, folder, pd.read_csv(path))


def write_tables(result: ExperimentResult) -> None:
    """Write counts and scores at all levels of truth, CSV and Markdown, into the experiment's folder."""
    assert result.predictions is not None
    table = counts(result.predictions)
    text = [f"# {result.experiment.name} (Table {result.experiment.table})", "", "## Counts", ""]
    text += [markdown(table.reset_index()), ""]
    with atomic_path(result.folder / "counts.csv") as temporary:
        table.to_csv(temporary)
    for level in LEVELS:
        scores = result.scores(level)
        for name in ("classes", "materials"):
            frame: pd.DataFrame = getattr(scores, name)
            with atomic_path(result.folder / f"{level}_{name}.csv") as temporary:
                frame.to_csv(temporary, index=False)
            text += [f"## {level}: {name}", "", markdown(frame), ""]
        share, low, high = scores.accuracy
        text += [
            f"Accuracy {share:.3f} ({low:.3f} to {high:.3f}), mean recall of the classes {scores.macro_recall:.3f}.",
            f"Mean recall of materials that taught {scores.seen:.3f}, of the others {scores.unseen:.3f}.",
            "",
        ]
    with atomic_path(result.folder / "tables.md") as temporary:
        temporary.write_text("\n".join(text), encoding="utf-8")


def _known_predictions(path: Path) -> pd.DataFrame | None:
    import pandas as pd

    if not path.is_file():
        return None
    known = pd.read_csv(path)
    # Tables of before the columns `file` and `index` are made anew: figures look the patterns up by them.
    return known if {"file", "index"} <= set(known.columns) else None


def _predictions(divided: Manifest, model_folder: Path, path: Path, progress: bool) -> pd.DataFrame:
    from rich.progress import track

    model = load_model(model_folder)
    test = divided.where((divided.frame["split"] == "test").to_numpy())
    # Labels play no part here: a test material may be of a group that the network does not know.
    patterns = StoredPatterns(
        test, tuple(sorted(set(test.labels("literal").tolist()))), size=model.card.size, labels="literal"
    )
    parts = []
    total = -(-len(test) // _BATCH)
    for prepared, _ in track(
        patterns.batches(_BATCH), "testing", total, disable=not progress, transient=True
    ):
        images = prepared.numpy()
        parts.append(model.answer(model.logits(images), images).probabilities)
    probabilities = np.concatenate(parts)
    frame = test.frame[["material", "space_group"]].reset_index(drop=True)
    # The paper counts the likeliest group, however unlikely; so does this table. Nobody abstains.
    frame["answer"] = np.asarray(model.classes)[probabilities.argmax(axis=1)]
    frame["probability"] = probabilities.max(axis=1)
    frame["right"] = frame["answer"] == frame["space_group"]
    for place, group in enumerate(model.classes):
        frame[f"p_{group}"] = probabilities[:, place]
    for name in ("file", "index", *_CARRIED):
        if name in test.frame.columns:
            frame[name] = test.frame[name].to_numpy()
    with atomic_path(path) as temporary:
        frame.to_csv(temporary, index=False)
    return frame
