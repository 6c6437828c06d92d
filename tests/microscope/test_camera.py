"""The camera as a whole, and the ranges it is drawn from."""

from __future__ import annotations

import dataclasses

import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.microscope import Camera, CameraRange, project_batch
from kikuchinet.microscope.specimen import transmitted_contrast


@pytest.fixture(scope="module")
def clean():
    data = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both").data
    rng = np.random.default_rng(0)
    return project_batch(data[0], data[1], rng.normal(size=(6, 4)), (0.5, 0.4, 0.6), (128, 128))


QUIET = Camera(
    compression=0.0,
    excess_deficiency=0.0,
    psf_sigma_px=0.0,
    dose_electrons_per_px=1e6,
    read_noise_electrons=0.0,
    source_width=1e3,
    vignette=0.0,
    clip_fraction=0.0,
    bits=16,
)


def similarity(a, b):
    return np.corrcoef(np.asarray(a, float).ravel(), np.asarray(b, float).ravel())[0, 1]


def test_a_perfect_camera_changes_nothing_but_the_scale(clean):
    image = QUIET.expose(clean[:1], np.random.default_rng(0))
    assert image.dtype == np.uint16
    assert image.shape == (1, 128, 128)
    assert similarity(image, clean[:1]) > 0.999
    # Bands are bright in every output: the sign of contrast never turns.
    assert similarity(QUIET.expose(3 * clean[:1] + 7, np.random.default_rng(0)), clean[:1]) > 0.999


def test_same_seed_same_bytes(clean):
    for camera in (Camera(dust=3, gain_error=0.01, uneven=0.2), Camera(capture_rows=60, bits=12)):
        first = camera.expose(clean, np.random.default_rng(5))
        assert camera.expose(clean, np.random.default_rng(5)).tobytes() == first.tobytes()
        assert camera.expose(clean, np.random.default_rng(6)).tobytes() != first.tobytes()


def test_noise_is_what_noise_to_signal_says(clean):
    camera = dataclasses.replace(QUIET, contrast=0.1, dose_electrons_per_px=400.0)
    exposures = np.concatenate(
        [camera.expose(clean[:1], np.random.default_rng(k)).astype(float) for k in range(20)]
    )
    # Stretching differs from exposure to exposure by little; each is brought to one scale.
    exposures -= exposures.mean(axis=(1, 2), keepdims=True)
    exposures /= exposures.std(axis=(1, 2), keepdims=True)
    signal = exposures.mean(axis=0)
    noise = exposures - signal
    signal_variance = signal.var() - noise.var() / 19
    assert np.sqrt(noise.var() * 20 / 19 / signal_variance) == pytest.approx(camera.noise_to_signal, rel=0.08)


def test_noise_is_stronger_where_the_flux_is_low():
    # The measured Oxford pattern: twice the noise at the top. A flat signal shows the noise alone.
    flat = np.random.default_rng(0).normal(size=(1, 128, 128)).astype(np.float32)
    camera = Camera(
        contrast=1e-4, source_center=(0.5, 0.9), source_width=0.6, vignette=0.1, dose_electrons_per_px=300.0
    )
    image = camera.expose(flat, np.random.default_rng(1)).astype(float)[0]
    assert 1.5 < image[:20].std() / image[-40:-10].std() < 3.5
    raw = (
        dataclasses.replace(camera, flat_fielded=False)
        .expose(flat, np.random.default_rng(1))
        .astype(float)[0]
    )
    assert raw[-40:-10].mean() > 1.5 * raw[:20].mean()


def test_coarse_chips_correlate_noise(clean):
    def neighbour_correlation(camera):
        a = camera.expose(clean[:1], np.random.default_rng(0)).astype(float)[0]
        b = camera.expose(clean[:1], np.random.default_rng(1)).astype(float)[0]
        noise = a - b
        return np.corrcoef(noise[:, 1:].ravel(), noise[:, :-1].ravel())[0, 1]

    noisy = dataclasses.replace(QUIET, dose_electrons_per_px=50.0)
    assert abs(neighbour_correlation(noisy)) < 0.1
    assert neighbour_correlation(dataclasses.replace(noisy, capture_rows=60)) > 0.4
    assert neighbour_correlation(dataclasses.replace(noisy, noise_sigma_px=0.8)) > 0.4


