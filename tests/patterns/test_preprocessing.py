"""Preprocessing: what it must remove, what it must keep, what it must not care about."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest
from scipy import ndimage
from scipy.ndimage import gaussian_filter

from kikuchinet.errors import InputError
from kikuchinet.microscope import Camera, project_batch
from kikuchinet.microscope.grid import standardise
from kikuchinet.microscope.optics import round_screen
from kikuchinet.microscope.specimen import diffuse_background
from kikuchinet.patterns import Preprocessing, preprocess, screen_mask
from kikuchinet.patterns.lowpass import gaussian_basis, smooth_kernel
from kikuchinet.patterns.preprocessing import crop_to_aspect, divide_static


@pytest.fixture(scope="module")
def clean():
    data = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both").data
    rng = np.random.default_rng(0)
    images = project_batch(data[0], data[1], rng.normal(size=(8, 4)), (0.5, 0.4, 0.6), (128, 128))
    return standardise(images)


def similarity(a, b, where=None):
    where = np.ones(a.shape, bool) if where is None else where
    return np.corrcoef(a[where], b[where])[0, 1]


def slow_part(images):
    """Standard deviation of what is smoother than any band (a Gaussian of 20 px at 128)."""
    return np.mean([ndimage.gaussian_filter(im, 20, mode="nearest").std() for im in images])


@pytest.mark.parametrize("passes", [1, 3])
def test_cosines_equal_gaussian_filters(passes):
    image = np.random.default_rng(0).random((96, 128)).astype(np.float32)
    left = image.astype(np.float64)
    for _ in range(passes):
        left = left - ndimage.gaussian_filter(left, 12.0, mode="reflect", truncate=8)
    taken = np.empty_like(image)
    smooth_kernel(image, *gaussian_basis(96, 12.0), *gaussian_basis(128, 12.0), passes, taken)
    np.testing.assert_allclose(image - taken, left, atol=1e-5)


def test_result_is_standardised(clean):
    out = preprocess(clean)
    assert out.dtype == np.float32
    assert out.shape == clean.shape
    np.testing.assert_allclose(out.mean(axis=(1, 2)), 0, atol=0.02)
    np.testing.assert_allclose(out.std(axis=(1, 2)), 1, atol=0.02)
    assert np.abs(out).max() <= Preprocessing().clip


def test_same_bytes_alone_or_in_a_stack(clean):
    images = (100 + 20 * clean).astype(np.uint8)
    before = images.copy()
    together = preprocess(images)
    assert preprocess(images).tobytes() == together.tobytes()
    assert np.concatenate([preprocess(im) for im in images]).tobytes() == together.tobytes()
    assert preprocess(list(images)).tobytes() == together.tobytes()
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("gain", [0.01, 3.0, 1000.0])
def test_gain_does_not_matter_and_offset_hardly(clean, gain):
    reference = preprocess(clean + 10)
    np.testing.assert_allclose(preprocess(gain * (clean + 10)), reference, atol=0.001)
    for offset in (-15.0, 0.0, 50.0):
        assert similarity(preprocess(gain * (clean + 10 + offset)), reference) > 0.998


def test_bands_stay_and_keep_their_sign(clean):
    highpass = clean - [ndimage.gaussian_filter(im, 16) for im in clean]
    assert similarity(preprocess(clean), highpass) > 0.85


@pytest.mark.parametrize("kind", ["raw", "deep vignette", "slope"])
def test_no_vignetting_is_left(clean, kind):
    background = {
        "raw": diffuse_background((128, 128), (0.45, 0.6), 0.55, 0.4),
        "deep vignette": diffuse_background((128, 128), (0.5, 0.35), 0.4, 0.5),
        "slope": np.linspace(0.4, 1.6, 128, dtype=np.float32)[:, None] * np.ones((1, 128), np.float32),
    }[kind]
    frames = background * (1 + 0.08 * clean)
    assert slow_part(standardise(frames)) > 0.5
    out = preprocess(frames)
    reference = preprocess(clean)
    mask = screen_mask(frames)
    assert slow_part(out) < 1.5 * slow_part(reference) < 0.2
    assert similarity(out, reference, mask) > 0.93
    # The rim as well: nothing there but bands.
    rim = np.abs(out[:, :6]).mean() / np.abs(out[:, 40:80]).mean()
    assert rim < 1.6


def test_three_passes_cut_as_stated():
    # A wave of half a height beside one of an eighth, which is beyond the filter's reach.
    x = np.arange(128) + 0.5
    slow, fast = np.cos(2 * np.pi * x / 64), np.cos(2 * np.pi * x / 16)
    image = np.broadcast_to(5 + slow + fast, (1, 128, 128)).astype(np.float32)
    ratio = {}
    for passes in (1, 3):
        out = preprocess(image, settings=Preprocessing(passes=passes))[0].mean(axis=0)
        ratio[passes] = np.abs(np.dot(out, slow)) / np.abs(np.dot(out, fast))
    assert ratio[3] / ratio[1] == pytest.approx(0.36 / 0.71, rel=0.15)


def test_raw_and_flat_fielded_frames_look_alike(clean):
    settings = {
        "contrast": 0.1,
        "dose_electrons_per_px": 20000.0,
        "clip_fraction": 0.0,
        "excess_deficiency": 0.0,
    }
    raw = Camera(**settings, flat_fielded=False, bits=12).expose(clean, np.random.default_rng(0))
    flat = Camera(**settings, flat_fielded=True).expose(clean, np.random.default_rng(0))
    assert similarity(preprocess(raw), preprocess(flat)) > 0.97


@pytest.mark.parametrize("level", [0.0, 1.0])
def test_round_screens_are_found_and_do_not_disturb(clean, level):
    rng = np.random.default_rng(0)
    lit = round_screen((128, 128), (0.5, 0.5), 0.45, 0.008)
    frames = lit * (1 + 0.1 * clean) + (1 - lit) * level + 0.002 * rng.normal(size=clean.shape)
    frames = frames - frames.min()
    mask = screen_mask(frames)
    inside = lit == 1
    assert (mask[:, ~inside]).mean() < 0.01
    assert mask[:, inside].mean() > 0.85
    out = preprocess(frames)
    assert (out[~mask] == 0).all()
    for image, where in zip(out, mask, strict=True):
        assert image[where].std() == pytest.approx(1, abs=0.02)
    assert similarity(out, preprocess(clean), mask) > 0.95


def test_patterns_that_fill_the_screen_are_not_cut(clean):
    noise = np.random.default_rng(0).normal(size=clean.shape)
    assert screen_mask(clean + 10).all()
    assert screen_mask(clean + 10 + noise).all()
    assert screen_mask(100 + noise).all()


def test_blank_images_become_zero():
    images = np.stack([np.full((64, 64), 37, np.uint8), np.arange(64 * 64).reshape(64, 64) % 251])
    out = preprocess(images, (64, 64))
    assert (out[0] == 0).all()
    assert out[1].std() > 0.9
    assert (preprocess(np.full((1, 60, 60), 0.1, np.float32)) == 0).all()


def test_half_blank_image_is_finite(clean):
    half = clean[0] + 5
    half[:, 70:] = 0
    out = preprocess(half)
    assert np.isfinite(out).all()
    assert (out[0, :, 80:] == 0).all()
    assert out[0, :, :60].std() > 0.8


def test_sizes(clean):
    assert preprocess(clean, (96, 64)).shape == (8, 96, 64)
    mixed = [np.random.default_rng(0).random(shape) for shape in ((60, 60), (1024, 1244), (480, 480))]
    assert preprocess(mixed).shape == (3, 128, 128)
    assert preprocess([]).shape == (0, 128, 128)
    # The same pattern seen with four times the pixels gives the same result.
    fine = np.kron(clean, np.ones((1, 4, 4), np.float32))
    np.testing.assert_allclose(preprocess(fine), preprocess(clean), atol=1e-3)


def test_crop_is_centred():
    image = np.arange(1024 * 1244).reshape(1024, 1244)
    cropped = crop_to_aspect(image, (128, 128))
    assert cropped.shape == (1024, 1024)
    assert cropped[0, 0] == image[0, 110]
    assert crop_to_aspect(image.T, (128, 128))[0, 0] == image.T[110, 0]
    assert crop_to_aspect(image, (512, 622)).shape == (1024, 1244)


def test_static_background_takes_dust_away(clean):
    background = diffuse_background((128, 128), (0.5, 0.6), 0.6, 0.3) * 100
    background[40:44, 60:64] *= 0.5
    frames = background * (1 + 0.05 * clean)
    reference = preprocess(clean)
    divided = preprocess(frames, static_background=background)
    assert similarity(divided, reference) > 0.99
    speck = np.s_[:, 40:44, 60:64]
    assert np.abs(preprocess(frames) - reference)[speck].mean() > 1
    assert np.abs(divided - reference)[speck].mean() < 0.1
    np.testing.assert_allclose(divide_static(frames, background), 1 + 0.05 * clean, rtol=1e-4)
    background[:20, :20] = 1.0
    assert (divide_static(frames, background)[:, :20, :20] == 0).all()


@pytest.mark.parametrize(
    ("images", "cause"),
    [
        (np.zeros((2, 3, 64, 64)), "rows, columns"),
        (np.zeros(64), "rows, columns"),
        (np.full((2, 64, 64), np.nan), "not finite"),
        (np.full((1, 64, 64), np.inf), "not finite"),
        (np.zeros((1, 64, 64), complex), "grey level"),
        (np.zeros((1, 1, 64)), "too small"),
        ([np.zeros((64, 64)), np.zeros((64, 64, 3))], "pattern 1"),
        ([np.zeros((64, 64)), np.full((64, 64), np.nan)], "pattern 1"),
    ],
)
def test_what_is_no_pattern_is_refused(images, cause):
    with pytest.raises(InputError, match=cause):
        preprocess(images)


def test_impossible_settings_are_refused(clean):
    with pytest.raises(InputError):
        preprocess(clean, (16, 16))
    with pytest.raises(InputError):
        Preprocessing(passes=0)
    with pytest.raises(InputError):
        Preprocessing(background_sigma=5)
    with pytest.raises(InputError):
        preprocess(clean, static_background=np.zeros((128, 128)))
    with pytest.raises(InputError):
        preprocess(clean, static_background=np.ones((64, 64)))
    with pytest.raises(InputError):
        screen_mask(np.zeros((1, 8, 8)))


# Vignetting


@pytest.mark.parametrize("radius", [0.0, 0.42, 0.48, 0.5, 0.55])
@pytest.mark.parametrize(("width", "vignette"), [(0.4, 0.6), (0.7, 0.3), (2.0, 0.0)])
def test_no_vignetting_is_left_on_raw_patterns(clean, vignetting, radius, width, vignette):
    camera = Camera(
        flat_fielded=False,
        source_width=width,
        vignette=vignette,
        source_center=(0.4, 0.85),
        screen_radius=radius,
    )
    raw = camera.expose(clean, np.random.default_rng(0))
    assert np.median(vignetting(preprocess(raw))) < 0.05
    # It was there: one pass of a Gaussian, as is common, leaves as much of it as there is of bands.
    if vignette and not radius:
        once = np.stack([image - gaussian_filter(image.astype(float), 16.0) for image in raw])
        assert np.median(vignetting(once)) > 0.5


def test_a_dark_strip_narrower_than_a_block_is_no_screen():
    rng = np.random.default_rng(0)
    frame = rng.normal(100, 10, (1, 128, 128)).astype(np.float32)
    frame[:, :, :2] = 1.0
    mask = screen_mask(frame)[0]
    assert not mask[:, :2].any()
    assert mask[:, 12:].all()
    # Black pixels here and there at the border are none.
    speckled = rng.normal(100, 10, (1, 128, 128)).astype(np.float32)
    speckled[0, 0, ::7] = 0.0
    assert screen_mask(speckled).all()
