"""Crystals that nobody has made: random sites, elements and cells in any space group.

Training on crystals drawn from the symmetry operations generalises better than training on the structures that happen
to be known (Schopmans et al., Digital Discovery 2 (2023) 1414, for powder diffraction).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.crystal import Crystal, Site
from kikuchinet.crystal.elements import covalent_radius_nm, symbol
from kikuchinet.crystal.orbits import wrap
from kikuchinet.crystal.packing import Packing, random_position
from kikuchinet.crystal.standard import has_no_higher_symmetry
from kikuchinet.crystal.symmetry import Setting, cell_from_metric, reference_setting, symmetrised_metric

_MOST_ATTEMPTS = 400
_CANDIDATES = 12
_CONFIRM_NM = (1e-4, 1e-2)
"""spglib must find the group both with a strict and with a loose tolerance: an atom less than 0.01 nm from making the
crystal more symmetric would carry a label that no pattern shows."""

_NOBLE_OR_SHORT_LIVED = {2, 10, 18, 36, 43, 54, 61, 84, 85, 86, 87, 88, 89}
_ELEMENTS = tuple(z for z in range(3, 93) if z not in _NOBLE_OR_SHORT_LIVED)

_COMMON = frozenset(
    (  # noqa: SIM905 - a list of strings would be a page
        "Li Be B C N O F Na Mg Al Si P S Cl K Ca Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Y Zr Nb Mo Ag Sn Sb Te Ba La Hf Ta "
        "W Pt Au Pb"
    ).split()
)
_COMMON_WEIGHT = 3.0
"""Elements that microscopists meet are drawn more often; none is left out."""


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
        Range of the shortest distance between two atoms, in lengths of contact (`kikuchinet.crystal.packing.contacts_nm`);
        most are a third of the way from its lower end. Real crystals: docs/crystals.md.
    density_g_cm3
        Range of densities.
    filling
        Range of the fraction of the cell that spheres of covalent radius fill; they overlap where bonds are short. Nine of
        ten crystals of the library lie in 0.3 to 1.0.
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
    contact: tuple[float, float] = (0.78, 1.2)
    density_g_cm3: tuple[float, float] = (1.0, 23.0)
    filling: tuple[float, float] = (0.3, 1.2)
    volume_per_atom_nm3: tuple[float, float] = (0.0055, 0.045)
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
        In the reference setting. spglib finds the group, no higher one and no smaller cell, with tolerances of 0.0001 and
        0.01 nm.

    Raises
    ------
    InputError
        If the number is not a space group.
    RuntimeError
        If no crystal within the ranges was found in 400 attempts.
    """
    return crystal_and_attempts(space_group, rng, ranges or SyntheticRanges())[0]


def crystal_and_attempts(
    space_group: int, rng: np.random.Generator, ranges: SyntheticRanges
) -> tuple[Crystal, int]:
    """`synthetic_crystal`, and how many attempts it took."""
    setting = reference_setting(space_group)
    for attempt in range(_MOST_ATTEMPTS):
        # Special positions alone often make a higher symmetry; each failure makes general positions likelier.
        crystal = _draw(setting, rng, ranges, generality=min(0.8, attempt / 40.0))
        if crystal is not None and all(has_no_higher_symmetry(crystal, t) for t in _CONFIRM_NM):
            return crystal, attempt + 1
    raise RuntimeError(
        f"no crystal of space group {space_group} within the ranges in {_MOST_ATTEMPTS} attempts"
    )


def _draw(
    setting: Setting, rng: np.random.Generator, ranges: SyntheticRanges, generality: float
) -> Crystal | None:
    """One attempt; None if it is not plausible."""
    packing = _random_packing(setting, rng, ranges, generality)
    if not packing.orbits:
        return None
    packing = packing.relaxed()
    low, high = ranges.contact
    scale = float(rng.triangular(low, low + 0.35 * (high - low), high)) / packing.tightest
    a, b, c, alpha, beta, gamma = cell_from_metric(packing.metric)
    if not _far_from_higher(packing.metric, setting):
        return None
    sites: list[Site] = []
    for orbit in packing.orbits:
        x, y, z = (float(v) for v in wrap(orbit.position[None])[0])
        sites += _occupants((x, y, z), orbit.element, rng, ranges)
    crystal = Crystal(
        name=f"synthetic-{setting.number}-{int(rng.integers(2**32)):08x}",
        a_nm=a * scale,
        b_nm=b * scale,
        c_nm=c * scale,
        alpha_deg=alpha,
        beta_deg=beta,
        gamma_deg=gamma,
        space_group=setting.number,
        setting=setting.symbol,
        sites=tuple(sites),
        source="generated from the symmetry operations",
    )
    return crystal if _is_plausible(crystal, ranges) else None


