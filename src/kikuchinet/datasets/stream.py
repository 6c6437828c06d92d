"""An endless stream of labelled patterns, made while a network learns from them.

Pattern i depends on the seed and on i, never on who makes it. Patterns are made in blocks that share a master
pattern, tilts and a camera; a window is a number of blocks, shuffled together. A window is the smallest piece of
work: any process can make any window, and the consumer puts them in order.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from kikuchinet.datasets.geometry import GeometryRange
from kikuchinet.datasets.labels import check_labels
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.datasets.recording import Recording, record
from kikuchinet.errors import InputError
from kikuchinet.microscope import CameraRange
from kikuchinet.patterns import preprocess

CAMERAS = {
    "good": CameraRange.good,
    "mixed": CameraRange.mixed,
    "poor": CameraRange.poor,
    "binned": CameraRange.binned,
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
        ``good``, ``mixed``, ``poor`` or ``binned``: which of `CameraRange`'s presets the cameras are drawn from.
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
    """

    seed: int = 0
    camera: str = "mixed"
    cameras: tuple[str, ...] = ()
    others_share: float = 0.3
    block: int = 16
    blocks_per_window: int = 60
    quality: QualityRange = field(default_factory=QualityRange)
    geometry: GeometryRange = field(default_factory=GeometryRange)

    def __post_init__(self) -> None:
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

    @classmethod
    def concatenate(cls, parts: Sequence[LabelledPatterns]) -> LabelledPatterns:
        """Join patterns of one shape."""
        return cls(
            np.concatenate([part.images for part in parts]),
            np.concatenate([part.labels for part in parts]),
            np.concatenate([part.masters for part in parts]),
        )


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
        Space groups, in the order of the labels.
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
            group = entry.visible_group if visible else entry.space_group
            if group not in classes:
                raise InputError(entry.material, f"its space group {group} is not among the classes")
            tree = self._others if entry.other else self._tree
            tree[classes.index(group)].setdefault(entry.material, []).append(i)
        for group, materials in zip(classes, self._tree, strict=True):
            if not materials:
                raise InputError(f"space group {group}", "a class without any material")
        self._cameras = config.camera_ranges()

    def block(self, window: int, number: int, label: int) -> Recording:
        """Record one block, not prepared.

        Parameters
        ----------
        window, number
            Which block of which window.
        label
            Index of its class.
        """
        config = self.config
        rng = np.random.default_rng([config.seed, window, number])
        # Nothing is drawn where there is no choice: streams without others or with one camera stay as they were.
        tree, others = self._tree[label], self._others[label]
        if others and rng.random() < config.others_share:
            tree = others
        materials = list(tree.values())
        variants = materials[rng.integers(len(materials))]
        master = variants[rng.integers(len(variants))]
        cameras = self._cameras[rng.integers(len(self._cameras)) if len(self._cameras) > 1 else 0]
        return record(
            self.masters,
            master,
            config.block,
            self.size,
            geometry=config.geometry,
            cameras=cameras,
            quality=float(rng.uniform(*config.quality.at(window * config.window))),
            rng=rng,
        )

    def window(self, window: int) -> LabelledPatterns:
        """Make one window: prepared patterns, shuffled."""
        config = self.config
        rng = np.random.default_rng([config.seed, window])
        rounds = math.ceil(config.blocks_per_window / len(self.classes))
        # Whole rounds of all classes; what is left over of the last round falls on other classes every window.
        order = np.concatenate([rng.permutation(len(self.classes)) for _ in range(rounds)])
        place = rng.permutation(config.window).reshape(config.blocks_per_window, config.block)
        images = np.empty((config.window, *self.size), dtype=np.float32)
        labels = np.empty(config.window, dtype=np.int64)
        masters = np.empty(config.window, dtype=np.int64)
        for number, where in enumerate(place):
            block = self.block(window, number, int(order[number]))
            images[where] = preprocess(block.images, size=self.size)
            labels[where] = order[number]
            masters[where] = block.masters
        return LabelledPatterns(images, labels, masters)

    def __iter__(self) -> Iterator[LabelledPatterns]:
        worker = get_worker_info()
        first, step = (0, 1) if worker is None else (worker.id, worker.num_workers)
        window = self.first_window + first
        while True:
            yield self.window(window)
            window += step


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
