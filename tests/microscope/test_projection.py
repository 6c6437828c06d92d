"""The projection kernel, held to kikuchipy's `get_patterns`."""

from __future__ import annotations

from types import SimpleNamespace

import kikuchipy as kp
import numpy as np
import pytest
from orix.quaternion import Rotation

from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector, interleave, project, project_batch


def ncc(a, b):
    a = a - a.mean(axis=(-2, -1), keepdims=True)
    b = b - b.mean(axis=(-2, -1), keepdims=True)
    norm = np.sqrt((a**2).sum(axis=(-2, -1)) * (b**2).sum(axis=(-2, -1)))
    return (a * b).sum(axis=(-2, -1)) / norm


@pytest.fixture(scope="module")
def nickel():
    return kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")


@pytest.fixture(scope="module")
def lopsided(nickel):
    """Nickel with another lower hemisphere and no symmetry left: a mixed-up axis or side cannot hide."""
    signal = nickel.deepcopy()
    data = signal.data.astype(np.float32)
    ramp = np.linspace(0, 100, 401, dtype=np.float32)
    data[0] += ramp[:, None] + 0.3 * ramp
    data[1] = 0.5 * data[1] + 2 * ramp
    signal.data = data
    return signal


@pytest.mark.parametrize(
    "geometry",
    [
        {},
        {"tilt_deg": 8.0},
        {"azimuthal_deg": -11.0, "tilt_deg": -3.0},
        {"twist_deg": 4.0, "sample_tilt_deg": 62.0, "azimuthal_deg": 3.0},
    ],
)
@pytest.mark.parametrize("shape", [(60, 60), (37, 52)])
def test_agrees_with_kikuchipy(lopsided, geometry, shape):
    rotations = Rotation.random(12)
    detector = Detector(shape, (0.41, 0.27, 0.55), **geometry)
    theirs = lopsided.get_patterns(
        rotations,
        detector.to_kikuchipy(),
        energy=20,
        dtype_out="float32",
        compute=True,
        show_progressbar=False,
    ).data
    ours = project(
        SimpleNamespace(upper=lopsided.data[0], lower=lopsided.data[1]), rotations, detector, threads=1
    )
    assert ours.shape == (12, *shape)
    assert ours.dtype == np.float32
    assert ncc(ours, theirs).min() >= 0.999999
    np.testing.assert_allclose(ours, theirs, atol=0.1)


def test_each_pattern_has_its_own_centre(lopsided):
    rng = np.random.default_rng(5)
    rotations = Rotation.random(6)
    centers = np.array([0.5, 0.4, 0.6]) + rng.uniform(-0.2, 0.2, (6, 3))
    theirs = lopsided.get_patterns(
        rotations,
        kp.detectors.EBSDDetector(shape=(40, 50), pc=centers, convention="bruker"),
        energy=20,
        dtype_out="float32",
        compute=True,
        show_progressbar=False,
    ).data
    ours = project_batch(lopsided.data[0], lopsided.data[1], rotations.data, centers, (40, 50))
    assert ncc(ours, theirs).min() >= 0.999999


def test_both_hemispheres_are_seen(nickel):
    up, low = np.ones((401, 401), np.float32), np.zeros((401, 401), np.float32)
    q = Rotation.from_axes_angles([1, 2, 0], [60, 240], degrees=True).data
    turn = Rotation.from_axes_angles([1, 0, 0], 180, degrees=True)
    quaternions = np.concatenate([q[:1], (turn * Rotation(q[:1])).data])
    images = project_batch(up, low, quaternions, (0.5, 0.5, 0.5), (64, 64))
    # Half a turn about x exchanges the two sides.
    np.testing.assert_allclose(images[0] + images[1], 1.0, atol=1e-6)
    assert 0.1 < images[0].mean() < 0.9


def test_poles_and_equator_are_exact():
    # Texel value = its own column: the kernel must return positions, also where the map folds.
    size = 101
    column = np.broadcast_to(np.arange(size, dtype=np.float32), (size, size))
    image = project_batch(column, column, [[1, 0, 0, 0]], (0.5, 0.5, 0.5), (1, 1), sample_tilt_deg=90.0)
    assert np.isfinite(image).all()
    # The screen's normal is the sample's normal here: the north pole, the middle of the map.
    assert image[0, 0, 0] == pytest.approx(50.0, abs=1e-3)


def test_threads_and_buffers_do_not_change_the_result(lopsided):
    rng = np.random.default_rng(1)
    q = rng.normal(size=(7, 4))
    up, low = lopsided.data
    expected = project_batch(up, low, q, (0.5, 0.3, 0.6), (33, 31))
    out = np.empty((7, 33, 31), np.float32)
    texels = interleave(up, low)
    returned = project_batch(up, low, 2 * q, (0.5, 0.3, 0.6), (33, 31), out=out, threads=3, texels=texels)
    assert returned is out
    np.testing.assert_allclose(out, expected, rtol=0, atol=1e-3)
    again = project_batch(up, low, q, (0.5, 0.3, 0.6), (33, 31), threads=2)
    assert again.tobytes() == expected.tobytes()


@pytest.mark.parametrize(
    "change",
    [
        {"upper": np.zeros((4, 4))},
        {"upper": np.zeros((5, 7))},
        {"lower": np.zeros((7, 7))},
        {"quaternions": np.zeros((2, 4))},
        {"quaternions": np.ones((2, 3))},
        {"quaternions": np.full((2, 4), np.nan)},
        {"pattern_centers": np.ones((3, 3))},
        {"pattern_centers": (0.5, 0.5, 0.0)},
        {"pattern_centers": (0.5, np.nan, 0.5)},
        {"shape": (0, 4)},
        {"out": np.zeros((2, 4, 4))},
        {"texels": np.zeros((3, 4), np.float32)},
    ],
)
def test_bad_input_is_refused(change):
    good = {
        "upper": np.zeros((5, 5)),
        "lower": np.zeros((5, 5)),
        "quaternions": np.ones((2, 4)),
        "pattern_centers": (0.5, 0.5, 0.5),
        "shape": (4, 4),
    }
    assert project_batch(**good).shape == (2, 4, 4)
    with pytest.raises(InputError):
        project_batch(**{**good, **change})
