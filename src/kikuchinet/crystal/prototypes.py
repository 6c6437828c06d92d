"""Structure types by their Wyckoff positions, in the notation of the AFLOW encyclopedia of prototypes.

References
----------
.. [1] M. J. Mehl, D. Hicks, C. Toher, O. Levy, R. M. Hanson, G. Hart, S. Curtarolo, Comput. Mater. Sci. 136 (2017) S1,
   section 2: the label's parts.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from kikuchinet.crystal.standard import (
    hall_number_of_reference,
    species_of_positions,
    spglib_cell,
    spglib_dataset,
)

if TYPE_CHECKING:
    from kikuchinet.crystal.crystal import Crystal

_SYSTEM_LETTERS = {
    "triclinic": "a",
    "monoclinic": "m",
    "orthorhombic": "o",
    "tetragonal": "t",
    "trigonal": "h",
    "hexagonal": "h",
    "cubic": "c",
}


@lru_cache(maxsize=1024)
def prototype_label(crystal: Crystal) -> str:
    """Label of a crystal's structure type, such as ``"AB3_cP4_221_a_c"`` for Cu3Au.

    Parameters
    ----------
    crystal
        The crystal. What sits on a position counts as one kind of atom: a mixed site is a kind of its own.

    Returns
    -------
    str
        Stoichiometry with the kinds in alphabetical order, Pearson symbol, space group, and the Wyckoff letters of each kind
        with their numbers, [1]_. Letters are those of the origin and axes that spglib finds, of which another description
        of the same structure may be shifted: equal labels mean the same type, up to free coordinates; different ones
        need not mean different types. Empty if spglib finds no symmetry.
    """
    number = crystal.space_group
    dataset = spglib_dataset(spglib_cell(crystal), 1e-4, hall_number_of_reference(number))
    if dataset is None or int(dataset.number) != number:
        return ""
    contents = species_of_positions(crystal)[1]
    names = ["/".join(f"{z}:{occupancy:g}" for z, occupancy in content) for content in contents]
    symbols = dict(zip(names, map(_name, contents), strict=True))
    kinds = sorted(symbols, key=symbols.__getitem__)
    amounts = Counter(names)
    divisor = math.gcd(*amounts.values())
    composition = "".join(
        f"{chr(ord('A') + i)}{amounts[kind] // divisor if amounts[kind] > divisor else ''}"
        for i, kind in enumerate(kinds)
    )
    wyckoff = [
        _letters(
            dataset.wyckoffs[atom]
            for atom in sorted({int(e) for e in dataset.crystallographic_orbits})
            if names[atom] == kind
        )
        for kind in kinds
    ]
    # Pearson's S for any one-faced centring is C in that encyclopedia.
    lattice = crystal.symmetry.bravais_lattice[-1].replace("S", "C")
    # On hexagonal axes the cell is three times the primitive one; on rhombohedral axes it is that.
    atoms = len(names) // 3 if crystal.centring == "R" else len(names)
    pearson = f"{_SYSTEM_LETTERS[crystal.symmetry.crystal_system]}{lattice}{atoms}"
    return "_".join([composition, pearson, str(number), *wyckoff])


def near_copies(crystal: Crystal, among: Iterable[Crystal]) -> tuple[Crystal, ...]:
    """Crystals of the same structure type with other elements.

    Parameters
    ----------
    crystal
        The crystal.
    among
        Where to look, such as ``crystals.values()``.

    Returns
    -------
    tuple of Crystal
        Those with the same space group, atoms in the cell and Wyckoff letters, in whatever order of elements; the nearest
        in mean atomic number, relative to their sum, first. Not the crystal itself.
    """
    wanted = _key(crystal)
    z = crystal.mean_atomic_number
    found = [
        other
        for other in among
        if other.space_group == crystal.space_group and other != crystal and _key(other) == wanted
    ]
    return tuple(
        sorted(found, key=lambda other: abs(other.mean_atomic_number - z) / (other.mean_atomic_number + z))
    )


def _key(crystal: Crystal) -> tuple[str, ...]:
    _, *rest = prototype_label(crystal).split("_")
    return (*rest[:2], *sorted(rest[2:]))


def _name(content: tuple[tuple[int, float], ...]) -> tuple[str, ...]:
    from kikuchinet.crystal.elements import symbol

    return tuple(symbol(z) for z, _ in content)


def _letters(found: Iterable[str]) -> str:
    counts = Counter(found)
    return "".join(
        f"{n if n > 1 else ''}{letter}"
        for letter, n in sorted(counts.items(), key=lambda p: (p[0] == "A", p[0]))
    )