def test_blur_takes_fine_detail(clean):
    def fine_power(images):
        spectrum = np.abs(np.fft.fft2(images - images.mean(axis=(1, 2), keepdims=True))) ** 2
        f = np.hypot(np.fft.fftfreq(128)[:, None], np.fft.fftfreq(128)[None])
        return spectrum[:, f > 0.2].sum() / spectrum.sum()

    sharp = fine_power(QUIET.expose(clean, np.random.default_rng(0)))
    soft = fine_power(dataclasses.replace(QUIET, psf_sigma_px=2.5).expose(clean, np.random.default_rng(0)))
    assert soft < 0.1 * sharp


@pytest.mark.parametrize(("surround", "constant"), [("dark", False), ("grey", True)])
def test_round_screens(clean, surround, constant):
    camera = dataclasses.replace(
        QUIET, bits=8, screen_radius=0.45, surround=surround, flat_fielded=False, read_noise_electrons=10.0
    )
    image = camera.expose(clean[:1], np.random.default_rng(0))[0].astype(float)
    corner, middle = image[:10, :10], image[50:78, 50:78]
    assert corner.std() < 0.3 * middle.std()
    if constant:
        assert corner.std() == 0
        assert abs(corner.mean() - middle.mean()) < 3 * middle.std()
    else:
        assert corner.mean() < 0.1 * middle.mean()


def test_a_shadow_darkens(clean):
    camera = dataclasses.replace(
        QUIET, flat_fielded=False, shadow_angle=0.0, shadow_reach=0.3, shadow_depth=0.9
    )
    image = camera.expose(clean[:1], np.random.default_rng(0))[0].astype(float)
    assert image[:, 110:].mean() < 0.2 * image[:, :60].mean()


def test_types_by_depth(clean):
    rng = np.random.default_rng(0)
    assert Camera(bits=8).expose(clean[:1], rng).dtype == np.uint8
    assert Camera(bits=12).expose(clean[:1], rng).dtype == np.uint16


@pytest.mark.parametrize(
    "change",
    [
        {"contrast": 0.0},
        {"dose_electrons_per_px": float("nan")},
        {"psf_sigma_px": -1.0},
        {"vignette": 1.5},
        {"surround": "blue"},
        {"bits": 32},
        {"gamma": 0},
        {"frames": 0},
        {"local_contrast": 0.5},
        {"screen_margins": (0.6, 0.0, 0.5, 0.0)},
        {"static_operation": "multiply"},
        {"static_operation": "subtract", "dynamic_background": True, "dynamic_operation": "divide"},
    ],
)
def test_impossible_cameras_are_refused(change):
    with pytest.raises(InputError):
        Camera(**change)


def test_wrong_images_are_refused():
    with pytest.raises(InputError, match="rows, columns"):
        Camera().expose(np.zeros((5, 5)), np.random.default_rng(0))


# Ranges


def test_ranges_repeat_and_differ(clean):
    cameras = CameraRange.mixed()
    images = cameras.expose(clean, np.random.default_rng(1))
    assert images.dtype == np.float32
    assert images.shape == clean.shape
    assert images.tobytes() == cameras.expose(clean, np.random.default_rng(1)).tobytes()
    drawn = [cameras.sample(np.random.default_rng(k)) for k in range(50)]
    assert len({camera.contrast for camera in drawn}) == 50


