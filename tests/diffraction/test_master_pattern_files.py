"""Master patterns in files of EMsoft, kikuchipy and ebsdsim, built as those programs lay them out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import kikuchipy
import numpy as np
import pytest
from kikuchipy.signals import EBSDMasterPattern
from numpy.typing import NDArray
from orix.crystal_map import Phase
from orix.projections import StereographicProjection
from orix.quaternion.symmetry import get_point_group
from orix.vector import Vector3d

from kikuchinet.crystal import crystals
from kikuchinet.diffraction import MasterPattern
from kikuchinet.diffraction.lambert import lambert_grid
from kikuchinet.diffraction.sphere import cartesian_operations, other_hemisphere
from kikuchinet.errors import InputError

H = 20
Field = Callable[[NDArray[np.float64]], NDArray[np.float64]]


_BUMPS = np.random.default_rng(3).normal(size=(6, 3))
_HEIGHTS = np.arange(10.0, 16.0)


def lopsided(v: NDArray[np.float64]) -> NDArray[np.float64]:
    """Six broad bumps in general directions: no operation but the identity leaves them as they are."""
    towards = _BUMPS / np.linalg.norm(_BUMPS, axis=1, keepdims=True)
    return np.asarray(5.0 + np.exp(8.0 * (v @ towards.T - 1.0)) @ _HEIGHTS)


def symmetric(group: int) -> Field:
    """The same, averaged over orix's point group of a space group."""
    turns = get_point_group(group).to_matrix().reshape(-1, 3, 3)
    inversions = np.where(get_point_group(group).improper.ravel(), -1.0, 1.0)
    return lambda v: np.mean([lopsided(i * v @ m.T) for m, i in zip(turns, inversions, strict=True)], axis=0)


def hemispheres(field: Field, half_width: int = H) -> NDArray[np.float32]:
    """(2, 2h+1, 2h+1) on the Lambert square."""
    grid = lambert_grid(half_width)
    return np.stack([field(grid), field(grid * [1.0, 1.0, -1.0])]).astype(np.float32)


def stereographic(field: Field, half_width: int, pole: int) -> NDArray[np.float64]:
    """orix's stereographic projection, rows along +y; zeros outside."""
    from orix.projections import InverseStereographicProjection

    steps = np.linspace(-1.0, 1.0, 2 * half_width + 1)
    x, y = np.meshgrid(steps, steps)
    v = InverseStereographicProjection(pole).xy2vector(x.ravel(), y.ravel()).data
    image = field(v).reshape(x.shape)
    return np.where(x**2 + y**2 <= 1.0, image, 0.0)


def write_emsoft(path: Path, sets: NDArray[np.floating], energies: list[float], group: int) -> None:
    """EMsoft 5's datasets, as its program writes them: `sets` is (hemisphere, atom set, energy, y, x)."""
    with h5py.File(path, "w") as file:
        data = file.create_group("EMData/EBSDmaster")
        data["mLPNH"], data["mLPSH"] = sets.astype(np.float32)
        data["EkeVs"] = np.array(energies, dtype=np.float32)
        data["numEbins"] = np.array([len(energies)], dtype=np.int32)
        data["numset"] = np.array([sets.shape[1]], dtype=np.int32)
        data["lastEnergy"] = np.array([1], dtype=np.int32)
        file["CrystalData/SpaceGroupNumber"] = np.array([group], dtype=np.int32)


@pytest.fixture
def emsoft_sets() -> NDArray[np.float64]:
    """Two atom sets, three energies of different weight."""
    one = hemispheres(lopsided)
    weights = np.array([[1.0, 2.0, 5.0], [0.5, 0.25, 3.0]])
    return one[:, None, None] * weights[None, :, :, None, None]


def test_emsofts_energies_and_atom_sets_are_summed(tmp_path: Path, emsoft_sets: NDArray[np.float64]) -> None:
    write_emsoft(tmp_path / "m.h5", emsoft_sets, [18.0, 19.0, 20.0], 1)
    master = MasterPattern.load(tmp_path / "m.h5")
    np.testing.assert_allclose([master.upper, master.lower], hemispheres(lopsided) * 11.75, rtol=1e-5)
    assert (master.energy_kev, master.name, master.space_group) == (20.0, "m", 1)


