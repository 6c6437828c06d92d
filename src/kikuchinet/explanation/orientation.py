"""How a crystal lies in each pattern of a source: as the file says, or as Hough indexing finds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.errors import InputError
from kikuchinet.patterns import Geometry, PatternSource
from kikuchinet.patterns.indexing import hough_indexing

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap, Phase

ORIENTATIONS = ("auto", "file", "hough", "none")
"""Where an orientation may come from; ``auto``: the file's indexing, else Hough indexing if crystals are named."""

_CELL_TOLERANCE = 0.03
"""Largest relative difference of a cell length at which a library crystal is taken for a file's phase."""


@dataclass(frozen=True, eq=False)
class Placement:
    """How a crystal lies in one pattern.

    Parameters
    ----------
    crystal
        The crystal; None where nothing is known.
    quaternion
        (4,) sample to crystal, scalar first.
    origin
        ``file`` or ``hough``; empty where nothing is known.
    mad_deg
        Mean angular deviation of Hough indexing; NaN otherwise.
    reason
        Why nothing is known; else empty.
    """

    crystal: Crystal | None
    quaternion: NDArray[np.float64]
    origin: str = ""
    mad_deg: float = float("nan")
    reason: str = ""


def unknown(reason: str) -> Placement:
    """Return a placement of nothing."""
    return Placement(None, np.array([1.0, 0.0, 0.0, 0.0]), reason=reason)


def choose_origin(source: PatternSource, given: Sequence[Crystal], wanted: str) -> str:
    """Return where the orientations of a source come from: ``file``, ``hough`` or ``none``.

    Parameters
    ----------
    source
        The patterns.
    given
        Crystals that were named.
    wanted
        One of `ORIENTATIONS`.

    Raises
    ------
    kikuchinet.errors.InputError
        The wanted one is not to be had.
    """
    if wanted not in ORIENTATIONS:
        raise InputError("orientation", f"{wanted!r} is none of {', '.join(ORIENTATIONS)}")
    if wanted == "file" and source.reference is None:
        raise InputError(source.name, "holds no indexing of its patterns")
    if wanted == "hough" and not given:
        raise InputError("crystal", "none is named, which Hough indexing needs")
    if wanted != "auto":
        return wanted
    if source.reference is not None:
        return "file"
    return "hough" if given else "none"


def placements(
    source: PatternSource,
    numbers: Sequence[int],
    images: Sequence[NDArray[Any]],
    given: Sequence[Crystal],
    *,
    origin: str,
    geometry: Geometry | None,
) -> list[Placement]:
    """Return how a crystal lies in some patterns of a source.

    Parameters
    ----------
    source
        The patterns' source.
    numbers
        Which of its patterns.
    images
        Those patterns, as stored.
    given
        Crystals that were named: the phases that Hough indexing tries; or what the phases of the file's indexing are.
    origin
        ``file``, ``hough`` or ``none``, see `choose_origin`.
    geometry
        Where the screen stood.

    Returns
    -------
    list of Placement
        In the order of `numbers`.

    Raises
    ------
    kikuchinet.errors.InputError
        The geometry is not known.
    """
    if origin == "none":
        return [unknown("no orientation is known")] * len(numbers)
    if geometry is None:
        raise InputError(
            source.name, "does not say where the screen stood, which an overlay needs: give a pattern centre"
        )
    if origin == "hough":
        return _indexed(numbers, images, given, geometry)
    reference = source.reference
    assert reference is not None
    known = {number: _phase_crystal(phase, given) for number, phase in reference.phases}
    return [_referenced(reference, number, known) for number in numbers]


def _referenced(
    reference: CrystalMap, number: int, known: dict[int, tuple[Crystal | None, str]]
) -> Placement:
    phase = int(reference.phase_id[number])
    if phase not in known or not bool(reference.is_indexed[number]):
        return unknown("the file's indexing has no solution here")
    crystal, reason = known[phase]
    if crystal is None:
        return unknown(reason)
    # A map may hold several solutions a point, the best first.
    quaternion = np.asarray(reference.rotations.data, dtype=np.float64).reshape(reference.size, -1, 4)[
        number, 0
    ]
    return Placement(crystal, quaternion, "file")


def _phase_crystal(phase: Phase, given: Sequence[Crystal]) -> tuple[Crystal | None, str]:
    """Return the crystal that a phase of a file is, and why if there is none: files do not hold the atoms."""
    group = None if phase.space_group is None else int(phase.space_group.number)
    point_group = None if phase.point_group is None else str(phase.point_group.name)
    words = f"{phase.name!r}" + (f" (space group {group})" if group else "")

    def fits(crystal: Crystal) -> bool:
        if group is not None:
            return crystal.space_group == group
        return point_group is None or crystal.symmetry.point_group == point_group

    if given:
        fitting = [crystal for crystal in given if fits(crystal)]
        named = [crystal for crystal in fitting if crystal.name.lower() == phase.name.lower()]
        if len(chosen := named or fitting) == 1:
            return chosen[0], ""
        which = "none" if not chosen else "more than one"
        return None, f"the file's phase is {words}; {which} of the crystals named has its symmetry"
    found = [
        crystals[name]
        for name in crystals
        if name.lower() == phase.name.lower() and fits(crystals[name]) and _same_cell(crystals[name], phase)
    ]
    if len(found) == 1:
        return found[0], ""
    return None, f"the file's phase {words} is no crystal of the library: name it"


def _same_cell(crystal: Crystal, phase: Phase) -> bool:
    theirs = np.array(phase.structure.lattice.abcABG()[:3])
    if np.allclose(theirs, 1.0):
        return True  # diffpy's default: the file holds no cell
    # Ångström, as orix has it, or nm, as older files of kikuchipy do.
    ratios = theirs / np.array(crystal.cell[:3])
    return any(bool((np.abs(ratios / unit - 1.0) <= _CELL_TOLERANCE).all()) for unit in (10.0, 1.0))


def _indexed(
    numbers: Sequence[int], images: Sequence[NDArray[Any]], given: Sequence[Crystal], geometry: Geometry
) -> list[Placement]:
    result = [unknown("")] * len(numbers)
    shapes = [np.asarray(image).shape for image in images]
    for shape in dict.fromkeys(shapes):
        members = [place for place, other in enumerate(shapes) if other == shape]
        screens = [geometry.detector((shape[0], shape[1]), numbers[place]) for place in members]
        found = hough_indexing(
            np.stack([images[place] for place in members]),
            list(given),
            screens[0],
            pattern_centers=np.array([screen.pattern_center for screen in screens]),
        )
        for row, place in enumerate(members):
            if found.phase[row] < 0:
                result[place] = unknown("Hough indexing found no solution")
                continue
            result[place] = Placement(
                given[int(found.phase[row])],
                found.quaternions[row].astype(np.float64),
                "hough",
                float(found.mad_deg[row]),
            )
    return result
