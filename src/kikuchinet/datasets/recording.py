"""Patterns as a camera records them: one block, one master pattern, one camera, many orientations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.datasets.geometry import GeometryRange, random_quaternions
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.microscope import CameraRange, project_batch


@dataclass(frozen=True, eq=False)
class Recording:
    """Patterns with everything that is known about them.

    Parameters
    ----------
    images
        float32 (n, rows, columns).
    masters
        (n,) indices into the `MasterSet`.
    quaternions
        (n, 4) orientations, sample to crystal, scalar first.
    pattern_centers
        (n, 3), Bruker's convention.
    quality
        (n,) 0 for the camera's full range, 1 for its best.
    """

    images: NDArray[np.float32]
    masters: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    pattern_centers: NDArray[np.float64]
    quality: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.masters)


def record(
    masters: MasterSet,
    master: int,
    n: int,
    shape: tuple[int, int],
    *,
    geometry: GeometryRange,
    cameras: CameraRange,
    quality: float,
    rng: np.random.Generator,
) -> Recording:
    """Record n patterns of one master pattern with one camera drawn from a range.

    Parameters
    ----------
    masters, master
        The master patterns, and which of them.
    n
        How many patterns.
    shape
        Rows and columns of the screen.
    geometry
        Ranges of the pattern centre (drawn per pattern) and of the tilts (drawn once).
    cameras
        Ranges of the camera, drawn once.
    quality
        0 for the camera's full range, 1 for its best.
    rng
        Source of randomness: the same state gives the same patterns.

    Returns
    -------
    Recording
        Patterns in random orientations, uniform on SO(3).
    """
    quaternions = random_quaternions(n, rng)
    centers = geometry.pattern_centers(n, rng)
    sample_tilt, tilt, azimuthal = geometry.tilts_deg(rng)
    camera = cameras.sample(rng, rows=shape[0], quality=quality)
    upper, lower, texels = masters.hemispheres(master)
    clean = project_batch(
        upper,
        lower,
        quaternions,
        centers,
        shape,
        sample_tilt_deg=sample_tilt,
        tilt_deg=tilt,
        azimuthal_deg=azimuthal,
        texels=texels,
    )
    return Recording(
        images=camera.expose(clean, rng).astype(np.float32, copy=False),
        masters=np.full(n, master, dtype=np.int64),
        quaternions=quaternions,
        pattern_centers=centers,
        quality=np.full(n, quality),
    )
