"""`expose_torch` gives what `Camera.expose` gives: without noise the same grey levels, with noise the same statistics."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace

import kikuchipy as kp
import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from kikuchinet.errors import InputError
from kikuchinet.microscope import Camera, CameraRange, faults, project_batch, torch_camera
from kikuchinet.microscope.filters import gaussian_blur, resample
from kikuchinet.microscope.grid import standardise
from kikuchinet.microscope.torch_camera import COVERED, expose_torch
from kikuchinet.microscope.torch_filters import blur_matrices, resample_torch, resampling_matrices, separable
from kikuchinet.microscope.torch_stages import standardise as standardise_torch

CPU = torch.device("cpu")
#: Noise of a millionth, and steps of grey of 1.5e-5: what is left is arithmetic.
QUIET = {"dose_electrons_per_px": 1e12, "read_noise_electrons": 0.0, "gain_error": 0.0, "bits": 16}


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


def patterns(n: int, shape: tuple[int, int] = (48, 60)) -> np.ndarray:
    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    upper, lower = master.data.astype(np.float32)
    quaternions = np.random.default_rng(1).standard_normal((n, 4))
    return project_batch(upper, lower, quaternions, (0.5, 0.4, 0.6), shape)


def both(cameras: list[Camera], images: np.ndarray, device: str, seed: int = 0) -> tuple[np.ndarray, ...]:
    """The compiled and the torch camera's grey levels of the same patterns, (cameras, n, rows, columns)."""

    def rngs() -> list[np.random.Generator]:
        return [np.random.default_rng([seed, k]) for k in range(len(cameras))]

    compiled = np.stack([c.expose(images, rng) for c, rng in zip(cameras, rngs(), strict=True)])
    stack = torch.from_numpy(images).to(device).expand(len(cameras), *images.shape)
    found = expose_torch(cameras, stack, rngs())
    assert found.dtype == torch.float32
    assert found.device.type == device
    return compiled.astype(np.float32), found.cpu().numpy()


def assert_same_levels(found: np.ndarray, expected: np.ndarray) -> None:
    """Equal to six steps of 65535, but for the odd pixel at an edge that rounding falls either side of."""
    apart = np.abs(found - expected)
    assert np.quantile(apart, 0.999) <= 6
    assert apart.mean() < 1


ONE_STAGE = {
    "plain": {},
    "flat fielded": {"flat_fielded": True},
    "no compression": {"compression": 0.0},
    "no asymmetry": {"excess_deficiency": 0.0},
    "blurred": {"psf_sigma_px": 2.7},
    "wide blur": {"psf_sigma_px": 21.0},
    "no vignette": {"vignette": 0.0, "source_center": (0.3, 0.9), "source_width": 0.6},
    "uneven": {"uneven": 0.8, "uneven_grain": 0.1},
    "uneven, fine": {"uneven": 0.8, "uneven_grain": 0.02},
    "coarse chip": {"capture_rows": 31},
    "fine chip": {"capture_rows": 77},
    "correlated noise": {"noise_sigma_px": 1.2, "capture_rows": 40},
    "dust": {"dust": 5},
    "dust on a coarse chip": {"dust": 3, "capture_rows": 37},
    "dynamic": {"dynamic_background": True},
    "dynamic on a coarse chip": {"dynamic_background": True, "capture_rows": 29, "flat_fielded": True},
    "gamma and clipping": {"gamma": 0.7, "clip_fraction": 0.02},
    "no clipping": {"clip_fraction": 0.0},
    "round, dark": {"screen_radius": 0.5, "screen_center": (0.45, 0.52)},
    "round, grey": {"screen_radius": 0.45, "surround": "grey"},
    "round, dynamic": {"screen_radius": 0.45, "dynamic_background": True, "flat_fielded": True},
    "round, grey, coarse": {"screen_radius": 0.45, "surround": "grey", "capture_rows": 30},
    "shadow": {"shadow_angle": 2.0, "shadow_reach": 0.3, "shadow_depth": 0.8, "shadow_softness": 0.1},
    "two blurs": {"psf_sigma_px": 0.0, "focus_drift_px": 4.0, "focus_angle": 0.8},
    "broad asymmetry": {"excess_deficiency": 0.7, "excess_width": 0.04, "beam_center": (0.3, 1.2)},
    "amorphous layer": {"amorphous_nm": 7.0},
    "energy": {"energy_rise": 0.15},
    "contrast by place": {"contrast_center": (0.45, 0.3), "contrast_width": 0.4},
    "optical axis": {"optical_axis": (0.35, 0.6), "vignette": 0.6},
    "glare": {"glare": 0.3, "glare_width": 0.2, "screen_radius": 0.45},
    "glare, flat fielded": {"glare": 0.3, "flat_fielded": True, "shadow_depth": 0.7, "shadow_reach": 0.3},
    "margins": {"screen_margins": (0.1, 0.043, 0.0, 0.2)},
    "margins, grey, coarse": {
        "screen_margins": (0.1, 0.0, 0.2, 0.05),
        "surround": "grey",
        "capture_rows": 30,
        "screen_radius": 0.5,
    },
    "saturated": {"saturation": 1.1},
    "broken pixels": {"dead_pixels": 0.02, "dead_lines": 3, "hot_columns": 2},
    "broken coarse chip": {"dead_pixels": 0.02, "hot_columns": 2, "capture_rows": 33, "dust": 2},
    "static subtracted": {"flat_fielded": True, "static_operation": "subtract"},
    "static of another day": {"flat_fielded": True, "background_drift": (0.08, -0.05)},
    "dynamic divided": {"dynamic_background": True, "dynamic_operation": "divide", "dynamic_width": 0.2},
    "dynamic, round": {"dynamic_background": True, "screen_radius": 0.48, "surround": "grey"},
    "hard shadow": {"shadow_angle": 4.0, "shadow_reach": 0.2, "shadow_depth": 1.0, "shadow_softness": 0.0},
}


