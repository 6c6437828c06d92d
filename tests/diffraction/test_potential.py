"""Fourier coefficients of the potential against EMsoft's log, the symmetry operations, and the extinctions they demand."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.crystal import Crystal, crystals
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
    import gemmi

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
