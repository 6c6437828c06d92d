"""What can be a pattern at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kikuchinet.errors import InputError

#: Fewer rows or columns than this hold no bands. The smallest in use are 60 (binned) and 32 (fast maps).
SMALLEST_SIDE = 16
#: More rows or columns than this no EBSD camera has; the largest are 2048. A file that claims more is damaged.
LARGEST_SIDE = 8192


def check_shape(name: str | Path, shape: Sequence[int]) -> None:
    """Raise an `InputError` if a pattern of this shape (rows, columns) cannot be.

    Parameters
    ----------
    name
        What the error names.
    shape
        Rows and columns.
    """
    if len(shape) != 2:
        raise InputError(name, f"has shape {tuple(shape)}; a pattern has rows and columns")
    if min(shape) < SMALLEST_SIDE:
        raise InputError(
            name, f"is {shape[0]} x {shape[1]} px; a pattern has at least {SMALLEST_SIDE} a side"
        )
    if max(shape) > LARGEST_SIDE:
        raise InputError(name, f"claims {shape[0]} x {shape[1]} px, more than any EBSD camera has")
