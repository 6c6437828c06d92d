"""What can be a pattern at all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kikuchinet.errors import InputError

#: Fewer rows or columns than this hold no bands. The smallest in use are 60 (binned) and 32 (fast maps).
SMALLEST_SIDE = 16
#: More rows or columns than this no EBSD camera has; the largest are 2048. A file that claims more is damaged.
LARGEST_SIDE = 8192

#: More patterns than this no scan has.
LARGEST_SCAN = 50_000_000
#: No compression makes patterns smaller than this part; deflate's limit is 1032. A file that holds less is damaged, or was
#: never filled.
MOST_COMPRESSED = 1100


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


def check_count(name: str | Path, n: int, claimed: int, stored: int) -> None:
    """Raise an `InputError` if a file cannot hold as many patterns as it says.

    Parameters
    ----------
    name
        What the error names.
    n
        How many it says.
    claimed
        Bytes of so many patterns.
    stored
        Bytes that there are, compressed or not.
    """
    if n > LARGEST_SCAN:
        raise InputError(name, f"claims {n:,} patterns, more than any scan has")
    if claimed > MOST_COMPRESSED * stored:
        raise InputError(name, f"claims {n:,} patterns, for which its {stored:,} bytes are too few")
