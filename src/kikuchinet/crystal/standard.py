"""The bridge to spglib: the space group of a set of atoms, and the reference setting of an unusual one."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
import spglib
from numpy.typing import NDArray

from kikuchinet.crystal.orbits import full_orbit
from kikuchinet.crystal.symmetry import Setting, cell_from_metric, reference_setting, symmetrised_metric

if TYPE_CHECKING:
    from kikuchinet.crystal.crystal import Crystal, Site

SpglibCell = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]

_NM_TO_ANGSTROM = 10.0


def species_of_positions(crystal: Crystal) -> tuple[NDArray[np.float64], list[tuple[tuple[int, float], ...]]]:
    """Distinct positions of a crystal and what sits on each: pairs (atomic number, occupancy)."""
    atoms = crystal.atoms()
    positions: list[NDArray[np.float64]] = []
    contents: list[list[tuple[int, float]]] = []
    for z, position, occupancy in zip(atoms.z, atoms.positions, atoms.occupancy, strict=True):
        entry = (int(z), round(float(occupancy), 3))
        if positions and occupancy < 1.0:
            difference = np.array(positions) - position
            difference -= np.rint(difference)
            distance = np.linalg.norm(difference @ crystal.direct_matrix, axis=1)
            nearest = int(distance.argmin())
            if distance[nearest] < 1e-3:
                contents[nearest].append(entry)
                continue
        positions.append(position)
        contents.append([entry])
    return np.array(positions), [tuple(sorted(content)) for content in contents]


def spglib_cell(crystal: Crystal) -> SpglibCell:
    """A crystal as spglib takes it, in ångström; every distinct content of a position is a kind of its own."""
    positions, contents = species_of_positions(crystal)
    kinds = {content: kind for kind, content in enumerate(dict.fromkeys(contents), start=1)}
    return (
        crystal.direct_matrix * _NM_TO_ANGSTROM,
        positions,
        np.array([kinds[content] for content in contents], dtype=np.int64),
    )


def spglib_dataset(cell: SpglibCell, symprec_nm: float, hall_number: int = 0) -> Any | None:
    """The dataset that spglib makes of a cell, or None if it finds no symmetry."""
    lattice, positions, kinds = cell
    plain = (lattice.tolist(), positions.tolist(), kinds.tolist())
    try:
        return spglib.get_symmetry_dataset(
            plain, symprec=symprec_nm * _NM_TO_ANGSTROM, hall_number=hall_number
        )
    except spglib.SpglibError:
        return None


def hall_types() -> dict[int, Any]:
    """Describe each of spglib's 530 Hall numbers."""
    found = {number: spglib.get_spacegroup_type(number) for number in range(1, 531)}
    return {number: kind for number, kind in found.items() if kind is not None}


def spglib_number(crystal: Crystal, symprec_nm: float = 1e-4) -> int:
    """Space-group number that spglib finds for a crystal's atoms, 0 if it finds none."""
    dataset = spglib_dataset(spglib_cell(crystal), symprec_nm)
    return 0 if dataset is None else int(dataset.number)


def has_no_higher_symmetry(crystal: Crystal, symprec_nm: float = 1e-4) -> bool:
    """Whether spglib finds a crystal's own group and no smaller cell: as many operations as its setting has."""
    dataset = spglib_dataset(spglib_cell(crystal), symprec_nm)
    return dataset is not None and _is_described(dataset, crystal)


def _is_described(dataset: Any, crystal: Crystal) -> bool:
    operations = len(crystal.setting_operations.rotations)
    return int(dataset.number) == crystal.space_group and len(dataset.rotations) == operations


@cache
def _hall_numbers() -> dict[int, int]:
    """Hall number in spglib of the reference setting of each space group, found by comparing operations."""
    wanted = {number: _operation_keys_of_reference(number) for number in range(1, 231)}
    found: dict[int, int] = {}
    for hall_number, kind in hall_types().items():
        number = int(kind.number)
        if number in found:
            continue
        symmetry = spglib.get_symmetry_from_database(hall_number)
        if (
            symmetry is not None
            and operation_keys(symmetry["rotations"], symmetry["translations"]) == wanted[number]
        ):
            found[number] = hall_number
    return found


def hall_number_of_reference(number: int) -> int:
    """Hall number in spglib (1 to 530) of the reference setting of a space group."""
    return _hall_numbers()[number]


def operation_keys(rotations: NDArray[Any], translations: NDArray[Any]) -> frozenset[tuple[int, ...]]:
    """A set of operations as a hashable thing: rotations as they are, translations in 24ths modulo 1."""
    twentyfourths = np.rint(np.asarray(translations) * 24).astype(int) % 24
    flat = np.concatenate([np.asarray(rotations).reshape(-1, 9), twentyfourths], axis=1)
    return frozenset(tuple(int(x) for x in row) for row in flat)


