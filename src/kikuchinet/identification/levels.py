"""The symmetry ladder with a probability at each step: how far down an answer is sure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.crystal import OUTSIDE, ladder
from kikuchinet.crystal.outside import outside_name, outside_phrase

LEVELS = (
    "space_group",
    "extinction_class",
    "point_group",
    "laue_class",
    "bravais_lattice",
    "crystal_system",
)
"""Steps of the ladder, from the one that says most to the one that says least."""

SURE = 0.95
"""From this probability on, a step is called sure."""


@dataclass(frozen=True)
class Level:
    """What is said at one step of the ladder.

    Parameters
    ----------
    name
        One of `LEVELS`.
    value
        Such as ``"225"``, ``"m-3m: 209+216+225"``, ``"m-3m"``, ``"cF"`` or ``"cubic"``; at every step
        `kikuchinet.crystal.outside.outside_name` where the model's outside is likeliest.
    probability
        Sum over the model's space groups that have this value. What lies outside is a value of its own: a crystal outside
        m-3m may be cubic or not, so it counts for neither, and the probability of ``cubic`` is the least that it can be.
    known
        Different values among the model's classes.
    possible
        Different values among all 230.
    """

    name: str
    value: str
    probability: float
    known: int
    possible: int

    @property
    def premise(self) -> bool:
        """Whether all the model's classes have this value: then it was assumed, and no pattern can speak against it."""
        return self.known == 1

    @property
    def finding(self) -> bool:
        """Whether the step is sure and not a premise."""
        return not self.premise and self.probability >= SURE

    @property
    def title(self) -> str:
        """The step's name in words; Bravais and Laue are people."""
        return self.name.replace("_", " ").replace("bravais", "Bravais").replace("laue", "Laue")


@dataclass(frozen=True)
class LadderAnswer:
    """What is said at all steps of the ladder.

    Parameters
    ----------
    levels
        In the order of `LEVELS`.
    classes
        Of the model.
    """

    levels: tuple[Level, ...]
    classes: tuple[int, ...] = ()

    @property
    def deepest(self) -> Level | None:
        """The first step, from the space group on, that is sure and no premise; None if there is none."""
        return next((level for level in self.levels if level.finding), None)

    @property
    def sentence(self) -> str:
        """The answer in words: the deepest step that is sure, and what was assumed."""
        deepest = self.deepest
        outside = outside_name(self.classes) if OUTSIDE in self.classes else None
        if deepest is None:
            first = self.levels[0]
            what = "answer" if first.value == outside else "space group"
            found = f"no step of the ladder is sure (likeliest {what} {first.value}, {first.probability:.2f})"
        elif deepest.value == outside:
            found = f"{outside_phrase(self.classes)}, {deepest.probability:.3f}"
        elif deepest.name == "space_group":
            found = f"space group {ladder(int(deepest.value)).symbol} ({deepest.value}), {deepest.probability:.3f}"
        else:
            found = (
                f"{deepest.title} {deepest.value}, {deepest.probability:.3f}; the space group is not sure "
                f"(likeliest {self.levels[0].value}, {self.levels[0].probability:.2f})"
            )
        assumed = [f"{level.title} {level.value}" for level in self.levels if level.premise]
        if assumed:
            found += f". Assumed by the model, not found: {', '.join(assumed)}"
        return found


@cache
def _values(classes: tuple[int, ...], level: str) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Return a step's values in the order of the classes, and which class has which, (classes, values)."""
    of_class = [
        outside_name(classes) if group == OUTSIDE else str(getattr(ladder(group), level)) for group in classes
    ]
    values = tuple(dict.fromkeys(of_class))
    return values, np.array([[value == own for value in values] for own in of_class], dtype=np.float64)


@cache
def _possible(level: str) -> int:
    return len({str(getattr(ladder(group), level)) for group in range(1, 231)})


def level_probabilities(
    probabilities: NDArray[np.float64], classes: Sequence[int], level: str
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Sum probabilities of space groups over those that share a step of the ladder.

    Parameters
    ----------
    probabilities
        (n, classes).
    classes
        Space groups of the columns, `kikuchinet.crystal.OUTSIDE` where the model has it.
    level
        One of `LEVELS`.

    Returns
    -------
    values : tuple of str
        The step's values among the classes; the outside is one of them, at every step.
    sums : numpy.ndarray
        (n, values).
    """
    values, member = _values(tuple(classes), level)
    return values, np.asarray(probabilities @ member)


def ladder_answer(probabilities: ArrayLike, classes: Sequence[int]) -> LadderAnswer:
    """Return what probabilities of space groups say at each step of the ladder.

    Parameters
    ----------
    probabilities
        (classes,).
    classes
        Space groups of the model, `kikuchinet.crystal.OUTSIDE` where it has it.

    Notes
    -----
    A step's answer is the likeliest value of that step, which need not be that of the likeliest space group: three
    monoclinic groups of 0.2 outweigh a cubic one of 0.4.
    """
    row = np.asarray(probabilities, dtype=np.float64)[None]
    found = []
    for level in LEVELS:
        values, sums = level_probabilities(row, classes, level)
        best = int(sums[0].argmax())
        found.append(
            Level(level, values[best], float(min(sums[0, best], 1.0)), len(values), _possible(level))
        )
    return LadderAnswer(tuple(found), tuple(classes))
