"""What came out of one run: the answers of all patterns, and of all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from kikuchinet._version import __version__
from kikuchinet.crystal import ladder
from kikuchinet.identification.candidates import Candidate
from kikuchinet.identification.limits import LookAlike, look_alikes
from kikuchinet.models import Identification, ModelCard, Pooled

if TYPE_CHECKING:
    import pandas as pd

    from kikuchinet.patterns import PatternSource

CLEAR = 0.95
"""From this pooled probability on, an answer is called clear."""
LIKELY = 0.5
"""From this pooled probability on, an answer is called likely; below, undecided."""

CSV_COLUMNS = (
    "source", "index", "row", "column", "space_group", "symbol", "probability", "point_group", "bravais_lattice",
    "crystal_system", "abstained", "reason", "second_space_group", "second_probability", "quality",
)  # fmt: skip
"""Columns of patterns.csv, in their order."""


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
    """

    source: PatternSource
    identification: Identification
    quality: np.ndarray

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
    """

    answers: tuple[SourceAnswer, ...]
    card: ModelCard
    settings: Mapping[str, Any] = field(default_factory=dict)
    elements: tuple[str, ...] = ()
    candidates: tuple[Candidate, ...] = ()

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
        Patterns without contrast hold no hint and do not.
        """
        counts = self.shows_something
        return self.identification.pooled(where=counts) if counts.any() else None

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
        """``clear``, ``likely``, ``undecided``, or ``none`` without any evidence.

        Notes
        -----
        By the pooled probability. An answer that fewer than half of the single answers share is at best likely, however
        high that probability is: the input may hold several phases, or the model may be out of its depth.
        """
        if self.pooled is None:
            return "none"
        if self.pooled.probability >= CLEAR and self.agreement >= 0.5:
            return "clear"
        return "likely" if self.pooled.probability >= LIKELY else "undecided"

    @property
    def counts(self) -> dict[int, int]:
        """Patterns per answered space group, most first; 0 for abstained, last."""
        numbers, counts = np.unique(self.identification.space_groups, return_counts=True)
        pairs = sorted(
            zip(numbers.tolist(), counts.tolist(), strict=True), key=lambda p: (p[0] == 0, -p[1], p[0])
        )
        return dict(pairs)

    @property
    def look_alikes(self) -> tuple[LookAlike, ...]:
        """The groups that the pooled answer leaves open."""
        return () if self.pooled is None else look_alikes(self.pooled.space_group, self.card.classes)

    @cached_property
    def patterns(self) -> pd.DataFrame:
        """The table of patterns.csv: one row a pattern, in input order, columns `CSV_COLUMNS`."""
        import pandas as pd

        frames = []
        for answer in self.answers:
            source = answer.source
            frame = answer.identification.to_frame(
                source=source.names,
                index=source.indices,
                row=source.rows,
                column=source.columns,
                quality=answer.quality,
            )
            frames.append(frame)
        return pd.concat(frames, ignore_index=True)[list(CSV_COLUMNS)]

    def summary(self) -> dict[str, Any]:
        """Return what summary.json holds.

        Returns
        -------
        dict
            ``counts`` per space group, the ``winner`` by pooled evidence, ``pooled`` probabilities of all classes,
            ``left_open`` groups, ``candidates``, ``inputs``, ``model`` and ``settings``. Holds no time and no path but
            the ones given, so that two runs on the same input give the same file.
        """
        pooled = self.pooled
        winner = None
        ranking: list[dict[str, Any]] = []
        if pooled is not None:
            steps = ladder(pooled.space_group)
            winner = {
                "space_group": pooled.space_group,
                "symbol": steps.symbol,
                "probability": round(pooled.probability, 6),
                "verdict": self.verdict,
                "point_group": steps.point_group,
                "bravais_lattice": steps.bravais_lattice,
                "crystal_system": steps.crystal_system,
                "patterns_pooled": pooled.n_patterns,
            }
            ranking = [
                {"space_group": number, "symbol": ladder(number).symbol, "probability": round(value, 6)}
                for number, value in self.ranking()
            ]
        counts = self.counts
        return {
            "winner": winner,
            "counts": {str(number): count for number, count in counts.items() if number},
            "abstained": counts.get(0, 0),
            "patterns": len(self.identification),
            "pooled": ranking,
            "left_open": [asdict(item) for item in self.look_alikes],
            "elements": list(self.elements),
            "candidates": [asdict(item) for item in self.candidates],
            "candidates_note": (
                "crystals of the library with these elements only and the visible space group of the winner; "
                "none of them was fitted to the patterns"
                if self.elements
                else ""
            ),
            "inputs": [
                {
                    "name": answer.source.name,
                    "patterns": len(answer.identification),
                    "scan": list(answer.scan_shape) if answer.scan_shape else None,
                }
                for answer in self.answers
            ],
            "model": {
                "name": self.card.name,
                "version": self.card.version,
                "architecture": self.card.architecture,
                "classes": list(self.card.classes),
                "labels": self.card.labels,
                "sha256": self.card.sha256,
            },
            "settings": dict(self.settings),
            "kikuchinet": __version__,
        }

    def ranking(self) -> list[tuple[int, float]]:
        """Return (space group, pooled probability) of all classes, likeliest first."""
        if self.pooled is None:
            return []
        order = np.argsort(-self.pooled.probabilities, kind="stable")
        return [(self.card.classes[i], float(self.pooled.probabilities[i])) for i in order]
