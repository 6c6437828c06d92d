"""Explanations of whole inputs: a picture a pattern, a table, and what lies under the heat."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation

from kikuchinet.crystal import Crystal
from kikuchinet.crystal.outside import answer_symbol
from kikuchinet.explanation.chance import LABELS, against_chance, feature_masks, random_masks, shares
from kikuchinet.explanation.features import PatternFeatures, prepared_detector
from kikuchinet.explanation.figures import draw_explanation
from kikuchinet.explanation.gradcam import Explanation, explain
from kikuchinet.explanation.orientation import Placement, choose_origin, placements
from kikuchinet.explanation.output import ExplanationSettings, Part, about, explain_parts, write
from kikuchinet.models import SpaceGroupModel
from kikuchinet.patterns import Geometry, PatternSource

if TYPE_CHECKING:
    import pandas as pd

MAPS = {"grad_cam": "Grad-CAM", "guided": "guided Grad-CAM"}
_BATCH = 16
_NAMED = 5
"""Patterns without heat that are named one by one."""
_DEFAULT_ENERGY_KEV = 20.0


def explain_sources(
    sources: Sequence[PatternSource],
    model: SpaceGroupModel,
    folder: Path,
    settings: ExplanationSettings,
    *,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Explain the patterns of several sources, and write a picture of each, a table and a summary.

    Parameters
    ----------
    sources
        The patterns.
    model
        Whose answers are explained.
    folder
        An existing folder. Gets ``pattern_INDEX.png`` (``pattern_SOURCE_INDEX.png`` where there are several sources),
        ``explanation.csv`` and ``explanation.json``.
    settings
        How.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    tuple
        The table, one row a pattern, and the summary; as written.

    Raises
    ------
    kikuchinet.errors.InputError
        A pattern cannot be read, the model does not know the space group, or an orientation is wanted that is not to be had.
    """
    settings.check(model.name, model.classes)
    origins = [choose_origin(source, settings.crystals, settings.orientation) for source in sources]
    chance = _Chance(settings, model.card.size)
    frame = explain_parts(
        sources,
        settings.count,
        _BATCH,
        lambda part: _explain_batch(part, origins[part.place], model, folder, settings, chance),
        progress,
    )
    summary = _summary(frame, sources, origins, model, settings, chance)
    write(frame, summary, folder)
    return frame, summary


class _Chance:
    """Masks of crystals turned at random, made once for each crystal and screen; and every pattern's shares on them."""

    def __init__(self, settings: ExplanationSettings, size: tuple[int, int]) -> None:
        self._settings = settings
        self._size = size
        self._masks: dict[tuple[Crystal, tuple[int, ...], float], dict[str, NDArray[np.bool_]]] = {}
        self.turned: dict[tuple[str, str], list[NDArray[np.float64]]] = {}

    def masks(
        self, crystal: Crystal, geometry: Geometry, shape: tuple[int, int], energy_kev: float
    ) -> dict[str, NDArray[np.bool_]]:
        """Return the masks; the mean pattern centre of the source stands for that of each of its patterns."""
        detector = prepared_detector(geometry.detector(shape), self._size)
        key = (crystal, tuple(np.round([*detector.pattern_center, detector.tilt_deg], 6)), energy_kev)
        if key not in self._masks:
            self._masks[key] = random_masks(
                crystal, detector, energy_kev, count=self._settings.turns, seed=self._settings.seed
            )
        return self._masks[key]


def _explain_batch(
    part: Part,
    origin: str,
    model: SpaceGroupModel,
    folder: Path,
    settings: ExplanationSettings,
    chance: _Chance,
) -> list[dict[str, Any]]:
    source, numbers = part.source, part.numbers
    images = [np.asarray(source[number]) for number in numbers]
    geometry = settings.geometry or source.geometry
    places = placements(source, numbers, images, settings.crystals, origin=origin, geometry=geometry)
    explanation = explain(model, images, settings.space_group, batch_size=_BATCH)
    rows = []
    for at, (number, image, placement) in enumerate(zip(numbers, images, places, strict=True)):
        features = None
        if placement.crystal is not None:
            assert geometry is not None
            shape = (int(image.shape[0]), int(image.shape[1]))
            energy = geometry.energy_kev or _DEFAULT_ENERGY_KEV
            detector = prepared_detector(geometry.detector(shape, number), model.card.size)
            features = PatternFeatures.of(placement.crystal, Rotation(placement.quaternion), detector, energy)
        row = part.names(number) | _row(explanation, at, placement)
        if features is not None and geometry is not None and placement.crystal is not None:
            turned = chance.masks(placement.crystal, geometry, shape, features.energy_kev)
            row |= _shares(explanation, at, features, turned, chance)
        picture = part.picture(number)
        figure = draw_explanation(explanation, at, features, title=_title(row, placement))
        figure.savefig(folder / picture)
        rows.append(row | {"picture": picture})
    return rows


def _title(row: dict[str, Any], placement: Placement) -> str:
    known = {"file": "orientation from the file", "hough": "Hough-indexed"}.get(placement.origin)
    overlay = (
        f"{placement.crystal.name}, {known}"
        if placement.crystal is not None and known
        else f"no overlay: {placement.reason}"
    )
    return f"{Path(row['source']).name}, pattern {row['index']} ({overlay})"


