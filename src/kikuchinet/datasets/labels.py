"""What a pattern is called: the literal space group, or the one that a camera can see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.crystal import OUTSIDE, Crystal
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


def accepted(sets: Sequence[Sequence[int]], classes: Sequence[int]) -> NDArray[np.bool_]:
    """Return which classes of a model are right answers for crystals whose groups a pattern does not all tell apart.

    Parameters
    ----------
    sets
        The groups of each of n crystals, `kikuchinet.diffraction.visible_groups`.
    classes
        The model's classes; `kikuchinet.crystal.OUTSIDE`, if it is one, stands for all groups that are none.

    Returns
    -------
    numpy.ndarray
        bool (n, classes).
    """
    right = np.zeros((len(sets), len(classes)), dtype=bool)
    for row, groups in zip(right, sets, strict=True):
        row[:] = np.isin(classes, among(list(groups), classes))
    return right


def written(groups: Sequence[int]) -> str:
    """Return groups as the column ``visible_groups`` of a manifest holds them."""
    return " ".join(map(str, sorted(groups)))


def among(groups: ArrayLike, classes: Sequence[int]) -> NDArray[np.int64]:
    """Return the classes of a model that space groups belong to.

    Parameters
    ----------
    groups
        Space-group numbers, any shape.
    classes
        The model's classes.

    Returns
    -------
    numpy.ndarray
        The same numbers; `kikuchinet.crystal.OUTSIDE` in place of those that are not among the classes, if it is.
    """
    numbers = np.asarray(groups, dtype=np.int64)
    return np.where(np.isin(numbers, classes), numbers, OUTSIDE) if OUTSIDE in classes else numbers
