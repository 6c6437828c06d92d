"""Scores against figures worked out by hand and by scikit-learn, statsmodels' formula by its textbook value."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.evaluation import clustered_interval, score, wilson_interval


def test_wilson_interval_has_its_textbook_values():
    # Newcombe, Stat. Med. 17 (1998) 857, table I, method 3: 81/263, 15/148, 0/20, 1/29.
    low, high = wilson_interval([81, 15, 0, 1], [263, 148, 20, 29])
    np.testing.assert_allclose(low, [0.2553, 0.0624, 0.0, 0.0061], atol=5e-5)
    np.testing.assert_allclose(high, [0.3662, 0.1605, 0.1611, 0.1718], atol=5e-5)
    low, high = wilson_interval([0], [0])
    assert (low[0], high[0]) == (0.0, 1.0)


def test_clusters_widen_an_interval_to_what_it_claims():
    # Shares that differ from cluster to cluster as a beta distribution does (0.6 in the mean, correlation 0.2 inside).
    rng = np.random.default_rng(0)
    clusters = np.repeat(np.arange(40), 25)
    kept = {"clustered": 0, "alone": 0}
    for _ in range(400):
        hits = rng.random(1000) < np.repeat(rng.beta(2.4, 1.6, 40), 25)
        low, high = clustered_interval(hits, clusters)
        kept["clustered"] += low < 0.6 < high
        low, high = wilson_interval(hits.sum(), 1000)
        kept["alone"] += bool(low < 0.6 < high)
    assert kept["clustered"] > 0.92 * 400
    assert kept["alone"] < 0.7 * 400


def test_single_patterns_are_clusters_of_their_own():
    hits = np.arange(200) % 4 == 0
    np.testing.assert_allclose(clustered_interval(hits, np.arange(200)), wilson_interval(50, 200), atol=5e-4)
    np.testing.assert_allclose(clustered_interval([True] * 5, [1, 1, 1, 2, 2]), wilson_interval(5, 5))
    # Two materials of which one is always right: that they differ is no chance.
    np.testing.assert_allclose(
        clustered_interval([True] * 6 + [False] * 6, np.arange(12) // 2, ["a"] * 6 + ["b"] * 6),
        wilson_interval(6, 12),
    )
    with pytest.raises(InputError, match="2 of them for 3"):
        clustered_interval([True, False, True], [1, 2])


def test_scores_by_hand():
    truths = np.array([221, 221, 221, 225, 225, 229])
    answers = np.array([221, 225, 0, 225, 225, 230])
    names = ["NiAl", "NiAl", "FeAl", "Ni", "Al", "Fe"]
    result = score("visible", truths, answers, names)
    groups = result.groups.set_index("space_group")
    assert groups.loc[221, "recall"] == pytest.approx(1 / 3)
    assert groups.loc[221, "precision"] == 1.0
    assert groups.loc[225, "recall"] == 1.0
    assert groups.loc[225, "precision"] == pytest.approx(2 / 3)
    assert groups.loc[229, "recall"] == 0.0
    # 230 was answered but is nobody's truth: a precision of nought, and no part of the mean recall.
    assert groups.loc[230, "patterns"] == 0
    assert groups.loc[230, "precision"] == 0.0
    assert result.accuracy == pytest.approx(0.5)
    assert result.macro_recall == pytest.approx((1 / 3 + 1.0 + 0.0) / 3)
    materials = result.materials.set_index("material")
    assert materials.loc["NiAl", "recall"] == 0.5
    assert materials.loc["FeAl", "right"] == 0
    assert result.counts.loc["FeAl", 0] == 1
    assert result.counts.to_numpy().sum() == 6


def test_nothing_to_score_is_refused():
    with pytest.raises(InputError, match="no patterns"):
        score("visible", np.array([], dtype=int), np.array([], dtype=int), [])


def test_outside_is_an_answer_where_it_is_a_class():
    truths = np.array([0, 0, 0, 225, 225, 229])
    answers = np.array([0, -1, 225, 225, 0, 229])
    names = ["InP", "InP", "Mg", "Ni", "Ni", "Fe"]
    result = score("visible", truths, answers, names, (0, 225, 229))
    groups = result.groups.set_index("space_group")
    assert groups.loc[0, "symbol"] == "none of the model's groups"
    assert groups.loc[0, "recall"] == pytest.approx(1 / 3)
    assert groups.loc[0, "precision"] == 0.5
    assert result.accuracy == pytest.approx(3 / 6)
    assert result.counts.loc["InP", 0] == 1
    assert result.counts.loc["InP", "no answer"] == 1
    assert result.counts.loc["Ni", 0] == 1
    # The same answers of a model without that class: 0 is no answer.
    without = score("visible", np.array([225, 229]), np.array([0, 229]), ["Ni", "Fe"])
    assert without.groups["space_group"].tolist() == [225, 229]
    assert without.counts.loc["Ni", 0] == 1
