"""Pools of patterns, and the calibration error, against sums done by hand and against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from kikuchinet.evaluation import calibration_error, score_pools
from kikuchinet.evaluation.pooling import BINS
from kikuchinet.models import Identification

CLASSES = (0, 221, 225, 229)


def identification(probabilities) -> Identification:
    probabilities = np.asarray(probabilities, dtype=float)
    answers = np.asarray(CLASSES)[probabilities.argmax(axis=1)]
    return Identification(CLASSES, probabilities, answers, ("",) * len(answers))


def test_pools_follow_the_evidence_and_not_the_votes():
    # Two patterns lean a little to 225, one is sure of 221: the sum of logarithms is 221's.
    rows = [[0.01, 0.44, 0.54, 0.01]] * 2 + [[0.005, 0.98, 0.01, 0.005]]
    found = identification(rows)
    table = score_pools(found, np.full(3, 221), ["a"] * 3, sizes=(1, 3, 5))
    assert table["pooled"].tolist() == [1, 3]  # nobody has five
    assert table["accuracy"].tolist() == pytest.approx([1 / 3, 1.0])
    assert found.pooled().space_group == 221


def test_pools_are_of_one_material_and_groups_count_equally():
    rng = np.random.default_rng(4)
    truths = np.repeat([0, 221, 221, 229], 40)
    names = np.repeat(["quartz", "NiAl", "FeAl", "Fe"], 40)
    right = np.searchsorted(CLASSES, truths)
    logits = rng.normal(size=(160, 4))
    logits[np.arange(160), right] += np.repeat([0.8, 0.8, 0.8, -1.0], 40)
    found = identification(np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True))
    table = score_pools(found, truths, names).set_index("pooled")
    single = found.space_groups == truths
    by_material = {name: single[names == name].mean() for name in set(names)}
    assert table.loc[1, "accuracy"] == pytest.approx(np.mean(list(by_material.values())))
    expected = (
        by_material["quartz"] + (by_material["NiAl"] + by_material["FeAl"]) / 2 + by_material["Fe"]
    ) / 3
    assert table.loc[1, "macro_recall"] == pytest.approx(expected)
    assert table.loc[20, "accuracy"] == pytest.approx(
        0.75, abs=0.03
    )  # three of four: evidence against iron adds up too
    assert table.loc[20, "materials_right"] == 3
    assert 50 not in table.index
    again = score_pools(found, truths, names, seed=0).set_index("pooled")
    assert again.equals(table)


def test_the_calibration_error_is_that_of_scikit_learns_reliability_curve():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet(np.full(4, 0.4), size=5000)
    truths = np.asarray(CLASSES)[[rng.choice(4, p=p**0.5 / (p**0.5).sum()) for p in probabilities]]
    found = identification(probabilities)
    sure, right = probabilities.max(axis=1), found.space_groups == truths
    share, mean = calibration_curve(right, sure, n_bins=BINS)
    counts = np.histogram(sure, bins=np.linspace(0, 1, BINS + 1))[0]
    expected = np.abs(share - mean) @ counts[counts > 0] / counts.sum()
    assert calibration_error(found, truths) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.1


def test_groups_that_the_model_does_not_have_say_nothing_of_its_probabilities():
    found = identification([[0.1, 0.7, 0.1, 0.1], [0.1, 0.1, 0.7, 0.1]])
    assert calibration_error(found, np.array([221, 227])) == pytest.approx(0.3)
    assert calibration_error(found, np.array([227, 227])) is None
