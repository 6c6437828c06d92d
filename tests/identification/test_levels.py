"""The symmetry ladder with probabilities, by hand for a few cases."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.identification import ladder_answer
from kikuchinet.identification.levels import LEVELS, level_probabilities

CUBIC = (221, 223, 225, 227, 229, 230)


def test_an_unsure_group_and_a_sure_lattice():
    answer = ladder_answer([0.01, 0.01, 0.5, 0.46, 0.01, 0.01], CUBIC)
    assert (answer.levels[0].value, answer.levels[0].finding) == ("225", False)
    assert (answer.deepest.name, answer.deepest.value) == ("bravais_lattice", "cF")
    assert answer.deepest.probability == pytest.approx(0.96)
    assert "space group is not sure" in answer.sentence


def test_what_all_classes_share_is_a_premise_and_no_finding():
    answer = ladder_answer([0.3, 0.1, 0.2, 0.2, 0.1, 0.1], CUBIC)
    assert answer.deepest is None
    by_name = {level.name: level for level in answer.levels}
    for name in ("point_group", "laue_class", "crystal_system"):
        assert by_name[name].premise
        assert by_name[name].probability == pytest.approx(1.0)
        assert not by_name[name].finding
    assert "Assumed by the model, not found" in answer.sentence
    assert "cubic" in answer.sentence


def test_the_crystal_system_where_only_that_is_sure():
    answer = ladder_answer([0.33, 0.32, 0.33, 0.02], (194, 191, 182, 225))
    assert (answer.deepest.name, answer.deepest.value) == ("laue_class", "6/mmm")
    answer = ladder_answer([0.49, 0.49, 0.02], (123, 139, 225))
    assert answer.deepest.value == "4/mmm"
    answer = ladder_answer([0.49, 0.49, 0.02], (139, 79, 225))
    assert (answer.deepest.name, answer.deepest.value) == ("bravais_lattice", "tI")
    answer = ladder_answer([0.49, 0.49, 0.02], (123, 79, 225))
    assert (answer.deepest.name, answer.deepest.value) == ("crystal_system", "tetragonal")


def test_possible_values_are_the_numbers_of_the_tables():
    answer = ladder_answer(np.full(6, 1 / 6), CUBIC)
    possible = {level.name: level.possible for level in answer.levels}
    assert (possible["space_group"], possible["point_group"], possible["laue_class"]) == (230, 32, 11)
    assert (possible["bravais_lattice"], possible["crystal_system"]) == (14, 7)


def test_sums_over_classes():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.ones(6), size=5)
    for level in LEVELS:
        values, sums = level_probabilities(probabilities, CUBIC, level)
        assert sums.shape == (5, len(values))
        np.testing.assert_allclose(sums.sum(axis=1), 1.0)
    values, sums = level_probabilities(probabilities, CUBIC, "bravais_lattice")
    np.testing.assert_allclose(sums[:, values.index("cF")], probabilities[:, 2] + probabilities[:, 3])


ALL_OF_M3M = (0, *range(221, 231))


def test_outside_is_an_option_of_its_own_at_every_step():
    rng = np.random.default_rng(2)
    probabilities = rng.dirichlet(np.ones(11), size=5)
    for level in LEVELS:
        values, sums = level_probabilities(probabilities, ALL_OF_M3M, level)
        np.testing.assert_allclose(sums.sum(axis=1), 1.0)
        np.testing.assert_allclose(sums[:, values.index("outside m-3m")], probabilities[:, 0])
    values, sums = level_probabilities(probabilities, ALL_OF_M3M, "crystal_system")
    assert set(values) == {"outside m-3m", "cubic"}
    # Never cubic: 216 is cubic and outside m-3m, 194 is not.
    np.testing.assert_allclose(sums[:, values.index("cubic")], 1.0 - probabilities[:, 0])


def test_outside_is_the_answer_where_it_is_likeliest():
    answer = ladder_answer([0.97, *[0.003] * 10], ALL_OF_M3M)
    assert {level.value for level in answer.levels} == {"outside m-3m"}
    assert {round(level.probability, 3) for level in answer.levels} == {0.97}
    assert answer.deepest.name == "space_group"
    assert answer.sentence == "outside m-3m (none of the ten groups this model knows), 0.970"
    unsure = ladder_answer([0.5, *[0.05] * 10], ALL_OF_M3M)
    assert unsure.deepest is None
    assert "likeliest answer outside m-3m, 0.50" in unsure.sentence


def test_with_an_outside_the_crystal_system_is_a_finding_and_no_premise():
    answer = ladder_answer([0.01, *[0.099] * 10], ALL_OF_M3M)
    by_name = {level.name: level for level in answer.levels}
    assert not any(level.premise for level in answer.levels)
    assert (answer.deepest.name, answer.deepest.value) == ("point_group", "m-3m")
    assert by_name["crystal_system"].probability == pytest.approx(0.99)
    assert "Assumed" not in answer.sentence