def test_one_energy_or_other_weights(tmp_path: Path, emsoft_sets: NDArray[np.float64]) -> None:
    path = tmp_path / "m.h5"
    write_emsoft(path, emsoft_sets, [18.0, 19.0, 20.0], 1)
    one = MasterPattern.load(path, energy_kev=19.2)
    np.testing.assert_allclose(one.lower, hemispheres(lopsided)[1] * 2.25, rtol=1e-5)
    assert one.energy_kev == 19.0
    weighted = MasterPattern.load(path, energy_weights=(2.0, 0.0, 1.0))
    np.testing.assert_allclose(weighted.upper, hemispheres(lopsided)[0] * 11.0, rtol=1e-5)
    with pytest.raises(InputError, match=r"no energy of 25 keV; it has 18, 19, 20"):
        MasterPattern.load(path, energy_kev=25.0)
    with pytest.raises(InputError, match="needs 3 finite energy weights"):
        MasterPattern.load(path, energy_weights=(1.0, 2.0))


def test_kikuchipy_agrees_about_its_multi_energy_file() -> None:
    path = Path(kikuchipy.__file__).parent / "data" / "emsoft_ebsd_master_pattern" / "master_patterns.h5"
    signal = kikuchipy.load(path, projection="lambert", hemisphere="both")
    master = MasterPattern.load(path)
    np.testing.assert_allclose([master.upper, master.lower], signal.data.sum(axis=1), rtol=1e-6)
    one = MasterPattern.load(path, energy_kev=15.0)
    np.testing.assert_allclose([one.upper, one.lower], signal.data[:, 5], rtol=1e-6)
    assert master.space_group == 140


def test_an_emsoft_run_of_one_energy_says_it_in_sele(
    tmp_path: Path, emsoft_sets: NDArray[np.float64]
) -> None:
    emsoft_sets[:, :, :2] = 0.0
    write_emsoft(tmp_path / "m.h5", emsoft_sets, [1.0, 1.0, 1.0], 1)
    with h5py.File(tmp_path / "m.h5", "a") as file:
        del file["EMData/EBSDmaster/EkeVs"]
        file["EMData/EBSDmaster/selE"] = np.array([20.0], dtype=np.float32)
        file["EMData/EBSDmaster/lastEnergy"][...] = 3
    master = MasterPattern.load(tmp_path / "m.h5")
    np.testing.assert_allclose(master.upper, hemispheres(lopsided)[0] * 8.0, rtol=1e-5)
    assert master.energy_kev == 20.0


def test_stereographic_arrays_alone_are_resampled(tmp_path: Path) -> None:
    path = tmp_path / "m.h5"
    with h5py.File(path, "w") as file:
        data = file.create_group("EMData/EBSDmaster")
        for name, pole in (("masterSPNH", -1), ("masterSPSH", 1)):
            data[name] = stereographic(lopsided, 50, pole)[None].astype(np.float32)
        data["EkeVs"] = np.array([20.0])
        file["CrystalData/SpaceGroupNumber"] = np.array([1])
    master = MasterPattern.load(path)
    error = np.abs(np.stack([master.upper, master.lower]) - hemispheres(lopsided, 50))
    # Bilinear on a field that spans 14; the equator is half a pixel off at worst.
    assert error[:, 1:-1, 1:-1].max() < 0.02 * np.ptp(hemispheres(lopsided))
    assert error.max() < 0.05 * np.ptp(hemispheres(lopsided))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("unfinished", "stopped at energy 2 of 3"),
        ("zeros", "zero everywhere"),
        ("no energies", "selE"),
        ("two dimensions", "2 dimensions"),
        ("wrong count", "3 patterns for 2 energies"),
        ("nan", "not finite"),
        ("no hemisphere", "nothing in space group 1 turns"),
        ("other program", "without an EBSD master pattern"),
        ("even", "odd square"),
    ],
)
def test_damaged_emsoft_files_are_named(
    tmp_path: Path, emsoft_sets: NDArray[np.float64], damage: str, message: str
) -> None:
    path = tmp_path / "bad.h5"
    write_emsoft(path, emsoft_sets, [18.0, 19.0, 20.0], 1)
    with h5py.File(path, "a") as file:
        data = file["EMData/EBSDmaster"]
        if damage == "unfinished":
            data["lastEnergy"][...] = 2
        elif damage == "zeros":
            data["mLPSH"][...] = 0.0
        elif damage == "no energies":
            del data["EkeVs"]
        elif damage == "wrong count":
            del data["EkeVs"]
            data["EkeVs"] = np.array([19.0, 20.0])
        elif damage == "nan":
            data["mLPNH"][0, 0, 3, 3] = np.nan
        elif damage == "no hemisphere":
            del data["mLPSH"]
        elif damage == "other program":
            file.move("EMData/EBSDmaster", "EMData/ECPmaster")
        else:
            shape = data["mLPNH"][0, 0] if damage == "two dimensions" else data["mLPNH"][..., 1:, 1:]
            for name in ("mLPNH", "mLPSH"):
                del data[name]
                data[name] = shape
    with pytest.raises(InputError, match=message) as caught:
        MasterPattern.load(path)
    assert str(path) in str(caught.value)