@pytest.mark.parametrize("preset", ["good", "mixed", "binned", "fast_scan"])
def test_drawn_cameras_lie_in_their_ranges(preset):
    ranges = getattr(CameraRange, preset)()
    rng = np.random.default_rng(0)
    drawn = [ranges.sample(rng, rows=256) for _ in range(400)]
    for camera in drawn:
        assert ranges.contrast[0] <= camera.contrast <= ranges.contrast[1]
        assert ranges.psf_sigma[0] <= camera.psf_sigma_px / 256 <= ranges.psf_sigma[1]
        # The range is that of a clean surface; an amorphous layer comes on top.
        noise = camera.noise_to_signal * transmitted_contrast(camera.amorphous_nm)
        assert ranges.noise_to_signal[0] * 0.999 <= noise <= ranges.noise_to_signal[1] * 1.001
        assert 0 <= camera.excess_deficiency <= ranges.excess_deficiency[1]
    for odds, seen in (
        (ranges.coarse, [c.capture_rows > 0 for c in drawn]),
        (ranges.round_screen, [c.screen_radius > 0 for c in drawn]),
        (ranges.raw, [not c.flat_fielded for c in drawn]),
        (ranges.shadowed, [c.shadow_depth > 0 for c in drawn]),
        (ranges.amorphous, [c.amorphous_nm > 0 for c in drawn]),
        (ranges.unfocused, [c.focus_drift_px > 0 for c in drawn]),
        (ranges.broken, [c.dead_pixels > 0 for c in drawn]),
        (ranges.subtracted, [c.static_operation == "subtract" for c in drawn]),
        (ranges.equalised, [c.local_contrast > 0 for c in drawn]),
        (ranges.written, [c.scale_bar > 0 or c.label > 0 for c in drawn]),
    ):
        assert np.mean(seen) == pytest.approx(odds, abs=0.08)


def test_quality_goes_from_everything_to_clean():
    ranges = CameraRange.mixed()
    rng = np.random.default_rng(0)
    noise = {
        q: np.median([ranges.sample(rng, quality=q).noise_to_signal for _ in range(200)]) for q in (0, 0.5, 1)
    }
    assert noise[0] > noise[0.5] > noise[1]
    best = [ranges.sample(rng, quality=1.0) for _ in range(100)]
    for camera in best:
        assert camera.noise_to_signal < 1.001 * ranges.noise_to_signal[0]
        assert camera.screen_radius == camera.shadow_depth == camera.dust == camera.capture_rows == 0
        assert camera.excess_deficiency == camera.glare == 0
        assert camera.amorphous_nm == camera.focus_drift_px == camera.dead_pixels == camera.dead_lines == 0
        assert camera.hot_columns == camera.saturation == camera.scale_bar == camera.label == 0
        assert camera.screen_margins == (0, 0, 0, 0)
        assert camera.background_drift == (0, 0)
    # The seed still says which camera it is: the background does not depend on the quality.
    a, b = (ranges.sample(np.random.default_rng(9), quality=q) for q in (0.0, 1.0))
    assert a.source_center == b.source_center
    assert a.contrast == b.contrast


def test_every_field_is_drawn():
    """Nothing that a camera has is left at its default by the widest range."""
    rng = np.random.default_rng(3)
    drawn = [CameraRange.poor().sample(rng) for _ in range(400)]
    constant = {
        field.name
        for field in dataclasses.fields(Camera)
        if len({getattr(c, field.name) for c in drawn}) == 1
    }
    assert constant == {"bits", "read_noise_electrons"}


@pytest.mark.parametrize("preset", ["good", "mixed", "poor", "fast_scan"])
def test_no_drawn_camera_makes_nonsense(clean, preset):
    """Whole grey levels with something on them, from any camera, at any aspect down to 60 px."""
    ranges = getattr(CameraRange, preset)()
    rng = np.random.default_rng(8)
    for shape in ((60, 60), (60, 80), (100, 64)):
        part = np.ascontiguousarray(clean[:, : shape[0], : shape[1]])
        for _ in range(8):
            images = ranges.expose(part, rng)
            assert np.isfinite(images).all()
            assert (images == np.rint(images)).all()
            assert (images.std(axis=(1, 2)) > 1).all()


def test_good_is_better_than_mixed():
    noise = [
        np.median([ranges.sample(np.random.default_rng(k)).noise_to_signal for k in range(100)])
        for ranges in (CameraRange.good(), CameraRange.mixed())
    ]
    assert noise[0] < 0.6 * noise[1]


@pytest.mark.parametrize(
    "change",
    [
        {"overlap_share": (0.2, 0.7)},
        {"frames": (0.5, 2.0)},
        {"contrast": (0.0, 1.0)},
        {"gamma": (1.0, 0.5)},
        {"coarse": 1.5},
        {"vignette": (0.0, float("nan"))},
    ],
)
def test_impossible_ranges_are_refused(change):
    with pytest.raises(InputError):
        CameraRange(**change)


def test_quality_outside_its_range_is_refused():
    with pytest.raises(InputError, match="quality"):
        CameraRange().sample(np.random.default_rng(0), quality=1.5)
