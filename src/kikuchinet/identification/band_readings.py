"""Readings of the bands of a source's patterns, and what is kept of them for the next run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet._version import __version__
from kikuchinet.errors import InputError
from kikuchinet.identification.answer_store import AnswerStore
from kikuchinet.identification.blocks import Images, digest
from kikuchinet.indexing.unnamed import CubicOrientations
from kikuchinet.microscope import Detector
from kikuchinet.models import Identification

if TYPE_CHECKING:
    from kikuchinet.identification.result import SourceAnswer
    from kikuchinet.models.band_network import BandModel, BandReading

_CHUNK = 200
"""Patterns that are read together: the search of orientations projects all templates anew for each of these."""
OF_ORIENTATIONS = ("quaternions", "pattern_centers", "correlations", "templates", "polarity")
_OF_ANSWERS = ("probabilities", "space_groups")


class UnreadableBands(InputError):  # noqa: N818 - says what is the matter, as its parent does
    """Bands of a source cannot be read: its patterns differ in size, or their pattern centre cannot be known."""


def images_of(answer: SourceAnswer, places: NDArray[np.int64], shape: tuple[int, int]) -> list[NDArray[Any]]:
    """Return some of a source's patterns.

    Raises
    ------
    UnreadableBands
        They are not of one size.
    """
    images = [np.asarray(answer.source[int(k)]) for k in places]
    if any(image.shape != shape for image in images):
        raise UnreadableBands(answer.source.name, "its patterns are of different sizes; bands need one")
    return images


def read_or_find(
    answer: SourceAnswer,
    model: BandModel,
    detector: Detector,
    places: NDArray[np.int64],
    store: AnswerStore | None,
    step: Callable[[int], None],
) -> BandReading:
    """Read the bands of some of a source's patterns; take what is kept of an earlier run."""
    parts = []
    key = "" if store is None else reading_key(model, detector, "bands")
    for first in range(0, len(places), _CHUNK):
        mine = places[first : first + _CHUNK]
        images: Images = images_of(answer, mine, detector.shape)
        name = "" if store is None else digest(images, key)
        part = None if store is None else _kept(store, name, model)
        if part is None:
            part = model.identify(images, detector)
            if store is not None:
                store.keep_arrays(name, _arrays(part))
        parts.append(part)
        step(len(mine))
    return _joined(parts)


def reading_key(model: BandModel, detector: Detector, what: str) -> str:
    """Say what a reading depends on besides the patterns."""
    weights = hashlib.sha256()
    for name, tensor in model.network.state_dict().items():
        weights.update(name.encode())
        weights.update(np.ascontiguousarray(tensor.cpu().numpy()).tobytes())
    card = model.card
    return json.dumps(
        [
            what,
            __version__,
            weights.hexdigest(),
            card.classes,
            card.size,
            card.temperature,
            card.abstain_below,
            card.pool_correlation,
            repr(detector),
        ]
    )


def _arrays(reading: BandReading) -> dict[str, NDArray[Any]]:
    """Return a reading as arrays that a file can hold."""
    said = reading.identification
    return {
        "profiles": reading.profiles,
        "reasons": np.asarray(said.reasons, dtype=np.str_),
        **{name: getattr(said, name) for name in _OF_ANSWERS},
        **{name: getattr(reading.orientations, name) for name in OF_ORIENTATIONS},
    }


def _kept(store: AnswerStore, name: str, model: BandModel) -> BandReading | None:
    """Return the reading that is kept under a digest, or None."""
    from kikuchinet.models.band_network import BandReading

    arrays = store.find_arrays(name)
    if arrays is None or not {"profiles", "reasons", *_OF_ANSWERS, *OF_ORIENTATIONS} <= set(arrays):
        return None
    said = Identification(
        model.classes,
        reasons=tuple(arrays["reasons"].tolist()),
        pool_correlation=model.card.pool_correlation,
        **{key: arrays[key] for key in _OF_ANSWERS},
    )
    orientations = CubicOrientations(**{key: arrays[key] for key in OF_ORIENTATIONS})
    return BandReading(said, arrays["profiles"], orientations)


def _joined(parts: Sequence[BandReading]) -> BandReading:
    from kikuchinet.models.band_network import BandReading

    return BandReading(
        Identification.concatenate([part.identification for part in parts]),
        np.concatenate([part.profiles for part in parts]),
        CubicOrientations(
            **{
                name: np.concatenate([getattr(part.orientations, name) for part in parts])
                for name in OF_ORIENTATIONS
            }
        ),
    )