# Groups with an inversion, a mirror across z, a two-fold axis in the plane, a four-fold inversion axis.
@pytest.mark.parametrize("group", [2, 225, 174, 152, 82, 216, 16, 195])
def test_the_missing_hemisphere_follows_from_symmetry(tmp_path: Path, group: int) -> None:
    both = hemispheres(symmetric(group))
    assert np.ptp(both) > 0.1
    write_emsoft(tmp_path / "m.h5", both[:, None, None], [20.0], group)
    for missing in ("mLPNH", "mLPSH"):
        path = tmp_path / f"{missing}.h5"
        path.write_bytes((tmp_path / "m.h5").read_bytes())
        with h5py.File(path, "a") as file:
            del file[f"EMData/EBSDmaster/{missing}"]
        master = MasterPattern.load(path)
        np.testing.assert_allclose([master.upper, master.lower], both, atol=1e-4)


@pytest.mark.parametrize("group", [1, 4, 33, 75, 143, 186])
def test_polar_groups_need_both_hemispheres(group: int) -> None:
    expected = group == 4  # its two-fold axis is b, in the plane
    assert (other_hemisphere(np.ones((5, 5), np.float32), group) is not None) == expected


def test_operations_are_orixs() -> None:
    """But for monoclinic groups, where orix has the unique axis c, and for 312, which it turns into 321."""
    for group in (2, 16, 75, 82, 143, 152, 156, 167, 174, 186, 195, 215, 225):
        symmetry = get_point_group(group)
        theirs = (
            symmetry.to_matrix().reshape(-1, 3, 3) * np.where(symmetry.improper.ravel(), -1, 1)[:, None, None]
        )
        ours = cartesian_operations(group)
        assert len(ours) == len(theirs)
        assert max(np.abs(ours - m).max(axis=(1, 2)).min() for m in theirs) < 1e-6


# ---------------------------------------------------------------- kikuchipy


@pytest.fixture
def master() -> MasterPattern:
    """Of a crystal without any symmetry to hide a mistake."""
    upper, lower = hemispheres(lopsided)
    return MasterPattern(
        upper, lower, 15.0, "kyanite", 2, crystal=crystals["kyanite"], settings={"preset": "none"}
    )


def test_to_kikuchipy_and_back(master: MasterPattern, tmp_path: Path) -> None:
    signal = master.to_kikuchipy()
    signal.save(tmp_path / "named.hspy")
    (tmp_path / "named.hspy").rename(tmp_path / "named.h5")
    for back in (MasterPattern.from_kikuchipy(signal), MasterPattern.load(tmp_path / "named.h5")):
        np.testing.assert_array_equal(back.upper, master.upper)
        np.testing.assert_array_equal(back.lower, master.lower)
        assert (back.name, back.space_group, back.energy_kev) == ("kyanite", 2, 15.0)
        assert back.settings == master.settings
        assert back.crystal is not None
        assert back.crystal.alpha_deg == pytest.approx(crystals["kyanite"].alpha_deg)


def test_an_energy_that_a_saved_signal_has_not_is_refused(master: MasterPattern, tmp_path: Path) -> None:
    master.to_kikuchipy().save(tmp_path / "m.hspy")
    back = MasterPattern.load(tmp_path / "m.hspy", energy_kev=15.0)
    np.testing.assert_array_equal(back.upper, master.upper)
    with pytest.raises(InputError, match="no energy of 20 keV; it has 15"):
        MasterPattern.load(tmp_path / "m.hspy", energy_kev=20.0)


