"""Patterns that are read when they are needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.patterns.geometry import Geometry
from kikuchinet.patterns.preprocessing import divide_static

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

Image = NDArray[Any]

_BLACK = 16
"""Rows and columns of what stands for a pattern that cannot be read where there is no other to take them from."""


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
    numbers
        (n,) number of each pattern in its file, where this is part of a source; see `kikuchinet.patterns.select`.
    step
        Step between rows and between columns of the scan in `step_unit`; None where unknown.
    step_unit
        ``"um"`` or what the file says.
    static_background
        (rows, columns) the screen without bands, if the file holds one that belongs to these raw patterns. Patterns
        are divided by it when they are read.
    geometry
        Where the screen stood; None where the file does not say.
    load_reference
        Function that returns the vendor's own indexing as an orix ``CrystalMap``; see `reference`.
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
    geometry: Geometry | None = field(default=None, repr=False)
    load_reference: Callable[[], CrystalMap | None] | None = field(default=None, repr=False)
    numbers: NDArray[np.int64] | None = field(default=None, repr=False)

    @cached_property
    def reference(self) -> CrystalMap | None:
        """The indexing that the file holds, an orix ``CrystalMap`` in the order of the patterns; None if it holds none."""
        return None if self.load_reference is None else self.load_reference()

    def __len__(self) -> int:
        return len(self.names)

    @property
    def n(self) -> int:
        """Number of patterns."""
        return len(self.names)

    @property
    def indices(self) -> NDArray[np.int64]:
        """(n,) number of each pattern in its file."""
        return np.arange(len(self.names)) if self.numbers is None else self.numbers

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
            yield _stacked(images)

    def patterns(self, first: int, last: int) -> list[Image]:
        """Return patterns first to last - 1, each (rows, columns).

        Raises
        ------
        InputError
            If one cannot be read or holds numbers that are not finite.
        """
        return self._checked(first, last)

    def salvage(self, first: int, last: int) -> tuple[Image | list[Image], dict[int, InputError]]:
        """Return what can be read of patterns first to last - 1.

        Parameters
        ----------
        first, last
            Range of indices.

        Returns
        -------
        images : numpy.ndarray or list
            As `batches` yields them, with black where a pattern cannot be read.
        failures : dict
            Index in this source of every such pattern, and what is wrong with it.

        Notes
        -----
        A range that cannot be read is halved until what is wrong stands alone.
        """
        images, failures = self._salvaged(first, last)
        shape = next((image.shape for image in images if image is not None), (_BLACK, _BLACK))
        kind = next((image.dtype for image in images if image is not None), np.dtype(np.uint8))
        return _stacked([np.zeros(shape, kind) if image is None else image for image in images]), failures

    def _salvaged(self, first: int, last: int) -> tuple[list[Image | None], dict[int, InputError]]:
        try:
            return list(self._checked(first, last)), {}
        except InputError as error:
            if last - first == 1:
                return [None], {first: error}
        middle = (first + last) // 2
        left, failed = self._salvaged(first, middle)
        right, also_failed = self._salvaged(middle, last)
        return left + right, failed | also_failed

    def _checked(self, first: int, last: int) -> list[Image]:
        """Return patterns first to last - 1, divided by the static background, or raise an `InputError`."""
        images = list(self.read(first, last))
        for i, image in enumerate(images, start=first):
            if image.ndim != 2:
                raise InputError(
                    self._where(i), f"has {image.ndim} dimensions; a pattern has rows and columns"
                )
            if image.dtype.kind not in "buif":
                raise InputError(self._where(i), f"is of type {image.dtype}, which is no grey level")
            if image.dtype.kind == "f" and not np.isfinite(image).all():
                raise InputError(self._where(i), "holds numbers that are not finite")
        if self.static_background is not None and images:
            return list(divide_static(np.stack(images), self.static_background))
        return images

    def _where(self, i: int) -> str:
        """Return what a pattern is called in a message."""
        if self.names[i] != self.name:
            return self.names[i]
        return f"{self.name}, pattern {i if self.numbers is None else self.numbers[i]}"


def _stacked(images: list[Image]) -> Image | list[Image]:
    alike = all(image.shape == images[0].shape and image.dtype == images[0].dtype for image in images)
    return np.stack(images) if alike else images
