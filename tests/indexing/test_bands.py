"""Band profiles against the same average done plainly, and against Bragg's law on kikuchipy's master pattern of Ni."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest
from orix.quaternion import Rotation
from orix.quaternion.symmetry import Oh
from sklearn.linear_model import Ridge

from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.indexing import FAMILIES, band_profiles, pooled_profiles
from kikuchinet.indexing.bands import BINS, CHANNELS, REACH, plane_normals
from kikuchinet.microscope import Detector, project_batch
from kikuchinet.microscope.projection import pattern_rays

SHAPE = (60, 72)
DETECTOR = Detector(SHAPE, (0.45, 0.3, 0.6))


@pytest.fixture(scope="module")
def nickel() -> MasterPattern:
    return MasterPattern.from_kikuchipy(
        kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    )


def rays_of(quaternions):
    return pattern_rays(quaternions, DETECTOR.pattern_center, SHAPE, DETECTOR.detector_to_sample)


def patterns_of(master, quaternions):
    return project_batch(master.upper, master.lower, quaternions, DETECTOR.pattern_center, SHAPE)


def test_families_hold_every_plane_once():
    normals, family = plane_normals()
    counts = np.bincount(family)
    # Multiplicities of the forms of m-3m (International Tables A, table 10.1.2.2), halved: a plane has two normals.
    expected = {(1, 0, 0): 3, (1, 1, 0): 6, (1, 1, 1): 4, (2, 1, 0): 12, (2, 1, 1): 12, (3, 2, 1): 24}
    for indices, count in expected.items():
        assert counts[FAMILIES.index(indices)] == count
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1.0, rtol=1e-6)
    cosines = np.abs(normals @ normals.T) - np.eye(len(normals))
    assert cosines.max() < 0.9999


def test_the_same_as_a_plain_average():
    rng = np.random.default_rng(1)
    image = rng.normal(size=(1, *SHAPE)).astype(np.float32)
    mask = rng.random(SHAPE) < 0.8
    rays = rays_of(random_quaternions(1, rng))
    profile = band_profiles(image, rays, mask)[0]
    rows, columns = np.nonzero(mask)
    directions = rays[0, 0] + columns[:, None] * rays[0, 1] + rows[:, None] * rays[0, 2]
    directions = directions.astype(np.float64) / np.linalg.norm(directions, axis=1, keepdims=True)
    normals, family = plane_normals()
    values = image[0][mask]
    for number in (0, 2, 9):
        place = np.abs(directions @ normals[family == number].T.astype(np.float64)) / REACH * BINS - 0.5
        low = np.floor(place).astype(int)
        share = place - low
        sums, counts = np.zeros(BINS + 1), np.zeros(BINS + 1)
        for bin_, weight in ((np.maximum(low, 0), 1.0 - share), (low + 1, share)):
            inside = (place < BINS - 0.5) & (bin_ <= BINS)
            np.add.at(sums, bin_[inside], (weight * values[:, None])[inside])
            np.add.at(counts, bin_[inside], weight[inside])
        expected = sums[:BINS] / np.where(counts[:BINS] > 0, counts[:BINS], 1.0)
        # The few pixels whose place rounds to the other bin in single precision move a value by as little.
        np.testing.assert_allclose(profile[0, number], expected, atol=2e-3)
        np.testing.assert_allclose(profile[2, number] * 4 * SHAPE[0], counts[:BINS], atol=0.05)


def test_separated_curves_are_the_ridge_regression(nickel):
    """scikit-learn's, on the matrix of all pixels and bins written out."""
    rng = np.random.default_rng(4)
    quaternions = random_quaternions(1, rng)
    rays, mask = rays_of(quaternions), rng.random(SHAPE) < 0.8
    (image,) = patterns_of(nickel, quaternions)
    image = (image - image.mean()) / image.std()
    rows, columns = np.nonzero(mask)
    directions = rays[0, 0] + columns[:, None] * rays[0, 1] + rows[:, None] * rays[0, 2]
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    normals, family = plane_normals()
    place = np.abs(directions @ normals.T) / REACH * BINS - 0.5
    pixel, plane = np.nonzero(place < BINS - 0.5)
    at = np.clip(place[pixel, plane], 0.0, BINS - 1.0)
    low = np.floor(at).astype(int)
    matrix = np.zeros((len(directions), len(FAMILIES) * BINS + 1))
    np.add.at(matrix, (pixel, family[plane] * BINS + low), 1.0 - (at - low))
    np.add.at(matrix, (pixel, family[plane] * BINS + low + 1), at - low)
    matrix = matrix[:, :-1]
    values = image[mask] - image[mask].mean()
    expected = Ridge(alpha=4.0, fit_intercept=False).fit(matrix, values).coef_
    found = band_profiles(image[None], rays, mask)[0, CHANNELS.index("separated")].ravel()

    def explained(curves):
        return 1.0 - ((values - matrix @ curves) ** 2).mean() / values.var()

    assert explained(expected) > 0.8
    assert explained(found) > explained(expected) - 0.01
    assert np.corrcoef(found, expected)[0, 1] > 0.98


