"""Stored patterns behind a manifest, read one by one or in batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from kikuchinet.datasets.labels import among
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.datasets.stream import Batch
from kikuchinet.errors import InputError
from kikuchinet.patterns import preprocess, read_patterns

KEPT_BYTES = 2 * 1024**3
"""Of prepared patterns that stay in memory at most: all that the paper taught a network from, at its size."""


class StoredPatterns(Dataset[tuple[Tensor, Tensor]]):
    """Patterns of a manifest, prepared for a network.

    Parameters
    ----------
    manifest
        The patterns. Their files may be anything that `kikuchinet.patterns.read_patterns` reads.
    classes
        Space groups, in the order of the labels. Patterns of all groups that are not among them belong to
        `kikuchinet.crystal.OUTSIDE`, if that is.
    size
        Rows and columns of the prepared patterns.
    labels
        ``visible`` or ``literal`` space groups.
    keep
        Keep prepared patterns in memory, as float32, for the next epoch. Sets of more than `KEPT_BYTES` are prepared anew
        each time.

    Raises
    ------
    kikuchinet.errors.InputError
        A pattern's group is not among the classes, or a file cannot be read.
    """

    def __init__(
        self,
        manifest: Manifest,
        classes: tuple[int, ...],
        *,
        size: tuple[int, int],
        labels: str = "visible",
        keep: bool = False,
    ) -> None:
        groups = among(manifest.labels(labels), classes)
        place = {group: i for i, group in enumerate(classes)}
        if unknown := sorted(set(groups.tolist()) - set(classes)):
            raise InputError("manifest", f"space group {unknown[0]} is not among the classes {list(classes)}")
        self.manifest = manifest
        self.classes = classes
        self.size = size
        self.labels = np.array([place[group] for group in groups.tolist()], dtype=np.int64)
        self._files = manifest.frame["file"].astype(str).tolist()
        self._indices = manifest.frame["index"].to_numpy(dtype=np.int64)
        self._sources: dict[str, Any] = {}
        self._keep = keep and len(self) * size[0] * size[1] * 4 <= KEPT_BYTES
        self._kept: dict[int, NDArray[np.float32]] = {}

    def __len__(self) -> int:
        return len(self.labels)

    def image(self, i: int) -> NDArray[Any]:
        """Return pattern i as it is stored, (rows, columns)."""
        name = self._files[i]
        if name not in self._sources:
            path = self.manifest.folder / name
            sources = list(read_patterns([path]))
            if len(sources) != 1:
                raise InputError(path, f"holds {len(sources)} sets of patterns where a manifest needs one")
            self._sources[name] = sources[0]
        source = self._sources[name]
        if self._indices[i] >= len(source):
            raise InputError(self.manifest.folder / name, f"has no pattern {self._indices[i]}")
        pattern: NDArray[Any] = np.asarray(source[int(self._indices[i])])
        return pattern

    def images(self, rows: Sequence[int] | NDArray[np.int64]) -> list[NDArray[Any]]:
        """Return several patterns as they are stored."""
        return [self.image(int(i)) for i in rows]

    def __getitem__(self, i: int) -> tuple[Tensor, Tensor]:
        return torch.from_numpy(self._prepared([i])[0]), torch.tensor(self.labels[i])

    def batches(self, batch_size: int, *, start: int = 0) -> Iterator[Batch]:
        """Yield patterns and labels in the manifest's order, from pattern `start` on.

        As `kikuchinet.datasets.PatternStream.batches`, but they come to an end, and the last batch may be smaller.
        """
        for first in range(start, len(self), batch_size):
            rows = np.arange(first, min(first + batch_size, len(self)))
            yield torch.from_numpy(self._prepared(rows)), torch.from_numpy(self.labels[rows])

    def _prepared(self, rows: Sequence[int] | NDArray[np.int64]) -> NDArray[np.float32]:
        if not self._keep:
            return preprocess(self.images(rows), size=self.size)
        if new := [int(i) for i in rows if int(i) not in self._kept]:
            self._kept.update(zip(new, preprocess(self.images(new), size=self.size), strict=True))
        return np.stack([self._kept[int(i)] for i in rows])

    def __getstate__(self) -> dict[str, Any]:
        # Open files do not travel between processes, and what is kept need not.
        return self.__dict__ | {"_sources": {}, "_kept": {}}
