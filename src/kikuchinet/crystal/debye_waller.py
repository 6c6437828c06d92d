"""Debye-Waller factors of elemental crystals at room temperature, for structures that give none.

References
----------
.. [1] L.-M. Peng, G. Ren, S. L. Dudarev, M. J. Whelan, Acta Cryst. A52 (1996) 456, table 1: B from measured phonon
   densities of states, 85 to 280 K.
.. [2] V. F. Sears, S. A. Shelley, Acta Cryst. A47 (1991) 441: the same quantity, compared with in the tests.
"""

from __future__ import annotations

from collections.abc import Collection

TEMPERATURE_K = 293.0
"""Temperature of all values here: that of a microscope's room."""

_LARGEST_IN_COMPOUND_NM2 = 0.010
"""Soft metals (the alkalis, magnesium, lead) are bound far more tightly in their compounds: beyond this an elemental value
says nothing about a compound."""

# Å² at 270 K and at 280 K, [1]_; the stable form of each element.
_ELEMENTAL = {
    "Li": (4.4318, 4.5950), "Be": (0.3898, 0.4040), "C": (0.1412, 0.1420), "Na": (6.1389, 6.3640),
    "Mg": (1.6702, 1.7310), "Al": (0.7194, 0.7460), "Si": (0.4469, 0.4630), "K": (9.8798, 10.2390),
    "Ca": (1.8407, 1.9080), "Sc": (0.6871, 0.7120), "Ti": (0.4735, 0.4910), "V": (0.5270, 0.5460),
    "Cr": (0.2313, 0.2390), "Fe": (0.2995, 0.3100), "Ni": (0.3280, 0.3400), "Cu": (0.5073, 0.5260),
    "Zn": (1.0526, 1.0910), "Ge": (0.5529, 0.5730), "Rb": (12.1717, 12.6040), "Sr": (3.4944, 3.6220),
    "Y": (0.7885, 0.8170), "Zr": (0.5241, 0.5430), "Nb": (0.4144, 0.4290), "Mo": (0.1986, 0.2050),
    "Pd": (0.4107, 0.4250), "Ag": (0.6767, 0.7017), "Sn": (1.0439, 1.0825), "Cs": (16.2173, 16.7698),
    "Ba": (2.8251, 2.9279), "La": (1.7113, 1.7739), "Tb": (0.9318, 0.9660), "Ho": (0.7739, 0.8023),
    "Ta": (0.2968, 0.3078), "W": (0.1471, 0.1526), "Pt": (0.3431, 0.3557), "Au": (0.5714, 0.5925),
    "Pb": (1.9627, 2.0341), "Th": (0.6730, 0.6977),
}  # fmt: skip


def elemental_b_iso_nm2(element: str) -> float | None:
    """B = 8π²⟨u²⟩ of an element's own crystal at 293 K.

    Parameters
    ----------
    element
        Chemical symbol.

    Returns
    -------
    float or None
        In nm²; extrapolated by 13 K along the last 10 K of the table, where B is linear in temperature. None where the
        element is not tabulated.
    """
    if element not in _ELEMENTAL:
        return None
    at_270, at_280 = _ELEMENTAL[element]
    return 0.01 * (at_280 + (TEMPERATURE_K - 280.0) / 10.0 * (at_280 - at_270))


def likely_b_iso_nm2(element: str, elements: Collection[str]) -> float | None:
    """B of an element in a crystal that gives none.

    Parameters
    ----------
    element
        The element.
    elements
        All elements of the crystal.

    Returns
    -------
    float or None
        The value of the elemental crystal, nm². None where none is tabulated, or where the crystal is a compound and the
        element by itself is too soft for its value to mean anything there.
    """
    value = elemental_b_iso_nm2(element)
    if value is None or (len(set(elements)) > 1 and value > _LARGEST_IN_COMPOUND_NM2):
        return None
    return value
