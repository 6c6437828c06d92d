"""Orientations of grains: uniform on SO(3), or textured as rolled and grown metals are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.errors import InputError

_FIBRES = ((0, 0, 1), (1, 0, 0), (0, 1, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))
"""Crystal directions [uvw] that a fibre is drawn from."""
_HALFWIDTHS_DEG = (20.0, 17.0, 14.0, 11.0, 8.0)
"""Spread of a fibre; the widest is taken that needs no more than `_LARGEST_SHARE` of the grains."""
_LARGEST_SHARE = 0.6


@dataclass(frozen=True, eq=False)
class FibreTexture:
    """A fibre along the sample's normal, in grains that are otherwise oriented at random.

    Parameters
    ----------
    uvw
        Crystal direction of the fibre.
    directions
        (m, 3) unit vectors of its equivalents under the Laue group, Cartesian, in the crystal.
    share
        Part of the grains that belong to the fibre.
    concentration
        κ of the von Mises-Fisher distribution of their normals about the fibre's direction.

    Notes
    -----
    The inverse pole figure of the normal has its maximum at the fibre, (1 - share) + share/m Σ f(angle) multiples of random,
    where f = 2κ exp(κ (cos - 1)) / (1 - exp(-2κ)) is the von Mises-Fisher density in multiples of the uniform one [1]_.
    `draw` chooses the share for a given maximum.

    References
    ----------
    .. [1] K. V. Mardia, P. E. Jupp, Directional Statistics (Wiley, 2000), section 9.3.2.
    """

    uvw: tuple[int, int, int]
    directions: NDArray[np.float64]
    share: float
    concentration: float

    @classmethod
    def draw(
        cls,
        crystal: Crystal,
        strength: float,
        rng: np.random.Generator,
        *,
        uvw: tuple[int, int, int] | None = None,
    ) -> FibreTexture:
        """Draw a texture for a crystal.

        Parameters
        ----------
        crystal
            The crystal.
        strength
            Maximum of the inverse pole figure of the sample's normal, multiples of random; 1 for none. The materials of
            Kaufmann et al. (2020), Figure A2, have 2 to 3.
        rng
            Source of randomness.
        uvw
            Direction of the fibre; a simple one is drawn if not given.

        Returns
        -------
        FibreTexture
            The texture.

        Raises
        ------
        kikuchinet.errors.InputError
            The strength is below 1, or higher than a fibre of this direction reaches.
        """
        if not 1.0 <= strength < np.inf:
            raise InputError("texture", f"{strength:g} multiples of random; a maximum is at least 1")
        if uvw is None:
            uvw = _FIBRES[int(rng.integers(len(_FIBRES)))]
        if not any(uvw):
            raise InputError("texture", "[000] is no direction")
        directions = _equivalents(crystal, uvw)
        cosines = directions @ directions[0]
        for halfwidth_deg in _HALFWIDTHS_DEG:
            kappa = np.log(2.0) / (1.0 - np.cos(np.deg2rad(halfwidth_deg)))
            peak = float(_density(cosines, kappa).mean())
            if strength - 1.0 <= _LARGEST_SHARE * (peak - 1.0):
                return cls(uvw, directions, (strength - 1.0) / (peak - 1.0), float(kappa))
        raise InputError(
            "texture",
            f"{strength:g} multiples of random; a fibre reaches {1 + _LARGEST_SHARE * (peak - 1):.3g} at most",
        )

    def sample(self, n: int, rng: np.random.Generator) -> NDArray[np.float64]:
        """Draw n orientations, sample to crystal.

        Returns
        -------
        numpy.ndarray
            (n, 4) unit quaternions, scalar first and not negative.
        """
        quaternions = random_quaternions(n, rng)
        (which,) = np.nonzero(rng.random(n) < self.share)
        if which.size:
            about = self.directions[rng.integers(len(self.directions), size=which.size)]
            normals = _von_mises_fisher(about, self.concentration, rng)
            turns = rng.uniform(0.0, 2.0 * np.pi, which.size)
            quaternions[which] = _with_normals(normals, turns)
        return quaternions


def _equivalents(crystal: Crystal, uvw: tuple[int, int, int]) -> NDArray[np.float64]:
    """Return the unit vectors (m, 3) that a direction has under the Laue group."""
    indices = np.unique(crystal.laue_operations @ np.asarray(uvw), axis=0)
    vectors = indices @ crystal.direct_matrix
    # The direction itself first: strengths are those at it.
    order = np.argsort((indices != np.asarray(uvw)).any(axis=1), kind="stable")
    unit: NDArray[np.float64] = (vectors / np.linalg.norm(vectors, axis=1, keepdims=True))[order]
    return unit


def _density(cosines: NDArray[np.float64], kappa: float) -> NDArray[np.float64]:
    """Return the von Mises-Fisher density in multiples of the uniform one."""
    return np.asarray(2.0 * kappa * np.exp(kappa * (cosines - 1.0)) / (1.0 - np.exp(-2.0 * kappa)))


def _von_mises_fisher(
    about: NDArray[np.float64], kappa: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Draw a unit vector about each of (n, 3) unit vectors; the cosine by inversion of its distribution (Ulrich 1984)."""
    n = len(about)
    cosine = np.clip(1.0 + np.log1p(rng.random(n) * np.expm1(-2.0 * kappa)) / kappa, -1.0, 1.0)
    sine = np.sqrt(1.0 - cosine**2)
    # Any vector that is not parallel will do to start a frame from.
    helper = np.where(np.abs(about[:, :1]) < 0.7, [[1.0, 0.0, 0.0]], [[0.0, 1.0, 0.0]])
    first = np.cross(about, helper)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(about, first)
    angle = rng.uniform(0.0, 2.0 * np.pi, n)
    around = np.cos(angle)[:, None] * first + np.sin(angle)[:, None] * second
    drawn: NDArray[np.float64] = cosine[:, None] * about + sine[:, None] * around
    return drawn


def _with_normals(normals: NDArray[np.float64], turns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the orientations (n, 4) that take the sample's z to crystal vectors, after a turn about z."""
    from scipy.spatial.transform import Rotation

    polar = np.arccos(np.clip(normals[:, 2], -1.0, 1.0))
    azimuth = np.arctan2(normals[:, 1], normals[:, 0])
    rotation = Rotation.from_euler("ZYZ", np.stack([azimuth, polar, turns], axis=1))
    # SciPy's scalar is last.
    quaternions = np.roll(rotation.as_quat(), 1, axis=1)
    upright: NDArray[np.float64] = np.where(quaternions[:, :1] < 0.0, -quaternions, quaternions)
    return upright
