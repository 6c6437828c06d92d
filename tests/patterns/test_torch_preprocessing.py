"""`preprocess_torch` gives what the compiled `preprocess` gives, which other tests hold to others' code and patterns."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator

import kikuchipy as kp
import numpy as np
import pytest
import torch

from kikuchinet.errors import InputError
from kikuchinet.microscope import CameraRange, project_batch
from kikuchinet.patterns import Preprocessing, preprocess
from kikuchinet.patterns.screen import screen_mask
from kikuchinet.patterns.torch_preprocessing import preprocess_torch


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


def photographs(shape: tuple[int, int], n: int = 24) -> np.ndarray:
    """Patterns of as many cameras: raw and flat-fielded, whole and round screens, with shadows and dust."""
    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    upper, lower = master.data.astype(np.float32)
    rng = np.random.default_rng(3)
    clean = project_batch(upper, lower, rng.standard_normal((n, 4)), (0.5, 0.4, 0.6), shape)
    return CameraRange(round_screen=0.5, shadowed=0.4).expose(clean, rng)


@pytest.mark.parametrize(
    ("shape", "size"),
    [((128, 128), (128, 128)), ((60, 60), (96, 96)), ((100, 130), (40, 50)), ((70, 50), (64, 64))],
)
def test_agrees_with_the_compiled_code(shape, size, device):
    images = photographs(shape)
    expected = preprocess(images, size)
    # Patterns with and without a surround take different roads in the compiled code.
    outside = (expected == 0).mean(axis=(1, 2))
    assert (outside > 0.02).any()
    assert (outside == 0).any()
    found = preprocess_torch(torch.from_numpy(images).to(device), size)
    assert found.dtype == torch.float32
    assert found.device.type == device
    # Of values to +-4: rounding in another order.
    np.testing.assert_allclose(found.cpu().numpy(), expected, atol=3e-4)
    assert np.abs(found.cpu().numpy() - expected).mean() < 1e-5


def test_agrees_with_other_settings(device):
    images = photographs((64, 64), 8)
    settings = Preprocessing(background_sigma=0.2, passes=1, contrast_sigma=0.4, clip=2.5)
    expected = preprocess(images, (64, 64), settings)
    found = preprocess_torch(torch.from_numpy(images).to(device), (64, 64), settings).cpu().numpy()
    np.testing.assert_allclose(found, expected, atol=3e-4)
    assert np.abs(expected).max() == 2.5


def test_blank_black_and_negative_images(device):
    images = photographs((64, 64), 4)
    images[1] = 17.0
    images[2] -= images[2].mean()
    images[3] = 0.0
    images = np.concatenate([images, images[:1] + np.float32(20000.0)])
    expected = preprocess(images, (64, 64))
    found = preprocess_torch(torch.from_numpy(images).to(device), (64, 64)).cpu().numpy()
    assert not found[[1, 3]].any()
    np.testing.assert_allclose(found[:4], expected[:4], atol=3e-4)
    # float32 holds a level of 20000 to 0.002 only, of a signal of about 30.
    np.testing.assert_allclose(found[4], expected[4], atol=1e-2)


def test_a_surround_is_followed_round_corners(device):
    """A dark lane of one block's width that winds through the image, longer than one sweep of the search."""
    rng = np.random.default_rng(0)
    images = rng.uniform(90.0, 110.0, (1, 128, 128)).astype(np.float32)
    for turn in range(4):
        images[0, 24 * turn : 24 * turn + 4] = 1.0
        end = slice(120, 124) if turn % 2 == 0 else slice(4, 8)
        images[0, 24 * turn : 24 * turn + 28, end] = 1.0
    images[0, :, :4], images[0, :, 124:] = 100.0, 100.0
    images[0] += rng.uniform(0.0, 0.5, (128, 128)).astype(np.float32)
    mask = screen_mask(images)[0]
    assert not mask[72:76, 20:100].any()
    expected = preprocess(images)
    found = preprocess_torch(torch.from_numpy(images).to(device)).cpu().numpy()
    np.testing.assert_array_equal(found == 0, expected == 0)
    np.testing.assert_allclose(found, expected, atol=3e-4)


def test_whole_numbers_are_taken_and_bad_shapes_refused(device):
    images = torch.from_numpy(photographs((48, 48), 2)).to(device)
    np.testing.assert_array_equal(
        preprocess_torch(images.to(torch.uint8), (48, 48)).cpu(), preprocess_torch(images, (48, 48)).cpu()
    )
    for bad, size in ((images[0], (48, 48)), (images[:, :1], (48, 48)), (images, (31, 48))):
        with pytest.raises(InputError):
            preprocess_torch(bad, size)
    assert preprocess_torch(images[:0], (48, 48)).shape == (0, 48, 48)


def test_patterns_start_without_torch() -> None:
    code = "import sys, kikuchinet.patterns; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
