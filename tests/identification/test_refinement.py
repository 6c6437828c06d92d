"""Refinement and search are held to kikuchipy's on measured nickel, and to known answers on simulated patterns."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest
from orix.quaternion import Rotation
from orix.quaternion.symmetry import O
from scipy.optimize import least_squares

from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.identification import refine, search_orientations
from kikuchinet.indexing.refinement import normalised, turned
from kikuchinet.microscope import Detector, project_batch

SHAPE = (60, 60)


@pytest.mark.parametrize("high_pass", [0.0, 0.125])
def test_as_good_as_scipys_least_squares(master, high_pass):
    """MINPACK's Levenberg-Marquardt on the same sum of squares, written out anew; a mask of its own for each pattern."""
    rng = np.random.default_rng(11)
    detector = Detector(SHAPE, (0.48, 0.25, 0.55))
    truth = random_quaternions(5, rng)
    clean = project_batch(master.upper, master.lower, truth, detector.pattern_center, SHAPE)
    patterns = clean + rng.normal(0.0, clean.std(), clean.shape).astype(np.float32)
    masks = rng.random(patterns.shape) < 0.9
    starts = np.concatenate([turned(q, rng.normal(0.0, 0.01, (1, 3))) for q in truth])
    ours = refine(patterns, master, Rotation(starts), detector, masks=masks, high_pass=high_pass)
    for k, (pattern, mask) in enumerate(zip(patterns, masks, strict=True)):
        measured = normalised(pattern[None], mask, high_pass)[0]

        def residuals(x, k=k, mask=mask, measured=measured):
            center = detector.pattern_center + x[3:]
            image = project_batch(master.upper, master.lower, turned(starts[k], x[None, :3]), center, SHAPE)
            return (normalised(image, mask, high_pass)[0] - measured).astype(np.float64)

        theirs = least_squares(residuals, np.zeros(6), method="lm", diff_step=1e-3, x_scale=2.5e-3)
        assert ours.correlations[k] > 1.0 - theirs.cost - 2e-3


def test_patterns_do_not_depend_on_those_beside_them(master):
    detector = Detector(SHAPE, (0.5, 0.3, 0.6))
    truth = random_quaternions(6, np.random.default_rng(12))
    patterns = project_batch(master.upper, master.lower, truth, detector.pattern_center, SHAPE)
    starts = np.concatenate([turned(q, np.full((1, 3), 0.008)) for q in truth])
    masks = np.ones(patterns.shape, dtype=bool)
    masks[::2, :10] = False
    together = refine(patterns, master, Rotation(starts), detector, masks=masks)
    for k in range(len(patterns)):
        alone = refine(patterns[k : k + 1], master, Rotation(starts[k]), detector, masks=masks[k])
        np.testing.assert_allclose(alone.correlations, together.correlations[k], atol=1e-4)
        np.testing.assert_allclose(alone.pattern_centers[0], together.pattern_centers[k], atol=2e-3)


@pytest.fixture(scope="module")
def master():
    return MasterPattern.from_kikuchipy(
        kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    )


def degrees_between(first, second, symmetric=False):
    """Return the angles in degrees, the smallest under the rotations of m-3m if asked for."""
    operations = Rotation(O.data) if symmetric else Rotation.identity()
    return [
        np.degrees(operations.outer(Rotation(b) * ~Rotation(a)).angle.min())
        for a, b in zip(first.data.reshape(-1, 4), second.data.reshape(-1, 4), strict=True)
    ]


