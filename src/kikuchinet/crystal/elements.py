"""Chemical elements: names, atomic numbers, weights and radii, from gemmi's tables."""

from __future__ import annotations

from functools import cache

import gemmi

from kikuchinet.errors import InputError

LAST_KNOWN_ATOMIC_NUMBER = 98
"""Californium. Scattering-factor parametrisations end here, so nothing heavier is accepted."""


@cache
def atomic_number(element: str) -> int:
    """Atomic number of an element.

    Parameters
    ----------
    element
        Chemical symbol, such as ``"Fe"``. Deuterium (``"D"``) counts as hydrogen.

    Returns
    -------
    int
        Atomic number, 1 to 98.

    Raises
    ------
    InputError
        If there is no such element, or no scattering factors exist for it.
    """
    number = int(gemmi.Element(element).atomic_number)
    if not 1 <= number <= LAST_KNOWN_ATOMIC_NUMBER:
        raise InputError(element, "no such chemical element (hydrogen to californium are known)")
    return number


@cache
def symbol(number: int) -> str:
    """Chemical symbol of an atomic number.

    Parameters
    ----------
    number
        Atomic number, 1 to 98.

    Returns
    -------
    str
        Symbol such as ``"Fe"``.
    """
    if not 1 <= number <= LAST_KNOWN_ATOMIC_NUMBER:
        raise InputError(str(number), "no such atomic number (1 to 98 are known)")
    return str(gemmi.Element(number).name)


@cache
def atomic_weight(element: str) -> float:
    """Standard atomic weight in unified atomic mass units (IUPAC values as tabulated by gemmi)."""
    atomic_number(element)
    return float(gemmi.Element(element).weight)


@cache
def covalent_radius_nm(element: str) -> float:
    """Single-bond covalent radius in nm (Cordero et al., Dalton Trans. 2008, 2832, as tabulated by gemmi)."""
    atomic_number(element)
    return float(gemmi.Element(element).covalent_r) / 10.0
