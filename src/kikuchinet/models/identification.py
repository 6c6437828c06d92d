"""What a model says about patterns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.crystal import OUTSIDE, ladder
from kikuchinet.crystal.outside import outside_name
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

FLOOR = 1e-12
"""Smallest probability that counts: no single pattern may veto a group for good."""

NO_ANSWER = -1
"""In place of a space group's number where there is no answer, in arrays in which 0 is `kikuchinet.crystal.OUTSIDE`."""


@dataclass(frozen=True)
class Pooled:
    """The answer of all patterns together.

    Parameters
    ----------
    space_group
        The space group with most evidence; 0 if that is `kikuchinet.crystal.OUTSIDE`, `NO_ANSWER` where no pattern shows
        anything.
    probability
        Its probability.
    probabilities
        (classes,) of all classes; equal ones where no pattern shows anything.
    n_patterns
        How many patterns were pooled: those that show something.
    """

    space_group: int
    probability: float
    probabilities: NDArray[np.float64]
    n_patterns: int


@dataclass(frozen=True, eq=False)
class Identification:
    """Probabilities and answers for n patterns.

    Parameters
    ----------
    classes
        Space-group numbers, one per column of `probabilities`; `kikuchinet.crystal.OUTSIDE`, 0, may be among them.
    probabilities
        (n, classes), rows sum to 1.
    space_groups
        (n,) the answers; 0 where there is no space group to name: where the model abstained, and, with a class 0, where it
        answered that the crystal is of none of its groups. `abstained`, `outside` and `answers` tell the two apart.
    reasons
        Why it abstained, per pattern; empty where it answered.
    pool_correlation
        See `pooled`.
    """

    classes: tuple[int, ...]
    probabilities: NDArray[np.float64]
    space_groups: NDArray[np.int64]
    reasons: tuple[str, ...]
    pool_correlation: float = 0.1

    def __len__(self) -> int:
        return len(self.space_groups)

    @cached_property
    def abstained(self) -> NDArray[np.bool_]:
        """(n,) where the model gave no answer."""
        unnamed: NDArray[np.bool_] = self.space_groups == 0
        if OUTSIDE not in self.classes:
            return unnamed
        # "Outside" is an answer: nothing had to be said against it.
        return unnamed & np.fromiter((reason != "" for reason in self.reasons), dtype=bool, count=len(self))

    @property
    def outside(self) -> NDArray[np.bool_]:
        """(n,) where the answer is that the crystal is of none of the model's groups."""
        return (self.space_groups == OUTSIDE) & ~self.abstained

    @cached_property
    def answers(self) -> NDArray[np.int64]:
        """(n,) the answers as classes: a space group or `kikuchinet.crystal.OUTSIDE`, `NO_ANSWER` where it abstained."""
        return np.where(self.abstained, NO_ANSWER, self.space_groups)

    @classmethod
    def concatenate(cls, parts: Sequence[Identification]) -> Identification:
        """Join the answers for several batches of patterns, in order."""
        if not parts:
            raise InputError("identification", "nothing to join")
        first = parts[0]
        if any(part.classes != first.classes for part in parts):
            raise InputError("identification", "answers of models with different classes cannot be joined")
        return cls(
            classes=first.classes,
            probabilities=np.concatenate([part.probabilities for part in parts]),
            space_groups=np.concatenate([part.space_groups for part in parts]),
            reasons=tuple(reason for part in parts for reason in part.reasons),
            pool_correlation=first.pool_correlation,
        )

    def pooled(self, where: ArrayLike | None = None) -> Pooled:
        """Pool the evidence of many patterns of one crystal.

        Parameters
        ----------
        where
            (n,) boolean, the patterns that count; all of them if not given. Patterns that show nothing, whose
            probabilities are all the same, never count.

        Returns
        -------
        Pooled
            Space group, its probability, and the probabilities of all classes.

        Raises
        ------
        kikuchinet.errors.InputError
            There are no patterns, or `where` chooses none.

        Notes
        -----
        With independent errors the log-probabilities of n patterns would add up. Patterns of one scan share
        specimen and camera, and with them part of their errors, so their sum is weighted with the effective
        number of patterns over the true one, ``n_eff / n = 1 / (1 + (n - 1) ρ)`` (the design effect of L. Kish,
        Survey Sampling, 1965, sect. 5.4). ρ is `pool_correlation`. The winner does not depend on it; how sure
        the pooled answer may become does.
        """
        chosen = self.probabilities if where is None else self.probabilities[np.asarray(where, dtype=bool)]
        if not len(chosen):
            raise InputError("identification", "no patterns to pool")
        chosen = chosen[np.ptp(chosen, axis=1) > 0.0]
        n = len(chosen)
        if n == 0:
            even = np.full(len(self.classes), 1.0 / len(self.classes))
            return Pooled(NO_ANSWER, float(even[0]), even, 0)
        mean = np.log(np.maximum(chosen, FLOOR)).mean(axis=0)
        evidence = mean * n / (1.0 + (n - 1) * self.pool_correlation)
        weights = np.exp(evidence - evidence.max())
        probabilities = weights / weights.sum()
        best = int(np.argmax(probabilities))
        return Pooled(self.classes[best], float(probabilities[best]), probabilities, n)

    def to_frame(
        self,
        *,
        source: str | Sequence[str] = "",
        index: ArrayLike | None = None,
        row: ArrayLike | None = None,
        column: ArrayLike | None = None,
        quality: ArrayLike | None = None,
    ) -> pd.DataFrame:
        """Return a table with one row a pattern.

        Parameters
        ----------
        source
            File that the patterns come from, one for all or one each.
        index
            (n,) number of the pattern in its file; 0 to n-1 if not given.
        row, column
            (n,) place in the scan; empty if not given.
        quality
            (n,) image quality; empty if not given.

        Returns
        -------
        pandas.DataFrame
            Columns ``source, index, row, column, space_group, symbol, probability, point_group, bravais_lattice,
            crystal_system, abstained, reason, second_space_group, second_probability, quality``. The answer's
            columns are empty where the model abstained; ``probability`` is always that of the likeliest group. Where the
            answer is outside, ``space_group`` is 0, ``symbol`` the name of the outside
            (`kikuchinet.crystal.outside.outside_name`), and the steps above it are empty.
        """
        import pandas as pd

        n = len(self)
        numbers = np.asarray(self.classes)
        order = np.argsort(-self.probabilities, axis=1, kind="stable")
        rows = np.arange(n)
        answers = self.answers.tolist()
        steps = {group: ladder(group) for group in set(answers) if group > 0}

        def of_answer(attribute: str, outside: str = "") -> list[str]:
            texts = {group: str(getattr(step, attribute)) for group, step in steps.items()}
            texts |= {NO_ANSWER: "", OUTSIDE: outside}
            return [texts[group] for group in answers]

        def whole(values: ArrayLike | None) -> pd.Series:
            if values is None:
                return pd.Series([pd.NA] * n, dtype="Int64")
            return pd.Series(np.asarray(values), dtype="Int64")

        return pd.DataFrame(
            {
                "source": [source] * n if isinstance(source, str) else list(source),
                "index": np.arange(n) if index is None else np.asarray(index),
                "row": whole(row),
                "column": whole(column),
                "space_group": whole(self.space_groups).mask(self.abstained),
                "symbol": of_answer("symbol", outside_name(self.classes) if OUTSIDE in self.classes else ""),
                "probability": self.probabilities[rows, order[:, 0]],
                "point_group": of_answer("point_group"),
                "bravais_lattice": of_answer("bravais_lattice"),
                "crystal_system": of_answer("crystal_system"),
                "abstained": self.abstained,
                "reason": list(self.reasons),
                "second_space_group": numbers[order[:, 1]],
                "second_probability": self.probabilities[rows, order[:, 1]],
                "quality": np.full(n, np.nan) if quality is None else np.asarray(quality, dtype=float),
            }
        )
