"""Answers from band profiles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.outside import answer_title
from kikuchinet.errors import InputError
from kikuchinet.identification.answer_store import AnswerStore
from kikuchinet.identification.band_grains import (
    LEAST_POINTS,
    MOST_PATTERNS,
    BandShare,
    agreeing,
    comparable,
    merged,
)
from kikuchinet.identification.band_readings import (
    OF_ORIENTATIONS,
    UnreadableBands,
    images_of,
    read_or_find,
    reading_key,
)
from kikuchinet.identification.blocks import digest
from kikuchinet.identification.grains import Grains, pool_grains
from kikuchinet.identification.physics import Physics
from kikuchinet.indexing.bands import pooled_profiles
from kikuchinet.indexing.unnamed import CubicOrientations
from kikuchinet.microscope import Detector
from kikuchinet.models import Identification

if TYPE_CHECKING:
    from kikuchinet.identification.result import IdentificationResult, SourceAnswer
    from kikuchinet.models.band_network import BandModel, BandReading

_SOUGHT_WITH, _SOUGHT_WITH_AT_LEAST = 8, 4
"""Patterns with which an unknown pattern centre is sought. From one, of silicon, measured, a wrong one was found."""

Places = Sequence[NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class SourceBands:
    """What the bands of one source's patterns say, or those of one of its phases.

    Parameters
    ----------
    source
        Which of the run's sources.
    patterns
        (n,) the patterns that were read, as numbers within the source.
    profiles
        float32 (n, 4, families, bins).
    orientations
        How the crystal lies, if it is cubic.
    detector
        Where the screen stood to begin with.
    geometry
        How that is known: ``given``, ``file`` or ``sought``.
    answer, runner_up
        The likeliest and the second likeliest answer of all these patterns together.
    families
        (families,) how much the bands of each family speak for the answer and against the runner-up: the fall of the
        logarithm of their odds when they are taken away.
    grains
        How many grains of a scan these patterns speak for; None where every pattern was read.
    """

    source: int
    patterns: NDArray[np.int64]
    profiles: NDArray[np.float32]
    orientations: CubicOrientations
    detector: Detector
    geometry: str
    answer: int
    runner_up: int
    families: NDArray[np.float64]
    grains: int | None = None

    @property
    def pooled_profiles(self) -> NDArray[np.float32]:
        """float32 (4, families, bins), of all patterns together."""
        return pooled_profiles(self.profiles)


def obstacle(result: IdentificationResult, settings: Physics | None = None, *, asked: bool = False) -> str:
    """Return why bands are not read, in words; empty if nothing stands against it.

    Parameters
    ----------
    result
        Whose patterns.
    settings
        Its pattern centre counts, if there is one.
    asked
        Whether it was asked for. If not, a pattern centre must be known, as one that is found from a few patterns may be
        wrong, and of more than `kikuchinet.identification.band_grains.MOST_PATTERNS` patterns grains must be known.
    """
    if asked:
        return ""
    for answer in result.answers:
        if answer.source.geometry is None and (settings is None or settings.pattern_center is None):
            return f"no pattern centre is known for {answer.source.name}"
    n = len(result.identification)
    if n > MOST_PATTERNS and all(answer.grains is None for answer in result.answers):
        return (
            f"{n:,} patterns are many; bands are read of up to {MOST_PATTERNS} patterns, or of some of each grain where "
            "grains are known, unless it is asked for"
        )
    return ""


def read_bands(
    result: IdentificationResult,
    model: BandModel,
    settings: Physics | None = None,
    *,
    sample: Places | None = None,
    store: AnswerStore | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> IdentificationResult:
    """Answer patterns by their band profiles instead of as a whole.

    Parameters
    ----------
    result
        The answers of a network of whole patterns, in which nothing stands against it (`obstacle`).
    model
        The model of band profiles.
    settings
        Its pattern centre, if there is one; else the files' counts, and where they have none it is sought. Its tilts, where
        they are given; else the files' count.
    sample
        Of each source the patterns to be read, which then speak for their grains
        (`kikuchinet.identification.band_grains.sample_grains`). If not given, all are read in which the network saw
        something: blank ones and those that cannot be read keep the reason why they have no answer.
    store
        Where readings are kept as they come, and looked up.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    IdentificationResult
        With the answers and the card of `model`; `whole` is what was given. That itself where no pattern is read or, of
        a sample, none speaks: then `settings` says so.

    Raises
    ------
    kikuchinet.errors.InputError
        A pattern cannot be read though it could be before; the patterns of a source are of different sizes
        (`UnreadableBands`); or, of a sample, the network of whole patterns has answers that `model` has not.

    Notes
    -----
    In a sample, a grain is answered by its bands where at least two and at least half of its readings agree on an
    orientation (`kikuchinet.identification.band_grains.agreeing`), and where these, pooled, are as sure as the model must be
    for an answer. Where most of a source's sample is of inverted contrast, none of its patterns has an answer, read or not.
    """
    settings = settings or Physics()
    if sample is not None and not comparable(result.card.classes, model.classes):
        raise InputError(
            "bands",
            f"{result.card.name} has answers that {model.card.name} has not, so grains cannot share them",
        )
    sampled = sample is not None
    places = _seen(result) if sample is None else list(sample)
    total, done = sum(map(len, places)), 0
    answers: list[SourceAnswer] = []
    unspoken: list[SourceAnswer] = []
    bands: list[SourceBands] = []

    def step(patterns: int) -> None:
        nonlocal done
        done += patterns
        if progress is not None:
            progress(done, total)

    for number, (answer, mine) in enumerate(zip(result.answers, places, strict=True)):
        if not len(mine):
            unspoken.append(answer)
            answers.append(_answered(answer, model, None, mine, np.zeros(0, dtype=bool), sampled=sampled))
            continue
        detector, geometry = where_screen_stood(answer, model, settings, mine, store)
        reading = read_or_find(answer, model, detector, mine, store, step)
        speaks = np.ones(len(mine), dtype=bool)
        if sampled and _of_negatives(reading):
            # What the network says of negatives is worth no more than what it says of blank images, and it says it surely.
            answer = replace(answer, identification=_refused(answer.identification))
        unspoken.append(answer)
        if sampled:
            assert answer.grains is not None
            labels = answer.grains.labels[mine]
            speaks = _speaking(reading, labels, model.card.abstain_below)
        now = _answered(answer, model, reading, mine, speaks, sampled=sampled)
        answers.append(now)
        for part, grains in _parts(now, mine, speaks, whole_source=not sampled):
            bands.append(_evidence(reading, part, model, number, mine, detector, geometry, grains))
    if not bands:
        none = "no pattern shows anything" if not total else f"none of {total:,} patterns could be"
        settings_now = {**result.settings, "bands": f"not read: {none}"}
        return replace(result, answers=tuple(unspoken), settings=settings_now)
    return replace(
        result,
        answers=tuple(answers),
        card=model.card,
        bands=tuple(bands),
        whole=result,
        settings={**result.settings, "bands": _what_was_read(model, answers, sampled=sampled)},
    )


def _of_negatives(reading: BandReading) -> bool:
    """Return whether most patterns were refused for their contrast, which all of a source share."""
    from kikuchinet.models.band_network import INVERTED_CONTRAST, JUDGED_TOGETHER

    refused = reading.identification.reasons.count(INVERTED_CONTRAST)
    return refused >= JUDGED_TOGETHER and 2 * refused > len(reading)


def _refused(said: Identification) -> Identification:
    """Return no answer in place of all answers, because of inverted contrast where nothing was said against them yet."""
    from kikuchinet.models.band_network import INVERTED_CONTRAST

    flat = np.ptp(said.probabilities, axis=1) == 0.0
    return replace(
        said,
        probabilities=np.full_like(said.probabilities, 1.0 / len(said.classes)),
        space_groups=np.zeros_like(said.space_groups),
        reasons=tuple(
            reason if shows_nothing else INVERTED_CONTRAST
            for reason, shows_nothing in zip(said.reasons, flat, strict=True)
        ),
    )


def _seen(result: IdentificationResult) -> list[NDArray[np.int64]]:
    """Return of each source the patterns in which the network of whole patterns saw something."""
    return [
        np.flatnonzero(np.ptp(answer.identification.probabilities, axis=1) > 0.0) for answer in result.answers
    ]


def _what_was_read(model: BandModel, answers: Sequence[SourceAnswer], *, sampled: bool) -> str:
    name = f"{model.card.name} {model.card.version}"
    if not sampled:
        return name
    read = sum(int(answer.bands.read.sum()) for answer in answers if answer.bands is not None)
    known = [answer.grain_answers for answer in answers if answer.grain_answers is not None]
    by_bands = sum(int(one.by_bands.sum()) for one in known if one.by_bands is not None)
    return (
        f"{name}, read of {read:,} patterns, answers {by_bands:,} of {sum(len(one.patterns) for one in known):,} grains "
        f"(those of fewer than {LEAST_POINTS} points are not read)"
    )


def _answered(
    answer: SourceAnswer,
    model: BandModel,
    reading: BandReading | None,
    places: NDArray[np.int64],
    speaks: NDArray[np.bool_],
    *,
    sampled: bool,
) -> SourceAnswer:
    """Return a source's answers with those of the bands that speak put in place of the network's."""
    whole, classes = answer.identification, model.classes
    n = len(whole)
    # Where all was read, the others showed nothing, and the classes of the two models need have nothing in common.
    others = (
        whole
        if sampled
        else Identification(
            classes,
            np.full((n, len(classes)), 1.0 / len(classes)),
            np.zeros(n, dtype=np.int64),
            whole.reasons,
        )
    )
    said = (
        Identification(classes, np.zeros((0, len(classes))), np.zeros(0, dtype=np.int64), ())
        if reading is None
        else reading.identification
    )
    read, by_bands = np.zeros(n, dtype=bool), np.zeros(n, dtype=bool)
    read[places] = True
    by_bands[places[speaks]] = True
    return replace(
        answer,
        identification=replace(
            merged(others, said, places, speaks), pool_correlation=model.card.pool_correlation
        ),
        bands=BandShare(read, by_bands, whole if sampled else None),
    )


def _speaking(reading: BandReading, labels: NDArray[np.int64], abstain_below: float) -> NDArray[np.bool_]:
    """Return which readings, (m,), speak for their grains, (m,)."""
    shown = np.ptp(reading.identification.probabilities, axis=1) > 0.0
    kept = np.zeros(len(labels), dtype=bool)
    kept[shown] = agreeing(labels[shown], reading.orientations.quaternions[shown])
    if kept.any():
        pooled = pool_grains(reading.identification, Grains(np.where(kept, labels, -1)))
        kept[kept] = pooled.best[labels[kept]] >= abstain_below
    return kept


def _parts(
    answer: SourceAnswer, places: NDArray[np.int64], speaks: NDArray[np.bool_], *, whole_source: bool
) -> list[tuple[NDArray[np.int64], int | None]]:
    """Return readings that speak together, of a source or of a phase, as numbers among `places`, and for how many grains."""
    (spoke,) = np.nonzero(speaks)
    if whole_source or not spoke.size:
        return [(spoke, None)] if spoke.size else []
    assert answer.grains is not None
    assert answer.grain_answers is not None
    labels = answer.grains.labels[places[spoke]]
    groups = answer.grain_answers.answers[labels]
    found, counts = np.unique(groups, return_counts=True)
    return [
        (spoke[groups == group], len(np.unique(labels[groups == group])))
        for group in found[np.argsort(-counts, kind="stable")]
    ]


def where_screen_stood(
    answer: SourceAnswer,
    model: BandModel,
    settings: Physics,
    places: NDArray[np.int64] | None = None,
    store: AnswerStore | None = None,
) -> tuple[Detector, str]:
    """Return the detector of a source's patterns, and how it is known.

    Parameters
    ----------
    answer
        Of the source, whose patterns of best quality show where the screen stood, if nothing else says it.
    model
        Which finds it then.
    settings
        Its pattern centre, tilts and convention.
    places
        The patterns that count; all if not given.
    store
        Where a pattern centre that was sought is kept.

    Returns
    -------
    detector : Detector
        Of the patterns' shape.
    geometry : str
        ``given``, ``file`` or ``sought``.
    """
    source = answer.source
    places = np.arange(len(source)) if places is None else places
    rows, columns = (int(side) for side in source[int(places[0])].shape)
    tilted = settings.detector(source.geometry, (rows, columns))
    if settings.pattern_center is not None:
        return tilted, "given"
    if source.geometry is not None:
        return tilted, "file"
    best = np.sort(places[np.argsort(-answer.quality[places], kind="stable")[:_SOUGHT_WITH]])
    images = images_of(answer, best, (rows, columns))
    if len(best) < _SOUGHT_WITH_AT_LEAST:
        raise UnreadableBands(
            source.name,
            f"its pattern centre is not known, and takes {_SOUGHT_WITH_AT_LEAST} patterns to be found; --pc gives it",
        )
    key = "" if store is None else digest(images, reading_key(model, tilted, "pattern centre"))
    kept = None if store is None else store.find_arrays(key)
    if kept is not None and "pattern_center" in kept:
        x, y, z = kept["pattern_center"].tolist()
        return replace(tilted, pattern_center=(x, y, z)), "sought"
    found = model.seek_center(images, tilted)
    if store is not None:
        store.keep_arrays(key, {"pattern_center": np.asarray(found.pattern_center)})
    return found, "sought"


def _evidence(
    reading: BandReading,
    part: NDArray[np.int64],
    model: BandModel,
    source: int,
    places: NDArray[np.int64],
    detector: Detector,
    geometry: str,
    grains: int | None,
) -> SourceBands:
    """Return what some readings say together."""
    where = np.zeros(len(reading), dtype=bool)
    where[part] = True
    shown = where & (np.ptp(reading.identification.probabilities, axis=1) > 0)
    pooled = reading.identification.pooled(shown if shown.any() else where)
    first, second = (int(column) for column in np.argsort(-pooled.probabilities, kind="stable")[:2])
    return SourceBands(
        source,
        places[part],
        reading.profiles[part],
        CubicOrientations(**{name: getattr(reading.orientations, name)[part] for name in OF_ORIENTATIONS}),
        detector,
        geometry,
        model.classes[first],
        model.classes[second],
        model.weight_of_families(reading.profiles[part], first, second),
        grains,
    )


def bands_summary(bands: SourceBands, answer: SourceAnswer, classes: Sequence[int]) -> dict[str, object]:
    """Return what summary.json holds of the bands of a source or of one of its phases.

    Parameters
    ----------
    bands
        Them.
    answer
        Of the source.
    classes
        Of the model.
    """
    from kikuchinet.indexing.bands import BINS, CHANNELS, FAMILIES, REACH

    profiles = bands.pooled_profiles.astype(float)
    return {
        "name": answer.source.name,
        "patterns": len(bands.patterns),
        "grains": bands.grains,
        "answer": answer_title(bands.answer, tuple(classes)),
        "pattern_center_bruker": [round(value, 5) for value in bands.detector.pattern_center],
        "pattern_center_from": bands.geometry,
        "runner_up": bands.runner_up,
        "correlation_with_templates": [round(float(value), 4) for value in bands.orientations.correlations],
        "sine_of_angle": [round((i + 0.5) * REACH / BINS, 6) for i in range(BINS)],
        "families": [
            {
                "family": "{" + "".join(map(str, family)) + "}",
                "weight": round(float(bands.families[k]), 4),
                **{name: np.round(profiles[c, k], 4).tolist() for c, name in enumerate(CHANNELS)},
            }
            for k, family in enumerate(FAMILIES)
        ],
    }
