"""What came out of one run: the answers of all patterns, and of all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kikuchinet._version import __version__
from kikuchinet.crystal import OUTSIDE, ladder
from kikuchinet.crystal.outside import answer_symbol, outside_phrase
from kikuchinet.errors import InputError
from kikuchinet.identification.candidates import Candidate
from kikuchinet.identification.extras import (
    Orientations,
    adaptation_summary,
    extra_columns,
    fit_summary,
    fitted_orientations,
    ladder_summary,
    scan_summary,
)
from kikuchinet.identification.grains import GrainAnswers, Grains, pool_grains
from kikuchinet.identification.levels import LadderAnswer, Level, ladder_answer, level_probabilities
from kikuchinet.identification.limits import LookAlike, look_alikes
from kikuchinet.identification.maps import group_colours
from kikuchinet.identification.phases import FoundPhase, find_phases
from kikuchinet.models import NO_ANSWER, Adaptation, Identification, ModelCard, Pooled

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from kikuchinet.identification.band_grains import BandShare
    from kikuchinet.identification.bands import SourceBands
    from kikuchinet.identification.fitting import PhaseFit
    from kikuchinet.patterns import PatternSource

LIKELY = 0.5
"""From this pooled probability on, a space group that is not sure is called likely; below, undecided."""

CSV_COLUMNS = (
    "source", "index", "row", "column", "space_group", "symbol", "probability", "point_group", "bravais_lattice",
    "crystal_system", "abstained", "reason", "second_space_group", "second_probability", "quality",
)  # fmt: skip
"""Columns of patterns.csv that every run has, in their order."""

EULER_COLUMNS = ("phi1_deg", "Phi_deg", "phi2_deg")
EXTRA_COLUMNS = (
    "answered_by", "grain", "grain_space_group", "grain_probability", "grain_sure_level", "grain_sure_value",
    "grain_answered_by", "candidate", "correlation", *EULER_COLUMNS,
)  # fmt: skip
"""Columns of patterns.csv after those. All but the first are of scans, and of patterns that a crystal was fitted to, and
empty elsewhere."""


@dataclass(frozen=True, eq=False)
class SourceAnswer:
    """What was said about the patterns of one file or folder.

    Parameters
    ----------
    source
        The patterns themselves.
    identification
        The model's answers, in the source's order.
    quality
        Image quality per pattern, as `kikuchinet.patterns.quality` gives it.
    grains
        Which patterns belong together; None where they are no scan and no map was given.
    bands
        Which answers come from band profiles; None where none does.
    """

    source: PatternSource
    identification: Identification
    quality: np.ndarray
    grains: Grains | None = None
    bands: BandShare | None = None

    @cached_property
    def grain_answers(self) -> GrainAnswers | None:
        """What each grain's patterns say together; None without grains."""
        if self.grains is None:
            return None
        return pool_grains(self.identification, self.grains, self.bands)

    @property
    def by_point(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Answer (as `Identification.answers`) and probability at each pattern, of its grain where there are grains."""
        if self.grains is None or self.grain_answers is None:
            return self.identification.answers, self.identification.probabilities.max(axis=1)
        labels = self.grains.labels
        belongs = labels >= 0
        groups, values = np.full(len(labels), NO_ANSWER), np.zeros(len(labels))
        groups[belongs] = self.grain_answers.answers[labels[belongs]]
        values[belongs] = self.grain_answers.best[labels[belongs]]
        return groups, values

    @cached_property
    def phases(self) -> tuple[FoundPhase, ...]:
        """Grains of the same answer, the largest phase first; empty without grains."""
        if self.grains is None or self.grain_answers is None:
            return ()
        return find_phases(self.grain_answers, self.grains)

    @cached_property
    def grain_table(self) -> pd.DataFrame:
        """One row a grain: the table of grains.csv; see `kikuchinet.identification.grain_table`."""
        from kikuchinet.identification.grain_table import grain_table

        return grain_table(self)

    @property
    def scan_shape(self) -> tuple[int, int] | None:
        """Rows and columns of the map, or None where the patterns do not fill a two-dimensional one."""
        shape = self.source.navigation_shape
        if shape is None or len(shape) != 2 or min(shape) < 2:
            return None
        return int(shape[0]), int(shape[1])


@dataclass(frozen=True, eq=False)
class IdentificationResult:
    """The answers for everything that was given to one run.

    Parameters
    ----------
    answers
        One entry a source, in input order.
    card
        Card of the model.
    settings
        What the run was told; anything JSON can hold.
    elements
        Elements the user knows to be there; empty if nothing was said.
    candidates
        Library crystals that agree with the pooled answer and the elements.
    failures
        What could not be read, and why; there is no answer for it.
    fits
        Candidates fitted to the phases; empty where none were asked for.
    adaptation
        How the model was fitted to the patterns before it answered; None where that was not asked for.
    bands
        What the bands of each source's patterns say, or those of each phase of a source where some patterns of each grain
        were read; empty where patterns were answered as a whole.
    whole
        Where some were answered by their bands, what the network of whole patterns answered.
    """

    answers: tuple[SourceAnswer, ...]
    card: ModelCard
    settings: Mapping[str, Any] = field(default_factory=dict)
    elements: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()
    failures: tuple[InputError, ...] = ()
    fits: tuple[PhaseFit, ...] = ()
    adaptation: Adaptation | None = None
    bands: tuple[SourceBands, ...] = ()
    whole: IdentificationResult | None = None

    @cached_property
    def identification(self) -> Identification:
        """The answers of all sources, joined."""
        return Identification.concatenate([answer.identification for answer in self.answers])

    @cached_property
    def pooled(self) -> Pooled | None:
        """The answer of all patterns together; None where no pattern shows anything.

        Notes
        -----
        Patterns on which the model abstained for want of certainty count: many weak hints may add up to an answer.
        Patterns without contrast hold no hint and do not. Where some patterns were answered by their bands, these count and
        no others.
        """
        counts = self.shows_something
        if (spoke := counts & self.by_bands).any():
            counts = spoke
        return self.identification.pooled(where=counts) if counts.any() else None

    @property
    def by_bands(self) -> np.ndarray:
        """(n,) True for patterns that were answered by their bands."""
        return np.concatenate(
            [
                np.zeros(len(answer.identification), dtype=bool)
                if answer.bands is None
                else answer.bands.speaks
                for answer in self.answers
            ]
        )

    @cached_property
    def shows_something(self) -> np.ndarray:
        """(n,) False for patterns whose probabilities are flat because there was nothing to see."""
        probabilities = self.identification.probabilities
        return np.ptp(probabilities, axis=1) > 0.0

    @property
    def agreement(self) -> float:
        """Share of the patterns answered one by one that say the same as all together; 1 where none was answered."""
        answers = self.identification.space_groups[~self.identification.abstained]
        if self.pooled is None or answers.size == 0:
            return 1.0
        return float((answers == self.pooled.space_group).mean())

    @property
    def verdict(self) -> str:
        """``clear``, ``partly``, ``likely``, ``undecided``, or ``none`` without any evidence.

        Notes
        -----
        By the symmetry ladder: clear where the space group itself is sure, partly where only a step that says less is
        (`kikuchinet.identification.levels.SURE`; premises of the model do not count), else by the space group's pooled
        probability. A step that fewer than half of the single answers share is not taken for sure, however high its
        probability is: the input may hold several phases, or the model may be out of its depth.
        """
        if self.pooled is None:
            return "none"
        deepest = self.sure_step
        if deepest is not None:
            return "clear" if deepest.name == "space_group" else "partly"
        return "likely" if self.pooled.probability >= LIKELY else "undecided"

    @property
    def sure_step(self) -> Level | None:
        """The deepest step of the ladder that is sure and that half of the single answers share; None if there is none."""
        steps = self.ladder
        if steps is None:
            return None
        return next((step for step in steps.levels if step.finding and self.shared(step) >= 0.5), None)

    def shared(self, step: Level) -> float:
        """Return the share of the patterns answered one by one that say the same at a step of the ladder; 1 if none was.

        Parameters
        ----------
        step
            Of `ladder`.
        """
        answers, counts = np.unique(
            self.identification.space_groups[~self.identification.abstained], return_counts=True
        )
        if not answers.size:
            return 1.0
        classes = self.card.classes
        values, member = level_probabilities(np.eye(len(classes)), classes, step.name)
        same = dict(zip(classes, member[:, values.index(step.value)] > 0.0, strict=True))
        return float(
            sum(n for group, n in zip(answers.tolist(), counts, strict=True) if same[group]) / counts.sum()
        )

    @cached_property
    def colours(self) -> dict[int, str]:
        """Colour of each class that a pattern or a grain was answered with; see `group_colours`."""
        answers = [answer.identification.answers for answer in self.answers]
        answers += [answer.by_point[0] for answer in self.answers]
        return group_colours(np.unique(np.concatenate(answers)).tolist())

    @property
    def counts(self) -> dict[int, int]:
        """Patterns per answered space group, most first; of those without an answer last.

        These stand under 0, or under `kikuchinet.models.NO_ANSWER` where 0 is a class of the model.
        """
        none = NO_ANSWER if OUTSIDE in self.card.classes else 0
        return {none if number == NO_ANSWER else number: count for number, count in self.tally}

    @cached_property
    def tally(self) -> tuple[tuple[int, int], ...]:
        """Answers, as `Identification.answers`, and the patterns that have them, most first; `NO_ANSWER` last."""
        numbers, counts = np.unique(self.identification.answers, return_counts=True)
        pairs = zip(numbers.tolist(), counts.tolist(), strict=True)
        return tuple(sorted(pairs, key=lambda pair: (pair[0] == NO_ANSWER, -pair[1], pair[0])))

    @property
    def look_alikes(self) -> tuple[LookAlike, ...]:
        """The groups that the pooled answer leaves open; none are listed for outside, which leaves open all others."""
        if self.pooled is None or self.pooled.space_group == OUTSIDE:
            return ()
        return look_alikes(self.pooled.space_group, self.card.classes)

    @property
    def ladder(self) -> LadderAnswer | None:
        """The pooled answer at each step of the symmetry ladder; None where no pattern shows anything."""
        return None if self.pooled is None else ladder_answer(self.pooled.probabilities, self.card.classes)

    def orientations(self, number: int) -> Orientations:
        """Return the fitted orientations of a source's patterns.

        Parameters
        ----------
        number
            Which of `answers`.
        """
        mine = [fit for fit in self.fits if fit.source == number]
        return fitted_orientations(mine, len(self.answers[number].identification))

    @cached_property
    def patterns(self) -> pd.DataFrame:
        """The table of patterns.csv: one row a pattern, in input order, columns `CSV_COLUMNS` and `EXTRA_COLUMNS`."""
        import pandas as pd

        frames = []
        for number, answer in enumerate(self.answers):
            source = answer.source
            frame = answer.identification.to_frame(
                source=source.names,
                index=source.indices,
                row=source.rows,
                column=source.columns,
                quality=answer.quality,
            )
            frames.append(frame.assign(**extra_columns(answer, self.orientations(number))))
        return pd.concat(frames, ignore_index=True)[[*CSV_COLUMNS, *EXTRA_COLUMNS]]

    def summary(self) -> dict[str, Any]:
        """Return what summary.json holds.

        Returns
        -------
        dict
            ``counts`` per space group (``"0"``: outside), the ``winner`` by pooled evidence, ``pooled`` probabilities of
            all classes, ``left_open`` groups, ``candidates``, ``inputs``, ``model`` and ``settings``. Holds no time and no
            path but the ones given, so that two runs on the same input give the same file.
        """
        pooled, classes = self.pooled, self.card.classes
        winner: dict[str, Any] | None = None
        ranking: list[dict[str, Any]] = []
        if pooled is not None:
            outside = pooled.space_group == OUTSIDE
            steps = None if outside else ladder(pooled.space_group)
            winner = {
                "space_group": pooled.space_group,
                "symbol": answer_symbol(pooled.space_group, classes),
                "probability": round(pooled.probability, 6),
                "verdict": self.verdict,
                "point_group": None if steps is None else steps.point_group,
                "bravais_lattice": None if steps is None else steps.bravais_lattice,
                "crystal_system": None if steps is None else steps.crystal_system,
                "patterns_pooled": pooled.n_patterns,
            }
            if outside:
                winner["meaning"] = outside_phrase(classes)
            ranking = [
                {
                    "space_group": number,
                    "symbol": answer_symbol(number, classes),
                    "probability": round(value, 6),
                }
                for number, value in self.ranking()
            ]
        from kikuchinet.identification.bands import bands_summary

        counts = dict(self.tally)
        steps_down = self.ladder
        return {
            "winner": winner,
            "ladder": None if steps_down is None else ladder_summary(steps_down),
            "counts": {str(number): count for number, count in counts.items() if number != NO_ANSWER},
            "abstained": counts.get(NO_ANSWER, 0),
            "patterns": len(self.identification),
            "pooled": ranking,
            "left_open": [asdict(item) for item in self.look_alikes],
            "scans": [scan_summary(answer) for answer in self.answers if answer.grains is not None],
            "bands": [bands_summary(one, self.answers[one.source], classes) for one in self.bands],
            "whole_patterns": None if self.whole is None else self.whole.short_summary(),
            "fits": [fit_summary(fit, self.answers[fit.source].source.name) for fit in self.fits],
            "elements": list(self.elements),
            "candidates": [asdict(item) for item in self.candidates],
            "candidates_note": self._candidates_note,
            "inputs": [
                {
                    "name": answer.source.name,
                    "patterns": len(answer.identification),
                    "scan": list(answer.scan_shape) if answer.scan_shape else None,
                }
                for answer in self.answers
            ],
            "failed": [{"name": error.subject, "cause": error.cause} for error in self.failures],
            "model": {
                "name": self.card.name,
                "version": self.card.version,
                "architecture": self.card.architecture,
                "classes": list(self.card.classes),
                "labels": self.card.labels,
                "sha256": self.card.sha256,
            },
            "adaptation": None if self.adaptation is None else adaptation_summary(self.adaptation),
            "settings": dict(self.settings),
            "kikuchinet": __version__,
        }

    def sampled(self, number: int) -> bool:
        """Return whether grains of a source are answered by the bands of some of their patterns.

        Parameters
        ----------
        number
            Which of `answers`.
        """
        return any(one.source == number and one.grains is not None for one in self.bands)

    def short_summary(self) -> dict[str, Any]:
        """Return the model, and the pooled probabilities of its groups."""
        return {
            "model": {"name": self.card.name, "version": self.card.version, "sha256": self.card.sha256},
            "pooled": [
                {"space_group": number, "probability": round(value, 6)} for number, value in self.ranking()
            ],
        }

    @property
    def _candidates_note(self) -> str:
        if not self.elements:
            return ""
        outside = self.pooled is not None and self.pooled.space_group == OUTSIDE
        group = (
            "a visible space group that the model does not tell apart"
            if outside
            else "the visible space group of the winner"
        )
        return (
            f"crystals of the library with these elements only and {group}; "
            "what was fitted to the patterns stands under fits"
        )

    def ranking(self) -> list[tuple[int, float]]:
        """Return (space group or `OUTSIDE`, pooled probability) of all classes, likeliest first."""
        if self.pooled is None:
            return []
        order = np.argsort(-self.pooled.probabilities, kind="stable")
        return [(self.card.classes[i], float(self.pooled.probabilities[i])) for i in order]
