"""CIF in and out."""

from __future__ import annotations

import math
from pathlib import Path

import gemmi
import numpy as np

from kikuchinet.crystal.cif_sites import SiteTable, asymmetric_unit, read_sites
from kikuchinet.crystal.cif_symmetry import StatedSymmetry, stated_symmetry
from kikuchinet.crystal.crystal import Crystal
from kikuchinet.crystal.orbits import full_orbit
from kikuchinet.crystal.standard import reference_transformation
from kikuchinet.crystal.symmetry import (
    Setting,
    cell_from_metric,
    metric_from_cell,
    metric_mismatch,
    symmetrised_metric,
)
from kikuchinet.errors import InputError

_LARGEST_FILE_BYTES = 100_000_000  # CIFs with embedded reflection lists reach tens of megabytes
_CELL_TOLERANCE = 5e-3  # relative; powder cells of distorted crystals differ by more than this
_MOST_ATOMS_FOR_SPGLIB = 1000
_CELL_TAGS = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
_NAME_TAGS = (
    "_chemical_name_common",
    "_chemical_name_mineral",
    "_pd_phase_name",
    "_chemical_name_structure_type",
    "_chemical_formula_sum",
)


def cif_files(path: str | Path) -> list[Path]:
    """Return a CIF file, or those of a folder, by name.

    Parameters
    ----------
    path
        A file, whatever its name, or a folder with files that end in ``.cif``.

    Raises
    ------
    InputError
        There is no such file or folder, or the folder holds no CIF file.
    """
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.is_dir():
        raise InputError(path, "does not exist")
    files = sorted(file for file in path.iterdir() if file.suffix.lower() == ".cif" and file.is_file())
    if not files:
        raise InputError(path, "a folder without any CIF file (.cif)")
    return files


