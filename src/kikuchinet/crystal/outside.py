"""Words for "none of the groups that the model tells apart", and for any answer of a model that may say so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from kikuchinet.crystal.ladder import OUTSIDE, ladder, short_symbol
from kikuchinet.errors import InputError

_WORDS = (
    "no",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
)


def groups_of(classes: Sequence[int]) -> tuple[int, ...]:
    """Return a model's classes that are space groups: all but `OUTSIDE`."""
    return tuple(group for group in classes if group != OUTSIDE)


def outside_name(classes: Sequence[int]) -> str:
    """Return what the class `OUTSIDE` of a model is called.

    Parameters
    ----------
    classes
        The model's classes, `OUTSIDE` among them or not.

    Returns
    -------
    str
        ``"outside m-3m"`` where the model's space groups are all those of one point group. Else ``"none of the model's
        groups"``: a model that knows 221 and 225 only calls a crystal of group 227 the same, and that one is of m-3m.
    """
    return _names(groups_of(classes))[0]


def outside_phrase(classes: Sequence[int]) -> str:
    """Return `outside_name` with what is meant: ``"outside m-3m (none of the ten groups this model knows)"``."""
    return _names(groups_of(classes))[1]


@cache
def _names(groups: tuple[int, ...]) -> tuple[str, str]:
    if not groups:
        raise InputError("classes", "a model without any space group has no outside")
    point_groups = {ladder(group).point_group for group in groups}
    count = _WORDS[len(groups)] if len(groups) < len(_WORDS) else str(len(groups))
    if len(point_groups) == 1:
        (common,) = point_groups
        whole = {group for group in range(1, 231) if ladder(group).point_group == common}
        if whole == set(groups):
            name = f"outside {common}"
            return name, f"{name} (none of the {count} groups this model knows)"
    name = "none of the model's groups"
    return name, f"{name} (it knows {count}: {', '.join(map(str, groups))})"


def answer_symbol(number: int, classes: Sequence[int]) -> str:
    """Return the short symbol of a space group that a model answered with, or the name of its outside.

    Parameters
    ----------
    number
        1 to 230, or `OUTSIDE`.
    classes
        The model's classes.

    Raises
    ------
    kikuchinet.errors.InputError
        The number is neither.
    """
    return outside_name(classes) if number == OUTSIDE else short_symbol(number)


def answer_title(number: int, classes: Sequence[int]) -> str:
    """Return number and symbol of an answer, ``"225 Fm-3m"``, or the name of the outside, which has no number."""
    return outside_name(classes) if number == OUTSIDE else f"{number} {short_symbol(number)}"


def listed_classes(classes: Sequence[int]) -> str:
    """Return a model's classes in words: ``"221, 225, outside"``."""
    known = ", ".join(str(group) for group in groups_of(classes))
    return f"{known}, outside" if OUTSIDE in classes else known
