"""What of a crystal's symmetry a pattern can show: groups that differ only by invisible ordering."""

from __future__ import annotations

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
    return hkl, np.abs(structure_factors(crystal, hkl))


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


def visible_group(crystal: Crystal, threshold: float = VISIBLE_RATIO) -> int:
    """Space group that a pattern can show: the parent's where the ordering is invisible.

    Parameters
    ----------
    crystal
        The crystal.
    threshold
        Ratio of structure factors below which ordering cannot be seen.

    Returns
    -------
    int
        Number of a space group; the crystal's own unless every superlattice reflection is too weak.
    """
    for parent, _ in _PARENTS.get(crystal.space_group, ()):
        if superlattice_ratio(crystal, parent) < threshold:
            return parent
    return crystal.space_group
