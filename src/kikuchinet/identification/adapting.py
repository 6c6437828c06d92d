"""The model fitted to the scan before it answers: which patterns of the scan, and where the outcome is kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kikuchinet.identification.answer_store import AnswerStore
from kikuchinet.identification.blocks import digest
from kikuchinet.models import Adaptation, SpaceGroupModel, adapt
from kikuchinet.models.adaptation import PRIOR
from kikuchinet.patterns import PatternSource, preprocess, quality

MOST = 2048
"""Patterns that a model is fitted to at most."""
_DRAWN = 2
"""How many times as many are looked at where there are enough; the sharpest of them are taken."""
_RUN = 64
"""Neighbouring patterns that are read at once."""
_SEED = 20_201_103


def adapt_to_scan(
    sources: Sequence[PatternSource],
    model: SpaceGroupModel,
    *,
    most: int = MOST,
    prior: float = PRIOR,
    store: AnswerStore | None = None,
    key: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Adaptation:
    """Fit a model to the patterns of a run, all of which should come from one camera.

    Parameters
    ----------
    sources
        The patterns.
    model
        The model; it is not changed.
    most, prior
        Patterns taken at most, and patterns that training's statistics count for.
    store
        Where the outcome of an unfinished run is looked up and kept.
    key
        What else the outcome depends on: the model.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    Adaptation
        The same for the same patterns and model.

    Raises
    ------
    kikuchinet.errors.InputError
        The network has no batch normalisation.
    """
    prepared = sample(sources, model.card.size, most)
    if store is None:
        return adapt(model, prepared, prior=prior, progress=progress)
    name = digest(prepared, f"adaptation {prior} {key}")
    kept = store.find_arrays(name)
    if kept is not None and "adaptation" in kept:
        return _unpacked(kept)
    found = adapt(model, prepared, prior=prior, progress=progress)
    store.keep_arrays(name, _packed(found))
    return found


def sample(sources: Sequence[PatternSource], size: tuple[int, int], most: int = MOST) -> NDArray[np.float32]:
    """Return patterns of a run, made ready for the network, in random order.

    Parameters
    ----------
    sources
        The patterns. What cannot be read is left out.
    size
        Rows and columns of the network's input.
    most
        Patterns at most. Twice as many are looked at, at places drawn at random (always the same ones), and the sharpest
        are taken. Patterns without contrast never are.

    Returns
    -------
    numpy.ndarray
        float32 (n, rows, columns).
    """
    starts = np.cumsum([0, *(len(source) for source in sources)])
    rng = np.random.default_rng(_SEED)
    places = np.sort(rng.permutation(int(starts[-1]))[: _DRAWN * most])
    prepared, sharpness = [], []
    for number, source in enumerate(sources):
        inside = places[(places >= starts[number]) & (places < starts[number + 1])] - starts[number]
        for first, last in _runs(inside.tolist()):
            images, failed = source.salvage(first, last)
            ready = preprocess(images, size=size)
            shown = np.ptp(ready, axis=(1, 2)) > 0
            shown[[index - first for index in failed]] = False
            prepared.append(ready[shown])
            sharpness.append(quality(images)[shown])
    if not prepared:
        return np.empty((0, *size), dtype=np.float32)
    everything, figures = np.concatenate(prepared), np.concatenate(sharpness)
    best = np.argsort(-figures, kind="stable")[:most]
    return everything[rng.permutation(best)]


def _runs(places: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield first and last + 1 of runs of neighbours, none longer than `_RUN`."""
    first = 0
    for k in range(1, len(places) + 1):
        if k == len(places) or places[k] != places[k - 1] + 1 or k - first == _RUN:
            yield places[first], places[k - 1] + 1
            first = k


def _packed(found: Adaptation) -> dict[str, NDArray[np.generic]]:
    figures = [found.patterns, found.effective, found.weight, *found.entropies, float(found.used)]
    return {"adaptation": np.array(figures), **dict(found.statistics)}


def _unpacked(arrays: dict[str, NDArray[np.generic]]) -> Adaptation:
    patterns, effective, weight, before, after, used = arrays["adaptation"].tolist()
    statistics = {name: array.astype(np.float32) for name, array in arrays.items() if name != "adaptation"}
    return Adaptation(
        int(patterns), effective, weight, (before, after), used=bool(used), statistics=statistics
    )
