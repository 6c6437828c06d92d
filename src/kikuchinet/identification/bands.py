"""Answers from band profiles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.identification.physics import Physics
from kikuchinet.indexing.bands import pooled_profiles
from kikuchinet.indexing.unnamed import CubicOrientations
from kikuchinet.microscope import Detector
from kikuchinet.models import Identification

if TYPE_CHECKING:
    from kikuchinet.identification.result import IdentificationResult, SourceAnswer
    from kikuchinet.models.band_network import BandModel, BandReading

MOST_PATTERNS = 400
"""Inputs of more patterns are not read by their bands unless that is asked for: it takes a tenth of a second a
pattern and more."""
_CHUNK = 64
_SOUGHT_WITH = 8
"""Patterns with which an unknown pattern centre is sought."""


@dataclass(frozen=True, eq=False)
class SourceBands:
    """What the bands of one source's patterns say.

    Parameters
    ----------
    profiles
        float32 (n, 3, families, bins).
    orientations
        How the crystal lies, if it is cubic.
    detector
        Where the screen stood to begin with.
    geometry
        How that is known: ``given``, ``file`` or ``sought``.
    runner_up
        The second likeliest answer of all patterns together.
    families
        (families,) how much the bands of each family speak for the answer and against that one: the fall of the logarithm of
        their odds when they are taken away.
    """

    profiles: NDArray[np.float32]
    orientations: CubicOrientations
    detector: Detector
    geometry: str
    runner_up: int
    families: NDArray[np.float64]

    @property
    def pooled_profiles(self) -> NDArray[np.float32]:
        """float32 (3, families, bins), of all patterns together."""
        return pooled_profiles(self.profiles)


def obstacle(result: IdentificationResult, settings: Physics | None = None, *, asked: bool = False) -> str:
    """Return why bands are not read, in words; empty if they can be.

    Parameters
    ----------
    result
        Whose patterns.
    settings
        Its pattern centre counts, if there is one.
    asked
        Whether it was asked for. If not, there may not be more than `MOST_PATTERNS` patterns, and a pattern centre
        must be known: one that is found from a few patterns may be wrong.
    """
    n = len(result.identification)
    if n > MOST_PATTERNS and not asked:
        return f"{n:,} patterns are many; bands are read of up to {MOST_PATTERNS} unless it is asked for"
    for answer in result.answers:
        if (
            answer.source.geometry is None
            and (settings is None or settings.pattern_center is None)
            and not asked
        ):
            return f"no pattern centre is known for {answer.source.name}"
        try:
            shapes = {np.shape(answer.source[k]) for k in range(len(answer.source))}
        except InputError as error:
            return f"{error.subject} cannot be read"
        if len(shapes) > 1:
            return f"the patterns of {answer.source.name} are of different sizes"
    return ""


def read_bands(
    result: IdentificationResult,
    model: BandModel,
    settings: Physics | None = None,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> IdentificationResult:
    """Answer every pattern by its band profiles instead of as a whole.

    Parameters
    ----------
    result
        The answers of a network of whole patterns, in which nothing stands against it (`obstacle`).
    model
        The model of band profiles.
    settings
        Its pattern centre, if there is one; else the files' counts, and where they have none it is sought. Its tilts
        count where the files do not say.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    IdentificationResult
        With the answers and the card of `model`; `whole` is what was given.

    Raises
    ------
    kikuchinet.errors.InputError
        A pattern cannot be read.
    """
    settings = settings or Physics()
    total, done = len(result.identification), 0
    answers, bands = [], []
    for answer in result.answers:
        detector, geometry = where_screen_stood(answer, model, settings)
        readings: list[BandReading] = []
        for first in range(0, len(answer.source), _CHUNK):
            last = min(first + _CHUNK, len(answer.source))
            readings.append(model.identify([answer.source[k] for k in range(first, last)], detector))
            done += last - first
            if progress is not None:
                progress(done, total)
        identification = Identification.concatenate([reading.identification for reading in readings])
        answers.append(replace(answer, identification=identification))
        bands.append(_of_source(readings, model, identification, detector, geometry))
    return replace(
        result,
        answers=tuple(answers),
        card=model.card,
        bands=tuple(bands),
        whole=result,
        settings={**result.settings, "bands": f"{model.card.name} {model.card.version}"},
    )


def where_screen_stood(answer: SourceAnswer, model: BandModel, settings: Physics) -> tuple[Detector, str]:
    """Return the detector of a source's patterns, and how it is known.

    Parameters
    ----------
    answer
        Of the source, whose patterns of best quality show where the screen stood, if nothing else says it.
    model
        Which finds it then.
    settings
        Its pattern centre, tilts and convention.

    Returns
    -------
    detector : Detector
        Of the patterns' shape.
    geometry : str
        ``given``, ``file`` or ``sought``.
    """
    source = answer.source
    rows, columns = (int(side) for side in source[0].shape)
    tilted = Detector(
        (rows, columns), tilt_deg=settings.detector_tilt_deg, sample_tilt_deg=settings.sample_tilt_deg
    )
    if settings.pattern_center is not None:
        given = Detector((rows, columns), settings.pattern_center, convention=settings.convention)
        return replace(tilted, pattern_center=given.pattern_center), "given"
    if source.geometry is not None:
        return source.geometry.detector((rows, columns)), "file"
    best = np.sort(np.argsort(-answer.quality, kind="stable")[:_SOUGHT_WITH])
    return model.seek_center([source[int(k)] for k in best], tilted), "sought"


def _of_source(
    readings: list[BandReading],
    model: BandModel,
    identification: Identification,
    detector: Detector,
    geometry: str,
) -> SourceBands:
    profiles = np.concatenate([reading.profiles for reading in readings])
    parts = [reading.orientations for reading in readings]
    orientations = CubicOrientations(
        np.concatenate([part.quaternions for part in parts]),
        np.concatenate([part.pattern_centers for part in parts]),
        np.concatenate([part.correlations for part in parts]),
        np.concatenate([part.templates for part in parts]),
    )
    shown = np.ptp(identification.probabilities, axis=1) > 0
    order = np.argsort(-(identification.pooled(shown if shown.any() else None).probabilities), kind="stable")
    first, second = (int(column) for column in order[:2])
    return SourceBands(
        profiles,
        orientations,
        detector,
        geometry,
        model.classes[second],
        model.weight_of_families(profiles, first, second),
    )


def bands_summary(bands: SourceBands, answer: SourceAnswer) -> dict[str, object]:
    """Return what summary.json holds of a source's bands."""
    from kikuchinet.indexing.bands import BINS, FAMILIES, REACH

    intensity, disagreement, coverage = bands.pooled_profiles
    return {
        "name": answer.source.name,
        "pattern_center_bruker": [round(value, 5) for value in bands.detector.pattern_center],
        "pattern_center_from": bands.geometry,
        "runner_up": bands.runner_up,
        "correlation_with_templates": [round(float(value), 4) for value in bands.orientations.correlations],
        "sine_of_angle": [round((i + 0.5) * REACH / BINS, 6) for i in range(BINS)],
        "families": [
            {
                "family": "{" + "".join(map(str, family)) + "}",
                "weight": round(float(bands.families[k]), 4),
                "intensity": np.round(intensity[k].astype(float), 4).tolist(),
                "disagreement": np.round(disagreement[k].astype(float), 4).tolist(),
                "coverage": np.round(coverage[k].astype(float), 4).tolist(),
            }
            for k, family in enumerate(FAMILIES)
        ],
    }
