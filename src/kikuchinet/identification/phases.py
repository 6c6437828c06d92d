"""The phases of a scan: grains of the same answer, and how much of the scan they take."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.outside import answer_symbol, answer_title
from kikuchinet.identification.grains import GrainAnswers, Grains
from kikuchinet.identification.levels import SURE
from kikuchinet.models import NO_ANSWER


@dataclass(frozen=True, eq=False)
class FoundPhase:
    """Grains whose pooled evidence says the same space group.

    Parameters
    ----------
    space_group
        The answer; 0 for the phase of all grains that are outside the model's groups
        (`kikuchinet.crystal.OUTSIDE`), which may be several crystals.
    grains
        Numbers of its grains, most patterns first.
    fraction
        Its share of all patterns.
    sure_fraction
        Share of all patterns that lie in those of its grains that are sure of it.
    probability
        Of the answer, mean over its grains weighted with their patterns. The grains were chosen by their answer, so their
        evidence is not pooled once more: it would grow with every grain that errs the same way.
    classes
        Of the model.
    """

    space_group: int
    grains: NDArray[np.int64]
    fraction: float
    sure_fraction: float
    probability: float
    classes: tuple[int, ...] = ()

    @property
    def symbol(self) -> str:
        """Short Hermann-Mauguin symbol, or the name of the outside."""
        return answer_symbol(self.space_group, self.classes)

    @property
    def title(self) -> str:
        """Number and symbol, or the name of the outside."""
        return answer_title(self.space_group, self.classes)


def find_phases(answers: GrainAnswers, grains: Grains) -> tuple[FoundPhase, ...]:
    """Gather grains of the same answer.

    Returns
    -------
    tuple of FoundPhase
        The largest first.
    """
    total = len(grains.labels)
    sizes, groups, best = grains.sizes, answers.answers, answers.best
    found = []
    for group in np.unique(groups[groups != NO_ANSWER]).tolist():
        members = np.flatnonzero(groups == group)
        order = members[np.argsort(-sizes[members], kind="stable")]
        patterns = sizes[order]
        found.append(
            FoundPhase(
                space_group=group,
                grains=order,
                fraction=float(patterns.sum() / total),
                sure_fraction=float(patterns[best[order] >= SURE].sum() / total),
                probability=float(np.average(best[order], weights=patterns)),
                classes=answers.classes,
            )
        )
    return tuple(sorted(found, key=lambda phase: -phase.fraction))