@pytest.mark.parametrize(("name", "origin"), [("Si", 2), ("Ni", 1), ("kyanite", 1)])
def test_emsofts_layout_says_which_origin_the_atoms_have(name: str, origin: int, tmp_path: Path) -> None:
    crystal = crystals[name]
    upper, lower = hemispheres(lopsided)
    MasterPattern(upper, lower, 20.0, name, crystal.space_group, crystal=crystal).save(tmp_path / "m.h5")
    with h5py.File(tmp_path / "m.h5") as file:
        assert file["CrystalData/SpaceGroupSetting"][()].tolist() == [origin]


def test_zarr(master: MasterPattern, tmp_path: Path) -> None:
    pytest.importorskip("zarr")
    master.to_kikuchipy().save(tmp_path / "m.zspy")
    np.testing.assert_array_equal(MasterPattern.load(tmp_path / "m.zspy").upper, master.upper)


def signal_of(
    data: NDArray[Any], names: tuple[str, ...], group: int | None = 1, **kwargs: str
) -> EBSDMasterPattern:
    axes = [{"name": n, "size": s} for n, s in zip(names, data.shape, strict=True)]
    for axis in axes:
        if axis["name"] == "energy":
            axis |= {"offset": 18.0, "scale": 1.0, "units": "keV"}
    return EBSDMasterPattern(data, axes=axes, phase=Phase("x", space_group=group), **kwargs)


def test_signals_with_energies(tmp_path: Path) -> None:
    both = hemispheres(lopsided)
    data = both[:, None] * np.array([1.0, 2.0, 4.0])[:, None, None]
    signal = signal_of(
        data, ("hemisphere", "energy", "height", "width"), projection="lambert", hemisphere="both"
    )
    summed = MasterPattern.from_kikuchipy(signal)
    np.testing.assert_allclose([summed.upper, summed.lower], both * 7.0, rtol=1e-5)
    weighted = MasterPattern.from_kikuchipy(signal, energy_weights=(0.5, 0.0, 0.25))
    np.testing.assert_allclose(weighted.lower, both[1] * 1.5, rtol=1e-5)
    path = tmp_path / "e.hspy"
    signal.save(path)
    one = MasterPattern.load(path, energy_kev=19.0, projection="lambert", space_group=1)
    np.testing.assert_allclose(one.upper, both[0] * 2.0, rtol=1e-5)
    with pytest.raises(InputError, match=r"e\.hspy.*space group"):
        MasterPattern.load(path)
    with pytest.raises(InputError, match=r"e\.hspy.*projection"):
        MasterPattern.load(path, space_group=1)


def test_one_hemisphere_of_kikuchipys(tmp_path: Path) -> None:
    both = hemispheres(symmetric(82))
    for i, which in enumerate(("upper", "lower")):
        signal = signal_of(both[i], ("height", "width"), 82, projection="lambert", hemisphere=which)
        back = MasterPattern.from_kikuchipy(signal, energy_kev=20.0)
        np.testing.assert_allclose([back.upper, back.lower], both, atol=1e-4)
        path = tmp_path / f"{which}.hspy"
        signal.save(path)
        with pytest.raises(InputError, match="which hemisphere"):
            MasterPattern.load(path, projection="lambert", space_group=82, energy_kev=20.0)
        loaded = MasterPattern.load(
            path, projection="lambert", space_group=82, energy_kev=20.0, hemisphere=which
        )
        np.testing.assert_allclose([loaded.upper, loaded.lower], both, atol=1e-4)
    with pytest.raises(InputError, match="does not say its energy"):
        MasterPattern.from_kikuchipy(signal)


def test_stereographic_signals_are_those_of_kikuchipys_own_resampling() -> None:
    image = np.stack([stereographic(lopsided, H, pole) for pole in (-1, 1)])
    signal = signal_of(
        image, ("hemisphere", "height", "width"), projection="stereographic", hemisphere="both"
    )
    ours = MasterPattern.from_kikuchipy(signal, energy_kev=20.0)
    theirs = signal.as_lambert(show_progressbar=False).data
    # Theirs lets the zeros outside in at the equator.
    inner = slice(4, -4)
    difference = np.abs(np.stack([ours.upper, ours.lower]) - theirs)[:, inner, inner]
    assert difference.max() < 0.01 * np.ptp(hemispheres(lopsided))


