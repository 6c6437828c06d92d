"""Atomic scattering factors with absorption, after Weickenmeier & Kohl.

The elastic factor is ``f(s) = Σ a_i (1 - exp(-b_i s²)) / s²``. Absorption has two parts: thermal diffuse
scattering of independent (Einstein) oscillators, an integral over all intermediate directions that is
done here in closed form, and inelastic excitation of the atom's electrons ("core").

References
----------
.. [1] A. Weickenmeier, H. Kohl, Acta Cryst. A47 (1991) 590-597.
.. [2] C. R. Hall, P. B. Hirsch, Proc. R. Soc. A 286 (1965) 158 (thermal diffuse absorption).
.. [3] C. J. Rossouw, M. J. Whelan, Ultramicroscopy 6 (1981) 53 (core-loss absorption).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache, partial
from importlib import resources

import numpy as np
from numpy.typing import NDArray
from scipy import special

from kikuchinet.diffraction.electrons import relativistic_factor, wavelength_nm
from kikuchinet.errors import InputError

_BOHR_ANGSTROM = 0.529177
_Primitive = Callable[[float, float], NDArray[np.float64]]


@cache
def _coefficients() -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64], int]]:
    text = (
        resources.files("kikuchinet.diffraction").joinpath("data/weickenmeier_kohl.json").read_text("utf-8")
    )
    table = json.loads(text)["elements"]
    return {
        symbol: (np.array(a), np.array(b), z) for z, (symbol, (a, b)) in enumerate(table.items(), start=1)
    }


def _element(z: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    table = list(_coefficients().values())
    if not 1 <= z <= len(table):
        raise InputError(f"atomic number {z}", f"no scattering factor is tabulated, only 1 to {len(table)}")
    return table[z - 1][:2]


def elastic_factor(z: int, g: NDArray[np.floating]) -> NDArray[np.float64]:
    """Elastic electron scattering factor of an atom at rest, in nm, for the electron's rest mass.

    Parameters
    ----------
    z
        Atomic number, 1 to 98.
    g
        Lengths of scattering vectors ``|g| = 2 sin θ / λ`` in 1/nm.
    """
    a, b = _element(z)
    s2 = (np.asarray(g, dtype=np.float64)[..., None] * 0.05) ** 2  # (sin θ / λ)² in 1/Å²
    # -expm1(-x)/x stays accurate at x -> 0, where the factor tends to a·b
    x = b * s2
    ratio = np.where(x > 0.0, -np.expm1(-x) / np.where(x > 0.0, x, 1.0), 1.0)
    return 0.1 * np.sum(a * b * ratio, axis=-1)


def _exp_minus_x_ei(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """``exp(-x) Ei(y)`` for ``0 < y <= x`` without overflow at large arguments."""
    large = y > 50.0
    safe = np.where(large, 1.0, y)
    small_part = np.exp(-np.minimum(x, 700.0)) * special.expi(safe)
    # Asymptotic series Ei(y) ~ e^y / y Σ k! / y^k (Abramowitz & Stegun 5.1.51); seven terms give 1e-9 at 50.
    inverse = 1.0 / np.where(large, y, 1.0)
    series = np.ones_like(inverse)
    for k in range(7, 0, -1):
        series = 1.0 + k * inverse * series
    return np.where(large, np.exp(np.minimum(y - x, 0.0)) * inverse * series, small_part)


def _pair_primitive(alpha: float, beta: float, g2: NDArray[np.float64]) -> NDArray[np.float64]:
    """Primitive over α and β of ``exp(-αβ g²/(α+β)) / (α+β)``, times g²."""
    if alpha == 0.0 and beta == 0.0:
        return np.zeros_like(g2)
    if alpha == 0.0 or beta == 0.0:
        x = (alpha + beta) * g2
        return _exp_minus_x_ei(x, x) - np.euler_gamma - np.log(x)
    total = alpha + beta
    return (
        _exp_minus_x_ei(alpha * g2, alpha * alpha * g2 / total)
        + _exp_minus_x_ei(beta * g2, beta * beta * g2 / total)
        - 2.0 * special.expi(-alpha * beta * g2 / total)
    )


def _pair_integral(
    b_i: float, b_j: float, u2: float, g2: NDArray[np.float64], primitive: _Primitive, *, displaced: bool
) -> NDArray[np.float64]:
    """``∫ d²k f_i(p) f_j(q)`` with p = k + g/2, q = k - g/2 and f_i(p) = (1 - exp(-b_i p²)) / p².

    With `displaced` the integrand carries ``exp(-u²(p² + q²)/2)``. Since (1 - e^{-bp²})/p² = ∫₀ᵇ e^{-αp²} dα, the
    plane integral is Gaussian and leaves ``π ∬ dα dβ exp(-αβ g²/(α+β))/(α+β)`` over a rectangle, whose
    primitive is known: four corners give the value. `primitive` is :func:`_pair_primitive` at `g2`, with 1 for zeros.
    """
    low = 0.5 * u2 if displaced else 0.0
    corners = ((b_i + low, b_j + low, 1.0), (low, b_j + low, -1.0), (b_i + low, low, -1.0), (low, low, 1.0))
    result = np.zeros_like(g2)
    zero = g2 == 0.0
    safe = np.where(zero, 1.0, g2)
    at_zero = 0.0
    for alpha, beta, sign in corners:
        result += sign * primitive(min(alpha, beta), max(alpha, beta))
        total = alpha + beta
        at_zero += sign * (total * np.log(total) if total > 0.0 else 0.0)
    return np.pi * np.where(zero, at_zero, result / safe)


def thermal_absorption(z: int, g: NDArray[np.floating], b_iso_nm2: float) -> NDArray[np.float64]:
    """Integral of thermal diffuse absorption, in Å², before the factor γ² / (4π k₀).

    ``∫ d²k f(k + g/2) f(k - g/2) [e^{-u²g²/2} - e^{-u²(p² + q²)/2}]`` ([1]_, [2]_), with u² = B / 8π² the mean
    square displacement and wave numbers that include 2π.
    """
    a, b = _element(z)
    amplitude = a * (4.0 * np.pi) ** 2
    width = b / (4.0 * np.pi) ** 2
    u2 = b_iso_nm2 * 100.0 / (8.0 * np.pi**2)
    g2 = (np.asarray(g, dtype=np.float64) * 0.2 * np.pi) ** 2
    result = np.zeros_like(g2)
    if u2 <= 0.0:
        return result
    damping = np.exp(-0.5 * u2 * g2)
    # Pairs of terms have corners in common.
    primitive = cache(partial(_pair_primitive, g2=np.where(g2 == 0.0, 1.0, g2)))
    for i in range(len(a)):
        for j in range(i + 1):
            at_rest = _pair_integral(width[i], width[j], u2, g2, primitive, displaced=False)
            moving = _pair_integral(width[i], width[j], u2, g2, primitive, displaced=True)
            factor = amplitude[i] * amplitude[j] * (1.0 if i == j else 2.0)
            result += factor * (damping * at_rest - moving)
    return result


def core_absorption(z: int, g: NDArray[np.floating], energy_kev: float) -> NDArray[np.float64]:
    """Integral of core-loss absorption, in Å², before the factor γ² / (4π k₀).

    A screened (Wentzel) atom with radius 0.885 a₀ Z^(-1/3) and a mean energy loss of 6 Z eV, in closed form
    ([1]_, [3]_).
    """
    k0 = 0.2 * np.pi / wavelength_nm(energy_kev)  # 2π/λ in 1/Å
    loss_kev = 6e-3 * z
    rest2 = 1022.0
    theta_e = loss_kev / (2.0 * energy_kev) * (2.0 * energy_kev + rest2) / (energy_kev + rest2)
    theta_a = z ** (1.0 / 3.0) / (0.885 * _BOHR_ANGSTROM * k0)
    omega = np.asarray(g, dtype=np.float64) * 0.2 * np.pi / (k0 * theta_a)
    kappa = theta_e / theta_a
    o2, k2 = omega**2, kappa**2
    root_1 = np.sqrt(o2 + 4.0 * k2)
    term_1 = omega / ((1.0 + o2) * root_1) * np.log((omega + root_1) / (2.0 * kappa))
    root_2 = np.sqrt((1.0 + o2) ** 2 + 4.0 * k2 * o2)
    term_2 = np.log((1.0 + 2.0 * k2 + o2 + root_2) / (2.0 * kappa * np.sqrt(1.0 + k2))) / root_2
    root_3 = np.sqrt(o2 + 4.0 * (1.0 + k2))
    # arcsinh form of the logarithm: exact at omega -> 0
    ratio = omega / (2.0 * np.sqrt(1.0 + k2))
    slope = np.where(ratio > 1e-8, np.arcsinh(ratio) / np.where(ratio > 1e-8, ratio, 1.0), 1.0)
    term_3 = slope / (2.0 * np.sqrt(1.0 + k2) * root_3)
    integral = 2.0 * z / theta_a**2 * (-term_1 + term_2 - term_3)
    return 8.0 * np.pi / (_BOHR_ANGSTROM * k0) ** 2 * integral


def scattering_factor(
    z: int, g: NDArray[np.floating], b_iso_nm2: float, energy_kev: float
) -> NDArray[np.complex128]:
    """Complex scattering factor of a vibrating atom for a fast electron.

    Parameters
    ----------
    z
        Atomic number, 1 to 98.
    g
        Lengths of scattering vectors in 1/nm, any shape.
    b_iso_nm2
        Isotropic Debye-Waller factor B = 8π²⟨u²⟩ in nm².
    energy_kev
        Kinetic energy of the electron.

    Returns
    -------
    numpy.ndarray
        ``γ f e^{-B g²/4} + i f'``, nm, shape of `g`; the imaginary part is the absorption (thermal and core).

    Raises
    ------
    kikuchinet.errors.InputError
        No scattering factor is tabulated for `z`.
    """
    g = np.asarray(g, dtype=np.float64)
    gamma = relativistic_factor(energy_kev)
    damping = np.exp(-0.25 * b_iso_nm2 * g**2)
    k0 = 0.2 * np.pi / wavelength_nm(energy_kev)
    absorbed = thermal_absorption(z, g, b_iso_nm2) + damping * core_absorption(z, g, energy_kev)
    return gamma * damping * elastic_factor(z, g) + 0.1j * gamma**2 / (4.0 * np.pi * k0) * absorbed
