"""Variants of known crystals: the same structure type with other elements, a cell to fit, its order kept or broken.

Near-copies of this kind are what a network meets in practice (a new alloy of a known type), and what it must not learn by
heart as materials.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.contacts import shortest_distances_nm
from kikuchinet.crystal.crystal import Crystal, Site
from kikuchinet.crystal.elements import atomic_number, covalent_radius_nm, symbol
from kikuchinet.crystal.packing import ANIONS, contacts_nm
from kikuchinet.crystal.standard import has_no_higher_symmetry, in_found_group
from kikuchinet.crystal.symmetry import cell_from_metric, metric_from_cell, symmetrised_metric

_ORDER = (  # noqa: SIM905 - a list of 75 strings would be a page
    "Cs Rb K Na Li Ba Sr Ca Yb Eu Sc Lu Tm Er Ho Dy Y Tb Gd Sm Nd Pr Ce La U Th Zr Hf Ti Ta Nb V W Mo Cr Re Mn "
    "Fe Ru Os Co Rh Ir Ni Pt Pd Au Ag Cu Mg Hg Cd Zn Be Tl In Al Ga Pb Sn Ge Si B Bi Sb As P Te Se S C I Br Cl "
    "N O F"
).split()
"""Elements by Pettifor's Mendeleev number (Solid State Commun. 51 (1984) 31), in which neighbours replace one another in
binary structure types; noble gases, hydrogen and the short-lived elements left out."""

_REACH = 6
"""Farthest partner in Pettifor's order."""

_RADIUS_TOLERANCE = 0.25
"""Largest change of a covalent radius; Hume-Rothery's 15 % is for solutions, compounds of one type span more."""

_STAYS = 0.25
"""Chance that an element stays: an oxide's variants are oxides more often than not."""

_CONFIRM_NM = (1e-4, 5e-3)
_MOST_ATTEMPTS = 50


def prototype_variant(crystal: Crystal, rng: np.random.Generator, order: float | None = None) -> Crystal:
    """A crystal of the same structure type with other elements.

    Parameters
    ----------
    crystal
        The crystal to vary.
    rng
        Source of all randomness: the same state gives the same crystal.
    order
        Long-range order between two elements that may replace one another: 1 keeps each on its sites, 0 spreads both over
        all of their sites, which may raise the space group (Ni3Al at 0 is a face-centred cubic solution). None draws
        it: 1 for seven of ten variants, 0 for one. Without two such elements the order stays.

    Returns
    -------
    Crystal
        Elements are exchanged for neighbours in Pettifor's order of chemical similarity with a similar radius; the cell is
        scaled by the lengths of the nearest contacts, its free lengths and angles changed by up to 1 %. In the setting
        of `crystal`; in the reference setting if broken order has made another group of it. spglib finds its group
        with tolerances of 0.0001 and 0.005 nm.

    Raises
    ------
    RuntimeError
        If 50 attempts gave none: the crystal itself is within 0.005 nm of a higher symmetry.
    """
    for _ in range(_MOST_ATTEMPTS):
        exchange = _random_exchange(crystal, rng)
        drawn = _random_order(rng) if order is None else order
        variant = _disordered(_exchanged(crystal, exchange, rng), drawn)
        if variant is None:
            continue
        if all(has_no_higher_symmetry(variant, tolerance) for tolerance in _CONFIRM_NM):
            return variant
    raise RuntimeError(f"no variant of {crystal.name} in {_MOST_ATTEMPTS} attempts")


def similar_elements(element: str) -> tuple[str, ...]:
    """Elements that may stand in for one in the same structure type, the nearest in Pettifor's order first."""
    element = symbol(atomic_number(element))
    if element not in _ORDER:
        return ()
    place = _ORDER.index(element)
    radius = covalent_radius_nm(element)
    near = [
        (abs(i - place), other)
        for i, other in enumerate(_ORDER)
        if 0 < abs(i - place) <= _REACH
        and abs(covalent_radius_nm(other) / radius - 1.0) <= _RADIUS_TOLERANCE
        and (other in ANIONS) == (element in ANIONS)
    ]
    return tuple(other for _, other in sorted(near))


def _random_order(rng: np.random.Generator) -> float:
    drawn = float(rng.random())
    partial = float(rng.uniform(0.2, 0.9))
    return 1.0 if drawn < 0.7 else 0.0 if drawn < 0.8 else partial


def _random_exchange(crystal: Crystal, rng: np.random.Generator) -> dict[str, str]:
    """What becomes of each element; at least one changes where any can, and no two become one."""
    names = sorted({site.element for site in crystal.sites})
    exchange: dict[str, str] = {}
    for name in rng.permutation(names):
        partners = [p for p in similar_elements(name) if p not in exchange.values() and p not in names]
        weights = np.array([1.0 / (1 + i) for i in range(len(partners))])
        stays = float(rng.random()) < _STAYS and len(names) > 1
        if stays or not partners:
            exchange[str(name)] = str(name)
        else:
            exchange[str(name)] = str(rng.choice(partners, p=weights / weights.sum()))
    if all(name == other for name, other in exchange.items()):
        for name in names:
            partners = list(similar_elements(name))
            if set(partners) - set(names):
                exchange[name] = str(rng.choice([p for p in partners if p not in names]))
                break
    return exchange


