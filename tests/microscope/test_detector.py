"""Detector geometry, held to kikuchipy's."""

from __future__ import annotations

import dataclasses

import kikuchipy as kp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from orix.quaternion import Rotation

from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector, pixel_directions
from kikuchinet.microscope.detector import detector_to_sample

fractions = st.floats(-0.5, 1.5)
distances = st.floats(0.05, 2.0)
sides = st.integers(2, 2000)
CONVENTIONS = ["bruker", "tsl", "edax", "oxford", "emsoft", "emsoft4", "emsoft5"]


@given(
    sides,
    sides,
    fractions,
    fractions,
    distances,
    st.integers(1, 8),
    st.floats(0.5, 100),
    st.sampled_from(CONVENTIONS),
)
@settings(max_examples=200, deadline=None)
def test_conventions_equal_kikuchipy(rows, columns, x, y, z, binning, px_size_um, convention):
    pc = (x, y, z)
    if convention.startswith("emsoft"):
        pc = (x * columns * binning, y * rows * binning, z * rows * binning * px_size_um)
    ours = Detector((rows, columns), pc, convention, px_size_um=px_size_um, binning=binning)
    theirs = kp.detectors.EBSDDetector(
        shape=(rows, columns), pc=pc, convention=convention, px_size=px_size_um, binning=binning
    )
    assert ours.convention == "bruker"
    np.testing.assert_allclose(ours.pattern_center, theirs.pc[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.pattern_center_in(convention), pc, rtol=1e-9, atol=1e-7)
    np.testing.assert_allclose(ours.pattern_center_in("tsl"), theirs.pc_tsl()[0], rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(ours.pattern_center_in("oxford"), theirs.pc_oxford()[0], rtol=1e-9, atol=1e-9)
    for version in (4, 5):
        emsoft = ours.pattern_center_in(f"emsoft{version}")
        np.testing.assert_allclose(emsoft, theirs.pc_emsoft(version)[0], rtol=1e-9, atol=1e-7)


@given(st.floats(0, 90), st.floats(-30, 30), st.floats(-30, 30), st.floats(-30, 30))
@settings(max_examples=100, deadline=None)
def test_frames_equal_kikuchipy(sample_tilt, tilt, azimuthal, twist):
    theirs = kp.detectors.EBSDDetector(
        shape=(4, 4), sample_tilt=sample_tilt, tilt=tilt, azimuthal=azimuthal, twist=twist
    )
    ours = detector_to_sample(sample_tilt, tilt, azimuthal, twist)
    np.testing.assert_allclose(ours, (~theirs.sample_to_detector).to_matrix()[0], atol=1e-7)


def test_round_trip_through_kikuchipy():
    detector = Detector(
        (60, 80), (0.4, 0.2, 0.6), "tsl", 5.0, 2.0, 69.0, px_size_um=59.2, binning=8, twist_deg=1.5
    )
    assert Detector.from_kikuchipy(detector.to_kikuchipy()) == detector
    several = kp.detectors.EBSDDetector(shape=(4, 4), pc=np.full((3, 3), 0.5))
    with pytest.raises(InputError, match="3 pattern centres"):
        Detector.from_kikuchipy(several)


def test_oxford_example_of_the_measured_camera():
    # Header of a measured 1244 x 1024 Oxford Symmetry pattern, and its pattern centre in Bruker's convention.
    detector = Detector((1024, 1244), (0.5345, 0.5471, 0.6143), "oxford")
    np.testing.assert_allclose(detector.pattern_center, (0.5345, 0.3353, 0.7462), atol=2e-4)


def test_replace_keeps_the_pattern_centre():
    detector = Detector((60, 80), (0.4, 0.2, 0.6), "oxford")
    other = dataclasses.replace(detector, tilt_deg=3.0)
    assert other.pattern_center == detector.pattern_center


@pytest.mark.parametrize(
    ("arguments", "cause"),
    [
        ({"shape": (0, 5)}, "less than one pixel"),
        ({"shape": (4, 5, 6)}, "is not .rows, columns"),
        ({"shape": 5}, "is not .rows, columns"),
        ({"shape": (4.5, 5)}, "is not .rows, columns"),
        ({"pattern_center": (0.5, 0.5)}, "three numbers"),
        ({"pattern_center": ("a", 0.5, 0.5)}, "three numbers"),
        ({"pattern_center": (0.5, float("nan"), 0.5)}, "not finite"),
        ({"pattern_center": (0.5, 0.5, 0.0)}, "larger than zero"),
        ({"pattern_center": (0.5, 0.5, -1.0)}, "larger than zero"),
        ({"convention": "zeiss"}, "unknown"),
        ({"tilt_deg": float("inf")}, "finite"),
        ({"sample_tilt_deg": "steep"}, "not a number"),
        ({"binning": 0}, "larger than zero"),
    ],
)
def test_impossible_geometry_is_refused(arguments, cause):
    with pytest.raises(InputError, match=cause):
        Detector(**{"shape": (60, 60), **arguments})


@given(sides, sides, fractions, fractions, distances, st.data())
@settings(max_examples=60, deadline=None)
def test_crops_equal_kikuchipy(rows, columns, x, y, z, data):
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top + 1, rows)), data.draw(st.integers(left + 1, columns))
    ours = Detector((rows, columns), (x, y, z), tilt_deg=3.0).cropped(top, left, bottom - top, right - left)
    theirs = kp.detectors.EBSDDetector(shape=(rows, columns), pc=(x, y, z), tilt=3.0)
    theirs = theirs.crop((top, bottom, left, right))
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours.pattern_center, theirs.pc.ravel(), rtol=1e-9, atol=1e-9)
    assert ours.tilt_deg == 3.0


