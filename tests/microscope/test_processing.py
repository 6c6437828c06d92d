"""The vendor's processing against kikuchipy's and scikit-image's."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest
from skimage import exposure

from kikuchinet.microscope import grid, optics, processing


@pytest.fixture(scope="module")
def nickel():
    return kp.data.nickel_ebsd_small()


def test_levels_are_stretched_clipped_and_rounded():
    rng = np.random.default_rng(0)
    images = rng.normal(50, 3, (2, 100, 100)).astype(np.float32)
    levels = processing.quantise(processing.stretch(images, 0.01), 1.0, 8)
    assert set(np.unique(levels)) <= set(range(256))
    assert (levels == 0).mean() == pytest.approx(0.01, abs=0.004)
    assert (levels == 255).mean() == pytest.approx(0.01, abs=0.004)
    assert np.corrcoef(levels.ravel(), images.ravel())[0, 1] > 0.99
    assert processing.quantise(processing.stretch(images, 0.0), 1.0, 12).max() == 4095
    assert processing.quantise(processing.stretch(images, 0.0), 0.5, 8).mean() > levels.mean()
    # Raw frames keep the meaning of zero.
    raw = processing.stretch(images, 0.0, from_zero=True)
    np.testing.assert_allclose(raw.mean(axis=(1, 2)), 50 / images.max(axis=(1, 2)), rtol=0.01)


def test_blank_images_stay_blank():
    blank = np.full((1, 20, 20), 7.0, np.float32)
    assert (grid.standardise(blank) == 0).all()
    for level in (7.3, 1e-3, 12345.678, -3.7e5):
        assert not grid.standardise(np.full((1, 37, 53), level, dtype=np.float32)).any()
    assert (processing.stretch(blank, 0.01) == 0).all()


def test_static_background_is_that_of_kikuchipy(nickel):
    """kikuchipy rescales to the full grey range afterwards, so the two are compared by correlation."""
    stack = nickel.data.reshape(-1, 60, 60).astype(np.float32)
    background = nickel.static_background.astype(np.float32)
    for operation in ("divide", "subtract"):
        theirs = nickel.deepcopy()
        theirs.change_dtype("float32")
        theirs.remove_static_background(
            operation, static_bg=background, scale_bg=False, show_progressbar=False
        )
        ours = processing.remove_static(stack / background.mean(), background / background.mean(), operation)
        for a, b in zip(theirs.data.reshape(-1, 60, 60), ours, strict=True):
            assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.9999


@pytest.mark.parametrize("operation", ["subtract", "divide"])
def test_dynamic_background_is_that_of_kikuchipy(nickel, operation):
    theirs = nickel.deepcopy()
    theirs.change_dtype("float32")
    theirs.remove_dynamic_background(
        operation, filter_domain="spatial", std=60 / 8, truncate=4.0, show_progressbar=False
    )
    stack = nickel.data.reshape(-1, 60, 60).astype(np.float32)
    ours = processing.remove_dynamic(stack, 1 / 8, operation)
    for a, b in zip(theirs.data.reshape(-1, 60, 60), ours, strict=True):
        # Ours averages on a quarter of the pixels; at the edge of the image that differs most.
        assert np.corrcoef(a.ravel(), b.ravel())[0, 1] > 0.995


def test_no_bright_rim_on_a_round_screen():
    """A blank round screen has no bands: after the dynamic background the rim is as bright as the middle."""
    lit = optics.round_screen((128, 128), (0.5, 0.5), 0.45, 1 / 128)
    blank = lit[None].copy()
    inside = optics.round_screen((128, 128), (0.5, 0.5), 0.44, 1 / 128) > 0.99
    rim = inside & (optics.round_screen((128, 128), (0.5, 0.5), 0.40, 1 / 128) < 0.01)
    assert np.abs(processing.remove_dynamic(blank, 1 / 8, "subtract", lit)[0][rim]).max() < 0.02
    # Without the mask there is one: it is what the mask is for.
    assert processing.remove_dynamic(blank, 1 / 8, "subtract")[0][rim].mean() > 0.2


@pytest.mark.parametrize("limit", [1.5, 3.0, 8.0])
def test_local_contrast_is_that_of_scikit_image(nickel, limit):
    stack = processing.stretch(nickel.data.reshape(-1, 60, 60).astype(np.float32), 0.0)
    for image, ours in zip(stack, processing.equalise(stack, limit, 4), strict=True):
        theirs = exposure.equalize_adapthist(image, kernel_size=15, clip_limit=limit / 64, nbins=64)
        # Its tiles lie half a tile further out: it pads the image.
        assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > 0.97
        # Contrast itself, not only where it is: to 12 %.
        assert ours.std() / np.ptp(ours) == pytest.approx(theirs.std() / np.ptp(theirs), rel=0.12)


def test_equalising_evens_out_the_contrast():
    """A pattern whose contrast is three times as strong on the right comes out with less of a difference."""
    rng = np.random.default_rng(0)
    image = rng.normal(size=(1, 96, 96)).astype(np.float32)
    image[..., :48] /= 3
    levels = processing.equalise(processing.stretch(image, 0.01), 4.0, 6)[0]
    assert levels.min() >= 0
    assert levels.max() <= 1
    assert levels[:, 60:].std() / levels[:, :36].std() < 2
