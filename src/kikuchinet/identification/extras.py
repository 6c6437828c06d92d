"""What grains and fits add to the tables and to the summary."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.identification.levels import LEVELS, SURE, LadderAnswer, level_probabilities
from kikuchinet.models import NO_ANSWER

if TYPE_CHECKING:
    import pandas as pd

    from kikuchinet.crystal import Crystal
    from kikuchinet.identification.fitting import PhaseFit
    from kikuchinet.identification.grains import GrainAnswers
    from kikuchinet.identification.result import SourceAnswer
    from kikuchinet.models import Adaptation

BANDS, WHOLE = "bands", "whole pattern"
"""How the tables say whether band profiles or the network of whole patterns gave an answer."""


@dataclass(frozen=True, eq=False)
class Orientations:
    """Orientations of a source's patterns, as far as a crystal was fitted to them.

    Parameters
    ----------
    crystals
        The fitted crystals.
    crystal
        (n,) index of each pattern's crystal; -1 where nothing was fitted or nothing fits.
    quaternions
        (n, 4) sample to crystal, scalar first; the identity where nothing was fitted.
    correlations
        (n,) of measured and simulated pattern; NaN where nothing was fitted.
    """

    crystals: tuple[Crystal, ...]
    crystal: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    correlations: NDArray[np.float64]

    @property
    def indexed(self) -> NDArray[np.bool_]:
        """(n,) where there is an orientation."""
        return self.crystal >= 0


def fitted_orientations(fits: Sequence[PhaseFit], n: int) -> Orientations:
    """Gather the orientations of a source's n patterns from its fits."""
    crystals: dict[str, Crystal] = {}
    which = np.full(n, -1, dtype=np.int64)
    quaternions = np.tile([1.0, 0.0, 0.0, 0.0], (n, 1))
    correlations = np.full(n, np.nan)
    for fit in fits:
        best = fit.best
        if best is None:
            continue
        crystals.setdefault(f"{best.origin} {best.crystal.name}", best.crystal)
        number = list(crystals).index(f"{best.origin} {best.crystal.name}")
        parts = [(fit.patterns, best.rotations, best.correlations, best.stands_out)]
        if fit.indexed is not None:
            parts.insert(
                0,
                (fit.indexed.patterns, fit.indexed.rotations, fit.indexed.correlations, fit.indexed.indexed),
            )
        for places, rotations, values, good in parts:
            which[places[good]] = number
            quaternions[places[good]] = rotations.data.reshape(-1, 4)[good]
            correlations[places] = values
    return Orientations(tuple(crystals.values()), which, quaternions, correlations)


def surest_levels(answers: GrainAnswers) -> tuple[NDArray[np.object_], NDArray[np.object_]]:
    """Return name and value of the deepest sure step of each grain, (grains,); empty where no step is a finding."""
    names = np.full(len(answers.patterns), "", dtype=object)
    found = np.full(len(answers.patterns), "", dtype=object)
    for grains, classes in answers.models:
        columns = [answers.classes.index(group) for group in classes]
        probabilities = answers.probabilities[grains][:, columns]
        for level in reversed(LEVELS):
            values, sums = level_probabilities(probabilities, classes, level)
            if len(values) == 1:
                continue  # a premise, no finding
            sure = (sums.max(axis=1) >= SURE) & (answers.patterns[grains] > 0)
            names[grains[sure]] = level
            found[grains[sure]] = np.asarray(values, dtype=object)[sums.argmax(axis=1)[sure]]
    return names, found


def answered_by(by_bands: NDArray[np.bool_] | None, n: int) -> NDArray[np.object_]:
    """Return in words who gave each of n answers."""
    return np.where(np.zeros(n, dtype=bool) if by_bands is None else by_bands, BANDS, WHOLE).astype(object)


