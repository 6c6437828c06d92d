"""Pooling and tables."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.models import NO_ANSWER, Identification

COLUMNS = [
    "source",
    "index",
    "row",
    "column",
    "space_group",
    "symbol",
    "probability",
    "point_group",
    "bravais_lattice",
    "crystal_system",
    "abstained",
    "reason",
    "second_space_group",
    "second_probability",
    "quality",
]


def make(
    probabilities: list[list[float]], correlation: float = 0.1, abstain: tuple[int, ...] = ()
) -> Identification:
    values = np.array(probabilities)
    answers = np.array([221, 225, 230])[values.argmax(axis=1)]
    reasons = ["unsure" if i in abstain else "" for i in range(len(values))]
    answers[list(abstain)] = 0
    return Identification((221, 225, 230), values, answers, tuple(reasons), correlation)


def test_independent_patterns_pool_by_bayes():
    result = make([[0.5, 0.4, 0.1], [0.2, 0.6, 0.2]], correlation=0.0).pooled()
    product = np.array([0.5 * 0.2, 0.4 * 0.6, 0.1 * 0.2])
    assert result.space_group == 225
    assert result.n_patterns == 2
    np.testing.assert_allclose(result.probabilities, product / product.sum())


def test_correlated_patterns_pool_to_less():
    rows = [[0.3, 0.5, 0.2]] * 400
    independent, correlated = make(rows, 0.0).pooled(), make(rows, 0.1).pooled()
    assert independent.space_group == correlated.space_group == 225
    assert independent.probability > 0.999999
    # With rho = 0.1 no number of patterns counts for more than ten independent ones.
    bound = 1.0 / (1.0 + 0.6**10 + 0.4**10)
    assert correlated.probability < bound
    assert make(rows[:1], 0.1).pooled().probability == pytest.approx(0.5)


def test_one_certain_mistake_does_not_veto():
    rows = [[0.05, 0.9, 0.05]] * 40 + [[1.0, 0.0, 0.0]]
    assert make(rows).pooled().space_group == 225
    assert make(rows).pooled(where=np.arange(41) == 40).space_group == 221
    with pytest.raises(InputError, match="no patterns"):
        make(rows).pooled(where=np.zeros(41, dtype=bool))


def test_patterns_that_show_nothing_do_not_weaken_the_others():
    rows, blank = [[0.09, 0.82, 0.09]] * 10, [[1 / 3] * 3] * 990
    alone, among_blanks = make(rows).pooled(), make(rows + blank).pooled()
    np.testing.assert_array_equal(among_blanks.probabilities, alone.probabilities)
    assert among_blanks.n_patterns == alone.n_patterns == 10
    nothing = make(blank).pooled()
    assert (nothing.space_group, nothing.n_patterns) == (NO_ANSWER, 0)
    np.testing.assert_allclose(nothing.probabilities, 1 / 3)


def test_table_has_the_agreed_columns():
    frame = make([[0.7, 0.2, 0.1], [0.4, 0.35, 0.25]], abstain=(1,)).to_frame(
        source="scan.h5", row=[0, 0], column=[3, 4]
    )
    assert list(frame.columns) == COLUMNS
    first, second = frame.iloc[0], frame.iloc[1]
    assert (first.space_group, first.symbol, first.point_group) == (221, "Pm-3m", "m-3m")
    assert (first.bravais_lattice, first.crystal_system) == ("cP", "cubic")
    assert (first.second_space_group, first.second_probability, first.column) == (225, 0.2, 3)
    assert bool(second.abstained)
    assert second.reason == "unsure"
    # An abstention leaves the answer's cell empty in the CSV file, without turning 221 into 221.0 elsewhere.
    lines = frame.to_csv(index=False).splitlines()
    assert lines[1].startswith("scan.h5,0,0,3,221,Pm-3m,0.7,")
    assert lines[2].startswith("scan.h5,1,0,4,,,0.4,,,,True,unsure,225,0.35")


def test_joining_keeps_order_and_refuses_other_classes():
    a, b = make([[0.7, 0.2, 0.1]]), make([[0.1, 0.2, 0.7]])
    assert Identification.concatenate([a, b]).space_groups.tolist() == [221, 230]
    other = Identification((221, 225), a.probabilities[:, :2], a.space_groups, a.reasons)
    with pytest.raises(InputError, match="different classes"):
        Identification.concatenate([a, other])
