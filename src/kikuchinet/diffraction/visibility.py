"""What of a crystal's symmetry a pattern can show: groups that differ only by invisible ordering.

A crystal whose atoms nearly repeat on a finer lattice has weak reflections (superlattice reflections) that tell it from the
crystal averaged over that lattice, which has another space group. Whether a pattern shows them is asked of the patterns
themselves: the master pattern is simulated with all reflections and with those of the finer lattice only, and the normalised
cross-correlation (NCC) of the two says how far they differ. Structure factors alone do not say it. A band is bright because
waves meet or miss the atoms that scatter backwards, with a strength of Z² (`kikuchinet.diffraction.emission`): a
superlattice of light atoms between heavy ones has strong reflections and faint bands. Of Fe4N, whose strongest superlattice
reflection has 0.15 of the strongest |F|, less is seen than of Ni3Al with 0.12.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.cache import PHYSICS_REVISION, digest, structure_content
from kikuchinet.diffraction.energy import plan_energy
from kikuchinet.diffraction.potential import structure_factors
from kikuchinet.diffraction.presets import PRESETS, Preset
from kikuchinet.diffraction.transport import ElectronTransport

LEAST_DISTANCE = 0.005
"""1 - NCC of the two master patterns from which on a pattern can show the difference. Ni3Al, the weakest ordering that
Kaufmann et al. (2020) found in measured patterns, lies at 0.008; the reflections that set apart FeNi3, whose order they did
not find, are too weak to be simulated."""

_D_MIN_NM = 0.05
"""Bands of smaller spacing are too faint to tell structures apart by."""


@lru_cache(maxsize=512)
def _strengths(crystal: Crystal) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    limit = np.floor(np.linalg.norm(crystal.direct_matrix, axis=1) / _D_MIN_NM).astype(int)
    axes = [np.arange(-m, m + 1) for m in limit]
    hkl = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    length = np.linalg.norm(hkl @ crystal.reciprocal_matrix, axis=1)
    hkl = hkl[(length > 0) & (length <= 1.0 / _D_MIN_NM)]
    if crystal.space_group not in range(221, 231):
        return hkl, np.abs(structure_factors(crystal, hkl))
    # |F| has the symmetry of the Laue class: in m-3m one of up to 48 reflections stands for all of them.
    # Rows as single numbers: np.unique of rows is twenty times slower.
    rows = np.sort(np.abs(hkl), axis=1)
    base = int(rows.max()) + 1
    _, first, place = np.unique(rows @ [base * base, base, 1], return_index=True, return_inverse=True)
    return hkl, np.abs(structure_factors(crystal, rows[first]))[place]


# Supergroups in class m-3m that a structure takes on when its superlattice reflections vanish: the group, the
# transformation of its indices (new = old // divisor) and the condition on the fundamental reflections.
_PARENTS: dict[int, tuple[tuple[int, str], ...]] = {
    221: ((225, "all odd or all even"), (229, "sum even")),
    225: ((221, "all even"), (229, "all even, sum of halves even")),
    227: ((229, "all even, sum of halves even"),),
}


def _fundamental(hkl: NDArray[np.int64], rule: str) -> NDArray[np.bool_]:
    h, k, l = hkl.T
    even = (h % 2 == 0) & (k % 2 == 0) & (l % 2 == 0)
    odd = (h % 2 == 1) & (k % 2 == 1) & (l % 2 == 1)
    rules = {
        "all odd or all even": even | odd,
        "sum even": (h + k + l) % 2 == 0,
        "all even": even,
        "all even, sum of halves even": even & ((h // 2 + k // 2 + l // 2) % 2 == 0),
    }
    return rules[rule]


def superlattice_ratio(crystal: Crystal, parent: int) -> float:
    """Strongest superlattice over strongest fundamental structure factor, relative to a parent group.

    Parameters
    ----------
    crystal
        The ordered crystal.
    parent
        Number of the group it would have without its ordering.

    Returns
    -------
    float
        max |F| over reflections that the parent forbids, divided by max |F| over those it allows; d >= 0.05 nm.
    """
    rules = dict(_PARENTS.get(crystal.space_group, ()))
    if parent not in rules:
        raise ValueError(f"{parent} is no parent of {crystal.space_group} that this function knows")
    hkl, strength = _strengths(crystal)
    fundamental = _fundamental(hkl, rules[parent])
    return float(strength[~fundamental].max() / strength[fundamental].max())


def weakest_ordering(crystal: Crystal) -> tuple[int, float] | None:
    """Return the parent group that a crystal's ordering sets it apart from the least, and the superlattice ratio.

    Parameters
    ----------
    crystal
        The crystal.

    Returns
    -------
    tuple of int and float, or None
        None for a group without a parent that `visible_group` knows. A ratio of 1 or more is no ordering: reflections
        that the parent forbids are then among the strongest.
    """
    ratios = [
        (superlattice_ratio(crystal, parent), parent) for parent, _ in _PARENTS.get(crystal.space_group, ())
    ]
    if not ratios:
        return None
    ratio, parent = min(ratios)
    return parent, ratio


@dataclass(frozen=True)
class Ordering:
    """A finer lattice on which a crystal nearly repeats.

    Attributes
    ----------
    space_group
        Of the crystal averaged over the finer lattice.
    divisor, centring
        The finer lattice: the cell's edges are divided by the divisor, and the centring is P, I or F.
    ratio
        Strongest |F| of the superlattice reflections over the strongest of all; d >= 0.05 nm.
    distance
        1 - NCC of the master patterns with and without the superlattice reflections.
    """

    space_group: int
    divisor: int
    centring: str
    ratio: float
    distance: float


def visible_group(
    crystal: Crystal,
    least_distance: float = LEAST_DISTANCE,
    *,
    known: Sequence[Ordering] | None = None,
) -> int:
    """Space group that a pattern can show: that of the finest lattice from which the crystal's pattern does not differ.

    Parameters
    ----------
    crystal
        The crystal.
    least_distance
        1 - NCC of master patterns below which they cannot be told apart.
    known
        The crystal's `orderings`, where somebody has them already.

    Returns
    -------
    int
        Number of a space group; the crystal's own unless it is in point group m-3m and its ordering cannot be seen.

    Notes
    -----
    See `orderings`, which takes seconds for a crystal that is not in the library.
    """
    for ordering in orderings(crystal) if known is None else known:
        if ordering.distance < least_distance:
            return ordering.space_group
    return crystal.space_group


def visible_groups(
    crystal: Crystal,
    least_distance: float = LEAST_DISTANCE,
    *,
    known: Sequence[Ordering] | None = None,
) -> tuple[int, ...]:
    """Space groups that a pattern does not tell apart: the crystal's own, and those of it without ordering that is not seen.

    Parameters
    ----------
    crystal, least_distance, known
        As for `visible_group`, which is one of them.

    Returns
    -------
    tuple of int
        Rising.
    """
    found = orderings(crystal) if known is None else known
    hidden = {one.space_group for one in found if one.distance < least_distance}
    return tuple(sorted({crystal.space_group, *hidden}))


def possible_groups(crystal: Crystal) -> tuple[int, ...]:
    """Space groups that a pattern may show, without a simulation.

    Parameters
    ----------
    crystal
        The crystal.

    Returns
    -------
    tuple of int
        Rising: the crystal's own, and those of it without order whose reflections are weaker than 0.2 of the strongest. They
        hold all of `visible_groups` of the library's crystals, and take a tenth of a second in place of seconds.
    """
    if crystal.space_group not in range(221, 231):
        return (crystal.space_group,)
    hidden = {one.space_group for one in _finer_lattices(crystal) if one.ratio < _MAYBE_HIDDEN_RATIO}
    return tuple(sorted({crystal.space_group, *hidden}))


@lru_cache(maxsize=4096)
def orderings(crystal: Crystal) -> tuple[Ordering, ...]:
    """Finer lattices on which a crystal nearly repeats, the finest first.

    Parameters
    ----------
    crystal
        The crystal.

    Returns
    -------
    tuple of Ordering
        Cubic lattices whose superlattice reflections are weaker than 0.6 of the strongest reflection; none for crystals
        that are not in point group m-3m.

    Notes
    -----
    A supergroup in the same point group has more lattice translations (Hermann's theorem: it is klassengleiche). So what
    weak reflections can hide is a finer lattice; the glide planes of the structure averaged over its translations are read
    from the absences among the reflections left. Conditions: International Tables for Crystallography A (2016),
    tables 1.6.4.25 to 1.6.4.27.

    Both master patterns are simulated at 20 keV with the preset ``fast`` and d >= 0.045 nm on a map of half-width 40; in a
    trial distances of Ni3Al, Cu2MnAl, MgO, Al4Ni3 and CeBe13 were within 15 % of those at half-width 60 and d >= 0.035 nm.
    Where the superlattice reflections are weaker than 0.02 the distance is not worked out and 0. The crystals of the
    library are in a table (``benchmarks/library_orderings.py`` makes it).
    """
    if crystal.space_group not in range(221, 231):
        return ()
    known = _library_orderings().get(orderings_key(crystal))
    return known if known is not None else simulated_orderings(crystal)


def simulated_orderings(crystal: Crystal) -> tuple[Ordering, ...]:
    """Do what `orderings` does, whatever the table of the library says."""
    found = _finer_lattices(crystal)
    asked = [one for one in found if one.ratio > _HIDDEN_RATIO]
    distances = dict(zip(asked, _distances(crystal, asked), strict=True)) if asked else {}
    return tuple(replace(one, distance=round(distances.get(one, 0.0), 6)) for one in found)


def orderings_key(crystal: Crystal) -> str:
    """Return a digest of all that decides a crystal's orderings; its name and where it is from do not."""
    content = {
        "revision": PHYSICS_REVISION,
        **structure_content(crystal),
        "settings": asdict(_SETTINGS),
        "map": [_HALF_WIDTH, _ENERGY_KEV, _ELECTRONS],
        "ratios": [_HIDDEN_RATIO, _ORDERING_RATIO],
    }
    return digest(content)


_ORDERING_RATIO = 0.6
"""Superlattice reflections as strong as this are no ordering of a finer lattice."""
_MAYBE_HIDDEN_RATIO = 0.2
_HIDDEN_RATIO = 0.02
_SETTINGS: Preset = replace(PRESETS["fast"], d_min_nm=0.045)
_HALF_WIDTH = 40
_ENERGY_KEV = 20.0
_ELECTRONS = 5_000
_ABSENT = 1e-3
"""Structure factors below this share of the strongest are absences: what is left of them is rounding of coordinates."""


@cache
def _library_orderings() -> dict[str, tuple[Ordering, ...]]:
    text = (files("kikuchinet.diffraction") / "data" / "orderings.json").read_text(encoding="utf-8")
    return {key: tuple(Ordering(**one) for one in found) for key, found in json.loads(text).items()}


def _finer_lattices(crystal: Crystal) -> list[Ordering]:
    """The candidates, without distances."""
    hkl, strength = _strengths(crystal)
    relative = strength / strength.max()
    own = _on_lattice(hkl, 1, crystal.symmetry.bravais_lattice[-1])
    found = []
    for divisor, centring in _LATTICES:
        allowed = _on_lattice(hkl, divisor, centring)
        if not allowed.any() or (allowed & ~own).any() or not (own & ~allowed).any():
            continue
        ratio = float(relative[~allowed].max())
        if ratio < _ORDERING_RATIO:
            indices = hkl[allowed & (relative > _ABSENT)] // divisor
            group = _group_by_glides(centring, *indices.T)
            found.append(Ordering(group, divisor, centring, round(ratio, 6), float("nan")))
    return found


def _distances(crystal: Crystal, lattices: list[Ordering]) -> list[float]:
    """1 - NCC of the crystal's master pattern and that of the reflections of each lattice alone."""
    transport = ElectronTransport.simulate(crystal, _ENERGY_KEV, energies=1, seed=0, electrons=_ELECTRONS)
    problem = plan_energy(crystal, transport, 0, _HALF_WIDTH, _SETTINGS)
    source = problem.folding.source[0]

    def intensities(kept: NDArray[np.bool_]) -> NDArray[np.float64]:
        # Differences of reflections of a lattice are reflections of it: what the others scatter is gone as well.
        potential = replace(problem.potential, hkl=problem.potential.hkl[kept], g=problem.potential.g[kept])
        solution = replace(problem, potential=potential).solve(None, lambda _: None)
        return solution.intensities[source].ravel()

    hkl = problem.potential.hkl
    whole = intensities(np.ones(len(hkl), dtype=bool))
    return [
        1.0 - float(np.corrcoef(whole, intensities(_on_lattice(hkl, one.divisor, one.centring)))[0, 1])
        for one in lattices
    ]


def _on_lattice(hkl: NDArray[np.int64], divisor: int, centring: str) -> NDArray[np.bool_]:
    """Which reflections (n, 3) a lattice has whose edges are so many times shorter."""
    indices, rest = np.divmod(hkl, divisor)
    return ~rest.any(axis=1) & _CENTRINGS[centring](*(indices.T % 2))


_CENTRINGS: dict[str, Callable[..., NDArray[np.bool_]]] = {
    "P": lambda h, k, l: (h >= 0) & (k >= 0) & (l >= 0),
    "I": lambda h, k, l: (h + k + l) % 2 == 0,
    "F": lambda h, k, l: (h == k) & (k == l),
}
"""Which reflections a centred lattice allows, by the parity of the indices."""

# Cubic lattices as fine as the crystal's or finer, by how many times the cell is divided along each axis: the finest first.
_LATTICES = sorted(
    ((divisor, centring) for divisor in (1, 2, 3, 4) for centring in "PIF"),
    key=lambda lattice: -({"P": 1, "I": 2, "F": 4}[lattice[1]] * lattice[0] ** 3),
)


def _group_by_glides(centring: str, h: NDArray[np.int64], k: NDArray[np.int64], l: NDArray[np.int64]) -> int:
    """The group in m-3m with a lattice and the glide planes that these reflections allow."""
    on_face, on_diagonal = h == 0, h == k
    if centring == "P":
        n_face = bool(np.all((k + l)[on_face] % 2 == 0))
        n_diagonal = bool(np.all(l[on_diagonal] % 2 == 0))
        return {(False, False): 221, (True, True): 222, (False, True): 223, (True, False): 224}[
            n_face, n_diagonal
        ]
    if centring == "F":
        d_face = bool(np.all((k + l)[on_face] % 4 == 0))
        c_diagonal = bool(np.all(l[on_diagonal] % 2 == 0))
        return {(False, False): 225, (False, True): 226, (True, False): 227, (True, True): 228}[
            d_face, c_diagonal
        ]
    a_face = bool(np.all(k[on_face] % 2 == 0))
    d_diagonal = bool(np.all((2 * h + l)[on_diagonal] % 4 == 0))
    return 230 if a_face and d_diagonal else 229