def read_cif(path: str | Path) -> Crystal:
    """Read a crystal from a CIF file.

    Parameters
    ----------
    path
        The file. Of several data blocks the first with atoms is read.

    Returns
    -------
    Crystal
        In the file's own setting where it is a tabulated one, else in the reference setting; `note` says what had to be
        decided or assumed.

    Raises
    ------
    InputError
        If the file cannot be read, is no CIF, holds no atoms, has no usable cell or space group, or its atoms overlap.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST_FILE_BYTES:
            raise InputError(
                path, f"is larger than {_LARGEST_FILE_BYTES // 1_000_000} MB, too large for a CIF"
            )
        content = file.read_bytes()
    except OSError as error:
        raise InputError(path, error.strerror or "cannot be read") from None
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("latin-1")  # older CIFs; every byte is a character there
    return read_cif_string(text, str(path), default_name=file.stem)


def read_cif_string(text: str, subject: str = "CIF", default_name: str = "") -> Crystal:
    """Read a crystal from the text of a CIF.

    Parameters
    ----------
    text
        The text.
    subject
        What to call it in errors.
    default_name
        Name of the crystal if the text has none; empty for the name of the data block.

    Returns
    -------
    Crystal
        See `read_cif`.

    Raises
    ------
    InputError
        See `read_cif`.
    """
    try:
        return _read(text, subject, default_name)
    except InputError as error:
        if error.subject == subject:
            raise
        # Whatever found the fault, the user knows the file, not the part.
        raise InputError(subject, f"{error.subject}: {error.cause}") from None


def _read(text: str, subject: str, default_name: str) -> Crystal:
    block = _block_with_atoms(text, subject)
    cell = _cell(block, subject)
    metric = metric_from_cell(cell)
    if np.linalg.det(metric) <= 1e-6 * np.prod(np.diag(metric)):
        raise InputError(subject, f"cell angles {cell[3:]} do not close to a cell")
    a, b, c, alpha, beta, gamma = cell
    angstrom = gemmi.UnitCell(10.0 * a, 10.0 * b, 10.0 * c, alpha, beta, gamma)
    table = read_sites(block, angstrom, subject)
    symmetry = stated_symmetry(block, subject)
    notes = [symmetry.note] if symmetry.note else []
    if symmetry.candidates:
        setting = _likeliest(symmetry, cell, table)
        if len(symmetry.candidates) > 1:
            notes.append(f"the origin was not stated; {setting.symbol} suits the atoms best")
    else:
        setting, cell, table = _to_reference(symmetry, cell, table, subject)
        notes.append(f"the file's setting is not a tabulated one; transformed to {setting.symbol}")
    cell, cell_note = _obeying(cell, setting, subject)
    notes += [cell_note] if cell_note else []
    unit = asymmetric_unit(table, setting, _direct_matrix(cell))
    crystal = Crystal(
        name=_name(block, default_name),
        a_nm=cell[0],
        b_nm=cell[1],
        c_nm=cell[2],
        alpha_deg=cell[3],
        beta_deg=cell[4],
        gamma_deg=cell[5],
        space_group=setting.number,
        setting=setting.symbol,
        sites=tuple(unit.sites),
        source=_source(block),
        structure_verified=_tag(block, "_kikuchinet_structure_verified") == "yes",
        lattice_verified=_tag(block, "_kikuchinet_lattice_verified") == "yes",
        prototype=_tag(block, "_kikuchinet_prototype"),
    )
    try:
        crystal.check(symmetry=False)
    except InputError as error:
        raise InputError(subject, error.cause) from None
    if crystal.n_atoms <= _MOST_ATOMS_FOR_SPGLIB:
        found = crystal.spglib_number()
        if found not in (0, crystal.space_group):
            notes.append(f"spglib finds space group {found} for these atoms")
    kept = _tag(block, "_kikuchinet_note")
    notes = ([kept] if kept else []) + [note for note in [*unit.notes, *notes] if note not in kept]
    return crystal.replace(note="; ".join(notes))


def write_cif(crystal: Crystal) -> str:
    """The text of a CIF with everything that `read_cif_string` needs to make the same crystal again."""
    block = gemmi.cif.Block(
        "".join(c if c.isalnum() or c in "-+_." else "_" for c in crystal.name) or "crystal"
    )
    quote = gemmi.cif.quote

    def put(tag: str, value: str) -> None:
        if value:
            block.set_pair(tag, quote(value))

    put("_chemical_name_common", crystal.name)
    put("_chemical_formula_sum", crystal.formula)
    for tag, value in zip(_CELL_TAGS, crystal.cell, strict=True):
        block.set_pair(f"_cell_{tag}", _exact(value * 10.0 if tag.startswith("length") else value))
    setting = crystal.setting_operations
    block.set_pair("_space_group_IT_number", str(crystal.space_group))
    put("_space_group_name_H-M_alt", crystal.setting)
    put("_space_group_name_Hall", setting.hall)
    put("_kikuchinet_prototype", crystal.prototype)
    put("_kikuchinet_source", crystal.source)
    put("_kikuchinet_note", crystal.note)
    put("_kikuchinet_structure_verified", "yes" if crystal.structure_verified else "no")
    put("_kikuchinet_lattice_verified", "yes" if crystal.lattice_verified else "no")
    operations = block.init_loop("_space_group_symop_", ["operation_xyz"])
    for triplet in setting.triplets:
        operations.add_row([quote(triplet)])
    atoms = block.init_loop(
        "_atom_site_",
        ["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy", "B_iso_or_equiv"],
    )
    for number, site in enumerate(crystal.sites, start=1):
        label = site.label or f"{site.element}{number}"
        numbers = [*site.position, site.occupancy, site.b_iso_nm2 * 100.0]
        atoms.add_row([quote(label), site.element, *(_exact(x) for x in numbers)])
    return str(block.as_string())


def _exact(value: float) -> str:
    # Twelve digits survive the change of units and are far finer than any measurement.
    return f"{value:.12g}"


def _block_with_atoms(text: str, subject: str) -> gemmi.cif.Block:
    if not text.strip():
        raise InputError(subject, "is empty")
    try:
        document = gemmi.cif.read_string(text)
    except (ValueError, RuntimeError, UnicodeError) as error:
        where = str(error).removeprefix("string:")
        raise InputError(subject, f"is not a CIF or is damaged ({where})") from None
    if len(document) == 0:
        raise InputError(subject, "is not a CIF (no data block)")
    for block in document:
        if len(block.find_values("_atom_site_fract_x")) > 0:
            return block
    raise InputError(subject, "has no atoms (no _atom_site_fract_x in any data block)")


def _cell(block: gemmi.cif.Block, subject: str) -> tuple[float, float, float, float, float, float]:
    values = []
    for tag in _CELL_TAGS:
        value = float(gemmi.cif.as_number(block.find_value(f"_cell_{tag}") or "?"))
        if not (math.isfinite(value) and value > 0.0):
            raise InputError(subject, f"_cell_{tag} is missing or not a positive number")
        if tag.startswith("length") and not 0.5 <= value <= 1000.0:
            raise InputError(subject, f"_cell_{tag} is {value:g} Å, which no crystal has")
        values.append(value / 10.0 if tag.startswith("length") else value)
    return values[0], values[1], values[2], values[3], values[4], values[5]


def _obeying(
    cell: tuple[float, float, float, float, float, float], setting: Setting, subject: str
) -> tuple[tuple[float, float, float, float, float, float], str]:
    """The cell made to obey its space group exactly, and what to say about it."""
    metric = metric_from_cell(cell)
    mismatch = metric_mismatch(metric, setting)
    if mismatch > _CELL_TOLERANCE:
        shown = ", ".join(f"{x:.6g}" for x in cell)
        raise InputError(subject, f"cell ({shown}; nm, degrees) does not obey space group {setting.symbol!r}")
    if mismatch < 1e-12:
        return cell, ""
    exact = cell_from_metric(symmetrised_metric(metric, setting))
    return exact, "cell made to obey its space group exactly" if mismatch > 1e-5 else ""


def _direct_matrix(cell: tuple[float, float, float, float, float, float]) -> np.ndarray:
    # Any basis with the right metric serves to measure distances.
    return np.linalg.cholesky(metric_from_cell(cell))


def _likeliest(
    symmetry: StatedSymmetry, cell: tuple[float, float, float, float, float, float], table: SiteTable
) -> Setting:
    """Of two origins the one that puts more atoms on special positions.

    A structure described from one origin and read from the other has its atoms off the special positions: silicon at
    (0, 0, 0) of Fd-3m makes 8 atoms with origin choice 1 and 16 with choice 2.
    """
    if len(symmetry.candidates) == 1:
        return symmetry.candidates[0]
    matrix = _direct_matrix(cell)
    counts = []
    for setting in symmetry.candidates:
        unit = asymmetric_unit(table, setting, matrix)
        counts.append(sum(len(full_orbit(site.position, setting, matrix)) for site in unit.sites))
    return symmetry.candidates[int(np.argmin(counts))]


def _to_reference(
    symmetry: StatedSymmetry,
    cell: tuple[float, float, float, float, float, float],
    table: SiteTable,
    subject: str,
) -> tuple[Setting, tuple[float, float, float, float, float, float], SiteTable]:
    """Cell and sites taken from an untabulated setting to the reference setting of their group."""
    if symmetry.rotations is None or symmetry.translations is None:
        raise InputError(subject, "states no symmetry operations")
    operations = symmetry.rotations.astype(np.float64)
    metric = metric_from_cell(cell)
    average = np.einsum("nji,jk,nkl->il", operations, metric, operations) / len(operations)
    if np.abs(average - metric).max() > _CELL_TOLERANCE * np.trace(metric) / 3.0:
        raise InputError(subject, "cell does not obey the symmetry operations listed")
    found = reference_transformation(symmetry.rotations, symmetry.translations, average)
    if found is None:
        raise InputError(subject, "spglib does not know the space group of the symmetry operations listed")
    setting, matrix, shift = found
    inverse = np.linalg.inv(matrix)
    new_cell = cell_from_metric(inverse.T @ average @ inverse)
    sites = []
    for site in table.sites:
        x, y, z = (float(v) for v in matrix @ np.asarray(site.position) + shift)
        sites.append(type(site)(site.element, (x, y, z), site.occupancy, site.b_iso_nm2, site.label))
    return setting, new_cell, SiteTable(sites, table.notes)


def _tag(block: gemmi.cif.Block, tag: str) -> str:
    raw = block.find_value(tag)
    text = gemmi.cif.as_string(raw).strip() if raw is not None else ""
    return "" if text in {"?", "."} else str(text)


def _name(block: gemmi.cif.Block, default_name: str) -> str:
    for tag in _NAME_TAGS[:3]:
        if text := _tag(block, tag):
            return " ".join(text.split())
    return (
        default_name
        or block.name.strip()
        or _tag(block, "_chemical_formula_sum").replace(" ", "")
        or "crystal"
    )


def _source(block: gemmi.cif.Block) -> str:
    """Where the structure comes from, as far as the file says."""
    if ours := _tag(block, "_kikuchinet_source"):
        return ours
    parts = [
        _tag(block, "_journal_name_full") or _tag(block, "_citation_journal_full"),
        _tag(block, "_journal_volume"),
        f"({year})" if (year := _tag(block, "_journal_year")) else "",
        _tag(block, "_journal_page_first"),
        f"COD {code}" if (code := _tag(block, "_cod_database_code")) else "",
        f"doi {doi}" if (doi := _tag(block, "_journal_paper_doi")) else "",
    ]
    return " ".join(" ".join(part.split()) for part in parts if part)
