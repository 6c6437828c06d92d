"""From a trained network to a model that ships: weights, temperature, card."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

import kikuchinet
from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import groups_of
from kikuchinet.datasets import PatternStream
from kikuchinet.datasets.stream import Batch
from kikuchinet.models import ModelCard, load_model, save_model
from kikuchinet.models.card import CARD_FILE
from kikuchinet.models.space_group_model import softmax
from kikuchinet.training.calibration import expected_calibration_error, fit_temperature
from kikuchinet.training.config import TrainingConfig

Prepared = Iterator[Batch]
"""Prepared patterns and the indices of their classes, as streams and stored sets give them."""


def export(
    folder: Path,
    network: nn.Module,
    config: TrainingConfig,
    fresh: Prepared,
    *,
    data: Mapping[str, Any],
    images_seen: int,
    hours: float,
) -> ModelCard:
    """Write a model folder: weights, temperature fitted on fresh patterns, card with figures.

    It appears when all that is done: what is interrupted leaves no model.

    Parameters
    ----------
    folder
        Where the model goes; a model that is there is replaced.
    network
        The trained network.
    config
        The training run.
    fresh
        Patterns that were not trained on. The first half fits the temperature, the second half is scored.
    data
        What the card says about the training data.
    images_seen, hours
        How long training was.

    Returns
    -------
    ModelCard
        The card as written.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    # In the same folder, so that it can be renamed: whoever finds a model there finds it finished.
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
        part = Path(temporary) / folder.name
        save_model(
            part,
            network,
            name=config.name,
            version=config.version,
            architecture=config.model.architecture,
            classes=config.model.classes,
            size=config.model.size,
            labels=config.labels,
            abstain_below=config.abstain_below,
            bits=config.weight_bits,
            details={},
        )
        # Loaded again, so that what is calibrated and scored are the rounded weights that ship.
        model = load_model(part, precision=config.precision)
        outputs, truths = [], []
        for images, labels in fresh:
            outputs.append(model.logits(images.cpu().numpy()))
            truths.append(labels.cpu().numpy())
        logits, truth = np.concatenate(outputs), np.concatenate(truths)
        half = len(truth) // 2
        temperature = fit_temperature(logits[:half], truth[:half])
        probabilities = softmax(logits[half:] / temperature)
        right = probabilities.argmax(axis=1) == truth[half:]
        recall = {
            str(group): float(right[truth[half:] == i].mean())
            for i, group in enumerate(config.model.classes)
            if (truth[half:] == i).any()
        }
        details = {
            "data": dict(data),
            "seed": config.seed,
            "commit": code_commit(),
            "package_version": kikuchinet.__version__,
            "hours": round(hours, 3),
            "images_seen": images_seen,
            "figures": {
                "calibration_patterns": half,
                "scored_patterns": len(right),
                "accuracy": float(right.mean()),
                "recall": recall,
                "expected_calibration_error": expected_calibration_error(probabilities, truth[half:]),
            },
            "config": asdict(config),
            "licence": "GPL-3.0-or-later",
            "limits": [
                _answers_with(config.model.classes),
                "Learnt from the listed materials only; on other materials it may be confidently wrong.",
                "A missing inversion centre, or ordering too weak for a camera, is not seen.",
            ],
        }
        card = replace(model.card, temperature=temperature, details=details)
        card.save(part / CARD_FILE)
        # That of before, where a finished run is gone on with.
        if folder.exists():
            shutil.rmtree(folder)
        part.replace(folder)
    return card


def _answers_with(classes: tuple[int, ...]) -> str:
    """Return what a model can answer, as a limit for its card."""
    groups = ", ".join(map(str, groups_of(classes)))
    if OUTSIDE not in classes:
        return f"Answers one of the space groups {groups}, whatever it is shown."
    return (
        f"Answers one of the space groups {groups}, or that it is none of them (class 0), which it learnt from the listed "
        "crystals of other groups only."
    )


def fresh_from_stream(stream: PatternStream, n: int) -> Prepared:
    """Return the first patterns of a stream, at least n, window by window."""
    window = stream.config.window
    return islice(stream.batches(window), -(-n // window))


def code_commit() -> str | None:
    """Return the commit that the package's code stands at, where it is a git checkout."""
    try:
        run = subprocess.run(
            ["git", "-C", str(Path(kikuchinet.__file__).parent), "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()
