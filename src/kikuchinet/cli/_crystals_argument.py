"""Many crystals on the command line: names of the library, CIF files, folders of CIF files, the whole library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.crystal import Crystal


@dataclass(frozen=True)
class ChosenCrystal:
    """A crystal, and what a result of it is called.

    Attributes
    ----------
    crystal
        The crystal.
    stem
        Name of a result's file without its suffix: the library's name, or that of the CIF file.
    origin
        Where it is from, for people.
    """

    crystal: Crystal
    stem: str
    origin: str


def find_crystals(
    words: Sequence[str], *, library: bool = False, space_group: int | None = None
) -> tuple[list[ChosenCrystal], list[InputError]]:
    """Return the crystals that the words on the command line mean.

    Parameters
    ----------
    words
        Names of the library, CIF files, folders of CIF files.
    library
        Take the whole library, too.
    space_group
        Leave out crystals of other groups.

    Returns
    -------
    chosen : list of ChosenCrystal
        In the order of the words, the library last, files of a folder by name.
    unreadable : list of InputError
        One for each CIF file that cannot be used.

    Raises
    ------
    kikuchinet.errors.InputError
        A word means nothing, a folder holds no CIF file, or two crystals would get results of the same name.
    """
    from kikuchinet.crystal import Crystal, crystals

    chosen: list[ChosenCrystal] = []
    unreadable: list[InputError] = []
    for word in words:
        if word in crystals:
            chosen.append(_from_library(word))
            continue
        for path in _cif_files(word):
            try:
                crystal = Crystal.from_cif(path)
            except InputError as error:
                unreadable.append(error)
            else:
                chosen.append(ChosenCrystal(crystal, _safe(path.stem), str(path)))
    if library:
        chosen += [_from_library(name) for name in crystals if name not in words]
    if space_group is not None:
        chosen = [one for one in chosen if one.crystal.space_group == space_group]
    _refuse_same_names(chosen)
    return chosen, unreadable


def _from_library(name: str) -> ChosenCrystal:
    from kikuchinet.crystal import crystals

    return ChosenCrystal(crystals[name], _safe(name), f"{name} of the library")


def _cif_files(word: str) -> list[Path]:
    from kikuchinet.crystal import crystals
    from kikuchinet.crystal.cif import cif_files

    path = Path(word)
    if path.is_dir() or path.is_file():
        return cif_files(path)
    if path.suffix.lower() == ".cif":
        raise InputError(path, "no such file")
    # Raises, and says which names come near.
    crystals[word]
    return []


def _safe(name: str) -> str:
    # A name may hold anything; it must not lead out of a folder.
    return "".join(c if c.isalnum() or c in "-_.()" else "_" for c in name).strip(".") or "crystal"


def _refuse_same_names(chosen: Sequence[ChosenCrystal]) -> None:
    taken: dict[str, ChosenCrystal] = {}
    for one in chosen:
        # Some file systems take Co and CO for one name.
        other = taken.setdefault(one.stem.casefold(), one)
        if other is one:
            continue
        if other.origin == one.origin:
            raise InputError(one.origin, "given twice")
        raise InputError(one.origin, f"its result would be called {one.stem}, like that of {other.origin}")