@given(st.integers(1, 9), fractions, fractions, distances)
@settings(max_examples=30, deadline=None)
def test_binned_pixels_see_what_theirs_saw_together(factor, x, y, z):
    """The middle of a binned pixel looks in the direction of the middle of those it is made of."""
    detector = Detector((50, 70), (x, y, z), tilt_deg=4.0, azimuthal_deg=-3.0, px_size_um=20.0)
    binned = detector.binned(factor)
    assert binned.shape == (50 // factor, 70 // factor)
    identity = Rotation.identity()
    fine, coarse = (pixel_directions(identity, each) for each in (detector, binned))
    last = factor * binned.shape[0] - factor, factor * binned.shape[1] - factor
    corners = fine[[last[0], last[0] + factor - 1]][:, [last[1], last[1] + factor - 1]].reshape(4, 3)
    # The middle of four directions on a plane lies between them only before they are normalised.
    on_screen = corners / (corners @ detector.detector_to_sample[:, 2])[:, None]
    middle = on_screen.mean(axis=0)
    np.testing.assert_allclose(coarse[-1, -1], middle / np.linalg.norm(middle), atol=1e-5)
    # EMsoft counts in unbinned pixels, which do not change where the whole screen is kept.
    if 50 % factor == 70 % factor == 0:
        np.testing.assert_allclose(
            binned.pattern_center_in("emsoft"), detector.pattern_center_in("emsoft"), atol=1e-6
        )


def test_binning_to_another_aspect_keeps_the_middle():
    detector = Detector((1024, 1244), (0.5345, 0.5471, 0.6143), "oxford")
    square = detector.binned((128, 128))
    assert square.shape == (128, 128)
    assert square.binning == 8
    np.testing.assert_allclose(square.pattern_center, detector.cropped(0, 110, 1024, 1024).pattern_center)
    assert square.pattern_center[0] - 0.5 == pytest.approx(0.0345 * 1244 / 1024)


@pytest.mark.parametrize("wrong", [0, 61, (0, 4)])
def test_impossible_binnings_are_refused(wrong):
    with pytest.raises(InputError):
        Detector((60, 80)).binned(wrong)


@pytest.mark.parametrize("part", [(-1, 0, 5, 5), (0, 0, 61, 5), (50, 0, 11, 5), (0, 0, 0, 5)])
def test_parts_off_the_screen_are_refused(part):
    with pytest.raises(InputError, match="do not lie on 60 x 80"):
        Detector((60, 80)).cropped(*part)
