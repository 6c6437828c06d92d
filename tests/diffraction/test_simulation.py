"""Whole master patterns: EMsoft's nickel, folding, files, and bad requests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import kikuchipy
import numpy as np
import pytest

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.diffraction import PRESETS, ElectronTransport, MasterPattern, simulate
from kikuchinet.diffraction.folding import fold, grid_operations
from kikuchinet.diffraction.lambert import direction_to_square, lambert_grid, square_to_direction
from kikuchinet.errors import InputError


def one_energy(name: str) -> ElectronTransport:
    """Return a quick transport: one energy, few electrons."""
    return ElectronTransport.simulate(crystals[name], energies=1, electrons=5_000)


@pytest.fixture(scope="module")
def small_master() -> MasterPattern:
    return simulate(crystals["Ni"], half_width=20, preset="fast", transport=one_energy("Ni"))


def ncc(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(a.ravel(), b.ravel())[0, 1])


def test_parity_with_emsofts_nickel_over_both_whole_squares(
    emsoft_file: Path, emsoft_nickel: Crystal
) -> None:
    reference = MasterPattern.load(emsoft_file)
    transport = ElectronTransport.from_emsoft(emsoft_file)
    ours = simulate(emsoft_nickel, 20.0, half_width=200, preset="parity", transport=transport)
    for mine, theirs in ((ours.upper, reference.upper), (ours.lower, reference.lower)):
        assert ncc(mine, theirs) > 0.9999
        slope, offset = np.polyfit(mine.ravel().astype(float), theirs.ravel().astype(float), 1)
        # Rounding to 8 bits alone leaves 1/sqrt(12) = 0.289 grey levels.
        assert np.std(theirs - slope * mine - offset) < 0.31


def test_lambert_map_and_its_inverse() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-1, 1, (2, 500))
    directions = square_to_direction(x, y)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1.0)
    assert (directions[:, 2] >= 0).all()
    np.testing.assert_allclose(direction_to_square(directions), np.stack([x, y], axis=1), atol=1e-12)


def test_lambert_map_is_kikuchipys() -> None:
    from kikuchipy.signals.util._master_pattern import _vector2lambert

    directions = np.random.default_rng(1).normal(size=(200, 3))
    theirs = _vector2lambert(directions) / np.sqrt(np.pi / 2)
    np.testing.assert_allclose(direction_to_square(directions), theirs, atol=1e-9)


def test_lambert_map_keeps_areas() -> None:
    # Equal areas: the mean of z over the square is its mean over the hemisphere, 1/2.
    assert lambert_grid(200)[..., 2].mean() == pytest.approx(0.5, abs=3e-3)


@pytest.mark.parametrize(("name", "operations"), [("Ni", 16), ("GaAs", 8), ("Mg", 8), ("rutile", 16)])
def test_folding_uses_every_operation_the_grid_can_carry(name: str, operations: int) -> None:
    crystal = crystals[name]
    assert len(grid_operations(crystal)) == operations
    folding = fold(crystal, 30)
    # One pixel stands for as many others as there are operations, up to those on symmetry elements.
    assert len(folding.rows) == pytest.approx(2 * 61**2 / operations, rel=0.12)
    assert folding.source.max() == len(folding.rows) - 1


@pytest.mark.parametrize("name", ["GaAs", "Mg"])
def test_folding_changes_nothing(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A pattern computed pixel by pixel is the folded one."""
    crystal = crystals[name]
    transport = one_energy(crystal.name)
    folded = simulate(crystal, half_width=9, preset="fast", transport=transport)
    monkeypatch.setattr(
        "kikuchinet.diffraction.folding.grid_operations", lambda _: np.eye(3, dtype=np.int64)[None]
    )
    whole = simulate(crystal, half_width=9, preset="fast", transport=transport)
    np.testing.assert_allclose(whole.upper, folded.upper, rtol=2e-3)
    np.testing.assert_allclose(whole.lower, folded.lower, rtol=2e-3)


def test_zinc_blende_has_two_different_hemispheres_diamond_has_not() -> None:
    gallium_arsenide, silicon = (
        simulate(crystals[name], half_width=16, preset="fast", transport=one_energy(name))
        for name in ("GaAs", "Si")
    )
    # -43m has no inversion: k and -k differ. The lower square is seen from above: its -k is turned by 180 degrees.
    assert ncc(gallium_arsenide.upper, gallium_arsenide.lower[::-1, ::-1]) < 0.9995
    np.testing.assert_allclose(silicon.upper, silicon.lower[::-1, ::-1], rtol=1e-5)


def test_simulation_is_reproducible_and_reports_progress() -> None:
    seen: list[float] = []
    first = simulate(crystals["Al"], half_width=8, preset="fast", seed=3, progress=seen.append)
    second = simulate(crystals["Al"], half_width=8, preset="fast", seed=3)
    np.testing.assert_array_equal(first.upper, second.upper)
    assert seen == sorted(seen)
    assert seen[-1] == pytest.approx(1.0)
    assert first.settings["preset"] == "fast"


def test_presets_agree_where_they_should() -> None:
    accurate = simulate(crystals["Ni"], half_width=16, transport=one_energy("Ni"))
    fast = simulate(crystals["Ni"], half_width=16, preset="fast", transport=one_energy("Ni"))
    assert accurate.settings["preset"] == "accurate"
    assert accurate.settings["mean_strong_beams"] > fast.settings["mean_strong_beams"]
    assert 0.97 < ncc(accurate.upper, fast.upper) < 0.9999


