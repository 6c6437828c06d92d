"""Electron optics: relativistic factor and wavelength."""

from __future__ import annotations

import numpy as np
from scipy import constants

REST_ENERGY_KEV = constants.physical_constants["electron mass energy equivalent in MeV"][0] * 1e3
"""Rest energy of the electron in keV (CODATA, from SciPy)."""

_HC_KEV_NM = constants.h * constants.c / constants.e * 1e6
_VOLT_PER_U = constants.h**2 / (2.0 * constants.m_e * constants.e) * 1e18
"""Potential in volt that gives U = 1 / nm² for an electron at rest: V = h² U / (2 m e)."""


def relativistic_factor(energy_kev: float) -> float:
    """Lorentz factor γ = 1 + E / (m c²) of an electron of kinetic energy `energy_kev`."""
    return 1.0 + energy_kev / REST_ENERGY_KEV


def wavelength_nm(energy_kev: float, inner_potential_v: float = 0.0) -> float:
    """Electron wavelength in nm, corrected for refraction by the mean inner potential.

    Parameters
    ----------
    energy_kev
        Kinetic energy outside the crystal.
    inner_potential_v
        Mean inner potential in volt times γ; it adds to the relativistic accelerating potential
        ``V (1 + eV / 2mc²)`` (M. De Graef, Introduction to Conventional TEM, 2003, section 2.6).
    """
    accelerating_kv = energy_kev * (1.0 + 0.5 * energy_kev / REST_ENERGY_KEV) + inner_potential_v * 1e-3
    return float(_HC_KEV_NM / np.sqrt(2.0 * REST_ENERGY_KEV * accelerating_kv))


def potential_volt(u_per_nm2: float) -> float:
    """Volt for a Fourier coefficient U in 1/nm² (γ included in both)."""
    return float(u_per_nm2 * _VOLT_PER_U)
