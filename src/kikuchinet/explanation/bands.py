"""Explanations of models of band profiles: which families of planes speak for the answer, and where their bands lie."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.outside import answer_symbol
from kikuchinet.errors import InputError
from kikuchinet.explanation.output import ExplanationSettings, Part, about, explain_parts, write
from kikuchinet.indexing.bands import FAMILIES
from kikuchinet.microscope import Detector
from kikuchinet.models.band_network import BandModel, BandReading
from kikuchinet.patterns import Geometry, PatternSource, preprocess

if TYPE_CHECKING:
    import pandas as pd

_CHUNK = 64
"""Patterns that are read together, as many as `kikuchinet identify` does: they share a median pattern centre."""


@dataclass(frozen=True, eq=False)
class BandExplanation:
    """Why a model of band profiles answers one pattern as it does.

    Parameters
    ----------
    prepared
        float32 (rows, columns), the pattern as the model reads it.
    rays
        float32 (3, 3) where its pixels look in the crystal, `kikuchinet.microscope.projection.pattern_rays`.
    profiles
        float32 (4, families, bins), `kikuchinet.indexing.band_profiles`.
    space_group, against
        The group whose evidence this is, 0 for outside the model's groups, and the likeliest of the others.
    weights
        (families,) fall of the logarithm of the odds between the two when a family is taken away,
        `kikuchinet.models.band_network.BandModel.weight_of_families`; nan where there are no bands to read.
    reason
        Why there are none: no contrast, no bands, inverted contrast; empty where there are.
    """

    prepared: NDArray[np.float32]
    rays: NDArray[np.float32]
    profiles: NDArray[np.float32]
    space_group: int
    against: int
    weights: NDArray[np.float64]
    reason: str = ""

    def speaking(self, most: int) -> list[int]:
        """Return the families that speak for the group, as indices into `FAMILIES`, the heaviest first; `most` at most."""
        order = np.argsort(-np.nan_to_num(self.weights), kind="stable")[:most]
        return [int(k) for k in order if self.weights[k] > 0.0]


def family_name(indices: Sequence[int]) -> str:
    """Return a family of planes in its braces, ``"{111}"``."""
    return "{" + "".join(map(str, indices)) + "}"


def explain_band_sources(
    sources: Sequence[PatternSource],
    model: BandModel,
    folder: Path,
    settings: ExplanationSettings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Explain the answers of a model of band profiles, and write a picture of each pattern, a table and a summary.

    Parameters
    ----------
    sources
        The patterns.
    model
        Whose answers are explained.
    folder
        An existing folder. Gets the files that `kikuchinet.explanation.explain_sources` writes, under the same names.
    settings
        How; the model finds orientations itself, so `crystals` must be empty and `orientation` ``auto``.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    tuple
        The table, one row a pattern, and the summary; as written.

    Raises
    ------
    kikuchinet.errors.InputError
        A pattern cannot be read, no pattern centre is known, patterns of a source are of different sizes, the model does not
        know the space group, or crystals or orientations are named.
    """
    _check(model, settings)
    geometries = [_geometry_of(source, settings) for source in sources]
    frame = explain_parts(
        sources,
        settings.count,
        _CHUNK,
        lambda part: _explain_chunk(part, geometries[part.place], model, folder, settings),
        progress,
    )
    summary = _summary(frame, sources, model, settings)
    write(frame, summary, folder)
    return frame, summary


def _check(model: BandModel, settings: ExplanationSettings) -> None:
    settings.check(model.card.name, model.classes)
    if settings.crystals:
        raise InputError(
            settings.crystals[0].name, f"the model {model.card.name} reads bands without a crystal: name none"
        )
    if settings.orientation != "auto":
        raise InputError(
            f"orientation {settings.orientation}",
            f"the model {model.card.name} finds orientations itself: only auto is possible",
        )


def _geometry_of(source: PatternSource, settings: ExplanationSettings) -> Geometry:
    geometry = settings.geometry or source.geometry
    if geometry is None:
        raise InputError(
            source.name, "no pattern centre is known, without which no bands are read: give a pattern centre"
        )
    return geometry


def _explain_chunk(
    part: Part, geometry: Geometry, model: BandModel, folder: Path, settings: ExplanationSettings
) -> list[dict[str, Any]]:
    from kikuchinet.explanation.band_figures import draw_band_explanation

    source, numbers = part.source, part.numbers
    images = [np.asarray(source[number]) for number in numbers]
    shapes = {image.shape for image in images}
    if len(shapes) > 1:
        raise InputError(
            source.name, "its patterns are of different sizes: explain those of one size at a time"
        )
    detector = geometry.detector((int(images[0].shape[0]), int(images[0].shape[1])))
    reading = model.identify(images, detector)
    rows = []
    for at, explanation in enumerate(explanations(model, images, reading, detector, settings.space_group)):
        row = part.names(numbers[at]) | _row(model, reading, at, explanation)
        row["picture"] = part.picture(numbers[at])
        figure = draw_band_explanation(explanation, model.classes, title=_title(row, model.classes))
        figure.savefig(folder / row["picture"])
        rows.append(row)
    return rows


