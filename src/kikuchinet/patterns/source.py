"""Patterns that are read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.patterns.preprocessing import divide_static

Image = NDArray[Any]


@dataclass(frozen=True, eq=False)
class PatternSource:
    """The patterns of one file or folder, in order, read when asked for.

    Parameters
    ----------
    name
        What messages and tables call it: the path that was given.
    names
        The file of each pattern, (n,).
    read
        Function that returns the patterns first to last - 1 as stored.
    navigation_shape
        Shape of the scan, (rows, columns) or (n,); None where the patterns are no scan.
    rows, columns
        (n,) place of each pattern in the scan; None where unknown.
    step
        Step between rows and between columns of the scan in `step_unit`; None where unknown.
    step_unit
        ``"um"`` or what the file says.
    static_background
        (rows, columns) the screen without bands, if the file holds one that belongs to these raw patterns. Patterns
        are divided by it when they are read.
    """

    name: str
    names: Sequence[str] = field(repr=False)
    read: Callable[[int, int], Sequence[Image]] = field(repr=False)
    navigation_shape: tuple[int, ...] | None = None
    rows: NDArray[np.int64] | None = field(default=None, repr=False)
    columns: NDArray[np.int64] | None = field(default=None, repr=False)
    step: tuple[float, float] | None = None
    step_unit: str = "um"
    static_background: NDArray[np.float32] | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n(self) -> int:
        """Number of patterns."""
        return len(self.names)

    @property
    def indices(self) -> NDArray[np.int64]:
        """(n,) number of each pattern in this source."""
        return np.arange(len(self.names))

    def __getitem__(self, index: int) -> Image:
        """Return one pattern, (rows, columns)."""
        i = int(index)
        if i < 0:
            i += len(self)
        if not 0 <= i < len(self):
            raise IndexError(f"{self.name} has {len(self)} patterns, none at {index}")
        return self._checked(i, i + 1)[0]

    def __iter__(self) -> Iterator[Image]:
        for batch in self.batches(64):
            yield from batch

    def batches(self, batch_size: int = 64) -> Iterator[Image | list[Image]]:
        """Yield the patterns in order, at most `batch_size` at a time.

        Parameters
        ----------
        batch_size
            Patterns in memory at a time.

        Yields
        ------
        numpy.ndarray or list
            (m, rows, columns), or a list of images where they differ in shape or type.

        Raises
        ------
        InputError
            If a pattern cannot be read or holds numbers that are not finite.
        """
        if batch_size < 1:
            raise InputError("batch size", f"{batch_size} is less than one")
        for first in range(0, len(self), batch_size):
            images = self._checked(first, min(first + batch_size, len(self)))
            alike = all(im.shape == images[0].shape and im.dtype == images[0].dtype for im in images)
            yield np.stack(images) if alike else images

    def _checked(self, first: int, last: int) -> list[Image]:
        """Return patterns first to last - 1, divided by the static background, or raise an `InputError`."""
        images = list(self.read(first, last))
        for i, image in enumerate(images, start=first):
            where = self.names[i] if self.names[i] != self.name else f"{self.name}, pattern {i}"
            if image.ndim != 2:
                raise InputError(where, f"has {image.ndim} dimensions; a pattern has rows and columns")
            if image.dtype.kind not in "buif":
                raise InputError(where, f"is of type {image.dtype}, which is no grey level")
            if image.dtype.kind == "f" and not np.isfinite(image).all():
                raise InputError(where, "holds numbers that are not finite")
        if self.static_background is not None and images:
            return list(divide_static(np.stack(images), self.static_background))
        return images