def extra_columns(answer: SourceAnswer, orientations: Orientations) -> dict[str, pd.Series]:
    """Return the columns `EXTRA_COLUMNS` of a source's patterns."""
    import pandas as pd
    from orix.quaternion import Rotation

    n = len(answer.identification)
    grain = np.full(n, -1) if answer.grains is None else answer.grains.labels
    belongs = grain >= 0
    group, probability = np.full(n, NO_ANSWER), np.full(n, np.nan)
    of_grain = np.full(n, "", dtype=object)
    name, value = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
    if answer.grain_answers is not None:
        found = answer.grain_answers
        names, values = surest_levels(found)
        mine = grain[belongs]
        group[belongs], probability[belongs] = found.answers[mine], found.best[mine]
        name[belongs], value[belongs] = names[mine], values[mine]
        of_grain[belongs] = answered_by(found.by_bands, len(found.patterns))[mine]
    indexed = orientations.indexed
    crystal = [orientations.crystals[k].name if k >= 0 else "" for k in orientations.crystal.tolist()]
    euler = np.full((n, 3), np.nan)
    if indexed.any():
        euler[indexed] = Rotation(orientations.quaternions[indexed]).to_euler(degrees=True)
    return {
        "answered_by": pd.Series(answered_by(None if answer.bands is None else answer.bands.speaks, n)),
        "grain": pd.Series(grain, dtype="Int64").mask(~belongs),
        "grain_space_group": pd.Series(group, dtype="Int64").mask(group == NO_ANSWER),
        "grain_probability": pd.Series(probability).mask(group == NO_ANSWER),
        "grain_sure_level": pd.Series(name),
        "grain_sure_value": pd.Series(value),
        "grain_answered_by": pd.Series(of_grain),
        "candidate": pd.Series(crystal),
        "correlation": pd.Series(orientations.correlations),
        "phi1_deg": pd.Series(euler[:, 0]),
        "Phi_deg": pd.Series(euler[:, 1]),
        "phi2_deg": pd.Series(euler[:, 2]),
    }


def ladder_summary(answer: LadderAnswer) -> dict[str, Any]:
    """Return what summary.json holds of a ladder."""
    deepest = answer.deepest
    return {
        "deepest_sure": None if deepest is None else deepest.name,
        "sentence": answer.sentence,
        "levels": [
            {**asdict(level), "probability": round(level.probability, 6), "premise": level.premise}
            for level in answer.levels
        ],
    }


def scan_summary(answer: SourceAnswer) -> dict[str, Any]:
    """Return what summary.json holds of a scan's grains and phases."""
    assert answer.grains is not None
    assert answer.grain_answers is not None
    by_bands = answer.grain_answers.by_bands
    return {
        "name": answer.source.name,
        "grains": answer.grains.count,
        "grains_from": answer.grains.origin,
        "grouping": answer.grains.details,
        "grains_answered_by_bands": 0 if by_bands is None else int(by_bands.sum()),
        "patterns_read_by_bands": 0 if answer.bands is None else int(answer.bands.read.sum()),
        "phases": [
            {
                "space_group": phase.space_group,
                "symbol": phase.symbol,
                "fraction": round(phase.fraction, 6),
                "sure_fraction": round(phase.sure_fraction, 6),
                "grains": len(phase.grains),
                "probability": round(phase.probability, 6),
            }
            for phase in answer.phases
        ],
    }


def fit_summary(fit: PhaseFit, source: str) -> dict[str, Any]:
    """Return what summary.json holds of the candidates of a phase."""
    rows = []
    for one in fit.candidates:
        margin, error = fit.margin(one)
        rows.append(
            {
                "name": one.crystal.name,
                "formula": one.crystal.formula,
                "space_group": one.crystal.space_group,
                "origin": one.origin,
                "network_probability": None if one.evidence is None else round(one.evidence, 6),
                "correlation": round(one.score, 5),
                "standing": round(float(np.median(one.standing)), 3),
                "fits": one.fits,
                "behind_best": round(margin, 5),
                "behind_best_error": round(error, 5) if np.isfinite(error) else None,
            }
        )
    return {
        "input": source,
        "space_group_of_network": fit.space_group,
        # As column `index` of patterns.csv counts them.
        "patterns": [fit.number(place) for place in fit.patterns.tolist()],
        "verdict": fit.verdict,
        "statement": fit.statement,
        "dissenting": [
            {"pattern": fit.number(place), "candidate": other.crystal.name, "lead": round(lead, 5)}
            for place, other, lead in fit.dissenting
        ],
        "pattern_center_bruker": [round(value, 5) for value in fit.detector.pattern_center],
        "pattern_center_from": fit.geometry,
        "candidates": rows,
    }


def adaptation_summary(adaptation: Adaptation) -> dict[str, Any]:
    """Return what summary.json holds of how the model was fitted to the patterns."""
    before, after = adaptation.entropies
    return {
        "used": adaptation.used,
        "patterns": adaptation.patterns,
        "unlike_patterns": round(adaptation.effective, 2),
        "weight": round(adaptation.weight, 4),
        "entropy_before": round(before, 4),
        "entropy_after": round(after, 4),
    }
