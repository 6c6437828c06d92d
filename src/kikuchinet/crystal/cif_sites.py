"""The atoms of a CIF."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field, replace

import gemmi
import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.crystal import DEFAULT_B_ISO_NM2, Site
from kikuchinet.crystal.debye_waller import TEMPERATURE_K, likely_b_iso_nm2
from kikuchinet.crystal.elements import atomic_number, symbol
from kikuchinet.crystal.orbits import full_orbit, snap, wrap
from kikuchinet.crystal.symmetry import Setting
from kikuchinet.errors import InputError

_ANGSTROM2_TO_NM2 = 0.01
_VACANCY = re.compile(r"^(va|vac|vc|vacancy|q|du|dummy)[\d_']*$", re.IGNORECASE)
_VACANCY_OR_VANADIUM = re.compile(r"^(va|vc)[\d_']*$", re.IGNORECASE)
_WATER = re.compile(r"^(wat|wa|ow)[a-z]?[\d_']*$", re.IGNORECASE)
_SEVERAL = re.compile(r"^(REE|LREE|HREE)[\d_']*$", re.IGNORECASE)
"""Rare earths together, as mineralogists write them."""
_TYPE_SYMBOL = re.compile(r"^([A-Za-z]{1,2})[\d.]*[+-]*\d*[+-]?(\([^)]*\)|[_'\"*].*)?$")
"""One element, perhaps with a charge (``Fe3+``, ``O-2``) and a remark (``H(SDS)``)."""
_FORMULA_PART = re.compile(r"^[(\[]*([A-Z][a-z]?)[\d.]*[)\]]*[\d.,]*$")
MOST_ATOMS = 5_000
"""Most atoms in a cell that are accepted; dynamical diffraction from larger cells is out of reach anyhow."""

_LARGEST_B_NM2 = 0.3  # 30 Å², u = 0.6 Å: beyond this a number is a slip or a wrong unit


@dataclass
class SiteTable:
    """Sites as listed, with what had to be assumed.

    Parameters
    ----------
    sites
        Sites in the order of the file.
    notes
        Assumptions and changes, for people.
    """

    sites: list[Site]
    notes: list[str] = field(default_factory=list)


def read_sites(block: gemmi.cif.Block, cell: gemmi.UnitCell, subject: str) -> SiteTable:
    """Read the atom sites of a CIF block.

    Parameters
    ----------
    block
        The data block.
    cell
        The cell in ångström, to make B of anisotropic displacements.
    subject
        Name of the file, for errors.

    Returns
    -------
    SiteTable
        Sites with a Debye-Waller factor each: the file's, else that of the elemental crystal at room temperature (see
        `debye_waller`), else the default; a note says which were assumed. Dummies and vacancies are left out; D and T
        become H; charges are dropped.

    Raises
    ------
    InputError
        If an element, a coordinate or an occupancy cannot be used, or there are no atoms. So too where labels alone say the
        elements, and one of them is not in the formula sum.
    """
    columns = ("fract_x", "fract_y", "fract_z", "?label", "?type_symbol", "?occupancy", "?calc_flag")
    displacement = ("?U_iso_or_equiv", "?B_iso_or_equiv")
    table = block.find("_atom_site_", list(columns + displacement))
    if len(table) == 0:
        raise InputError(subject, "has no atoms (no _atom_site_fract_x, _y, _z)")
    if len(table) > MOST_ATOMS:
        raise InputError(subject, f"lists {len(table)} atoms, more than {MOST_ATOMS}")
    anisotropic = _anisotropic_b(block, cell)
    formula = _formula_elements(block)
    # What `write_cif` writes is meant, zero and large values too; elsewhere they are slips.
    ours = block.find_value("_kikuchinet_structure_verified") is not None
    strange: list[str] = []
    result = SiteTable([])
    without_b: list[int] = []
    dropped = []
    for row in table:
        text = {name.lstrip("?"): _text(row, i) for i, name in enumerate(columns + displacement)}
        label = text["label"] or text["type_symbol"]
        if text["calc_flag"].lower() == "dum" or _is_vacancy(text["type_symbol"], label, formula, subject):
            dropped.append(label)
            continue
        occupancy = _number(text["occupancy"], default=1.0)
        if not (math.isfinite(occupancy) and 0.0 <= occupancy <= 1.02):
            raise InputError(subject, f"atom {label}: occupancy {text['occupancy']} is not between 0 and 1")
        if occupancy == 0.0:
            dropped.append(label)
            continue
        position = [_number(text[f"fract_{axis}"]) for axis in "xyz"]
        if not all(math.isfinite(x) and abs(x) < 100.0 for x in position):
            raise InputError(subject, f"atom {label}: position is missing or not a number")
        written = _number(text["B_iso_or_equiv"]) * _ANGSTROM2_TO_NM2
        meant = ours and math.isfinite(written) and written >= 0.0
        b_iso = written if meant else _isotropic_b(text, anisotropic.get(label))
        if b_iso is None:
            without_b.append(len(result.sites))
        element = _element(text["type_symbol"], label, formula, subject)
        if formula and element not in formula and element not in strange:
            strange.append(element)
        result.sites.append(
            Site(
                element=element,
                position=(position[0], position[1], position[2]),
                occupancy=min(occupancy, 1.0),
                b_iso_nm2=DEFAULT_B_ISO_NM2 if b_iso is None else b_iso,
                label=label,
            )
        )
    if not result.sites:
        raise InputError(subject, "has no atoms (only vacancies, dummies or empty sites)")
    _assume_b(result, without_b)
    if strange:
        result.notes.append(f"the formula sum has no {', '.join(strange)}, which the atoms have")
    if dropped:
        result.notes.append(f"without {', '.join(_shortened(dropped))} (vacancy, dummy or empty)")
    return result


def _assume_b(table: SiteTable, without_b: list[int]) -> None:
    """Give the sites that have no B that of their elemental crystals where it means something, else the default."""
    elements = {site.element for site in table.sites}
    elemental: list[int] = []
    for index in without_b:
        value = likely_b_iso_nm2(table.sites[index].element, elements)
        if value is not None:
            table.sites[index] = replace(table.sites[index], b_iso_nm2=value)
            elemental.append(index)
    rest = [index for index in without_b if index not in elemental]
    for indices, what in (
        (elemental, f"B of elemental crystals at {TEMPERATURE_K:.0f} K"),
        (rest, f"B = {DEFAULT_B_ISO_NM2} nm²"),
    ):
        if indices:
            labels = _shortened([table.sites[index].label for index in indices])
            which = "all sites" if len(indices) == len(table.sites) else ", ".join(labels)
            table.notes.append(f"{what} assumed for {which}")


def _shortened(labels: list[str]) -> list[str]:
    return labels if len(labels) <= 6 else [*labels[:5], f"{len(labels) - 5} more"]


def _text(row: gemmi.cif.Table.Row, column: int) -> str:
    if not row.has(column):
        return ""
    text = str(gemmi.cif.as_string(row[column])).strip()
    return "" if text in {"?", "."} else text


def _number(text: str, default: float = math.nan) -> float:
    """A number as CIFs write it: ``0.333(2)``; a fraction such as ``1/3`` is understood too."""
    if not text:
        return default
    numerator, slash, denominator = text.partition("/")
    if slash:
        top, bottom = gemmi.cif.as_number(numerator), gemmi.cif.as_number(denominator)
        return float(top / bottom) if bottom else math.nan
    return float(gemmi.cif.as_number(text))


def _formula_elements(block: gemmi.cif.Block) -> frozenset[str]:
    """Elements of the formula sum; empty if there is none, or it is not written as CIF wants it (``'Al2 O3'``)."""
    raw = block.find_value("_chemical_formula_sum")
    found = set()
    for part in str(gemmi.cif.as_string(raw)).split() if raw is not None else ():
        match = _FORMULA_PART.match(part)
        if match is None:
            return frozenset()
        name = "H" if match[1] in {"D", "T"} else match[1]
        try:
            found.add(symbol(atomic_number(name)))
        except InputError:
            return frozenset()
    return frozenset(found)


def _is_vacancy(type_symbol: str, label: str, formula: frozenset[str], subject: str) -> bool:
    if not type_symbol and _VACANCY_OR_VANADIUM.match(label):
        if not formula:
            raise InputError(
                subject,
                f"atom {label}: a vacancy or vanadium? Neither a type symbol nor a formula sum says it",
            )
        return "V" not in formula
    return _VACANCY.match(type_symbol or label) is not None


def _element(type_symbol: str, label: str, formula: frozenset[str], subject: str) -> str:
    """Element of a type symbol such as ``Fe3+`` or, where there is none, of a label such as ``Fe1A``.

    Of what a label can mean, what is in the formula sum is taken.
    """
    source = type_symbol or label
    if type_symbol:
        match = _TYPE_SYMBOL.match(type_symbol)
        tries = [match[1].capitalize()] if match else []
    elif _SEVERAL.match(label):
        tries = []
    elif _WATER.match(label) and "W" not in formula:
        tries = ["O"]
    else:
        letters = re.match(r"[A-Za-z]+", label)
        name = letters[0] if letters else ""
        # A symbol may be glued to other letters (CO2 for an oxygen's label, FeM1): take two letters if the second is small
        # or the whole word has two letters, else one.
        tries = [name[:2].capitalize(), name[:1].upper()]
        if len(name) > 1 and name[1].isupper() and len(name) != 2:
            tries.reverse()
    found = []
    for candidate in tries:
        try:
            # gemmi does not know tritium.
            found.append("H" if candidate == "T" else symbol(atomic_number(candidate)))
        except InputError:
            continue
    if not found:
        raise InputError(subject, f"atom {label}: {source!r} is not a chemical element")
    if type_symbol or not formula:
        return found[0]
    for element in found:
        if element in formula:
            return element
    raise InputError(subject, f"atom {label}: the formula sum has no {' and no '.join(dict.fromkeys(found))}")


def _isotropic_b(text: dict[str, str], anisotropic: float | None) -> float | None:
    """B in nm² from U, B or anisotropic displacements, whichever is given and can be true; None if none is."""
    u_iso = _number(text["U_iso_or_equiv"]) * 8.0 * math.pi**2 * _ANGSTROM2_TO_NM2
    b_iso = _number(text["B_iso_or_equiv"]) * _ANGSTROM2_TO_NM2
    for value in (u_iso, b_iso, anisotropic):
        # Zero is what programs write for "not refined".
        if value is not None and math.isfinite(value) and 0.0 < value <= _LARGEST_B_NM2:
            return value
    return None


def _anisotropic_b(block: gemmi.cif.Block, cell: gemmi.UnitCell) -> dict[str, float]:
    """Equivalent B in nm² by label.

    8π² U_eq, where U_eq is a third of the trace of the orthogonalised tensor (Fischer & Tillmanns, Acta Cryst. C44
    (1988) 775).
    """
    found: dict[str, float] = {}
    for kind, factor in (("U", 8.0 * math.pi**2), ("B", 1.0)):
        order = ["label", *(f"{kind}_{ij}" for ij in ("11", "22", "33", "12", "13", "23"))]
        for row in block.find("_atom_site_aniso_", order):
            values = [gemmi.cif.as_number(row[i]) for i in range(1, 7)]
            if all(math.isfinite(v) for v in values):
                tensor = gemmi.SMat33d(*values)
                found.setdefault(
                    gemmi.cif.as_string(row[0]), cell.calculate_u_eq(tensor) * factor * _ANGSTROM2_TO_NM2
                )
    return found


def asymmetric_unit(table: SiteTable, setting: Setting, direct_matrix: NDArray[np.float64]) -> SiteTable:
    """Sites moved onto their special positions, with symmetry copies taken out.

    Two entries of one element at one position are one site (oxidation states such as Fe2+ and Fe3+ that share it);
    entries at different positions of one orbit are copies, as in files that list the whole cell, and so are those a lattice
    translation apart with the same occupancy. Where the images of a split site are so near one another that they count as
    one atom, that atom has the occupancy of all of them.

    Parameters
    ----------
    table
        Sites as listed.
    setting
        Setting of the space group.
    direct_matrix
        Rows a, b, c in nm.

    Returns
    -------
    SiteTable
        The asymmetric unit, and the notes of `table` with new ones.

    Raises
    ------
    InputError
        If the cell holds more than `MOST_ATOMS` atoms.
    """
    kept: list[Site] = []
    starts: list[NDArray[np.float64]] = []
    placed: dict[str, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}  # positions and owners, by element
    copies = atoms = 0
    joined: list[str] = []
    for listed in table.sites:
        exact = snap(listed.position, setting, direct_matrix)
        site = listed
        if listed.occupancy < 1.0 and not _is_rounded(listed.position, exact):
            images = _images_joined(listed.position, exact, setting, direct_matrix)
            if images > 1 and images * listed.occupancy <= 1.02:
                site = replace(listed, occupancy=min(images * listed.occupancy, 1.0))
                joined.append(listed.label)
        points, owners = placed.get(site.element, (np.empty((0, 3)), np.empty(0, dtype=np.int64)))
        for index in np.unique(owners[_near(points, exact, direct_matrix)]):
            other = kept[index]
            total = other.occupancy + site.occupancy
            alike = math.isclose(other.occupancy, site.occupancy, abs_tol=0.02)
            shifted = np.abs(np.rint(starts[index] - exact)).any()
            here = _near(starts[index][None], exact, direct_matrix).any()
            if here and total <= 1.02 and not (alike and shifted):
                kept[index] = replace(other, occupancy=min(total, 1.0))
                break
            if alike:
                copies += 1
                break
        else:
            x, y, z = (float(value) for value in wrap(exact[None])[0])
            orbit = full_orbit((x, y, z), setting, direct_matrix)
            atoms += len(orbit)
            if atoms > MOST_ATOMS:
                raise InputError("cell", f"holds more than {MOST_ATOMS} atoms")
            owner = np.full(len(orbit), len(kept), dtype=np.int64)
            placed[site.element] = np.concatenate([points, orbit]), np.concatenate([owners, owner])
            kept.append(replace(site, position=(x, y, z)))
            starts.append(exact)
    notes = list(table.notes)
    if copies:
        notes.append(f"{copies} sites that symmetry makes of others taken out")
    if joined:
        notes.append(
            f"images of {', '.join(_shortened(joined))} closer than 0.01 nm joined, with their occupancies"
        )
    return SiteTable(kept, notes)


def _is_rounded(position: tuple[float, float, float], exact: NDArray[np.float64]) -> bool:
    """Whether a position is a special one as printed, such as 0.33 for 1/3, and not one beside it."""
    for value, true in zip(position, exact.tolist(), strict=True):
        if abs(value - true) > 5e-4 and not math.isclose(value, round(true, 2), abs_tol=1e-9):
            return False
    return True


def _images_joined(
    position: tuple[float, float, float],
    exact: NDArray[np.float64],
    setting: Setting,
    direct_matrix: NDArray[np.float64],
) -> int:
    """How many images of a position become one atom when it is moved to the special position `exact`."""
    x, y, z = exact.tolist()
    apart = len(full_orbit(position, setting, direct_matrix, 1e-3))
    return apart // len(full_orbit((x, y, z), setting, direct_matrix))


def _near(
    orbit: NDArray[np.float64], position: NDArray[np.float64], direct_matrix: NDArray[np.float64]
) -> NDArray[np.bool_]:
    difference = orbit - position
    difference -= np.rint(difference)
    # Entries of one site may differ by rounding; 0.01 nm is far less than any distance between two sites.
    near: NDArray[np.bool_] = np.linalg.norm(difference @ direct_matrix, axis=1) < 0.01
    return near