def _exchanged(crystal: Crystal, exchange: Mapping[str, str], rng: np.random.Generator) -> Crystal:
    """The crystal with its elements exchanged and its cell to fit."""
    sites = tuple(
        Site(exchange[s.element], s.position, s.occupancy, s.b_iso_nm2, s.label) for s in crystal.sites
    )
    metric = metric_from_cell(crystal.cell) * _scale(crystal, exchange) ** 2
    strain = np.eye(3) + rng.uniform(-0.01, 0.01, size=(3, 3))
    rows = np.linalg.cholesky(metric) @ (0.5 * (strain + strain.T))
    a, b, c, alpha, beta, gamma = cell_from_metric(
        symmetrised_metric(rows @ rows.T, crystal.setting_operations)
    )
    mark = hashlib.sha256(repr((sites, a, b, c)).encode()).hexdigest()[:8]
    return Crystal(
        name=f"variant-{crystal.name}-{mark}",
        a_nm=a,
        b_nm=b,
        c_nm=c,
        alpha_deg=alpha,
        beta_deg=beta,
        gamma_deg=gamma,
        space_group=crystal.space_group,
        setting=crystal.setting,
        sites=sites,
        source=f"variant of {crystal.name}: "
        + (
            ", ".join(f"{old} → {new}" for old, new in sorted(exchange.items()) if old != new)
            or "none exchanged"
        ),
        prototype=crystal.prototype,
    )


def _scale(crystal: Crystal, exchange: Mapping[str, str]) -> float:
    """How much longer the nearest contacts become: their mean over the atoms."""
    atoms = crystal.atoms()
    names = [symbol(int(z)) for z in atoms.z]
    changed = [exchange.get(name, name) for name in names]
    _, first = np.unique(atoms.site_index, return_index=True)
    distances = _distances_nm(atoms.positions, first, crystal.direct_matrix)
    before = contacts_nm([names[i] for i in first], names, names)
    after = contacts_nm([changed[i] for i in first], changed, changed)
    nearest = (distances / before).argmin(axis=1)
    rows = np.arange(len(first))
    weights = np.bincount(atoms.site_index)
    return float(np.average(after[rows, nearest] / before[rows, nearest], weights=weights))


def _distances_nm(
    positions: NDArray[np.float64], chosen: NDArray[np.int64], direct_matrix: NDArray[np.float64]
) -> NDArray[np.float64]:
    distances = shortest_distances_nm(positions, chosen, direct_matrix)
    distances[distances < 1e-3] = np.inf  # partners on a mixed site
    return distances


def _disordered(crystal: Crystal, order: float) -> Crystal | None:
    """The crystal with two of its elements partly exchanged; None if that cannot be described."""
    pair = _exchangeable(crystal)
    if order >= 1.0 or pair is None:
        return crystal
    share = {name: crystal.composition[name] for name in pair}
    first, second = pair
    mean = share[first] / (share[first] + share[second])
    sites: list[Site] = []
    for site in crystal.sites:
        if site.element not in pair:
            sites.append(site)
            continue
        # Bragg and Williams: a site of the first kind holds it with the mean share, and more by the order.
        own = 1.0 if site.element == first else 0.0
        amount = round((mean + order * (own - mean)) * site.occupancy, 4)
        rest = round(site.occupancy - amount, 4)
        sites += [
            Site(name, site.position, part, site.b_iso_nm2, f"{site.label}{name}")
            for name, part in ((first, amount), (second, rest))
            if part > 0.0
        ]
    mixed = crystal.replace(
        sites=tuple(sites), source=f"{crystal.source}; {first} and {second} mixed, order {order:.2f}"
    )
    if order > 0.0:
        return mixed
    found = in_found_group(mixed)
    return found if found is None or found is mixed else found.replace(prototype="")


def _exchangeable(crystal: Crystal) -> tuple[str, str] | None:
    """The two elements on different sites that replace one another most easily: the nearest in radius."""
    pairs = [
        (abs(covalent_radius_nm(one) / covalent_radius_nm(other) - 1.0), one, other)
        for one in crystal.composition
        for other in crystal.composition
        if one < other and one not in ANIONS and other not in ANIONS
    ]
    # Neither may be a light interstitial: carbon does not change places with iron.
    pairs = [pair for pair in pairs if pair[0] <= _RADIUS_TOLERANCE and not {"H", "B", "C"} & set(pair[1:])]
    whole = {s.element for s in crystal.sites if s.occupancy == 1.0}
    pairs = [pair for pair in pairs if set(pair[1:]) <= whole]
    return min(pairs)[1:] if pairs else None
