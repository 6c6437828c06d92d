"""Library crystals that agree with an answer and with the elements the user knows to be there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kikuchinet.crystal import OUTSIDE, crystals
from kikuchinet.diffraction import visible_group
from kikuchinet.errors import InputError


@dataclass(frozen=True)
class Candidate:
    """A named crystal that may be the one under the beam.

    Parameters
    ----------
    name, formula
        As in the library.
    space_group, symbol
        Its literal group.
    visible_group
        The group that a camera sees.
    source
        Where the structure was taken from.
    verified
        Whether its numbers were read in that source.
    """

    name: str
    formula: str
    space_group: int
    symbol: str
    visible_group: int
    source: str
    verified: bool


def library_candidates(
    elements: Iterable[str], space_group: int, classes: Sequence[int] = ()
) -> tuple[Candidate, ...]:
    """List the library's crystals made of given elements only whose visible group is the answer.

    Parameters
    ----------
    elements
        Element symbols. A crystal need not hold all of them, but nothing else.
    space_group
        The answer of the network. With `kikuchinet.crystal.OUTSIDE` the visible group must be none of its classes.
    classes
        The classes of the network; needed for that only.

    Returns
    -------
    tuple of Candidate
        Ordered by name. Plain candidates: agreement in elements and group says that a crystal is possible, not that
        it is there. No pattern of a candidate is fitted.

    Raises
    ------
    kikuchinet.errors.InputError
        The answer is outside, and nobody says outside of what.
    """
    if space_group == OUTSIDE and OUTSIDE not in classes:
        raise InputError("outside", "the model's classes say outside of what, and they have no class 0")
    allowed = set(elements)
    found = []
    for crystal in crystals.values():
        if not {site.element for site in crystal.sites} <= allowed:
            continue
        seen = visible_group(crystal)
        if seen == space_group or (space_group == OUTSIDE and seen not in classes):
            found.append(
                Candidate(
                    name=crystal.name,
                    formula=crystal.formula,
                    space_group=crystal.space_group,
                    symbol=crystal.symmetry.symbol,
                    visible_group=seen,
                    source=crystal.source,
                    verified=crystal.verified,
                )
            )
    return tuple(sorted(found, key=lambda candidate: candidate.name))