def test_large_cells_get_what_they_can_afford(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit to the work lowers the cut-offs, as far as needed, and the settings say so."""
    cheap = replace(PRESETS["accurate"], most_operations=3e3)
    monkeypatch.setitem(PRESETS, "cheap", cheap)
    full = simulate(crystals["Ni"], half_width=12, transport=one_energy("Ni"))
    less = simulate(crystals["Ni"], half_width=12, preset="cheap", transport=one_energy("Ni"))
    assert full.settings["beam_selection"]["cutoff"] == PRESETS["accurate"].selection.cutoff
    assert less.settings["beam_selection"]["cutoff"] < 0.8 * full.settings["beam_selection"]["cutoff"]
    assert less.settings["mean_strong_beams"] < full.settings["mean_strong_beams"]
    assert ncc(full.upper, less.upper) > 0.98


def test_a_map_in_tiles_is_the_map_direction_by_direction(monkeypatch: pytest.MonkeyPatch) -> None:
    crystal = crystals["Ta"]
    transport = one_energy(crystal.name)
    monkeypatch.setitem(PRESETS, "fast alone", replace(PRESETS["fast"], tile_rad=0.0))
    monkeypatch.setitem(PRESETS, "fast together", replace(PRESETS["fast"], tile_rad=0.06))
    alone = simulate(crystal, half_width=60, preset="fast alone", transport=transport)
    together = simulate(crystal, half_width=60, preset="fast together", transport=transport)
    assert together.settings["mean_strong_beams"] > alone.settings["mean_strong_beams"]
    assert ncc(alone.upper, together.upper) > 0.99


def test_file_goes_round_and_loads_in_kikuchipy(small_master: MasterPattern, tmp_path: Path) -> None:
    path = tmp_path / "ni.h5"
    small_master.save(path)
    back = MasterPattern.load(path)
    np.testing.assert_array_equal(back.upper, small_master.upper)
    np.testing.assert_array_equal(back.lower, small_master.lower)
    assert (back.name, back.space_group, back.energy_kev) == ("Ni", 225, 20.0)
    assert back.settings == small_master.settings
    assert back.crystal is not None
    assert back.crystal.a_nm == pytest.approx(crystals["Ni"].a_nm)
    signal = kikuchipy.load(path, projection="lambert", hemisphere="both")
    np.testing.assert_allclose(signal.data, np.stack([small_master.upper, small_master.lower]))
    assert signal.phase.space_group.number == 225
    stereographic = kikuchipy.load(path)
    assert stereographic.projection == "stereographic"
    # The centre of both projections is the pole; kikuchipy turns the stereographic one upside down.
    centre = small_master.half_width
    assert stereographic.data[centre, centre] == pytest.approx(small_master.upper[centre, centre])


def test_kikuchipy_projects_our_file(small_master: MasterPattern, tmp_path: Path) -> None:
    from orix.quaternion import Rotation

    path = tmp_path / "ni.h5"
    small_master.save(path)
    detector = kikuchipy.detectors.EBSDDetector(shape=(20, 30), pc=(0.5, 0.5, 0.6), sample_tilt=70)
    rotations = Rotation.random(3)
    loaded = kikuchipy.load(path, projection="lambert", hemisphere="both")
    from_file = loaded.get_patterns(rotations, detector, dtype_out="float32", compute=True).data
    direct = small_master.to_kikuchipy()
    from_memory = direct.get_patterns(rotations, detector, dtype_out="float32", compute=True).data
    np.testing.assert_allclose(from_file, from_memory, rtol=1e-5)
    assert from_file.std() > 0


@pytest.mark.parametrize("damage", ["missing", "empty", "text", "truncated", "other hdf5", "nan"])
def test_bad_files_are_named(small_master: MasterPattern, tmp_path: Path, damage: str) -> None:
    path = tmp_path / "bad.h5"
    if damage == "empty":
        path.touch()
    elif damage == "text":
        path.write_text("not HDF5")
    elif damage == "truncated":
        small_master.save(path)
        path.write_bytes(path.read_bytes()[:3000])
    elif damage == "other hdf5":
        with h5py.File(path, "w") as file:
            file["x"] = 1
    elif damage == "nan":
        small_master.save(path)
        with h5py.File(path, "a") as file:
            file["EMData/EBSDmaster/mLPNH"][0, 0, 3, 3] = np.nan
    with pytest.raises(InputError) as caught:
        MasterPattern.load(path)
    assert "bad" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"preset": "best"}, "no such preset"),
        ({"half_width": 2}, "at least 4 pixels"),
        ({"energy_kev": -1.0}, "between 1 and 100"),
        ({"energy_kev": float("nan")}, "between 1 and 100"),
    ],
)
def test_bad_requests(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        simulate(crystals["Ni"], **({"half_width": 8} | options))  # type: ignore[arg-type]


def test_hemispheres_must_fit() -> None:
    with pytest.raises(InputError, match="odd square"):
        MasterPattern(np.ones((4, 4)), np.ones((4, 4)), 20.0, "x", 225)
    with pytest.raises(InputError, match="differ"):
        MasterPattern(np.ones((5, 5)), np.ones((7, 7)), 20.0, "x", 225)
