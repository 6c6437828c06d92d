"""Honest probabilities for crystals that a model was not taught: its temperature, fitted on others than it learnt from."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from kikuchinet.datasets import pattern_stream, prepare
from kikuchinet.errors import InputError
from kikuchinet.models import ModelCard, load_model
from kikuchinet.models.card import CARD_FILE
from kikuchinet.models.registry import BAND_PROFILES
from kikuchinet.training.calibration import expected_calibration_error, fit_temperature
from kikuchinet.training.config import TrainingConfig, read_config
from kikuchinet.training.export import fresh_from_stream


def calibrate(
    model: str | Path,
    config: str | Path | TrainingConfig,
    *,
    count: int = 6000,
    cache_dir: str | Path = "cache",
    progress: bool = True,
) -> ModelCard:
    """Fit a model's temperature on the fresh patterns that a configuration describes, and write it on the card.

    A training run calibrates its model on fresh patterns of the crystals that it has shown. On crystals it has not shown
    a network is right less often, but no less sure: give a configuration whose crystals are not those of the run.

    Parameters
    ----------
    model
        Folder of a model, never the name of one that ships; its card is rewritten.
    config
        Describes ``[masters]`` and ``[stream]``; or the path of its file. All patterns have the qualities that its stream
        ends with. They are drawn with the stream's own seed: where the crystals are those of the run, so are the patterns.
    count
        Patterns; the temperature is fitted on the first half, the expected calibration error is that of the second.
    cache_dir
        Where simulated master patterns are kept.
    progress
        Show a progress bar while they are made.

    Returns
    -------
    ModelCard
        As written. ``details["calibration"]`` says what was done.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such folder, or the configuration describes no stream.
    """
    folder = Path(model).resolve()
    if not (folder / CARD_FILE).is_file():
        raise InputError(model, f"has no {CARD_FILE}")
    settings = config if isinstance(config, TrainingConfig) else read_config(config)
    if settings.masters is None or settings.stream is None:
        raise InputError(str(config), "describes no stream of simulated patterns")
    if ModelCard.load(folder / CARD_FILE).architecture == BAND_PROFILES:
        from kikuchinet.training.bands import calibrate_bands

        return calibrate_bands(folder, settings, count=count, cache_dir=cache_dir, progress=progress)
    network = load_model(folder)
    masters = prepare(settings.masters, cache_dir, progress=progress)
    card = network.card
    present = masters.classes_shown(card.classes, card.labels)
    # What a stream begins with is for a network that knows nothing yet.
    asked = replace(settings.stream, quality=replace(settings.stream.quality, images=0))
    stream = pattern_stream(masters, present, asked, size=card.size, labels=card.labels)
    columns = np.array([card.classes.index(group) for group in present])
    outputs, truths = [], []
    for images, labels in fresh_from_stream(stream, count):
        outputs.append(network.logits(images.cpu().numpy()))
        truths.append(columns[labels.cpu().numpy()])
    logits, truth = np.concatenate(outputs), np.concatenate(truths)
    card = calibrated(card, logits, truth, settings.name)
    card.save(folder / CARD_FILE)
    return card


def right_or_label(
    outputs: NDArray[np.float64], right: NDArray[np.bool_], labels: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return the truth of each output: the likeliest class where it is a right answer, else the label.

    Parameters
    ----------
    outputs
        (n, classes).
    right
        (n, classes) `kikuchinet.datasets.labels.accepted`.
    labels
        (n,) indices of the visible group.

    Returns
    -------
    numpy.ndarray
        (n,) indices.
    """
    likeliest = outputs.argmax(axis=1)
    return np.where(right[np.arange(len(right)), likeliest], likeliest, labels)


def calibrated(
    card: ModelCard, logits: NDArray[np.float64], truth: NDArray[np.int64], config: str
) -> ModelCard:
    """Return a card with the temperature fitted on the first half of some outputs, and how far off it is on the second.

    Parameters
    ----------
    card
        As it was.
    logits, truth
        (n, classes) outputs, and (n,) indices of the true classes.
    config
        Name of the configuration that the patterns are of.
    """
    half = len(truth) // 2
    temperature = fit_temperature(logits[:half], truth[:half])

    def gap(divisor: float) -> float:
        return expected_calibration_error(softmax(logits[half:] / divisor, axis=1), truth[half:])

    calibration = {
        "config": config,
        "patterns": half,
        "temperature_before": card.temperature,
        "accuracy": float((logits[half:].argmax(axis=1) == truth[half:]).mean()),
        "expected_calibration_error_before": gap(card.temperature),
        "expected_calibration_error": gap(temperature),
    }
    return replace(card, temperature=temperature, details={**card.details, "calibration": calibration})