@pytest.mark.parametrize("change", ONE_STAGE.values(), ids=ONE_STAGE.keys())
def test_each_stage_is_that_of_the_compiled_camera(change, device):
    camera = Camera(**{"flat_fielded": False, **QUIET, **change})
    compiled, found = both([camera], patterns(3), device)
    assert_same_levels(found, compiled)


@pytest.mark.parametrize(
    "change", [{}, {"local_contrast_tiles": 3, "capture_rows": 30}, {"local_contrast": 1.0}]
)
def test_local_contrast_is_that_of_the_compiled_camera(change, device):
    """A level at the edge of a bin can fall either side, and then the grey scale of its tile has a step elsewhere."""
    cameras = [Camera(**{**QUIET, "local_contrast": limit, **change}) for limit in (2.0, 6.0)]
    compiled, found = both(cameras, patterns(3), device)
    apart = np.abs(found - compiled)
    assert np.median(apart) <= 3
    # A pixel more or less in a bin of a tile of some 40.
    assert np.quantile(apart, 0.99) < 65535 * 0.03
    plain = both([replace(camera, local_contrast=0.0) for camera in cameras], patterns(3), device)[1]
    assert change.get("local_contrast") == 1.0 or np.abs(found - plain).mean() > 65535 * 0.03


@pytest.mark.parametrize(
    "change", [{"scale_bar": 0.3}, {"label": 4}, {"scale_bar": 0.2, "label": 6, "bits": 8}]
)
def test_writing_is_that_of_the_compiled_camera(change, device, monkeypatch):
    draw = faults.draw_writing
    # The compiled camera draws the noise of pixels before it writes, so the same seed writes something else there.
    monkeypatch.setattr(faults, "draw_writing", lambda *a: draw(*a[:3], np.random.default_rng(4)))
    written = Camera(**{**QUIET, **change})
    cameras = [replace(written, scale_bar=0.0, label=0), written]
    compiled, found = both(cameras, patterns(2), device)
    for own, expected in zip(found, compiled, strict=True):
        assert_same_levels(own, expected)
    assert (np.abs(found[1] - found[0]) > 100).mean() > 0.003 or change.get("bits") == 8


def test_all_stages_of_a_batch_of_cameras(device):
    """Chips of several sizes and all sorts of screens at once: nothing of one camera reaches another."""
    rng = np.random.default_rng(5)
    # Grey scales by counting and random letters have tests of their own.
    several = CameraRange(
        shadowed=0.3, dusty=0.4, coarse=0.6, capture_rows=(20.0, 47.0), equalised=0.0, written=0.0
    )
    cameras = [replace(several.sample(rng, rows=48), **QUIET) for _ in range(24)]
    assert len({camera.capture_rows for camera in cameras}) > 3
    assert {camera.surround for camera in cameras if camera.screen_radius} == {"dark", "grey"}
    compiled, found = both(cameras, patterns(2), device)
    for own, expected in zip(found, compiled, strict=True):
        assert_same_levels(own, expected)


