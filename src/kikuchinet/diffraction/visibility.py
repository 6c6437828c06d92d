"""What of a crystal's symmetry a pattern can show: groups that differ only by invisible ordering."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.potential import structure_factors

VISIBLE_RATIO = 0.04
"""Strongest superlattice over strongest fundamental |F| below which ordering is taken as invisible. FeNi3 and CoFe lie at
0.008-0.02, Ni3Al, the weakest ordering seen in measured patterns, at 0.1."""

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


def visible_group(crystal: Crystal, threshold: float = VISIBLE_RATIO) -> int:
    """Space group that a pattern can show: the one of the reflections that are strong enough to see.

    Parameters
    ----------
    crystal
        The crystal.
    threshold
        Ratio of structure factors below which ordering cannot be seen.

    Returns
    -------
    int
        Number of a space group; the crystal's own unless it is in point group m-3m and all reflections that set it apart
        from a finer lattice are too weak.

    Notes
    -----
    A supergroup in the same point group has more lattice translations (Hermann's theorem: it is klassengleiche). So what
    weak reflections can hide is a finer lattice; the glide planes of the structure averaged over its translations are read
    from the absences among the reflections left. Conditions: International Tables for Crystallography A (2016),
    tables 1.6.4.25 to 1.6.4.27.
    """
    if crystal.space_group not in range(221, 231):
        return crystal.space_group
    return _visible_group(crystal, threshold)


_ABSENT = 1e-3
"""Structure factors below this share of the strongest are absences: what is left of them is rounding of coordinates."""


@lru_cache(maxsize=2048)
def _visible_group(crystal: Crystal, threshold: float) -> int:
    hkl, strength = _strengths(crystal)
    relative = strength / strength.max()
    own = crystal.symmetry.bravais_lattice[-1]
    for divisor, centring in _LATTICES:
        indices, rest = np.divmod(hkl, divisor)
        allowed = ~rest.any(axis=1) & _CENTRINGS[centring](*(indices.T % 2))
        if not (relative[~allowed] >= threshold).any():
            if (divisor, centring) == (1, own):
                break
            return _group_by_glides(centring, *indices[allowed & (relative > _ABSENT)].T)
    return crystal.space_group


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
