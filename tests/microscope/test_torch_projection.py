"""Projection by torch, held to kikuchipy's `get_patterns` and to the compiled kernel."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import kikuchipy as kp
import numpy as np
import pytest
import torch
from orix.quaternion import Rotation

from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector, project_batch
from kikuchinet.microscope.torch_projection import MasterStack, project_torch


def ncc(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    a = a - a.mean(axis=(-2, -1), keepdims=True)
    b = b - b.mean(axis=(-2, -1), keepdims=True)
    norm = np.sqrt((a**2).sum(axis=(-2, -1)) * (b**2).sum(axis=(-2, -1)))
    return (a * b).sum(axis=(-2, -1)) / norm


@pytest.fixture(params=["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def device(request: pytest.FixtureRequest) -> Iterator[str]:
    if request.param == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield request.param
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def lopsided():
    """Nickel with another lower hemisphere and no symmetry left: a mixed-up axis or side cannot hide."""
    signal = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both").deepcopy()
    data = signal.data.astype(np.float32)
    ramp = np.linspace(0, 100, 401, dtype=np.float32)
    data[0] += ramp[:, None] + 0.3 * ramp
    data[1] = 0.5 * data[1] + 2 * ramp
    signal.data = data
    return signal


@pytest.fixture(scope="module")
def masters(lopsided):
    """Three masters that have nothing to do with each other's texels."""
    upper, lower = lopsided.data
    noise = np.random.default_rng(2).normal(100.0, 20.0, (2, 401, 401)).astype(np.float32)
    return [
        SimpleNamespace(upper=noise[0], lower=noise[1]),
        SimpleNamespace(upper=upper, lower=lower),
        SimpleNamespace(upper=lower.T.copy(), lower=upper[::-1].copy()),
    ]


@pytest.mark.parametrize(
    "geometry", [{}, {"twist_deg": 4.0, "sample_tilt_deg": 62.0, "azimuthal_deg": 3.0, "tilt_deg": 8.0}]
)
@pytest.mark.parametrize("shape", [(60, 60), (37, 52)])
def test_agrees_with_kikuchipy(lopsided, masters, geometry, shape, device):
    rotations = Rotation.random(8)
    centers = np.array([0.5, 0.4, 0.6]) + np.random.default_rng(5).uniform(-0.2, 0.2, (8, 3))
    theirs = lopsided.get_patterns(
        rotations,
        kp.detectors.EBSDDetector(
            shape=shape,
            pc=centers,
            convention="bruker",
            tilt=geometry.get("tilt_deg", 0.0),
            azimuthal=geometry.get("azimuthal_deg", 0.0),
            twist=geometry.get("twist_deg", 0.0),
            sample_tilt=geometry.get("sample_tilt_deg", 70.0),
        ),
        energy=20,
        dtype_out="float32",
        compute=True,
        show_progressbar=False,
    ).data
    stack = MasterStack.of(masters, device)
    ours = project_torch(stack, rotations.data, centers, shape, which=1, **geometry)
    assert ours.dtype == torch.float32
    assert ours.device.type == device
    assert ours.shape == (8, *shape)
    assert ncc(ours.cpu().numpy(), theirs).min() >= 0.9999


@pytest.mark.parametrize("memory", [1, 2**30])
def test_each_pattern_has_its_own_master_orientation_and_centre(masters, memory, device):
    rng = np.random.default_rng(8)
    which = rng.integers(0, 3, 24)
    assert set(which) == {0, 1, 2}
    quaternions = rng.normal(size=(24, 4))
    centers = np.array([0.5, 0.4, 0.6]) + rng.uniform(-0.2, 0.2, (24, 3))
    stack = MasterStack.of(masters, device)
    assert len(stack) == 3
    ours = project_torch(stack, quaternions, centers, (48, 33), which=which, memory_bytes=memory)
    ours = ours.cpu().numpy()
    for number, master in enumerate(masters):
        mine = which == number
        expected = project_batch(master.upper, master.lower, quaternions[mine], centers[mine], (48, 33))
        assert ncc(ours[mine], expected).min() >= 0.999999
        # A hundredth of the contrast: in the noise master a pixel's place, right to 1e-4 texels, is worth that.
        np.testing.assert_allclose(ours[mine], expected, atol=0.3)


