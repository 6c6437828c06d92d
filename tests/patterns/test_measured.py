"""Measured patterns: only those set aside for looking at, never the ones that answers are scored on."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest
from scipy import ndimage

from kikuchinet.patterns import ColourWarning, example_patterns, preprocess, read_patterns, screen_mask


def slow_part(image):
    return ndimage.gaussian_filter(image, 20, mode="nearest").std()


def test_raw_nickel_keeps_no_vignetting():
    raw = [example_patterns(static_background=False)[k] for k in range(3)]
    for image, out in zip(raw, preprocess(raw), strict=True):
        assert slow_part(ndimage.zoom(image / image.std(), 128 / 60, order=1)) > 0.5
        assert slow_part(out) < 0.2


def test_raw_silicon_on_a_round_screen(shared_dir):
    (source,) = read_patterns(shared_dir / "patterns/si_nordif/si_in.h5", static_background=False)
    out = preprocess(source[0])
    # The circle touches all four sides; a quarter of a square less its corners is outside.
    assert 0.6 < (out != 0).mean() < 0.85
    assert (out[0, :8, :8] == 0).all()
    assert slow_part(out[0]) < 0.1


def test_processed_steel_in_a_grey_surround(shared_dir):
    with pytest.warns(ColourWarning):
        images = [
            read_patterns(shared_dir / f"patterns/steel_ferrite/x000_y0{k}0.jpg")[0][0] for k in range(3)
        ]
    out = preprocess(images)
    for image in out:
        assert 0.6 < (image != 0).mean() < 0.85
        for corner in (image[:8, :8], image[:8, -8:], image[-8:, :8], image[-8:, -8:]):
            assert (corner == 0).all()


def test_full_frame_of_the_oxford_camera(shared_dir):
    (source,) = read_patterns(shared_dir / "patterns/oxford_tiff")
    assert source[0].shape == (1024, 1244)
    small = preprocess(source[0])
    assert screen_mask(small + 10).all()
    assert (small != 0).mean() > 0.99
    assert np.isfinite(small).all()


def test_no_vignetting_is_left_on_measured_raw_patterns(shared_dir, vignetting):
    """Sets that may be looked at; the bands alone explain up to 0.05. Without the darkest rim silicon had 0.26."""
    (silicon,) = read_patterns(shared_dir / "patterns/si_nordif/si_in.h5")
    assert vignetting(preprocess(np.asarray(silicon[0])[None])).max() < 0.12
    nickel = kp.data.nickel_ebsd_small().data[0]
    assert vignetting(preprocess(nickel)).max() < 0.12