def test_kikuchipys_emsoft_reader_turns_rows_over_and_we_turn_them_back(
    master: MasterPattern, tmp_path: Path
) -> None:
    path = tmp_path / "ours.h5"
    master.save(path)
    signal = kikuchipy.load(path, projection="stereographic", hemisphere="both")
    back = MasterPattern.from_kikuchipy(signal)
    assert np.abs(back.upper - master.upper).max() < 0.1 * np.ptp(master.upper)
    assert np.corrcoef(back.lower.ravel(), master.lower.ravel())[0, 1] > 0.999
    signal.save(tmp_path / "again.hspy")
    again = MasterPattern.load(tmp_path / "again.hspy")
    np.testing.assert_array_equal(again.upper, back.upper)
    assert (again.space_group, again.energy_kev) == (2, 15.0)


def test_a_pattern_without_a_crystal_loads_in_kikuchipy(tmp_path: Path) -> None:
    upper, lower = hemispheres(lopsided)
    MasterPattern(upper, lower, 20.0, "x", 225).save(tmp_path / "x.h5")
    signal = kikuchipy.load(tmp_path / "x.h5", projection="lambert", hemisphere="both")
    np.testing.assert_array_equal(signal.data[0], upper)
    assert signal.phase.space_group.number == 225


def test_other_hyperspy_files_are_named(tmp_path: Path) -> None:
    import hyperspy.api as hs

    hs.signals.Signal2D(np.ones((5, 5))).save(tmp_path / "other.hspy")
    with pytest.raises(InputError, match=r"other\.hspy.*Signal2D, not an EBSDMasterPattern"):
        MasterPattern.load(tmp_path / "other.hspy")
    with pytest.raises(InputError, match="is a folder"):
        MasterPattern.load(tmp_path)


# ---------------------------------------------------------------- ebsdsim


def ebsdsim_arrays(group: int, half_width: int = H, energies: int = 1) -> dict[str, NDArray[Any]]:
    """What ebsdsim 0.2.4 writes: a fundamental sector with a margin, by the direction of the incident wave."""
    symmetry = get_point_group(group)
    sector = symmetry.fundamental_sector
    normals = sector.data.reshape(-1, 3)
    inside, places = [], []
    steps = np.arange(-half_width, half_width + 1)
    row, column = np.meshgrid(steps, steps, indexing="ij")
    for sign in (1, -1):
        khat = lambert_grid(half_width) * [1.0, 1.0, sign]
        kept = (
            (khat @ normals.T >= -2.0 / half_width).all(axis=-1) if len(normals) else np.ones(row.shape, bool)
        )
        inside.append(khat[kept])
        places.append(np.stack([column[kept], row[kept], np.full(kept.sum(), sign)], axis=1))
    khat = np.concatenate(inside)
    values = symmetric(group)(-khat)
    weights = np.array([0.5, 0.3, 0.2])[:energies]
    scales = np.array([1.0, 2.0, 3.0])[:energies]
    energy_axis = [weights @ scales, *scales] if energies > 1 else [1.0]
    stored = values * np.array(energy_axis)[:, None]
    two_sites = np.stack([stored, 0.5 * stored, 1.5 * stored], axis=1)
    operations = (
        symmetry.to_matrix().reshape(-1, 3, 3) * np.where(symmetry.improper.ravel(), -1, 1)[:, None, None]
    )
    meta = {
        "format": "ebsdsim-master-pattern",
        "format_version": 3,
        "source": "somewhere/phase.cif",
        "voltage_kv": 20.0,
        "halfw": half_width,
        "grid_size": 2 * half_width + 1,
        "cell": {"space_group": group},
        "n_bin_patterns": energies,
    }
    return {
        "fundamental_sector": two_sites.astype(np.float32),
        "fundamental_kij": np.concatenate(places).astype(np.int32),
        "fundamental_khat": khat.astype(np.float32),
        "pg_operators": operations.astype(np.float64),
        "fs_normals": normals,
        "bin_voltages_kv": 20.0 - np.arange(energies, dtype=np.float32),
        "bin_weights": weights.astype(np.float32),
        "site_weights": np.array([0.5, 0.5], dtype=np.float32),
        "meta_json": np.frombuffer(json.dumps(meta).encode(), dtype=np.uint8),
    }


