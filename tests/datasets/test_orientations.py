"""Orientations against orix: uniform on SO(3), and textured as strongly as was asked for."""

from __future__ import annotations

import numpy as np
import pytest
from orix.measure import pole_density_function
from orix.quaternion import Rotation
from orix.quaternion.symmetry import get_point_group
from orix.vector import Vector3d
from scipy.stats import kstest

from kikuchinet.crystal import crystals
from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.datasets.orientations import FibreTexture
from kikuchinet.errors import InputError


def normals(quaternions: np.ndarray) -> np.ndarray:
    """Return where the sample's normal lies in the crystal."""
    return (Rotation(quaternions) * Vector3d.zvector()).data


def test_uniform_orientations_turn_by_angles_as_haar_measure_has_them() -> None:
    # The angle of rotation has the distribution (ω - sin ω)/π.
    angles = Rotation(random_quaternions(20_000, np.random.default_rng(1))).angle
    assert kstest(angles, lambda w: (w - np.sin(w)) / np.pi).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "uvw", "strength"),
    [
        ("Ni", (0, 0, 1), 2.0),
        ("Ni", (1, 1, 1), 3.0),
        ("Ti", (1, 0, 1), 2.5),
        ("quartz", (1, 0, 1), 2.5),
    ],
)
def test_the_inverse_pole_figure_is_as_strong_as_asked_for(
    name: str, uvw: tuple[int, int, int], strength: float
) -> None:
    crystal = crystals[name]
    rng = np.random.default_rng(7)
    texture = FibreTexture.draw(crystal, strength, rng, uvw=uvw)
    quaternions = texture.sample(30_000, rng)
    # All equivalents, on the whole hemisphere: folded into its sector, orix's density falls off at the sector's corners
    # (and at the pole of its grid, where no fibre is put here).
    everywhere = get_point_group(crystal.space_group).laue.outer(Vector3d(normals(quaternions)))
    density, _ = pole_density_function(everywhere.flatten(), resolution=2, sigma=3)
    # orix smooths by 3 degrees, which lowers the peak a little.
    assert density.max() == pytest.approx(strength, rel=0.1)
    assert density.min() > 0.2
    # About the normal there is no preference.
    turned = np.angle(np.exp(1j * Rotation(quaternions).to_euler()[:, 0]))
    assert kstest((turned + np.pi) / (2 * np.pi), "uniform").pvalue > 1e-4


def test_every_simple_fibre_reaches_three_multiples_of_random_in_cubic_crystals() -> None:
    for seed in range(30):
        texture = FibreTexture.draw(crystals["Al"], 3.0, np.random.default_rng(seed))
        assert 0.0 < texture.share < 1.0
    assert FibreTexture.draw(crystals["Al"], 1.0, np.random.default_rng(0)).share == 0.0


def test_the_normals_lie_about_the_fibre() -> None:
    rng = np.random.default_rng(3)
    texture = FibreTexture.draw(crystals["Zr"], 2.5, rng, uvw=(1, 0, 0))
    # All grains about one of the equivalent directions.
    fibre = FibreTexture(texture.uvw, texture.directions[:1], 1.0, texture.concentration)
    cosines = normals(fibre.sample(4000, rng)) @ texture.directions[0]
    kappa = texture.concentration
    # Mean cosine of the distribution: coth κ - 1/κ.
    assert cosines.mean() == pytest.approx(1 / np.tanh(kappa) - 1 / kappa, abs=4e-3)
    assert len(texture.directions) == 6


def test_the_same_seed_gives_the_same_orientations() -> None:
    drawn = []
    for _ in range(2):
        rng = np.random.default_rng(5)
        drawn.append(FibreTexture.draw(crystals["Fe"], 2.0, rng).sample(50, rng))
    np.testing.assert_array_equal(*drawn)
    assert np.allclose(np.linalg.norm(drawn[0], axis=1), 1.0)


def test_impossible_strengths_are_refused() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="at least 1"):
        FibreTexture.draw(crystals["Ni"], 0.5, rng)
    with pytest.raises(InputError, match="at most"):
        FibreTexture.draw(crystals["Ni"], 1000.0, rng)
