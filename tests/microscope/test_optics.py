"""Screens and lenses."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from kikuchinet.microscope import optics


def test_round_screen_has_the_area_of_its_circle():
    lit = optics.round_screen((200, 200), (0.5, 0.5), 0.4, 0.005)
    assert lit.mean() == pytest.approx(np.pi * 0.4**2, rel=0.01)
    assert lit[100, 100] == 1.0
    assert lit[0, 0] == 0.0


def test_bars_of_a_cropped_screen_have_their_widths():
    lit = optics.margins((50, 80), (0.1, 0.2, 0.3, 0.05))
    assert lit.sum() == pytest.approx(50 * 0.75 * 80 * 0.6, rel=1e-5)
    assert lit[25, 40] == 1
    assert lit[:9].max() == lit[:, :7].max() == lit[:, -23:].max() == lit[-2:].max() == 0


def test_glare_keeps_the_light_and_lowers_the_contrast():
    rng = np.random.default_rng(0)
    images = (1 + 0.1 * rng.standard_normal((2, 96, 96))).astype(np.float32)
    hazy = optics.glare(images, 0.3, 0.2)
    assert hazy.mean() == pytest.approx(images.mean(), rel=1e-4)
    assert hazy.std() == pytest.approx(0.7 * images.std(), rel=0.03)
    half = np.zeros((1, 96, 96), np.float32)
    half[..., :48] = 1
    profile = optics.glare(half, 0.2, 0.1)[0].mean(axis=0)
    # A step blurred by a Gaussian is an error function.
    x = (np.arange(96) + 0.5 - 48) / 96
    np.testing.assert_allclose(profile, 0.8 * half[0, 0] + 0.2 * stats.norm.sf(x, scale=0.1), atol=0.01)


@pytest.mark.parametrize("angle", [0.0, np.pi / 2, 2.5])
def test_focus_is_lost_on_its_side(angle):
    rng = np.random.default_rng(0)
    white = rng.standard_normal((4, 120, 150)).astype(np.float32)
    drifted = optics.drifted_focus(white, 2.0, angle)
    down, right = np.sin(angle), np.cos(angle)
    y, x = np.mgrid[-1:1:120j, -1.25:1.25:150j]
    along = (right * x + down * y) / (1.25 * abs(right) + abs(down))
    spread = [drifted[:, band].std() for band in (along < -0.8, abs(along) < 0.1, along > 0.8)]
    assert spread[0] > 0.95
    assert spread[0] > spread[1] + 0.1 > spread[2] + 0.2
    blurred = ndimage.gaussian_filter(white, (0, 2.0, 2.0), mode="reflect")
    far = along > 0.97
    assert np.corrcoef(drifted[:, far].ravel(), blurred[:, far].ravel())[0, 1] > 0.9