# 166 and 174: the hemispheres are no copies of each other, or all of one is stored; 216: only an upper sector.
@pytest.mark.parametrize("group", [1, 2, 82, 152, 166, 174, 186, 216, 225])
def test_ebsdsims_sector_becomes_both_hemispheres(tmp_path: Path, group: int) -> None:
    np.savez_compressed(tmp_path / "m.npz", **ebsdsim_arrays(group))
    (tmp_path / "m.npz").rename(tmp_path / "m.dat")
    master = MasterPattern.load(tmp_path / "m.dat")
    expected = hemispheres(symmetric(group))
    # Exact where the operations carry the square onto itself, else bilinear.
    hexagonal = 143 <= group <= 194 or group >= 195
    limit = (0.01 if hexagonal else 1e-6) * max(np.ptp(expected), 1.0)
    assert np.abs(np.stack([master.upper, master.lower]) - expected).max() < limit
    assert (master.name, master.space_group, master.energy_kev) == ("phase", group, 20.0)


def test_ebsdsims_energies(tmp_path: Path) -> None:
    np.savez_compressed(tmp_path / "m.npz", **ebsdsim_arrays(1, energies=3))
    expected = hemispheres(lopsided)
    np.testing.assert_allclose(MasterPattern.load(tmp_path / "m.npz").upper, expected[0] * 1.7, rtol=1e-5)
    one = MasterPattern.load(tmp_path / "m.npz", energy_kev=18.0)
    np.testing.assert_allclose(one.lower, expected[1] * 3.0, rtol=1e-5)
    assert one.energy_kev == 18.0


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ("other archive", "not a master pattern of ebsdsim"),
        ("other directions", "conventions"),
        ("holes", "leaves directions open"),
        ("nan", "not finite"),
        ("truncated", "damaged"),
        ("no voltages", "damaged"),
        ("outside", "outside its square"),
        ("pickle", "damaged"),
    ],
)
def test_damaged_ebsdsim_files_are_named(tmp_path: Path, damage: str, message: str) -> None:
    path = tmp_path / "bad.npz"
    arrays = ebsdsim_arrays(225)
    if damage == "other archive":
        arrays = {"a": np.ones(3)}
    elif damage == "other directions":
        arrays["fundamental_khat"] = -arrays["fundamental_khat"]
    elif damage == "holes":
        kept = arrays["fundamental_khat"][:, 2] > 0.9
        arrays["fundamental_sector"] = arrays["fundamental_sector"][:, :, kept]
        for name in ("fundamental_kij", "fundamental_khat"):
            arrays[name] = arrays[name][kept]
    elif damage == "nan":
        arrays["fundamental_sector"][...] = np.nan
    elif damage == "no voltages":
        del arrays["bin_voltages_kv"]
    elif damage == "outside":
        arrays["fundamental_kij"] = arrays["fundamental_kij"] * 2
    elif damage == "pickle":
        arrays["fundamental_sector"] = np.array([{"a": 1}], dtype=object)
    np.savez_compressed(path, **arrays)
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InputError, match=message) as caught:
        MasterPattern.load(path)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("name", ["titanite", "quartz", "calcite", "GaN", "kyanite", "GaAs"])
def test_operations_are_those_of_crystals(name: str) -> None:
    crystal = crystals[name]
    axes = crystal.direct_matrix.T
    expected = axes @ crystal.point_group_operations @ np.linalg.inv(axes)
    ours = cartesian_operations(crystal.space_group)
    assert max(np.abs(ours - w).max(axis=(1, 2)).min() for w in expected) < 1e-9


def test_stereographic_orix_is_ours() -> None:
    """The lower hemisphere keeps x and y, as the docstrings say."""
    x, y = StereographicProjection(pole=1).vector2xy(Vector3d([0.6, 0.0, -0.8]))
    assert (x[0], y[0]) == pytest.approx((0.6 / 1.8, 0.0))
