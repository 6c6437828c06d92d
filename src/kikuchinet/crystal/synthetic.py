"""Crystals that nobody has made: random sites, elements and cells in any space group.

Training on crystals drawn from the symmetry operations generalises better than training on the structures that happen
to be known (Schopmans et al., Digital Discovery 2 (2023) 1414, for powder diffraction).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.contacts import shortest_distances_nm
from kikuchinet.crystal.crystal import Crystal, Site
from kikuchinet.crystal.elements import covalent_radius_nm, symbol
from kikuchinet.crystal.orbits import full_orbit, wrap
from kikuchinet.crystal.symmetry import Setting, cell_from_metric, reference_setting, symmetrised_metric

_MOST_ATTEMPTS = 400
_CANDIDATES = 6
_CONFIRM_NM = (1e-4, 5e-3)
"""spglib must find the group both with a strict and with a loose tolerance: an atom less than 0.005 nm from making the
crystal more symmetric would carry a label that no pattern shows."""

_NOBLE_OR_SHORT_LIVED = {2, 10, 18, 36, 43, 54, 61, 84, 85, 86, 87, 88, 89}
_ELEMENTS = tuple(z for z in range(3, 93) if z not in _NOBLE_OR_SHORT_LIVED)


@dataclass(frozen=True)
class SyntheticRanges:
    """What generated crystals may look like.

    Parameters
    ----------
    most_elements
        Largest number of different elements.
    most_sites
        Largest number of occupied orbits.
    most_atoms
        Largest number of atoms in the conventional cell; raised to the multiplicity of the general position where a
        group needs it.
    contact
        Range of the shortest distance between two atoms, in sums of their covalent radii (Cordero et al. 2008).
    density_g_cm3
        Range of densities.
    volume_per_atom_nm3
        Range of the mean volume per atom: diamond has 0.0057, caesium 0.115.
    b_iso_nm2
        Range of Debye-Waller factors.
    mixed_fraction
        Chance that a site is shared by two elements.
    vacant_fraction
        Chance that a site is partly empty.
    """

    most_elements: int = 4
    most_sites: int = 6
    most_atoms: int = 120
    contact: tuple[float, float] = (0.95, 1.25)
    density_g_cm3: tuple[float, float] = (1.0, 23.0)
    volume_per_atom_nm3: tuple[float, float] = (0.0055, 0.05)
    b_iso_nm2: tuple[float, float] = (0.002, 0.012)
    mixed_fraction: float = 0.1
    vacant_fraction: float = 0.05


def synthetic_crystal(
    space_group: int, rng: np.random.Generator, ranges: SyntheticRanges | None = None
) -> Crystal:
    """Draw a crystal with exactly a given space group.

    Parameters
    ----------
    space_group
        Number, 1 to 230.
    rng
        Source of all randomness: the same state gives the same crystal.
    ranges
        What crystals may look like.

    Returns
    -------
    Crystal
        In the reference setting. spglib finds the group, no higher one, with tolerances of 0.0001 and 0.005 nm.

    Raises
    ------
    InputError
        If the number is not a space group.
    RuntimeError
        If no crystal within the ranges was found in 400 attempts.
    """
    ranges = ranges or SyntheticRanges()
    setting = reference_setting(space_group)
    for attempt in range(_MOST_ATTEMPTS):
        # Special positions alone often make a higher symmetry; each failure makes general positions likelier.
        crystal = _draw(setting, rng, ranges, generality=min(0.8, attempt / 40.0))
        if crystal is not None and all(crystal.spglib_number(t) == space_group for t in _CONFIRM_NM):
            return crystal
    raise RuntimeError(
        f"no crystal of space group {space_group} within the ranges in {_MOST_ATTEMPTS} attempts"
    )


def _draw(
    setting: Setting, rng: np.random.Generator, ranges: SyntheticRanges, generality: float
) -> Crystal | None:
    """One attempt; None if it is not plausible."""
    metric = _random_metric(setting, rng)
    matrix = _direct_matrix(metric)
    packing = _random_sites(setting, rng, ranges, generality, matrix)
    if not packing.names:
        return None
    scale = float(rng.uniform(*ranges.contact)) / packing.tightest
    lengths = np.array(cell_from_metric(metric))
    a, b, c, alpha, beta, gamma = (*(lengths[:3] * scale), *lengths[3:])
    sites: list[Site] = []
    for position, name in zip(packing.positions, packing.names, strict=True):
        sites += _occupants(position, name, rng, ranges)
    crystal = Crystal(
        name=f"synthetic-{setting.number}-{int(rng.integers(2**32)):08x}",
        a_nm=float(a),
        b_nm=float(b),
        c_nm=float(c),
        alpha_deg=float(alpha),
        beta_deg=float(beta),
        gamma_deg=float(gamma),
        space_group=setting.number,
        setting=setting.symbol,
        sites=tuple(sites),
        source="generated from the symmetry operations",
    )
    low, high = ranges.volume_per_atom_nm3
    plausible = low <= crystal.volume_nm3 / crystal.n_atoms <= high
    low, high = ranges.density_g_cm3
    return crystal if plausible and low <= crystal.density_g_cm3 <= high else None


def _random_metric(setting: Setting, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random metric of unit-like size that obeys the group; free ratios keep 5 % away from a higher system."""
    fixed = _free_ratios(setting)
    while True:
        lengths = np.exp(rng.normal(0.0, 0.35, size=3))
        angles = np.cos(np.radians(rng.uniform(70.0, 110.0, size=3)))
        a, b, c = lengths
        raw = np.array(
            [
                [a * a, a * b * angles[2], a * c * angles[1]],
                [a * b * angles[2], b * b, b * c * angles[0]],
                [a * c * angles[1], b * c * angles[0], c * c],
            ]
        )
        if setting.crystal_system in {"trigonal", "hexagonal"}:
            # On hexagonal axes the angles are fixed; random ones would only shift a by averaging.
            raw = np.diag([a * a, a * a, c * c])
            raw[0, 1] = raw[1, 0] = -0.5 * a * a
        metric = symmetrised_metric(raw, setting)
        cell = np.array(cell_from_metric(metric))
        edges = np.sort(cell[:3])
        if np.linalg.det(metric) < 0.3 * np.prod(np.diag(metric)) or edges[2] / edges[0] > 3.0:
            continue
        if fixed == "edges" and np.diff(np.log(edges)).min() < 0.05:
            continue
        free_angles = cell[3:][np.abs(cell[3:] - 90.0) > 1e-6]
        if setting.crystal_system in {"triclinic", "monoclinic"} and np.abs(free_angles - 90.0).min() < 2.0:
            continue
        return metric


