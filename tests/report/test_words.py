"""The answer in words: never more certain than the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kikuchinet.identification import IdentificationResult, SourceAnswer
from kikuchinet.models import Identification, ModelCard
from kikuchinet.patterns import PatternSource
from kikuchinet.report import _words as words
from kikuchinet.report._samples import chosen

CLASSES = (221, 225, 229)
CARD = ModelCard(
    "m", "1", "test_resnet", CLASSES, (64, 64), "visible", "0" * 64, details={"known_failures": "a <b>"}
)


def identification(probabilities, threshold=0.5) -> Identification:
    values = np.asarray(probabilities, dtype=float)
    best = values.max(axis=1)
    groups = np.where(best >= threshold, np.asarray(CLASSES)[values.argmax(axis=1)], 0)
    reasons = tuple("" if group else "not sure" for group in groups)
    return Identification(CLASSES, values, groups, reasons, pool_correlation=0.1)


def result(probabilities, card=CARD) -> IdentificationResult:
    n = len(probabilities)
    source = PatternSource("input", ["input"] * n, lambda first, last: [np.eye(16)] * (last - first))
    return IdentificationResult((SourceAnswer(source, identification(probabilities), np.zeros(n)),), card)


def test_many_that_agree_are_clear():
    answer = result([[0.05, 0.9, 0.05]] * 20)
    said = words.verdict(answer)
    assert said.level == "clear"
    assert said.answers
    assert "Taken together, the 20 patterns say" in said.sentence
    assert "No. 225" in said.sentence


def test_two_phases_are_never_clear():
    answer = result([[0.01, 0.98, 0.01]] * 10 + [[0.01, 0.01, 0.98]] * 11)
    assert answer.pooled.probability > 0.5
    assert answer.verdict != "clear"
    assert any("several phases" in reason for reason in words.reasons(answer))


FCC = ModelCard("m", "1", "test_resnet", (225, 227, 229), (64, 64), "visible", "0" * 64)


def test_clear_is_what_the_ladder_is_sure_of():
    # Two groups of one lattice: that much is sure, and no more.
    values = np.array([[0.6, 0.38, 0.02], [0.4, 0.58, 0.02]] * 3)
    answer = replace(result(values, FCC), answers=(_answer(values, FCC.classes),))
    assert max(answer.pooled.probability, 0.95) == 0.95
    assert answer.sure_step == answer.ladder.deepest
    said = words.verdict(answer)
    assert (answer.verdict, said.level, said.part) == ("partly", "partly", "Bravais lattice cF")
    assert not said.answers
    assert "are sure of one thing: Bravais lattice cF" in said.sentence
    assert "The space group is not" in said.sentence
    # The step is sure, but single answers do not share it: several phases.
    mixed = np.array([[0.99, 0.005, 0.005]] * 3 + [[0.2, 0.2, 0.6]] * 5)
    several = replace(result(mixed, FCC), answers=(_answer(mixed, FCC.classes),))
    assert several.ladder.deepest is not None
    assert several.shared(several.ladder.levels[0]) == 3 / 8
    assert several.sure_step is None
    assert several.verdict == "likely"


def _answer(values, classes) -> SourceAnswer:
    groups = np.asarray(classes)[values.argmax(axis=1)]
    source = PatternSource("input", ["input"] * len(values), lambda a, b: [np.eye(16)] * (b - a))
    said = Identification(classes, values, groups, ("",) * len(values), pool_correlation=0.1)
    return SourceAnswer(source, said, np.zeros(len(values)))


def test_undecided_is_a_hint_only():
    said = words.verdict(result([[0.3, 0.36, 0.34]]))
    assert said.level == "undecided"
    assert not said.answers
    assert "hint" in said.sentence


def test_nothing_to_see():
    answer = result([[1 / 3, 1 / 3, 1 / 3]] * 2)
    assert answer.pooled is None
    assert words.verdict(answer).level == "none"
    assert answer.summary()["winner"] is None
    assert words.reasons(answer)


def test_one_pattern_is_spoken_of_as_one():
    said = words.verdict(result([[0.01, 0.98, 0.01]]))
    assert said.sentence.startswith("The pattern says")


@pytest.mark.parametrize("value", [1.0, 0.99999, 0.9996])
def test_no_probability_is_certainty(value):
    assert words.probability(value) == "> 99.9\u00a0%"


@pytest.mark.parametrize(("value", "text"), [(1.0, "100"), (0.0, "0.0"), (0.0001, "< 0.1"), (0.345, "34.5")])
def test_percent(value, text):
    assert words.percent(value) == f"{text}\u00a0%"


def test_limits_name_every_class_and_escape_the_card():
    text = " ".join(map(str, words.limits(result([[0.01, 0.98, 0.01]]))))
    for group in CLASSES:
        assert f"No. {group}" in text
    assert "a &lt;b&gt;" in text


def test_few_patterns_are_all_shown():
    assert chosen(identification([[0.1, 0.8, 0.1]] * 36)).tolist() == list(range(36))


def test_a_sample_holds_every_answer_and_the_least_certain():
    rng = np.random.default_rng(0)
    values = rng.dirichlet([1.0, 1.0, 1.0], size=5000)
    answers = identification(values)
    shown = chosen(answers)
    assert len(shown) <= 36
    assert sorted(set(answers.space_groups[shown])) == [0, 221, 225, 229]
    for group in CLASSES:
        members = np.flatnonzero(answers.space_groups == group)
        certainty = values.max(axis=1)
        assert members[certainty[members].argmin()] in shown
        assert members[certainty[members].argmax()] in shown


def test_counts_put_no_answer_last():
    answer = result([[0.4, 0.3, 0.3]] * 5 + [[0.1, 0.1, 0.8]] * 2 + [[0.1, 0.8, 0.1]] * 2)
    assert list(answer.counts.items()) == [(225, 2), (229, 2), (0, 5)]