def test_a_grey_level_more_bits(device):
    """Whole levels up to the highest, for any depth, and each camera its own."""
    cameras = [Camera(**{**QUIET, "bits": bits}) for bits in (1, 8, 12)]
    _, found = both(cameras, patterns(2), device)
    assert [own.max() for own in found] == [1, 255, 4095]
    np.testing.assert_array_equal(found, np.rint(found))


@pytest.mark.parametrize(
    "noise",
    [
        {"dose_electrons_per_px": 6.0, "read_noise_electrons": 0.0},
        {"dose_electrons_per_px": 60.0, "read_noise_electrons": 5.0},
        {"dose_electrons_per_px": 500.0, "read_noise_electrons": 0.0, "noise_sigma_px": 0.7},
        {"dose_electrons_per_px": 500.0, "read_noise_electrons": 2.0, "capture_rows": 24},
        {"dose_electrons_per_px": 1e7, "gain_error": 0.03},
        {"dose_electrons_per_px": 3e6, "read_noise_electrons": 9000.0},
        {"dose_electrons_per_px": 500.0, "read_noise_electrons": 6.0, "frames": 9},
    ],
)
def test_noise_has_the_same_statistics(noise, device):
    """On a blank, raw, evenly lit frame: mean, spread, its neighbours' correlation, and the distribution."""
    even = {"source_width": 50.0, "vignette": 0.0, "contrast": 0.01, "flat_fielded": False, "bits": 16}
    camera = Camera(**{**even, "clip_fraction": 0.0, **noise})
    images = np.zeros((8, 128, 128), dtype=np.float32)
    compiled, found = both([camera], images, device)
    # Grey levels are relative to the brightest pixel, so each image is taken relative to its own mean.
    theirs, ours = (stack[0] / stack[0].mean(axis=(1, 2), keepdims=True) - 1 for stack in (compiled, found))
    assert ours.std() == pytest.approx(theirs.std(), rel=0.03)
    skewness = [(x**3).mean() / (x**2).mean() ** 1.5 for x in (theirs, ours)]
    assert skewness[1] == pytest.approx(skewness[0], abs=0.04)
    neighbours = [(x[:, :, 1:] * x[:, :, :-1]).mean() / (x**2).mean() for x in (theirs, ours)]
    assert neighbours[1] == pytest.approx(neighbours[0], abs=0.04)
    # A gain is the same in all patterns of a camera, a count is not.
    repeated = [(x[1:] * x[:-1]).mean() / (x**2).mean() for x in (theirs, ours)]
    assert repeated[1] == pytest.approx(repeated[0], abs=0.04)
    # Few counts stand on a few levels, which the mean of an image shifts a little: blurred, they can be compared.
    rng = np.random.default_rng(0)
    samples = [x.ravel()[::37] for x in (theirs, ours)]
    samples = [x + 0.5 * theirs.std() * rng.standard_normal(x.shape) for x in samples]
    assert ks_2samp(*samples).pvalue > 1e-3