def _operation_keys_of_reference(number: int) -> frozenset[tuple[int, ...]]:
    setting = reference_setting(number)
    return operation_keys(setting.rotations, setting.translations)


def reference_transformation(
    rotations: NDArray[np.int64], translations: NDArray[np.float64], metric: NDArray[np.float64]
) -> tuple[Setting, NDArray[np.float64], NDArray[np.float64]] | None:
    """How to get from a setting that nobody tabulates to the reference setting of its group.

    spglib is shown a structure made for the purpose: three general orbits under exactly the operations given, so that
    what it finds depends on the operations only and not on atoms that may have a higher symmetry.

    Parameters
    ----------
    rotations, translations
        The operations, shapes (m, 3, 3) and (m, 3).
    metric
        Metric tensor of the cell in nm², obeying the operations.

    Returns
    -------
    setting, matrix, shift
        The reference setting and the change of coordinates x' = matrix @ x + shift; None if spglib finds no group with
        as many operations as were given.
    """
    rng = np.random.default_rng(20)
    lattice = np.linalg.cholesky(metric).astype(np.float64)
    # The cell may look more symmetric than its operations; orbits of different kinds in general positions do not.
    points = rng.uniform(0.05, 0.45, size=(3, 3))
    orbits = [np.einsum("nij,j->ni", rotations, point) + translations for point in points]
    kinds = np.repeat(np.arange(1, len(points) + 1, dtype=np.int64), len(rotations))
    cell: SpglibCell = (lattice * _NM_TO_ANGSTROM, np.concatenate(orbits) % 1.0, kinds)
    dataset = spglib_dataset(cell, 1e-5)
    if dataset is None:
        return None
    number = int(dataset.number)
    dataset = spglib_dataset(cell, 1e-5, hall_number_of_reference(number))
    if dataset is None or len(dataset.rotations) != len(rotations):
        return None
    matrix = np.asarray(dataset.transformation_matrix, dtype=np.float64)
    return reference_setting(number), matrix, np.asarray(dataset.origin_shift, dtype=np.float64)


def in_found_group(crystal: Crystal, symprec_nm: float = 1e-4) -> Crystal | None:
    """The same crystal described in the group that spglib finds.

    Parameters
    ----------
    crystal
        A crystal whose atoms may have a higher symmetry than its group, or a smaller cell.
    symprec_nm
        How far an atom may be from its image.

    Returns
    -------
    Crystal or None
        The crystal itself if it has all the symmetry that is found; else in the reference setting of the group found. None
        if spglib finds none.
    """
    cell = spglib_cell(crystal)
    dataset = spglib_dataset(cell, symprec_nm)
    if dataset is None:
        return None
    if _is_described(dataset, crystal):
        return crystal
    number = int(dataset.number)
    dataset = spglib_dataset(cell, symprec_nm, hall_number_of_reference(number))
    if dataset is None:
        return None
    matrix = np.asarray(dataset.transformation_matrix, dtype=np.float64)
    shift = np.asarray(dataset.origin_shift, dtype=np.float64)
    setting = reference_setting(number)
    rows = np.linalg.inv(matrix).T @ crystal.direct_matrix
    a, b, c, alpha, beta, gamma = cell_from_metric(symmetrised_metric(rows @ rows.T, setting))
    atoms = crystal.atoms()
    sites: list[Site] = []
    orbits: list[NDArray[np.float64]] = []
    for first in range(len(atoms)):
        position = matrix @ atoms.positions[first] + shift
        near = [
            np.linalg.norm((d := orbit - position) @ rows - np.rint(d) @ rows, axis=1).min()
            for orbit in orbits
        ]
        if near and min(near) < 1e-3:
            continue
        orbits.append(full_orbit((position[0], position[1], position[2]), setting, rows))
        x, y, z = (float(v) for v in orbits[-1][0])
        here = atoms.positions - atoms.positions[first]
        here -= np.rint(here)
        for i in np.flatnonzero(np.linalg.norm(here @ crystal.direct_matrix, axis=1) < 1e-3):
            old = crystal.sites[int(atoms.site_index[i])]
            sites.append(replace(old, position=(x, y, z)))
    return crystal.replace(
        space_group=number,
        setting=setting.symbol,
        a_nm=a,
        b_nm=b,
        c_nm=c,
        alpha_deg=alpha,
        beta_deg=beta,
        gamma_deg=gamma,
        sites=tuple(sites),
    )
