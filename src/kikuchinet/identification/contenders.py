"""Which crystals are held against the patterns: those of the library and of folders of CIF files."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from kikuchinet.crystal import OUTSIDE, Crystal, crystals
from kikuchinet.crystal.cif import cif_files
from kikuchinet.diffraction import possible_groups
from kikuchinet.errors import InputError
from kikuchinet.identification.fitting import Contender

LIBRARY = "library"
MOST = 24
"""Candidates that are fitted to a phase; of more, those that the network finds likeliest."""
_UNKNOWN_EVIDENCE = 0.05
"""Where candidates whose group the model was not taught stand among the others if there are too many."""


def gather_crystals(
    elements: Iterable[str] = (), cifs: Iterable[str | Path] = ()
) -> tuple[list[tuple[Crystal, str]], list[InputError]]:
    """Return the crystals that may be there.

    Parameters
    ----------
    elements
        Symbols of what is known to be there. Crystals of the library made of these only are taken, and of the CIF files
        those made of these only. Without elements no crystal of the library and every CIF file.
    cifs
        CIF files, and folders of them. A file that is given more than once counts once.

    Returns
    -------
    crystals : list of (Crystal, str)
        With ``"library"`` or the path of the CIF file.
    unreadable : list of InputError
        One for each CIF file that cannot be used. They stop nothing.

    Raises
    ------
    kikuchinet.errors.InputError
        A path does not exist, or a folder holds no CIF file.
    """
    allowed = set(elements)
    found = [
        (crystal, LIBRARY)
        for crystal in crystals.values()
        if allowed and {site.element for site in crystal.sites} <= allowed
    ]
    unreadable: list[InputError] = []
    # By their true place, each under the name that it was first given.
    files: dict[Path, Path] = {}
    for file in (file for item in cifs for file in cif_files(item)):
        files.setdefault(file.resolve(), file)
    for path in files.values():
        try:
            crystal = Crystal.from_cif(path)
        except InputError as error:
            unreadable.append(error)
            continue
        if not allowed or {site.element for site in crystal.sites} <= allowed:
            found.append((crystal, str(path)))
    return found, unreadable


def rank_by_network(
    found: Sequence[tuple[Crystal, str]], probabilities: ArrayLike, classes: Sequence[int]
) -> tuple[Contender, ...]:
    """Order crystals by what the network says of their visible space groups.

    Parameters
    ----------
    found
        As `gather_crystals` returns them.
    probabilities
        (classes,) of the phase.
    classes
        Space groups of the model.

    Returns
    -------
    tuple of Contender
        Likeliest first, `MOST` at most. Each has the probability of the likeliest group that its pattern may show
        (`kikuchinet.diffraction.possible_groups`). A crystal of a group that is not among the classes has the probability of
        `kikuchinet.crystal.OUTSIDE`; without that class it has no evidence and is kept: the network cannot speak against it.
    """
    known = dict(zip(classes, np.asarray(probabilities, dtype=float).tolist(), strict=True))

    def evidence(crystal: Crystal) -> float | None:
        likely = [known[group] for group in possible_groups(crystal) if group in known]
        return max(likely) if likely else known.get(OUTSIDE)

    contenders = [Contender(crystal, origin, evidence(crystal)) for crystal, origin in found]

    def weight(one: Contender) -> float:
        return _UNKNOWN_EVIDENCE if one.evidence is None else one.evidence

    return tuple(sorted(contenders, key=lambda one: -weight(one))[:MOST])
