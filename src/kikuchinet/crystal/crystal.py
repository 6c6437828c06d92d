"""A crystal: cell, space group, sites."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import elements
from kikuchinet.crystal.ladder import SymmetryLadder, ladder
from kikuchinet.crystal.orbits import full_orbit
from kikuchinet.crystal.symmetry import (
    Setting,
    find_setting,
    metric_from_cell,
    metric_mismatch,
    reference_setting,
)
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT_B_ISO_NM2 = 0.005
"""Debye-Waller factor where nothing is known: 0.5 Å², typical of inorganic crystals at room temperature (the Gao & Peng
1999 room-temperature values of the elemental metals lie between 0.15 and 1 Å²)."""

_ATOMIC_MASS_G = 1.66053906892e-24  # CODATA 2022
_CELL_TOLERANCE = 1e-4  # relative misfit of the metric that rounding of published cells explains
_TOUCHING_NM = 0.05  # nothing but hydrogen comes nearer than 0.074 nm (H2)
_STRUCTURAL_FIELDS = {"space_group", "setting"}
_LATTICE_FIELDS = {"a_nm", "b_nm", "c_nm", "alpha_deg", "beta_deg", "gamma_deg"}


@dataclass(frozen=True)
class Site:
    """One kind of atom on one position of the asymmetric unit.

    Parameters
    ----------
    element
        Chemical symbol.
    position
        Fractional coordinates.
    occupancy
        Fraction of the positions of the orbit that this element fills, 0 < occupancy ≤ 1.
    b_iso_nm2
        Isotropic Debye-Waller factor B = 8π²⟨u²⟩ in nm².
    label
        Name of the site, for people.
    """

    element: str
    position: tuple[float, float, float]
    occupancy: float = 1.0
    b_iso_nm2: float = DEFAULT_B_ISO_NM2
    label: str = ""

    def __post_init__(self) -> None:
        elements.atomic_number(self.element)
        name = self.label or self.element
        position = tuple(float(x) for x in self.position)
        if len(position) != 3 or not all(math.isfinite(x) for x in position):
            raise InputError(name, f"position {self.position} is not three finite numbers")
        if not 0.0 < self.occupancy <= 1.0:
            raise InputError(name, f"occupancy {self.occupancy} is not in (0, 1]")
        if not (math.isfinite(self.b_iso_nm2) and self.b_iso_nm2 >= 0.0):
            raise InputError(name, f"Debye-Waller factor {self.b_iso_nm2} nm² is not a number ≥ 0")
        object.__setattr__(self, "position", position)


@dataclass(frozen=True)
class Atoms:
    """All atoms of the conventional cell.

    Parameters
    ----------
    z
        Atomic numbers, shape (n,).
    positions
        Fractional coordinates in [0, 1), shape (n, 3).
    occupancy
        Occupancies, shape (n,). Mixed sites are several atoms at one position.
    b_iso_nm2
        Debye-Waller factors in nm², shape (n,).
    site_index
        Index into ``Crystal.sites``, shape (n,).
    """

    z: NDArray[np.int64]
    positions: NDArray[np.float64]
    occupancy: NDArray[np.float64]
    b_iso_nm2: NDArray[np.float64]
    site_index: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.z)


@dataclass(frozen=True)
class Crystal:
    """A crystal structure in one setting of one space group.

    Parameters
    ----------
    name
        Name of the crystal.
    a_nm, b_nm, c_nm
        Cell lengths in nm.
    alpha_deg, beta_deg, gamma_deg
        Cell angles in degrees.
    space_group
        Number, 1 to 230.
    setting
        Extended Hermann-Mauguin symbol as gemmi writes it, such as ``"F d -3 m:2"``; empty for the reference setting
        (origin choice 2, hexagonal axes, unique axis b).
    sites
        The asymmetric unit. A mixed site is several `Site` at one position.
    source
        Where cell and positions come from.
    structure_verified, lattice_verified
        Whether the positions and the lattice parameters were read in a source, not recalled.
    prototype
        Structure type.
    note
        What a user should know, such as changes made when the file was read.

    Raises
    ------
    InputError
        If the cell is impossible or does not obey the space group, or the setting is not one of the group's.
    """

    name: str
    a_nm: float
    b_nm: float
    c_nm: float
    alpha_deg: float
    beta_deg: float
    gamma_deg: float
    space_group: int
    setting: str
    sites: tuple[Site, ...]
    source: str = ""
    structure_verified: bool = False
    lattice_verified: bool = False
    prototype: str = ""
    note: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "sites", tuple(self.sites))
        if not self.setting:
            object.__setattr__(self, "setting", reference_setting(self.space_group).symbol)
        setting = find_setting(self.setting)
        if setting.number != self.space_group:
            raise InputError(
                self.name, f"setting {self.setting!r} is not one of space group {self.space_group}"
            )
        if not self.sites:
            raise InputError(self.name, "has no atoms")
        if not all(math.isfinite(x) and x > 0.0 for x in self.cell):
            raise InputError(self.name, f"cell {self.cell} is not six positive numbers")
        metric = metric_from_cell(self.cell)
        if np.linalg.det(metric) <= 1e-6 * np.prod(np.diag(metric)):
            raise InputError(self.name, f"cell angles {self.cell[3:]} do not close to a cell")
        if metric_mismatch(metric, setting) > _CELL_TOLERANCE:
            lengths = ", ".join(f"{x:.6g}" for x in self.cell)
            raise InputError(self.name, f"cell ({lengths}) does not obey space group {self.setting!r}")

    # ---------------------------------------------------------------- doors

    @classmethod
    def from_cif(cls, path: str | Path) -> Crystal:
        """Read a crystal from a CIF file; see `kikuchinet.crystal.cif.read_cif`."""
        from kikuchinet.crystal.cif import read_cif

        return read_cif(path)

    @classmethod
    def from_cif_string(cls, text: str, name: str = "") -> Crystal:
        """Read a crystal from the text of a CIF; see `kikuchinet.crystal.cif.read_cif_string`.

        Parameters
        ----------
        text
            The text.
        name
            What to call it in errors, and the crystal if the text does not name it.
        """
        from kikuchinet.crystal.cif import read_cif_string

        return read_cif_string(text, name or "CIF", default_name=name)

    def to_cif(self) -> str:
        """The crystal as the text of a CIF, operations listed, so that any program reads the same setting."""
        from kikuchinet.crystal.cif import write_cif

        return write_cif(self)

    def replace(self, **changes: Any) -> Crystal:
        """A copy with some fields changed.

        What was verified does not stay verified when it is changed, unless the caller says so.
        """
        if set(changes) & _STRUCTURAL_FIELDS or "sites" in changes:
            changes.setdefault("structure_verified", False)
        if set(changes) & (_LATTICE_FIELDS | _STRUCTURAL_FIELDS):
            changes.setdefault("lattice_verified", False)
        return replace(self, **changes)

    # ---------------------------------------------------------------- lattice

    @property
    def verified(self) -> bool:
        """Whether both positions and lattice parameters were read in a source."""
        return self.structure_verified and self.lattice_verified

    @property
    def cell(self) -> tuple[float, float, float, float, float, float]:
        """Lengths in nm and angles in degrees."""
        return self.a_nm, self.b_nm, self.c_nm, self.alpha_deg, self.beta_deg, self.gamma_deg

    @cached_property
    def direct_matrix(self) -> NDArray[np.float64]:
        """Rows a, b, c in the Cartesian crystal frame (e1 ∥ a, e3 ∥ c*), nm, shape (3, 3): r = x @ direct_matrix."""
        metric = metric_from_cell(self.cell)
        a, b, c = (math.sqrt(metric[i, i]) for i in range(3))
        cos_alpha, cos_beta, cos_gamma = (
            metric[1, 2] / (b * c),
            metric[0, 2] / (a * c),
            metric[0, 1] / (a * b),
        )
        sin_gamma = math.sqrt(1.0 - cos_gamma**2)
        volume = math.sqrt(np.linalg.det(metric))
        matrix = np.array(
            [
                [a, 0.0, 0.0],
                [b * cos_gamma, b * sin_gamma, 0.0],
                [
                    c * cos_beta,
                    c * (cos_alpha - cos_beta * cos_gamma) / sin_gamma,
                    volume / (a * b * sin_gamma),
                ],
            ]
        )
        matrix.setflags(write=False)
        return matrix

    @cached_property
    def reciprocal_matrix(self) -> NDArray[np.float64]:
        """Rows a*, b*, c* in the Cartesian crystal frame, 1/nm without 2π, (3, 3): g = hkl @ reciprocal_matrix."""
        matrix = np.linalg.inv(self.direct_matrix).T.astype(np.float64)
        matrix[np.abs(matrix) < 1e-14 * np.abs(matrix).max()] = 0.0
        matrix.setflags(write=False)
        return matrix

    @property
    def volume_nm3(self) -> float:
        """Volume of the conventional cell in nm³."""
        return float(np.linalg.det(self.direct_matrix))

    # ---------------------------------------------------------------- symmetry

    @property
    def setting_operations(self) -> Setting:
        """The setting with all its operations."""
        return find_setting(self.setting)

    @property
    def point_group_operations(self) -> NDArray[np.int64]:
        """Rotation parts in fractional direct coordinates (x' = W x), shape (m, 3, 3), identity first."""
        return self.setting_operations.point_group_operations

    @property
    def laue_operations(self) -> NDArray[np.int64]:
        """Point-group operations with the inversion added, shape (m, 3, 3), identity first."""
        return self.setting_operations.laue_operations

    @property
    def centring(self) -> str:
        """Centring of the lattice in this setting: P, A, B, C, I, F or R."""
        return self.setting_operations.centring

    @property
    def symmetry(self) -> SymmetryLadder:
        """The symmetry ladder of the space group."""
        return ladder(self.space_group)

    # ---------------------------------------------------------------- contents

    def atoms(self) -> Atoms:
        """All atoms of the conventional cell, in the order of the sites."""
        return self._atoms

    @cached_property
    def _atoms(self) -> Atoms:
        orbits = [
            full_orbit(site.position, self.setting_operations, self.direct_matrix) for site in self.sites
        ]
        index = np.repeat(np.arange(len(self.sites)), [len(orbit) for orbit in orbits])

        def spread(values: list[Any]) -> NDArray[Any]:
            return np.array(values)[index]

        atoms = Atoms(
            z=spread([elements.atomic_number(site.element) for site in self.sites]),
            positions=np.concatenate(orbits),
            occupancy=spread([float(site.occupancy) for site in self.sites]),
            b_iso_nm2=spread([float(site.b_iso_nm2) for site in self.sites]),
            site_index=index,
        )
        for array in (atoms.z, atoms.positions, atoms.occupancy, atoms.b_iso_nm2, atoms.site_index):
            array.setflags(write=False)
        return atoms

    @cached_property
    def composition(self) -> dict[str, float]:
        """Atoms of each element in the conventional cell, weighted by occupancy."""
        counts: dict[str, float] = {}
        multiplicities = np.bincount(self.atoms().site_index, minlength=len(self.sites))
        for site, multiplicity in zip(self.sites, multiplicities, strict=True):
            # D and T are H to an electron.
            element = elements.symbol(elements.atomic_number(site.element))
            counts[element] = counts.get(element, 0.0) + float(multiplicity) * site.occupancy
        return counts

    @property
    def n_atoms(self) -> float:
        """Atoms in the conventional cell, weighted by occupancy."""
        return float(sum(self.composition.values()))

    @property
    def formula(self) -> str:
        """Chemical formula, elements in alphabetical order, reduced to the smallest whole numbers if there are."""
        return format_formula(self.composition)

    @property
    def mean_atomic_number(self) -> float:
        """Formula-weighted mean atomic number."""
        return sum(n * elements.atomic_number(e) for e, n in self.composition.items()) / self.n_atoms

    @property
    def density_g_cm3(self) -> float:
        """Mass density in g/cm³."""
        mass_g = sum(n * elements.atomic_weight(e) for e, n in self.composition.items()) * _ATOMIC_MASS_G
        return mass_g / (self.volume_nm3 * 1e-21)

    # ---------------------------------------------------------------- checks

    def check(self, *, symmetry: bool = True) -> None:
        """Check that the crystal can exist and is what it says.

        Parameters
        ----------
        symmetry
            Also let spglib find the space group of the atoms and compare.

        Raises
        ------
        InputError
            If atoms overlap (nearer than 0.05 nm although they cannot be alternatives of one another: their
            occupancies sum to more than one), or spglib finds another space group.
        """
        from kikuchinet.crystal.contacts import overlapping_sites

        clash = overlapping_sites(self, _TOUCHING_NM)
        if clash is not None:
            first, second, distance_nm = clash
            names = [self.sites[i].label or self.sites[i].element for i in (first, second)]
            raise InputError(
                self.name,
                f"atoms {names[0]} and {names[1]} are {distance_nm:.4f} nm apart and cannot both be there",
            )
        if symmetry:
            found = self.spglib_number()
            if found != self.space_group:
                raise InputError(self.name, f"says space group {self.space_group}, but spglib finds {found}")

    def spglib_number(self, symprec_nm: float = 1e-4) -> int:
        """Space-group number that spglib finds for the atoms.

        Parameters
        ----------
        symprec_nm
            How far an atom may be from its image, in nm.

        Returns
        -------
        int
            Space-group number, 0 if spglib finds none.
        """
        from kikuchinet.crystal.standard import spglib_number

        return spglib_number(self, symprec_nm)


def format_formula(composition: dict[str, float]) -> str:
    """Formula of a composition, elements in alphabetical order, reduced to the smallest whole numbers if there are.

    Parameters
    ----------
    composition
        Atoms of each element in any amount of the crystal.

    Returns
    -------
    str
        Such as ``"AlNi3"``; fractions are written with up to three decimals.
    """
    counts = dict(sorted(composition.items()))
    rounded = {element: round(count) for element, count in counts.items()}
    if all(abs(counts[e] - n) < 1e-3 and n > 0 for e, n in rounded.items()):
        divisor = math.gcd(*rounded.values())
        counts = {element: n // divisor for element, n in rounded.items()}
    return "".join(
        e + ("" if abs(n - 1) < 1e-9 else f"{n:.3f}".rstrip("0").rstrip(".")) for e, n in counts.items()
    )
