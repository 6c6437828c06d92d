"""Heat against a crystal turned at random."""

from __future__ import annotations

import numpy as np
import pytest
from orix.quaternion import Rotation

import kikuchinet as kn
from kikuchinet.errors import InputError
from kikuchinet.explanation import PatternFeatures, against_chance, feature_masks, random_masks
from kikuchinet.explanation.chance import FEATURES, shares

SCREEN = kn.Detector(shape=(48, 48), pattern_center=(0.5, 0.4, 0.6))


def test_shares_are_parts_of_the_heat() -> None:
    heat = np.array([[1.0, 3.0], [0.0, 4.0]])
    masks = np.array([[[True, False], [False, True]], [[True, True], [True, True]]])
    assert shares(heat, masks) == pytest.approx([5 / 8, 1.0])
    assert np.isnan(shares(np.zeros((2, 2)), masks)).all()


def test_heat_on_bands_beats_chance_and_heat_beside_them_does_not() -> None:
    crystal = kn.crystals["Ni"]
    turned = random_masks(crystal, SCREEN, 20.0, count=60, seed=1)
    rng = np.random.default_rng(0)
    rotations = [Rotation(q / np.linalg.norm(q)) for q in rng.standard_normal((8, 4))]
    own = [feature_masks(PatternFeatures.of(crystal, one, SCREEN)) for one in rotations]
    for name in FEATURES:
        masks = np.array([one[name] for one in own])
        area = masks.mean(axis=(1, 2))
        for heat, verdict in ((masks, "times as much"), (~masks, "less heat than chance")):
            values = np.array([shares(h, m[None])[0] for h, m in zip(heat.astype(float), masks, strict=True)])
            table = np.array([shares(h, turned[name]) for h in heat.astype(float)])
            result = against_chance(values, table, area)
            assert verdict in result.verdict
        even = np.ones((48, 48))
        table = np.array([shares(even, turned[name])] * len(masks))
        result = against_chance(np.array([shares(even, m[None])[0] for m in masks]), table, area)
        assert result.share == pytest.approx(result.area)
        assert result.verdict == "no more heat than chance"


def test_same_seed_same_orientations_and_too_few_are_refused() -> None:
    crystal = kn.crystals["Fe"]
    one, two = (random_masks(crystal, SCREEN, 20.0, count=20, seed=3) for _ in range(2))
    assert all(np.array_equal(one[name], two[name]) for name in FEATURES)
    with pytest.raises(InputError, match="no 95 % range"):
        random_masks(crystal, SCREEN, 20.0, count=5)
    with pytest.raises(InputError, match="hold no heat"):
        against_chance(np.array([np.nan]), np.ones((1, 20)), np.ones(1))
