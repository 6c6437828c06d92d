"""Band profiles of simulated patterns, with their labels: what a network of band profiles learns from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.crystal import OUTSIDE
from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.recording import Scene, record_scene
from kikuchinet.datasets.stream import PatternStream, StreamConfig
from kikuchinet.diffraction import MasterPattern
from kikuchinet.diffraction.electrons import wavelength_nm
from kikuchinet.errors import InputError
from kikuchinet.indexing.bands import band_profiles
from kikuchinet.indexing.refinement import turned
from kikuchinet.indexing.unnamed import CubicFinder, templates_of
from kikuchinet.microscope import Detector
from kikuchinet.microscope.detector import detector_to_sample
from kikuchinet.microscope.projection import pattern_rays
from kikuchinet.patterns import preprocess

_CUBIC = range(221, 231)
"""Groups of m-3m."""


@dataclass(frozen=True)
class ProfilesConfig:
    """How band profiles are made.

    Parameters
    ----------
    searched, known
        Parts of the set. In `searched` ones the orientation is found as it is in measured patterns (`CubicFinder`),
        in `known` ones it is the true one with an error, which takes a fraction of the time and cannot be done for
        crystals that are not cubic.
    patterns
        Patterns of a part. All of a searched part share the screen.
    outside_share
        Share of crystals outside the network's groups in the searched parts.
    orientation_error_deg, center_error
        Standard deviations of the errors of known orientations, about each axis, and of their pattern centres.
    center_guess_error
        Standard deviation of the error of the pattern centre with which a search starts.
    templates
        Average master patterns that stand for all cubic crystals in the search.
    """

    searched: int = 60
    known: int = 120
    patterns: int = 640
    outside_share: float = 0.35
    orientation_error_deg: float = 0.25
    center_error: float = 0.003
    center_guess_error: float = 0.006
    templates: int = 24

    def __post_init__(self) -> None:
        if min(self.searched, self.known) < 0 or self.searched + self.known < 1:
            raise InputError("profiles", "there must be a part")
        if self.patterns < 1 or self.templates < 1 or not 0.0 <= self.outside_share < 1.0:
            raise InputError(
                "profiles", "patterns and templates must be positive, outside_share within 0 to 1"
            )
        if min(self.orientation_error_deg, self.center_error, self.center_guess_error) < 0.0:
            raise InputError("profiles", "an error cannot be negative")


@dataclass(frozen=True, eq=False)
class Profiles:
    """Band profiles and what they are of.

    Parameters
    ----------
    values
        float16 (n, 4, families, bins), of `kikuchinet.indexing.bands`.
    labels
        (n,) indices into the classes.
    masters
        (n,) indices into the `MasterSet`.
    blocks
        (n,) patterns of one number share crystal, screen and camera.
    scales
        (n,) wavelength over lattice parameter a: twice the sine of the Bragg angle of 100. NaN where the crystal is
        not known.
    misorientations_deg
        (n,) angle between the orientation used and the true one, under the rotations of m-3m; NaN outside m-3m.
    """

    values: NDArray[np.float16]
    labels: NDArray[np.int64]
    masters: NDArray[np.int64]
    blocks: NDArray[np.int64]
    scales: NDArray[np.float64]
    misorientations_deg: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.labels)

    @classmethod
    def concatenate(cls, parts: Sequence[Profiles]) -> Profiles:
        """Join parts; their blocks stay apart."""
        first, blocks = 0, []
        for part in parts:
            blocks.append(part.blocks + first)
            first += int(part.blocks.max()) + 1
        return cls(
            np.concatenate([part.values for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.masters for part in parts]),
            np.concatenate(blocks),
            np.concatenate([part.scales for part in parts]),
            np.concatenate([part.misorientations_deg for part in parts]),
        )

    def chosen(self, which: NDArray[np.bool_]) -> Profiles:
        """Return those for which (n,) is true."""
        return Profiles(*(values[which] for values in vars(self).values()))

    def save(self, path: str | Path) -> None:
        """Write an ``.npz`` file, whole or not at all."""
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, **vars(self))

    @classmethod
    def load(cls, path: str | Path) -> Profiles:
        """Read what `save` wrote.

        Raises
        ------
        kikuchinet.errors.InputError
            The file is damaged.
        """
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(**{name: arrays[name] for name in arrays.files})
        except Exception as error:  # a damaged archive raises anything
            raise InputError(path, f"holds no band profiles ({error})") from error


def finder_of(masters: MasterSet, count: int) -> CubicFinder:
    """Return what finds the orientation of any cubic crystal, from the m-3m crystals of a set."""
    cubic = [index for index, entry in enumerate(masters) if entry.space_group in _CUBIC]
    if not cubic:
        raise InputError("masters", "none of them is of a crystal of point group m-3m")
    return CubicFinder(templates_of(np.stack([masters.scaled(index)[0] for index in cubic]), count))


class ProfileMaker:
    """Makes the parts of a set of band profiles. Part i depends on the seed and on i alone.

    Parameters
    ----------
    masters, classes, stream, size, labels
        As for `kikuchinet.datasets.PatternStream`, which draws crystals, orientations, cameras and noise.
    config
        How many, and how orientations are come by.
    finder
        Finds orientations in the searched parts.
    """

    def __init__(
        self,
        masters: MasterSet,
        classes: tuple[int, ...],
        stream: StreamConfig,
        config: ProfilesConfig,
        finder: CubicFinder,
        *,
        size: tuple[int, int],
        labels: str = "visible",
    ) -> None:
        self.config, self.finder, self.size = config, finder, size
        self.classes = classes
        self._stream = PatternStream(masters, classes, stream, size=size, labels=labels)
        self._masters = masters
        self._scales: dict[int, float] = {}
        self._geometry = self._stream.config.screens(size)

    def __len__(self) -> int:
        return self.config.searched + self.config.known

    def part(self, number: int) -> Profiles:
        """Make one part; the searched ones come first."""
        seed = self._stream.config.seed
        rng = np.random.default_rng([seed, number, 1])
        searched = number < self.config.searched
        screen = self._screen(rng) if searched else None
        geometry = None if screen is None else _fixed(screen)
        images, rays, labels, which, truths = [], [], [], [], []
        block = self._stream.config.block
        # Windows far behind those that networks of whole patterns learn from: full range of qualities.
        window = 10_000_000 + number
        for count in range(-(-self.config.patterns // block)):
            label = self._label(rng, searched)
            scene, noise = self._stream.scene(window, count, label, geometry)
            recording = record_scene(self._masters, scene, self.size, noise)
            prepared = preprocess(recording.images, size=self.size)
            images.append(prepared)
            labels += [label] * len(prepared)
            which += [scene.master] * len(prepared)
            truths.append(scene.quaternions)
            if not searched:
                rays.append(self._known_rays(scene, rng))
        stack, truth = np.concatenate(images), np.concatenate(truths)
        numbers = np.asarray(labels, dtype=np.int64)
        if screen is not None:
            guess = np.array(screen.pattern_center) + rng.normal(0.0, self.config.center_guess_error, 3)
            # As few share their centre as in a small set of measured patterns.
            found = self.finder.find(
                stack,
                replace(screen, pattern_center=tuple(guess.tolist())),
                groups=np.arange(len(stack)) // block,
            )
            directions = found.rays(screen)
            angles = _misorientations_deg(found.quaternions, truth)
        else:
            directions = np.concatenate(rays)
            angles = np.zeros(len(stack))
        outside = np.array([self.classes[label] == OUTSIDE for label in labels])
        return Profiles(
            values=band_profiles(stack, directions).astype(np.float16),
            labels=numbers,
            masters=np.asarray(which, dtype=np.int64),
            blocks=np.arange(len(stack)) // block,
            scales=np.array([self._scale(index) for index in which]),
            misorientations_deg=np.where(outside, np.nan, angles),
        )

    def _scale(self, index: int) -> float:
        """Return wavelength over lattice parameter of a master pattern."""
        if index not in self._scales:
            master = MasterPattern.load(self._masters[index].path)
            known = master.crystal is not None
            self._scales[index] = (
                wavelength_nm(master.energy_kev) / master.crystal.a_nm if known and master.crystal else np.nan
            )
        return self._scales[index]

    def _label(self, rng: np.random.Generator, searched: bool) -> int:
        inside = [i for i, group in enumerate(self.classes) if group != OUTSIDE]
        if searched and len(inside) < len(self.classes) and rng.random() < self.config.outside_share:
            return self.classes.index(OUTSIDE)
        return int(rng.choice(inside))

    def _screen(self, rng: np.random.Generator) -> Detector:
        (center,) = self._geometry.pattern_centers(1, rng)
        sample_tilt, tilt, azimuthal = self._geometry.tilts_deg(rng)
        return Detector(
            self.size,
            tuple(center.tolist()),
            tilt_deg=tilt,
            azimuthal_deg=azimuthal,
            sample_tilt_deg=sample_tilt,
        )

    def _known_rays(self, scene: Scene, rng: np.random.Generator) -> NDArray[np.float32]:
        quaternions = scene.quaternions
        error = np.deg2rad(self.config.orientation_error_deg)
        vectors = rng.normal(0.0, error, (len(quaternions), 3))
        used = np.concatenate(
            [turned(q, vector[None]) for q, vector in zip(quaternions, vectors, strict=True)]
        )
        centers = scene.pattern_centers + rng.normal(0.0, self.config.center_error, (len(quaternions), 3))
        return pattern_rays(
            used,
            centers,
            self.size,
            detector_to_sample(scene.sample_tilt_deg, scene.detector_tilt_deg, scene.azimuthal_deg),
        )


def _fixed(screen: Detector) -> GeometryRange:
    x, y, z = screen.pattern_center
    return GeometryRange(
        pc_x=(x, x),
        pc_y=(y, y),
        pc_z=(z, z),
        sample_tilt_deg=(screen.sample_tilt_deg,) * 2,
        detector_tilt_deg=(screen.tilt_deg,) * 2,
        azimuthal_deg=(screen.azimuthal_deg,) * 2,
    )


def _misorientations_deg(found: NDArray[np.float64], truth: NDArray[np.float64]) -> NDArray[np.float64]:
    from orix.quaternion import Orientation
    from orix.quaternion.symmetry import Oh

    return np.asarray(
        Orientation(found, symmetry=Oh).angle_with(Orientation(truth, symmetry=Oh), degrees=True)
    )
