"""Each stage of the camera against what physics or statistics says it must do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from kikuchinet.microscope import stages


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0, 11.9, 12.1, 40.0, 3000.0])
def test_counts_are_poisson(mean):
    rng = np.random.default_rng(7)
    n = 200_000
    counts = stages.poisson_counts(
        np.full((1, 1, n), mean, np.float32), rng.standard_normal((1, 1, n), dtype=np.float32)
    ).ravel()
    assert (counts == np.floor(counts)).all()
    assert counts.min() >= 0
    assert counts.mean() == pytest.approx(mean, abs=5 * np.sqrt(mean / n) + 1e-3)
    assert counts.var() == pytest.approx(mean, rel=0.03)
    assert stats.skew(counts) == pytest.approx(mean**-0.5, abs=0.05)
    levels = np.arange(int(counts.max()) + 1)
    expected = stats.poisson.cdf(levels, np.float32(mean))
    measured = np.cumsum(np.bincount(counts.astype(int))) / n
    # Kolmogorov-Smirnov distance; 0.004 is chance at this n, 0.01 leaves room for the expansion's error.
    assert np.abs(measured - expected).max() < 0.01


def test_detection_noise_follows_the_dose():
    rng = np.random.default_rng(0)
    flat = np.ones((1, 200, 200), np.float32)
    for dose, read_noise in ((100.0, 0.0), (400.0, 0.0), (400.0, 20.0)):
        measured = stages.detect(flat, dose, read_noise, rng)
        assert measured.mean() == pytest.approx(1.0, abs=0.005)
        assert measured.std() == pytest.approx(np.sqrt(dose + read_noise**2) / dose, rel=0.03)


def test_background_peaks_where_it_should():
    background = stages.diffuse_background((60, 80), (0.25, 0.8), 0.5, 0.0)
    row, column = np.unravel_index(background.argmax(), background.shape)
    assert background.mean() == pytest.approx(1.0, abs=1e-5)
    assert (row, column) == (47, 19) or (row, column) == (48, 20)


def test_vignette_loses_what_it_says():
    without = stages.diffuse_background((101, 101), (0.5, 0.5), 50.0, 0.0)
    vignetted = stages.diffuse_background((101, 101), (0.5, 0.5), 50.0, 0.4)
    ratio = vignetted / without
    edge = ratio[0, 50] / ratio[50, 50]
    assert edge == pytest.approx(0.6, abs=0.01)


def test_excess_above_deficiency_below():
    # A horizontal band, the diffuse source below it: bright upper edge, dark lower edge.
    y = np.arange(64, dtype=np.float32)[:, None]
    band = np.exp(-(((y - 32) / 4) ** 2)) * np.ones((1, 64), np.float32)
    signal = stages.standardise(band[None])
    added = stages.excess_deficiency(signal, (0.5, 1.5), 0.5) - signal
    profile = added[0].mean(axis=1)
    assert 24 < profile.argmax() < 32 < profile.argmin() < 41
    assert added.std() == pytest.approx(0.5, rel=0.01)
    # The other way round where the source is above.
    turned = (stages.excess_deficiency(signal, (0.5, -0.5), 0.5) - signal)[0].mean(axis=1)
    assert turned.argmin() < 32 < turned.argmax()
    np.testing.assert_array_equal(stages.excess_deficiency(signal, (0.5, 1.5), 0.0), signal)


def test_compression_lowers_the_skew_and_keeps_the_order():
    rng = np.random.default_rng(1)
    signal = stages.standardise(rng.exponential(size=(2, 50, 50)).astype(np.float32))
    flat = stages.compress(signal, 0.6)
    assert stats.skew(flat.ravel()) < stats.skew(signal.ravel()) - 0.5
    assert (np.argsort(flat[0].ravel()) == np.argsort(signal[0].ravel())).mean() > 0.99
    assert flat.std(axis=(1, 2)) == pytest.approx(1.0, abs=1e-3)


def test_uneven_field_is_smooth_and_repeats():
    fields = [stages.uneven_field((64, 96), 0.2, np.random.default_rng(3)) for _ in range(2)]
    assert fields[0].tobytes() == fields[1].tobytes()
    assert fields[0].std() == pytest.approx(1.0, abs=1e-3)
    assert np.abs(np.diff(fields[0], axis=0)).max() < 0.5
    assert np.abs(np.diff(stages.uneven_field((64, 64), 0.02, np.random.default_rng(3)), axis=0)).max() > 0.5


def test_fixed_pattern_has_the_gain_error_and_the_dust():
    rng = np.random.default_rng(0)
    assert stages.fixed_pattern((100, 100), 0.02, 0, rng).std() == pytest.approx(0.02, rel=0.05)
    dusty = stages.fixed_pattern((100, 100), 0.0, 5, rng)
    assert dusty.max() <= 1.0
    assert 0.5 < dusty.min() < 0.97


def test_round_screen_has_the_area_of_its_circle():
    lit = stages.round_screen((200, 200), (0.5, 0.5), 0.4, 0.005)
    assert lit.mean() == pytest.approx(np.pi * 0.4**2, rel=0.01)
    assert lit[100, 100] == 1.0
    assert lit[0, 0] == 0.0


@pytest.mark.parametrize(
    ("angle", "dark", "light"),
    [
        (0.0, np.s_[:, -5:], np.s_[:, :5]),
        (np.pi / 2, np.s_[-5:, :], np.s_[:5, :]),
        (np.pi, np.s_[:, :5], np.s_[:, -5:]),
    ],
)
def test_shadow_comes_from_its_side(angle, dark, light):
    left = stages.shadow((60, 90), angle, 0.25, 0.8, 0.02)
    assert left[dark].max() == pytest.approx(0.2, abs=1e-5)
    assert left[light].min() == 1.0
    assert (left < 0.6).mean() == pytest.approx(0.25, abs=0.02)


def test_digitising():
    rng = np.random.default_rng(0)
    images = rng.normal(50, 3, (2, 100, 100)).astype(np.float32)
    levels = stages.digitise(images, 0.01, 1.0, 8)
    assert set(np.unique(levels)) <= set(range(256))
    assert (levels == 0).mean() == pytest.approx(0.01, abs=0.004)
    assert (levels == 255).mean() == pytest.approx(0.01, abs=0.004)
    assert np.corrcoef(levels.ravel(), images.ravel())[0, 1] > 0.99
    assert stages.digitise(images, 0.0, 1.0, 12).max() == 4095
    assert stages.digitise(images, 0.0, 0.5, 8).mean() > levels.mean()
    # Raw frames keep the meaning of zero.
    raw = stages.digitise(images, 0.0, 1.0, 8, from_zero=True)
    np.testing.assert_allclose(
        raw.mean(axis=(1, 2)) / raw.max(axis=(1, 2)), 50 / images.max(axis=(1, 2)), rtol=0.01
    )


def test_blank_images_stay_blank():
    blank = np.full((1, 20, 20), 7.0, np.float32)
    assert (stages.standardise(blank) == 0).all()
    assert np.isfinite(stages.digitise(blank, 0.01, 1.0, 8)).all()