def test_separated_curves_do_not_hold_the_bands_that_cross():
    """{100} bright, all others blank: the mean of {221} shows what crosses it, the separated curve little."""
    quaternions = random_quaternions(40, np.random.default_rng(5))
    normals, family = plane_normals()
    rays = rays_of(quaternions)
    columns, rows = np.meshgrid(np.arange(SHAPE[1]), np.arange(SHAPE[0]))
    directions = (
        rays[:, 0, None, None]
        + columns[..., None] * rays[:, 1, None, None]
        + rows[..., None] * rays[:, 2, None, None]
    )
    directions /= np.linalg.norm(directions, axis=-1, keepdims=True)
    images = (np.abs(directions @ normals[family == 0].T) < 0.05).sum(axis=-1)
    profiles = pooled_profiles(band_profiles(images, rays))
    bright, dark = FAMILIES.index((1, 0, 0)), FAMILIES.index((2, 2, 1))
    mean, separated = CHANNELS.index("intensity"), CHANNELS.index("separated")
    assert np.ptp(profiles[separated, bright]) > 0.8
    assert np.ptp(profiles[separated, dark]) < 0.5 * np.ptp(profiles[mean, dark])


def test_equivalent_orientations_have_the_same_profiles(nickel):
    start = random_quaternions(1, np.random.default_rng(2))
    equivalent = Oh[Oh.improper == 0].outer(Rotation(start)).data.reshape(-1, 4)
    (image,) = patterns_of(nickel, start)
    images = np.repeat((image - image.mean())[None] / image.std(), len(equivalent), axis=0)
    profiles = band_profiles(images, rays_of(equivalent))
    np.testing.assert_allclose(profiles, np.repeat(profiles[:1], len(profiles), axis=0), atol=2e-2)


@pytest.mark.parametrize(("indices", "reflection"), [((1, 1, 1), 1), ((1, 0, 0), 2), ((1, 1, 0), 2)])
def test_nickel_bands_end_at_the_bragg_angle_of_their_first_allowed_reflection(nickel, indices, reflection):
    """{100} and {110} show 200 and 220: in a face-centred lattice 100 and 110 are forbidden."""
    quaternions = random_quaternions(60, np.random.default_rng(3))
    images = patterns_of(nickel, quaternions)
    images = (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True)
    pooled = pooled_profiles(band_profiles(images, rays_of(quaternions)))[0, FAMILIES.index(indices)]
    # Relativistic wavelength at 20 kV 8.5885 pm, a = 0.3524 nm.
    bragg = 0.0085885 * reflection * np.linalg.norm(indices) / (2.0 * 0.3524)
    sines = (np.arange(BINS) + 0.5) * REACH / BINS
    near = sines < 1.6 * bragg
    edge = sines[near][np.argmin(np.gradient(pooled[near]))]
    assert abs(edge - bragg) < 1.2 * REACH / BINS


def test_pooling_weighs_with_the_coverage():
    profiles = np.zeros((2, 4, 1, 2), dtype=np.float32)
    profiles[0, 0], profiles[1, 0] = 1.0, 4.0
    profiles[0, 2], profiles[1, 2] = [2.0, 0.0], [1.0, 0.0]
    pooled = pooled_profiles(profiles)
    np.testing.assert_allclose(pooled[0], [[2.0, 0.0]])
    np.testing.assert_allclose(pooled[2], [[1.5, 0.0]])


@pytest.mark.parametrize(
    ("images", "rays", "mask"),
    [
        (np.zeros((2, 60, 60)), np.zeros((1, 3, 3)), None),
        (np.zeros((60, 60)), np.zeros((1, 3, 3)), None),
        (np.zeros((1, 60, 60)), np.zeros((1, 3, 3)), np.ones((50, 60), dtype=bool)),
    ],
)
def test_shapes_that_disagree_are_named(images, rays, mask):
    with pytest.raises(InputError, match="band profiles"):
        band_profiles(images, rays, mask)
