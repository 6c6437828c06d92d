"""The stream of labelled patterns made on a torch device, where the network that learns from it is.

A window is a batch, or a few if patterns are large: its blocks go through every step together, each with its own master
pattern, screen and camera. PyTorch's operations are queued, so the device works on while this process draws the next
window; it waits for the device where the search for surrounds asks whether it is over, a few times a window.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kikuchinet._torch import torch_device
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.recording import Recording, Scene
from kikuchinet.datasets.stream import Batch, LabelledPatterns, PatternStream, StreamConfig, rebatched
from kikuchinet.errors import InputError
from kikuchinet.microscope.detector import detector_to_sample
from kikuchinet.microscope.projection import pattern_rays
from kikuchinet.microscope.torch_camera import expose_torch
from kikuchinet.microscope.torch_projection import MasterStack, project_rays
from kikuchinet.microscope.torch_stages import standardise
from kikuchinet.patterns.torch_preprocessing import preprocess_torch

_PIXELS = 2**25
"""Pixels that go through a step together: 2048 patterns of 128 x 128, with 1 to 2 GB of memory at work. More would not
be faster. A constant, because the last bit of a matrix product depends on the size of its batch."""


class TorchPatternStream(PatternStream):
    """Endless labelled patterns, made on the device of the configuration.

    It draws the crystals, orientations, screens and cameras of a `PatternStream` with the same seed, and its own noise. The
    same seed gives the same patterns on the same kind of device.

    Parameters
    ----------
    masters, classes, config, size, labels, first_window
        As in `PatternStream`. All master patterns must be of one size; they are kept on the device.

    Raises
    ------
    kikuchinet.errors.InputError
        As `PatternStream`; or there is no such device, or the master patterns differ in size.
    """

    def __init__(
        self,
        masters: MasterSet,
        classes: tuple[int, ...],
        config: StreamConfig,
        *,
        size: tuple[int, int] = (128, 128),
        labels: str = "visible",
        first_window: int = 0,
    ) -> None:
        super().__init__(masters, classes, config, size=size, labels=labels, first_window=first_window)
        self.device = torch_device(config.device)
        self._stack = MasterStack.of(_Loaded(masters), self.device)

    def block(self, window: int, number: int, label: int) -> Recording:
        """Record one block, not prepared; see `PatternStream.block`."""
        scene, rng = self.scene(window, number, label)
        return scene.recording(self._photographs([scene], [rng])[0].cpu().numpy())

    def window(self, window: int) -> LabelledPatterns:
        """Make one window and fetch it from the device."""
        images, labels, masters = self._window(window)
        return LabelledPatterns(images.cpu().numpy(), labels, masters)

    def batches(self, batch_size: int, *, start: int = 0, workers: int = 0) -> Iterator[Batch]:
        """Yield patterns and labels on the device; see `PatternStream.batches`.

        Raises
        ------
        kikuchinet.errors.InputError
            If there shall be workers: the device belongs to this process.
        """
        if workers:
            raise InputError(
                "workers", "a stream on a device is made in the process that asks for it; give 0"
            )
        first, offset = divmod(start, self.config.window)
        return rebatched(self._parts(first), batch_size, offset)

    def _parts(self, window: int) -> Iterator[Batch]:
        while True:
            images, labels, _ = self._window(window)
            yield images, torch.from_numpy(labels).to(self.device)
            window += 1

    def _window(self, window: int) -> tuple[Tensor, NDArray[np.int64], NDArray[np.int64]]:
        """Return prepared patterns on the device, labels and masters of a window, shuffled."""
        order, place = self.order(window)
        drawn = [self.scene(window, number, int(label)) for number, label in enumerate(order)]
        scenes, rngs = [scene for scene, _ in drawn], [rng for _, rng in drawn]
        step = max(1, _PIXELS // (self.config.block * self.size[0] * self.size[1]))
        parts = [slice(start, start + step) for start in range(0, len(scenes), step)]
        prepared = torch.cat(
            [
                preprocess_torch(self._photographs(scenes[part], rngs[part]).flatten(0, 1), size=self.size)
                for part in parts
            ]
        )
        # place says where each pattern goes; its inverse, where each comes from.
        source = np.argsort(place.ravel())
        images = prepared[torch.from_numpy(source).to(self.device)]
        masters = np.array([scene.master for scene in scenes], dtype=np.int64)
        block = self.config.block
        return images, np.repeat(order, block)[source], np.repeat(masters, block)[source]

    def _photographs(self, scenes: Sequence[Scene], rngs: Sequence[np.random.Generator]) -> Tensor:
        """Return (scenes, block, rows, columns) grey levels."""
        block = self.config.block
        tilts = [
            detector_to_sample(scene.sample_tilt_deg, scene.detector_tilt_deg, scene.azimuthal_deg)
            for scene in scenes
        ]
        to_sample = np.repeat(np.stack(tilts), block, axis=0)
        centers = np.concatenate([scene.pattern_centers for scene in scenes])

        def projected(
            quaternions: NDArray[np.float64], masters: Sequence[int], at: NDArray[np.intp] | slice
        ) -> Tensor:
            rays = pattern_rays(quaternions[at], centers[at], self.size, to_sample[at])
            return project_rays(self._stack, rays, self.size, which=np.repeat(masters, block)[at])

        quaternions = np.concatenate([scene.quaternions for scene in scenes])
        clean = projected(quaternions, [scene.master for scene in scenes], slice(None))
        shares = np.concatenate([scene.overlaps for scene in scenes])
        (boundary,) = np.nonzero(shares)
        if boundary.size:
            seconds = np.concatenate([scene.second_quaternions for scene in scenes])
            second = projected(seconds, [scene.second_master for scene in scenes], boundary)
            at = torch.from_numpy(boundary).to(self.device)
            share = torch.from_numpy(shares[boundary].astype(np.float32)).to(self.device)[:, None, None]
            clean[at] = torch.lerp(standardise(clean[at]), standardise(second), share)
        return expose_torch([scene.camera for scene in scenes], clean.unflatten(0, (-1, block)), rngs)


class _Loaded(Sequence[SimpleNamespace]):
    """Master patterns read when they are asked for and not kept: the device keeps them."""

    def __init__(self, masters: MasterSet) -> None:
        self._masters = masters

    def __len__(self) -> int:
        return len(self._masters)

    def __getitem__(self, index: int) -> SimpleNamespace:  # type: ignore[override]
        if index >= len(self):
            raise IndexError(index)
        upper, lower = self._masters.scaled(index)
        return SimpleNamespace(upper=upper, lower=lower)