def test_same_seed_same_patterns_whatever_the_other_cameras(device):
    rng = np.random.default_rng(2)
    cameras = [CameraRange.poor().sample(rng, rows=48) for _ in range(6)]
    images = patterns(2)
    first, second = (both(cameras, images, device)[1] for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert len({own.tobytes() for own in first}) == 6
    fewer = both(cameras[:2], images, device)[1]
    # The noise is the same to the last electron; a product of other matrices may round a level up instead of down.
    assert np.abs(fewer - first[:2]).max() <= 1
    assert (fewer != first[:2]).mean() < 1e-3
    other_seed = both(cameras, images, device, seed=9)[1]
    assert np.abs(other_seed - first).mean() > 5


def test_gains_of_cameras_have_nothing_to_do_with_each_other_or_with_the_noise(device):
    even = {"source_width": 50.0, "vignette": 0.0, "contrast": 0.01, "flat_fielded": False, "bits": 16}
    noisy = Camera(**{**even, "dose_electrons_per_px": 1e4, "read_noise_electrons": 0.0})
    uneven = Camera(
        **{**even, "dose_electrons_per_px": 1e12, "gain_error": 0.01, "read_noise_electrons": 0.0}
    )
    images = torch.zeros((3, 2, 96, 96), device=device)
    # The second and the third have one seed, so what is noise in one must not be gain in the other.
    rngs = [np.random.default_rng(seed) for seed in (0, 1, 1)]
    found = expose_torch([uneven, uneven, noisy], images, rngs).flatten(2).cpu().numpy()
    assert np.corrcoef(found[0])[0, 1] > 0.99
    assert abs(np.corrcoef(found[2])[0, 1]) < 0.05
    for one, other in ((0, 1), (1, 2)):
        for k in range(2):
            assert abs(np.corrcoef(found[one, 0], found[other, k])[0, 1]) < 0.05


def test_no_field_of_a_camera_is_passed_over():
    """A new field of `Camera` fails this until `expose_torch` computes it."""
    assert {field.name for field in fields(Camera)} == COVERED


def test_what_is_not_covered_is_refused(monkeypatch):
    images = torch.from_numpy(patterns(1))[None]
    rngs = [np.random.default_rng(0)]
    monkeypatch.setattr(torch_camera, "COVERED", COVERED - {"dust"})
    expose_torch([Camera()], images, rngs)
    with pytest.raises(InputError, match="camera dust"):
        expose_torch([Camera(dust=2)], images, rngs)


@pytest.mark.parametrize("level", [7.3, 1e-3, 12345.678, -3.7e5])
def test_blank_patterns_have_no_signal(level, device):
    images = np.full((1, 2, 37, 53), level, dtype=np.float32)
    images[0, 1] = np.random.default_rng(0).normal(level, abs(level), (37, 53))
    found = standardise_torch(torch.from_numpy(images).to(device)).cpu().numpy()[0]
    assert not found[0].any()
    np.testing.assert_allclose(found, standardise(images[0]), atol=2e-6)


def test_bad_input_is_refused():
    images = torch.zeros((2, 1, 8, 8))
    rngs = [np.random.default_rng(k) for k in range(2)]
    cameras = [Camera(), Camera()]
    assert expose_torch(cameras, images, rngs).shape == (2, 1, 8, 8)
    for bad in (
        (cameras, images[0], rngs),
        (cameras[:1], images, rngs),
        (cameras, images, rngs[:1]),
        (cameras, images[..., :2], rngs),
        ([], images[:0], []),
    ):
        with pytest.raises(InputError):
            expose_torch(*bad)


@pytest.mark.parametrize("sigma", [0.0, 0.04, 0.3, 1.7, 9.0, 40.0])
def test_blur_matrices_are_the_compiled_blur(sigma):
    images = np.random.default_rng(0).standard_normal((3, 11, 17)).astype(np.float32)
    down, across = (blur_matrices([side], [sigma], 20, CPU)[0] for side in (11, 17))
    assert not down[11:].any()
    assert not down[:, 11:].any()
    padded = torch.zeros((3, 20, 20))
    padded[:, :11, :17] = torch.from_numpy(images)
    found = separable(padded, down, across)[:, :11, :17]
    np.testing.assert_allclose(found, gaussian_blur(images, sigma), atol=2e-6)


@pytest.mark.parametrize("shape", [(11, 17), (5, 6), (30, 17), (10, 40), (1, 3)])
def test_resampling_matrices_are_the_compiled_resampling(shape):
    images = np.random.default_rng(0).standard_normal((3, 11, 17)).astype(np.float32)
    expected = resample(images, shape)
    np.testing.assert_allclose(resample_torch(torch.from_numpy(images), shape), expected, atol=2e-6)
    padded = resampling_matrices([11], [shape[0]], (20, 45), CPU)[0]
    assert not padded[shape[0] :].any()
    assert not padded[:, 11:].any()


def test_a_large_gain_error_leaves_dark_pixels_dark(device: str) -> None:
    camera = Camera(gain_error=0.4, dose_electrons_per_px=100.0)
    compiled, found = both([camera], patterns(2), device)
    assert np.isfinite(found).all()
    assert found.mean() == pytest.approx(compiled.mean(), rel=0.05)
