"""An endless stream of labelled patterns, made while a network learns from them.

Pattern i depends on the seed and on i, never on who makes it. Patterns are made in blocks that share a master
pattern, tilts and a camera; a window is a number of blocks, shuffled together. A window is the smallest piece of
work: any process can make any window, and the consumer puts them in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.labels import among, check_labels
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.recording import Recording, Scene, draw, record_scene
from kikuchinet.errors import InputError
from kikuchinet.microscope import CameraRange, instrument
from kikuchinet.patterns import preprocess

Batch = tuple[Tensor, Tensor]
"""Prepared patterns (n, rows, columns) float32, and the indices of their classes (n,) int64."""

CAMERAS = {
    "good": CameraRange.good,
    "mixed": CameraRange.mixed,
    "poor": CameraRange.poor,
    "binned": CameraRange.binned,
    "fast_scan": CameraRange.fast_scan,
}
"""Presets of cameras by name."""


@dataclass(frozen=True)
class QualityRange:
    """How much better than its full range the camera is: `quality` of `kikuchinet.microscope.CameraRange.sample`.

    Every block draws its own number uniformly between `lowest` and `highest`; 0 is the camera's full range, 1 only
    its best. `lowest` falls linearly from `start` to its value over the first `images` patterns: networks do not
    learn from noise before they know what a pattern looks like.
    """

    lowest: float = 0.0
    highest: float = 0.0
    start: float = 0.0
    images: int = 0

    def __post_init__(self) -> None:
        if not 0.0 <= self.lowest <= self.highest <= 1.0 or not self.lowest <= self.start <= 1.0:
            raise InputError(
                "stream.quality", "0 <= lowest <= highest <= 1 and lowest <= start <= 1 must hold"
            )

    def at(self, image: int) -> tuple[float, float]:
        """Return both ends of the range for one pattern of the stream."""
        share = min(1.0, image / self.images) if self.images else 1.0
        lowest = self.start + (self.lowest - self.start) * share
        return lowest, max(lowest, self.highest)


@dataclass(frozen=True)
class StreamConfig:
    """A stream of labelled patterns.

    Parameters
    ----------
    seed
        Same seed, same stream.
    camera
        ``good``, ``mixed``, ``poor``, ``binned`` or ``fast_scan``: the presets of `CameraRange`.
    cameras
        Several of these names instead: every block draws one. A name that comes twice is drawn twice as often.
    others_share
        Share of a group's blocks that show one of its further crystals (`MastersConfig.others`), if it has any.
    block
        Patterns that share master pattern, tilts and camera.
    blocks_per_window
        Blocks that are shuffled together.
    quality
        How good the patterns are.
    geometry
        Where the screen stands.
    instrument
        Name of one of `kikuchinet.microscope.INSTRUMENTS` instead: the screen stands around its place,
        `GeometryRange.around`.
    device
        PyTorch's name of the device that makes the patterns, ``cuda`` say, in the process that asks for them. Empty:
        compiled code on processors, in any number of processes. The same seed draws the same crystals, orientations,
        screens and cameras on either, but other noise.
    """

    seed: int = 0
    camera: str = "mixed"
    cameras: tuple[str, ...] = ()
    others_share: float = 0.3
    block: int = 16
    blocks_per_window: int = 60
    quality: QualityRange = field(default_factory=QualityRange)
    geometry: GeometryRange = field(default_factory=GeometryRange)
    device: str = ""
    instrument: str = ""

    def __post_init__(self) -> None:
        if self.instrument and self.geometry != GeometryRange():
            raise InputError("stream.instrument", "give either an instrument or a geometry")
        if self.instrument:
            instrument(self.instrument)
        for name in (self.camera, *self.cameras):
            if name not in CAMERAS:
                raise InputError("stream.camera", f"{name!r} is none of {', '.join(CAMERAS)}")
        if not 0.0 <= self.others_share < 1.0:
            raise InputError("stream.others_share", f"{self.others_share:g} is not in 0 to 1")
        if self.block < 1 or self.blocks_per_window < 1:
            raise InputError("stream", "block and blocks_per_window must be positive")

    @property
    def window(self) -> int:
        """Patterns in a window."""
        return self.block * self.blocks_per_window

    def screens(self, size: tuple[int, int]) -> GeometryRange:
        """Return where screens of a size, rows and columns, stand."""
        return GeometryRange.around(instrument(self.instrument), size) if self.instrument else self.geometry

    def camera_ranges(self) -> tuple[CameraRange, ...]:
        """Return the presets that cameras are drawn from, equally often."""
        return tuple(CAMERAS[name]() for name in self.cameras or (self.camera,))


@dataclass(frozen=True, eq=False)
class LabelledPatterns:
    """Patterns ready for a network.

    Parameters
    ----------
    images
        float32 (n, rows, columns), prepared.
    labels
        (n,) indices into the classes.
    masters
        (n,) indices into the `MasterSet`.
    """

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    masters: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, indices: NDArray[np.int64] | slice) -> LabelledPatterns:
        """Return some of the patterns."""
        return LabelledPatterns(self.images[indices], self.labels[indices], self.masters[indices])


class PatternStream(IterableDataset[LabelledPatterns]):
    """Endless labelled patterns.

    Groups come equally often, materials equally often within their group, master patterns equally often within
    their material. The further crystals of a group (`MastersConfig.others`) share a part of their own, equally too.
    Iterating yields windows.

    Parameters
    ----------
    masters
        The master patterns.
    classes
        Space groups, in the order of the labels. Crystals of all groups that are not among them belong to
        `kikuchinet.crystal.OUTSIDE`, if that is.
    config
        The stream.
    size
        Rows and columns of the patterns.
    labels
        ``visible`` or ``literal`` space groups.
    first_window
        Where iterating starts.

    Raises
    ------
    kikuchinet.errors.InputError
        A material's group is not among the classes, or a class has no material.
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
        super().__init__()
        self.masters = masters
        self.classes = classes
        self.config = config
        self.size = size
        self.first_window = first_window
        visible = check_labels(labels) == "visible"
        self._tree: list[dict[str, list[int]]] = [{} for _ in classes]
        self._others: list[dict[str, list[int]]] = [{} for _ in classes]
        for i, entry in enumerate(masters):
            group = int(among(entry.visible_group if visible else entry.space_group, classes))
            if group not in classes:
                raise InputError(entry.material, f"its space group {group} is not among the classes")
            tree = self._others if entry.other else self._tree
            tree[classes.index(group)].setdefault(entry.material, []).append(i)
        for group, materials, others in zip(classes, self._tree, self._others, strict=True):
            if not materials and not others:
                raise InputError(f"space group {group}", "a class without any material")
        self._cameras = config.camera_ranges()
        self._screens = config.screens(size)

    def scene(
        self, window: int, number: int, label: int, geometry: GeometryRange | None = None
    ) -> tuple[Scene, np.random.Generator]:
        """Draw one block: what is photographed, where and with what, and the generator for its noise.

        Parameters
        ----------
        window, number
            Which block of which window.
        label
            Index of its class.
        geometry
            Where screens stand, if not where the stream has them.
        """
        config = self.config
        rng = np.random.default_rng([config.seed, window, number])
        # Nothing is drawn where there is no choice: streams without others or with one camera stay as they were.
        tree, others = self._tree[label], self._others[label]
        if not tree or (others and rng.random() < config.others_share):
            tree = others
        materials = list(tree.values())
        variants = materials[rng.integers(len(materials))]
        master = variants[rng.integers(len(variants))]
        cameras = self._cameras[rng.integers(len(self._cameras)) if len(self._cameras) > 1 else 0]
        drawn = draw(
            master,
            config.block,
            self.size,
            geometry=self._screens if geometry is None else geometry,
            cameras=cameras,
            quality=float(rng.uniform(*config.quality.at(window * config.window))),
            rng=rng,
            neighbours=len(self.masters),
        )
        return drawn, rng

    def block(self, window: int, number: int, label: int) -> Recording:
        """Record one block, not prepared; the parameters are those of `scene`."""
        scene, rng = self.scene(window, number, label)
        return record_scene(self.masters, scene, self.size, rng)

    def order(self, window: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the class of each block of a window, (blocks,), and where its patterns go, (blocks, block)."""
        config = self.config
        rng = np.random.default_rng([config.seed, window])
        rounds = math.ceil(config.blocks_per_window / len(self.classes))
        # Whole rounds of all classes; what is left over of the last round falls on other classes every window.
        order = np.concatenate([rng.permutation(len(self.classes)) for _ in range(rounds)])
        place = rng.permutation(config.window).reshape(config.blocks_per_window, config.block)
        return order[: config.blocks_per_window], place

    def window(self, window: int) -> LabelledPatterns:
        """Make one window: prepared patterns, shuffled."""
        config = self.config
        images = np.empty((config.window, *self.size), dtype=np.float32)
        labels = np.empty(config.window, dtype=np.int64)
        masters = np.empty(config.window, dtype=np.int64)
        for number, (label, where) in enumerate(zip(*self.order(window), strict=True)):
            block = self.block(window, number, int(label))
            images[where] = preprocess(block.images, size=self.size)
            labels[where] = label
            masters[where] = block.masters
        return LabelledPatterns(images, labels, masters)

    def batches(self, batch_size: int, *, start: int = 0, workers: int = 0) -> Iterator[Batch]:
        """Yield patterns and labels without end, in the stream's order.

        Parameters
        ----------
        batch_size
            Patterns in a batch.
        start
            Pattern of the stream to begin with.
        workers
            Processes that make windows ahead.

        Yields
        ------
        tuple of torch.Tensor
            float32 (batch_size, rows, columns) and int64 (batch_size,).
        """
        first, offset = divmod(start, self.config.window)
        self.first_window = first
        made = windows(self, workers=workers)
        parts = ((torch.from_numpy(w.images), torch.from_numpy(w.labels)) for w in made)
        return rebatched(parts, batch_size, offset)

    def __iter__(self) -> Iterator[LabelledPatterns]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        window = self.first_window + first
        while True:
            yield self.window(window)
            window += step


def rebatched(parts: Iterator[Batch], batch_size: int, offset: int = 0) -> Iterator[Batch]:
    """Cut an endless row of parts into batches of one size, from a pattern of the first part on."""
    images, labels = (tensor[offset:] for tensor in next(parts))
    while True:
        while len(labels) < batch_size:
            more_images, more_labels = next(parts)
            images, labels = torch.cat([images, more_images]), torch.cat([labels, more_labels])
        yield images[:batch_size], labels[:batch_size]
        images, labels = images[batch_size:], labels[batch_size:]


def pattern_stream(
    masters: MasterSet,
    classes: tuple[int, ...],
    config: StreamConfig,
    *,
    size: tuple[int, int] = (128, 128),
    labels: str = "visible",
) -> PatternStream:
    """Return the stream that a configuration asks for: compiled code, or its device.

    The parameters are those of `PatternStream`.

    Raises
    ------
    kikuchinet.errors.InputError
        As `PatternStream`, or there is no such device.
    """
    if not config.device:
        return PatternStream(masters, classes, config, size=size, labels=labels)
    from kikuchinet.datasets.torch_stream import TorchPatternStream

    return TorchPatternStream(masters, classes, config, size=size, labels=labels)


def windows(stream: PatternStream, *, workers: int = 0) -> Iterator[LabelledPatterns]:
    """Iterate over a stream's windows in order, whoever makes them.

    Parameters
    ----------
    stream
        The stream.
    workers
        Processes that make windows ahead; 0 makes them when they are asked for.
    """
    loader: DataLoader[LabelledPatterns] = DataLoader(
        stream,
        batch_size=None,
        num_workers=workers,
        collate_fn=_as_it_is,
        # Forked processes inherit OpenMP's threads in a state that they hang in; fresh ones do not.
        multiprocessing_context="spawn" if workers else None,
        prefetch_factor=1 if workers else None,
    )
    return iter(loader)


def _as_it_is(window: Any) -> Any:
    return window