def _is_plausible(crystal: Crystal, ranges: SyntheticRanges) -> bool:
    spheres = sum(n * covalent_radius_nm(e) ** 3 for e, n in crystal.composition.items()) * 4.0 / 3.0 * np.pi
    return all(
        low <= value <= high
        for value, (low, high) in (
            (spheres / crystal.volume_nm3, ranges.filling),
            (crystal.volume_nm3 / crystal.n_atoms, ranges.volume_per_atom_nm3),
            (crystal.density_g_cm3, ranges.density_g_cm3),
        )
    )


def _random_metric(setting: Setting, rng: np.random.Generator) -> NDArray[np.float64]:
    """A random metric of unit-like size that obeys the group and is not that of a higher system."""
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
        if _far_from_higher(metric, setting):
            return metric


def _far_from_higher(metric: NDArray[np.float64], setting: Setting) -> bool:
    """Whether a cell is well-shaped, and 5 % or 2 degrees away from one of a higher system."""
    cell = np.array(cell_from_metric(metric))
    edges = np.sort(cell[:3])
    if np.linalg.det(metric) < 0.3 * np.prod(np.diag(metric)) or edges[2] / edges[0] > 4.0:
        return False
    if (
        setting.crystal_system in {"triclinic", "monoclinic", "orthorhombic"}
        and np.diff(np.log(edges)).min() < 0.05
    ):
        return False
    free_angles = cell[3:][np.abs(cell[3:] - 90.0) > 1e-6]
    return setting.crystal_system not in {"triclinic", "monoclinic"} or bool(
        len(free_angles) and np.abs(free_angles - 90.0).min() >= 2.0
    )


def _random_packing(
    setting: Setting, rng: np.random.Generator, ranges: SyntheticRanges, generality: float
) -> Packing:
    """Random positions, special and general, within the number of atoms allowed, with their elements.

    Each site is the roomiest of a few candidates (Mitchell's best-candidate sampling), and is given up for a more
    special one where it would leave the cell emptier than allowed: independent random points put some pair of atoms
    so near each other that the cell must be blown up to an implausible density.
    """
    most_atoms = max(ranges.most_atoms, len(setting.rotations))
    wanted = int(rng.integers(1, ranges.most_sites + 1))
    palette = _random_elements(rng, int(rng.integers(1, ranges.most_elements + 1)))
    packing = Packing(setting, _random_metric(setting, rng), palette)
    # Pushing the atoms apart halves the volume.
    roomiest = 2.0 * ranges.volume_per_atom_nm3[1] / ranges.contact[1] ** 3
    for _ in range(2 * wanted):
        used = len(packing.orbits)
        if used == wanted:
            break
        name = palette[used] if used < len(palette) else str(rng.choice(palette))
        lowest = 0 if rng.random() < generality else int(rng.integers(0, 4))
        for degree in range(lowest, 4):
            tries = [
                packing.with_orbit(random_position(setting, rng, degree), name) for _ in range(_CANDIDATES)
            ]
            best = max(
                (t for t in tries if t.n_atoms <= most_atoms), key=lambda t: t.tightest, default=packing
            )
            # A first atom or two in an elongated cell leave room for the next.
            limit = max(roomiest, packing.emptiness) if used else 4.0 * roomiest
            if best is not packing and best.emptiness <= limit:
                packing = best
                break
    return packing


def _random_elements(rng: np.random.Generator, number: int) -> tuple[str, ...]:
    weights = np.array([_COMMON_WEIGHT if symbol(z) in _COMMON else 1.0 for z in _ELEMENTS])
    drawn = rng.choice(_ELEMENTS, size=number, replace=False, p=weights / weights.sum())
    return tuple(symbol(int(z)) for z in drawn)


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