def explanations(
    model: BandModel,
    images: Sequence[NDArray[Any]],
    reading: BandReading,
    detector: Detector,
    space_group: int | None = None,
) -> list[BandExplanation]:
    """Explain what a model of band profiles says of patterns.

    Parameters
    ----------
    model
        The model.
    images
        n patterns (rows, columns).
    reading
        What the model says of them.
    detector
        Of their shape.
    space_group
        The group whose evidence is wanted; the likeliest of each pattern if None.

    Returns
    -------
    list of BandExplanation
        In the order of the patterns.
    """
    height = model.card.size[0]
    shape = (height, round(height * detector.shape[1] / detector.shape[0]))
    prepared = preprocess(np.stack(images), size=shape)
    rays = reading.orientations.rays(detector.binned(shape))
    found = []
    for at, probabilities in enumerate(reading.identification.probabilities):
        order = [int(column) for column in np.argsort(-probabilities, kind="stable")]
        column = order[0] if space_group is None else model.classes.index(space_group)
        other = next(one for one in order if one != column)
        profiles = reading.profiles[at]
        # The model answers all classes evenly where there is nothing to see, and says why.
        reason = "" if np.ptp(probabilities) > 0 else reading.identification.reasons[at]
        weights = (
            np.full(len(FAMILIES), np.nan)
            if reason
            else model.weight_of_families(profiles[None], column, other)
        )
        found.append(
            BandExplanation(
                prepared[at], rays[at], profiles, model.classes[column], model.classes[other], weights, reason
            )
        )
    return found


def _row(model: BandModel, reading: BandReading, at: int, explanation: BandExplanation) -> dict[str, Any]:
    answer, found = reading.identification, reading.orientations
    best = int(answer.probabilities[at].argmax())
    blank = bool(explanation.reason)
    quaternion = np.full(4, np.nan) if blank else found.quaternions[at]
    center = np.full(3, np.nan) if blank else found.pattern_centers[at]
    return {
        "space_group": "" if blank else explanation.space_group,
        "symbol": "" if blank else answer_symbol(explanation.space_group, model.classes),
        "against": "" if blank else explanation.against,
        "answer": "" if blank else model.classes[best],
        "probability": float(answer.probabilities[at, best]),
        "abstained": "true" if answer.abstained[at] else "false",
        "orientation": "" if blank else "bands",
        "reason": explanation.reason,
        **dict(zip(("qa", "qb", "qc", "qd"), quaternion.tolist(), strict=True)),
        **dict(zip(("pc_x", "pc_y", "pc_z"), center.tolist(), strict=True)),
        "correlation": np.nan if blank else float(found.correlations[at]),
        **{
            f"weight_{''.join(map(str, family))}": float(weight)
            for family, weight in zip(FAMILIES, explanation.weights, strict=True)
        },
    }


def _title(row: dict[str, Any], classes: tuple[int, ...]) -> str:
    name = f"{Path(row['source']).name}, pattern {row['index']}"
    if row["reason"]:
        return f"{name}: no answer ({row['reason']})"
    best = answer_symbol(row["answer"], classes)
    said = f"{row['answer']} {best}" if row["answer"] else best
    if row["abstained"] == "true":
        return f"{name}: no answer; likeliest {said}, probability {row['probability']:.2f}"
    return f"{name}: answer {said}, probability {row['probability']:.2f}"


def _summary(
    frame: pd.DataFrame, sources: Sequence[PatternSource], model: BandModel, settings: ExplanationSettings
) -> dict[str, Any]:
    read = frame[frame["reason"] == ""]
    names = {f"weight_{''.join(map(str, family))}": family_name(family) for family in FAMILIES}
    weights: list[dict[str, Any]] = [
        {
            "space_group": int(group),
            "against": int(against),
            "patterns": len(part),
            "families": {name: round(float(part[column].mean()), 4) for column, name in names.items()},
        }
        for (group, against), part in read.groupby(["space_group", "against"])
    ]
    summary = about(frame, sources, model.card)
    for one in summary["inputs"]:
        one["orientation"] = "bands"
        one["pattern_center_from"] = "given" if settings.geometry is not None else "file"
    return summary | {
        "settings": {
            "space_group": settings.space_group,
            "count": settings.count,
            "pattern_center": settings.pattern_center,
        },
        "patterns": len(frame),
        "without_bands": frame.loc[frame["reason"] != "", "picture"].tolist(),
        "reasons": frame.loc[frame["reason"] != "", "reason"].tolist(),
        "weights": sorted(weights, key=lambda one: -one["patterns"]),
    }


def weight_lines(summary: dict[str, Any], classes: tuple[int, ...], most: int = 5) -> list[tuple[str, ...]]:
    """Return rows of words: group, against which other, of how many patterns, the families that speak for and against it.

    Parameters
    ----------
    summary
        As `explain_band_sources` returns it.
    classes
        Of the model.
    most
        Families that are named on either side.
    """
    return [
        (
            _answer_words(one["space_group"], classes),
            _answer_words(one["against"], classes),
            str(one["patterns"]),
            _named(one["families"], most, 1.0),
            _named(one["families"], most, -1.0),
        )
        for one in summary["weights"]
    ]


def _answer_words(group: int, classes: tuple[int, ...]) -> str:
    return f"{group} {answer_symbol(group, classes)}" if group else answer_symbol(group, classes)


def _named(families: dict[str, float], most: int, sign: float) -> str:
    # Below 0.1 the odds change by less than a tenth.
    chosen = sorted((-sign * weight, name) for name, weight in families.items() if sign * weight >= 0.1)
    return ", ".join(f"{name} {-sign * turned:+.2f}" for turned, name in chosen[:most]) or "none"


def unread_sentence(summary: dict[str, Any], named: int = 5) -> str:
    """Return in words which patterns have no answer to explain; empty where all have one."""
    unread = summary["without_bands"]
    if not unread:
        return ""
    names = [f"{name}: {reason}" for name, reason in zip(unread[:named], summary["reasons"], strict=False)]
    rest = f"; and {len(unread) - named} more" if len(unread) > named else ""
    return f"No answer on {len(unread)} of {summary['patterns']} patterns ({'; '.join(names)}{rest})."
