"""Faults lie where, and are as strong as, they should."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.microscope import faults


@pytest.mark.parametrize(
    ("angle", "dark", "light"),
    [
        (0.0, np.s_[:, -5:], np.s_[:, :5]),
        (np.pi / 2, np.s_[-5:, :], np.s_[:5, :]),
        (np.pi, np.s_[:, :5], np.s_[:, -5:]),
    ],
)
def test_shadow_comes_from_its_side(angle, dark, light):
    left = faults.shadow((60, 90), angle, 0.25, 0.8, 0.02)
    assert left[dark].max() == pytest.approx(0.2, abs=1e-5)
    assert left[light].min() == 1.0
    assert (left < 0.6).mean() == pytest.approx(0.25, abs=0.02)


def test_dust_darkens_a_few_spots():
    left = faults.specks((128, 128), 5, np.random.default_rng(0))
    assert left.max() <= 1.0
    assert 0.5 < left.min() < 0.97
    assert (left < 0.99).mean() < 0.05


def test_broken_pixels_are_as_many_as_said():
    defects = faults.draw_defects((200, 200), 0.01, 0, 0, np.random.default_rng(0))
    assert (defects.gain == 0).mean() == pytest.approx(0.005, abs=0.0005)
    assert (defects.dark > 0).mean() == pytest.approx(0.005, abs=0.0005)
    frames = defects.apply(np.ones((2, 200, 200), np.float32))
    assert (frames[0] == frames[1]).all()


def test_dead_lines_and_hot_columns():
    lines = faults.draw_defects((60, 60), 0.0, 4, 0, np.random.default_rng(1)).gain
    whole = (lines == 0).all(axis=0).sum() + (lines == 0).all(axis=1).sum()
    assert 1 <= whole <= 4
    assert (lines == 0).sum() >= 60
    hot = faults.draw_defects((60, 60), 0.0, 0, 1, np.random.default_rng(1)).dark
    (column,) = np.flatnonzero(hot.any(axis=0))
    below = np.flatnonzero(hot[:, column])
    assert below[-1] == 59
    assert len(below) == 60 - below[0]


def test_scale_bars_have_their_length():
    for seed in range(8):
        covered, level = faults.draw_writing((128, 160), 0.25, 0, np.random.default_rng(seed))
        contrast = covered & (level == level[covered].mean().round())
        assert 0.25 * 160 <= np.flatnonzero(covered.any(axis=0)).size <= 0.25 * 160 + 8
        assert contrast.any()
        assert set(np.unique(level)) <= {0.0, 1.0}


def test_labels_fit_into_small_images():
    covered, _level = faults.draw_writing((60, 60), 0.9, 40, np.random.default_rng(0))
    assert covered.any()
    assert covered.mean() < 0.5
