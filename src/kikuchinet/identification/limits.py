"""What no answer of the network can decide: groups that look alike to a camera."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from kikuchinet.crystal import OUTSIDE, ladder
from kikuchinet.errors import InputError

_LIGHT = "light atoms among heavy ones break the lattice of the heavy ones, as in"
_HIDDEN_ORDER: dict[int, tuple[tuple[int, str], ...]] = {
    225: (
        (221, "L1_2 order between elements that scatter alike, as in FeNi3"),
        (222, f"{_LIGHT} Ce5Mo3O16"),
        (224, f"{_LIGHT} Ag2O3"),
        (227, "pyrochlore order between cations that scatter alike, as in Eu2Ir2O7"),
    ),
    229: (
        (221, "B2 order between elements that scatter alike, as in CoFe"),
        (222, f"{_LIGHT} Nd5Mo3O16"),
        (225, "D0_3 or L2_1 order between elements that scatter alike, as in Fe3Si"),
        (227, "B32 order between elements that scatter alike"),
    ),
    221: (
        (
            225,
            "rock-salt order of ions that scatter alike, as in KCl, or D0_3 or L2_1 order on a B2 lattice, as in Fe3Si",
        ),
    ),
}
"""Ordered groups that become the answer when what sets them apart is too weak to see.

Which crystals these are is worked out by `kikuchinet.diffraction.orderings`; of the library's none is missing here.
"""


@dataclass(frozen=True)
class LookAlike:
    """A space group that the answer leaves open.

    Parameters
    ----------
    space_group
        Its number.
    symbol
        Its short Hermann-Mauguin symbol.
    kind
        ``"hidden order"`` (an ordered crystal whose order is too weak to see) or ``"same reflections"`` (same Laue
        class and same systematic absences).
    why
        The reason in words.
    """

    space_group: int
    symbol: str
    kind: str
    why: str


def kinematic_twins(space_group: int) -> tuple[int, ...]:
    """Return the other groups with the Laue class and the systematic absences of a space group.

    Parameters
    ----------
    space_group
        Number, 1 to 230.

    Returns
    -------
    tuple of int
        In rising order. Kinematic diffraction, in which Friedel's law holds, gives all of them the same bands and
        the same symmetry. 225, for one, shares them with 209 and 216.
    """
    return tuple(group for group in ladder(space_group).extinction_groups if group != space_group)


def look_alikes(space_group: int, known: Collection[int] = ()) -> tuple[LookAlike, ...]:
    """Return the groups that a pattern of `space_group` may as well belong to.

    Parameters
    ----------
    space_group
        The answer.
    known
        The classes of the model. A twin that the model was taught to tell apart is left out. A class of crystals outside its
        groups is no reason to leave one out: it was taught on few crystals of such twins, if on any.

    Returns
    -------
    tuple of LookAlike
        Hidden order first, then groups with the same reflections.

    Raises
    ------
    kikuchinet.errors.InputError
        The answer is outside the model's groups: that leaves open all others, and none looks like it.
    """
    if space_group == OUTSIDE:
        raise InputError("outside", "is no one group, so nothing looks like it")
    found = [
        LookAlike(group, ladder(group).symbol, "hidden order", why)
        for group, why in _HIDDEN_ORDER.get(space_group, ())
    ]
    laue = ladder(space_group).laue_class
    found += [
        LookAlike(
            group,
            ladder(group).symbol,
            "same reflections",
            f"same Laue class {laue} and same absent reflections; only point group {ladder(group).point_group} differs",
        )
        for group in kinematic_twins(space_group)
        if group not in known
    ]
    return tuple(found)
