"""Fourier coefficients of the potential against EMsoft's log, the symmetry operations, and the extinctions they demand."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace

import gemmi
import numpy as np
import pytest

from kikuchinet.crystal import Crystal, Site, crystals
from kikuchinet.diffraction.electrons import relativistic_factor
from kikuchinet.diffraction.potential import crystal_potential, reflections, structure_factors


def test_nickel_agrees_with_emsofts_log(emsoft_nickel: Crystal) -> None:
    # ni_mp.out beside the file in kikuchipy: 29.62 V, 8.561 pm, 59.5765381 nm
    potential = crystal_potential(emsoft_nickel, 20.1, 0.05)
    assert potential.inner_potential_v == pytest.approx(29.62, abs=0.02)
    assert potential.wavelength_nm == pytest.approx(8.561e-3, abs=1e-6)
    assert potential.absorption_length_nm == pytest.approx(59.5765, rel=1e-3)


@pytest.mark.parametrize("name", ["Si", "GaAs", "Al4Ni3", "Mo3Si"])
def test_extinctions_are_those_of_the_space_group(name: str) -> None:
    crystal = crystals[name]
    hkl = reflections(crystal, 0.08)
    strength = np.abs(structure_factors(crystal, hkl))
    absent = np.array([_is_absent(crystal, h) for h in hkl])
    assert strength[absent].max(initial=0.0) < 1e-9 * strength.max()
    assert absent.any() == (name != "GaAs")  # beyond the centring, zinc blende has no extinctions


def _is_absent(crystal: Crystal, hkl: np.ndarray) -> bool:
    group = gemmi.find_spacegroup_by_name(crystal.setting)
    return bool(group.operations().is_systematically_absent([int(i) for i in hkl]))


@pytest.mark.parametrize("name", ["Si", "GaAs", "Mg"])
def test_potential_table_agrees_with_the_direct_sum(name: str) -> None:
    crystal = crystals[name]
    potential = crystal_potential(crystal, 20.0, 0.08)
    hkl = potential.hkl[:40]
    direct = structure_factors(crystal, hkl) / (np.pi * crystal.volume_nm3)
    hermitian = 0.5 * (potential.at(potential.u, hkl) + potential.at(potential.u, -hkl).conj())
    np.testing.assert_allclose(hermitian, direct, atol=1e-7 * abs(direct).max())


def test_reflections_reach_the_sphere_and_no_further() -> None:
    crystal = next(c for c in crystals.values() if c.space_group == 2)
    hkl = reflections(crystal, 0.1)
    length = np.linalg.norm(hkl @ crystal.reciprocal_matrix, axis=1)
    assert hkl[0].tolist() == [0, 0, 0]
    assert length.max() <= 10.0
    assert (np.diff(length) >= -1e-8).all()
    # The number of lattice points in a sphere is its volume times the cell's, up to the surface.
    assert len(hkl) == pytest.approx(4.0 / 3.0 * np.pi * 1000.0 * crystal.volume_nm3, rel=0.05)


def _fcc(*sites: Site) -> Crystal:
    return Crystal("x", 0.385, 0.385, 0.385, 90.0, 90.0, 90.0, 225, "", sites)


def test_a_mixed_site_scatters_as_the_weighted_mean() -> None:
    """Disordered Cu-Au: 0.3 of copper's potential and scattering weights and 0.7 of gold's, each with its own B."""
    origin = (0.0, 0.0, 0.0)
    copper, gold = Site("Cu", origin, 1.0, 0.0055), Site("Au", origin, 1.0, 0.0062)
    mixed = crystal_potential(_fcc(replace(copper, occupancy=0.3), replace(gold, occupancy=0.7)), 20.0, 0.08)
    pure = [crystal_potential(_fcc(site), 20.0, 0.08) for site in (copper, gold)]
    np.testing.assert_array_equal(mixed.hkl, pure[0].hkl)
    for table in ("u", "s"):
        expected = 0.3 * getattr(pure[0], table) + 0.7 * getattr(pure[1], table)
        np.testing.assert_allclose(getattr(mixed, table), expected, atol=1e-12 * np.abs(expected).max())


def test_each_site_has_its_own_debye_waller_factor() -> None:
    """MgO along [100]: even orders add both atoms, each damped by its own factor (Z from gemmi's electron table)."""
    sites = (Site("Mg", (0, 0, 0), 1.0, 0.003), Site("O", (0.5, 0.5, 0.5), 1.0, 0.02))
    crystal = Crystal("MgO", 0.4211, 0.4211, 0.4211, 90.0, 90.0, 90.0, 225, "", sites)
    hkl = np.array([[2, 0, 0], [1, 1, 1], [4, 2, 0], [3, 3, 1]])
    g = np.linalg.norm(hkl, axis=1) / 0.4211
    sign = np.where(hkl.sum(axis=1) % 2 == 0, 1.0, -1.0)
    parts = [
        np.array([gemmi.Element(element).c4322.calculate_sf((0.05 * x) ** 2) for x in g])
        * np.exp(-0.25 * b_iso * g**2)
        for element, b_iso in (("Mg", 0.003), ("O", 0.02))
    ]
    expected = 4.0 * relativistic_factor(20.0) * 0.1 * (parts[0] + sign * parts[1])
    # The two tables differ by a few per cent; exchanging the two factors changes (331) by a third.
    np.testing.assert_allclose(structure_factors(crystal, hkl).real, expected, rtol=0.06)


def test_memory_does_not_grow_with_the_number_of_sites() -> None:
    def peak(sites: int) -> tuple[int, int]:
        """Bytes at most, and bytes of the table itself."""
        atoms = tuple(Site("Fe", (k / sites, 0.3, 0.1), 1.0, 0.005, "") for k in range(sites))
        crystal = Crystal("X", 0.8, 0.8, 0.8, 90.0, 90.0, 90.0, 1, "P 1", atoms)
        crystal_potential(crystal, 20.0, 0.1)
        tracemalloc.start()
        try:
            potential = crystal_potential(crystal, 20.0, 0.1)
            return tracemalloc.get_traced_memory()[1], potential.u.nbytes
        finally:
            tracemalloc.stop()

    few, box = peak(2)
    assert peak(20)[0] < few + 2 * box
