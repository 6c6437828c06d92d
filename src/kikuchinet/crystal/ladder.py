"""The symmetry ladder: what each space group looks like when less and less of it can be seen.

Space group → extinction class → point group → Laue class → Bravais lattice → crystal system. Everything but the
names is computed from the symmetry operations.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import permutations
from typing import Literal

import gemmi
import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.symmetry import Setting, reference_setting

_BOX = 6
"""Reflections up to this index decide the absences: conditions of International Tables have moduli 2, 3, 4 and 6."""


OUTSIDE = 0
"""Stands in place of a space group's number for "none of the groups that the model tells apart". It has no ladder and no
symbol; `kikuchinet.crystal.outside` has its name."""


@dataclass(frozen=True)
class SymmetryLadder:
    """The levels of symmetry of one space group.

    Parameters
    ----------
    space_group
        Number, 1 to 230.
    symbol
        Short Hermann-Mauguin symbol, such as ``"Fm-3m"``.
    extinction_class
        Laue class and the groups of that Laue class that have the same systematic absences, such as
        ``"m-3m: 209+216+225"``. Kinematical diffraction with Friedel's law cannot separate them.
    point_group
        One of the 32 crystal classes, such as ``"m-3m"``.
    laue_class
        One of the 11 centrosymmetric classes.
    bravais_lattice
        One of the 14 lattices, as a Pearson letter pair such as ``"cF"``; side-face centred lattices are ``mS``
        and ``oS``.
    crystal_system
        triclinic, monoclinic, orthorhombic, tetragonal, trigonal, hexagonal or cubic.
    """

    space_group: int
    symbol: str
    extinction_class: str
    point_group: str
    laue_class: str
    bravais_lattice: str
    crystal_system: str

    @property
    def extinction_groups(self) -> tuple[int, ...]:
        """Numbers of the space groups in the same extinction class, this one included."""
        return extinction_groups(self.space_group)


@cache
def ladder(number: int) -> SymmetryLadder:
    """The symmetry ladder of a space group.

    Parameters
    ----------
    number
        Space-group number, 1 to 230.

    Returns
    -------
    SymmetryLadder
        All levels.

    Raises
    ------
    InputError
        If the number is not in 1 to 230.
    """
    setting = reference_setting(number)
    group = gemmi.get_spacegroup_reference_setting(setting.number)
    same = "+".join(str(other) for other in extinction_groups(setting.number))
    return SymmetryLadder(
        space_group=setting.number,
        symbol=short_symbol(setting.number),
        extinction_class=f"{group.laue_str()}: {same}",
        point_group=group.point_group_hm(),
        laue_class=group.laue_str(),
        bravais_lattice=_bravais_lattice(group),
        crystal_system=group.crystal_system_str(),
    )


def short_symbol(number: int) -> str:
    """Short Hermann-Mauguin symbol of a space group, such as ``"R-3m"``, without blanks, origin or axes."""
    setting = reference_setting(number)
    group = gemmi.get_spacegroup_reference_setting(setting.number)
    # gemmi writes hexagonal axes of rhombohedral groups as H; everybody else writes R.
    return str(group.short_name()).replace("H", "R", 1)


def _bravais_lattice(group: gemmi.SpaceGroup) -> str:
    family = {
        "triclinic": "a",
        "monoclinic": "m",
        "orthorhombic": "o",
        "tetragonal": "t",
        "trigonal": "h",
        "hexagonal": "h",
        "cubic": "c",
    }[group.crystal_system_str()]
    centring = group.centring_type()
    return family + ("S" if centring in "ABC" else centring)


def absent(setting: Setting, hkl: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which reflections are systematically absent.

    A reflection h is absent if an operation (W, w) leaves it as it is (h W = h) but changes its phase
    (h · w not an integer); International Tables Vol. A, section 1.6.3.

    Parameters
    ----------
    setting
        Setting of the space group.
    hkl
        Miller indices, shape (n, 3).

    Returns
    -------
    numpy.ndarray
        Boolean, shape (n,).
    """
    rotations = setting.rotations
    shifts = np.rint(setting.translations * 24).astype(np.int64)
    result = np.zeros(len(hkl), dtype=bool)
    for rotation, shift in zip(rotations, shifts, strict=True):
        if not shift.any():
            continue
        kept = (hkl @ rotation == hkl).all(axis=1)
        result |= kept & ((hkl @ shift) % 24 != 0)
    return result


@cache
def classes_by_absences(symmetry: Literal["laue", "point group"]) -> tuple[tuple[int, ...], ...]:
    """Groups that share their systematic absences and their Laue class or point group, axes relabelled where allowed.

    Parameters
    ----------
    symmetry
        Whether the Laue class or the point group is known besides the absences. Both as operations in the frame of
        the lattice, so that -3m1 and -31m differ.

    Returns
    -------
    tuple of tuple of int
        Space-group numbers, class by class, in order of their first group.

    Notes
    -----
    With the Laue class these are the 122 diffraction symbols of International Tables (Looijenga-Vos & Buerger, Vol. A,
    chapter 1.6); with the point group 217 classes remain, the 230 groups less the 11 enantiomorphic pairs and the pairs
    {23, 24} and {197, 199}. Counted without regard to the setting of trigonal axes but with orthorhombic axes as the
    reference settings name them, the numbers are 131 and 210.
    """
    edge = 2 * _BOX + 1
    hkl = np.stack(np.meshgrid(*[np.arange(-_BOX, _BOX + 1)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    members: dict[tuple[bytes, bytes], list[int]] = defaultdict(list)
    for number in range(1, 231):
        setting = reference_setting(number)
        mask = absent(setting, hkl).reshape(edge, edge, edge)
        operations = setting.laue_operations if symmetry == "laue" else setting.point_group_operations
        # Orthorhombic axes are interchangeable: Pca2_1 and Pbcm share their absences (P b c -) only after relabelling.
        # In the other systems the reference settings already agree on their axes.
        swap = setting.crystal_system == "orthorhombic"
        orders = permutations(range(3)) if swap else iter([(0, 1, 2)])
        key = min(
            (_sorted_bytes(operations[:, order][:, :, order]), np.packbits(mask.transpose(order)).tobytes())
            for order in map(list, orders)
        )
        members[key].append(number)
    return tuple(tuple(numbers) for numbers in members.values())


def _sorted_bytes(operations: NDArray[np.int64]) -> bytes:
    """A set of matrices as bytes that do not depend on their order."""
    return b"".join(sorted(matrix.astype(np.int8).tobytes() for matrix in operations))


@cache
def extinction_groups(number: int) -> tuple[int, ...]:
    """Numbers of the groups with the Laue class and the systematic absences of a group, itself included."""
    wanted = reference_setting(number).number
    return next(numbers for numbers in classes_by_absences("laue") if wanted in numbers)
