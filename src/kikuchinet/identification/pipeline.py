"""From patterns to answers, a batch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from kikuchinet.errors import InputError
from kikuchinet.identification.candidates import library_candidates
from kikuchinet.identification.elements import parse_elements
from kikuchinet.identification.result import IdentificationResult, SourceAnswer
from kikuchinet.models import Identification, SpaceGroupModel, load_model
from kikuchinet.patterns import PatternSource, quality, read_patterns

BATCH_SIZE = 64


def identify(
    inputs: str | Path | PatternSource | Iterable[str | Path | PatternSource],
    model: SpaceGroupModel | str | Path | None = None,
    *,
    elements: str | Iterable[str] = (),
    device: str = "auto",
    batch_size: int = BATCH_SIZE,
    progress: Callable[[int, int], None] | None = None,
) -> IdentificationResult:
    """Identify the space group of every pattern, and of all of them together.

    Parameters
    ----------
    inputs
        Files, folders or sources of patterns, one or several. All of them are taken for one crystal when evidence
        is pooled.
    model
        A loaded model, the name of a shipped one or a folder with one; the default model if not given.
    elements
        Symbols, as a list or as ``"Al,Ni"``: library crystals of these elements that agree with the answer are
        listed.
    device
        Where a model that is not loaded yet shall run.
    batch_size
        Patterns in memory at a time.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    IdentificationResult
        Answers, pooled evidence, candidates.

    Raises
    ------
    kikuchinet.errors.InputError
        An input, the model, an element or the device cannot be used.

    Notes
    -----
    Patterns are read, identified and forgotten a batch at a time. What stays is some hundred bytes a pattern.
    """
    symbols = parse_elements(elements)
    sources = open_sources(inputs)
    if not isinstance(model, SpaceGroupModel):
        model = load_model(model, device=device)
    total = sum(len(source) for source in sources)
    done = 0
    answers = []
    for source in sources:
        parts: list[Identification] = []
        qualities: list[np.ndarray] = []
        for images in source.batches(batch_size):
            parts.append(model.identify(images, batch_size=batch_size))
            qualities.append(np.asarray(quality(images), dtype=np.float64))
            done += len(images)
            if progress is not None:
                progress(done, total)
        answers.append(SourceAnswer(source, Identification.concatenate(parts), np.concatenate(qualities)))
    settings: dict[str, Any] = {
        "inputs": [source.name for source in sources],
        "elements": list(symbols),
        "device": str(model.device),
        "precision": model.precision,
        "batch_size": batch_size,
        "abstain_below": model.card.abstain_below,
        "pool_correlation": model.card.pool_correlation,
    }
    result = IdentificationResult(tuple(answers), model.card, settings, symbols)
    if symbols and result.pooled is not None:
        candidates = library_candidates(symbols, result.pooled.space_group)
        result = IdentificationResult(result.answers, model.card, settings, symbols, candidates)
    return result


def open_sources(
    inputs: str | Path | PatternSource | Iterable[str | Path | PatternSource],
) -> list[PatternSource]:
    """Open everything that was given, in order.

    Returns
    -------
    list of PatternSource
        One a file or folder.

    Raises
    ------
    kikuchinet.errors.InputError
        Nothing was given, or something cannot be read.
    """
    items = [inputs] if isinstance(inputs, str | Path | PatternSource) else list(inputs)
    sources: list[PatternSource] = []
    for item in items:
        if isinstance(item, PatternSource):
            sources.append(item)
        else:
            sources.extend(read_patterns([item]))
    if not sources:
        raise InputError("input", "no patterns were given")
    return sources
