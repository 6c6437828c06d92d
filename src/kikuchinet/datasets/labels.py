"""What a pattern is called: the literal space group, or the one that a camera can see."""

from __future__ import annotations

from typing import Literal, get_args

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction import visible_group
from kikuchinet.errors import InputError

Labels = Literal["visible", "literal"]
"""``visible``: ordering too weak for a camera does not count (FeNi3 is labelled 225); ``literal``: it does."""


def check_labels(labels: str) -> Labels:
    """Return `labels` if it is a known kind.

    Raises
    ------
    kikuchinet.errors.InputError
        It is not.
    """
    for known in get_args(Labels):
        if labels == known:
            return known
    raise InputError("labels", f"{labels!r} is neither of {', '.join(get_args(Labels))}")


def visible_or_literal(crystal: Crystal, labels: str) -> int:
    """Return the space group that a crystal's patterns are labelled with.

    Parameters
    ----------
    crystal
        The crystal.
    labels
        ``visible`` or ``literal``.

    Returns
    -------
    int
        A space-group number.
    """
    return visible_group(crystal) if check_labels(labels) == "visible" else crystal.space_group
