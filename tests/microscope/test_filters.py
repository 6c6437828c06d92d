"""Filters, held to SciPy's and scikit-image's."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.transform import resize

from kikuchinet.microscope.filters import gaussian_blur, resample


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.7, 40.0])
def test_blur_equals_scipy(sigma):
    images = np.random.default_rng(0).random((2, 23, 31)).astype(np.float32)
    expected = [ndimage.gaussian_filter(im, sigma, mode="reflect", truncate=3.5) for im in images]
    before = images.copy()
    np.testing.assert_allclose(gaussian_blur(images, sigma), expected, atol=2e-6)
    np.testing.assert_array_equal(images, before)


def test_no_blur_is_a_copy():
    images = np.random.default_rng(0).random((1, 8, 8)).astype(np.float32)
    blurred = gaussian_blur(images, 0.0)
    np.testing.assert_array_equal(blurred, images)
    assert blurred is not images


def test_shrinking_by_a_whole_factor_is_binning():
    images = np.random.default_rng(1).random((2, 48, 60)).astype(np.float32)
    binned = images.reshape(2, 12, 4, 20, 3).mean(axis=(2, 4))
    np.testing.assert_allclose(resample(images, (12, 20)), binned, atol=1e-6)


def test_shrinking_by_two_and_a_half_weighs_areas():
    images = np.random.default_rng(1).random((1, 50, 25)).astype(np.float32)
    halves = np.kron(images, np.ones((1, 2, 2), np.float32))
    binned = halves.reshape(1, 20, 5, 10, 5).mean(axis=(2, 4))
    np.testing.assert_allclose(resample(images, (20, 10)), binned, atol=1e-6)


@pytest.mark.parametrize("shape", [(128, 128), (100, 75), (31, 33), (7, 5)])
def test_shrinking_keeps_the_mean_and_does_not_alias(shape):
    rng = np.random.default_rng(2)
    images = rng.random((1, 480, 480)).astype(np.float32)
    small = resample(images, shape)
    assert small.shape == (1, *shape)
    assert small.mean() == pytest.approx(images.mean(), abs=1e-3)
    # A stripe finer than the new pixels must vanish, not turn into a coarse one.
    stripes = np.broadcast_to(np.arange(480) % 2, (1, 480, 480)).astype(np.float32)
    assert np.ptp(resample(stripes, shape)[0, :, 1:-1]) < 0.3


@pytest.mark.parametrize("shape", [(128, 128), (61, 90)])
def test_growing_equals_linear_interpolation(shape):
    image = np.random.default_rng(3).random((60, 60)).astype(np.float32)
    expected = resize(image, shape, order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(resample(image[None], shape)[0], expected, atol=1e-5)


def test_same_shape_costs_nothing():
    images = np.zeros((1, 5, 6), np.float32)
    assert resample(images, (5, 6)) is images
