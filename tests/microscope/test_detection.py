"""Counts and noise against statistics."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage, stats

from kikuchinet.microscope import detection
from kikuchinet.microscope.filters import gaussian_blur


@pytest.mark.parametrize("mean", [0.1, 1.0, 5.0, 11.9, 12.1, 40.0, 3000.0])
def test_counts_are_poisson(mean):
    rng = np.random.default_rng(7)
    n = 200_000
    counts = detection.poisson_counts(
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
        measured = detection.detect(flat, dose, read_noise, rng)
        assert measured.mean() == pytest.approx(1.0, abs=0.005)
        assert measured.std() == pytest.approx(np.sqrt(dose + read_noise**2) / dose, rel=0.03)


@pytest.mark.parametrize("dose", [0.5, 8.0, 11.0, 13.0, 60.0, 900.0])
@pytest.mark.parametrize("read_noise", [0.5, 2.0, 15.0])
def test_counts_with_read_noise_are_the_sum_of_both(dose, read_noise):
    """One normal number serves for both noises where counts are many; NumPy's own two draws are the measure."""
    rng = np.random.default_rng(2)
    brightness = rng.uniform(0.8, 1.2, (1, 300, 500)).astype(np.float32)
    brightness[0, :30] = 0.0
    ours = detection.detect(brightness, dose, read_noise, rng) * dose
    theirs = rng.poisson(brightness * dose) + read_noise * rng.standard_normal(brightness.shape)
    for rows in (slice(0, 30), slice(30, 300)):
        a, b = ours[0, rows].ravel(), theirs[0, rows].ravel()
        assert a.mean() == pytest.approx(b.mean(), abs=0.02 * b.std())
        assert a.std() == pytest.approx(b.std(), rel=0.02)
        assert stats.skew(a) == pytest.approx(stats.skew(b), abs=0.08)
    if read_noise >= 2:
        # With less the steps of whole electrons show, which the expansion does not have.
        assert stats.ks_2samp(ours[0, 30:].ravel()[::5], theirs[0, 30:].ravel()[::5]).pvalue > 1e-3


def test_photon_transfer_curve():
    """Variance against mean over many frames: the read-out's floor, a line of slope one, and gains' square above it."""
    rng = np.random.default_rng(3)
    read_noise, error, frames = 12.0, 0.02, 4
    pixel_gains = detection.gains((64, 64), error, rng)
    doses = np.array([50.0, 500.0, 5000.0, 50_000.0])
    stacks = [
        dose
        * detection.detect(
            np.broadcast_to(pixel_gains, (60, 64, 64)).astype(np.float32), dose, read_noise, rng, frames
        )
        for dose in doses
    ]
    temporal = np.array([stack.var(axis=0, ddof=1).mean() for stack in stacks])
    slope, floor = np.polyfit(doses, temporal, 1, w=1 / temporal)
    assert slope == pytest.approx(1.0, rel=0.02)
    assert floor == pytest.approx(frames * read_noise**2, rel=0.05)
    spatial = np.array([stack.mean(axis=0).var() - stack.var(axis=0).mean() / 60 for stack in stacks])
    assert np.sqrt(spatial[-1]) / doses[-1] == pytest.approx(error, rel=0.05)


@pytest.mark.parametrize("sigma", [0.8, 1.2, 2.0])
def test_noise_is_correlated_as_far_as_the_point_spread_reaches(sigma):
    """White noise blurred by a Gaussian σ has the autocorrelation exp(-d²/4σ²); scipy's filter gives the same."""
    white = np.random.default_rng(0).standard_normal((1, 400, 400)).astype(np.float32)
    for blurred in (gaussian_blur(white, sigma)[0], ndimage.gaussian_filter(white[0], sigma, mode="reflect")):
        for distance in (1, 2):
            pair = blurred[:, distance:] * blurred[:, :-distance]
            expected = np.exp(-(distance**2) / (4 * sigma**2))
            assert pair.mean() / blurred.var() == pytest.approx(expected, abs=0.035)


def test_full_wells_cut_the_brightest():
    bright = np.linspace(0, 3, 300, dtype=np.float32).reshape(1, 10, 30)
    assert detection.saturate(bright, 2.0).max() == 2.0
    np.testing.assert_array_equal(detection.saturate(bright, 0.0), bright)
