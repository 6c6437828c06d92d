"""A pattern centre on the command line."""

from __future__ import annotations

from enum import StrEnum

from kikuchinet.errors import InputError

NAMES = ("--pattern-center", "--pc")
"""The option's names, in every command that has it."""


class Convention(StrEnum):
    """Whose pattern centre it is."""

    BRUKER = "bruker"
    EDAX = "edax"
    TSL = "tsl"
    OXFORD = "oxford"


def parse_center(words: str) -> tuple[float, float, float] | None:
    """Return the three numbers of a pattern centre; None where none is given.

    Raises
    ------
    kikuchinet.errors.InputError
        They are not three numbers.
    """
    if not words:
        return None
    try:
        x, y, z = (float(word) for word in words.split(","))
    except ValueError as error:
        raise InputError(NAMES[0], f"{words!r} is not X,Y,Z, three numbers such as 0.5,0.3,0.7") from error
    return x, y, z
