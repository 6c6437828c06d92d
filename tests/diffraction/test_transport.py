"""Monte Carlo transport against EMsoft's histogram and published backscatter yields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.diffraction.potential import crystal_potential
from kikuchinet.diffraction.transport import ElectronTransport, escape_statistics
from kikuchinet.errors import InputError


def test_escape_depths_are_those_of_emsofts_file(emsoft_file: Path, emsoft_nickel: Crystal) -> None:
    """Its only bin holds electrons that kept 20.0 of 20.1 keV."""
    theirs = ElectronTransport.from_emsoft(emsoft_file).depth_weights[0, 1:]
    escaped = escape_statistics(emsoft_nickel, 20.1, electrons=60_000)
    path = escaped.path_nm[escaped.energy_kev > 20.0]
    ours = np.bincount(np.round(path).astype(int), minlength=len(theirs)) / len(path)
    assert 0.5 * np.abs(ours[: len(theirs)] - theirs).sum() < 0.12


@pytest.mark.parametrize("name", ["Al", "Si", "Ni", "W"])
def test_backscatter_yield_at_normal_incidence(name: str) -> None:
    """Against the fit to measurements at 20 keV of L. Reimer, Scanning Electron Microscopy (Springer, 1985).

    Screened Rutherford scattering is known to backscatter too much from heavy elements: W comes out 0.05 high.
    """
    z = crystals[name].mean_atomic_number
    published = -0.0254 + 0.016 * z - 1.86e-4 * z**2 + 8.3e-7 * z**3
    escaped = escape_statistics(crystals[name], 20.0, sample_tilt_deg=0.0, electrons=20_000)
    assert len(escaped.energy_kev) / 20_000 == pytest.approx(published, abs=0.06)


@pytest.mark.parametrize(
    ("energy_kev", "tilts_deg"), [(10.0, (50.0,)), (20.0, (30.0, 50.0, 60.0, 70.0)), (30.0, (50.0,))]
)
@pytest.mark.parametrize("name", ["Al", "Si", "Ni", "W"])
def test_backscatter_yield_of_tilted_samples(
    name: str, energy_kev: float, tilts_deg: tuple[float, ...]
) -> None:
    """Against two fits to measurements between 10 and 60 keV, where the yield hardly depends on the energy.

    F. Arnal, P. Verdier, P.-D. Vincensini, C. R. Acad. Sci. Paris 268 (1969) 1526; H. Drescher, L. Reimer, H. Seidel,
    Z. angew. Phys. 29 (1970) 331, from the yield at normal incidence that the test above takes.
    """
    z = crystals[name].mean_atomic_number
    normal = -0.0254 + 0.016 * z - 1.86e-4 * z**2 + 8.3e-7 * z**3
    for tilt_deg in tilts_deg:
        cosine = np.cos(np.radians(tilt_deg))
        escaped = escape_statistics(crystals[name], energy_kev, sample_tilt_deg=tilt_deg, electrons=20_000)
        simulated = len(escaped.energy_kev) / 20_000
        # Tungsten comes out 0.03 high, as at normal incidence.
        assert simulated == pytest.approx((1.0 + cosine) ** (-9.0 / np.sqrt(z)), abs=0.05)
        assert simulated == pytest.approx(0.89 * (normal / 0.89) ** cosine, abs=0.05)


@pytest.mark.parametrize("energy_kev", [10.0, 30.0])
@pytest.mark.parametrize("name", ["Al", "Si", "Ni", "W"])
def test_backscatter_yield_at_other_energies(name: str, energy_kev: float) -> None:
    """The fit for 20 keV holds from 10 to 100 keV within some hundredths (L. Reimer, as above, section 4.1)."""
    z = crystals[name].mean_atomic_number
    published = -0.0254 + 0.016 * z - 1.86e-4 * z**2 + 8.3e-7 * z**3
    escaped = escape_statistics(crystals[name], energy_kev, sample_tilt_deg=0.0, electrons=20_000)
    assert len(escaped.energy_kev) / 20_000 == pytest.approx(published, abs=0.06)


def test_heavier_matter_lets_electrons_out_from_less_deep() -> None:
    attenuated, counted = (
        [
            ElectronTransport.simulate(crystals[n], electrons=10_000, depths=law).mean_depth_nm
            for n in ("Si", "Ni", "W")
        ]
        for law in ("absorption", "last elastic event")
    )
    assert attenuated[0] > 2.0 * attenuated[1] > 2.4 * attenuated[2]
    assert counted[0] > 2.0 * counted[1] > 3.2 * counted[2]


@pytest.mark.parametrize("name", ["Al", "Ni", "quartz"])
def test_depths_fall_as_the_waves_do(name: str) -> None:
    """The default law is the attenuation in the crystal's own potential, so that the source is uniform."""
    transport = ElectronTransport.simulate(crystals[name], energies=2, electrons=10_000)
    for energy, weights in zip(transport.energies_kev, transport.depth_weights, strict=True):
        depth = np.arange(len(weights)) * transport.depth_step_nm
        length = crystal_potential(crystals[name], float(energy), 0.1).absorption_length_nm
        source = weights[1:] * np.exp(2.0 * np.pi * depth[1:] / length)
        np.testing.assert_allclose(source, source[0], rtol=1e-6)
        assert weights[0] == pytest.approx(0.5 * source[0], rel=1e-6)


def test_no_such_law_of_depths() -> None:
    with pytest.raises(InputError, match="no such law"):
        ElectronTransport.simulate(crystals["Ni"], electrons=1000, depths="deep")


def test_weights_are_shares_and_energies_fall() -> None:
    transport = ElectronTransport.simulate(crystals["Ni"], energies=3, electrons=10_000)
    np.testing.assert_allclose(transport.depth_weights.sum(axis=1), 1.0)
    assert transport.energy_weights.sum() == pytest.approx(1.0)
    assert (np.diff(transport.energies_kev) < 0).all()
    assert transport.energies_kev[0] < 20.0


def test_same_seed_same_electrons() -> None:
    a = escape_statistics(crystals["Ni"], electrons=5_000, seed=5)
    b = escape_statistics(crystals["Ni"], electrons=5_000, seed=5)
    c = escape_statistics(crystals["Ni"], electrons=5_000, seed=6)
    np.testing.assert_array_equal(a.path_nm, b.path_nm)
    assert len(a.path_nm) != len(c.path_nm) or not np.array_equal(a.path_nm, c.path_nm)


def test_directions_are_unit_and_point_out() -> None:
    escaped = escape_statistics(crystals["Ni"], electrons=5_000)
    np.testing.assert_allclose(np.linalg.norm(escaped.direction, axis=1), 1.0, atol=1e-9)
    assert (escaped.direction[:, 2] > 0).all()
    np.testing.assert_allclose(escaped.path_nm * escaped.direction[:, 2], escaped.depth_nm, rtol=1e-6)


@pytest.mark.parametrize("options", [{"energy_kev": 0.0}, {"sample_tilt_deg": 95.0}, {"electrons": 0}])
def test_bad_requests(options: dict[str, float]) -> None:
    with pytest.raises(InputError):
        escape_statistics(crystals["Ni"], **options)  # type: ignore[arg-type]


def test_files_without_monte_carlo_data(tmp_path: Path) -> None:
    path = tmp_path / "no.h5"
    with pytest.raises(InputError, match="no such file"):
        ElectronTransport.from_emsoft(path)
    path.write_text("text")
    with pytest.raises(InputError, match="no Monte Carlo data"):
        ElectronTransport.from_emsoft(path)