def _free_ratios(setting: Setting) -> str:
    return "edges" if setting.crystal_system in {"triclinic", "monoclinic", "orthorhombic"} else ""


def _direct_matrix(metric: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.linalg.cholesky(metric).astype(np.float64)


def _random_sites(
    setting: Setting,
    rng: np.random.Generator,
    ranges: SyntheticRanges,
    generality: float,
    matrix: NDArray[np.float64],
) -> _Packing:
    """Random positions, special and general, within the number of atoms allowed, with their elements.

    Each site is the roomiest of a few candidates (Mitchell's best-candidate sampling), and is given up for a more
    special one where it would leave the cell emptier than allowed: independent random points put some pair of atoms
    so near each other that the cell must be blown up to an implausible density.
    """
    most_atoms = max(ranges.most_atoms, len(setting.rotations))
    wanted = int(rng.integers(1, ranges.most_sites + 1))
    palette = rng.choice(_ELEMENTS, size=int(rng.integers(1, ranges.most_elements + 1)), replace=False)
    packing = _Packing([], [], np.empty((0, 3)), np.empty(0), np.inf)
    roomiest = ranges.volume_per_atom_nm3[1] / (float(np.linalg.det(matrix)) * ranges.contact[1] ** 3)
    for _ in range(2 * wanted):
        used = len(packing.names)
        if used == wanted:
            break
        name = symbol(int(palette[used] if used < len(palette) else rng.choice(palette)))
        lowest = 0 if rng.random() < generality else int(rng.integers(0, 4))
        for degree in range(lowest, 4):
            tries = [
                packing.with_orbit(random_position(setting, rng, degree), name, setting, matrix)
                for _ in range(_CANDIDATES)
            ]
            best = max(
                (t for t in tries if len(t.atoms) <= most_atoms), key=lambda t: t.tightest, default=packing
            )
            # A first atom or two in an elongated cell leave room for the next.
            limit = max(roomiest, packing.emptiness) if used else 4.0 * roomiest
            if best is not packing and best.emptiness <= limit:
                packing = best
                break
    return packing


@dataclass(frozen=True)
class _Packing:
    """Orbits placed so far in a cell of arbitrary size.

    Parameters
    ----------
    positions, names
        One position and element for each orbit.
    atoms
        Fractional coordinates of all atoms, shape (n, 3).
    radii
        Covalent radii of all atoms in nm, shape (n,).
    tightest
        Smallest distance over sum of radii, in cell units per nm.
    """

    positions: list[tuple[float, float, float]]
    names: list[str]
    atoms: NDArray[np.float64]
    radii: NDArray[np.float64]
    tightest: float

    @property
    def emptiness(self) -> float:
        """Volume per atom after scaling to touching radii, per volume of the cell."""
        return 1.0 / (max(self.tightest, 1e-6) ** 3 * len(self.atoms))

    def with_orbit(
        self, position: tuple[float, float, float], name: str, setting: Setting, matrix: NDArray[np.float64]
    ) -> _Packing:
        """The packing with one more orbit."""
        # Positions are exact, so a tiny tolerance (in units of the cell) tells special from general ones.
        orbit = full_orbit(position, setting, matrix, tolerance_nm=1e-7)
        radius = covalent_radius_nm(name)
        atoms = np.concatenate([orbit, self.atoms])
        radii = np.concatenate([np.full(len(orbit), radius), self.radii])
        ratios = shortest_distances_nm(atoms, np.array([0]), matrix)[0] / (radius + radii)
        tightest = min(self.tightest, float(ratios.min()))
        return _Packing([*self.positions, position], [*self.names, name], atoms, radii, tightest)


def random_position(setting: Setting, rng: np.random.Generator, degree: int) -> tuple[float, float, float]:
    """A random point, made special by up to `degree` operations that keep it.

    Parameters
    ----------
    setting
        Setting of the space group.
    rng
        Source of randomness.
    degree
        0 for a general position; for each further one an operation is drawn and the point moved to where that
        operation and all earlier ones keep it, if there is such a point.

    Returns
    -------
    tuple of float
        Fractional coordinates in [0, 1).
    """
    point = rng.random(3)
    rows: list[NDArray[np.float64]] = []
    targets: list[NDArray[np.float64]] = []
    for _ in range(degree):
        index = int(rng.integers(1, len(setting.rotations))) if len(setting.rotations) > 1 else 0
        rotation = setting.rotations[index].astype(np.float64)
        image = rotation @ point + setting.translations[index]
        shift = setting.translations[index] - np.rint(image - point)
        # (W - I) x = -w: solved together with the conditions already met, by the smallest move of the point.
        system = np.concatenate([*rows, rotation - np.eye(3)])
        target = np.concatenate([*targets, -shift])
        move, *_ = np.linalg.lstsq(system, target - system @ point, rcond=1e-9)
        if np.abs(system @ (point + move) - target).max() < 1e-9:
            point = point + move
            rows.append(rotation - np.eye(3))
            targets.append(-shift)
    x, y, z = (float(value) for value in wrap(point[None])[0])
    return x, y, z


def _occupants(
    position: tuple[float, float, float], name: str, rng: np.random.Generator, ranges: SyntheticRanges
) -> list[Site]:
    """The one or two kinds of atom on a position."""
    b_iso_nm2 = float(rng.uniform(*ranges.b_iso_nm2))
    drawn = rng.random()
    share = round(float(rng.uniform(0.2, 0.9)), 3)
    partners = _similar_elements(name)
    if drawn < ranges.mixed_fraction and partners:
        partner = str(rng.choice(partners))
        rest = round(1.0 - share, 3)
        return [Site(name, position, share, b_iso_nm2), Site(partner, position, rest, b_iso_nm2)]
    if drawn < ranges.mixed_fraction + ranges.vacant_fraction:
        return [Site(name, position, max(share, 0.5), b_iso_nm2)]
    return [Site(name, position, 1.0, b_iso_nm2)]


@cache
def _similar_elements(name: str) -> tuple[str, ...]:
    """Elements whose covalent radius differs by no more than 15 % (Hume-Rothery's limit for solid solutions)."""
    radius = covalent_radius_nm(name)
    others = (symbol(z) for z in _ELEMENTS)
    return tuple(o for o in others if o != name and abs(covalent_radius_nm(o) / radius - 1.0) <= 0.15)
