"""Patterns as a camera records them: one block, one master pattern, one camera, many orientations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.datasets.geometry import GeometryRange, random_quaternions
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.orientations import FibreTexture
from kikuchinet.microscope import Camera, CameraRange, project_batch
from kikuchinet.microscope.specimen import overlap


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
    overlaps
        (n,) part of a second grain in each pattern, 0 for none.
    """

    images: NDArray[np.float32]
    masters: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    pattern_centers: NDArray[np.float64]
    quality: NDArray[np.float64]
    overlaps: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.masters)


@dataclass(frozen=True, eq=False)
class Scene:
    """What is drawn before a block of patterns is recorded: the crystal's, the screen's and the camera's part of it.

    Parameters
    ----------
    master
        Index into the `MasterSet`.
    quaternions, pattern_centers, quality
        As in `Recording`; the quality is one number.
    sample_tilt_deg, detector_tilt_deg, azimuthal_deg
        Tilts as in `kikuchinet.microscope.Detector`.
    camera
        The camera.
    second_master
        Index of the master pattern of the grains beyond a boundary, of the same phase or another.
    second_quaternions
        (n, 4) their orientations.
    overlaps
        (n,) their part in each pattern; 0 where the beam is in one grain alone.
    """

    master: int
    quaternions: NDArray[np.float64]
    pattern_centers: NDArray[np.float64]
    sample_tilt_deg: float
    detector_tilt_deg: float
    azimuthal_deg: float
    camera: Camera
    quality: float
    second_master: int
    second_quaternions: NDArray[np.float64]
    overlaps: NDArray[np.float64]

    def recording(self, images: NDArray[np.float32]) -> Recording:
        """Return the patterns with everything that is known about them."""
        n = len(images)
        return Recording(
            images=images,
            masters=np.full(n, self.master, dtype=np.int64),
            quaternions=self.quaternions,
            pattern_centers=self.pattern_centers,
            quality=np.full(n, self.quality),
            overlaps=self.overlaps,
        )


def draw(
    master: int,
    n: int,
    shape: tuple[int, int],
    *,
    geometry: GeometryRange,
    cameras: CameraRange,
    quality: float,
    rng: np.random.Generator,
    neighbours: int = 0,
    texture: FibreTexture | None = None,
    camera_rng: np.random.Generator | None = None,
) -> Scene:
    """Draw orientations, a screen and a camera; the parameters are those of `record`.

    Half of the blocks with grain boundaries have the same phase on both sides, the other half one of the `neighbours` first
    master patterns; 0 for none.
    """
    quaternions = random_quaternions(n, rng) if texture is None else texture.sample(n, rng)
    centers = geometry.pattern_centers(n, rng)
    sample_tilt, tilt, azimuthal = geometry.tilts_deg(rng)
    camera = cameras.sample(rng if camera_rng is None else camera_rng, rows=shape[0], quality=quality)
    # Drawn last and by a generator of its own, so that the noise of a seed stays what it was without boundaries.
    own = rng.spawn(1)[0]
    overlapped = own.random(n) < cameras.overlapped * (1.0 - quality)
    shares = own.uniform(*cameras.overlap_share, n)
    other_phase = neighbours > 0 and own.random() < 0.5
    second = int(own.integers(neighbours)) if other_phase else master
    return Scene(
        master,
        quaternions,
        centers,
        sample_tilt,
        tilt,
        azimuthal,
        camera,
        quality,
        second_master=second,
        second_quaternions=random_quaternions(n, own),
        overlaps=np.where(overlapped, shares, 0.0),
    )


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
    texture: FibreTexture | None = None,
    camera_rng: np.random.Generator | None = None,
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
    texture
        Where orientations are drawn from; uniform on SO(3) if not given.
    camera_rng
        What the camera is drawn with in place of `rng`.

    Returns
    -------
    Recording
        The patterns.
    """
    scene = draw(
        master,
        n,
        shape,
        geometry=geometry,
        cameras=cameras,
        quality=quality,
        rng=rng,
        neighbours=len(masters),
        texture=texture,
        camera_rng=camera_rng,
    )
    return record_scene(masters, scene, shape, rng)


def record_scene(
    masters: MasterSet, scene: Scene, shape: tuple[int, int], rng: np.random.Generator
) -> Recording:
    """Record the patterns of a scene with the compiled code; `rng` makes their noise."""
    clean = _projected(masters, scene, shape, scene.master, scene.quaternions, slice(None))
    (boundary,) = np.nonzero(scene.overlaps)
    if boundary.size:
        second = _projected(masters, scene, shape, scene.second_master, scene.second_quaternions, boundary)
        clean[boundary] = overlap(clean[boundary], second, scene.overlaps[boundary])
    return scene.recording(scene.camera.expose(clean, rng).astype(np.float32, copy=False))


def _projected(
    masters: MasterSet,
    scene: Scene,
    shape: tuple[int, int],
    master: int,
    quaternions: NDArray[np.float64],
    which: NDArray[np.intp] | slice,
) -> NDArray[np.float32]:
    """Return the intensity that some of the patterns of a scene have of one master pattern."""
    upper, lower, texels = masters.hemispheres(master)
    return project_batch(
        upper,
        lower,
        quaternions[which],
        scene.pattern_centers[which],
        shape,
        sample_tilt_deg=scene.sample_tilt_deg,
        tilt_deg=scene.detector_tilt_deg,
        azimuthal_deg=scene.azimuthal_deg,
        texels=texels,
    )