def _row(explanation: Explanation, at: int, placement: Placement) -> dict[str, Any]:
    answer = explanation.identification
    best = int(answer.probabilities[at].argmax())
    shown = int(explanation.space_groups[at])
    known = placement.crystal is not None
    quaternion = placement.quaternion if known else np.full(4, np.nan)
    return {
        "space_group": shown,
        "symbol": answer_symbol(shown, answer.classes),
        "answer": answer.classes[best],
        "probability": float(answer.probabilities[at, best]),
        "abstained": "true" if answer.abstained[at] else "false",
        "crystal": placement.crystal.name if placement.crystal is not None else "",
        "orientation": placement.origin,
        "reason": placement.reason,
        **dict(zip(("qa", "qb", "qc", "qd"), quaternion.tolist(), strict=True)),
        "mad_deg": placement.mad_deg,
        "heat": "true" if explanation.grad_cam[at].any() else "false",
    }


def _shares(
    explanation: Explanation,
    at: int,
    features: PatternFeatures,
    turned: dict[str, NDArray[np.bool_]],
    chance: _Chance,
) -> dict[str, float]:
    own = feature_masks(features)
    pattern = explanation.prepared[at].astype(np.float64)
    row: dict[str, float] = {}
    for name, mask in own.items():
        row[f"{name}_area"] = float(mask.mean())
        for heat_name in MAPS:
            heat = getattr(explanation, heat_name)[at]
            by_chance = shares(heat, turned[name])
            row[f"{heat_name}_{name}_share"] = float(shares(heat, mask[None])[0])
            row[f"{heat_name}_{name}_chance"] = float(by_chance.mean())
            chance.turned.setdefault((heat_name, name), []).append(by_chance)
    # Bands are brighter than the rest. Where these are not, the orientation or its frame is wrong, and so is the overlay.
    row["band_brightness"] = float(pattern[own["bands"]].mean())
    flat = turned["bands"].reshape(len(turned["bands"]), -1)
    by_chance = flat @ pattern.reshape(-1) / np.maximum(flat.sum(axis=1), 1)
    row["band_brightness_chance"] = float(np.quantile(by_chance, 0.95))
    return row


def _summary(
    frame: pd.DataFrame,
    sources: Sequence[PatternSource],
    origins: Sequence[str],
    model: SpaceGroupModel,
    settings: ExplanationSettings,
    chance: _Chance,
) -> dict[str, Any]:
    placed = frame[frame["crystal"] != ""]
    heat: dict[str, Any] = {}
    doubtful = 0
    if len(placed):
        doubtful = int((placed["band_brightness"] <= placed["band_brightness_chance"]).sum())
        for (heat_name, name), turned in chance.turned.items():
            own = placed[f"{heat_name}_{name}_share"].to_numpy()
            if not np.isfinite(own).any():
                continue
            result = against_chance(
                own, np.array(turned), placed[f"{name}_area"].to_numpy(), seed=settings.seed
            )
            figures = {
                key: round(value, 6) if np.isfinite(value) else None for key, value in vars(result).items()
            }
            heat.setdefault(heat_name, {})[name] = figures | {"verdict": result.verdict}
    plain = replace(settings, crystals=(), geometry=None)
    summary = about(frame, sources, model.card)
    for one, origin in zip(summary["inputs"], origins, strict=True):
        one["orientation"] = origin
    return summary | {
        "settings": {
            **{key: value for key, value in vars(plain).items() if key not in ("crystals", "geometry")},
            "crystals": [crystal.name for crystal in settings.crystals],
            "pattern_center": settings.pattern_center,
        },
        "patterns": len(frame),
        "with_overlay": len(placed),
        "overlays_that_do_not_fit": doubtful,
        "overlay": overlay_sentence(len(frame), len(placed), doubtful, frame["reason"]),
        "without_heat": frame.loc[frame["heat"] == "false", "picture"].tolist(),
        "heat": heat,
    }


def overlay_sentence(n: int, placed: int, doubtful: int, reasons: pd.Series) -> str:
    """Return in words how many patterns have an overlay, why others have none, and how many overlays to distrust."""
    if not placed:
        return f"No overlay: {reasons.iloc[0]}."
    words = f"Overlay on {placed} of {n} patterns"
    if placed < n:
        words += f"; none on the others: {reasons[reasons != ''].value_counts().index[0]}"
    if doubtful:
        words += (
            f"; on {doubtful} of them the bands drawn are no brighter than those of a crystal turned at random (95 %): "
            "the indexing, its frame or the pattern centre does not fit there, and neither does the overlay"
        )
    return words + "."


def cold_sentence(summary: dict[str, Any]) -> str:
    """Return in words which patterns have no heat, and why; empty where all have some."""
    cold = summary["without_heat"]
    if not cold:
        return ""
    named = ", ".join(cold[:_NAMED]) + (f" and {len(cold) - _NAMED} more" if len(cold) > _NAMED else "")
    return (
        f"No Grad-CAM heat on {len(cold)} of {summary['patterns']} patterns ({named}): nothing in the last convolution "
        "speaks for the group on the whole. They count nowhere in the shares of heat."
    )


def heat_lines(summary: dict[str, Any]) -> list[tuple[str, str, str, str, str, str]]:
    """Return rows of words: map, feature, patterns with heat of all with an overlay, share, chance, verdict."""
    return [
        (
            MAPS[heat_name],
            LABELS[name],
            f"{figures['n_patterns']} of {summary['with_overlay']}",
            f"{figures['share']:.3f}"
            + ("" if figures["low"] is None else f" ({figures['low']:.3f} to {figures['high']:.3f})"),
            f"{figures['chance']:.3f} ({figures['chance_low']:.3f} to {figures['chance_high']:.3f})",
            str(figures["verdict"]),
        )
        for heat_name, by_feature in summary["heat"].items()
        for name, figures in by_feature.items()
    ]
