"""Orientations without a named phase, against kikuchipy's of the measured nickel patterns and against known ones."""

from __future__ import annotations

import itertools

import kikuchipy as kp
import numpy as np
import pytest
from orix.quaternion import Orientation
from orix.quaternion.symmetry import Oh
from orix.sampling import get_sample_fundamental

from kikuchinet.datasets import MastersConfig, prepare
from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.indexing import CubicFinder
from kikuchinet.indexing.unnamed import _apart, templates_of
from kikuchinet.microscope import Detector, project_batch
from kikuchinet.patterns import preprocess


def degrees_between(first, second):
    return Orientation(first, symmetry=Oh).angle_with(Orientation(second, symmetry=Oh), degrees=True)


@pytest.fixture(scope="module")
def hemispheres(tmp_path_factory):
    config = MastersConfig(materials=("Al", "Fe", "Si", "Cu"), half_width=60, preset="fast", variants=1)
    masters = prepare(config, tmp_path_factory.mktemp("cache"), progress=False)
    return {entry.material: masters.scaled(k) for k, entry in enumerate(masters)}


@pytest.fixture(scope="module")
def finder(hemispheres):
    """It knows aluminium, iron, silicon and copper: no nickel."""
    return CubicFinder(templates_of(np.stack([upper for upper, _ in hemispheres.values()]), 4))


def test_measured_nickel_lies_as_kikuchipy_says_though_no_template_is_nickel(finder):
    signal = kp.data.nickel_ebsd_small()
    detector = Detector((60, 60), tuple(signal.detector.pc.reshape(-1, 3).mean(axis=0)))
    images = signal.data.reshape(-1, 60, 60)
    found = finder.find(preprocess(images, size=(60, 60)), detector)
    angles = degrees_between(found.quaternions, signal.xmap.rotations.data.reshape(-1, 4))
    assert (angles < 3.0).all()
    assert np.median(angles) < 1.5


def test_simulated_patterns_lie_where_they_were_put(finder, hemispheres):
    upper, lower = hemispheres["Si"]
    truth = random_quaternions(12, np.random.default_rng(4))
    detector = Detector((60, 80), (0.52, 0.28, 0.6))
    patterns = preprocess(
        project_batch(upper, lower, truth, detector.pattern_center, detector.shape), size=(60, 80)
    )
    guess = Detector((60, 80), (0.53, 0.29, 0.61))
    found = finder.find(patterns, guess)
    assert np.median(degrees_between(found.quaternions, truth)) < 0.6
    np.testing.assert_allclose(np.median(found.pattern_centers, axis=0), detector.pattern_center, atol=0.006)
    assert (found.polarity > 0.0).all()
    np.testing.assert_allclose(finder.find(-patterns, guess).polarity, -found.polarity, atol=1e-6)


def test_candidates_are_not_alike_and_the_best_comes_first():
    grid = np.asarray(get_sample_fundamental(5.0, space_group=221).data)
    scores = np.random.default_rng(6).random(len(grid)).astype(np.float32)
    places = _apart(scores, grid, 12)
    assert places[0] == scores.argmax()
    assert (np.diff(scores[places]) <= 0).all()
    apart = [degrees_between(grid[[a]], grid[[b]])[0] for a, b in itertools.combinations(places, 2)]
    assert min(apart) >= 6.0 - 1e-3
    # The second is the best of those that are far enough from the first, not of all.
    far = degrees_between(grid, np.repeat(grid[places[:1]], len(grid), axis=0)) >= 6.0
    assert places[1] == np.flatnonzero(far)[scores[far].argmax()]


def test_more_candidates_find_what_the_best_start_misses(finder, hemispheres):
    """Noise so strong that the grid's best orientation is often wrong."""
    upper, lower = hemispheres["Fe"]
    rng = np.random.default_rng(8)
    truth = random_quaternions(60, rng)
    detector = Detector((48, 48), (0.5, 0.3, 0.6))
    patterns = project_batch(upper, lower, truth, detector.pattern_center, detector.shape)
    patterns = patterns + rng.normal(0.0, 2.0 * patterns.std(), patterns.shape)
    patterns = preprocess(patterns, size=(48, 48))

    def right(candidates):
        found = finder.find(patterns, detector, candidates=candidates, fit_center=False)
        return (degrees_between(found.quaternions, truth) < 2.0).mean()

    assert right(20) > right(1) + 0.05


def test_a_hexagonal_crystal_correlates_less(finder, tmp_path):
    config = MastersConfig(materials=("Mg",), half_width=40, preset="fast", variants=1)
    masters = prepare(config, tmp_path, progress=False)
    detector = Detector((60, 60), (0.5, 0.3, 0.6))
    quaternions = random_quaternions(8, np.random.default_rng(5))

    def correlation(upper, lower):
        images = project_batch(upper, lower, quaternions, detector.pattern_center, detector.shape)
        return np.median(finder.find(preprocess(images, size=(60, 60)), detector).correlations)

    iron = MasterPattern(*_of(finder, 0), energy_kev=20.0, name="template", space_group=221)
    assert correlation(*masters.scaled(0)) < correlation(iron.upper, iron.lower) - 0.2


def _of(finder, number):
    template = finder.templates[number]
    return template, template


def test_blank_patterns_correlate_with_nothing(finder):
    found = finder.find(np.zeros((2, 60, 60), dtype=np.float32), Detector((60, 60)))
    assert (found.correlations == -1.0).all()


def test_bad_input_is_named(finder):
    with pytest.raises(InputError, match="templates"):
        CubicFinder(np.zeros((2, 20, 20)))
    with pytest.raises(InputError, match="orientations"):
        finder.find(np.zeros((2, 60, 50)), Detector((60, 60)))
    with pytest.raises(InputError, match="mask"):
        finder.find(np.ones((1, 60, 60)), Detector((60, 60)), mask=np.zeros((60, 60), dtype=bool))