def test_poles_and_rim_are_exact(device):
    """Each texel says its own column, row and side, so the patterns are positions, also where the map folds."""
    size = 101
    column, row = np.meshgrid(np.arange(size, dtype=np.float32), np.arange(size, dtype=np.float32))
    masters = [
        SimpleNamespace(upper=column, lower=column + 1000.0),
        SimpleNamespace(upper=row, lower=row + 1000.0),
    ]
    stack = MasterStack.of(masters, device)
    # The screen's normal is the sample's normal here, so the rotation decides which direction its middle looks.
    looks = {
        "north": (Rotation.identity(), 50.0, 50.0),
        "south": (Rotation.from_axes_angles([1, 0, 0], 180, degrees=True), 1050.0, 1050.0),
    }
    for rotation, u, v in looks.values():
        for which, expected in ((0, u), (1, v)):
            image = project_torch(
                stack, rotation.data, (0.5, 0.5, 0.5), (1, 1), which=which, sample_tilt_deg=90.0
            )
            assert image.cpu().numpy()[0, 0, 0] == pytest.approx(expected, abs=1e-3)
    around = Rotation.from_axes_angles(
        np.c_[np.cos(np.arange(16)), np.sin(np.arange(16)), np.zeros(16)], 90, degrees=True
    )
    rim = project_torch(stack, around.data, (0.5, 0.5, 0.5), (1, 1), which=0, sample_tilt_deg=90.0)
    assert torch.isfinite(rim).all()
    assert ((rim % 1000.0 >= -1e-3) & (rim % 1000.0 <= size - 1 + 1e-3)).all()


@pytest.mark.parametrize(
    "change",
    [
        {"quaternions": np.zeros((2, 4))},
        {"quaternions": np.ones((2, 3))},
        {"quaternions": np.full((2, 4), np.nan)},
        {"pattern_centers": np.ones((3, 3))},
        {"pattern_centers": (0.5, 0.5, 0.0)},
        {"shape": (0, 4)},
        {"which": 1},
        {"which": [0, -1]},
        {"which": [0, 0, 0]},
        {"which": 0.0},
    ],
)
def test_bad_input_is_refused(change):
    good = {
        "masters": MasterStack.of([SimpleNamespace(upper=np.zeros((5, 5)), lower=np.zeros((5, 5)))], "cpu"),
        "quaternions": np.ones((2, 4)),
        "pattern_centers": (0.5, 0.5, 0.5),
        "shape": (4, 4),
    }
    assert project_torch(**good).shape == (2, 4, 4)
    with pytest.raises(InputError):
        project_torch(**{**good, **change})


@pytest.mark.parametrize(
    ("sides", "device", "subject"),
    [
        ([], "cpu", "master patterns"),
        ([(5, 5), (7, 7)], "cpu", "master patterns"),
        ([(5, 7)], "cpu", "master pattern"),
        ([(4, 4)], "cpu", "master pattern"),
        ([(5, 5)], "abacus", "abacus"),
    ],
)
def test_bad_masters_and_devices_are_refused(sides, device, subject):
    masters = [SimpleNamespace(upper=np.zeros(side), lower=np.zeros(side)) for side in sides]
    with pytest.raises(InputError, match=subject):
        MasterStack.of(masters, device)


def test_patterns_take_part_in_a_computation_with_gradients():
    """They are ordinary tensors, not inference tensors, which a network would refuse."""
    stack = MasterStack.of([SimpleNamespace(upper=np.ones((5, 5)), lower=np.ones((5, 5)))], "cpu")
    patterns = project_torch(stack, np.ones((2, 4)), Detector((4, 4)).pattern_center, (4, 4))
    gain = torch.ones(1, requires_grad=True)
    (patterns * gain).sum().backward()
    assert gain.grad is not None
    assert gain.grad.item() == pytest.approx(32.0)


def test_the_microscope_starts_without_torch() -> None:
    code = "import sys, kikuchinet.microscope; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
