"""How waves scatter backwards off the atoms, as a sum of squares.

The intensity of localised backscattering is ψ† S ψ with

    S_gh = Σ_j Z_j² exp(2πi (h-g)·r_j) exp(-B_j |h-g|²/4):

each atom j sees the wave at its own place r_j, averaged over its thermal motion. The average is taken apart by

    exp(-B|g-h|²/4) = exp(-Bg²/4) exp(-Bh²/4) Σ_k (B g·h/2)^k / k!,
    (g·h)^k / k! = Σ_{a+b+c=k} (g_x h_x)^a (g_y h_y)^b (g_z h_z)^c / (a! b! c!),

the expansion of the fast Gauss transform [1]_, so that S = F† F with one row of F for each atom and each (a, b, c): the wave
at the atom, its first derivatives, its second ones, and so on. F has far fewer rows than a small cell has beams.

References
----------
.. [1] L. Greengard, J. Strain, SIAM J. Sci. Stat. Comput. 12 (1991) 79: the fast Gauss transform.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kikuchinet.diffraction.potential import CrystalPotential

FEW_ATOMS = 4
"""Atoms of a primitive cell up to which the expansion is taken to a + b + c = 3, 20 rows an atom; beyond, to 2, 10 rows.

Against order 6 the patterns of Al, Si, Ni and W (one or two atoms) have NCC 0.99994 and more at order 3, 0.9996-0.9998 at
order 2; that of Cr3Si (eight atoms) 0.99993 at order 2. In a large cell the rows are most of the work.
"""


def _powers(atoms: int) -> list[tuple[int, int, int]]:
    order = 3 if atoms <= FEW_ATOMS else 2
    return [
        (a, b, k - a - b) for k in range(order + 1) for a in range(k + 1) for b in range(k - a + 1)
    ]  # fmt: skip


_MOST_BYTES = 2**29
"""Memory that F may take. A cell for which it would take more has as many rows as beams anyway."""


def emission_rows(potential: CrystalPotential) -> int:
    """Number of rows of F."""
    atoms = len(potential.emitters.strengths)
    return len(_powers(atoms)) * atoms


def emission_pays(potential: CrystalPotential) -> bool:
    """Whether F is small enough to be worth having; without it S itself is used."""
    return emission_rows(potential) * len(potential.hkl) * 8 <= _MOST_BYTES


def emission_amplitudes(potential: CrystalPotential) -> NDArray[np.complex64]:
    """F for all reflections of a crystal, laid out by reflection.

    Returns
    -------
    numpy.ndarray
        (reflections, rows) complex64; ``Σ_r |Σ_g F[g, r] ψ_g|²`` is the intensity, in units of Z² per unit cell.
    """
    emitters, g = potential.emitters, potential.g
    powers = _powers(len(emitters.strengths))
    result = np.empty((len(g), len(emitters.strengths), len(powers)), dtype=np.complex64)
    for i, (position, strength, b_iso) in enumerate(
        zip(emitters.positions, emitters.strengths, emitters.b_iso_nm2, strict=True)
    ):
        wave = np.sqrt(strength) * np.exp(2j * np.pi * potential.hkl @ position)
        wave *= np.exp(-0.25 * b_iso * np.sum(g**2, axis=1))
        scaled = g * np.sqrt(0.5 * b_iso)
        for j, (a, b, c) in enumerate(powers):
            norm = math.sqrt(math.factorial(a) * math.factorial(b) * math.factorial(c))
            result[:, i, j] = wave * (scaled[:, 0] ** a * scaled[:, 1] ** b * scaled[:, 2] ** c / norm)
    return result.reshape(len(g), -1)
