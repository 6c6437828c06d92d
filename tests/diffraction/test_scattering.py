"""Scattering factors against X-ray tables, an independent electron table, and direct integration."""

from __future__ import annotations

import gemmi
import numpy as np
import pytest
from scipy import integrate

from kikuchinet.diffraction import scattering
from kikuchinet.diffraction.electrons import relativistic_factor, wavelength_nm
from kikuchinet.errors import InputError


@pytest.mark.parametrize("z", [6, 13, 14, 26, 28, 42, 74])
def test_elastic_factor_follows_x_ray_factors_through_mott_and_bethe(z: int) -> None:
    s = np.linspace(0.2, 1.2, 11)  # sin θ / λ in 1/Å
    x_ray = np.array([gemmi.Element(z).it92.calculate_sf(value**2) for value in s])
    mott_bethe = 0.0239337 * (z - x_ray) / s**2  # Å
    ours = scattering.elastic_factor(z, 20.0 * s) * 10.0
    np.testing.assert_allclose(ours, mott_bethe, rtol=0.04)


@pytest.mark.parametrize("z", [8, 28, 73])
def test_elastic_factor_forward_agrees_with_the_international_tables(z: int) -> None:
    table = gemmi.Element(z).c4322.calculate_sf(0.0)
    assert scattering.elastic_factor(z, np.array([0.0]))[0] * 10.0 == pytest.approx(table, rel=0.06)


@pytest.mark.parametrize(("z", "b_iso"), [(28, 0.0035), (6, 0.006), (74, 0.0016)])
@pytest.mark.parametrize("g", [0.0, 1.3, 8.0, 30.0])
def test_thermal_absorption_is_the_integral_it_stands_for(z: int, b_iso: float, g: float) -> None:
    u2 = b_iso * 100.0 / (8.0 * np.pi**2)
    q = g * 0.2 * np.pi

    # Polar coordinates; beyond 400 / Å the factors fall as 1/k², which leaves a tail in closed form.
    k = np.concatenate([np.linspace(0.0, 4.0, 161), np.geomspace(4.0, 400.0, 400)[1:]])
    angles, gauss = np.polynomial.legendre.leggauss(64)
    angles, gauss = 0.5 * np.pi * (angles + 1.0), 0.5 * np.pi * gauss
    px = k[:, None] * np.cos(angles)
    py = k[:, None] * np.sin(angles)
    p2, m2 = (px + q / 2) ** 2 + py**2, (px - q / 2) ** 2 + py**2
    scale = 0.2 * np.pi
    f = 10.0 * scattering.elastic_factor(z, np.sqrt(p2) / scale)
    h = 10.0 * scattering.elastic_factor(z, np.sqrt(m2) / scale)
    damping = np.exp(-0.5 * u2 * q * q) - np.exp(-0.5 * u2 * (p2 + m2))
    rings = 2.0 * k * ((f * h * damping) @ gauss)
    body = integrate.simpson(rings, x=k)
    tail = rings[-1] * k[-1] / 2.0  # f ~ 1/k², so a ring falls as 1/k³
    assert scattering.thermal_absorption(z, np.array([g]), b_iso)[0] == pytest.approx(body + tail, rel=5e-3)


def test_absorption_stays_finite_and_falls_with_angle_for_every_element() -> None:
    g = np.linspace(0.0, 60.0, 121)
    for z in range(1, 99):
        factor = scattering.scattering_factor(z, g, 0.005, 20.0)
        assert np.isfinite(factor).all()
        assert (factor.real > 0).all()
        assert (np.diff(factor.real) < 0).all()
        assert factor.imag[0] > 0


def test_no_vibration_no_thermal_absorption() -> None:
    assert scattering.thermal_absorption(28, np.array([0.0, 5.0]), 0.0).tolist() == [0.0, 0.0]


def test_unknown_element_is_named() -> None:
    with pytest.raises(InputError, match="atomic number 99"):
        scattering.elastic_factor(99, np.array([1.0]))


def test_wavelength_and_relativity_are_the_textbook_ones() -> None:
    # M. De Graef, Introduction to Conventional TEM (2003), table 2.2: 100 kV: 3.701 pm, gamma 1.1957
    assert wavelength_nm(100.0) == pytest.approx(3.701e-3, rel=2e-4)
    assert relativistic_factor(100.0) == pytest.approx(1.1957, rel=1e-4)
