"""Part of a scan: a region, every n-th row and column. Nothing outside is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.patterns.source import PatternSource

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

_FORM = re.compile(r"(\d*):(\d*)(?:,(\d*):(\d*))?")


@dataclass(frozen=True)
class Region:
    """Rows and columns of a scan, counted from 0; the last ones are left out, as in Python's slices.

    Parameters
    ----------
    rows, columns
        First and last + 1; None for the edge of the scan.
    """

    rows: tuple[int | None, int | None] = (None, None)
    columns: tuple[int | None, int | None] = (None, None)

    @classmethod
    def parse(cls, text: str) -> Region:
        """Return the region that ``"ROW0:ROW1,COLUMN0:COLUMN1"`` names.

        Parameters
        ----------
        text
            Slices as NumPy and HyperSpy (``signal.inav``) write them; each number may be missing, and so may the
            columns: ``"10:20,5:25"``, ``":,100:"``, ``":50"``.

        Raises
        ------
        kikuchinet.errors.InputError
            The text has another form, or a region would be empty.
        """
        found = _FORM.fullmatch(text.replace(" ", ""))
        if found is None:
            raise InputError("--roi", f"{text!r} is not ROW0:ROW1,COLUMN0:COLUMN1, such as 10:20,5:25")
        a, b, c, d = (int(word) if word else None for word in found.groups())
        for name, first, last in (("rows", a, b), ("columns", c, d)):
            if last is not None and last <= (first or 0):
                raise InputError("--roi", f"{name} {first or 0}:{last} are none at all")
        return cls((a, b), (c, d))

    def __str__(self) -> str:
        return ",".join(
            f"{'' if first is None else first}:{'' if last is None else last}"
            for first, last in (self.rows, self.columns)
        )


def select(source: PatternSource, region: Region | None = None, stride: int = 1) -> PatternSource:
    """Return part of a source, as a view that reads when it is asked.

    Parameters
    ----------
    source
        Patterns of a scan. Where they are no scan, or one of one dimension, a stride alone takes every n-th pattern.
    region
        Rows and columns; all of them if not given.
    stride
        Every n-th row and every n-th column of the region, starting with its first.

    Returns
    -------
    PatternSource
        Of the region's shape. Indices, rows and columns stay those of the whole source, the step grows with the stride.

    Raises
    ------
    kikuchinet.errors.InputError
        The region reaches out of the scan, the source has no rows and columns, or the stride is not positive.
    """
    if stride < 1:
        raise InputError("--stride", f"{stride} is less than one")
    if region is None and stride == 1:
        return source
    shape = source.navigation_shape
    if shape is None or len(shape) != 2:
        if region is not None:
            raise InputError(source.name, "is no scan of rows and columns, so it has no region")
        kept = np.arange(0, len(source), stride)
        return _view(source, kept, (len(kept),) if shape is not None else None, stride)
    rows, columns = (
        np.arange(*_bounds(source.name, name, limits, size), stride)
        for name, limits, size in zip(
            ("rows", "columns"),
            (region.rows, region.columns) if region is not None else ((None, None),) * 2,
            shape,
            strict=True,
        )
    )
    kept = (rows[:, None] * shape[1] + columns).ravel()
    return _view(source, kept, (len(rows), len(columns)), stride)


def _bounds(source: str, name: str, limits: tuple[int | None, int | None], size: int) -> tuple[int, int]:
    first = 0 if limits[0] is None else limits[0]
    last = size if limits[1] is None else limits[1]
    if first >= size or last > size or last <= first:
        raise InputError(source, f"has {size} {name}, counted from 0; the region asks for {first}:{last}")
    return first, last


def _view(
    source: PatternSource, kept: NDArray[np.int64], shape: tuple[int, ...] | None, stride: int
) -> PatternSource:
    geometry = source.geometry
    if geometry is not None and len(geometry.pattern_centers) == len(source):
        geometry = replace(geometry, pattern_centers=geometry.pattern_centers[kept])

    def read(first: int, last: int) -> Sequence[NDArray[Any]]:
        wanted = kept[first:last]
        # Each run of neighbours is one call to the source.
        breaks = np.flatnonzero(np.diff(wanted) != 1) + 1
        found: list[NDArray[Any]] = []
        for run in np.split(wanted, breaks):
            found.extend(source.read(int(run[0]), int(run[-1]) + 1))
        return found

    def load_reference() -> CrystalMap | None:
        whole = source.reference
        return None if whole is None else whole[np.isin(np.arange(len(source)), kept)]

    return replace(
        source,
        names=[source.names[k] for k in kept.tolist()],
        read=read,
        navigation_shape=shape,
        rows=None if source.rows is None else source.rows[kept],
        columns=None if source.columns is None else source.columns[kept],
        numbers=source.indices[kept],
        step=None if source.step is None else (source.step[0] * stride, source.step[1] * stride),
        geometry=geometry,
        load_reference=None if source.load_reference is None else load_reference,
    )
