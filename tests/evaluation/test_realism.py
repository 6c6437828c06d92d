"""The estimators find what is known of made-up images and of the camera's own; measured frames where they are at hand."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest
from scipy import ndimage, stats

from kikuchinet.errors import InputError
from kikuchinet.evaluation.realism import PERCENTILES, contrast_map, grey_levels, noise, radial_spectrum
from kikuchinet.microscope import Camera, project_batch
from kikuchinet.microscope.exposure import kikuchi_contrast, kikuchi_signal
from kikuchinet.microscope.filters import gaussian_taps
from kikuchinet.microscope.specimen import diffuse_background

SIDE = 240
#: The screen equally bright everywhere, nothing bent, nothing clipped.
PLAIN = Camera(
    contrast=0.05,
    source_width=50.0,
    vignette=0.0,
    compression=0.0,
    excess_deficiency=0.0,
    psf_sigma_px=1.5,
    dose_electrons_per_px=2500.0,
    read_noise_electrons=0.0,
    flat_fielded=False,
    clip_fraction=0.0,
    bits=16,
)


@pytest.fixture(scope="module")
def clean():
    upper, lower = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both").data
    return project_batch(upper, lower, [[0.9, 0.3, -0.2, 0.1]], (0.5, 0.4, 0.6), (SIDE, SIDE))


def frame(clean, seed=0, **changes):
    camera = Camera(**{**vars(PLAIN), **changes})
    image = camera.expose(clean, np.random.default_rng(seed))[0].astype(float)
    return image / image.mean()


def test_noise_of_a_camera_of_known_dose(clean):
    found = noise(frame(clean))
    # Shot noise: 1/sqrt(2500).
    assert found.sigma == pytest.approx(0.02, rel=0.03)
    np.testing.assert_allclose(found.profile, 0.02, rtol=0.1)
    assert found.correlation[2, 2] == pytest.approx(1)
    others = found.correlation.copy()
    others[2, 2] = 0
    assert np.abs(others).max() < 0.04
    assert noise(frame(clean, dose_electrons_per_px=400.0)).sigma == pytest.approx(0.05, rel=0.03)


@pytest.mark.parametrize("sigma_px", [0.47, 0.6])
def test_correlation_of_blurred_noise(clean, sigma_px):
    found = noise(frame(clean, noise_sigma_px=sigma_px))
    taps = gaussian_taps(sigma_px).astype(float)
    own = np.correlate(taps, taps, "full")
    middle = len(own) // 2
    assert found.sigma == pytest.approx(0.02 * own[middle], rel=0.05)
    for lag in (1, 2):
        expected = own[middle + lag] / own[middle]
        assert found.correlation[2, 2 + lag] == pytest.approx(expected, abs=0.04)
        assert found.correlation[2 + lag, 2] == pytest.approx(expected, abs=0.04)


def test_noise_follows_the_light_where_the_background_was_subtracted(clean):
    lobe = {"source_center": (0.5, 0.9), "source_width": 0.6}
    camera = {**lobe, "flat_fielded": True, "static_operation": "subtract"}
    image = Camera(**{**vars(PLAIN), **camera}).expose(clean, np.random.default_rng(2))[0]
    found = noise(image, bands=8)
    light = diffuse_background((SIDE, SIDE), lobe["source_center"], lobe["source_width"], 0.0)
    expected = np.sqrt(light.reshape(8, -1).mean(axis=1))
    np.testing.assert_allclose(found.profile / found.profile.mean(), expected / expected.mean(), rtol=0.06)
    assert expected[-1] / expected[0] > 1.5


def test_noise_outside_the_mask_does_not_count(clean):
    image = frame(clean)
    mask = np.zeros(image.shape, bool)
    mask[40:-40, 40:-40] = True
    spoilt = np.where(mask, image, np.random.default_rng(1).normal(size=image.shape))
    assert noise(spoilt, mask).sigma == pytest.approx(0.02, rel=0.05)
    profile = noise(spoilt, mask).profile
    assert np.isnan(profile[0])
    assert np.isfinite(profile[6])


def test_spectrum_of_white_and_of_blurred_noise():
    rng = np.random.default_rng(4)
    white = rng.normal(size=(8, 200, 260))
    frequency, power = (np.mean(part, axis=0) for part in zip(*map(radial_spectrum, white), strict=True))
    np.testing.assert_allclose(power[np.isfinite(power) & (frequency > 6)], 1.0, atol=0.25)
    blurred = [ndimage.gaussian_filter(image, 2.0, mode="wrap") for image in white]
    left = np.mean([radial_spectrum(image)[1] for image in blurred], axis=0) / power
    expected = np.exp(-((2 * np.pi * 2.0 * frequency / 200) ** 2))
    band = (frequency > 8) & (frequency < 40)
    np.testing.assert_allclose(left[band], expected[band], rtol=0.2)


def test_spectrum_has_a_line_where_it_belongs():
    x = np.arange(160) / 160
    frequency, power = radial_spectrum(np.tile(np.sin(2 * np.pi * 20 * x), (160, 1)))
    assert frequency[np.nanargmax(power)] == pytest.approx(20, rel=0.15)


def test_grey_levels_are_scipys():
    image = np.random.default_rng(0).gamma(2.0, size=(60, 80))
    found = grey_levels(100 + 7 * image)
    assert found.skewness == pytest.approx(stats.skew(image, axis=None))
    assert found.kurtosis == pytest.approx(stats.kurtosis(image, axis=None))
    np.testing.assert_allclose(found.percentiles, np.percentile(stats.zscore(image, axis=None), PERCENTILES))


def test_contrast_of_a_known_signal(clean):
    where = {"contrast_center": (0.4, 0.4), "contrast_width": 0.4}
    camera = Camera(**{**vars(PLAIN), **where})
    signal = kikuchi_signal(camera, clean.astype(np.float32))[0]
    slope, correlation = contrast_map(frame(clean, **where), signal, width=0.08)
    expected = kikuchi_contrast(camera, (SIDE, SIDE))
    middle = np.s_[40:-40, 40:-40]
    np.testing.assert_allclose(slope[middle], expected[middle], rtol=0.2)
    assert (slope / expected)[middle].mean() == pytest.approx(1, abs=0.05)
    assert expected[middle].max() > 2.5 * expected[middle].min()
    assert correlation[96, 96] > 0.9


def test_bad_input():
    with pytest.raises(InputError, match="16 px"):
        noise(np.zeros((8, 8)))
    with pytest.raises(InputError, match="blank"):
        grey_levels(np.ones((32, 32)))
    with pytest.raises(InputError, match="not finite"):
        radial_spectrum(np.full((32, 32), np.nan))
    with pytest.raises(InputError, match="mask"):
        noise(np.zeros((32, 32)), np.zeros((32, 32), bool))


def test_measured_oxford_frame(shared_dir):
    """Known of this frame: neighbours' noise correlates by about 0.6, and is twice as strong at the top."""
    tifffile = pytest.importorskip("tifffile")
    found = noise(tifffile.imread(shared_dir / "patterns/oxford_tiff/sample_ebsd.tiff"))
    assert found.correlation[2, 3] == pytest.approx(0.57, abs=0.06)
    assert found.correlation[2, 4] == pytest.approx(0.18, abs=0.06)
    assert found.profile[0] / found.profile[-1] == pytest.approx(1.9, abs=0.15)