def test_as_good_as_kikuchipy_on_measured_nickel(master):
    signal = kp.data.nickel_ebsd_small()
    signal.remove_static_background(show_progressbar=False)
    signal.remove_dynamic_background(show_progressbar=False)
    detector = signal.detector
    detector.pc = detector.pc.reshape(-1, 3)[:3].mean(axis=0)
    below = np.ones((3, 3), dtype=bool)
    below[0] = False
    theirs_map, theirs_detector = signal.refine_orientation_projection_center(
        xmap=signal.xmap,
        detector=detector,
        master_pattern=kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both"),
        energy=20,
        navigation_mask=below,
        rtol=1e-5,
    )
    ours = refine(signal.data[0], master, signal.xmap.rotations[:3], Detector.from_kikuchipy(detector))
    assert (ours.correlations > ours.start_correlations).all()
    # Theirs stops at a tolerance; ours may be above it, never noticeably below.
    assert (ours.correlations > theirs_map.scores.ravel() - 1e-3).all()
    np.testing.assert_allclose(ours.correlations, theirs_map.scores.ravel(), atol=0.01)
    np.testing.assert_allclose(ours.pattern_centers, theirs_detector.pc.reshape(-1, 3), atol=0.015)
    assert max(degrees_between(ours.rotations, theirs_map.rotations)) < 1.0


@pytest.fixture(scope="module")
def known(master):
    rng = np.random.default_rng(3)
    rotations = Rotation(rng.normal(size=(3, 4)))
    centers = np.array([0.5, 0.3, 0.6]) + rng.normal(scale=0.004, size=(3, 3))
    images = project_batch(master.upper, master.lower, rotations.data, centers, SHAPE, tilt_deg=4.0)
    noisy = images + images.std() * rng.normal(size=images.shape)
    return rotations, centers, noisy


def test_finds_the_truth_under_noise(master, known):
    rotations, centers, images = known
    screen = Detector(SHAPE, (0.5, 0.3, 0.6), tilt_deg=4.0)
    axes = np.random.default_rng(4).normal(size=(3, 3))
    start = Rotation.from_axes_angles(axes, 1.5, degrees=True) * rotations
    found = refine(images, master, start, screen)
    assert min(degrees_between(start, rotations)) > 1.4
    assert max(degrees_between(found.rotations, rotations)) < 0.3
    assert np.abs(found.pattern_centers - centers).max() < 0.006
    only = refine(images, master, start, screen, pattern_centers=centers, fit_center=False)
    np.testing.assert_array_equal(only.pattern_centers, centers)
    assert max(degrees_between(only.rotations, rotations)) < 0.1


def test_search_starts_near_enough(master, known):
    rotations, _centers, images = known
    screen = Detector(SHAPE, (0.5, 0.3, 0.6), tilt_deg=4.0)
    best, scores = search_orientations(images, master, screen, best=2)
    assert best.shape == (3, 2)
    assert (scores[:, 0] >= scores[:, 1]).all()
    assert max(degrees_between(best[:, 0], rotations, symmetric=True)) < 4.0
    found = refine(images, master, best[:, 0], screen, high_pass=0.125)
    assert max(degrees_between(found.rotations, rotations, symmetric=True)) < 0.3


def test_what_lies_outside_the_mask_does_not_count(master, known):
    rotations, centers, images = known
    mask = np.hypot(*(np.indices(SHAPE) - 29.5)) < 28
    spoilt = np.where(mask, images, 50.0 * images.max())
    screen = Detector(SHAPE, (0.5, 0.3, 0.6), tilt_deg=4.0)
    for high_pass in (0.0, 0.125):
        found, clean = (
            refine(stack, master, rotations, screen, pattern_centers=centers, masks=mask, high_pass=high_pass)
            for stack in (spoilt, images)
        )
        np.testing.assert_allclose(found.correlations, clean.correlations, atol=1e-4)
        assert max(degrees_between(found.rotations, clean.rotations)) < 0.02
        assert found.correlations.min() > 0.6


def test_bad_input(master):
    blank = np.zeros((1, *SHAPE))
    one = Rotation.identity()
    with pytest.raises(InputError, match="blank"):
        refine(blank, master, one, Detector(SHAPE))
    with pytest.raises(InputError, match="orientations"):
        refine(np.zeros((2, *SHAPE)), master, one, Detector(SHAPE))
    with pytest.raises(InputError, match="shape"):
        search_orientations(blank, master, Detector((50, 50)))
    with pytest.raises(InputError, match="mask"):
        refine(blank + 1, master, one, Detector(SHAPE), masks=np.zeros(SHAPE, bool))
