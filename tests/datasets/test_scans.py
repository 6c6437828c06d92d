"""Scans of grains: the map's statistics, and a file that kikuchipy opens and understands."""

from __future__ import annotations

from dataclasses import replace

import kikuchipy
import numpy as np
import pytest
from orix.quaternion import Rotation
from scipy.spatial.distance import pdist

from kikuchinet.datasets.grains import draw_grains
from kikuchinet.datasets.scans import ScanSettings, scan_centers, simulate_scan
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.microscope import Detector

DETECTOR = Detector((40, 48), (0.48, 0.3, 0.6), tilt_deg=4.0)
SETTINGS = ScanSettings((9, 12), step_um=0.5, grain_um=2.0, fractions=(0.7, 0.2, 0.1), camera="good", seed=3)


@pytest.fixture(scope="module")
def scan(masters, tmp_path_factory):
    path = tmp_path_factory.mktemp("scan") / "scan.h5"
    manifest, grains = simulate_scan(masters, path, SETTINGS, DETECTOR, progress=False)
    return path, manifest, grains


def test_grains_have_the_size_and_the_phases_that_were_asked_for():
    rng = np.random.default_rng(0)
    grains = draw_grains((300, 400), step_um=0.2, grain_um=4.0, fractions=[3, 1], rng=rng)
    mean_area = 300 * 400 * 0.2**2 / len(np.unique(grains.grain))
    # Cells that the edge cuts make the mean of whole ones look smaller.
    assert 2 * np.sqrt(mean_area / np.pi) == pytest.approx(4.0, rel=0.12)
    assert (grains.phases == 0).mean() == pytest.approx(0.75, abs=0.08)
    assert (grains.grain != grains.neighbour).all()
    assert 0 <= grains.share.min() <= grains.share.max() <= 0.5


def test_boundaries_are_as_wide_as_the_region_that_patterns_come_from():
    narrow, wide = (
        draw_grains(
            (200, 200),
            step_um=0.05,
            grain_um=3.0,
            fractions=[1],
            rng=np.random.default_rng(1),
            resolution_nm=width,
        )
        for width in (50.0, 200.0)
    )
    np.testing.assert_array_equal(narrow.grain, wide.grain)
    assert (wide.share > 0.02).mean() == pytest.approx(4 * (narrow.share > 0.02).mean(), rel=0.2)
    # The neighbour's part is half where the next point belongs to it.
    edge = wide.grain[:, :-1] != wide.grain[:, 1:]
    assert wide.share[:, :-1][edge].mean() > 0.4
    sharp = draw_grains(
        (20, 20), step_um=1.0, grain_um=3.0, fractions=[1], rng=np.random.default_rng(1), resolution_nm=0.0
    )
    assert (sharp.share == 0).all()


def test_orientations_scatter_within_a_grain_by_what_was_asked_for():
    grains = draw_grains(
        (100, 100), step_um=1.0, grain_um=60.0, fractions=[1], rng=np.random.default_rng(2), spread_deg=0.5
    )
    biggest = np.bincount(grains.grain.ravel()).argmax()
    inside = Rotation(grains.quaternions[grains.grain == biggest])
    mean = inside[0]
    vectors = (~mean * inside).to_rodrigues().data * 2
    assert np.rad2deg(np.std(vectors[1:], axis=0)) == pytest.approx(0.5, rel=0.15)


def test_kikuchipy_opens_the_scan_with_its_map(scan):
    path, manifest, grains = scan
    signal = kikuchipy.load(path, lazy=True)
    assert signal.axes_manager.navigation_shape == (12, 9)
    assert signal.axes_manager.signal_shape == (48, 40)
    assert signal.xmap.shape == (9, 12)
    assert signal.xmap.dx == pytest.approx(0.5)
    np.testing.assert_array_equal(signal.xmap.phase_id.reshape(9, 12), grains.phases)
    np.testing.assert_allclose(signal.xmap.rotations.data, grains.quaternions.reshape(-1, 4), atol=1e-6)
    np.testing.assert_array_equal(signal.xmap.prop["grain"], manifest.frame["grain"])
    assert sorted(signal.xmap.phases.names) == ["Al", "Fe", "Si"]
    np.testing.assert_allclose(signal.detector.pc.reshape(-1, 3), manifest.frame[["pc_x", "pc_y", "pc_z"]])
    assert signal.detector.tilt == 4.0


def test_patterns_inside_grains_match_kikuchipys_projection(scan, masters):
    path, manifest, _ = scan
    signal = kikuchipy.load(path)
    inside = manifest.frame[(manifest.frame["overlap"] == 0) & (manifest.frame["material"] == "Al")]
    row = inside.iloc[len(inside) // 2]
    master = MasterPattern.load(
        next(entry.path for entry in masters if entry.material == "Al")
    ).to_kikuchipy()
    detector = signal.detector.deepcopy()
    detector.pc = row[["pc_x", "pc_y", "pc_z"]].to_numpy(float)

    def likeness(quaternion):
        made = master.get_patterns(
            Rotation(quaternion),
            detector,
            energy=20,
            dtype_out="float32",
            compute=True,
            show_progressbar=False,
        )
        stored = signal.data[row["row"], row["column"]].astype(float)
        return np.corrcoef(np.asarray(made.data).ravel(), stored.ravel())[0, 1]

    right = likeness(row[["qa", "qb", "qc", "qd"]].to_numpy(float))
    wrong = [likeness(Rotation.random().data) for _ in range(3)]
    assert right > max(wrong) + 0.1


def test_patterns_at_boundaries_show_both_grains(masters, tmp_path):
    # All patterns alike but for the part of the neighbour: sharp and blurred boundaries of the same grains.
    wide = ScanSettings(
        (6, 6), step_um=0.1, grain_um=0.5, camera="good", quality=1.0, resolution_nm=60.0, seed=8
    )
    sharp = ScanSettings(
        (6, 6), step_um=0.1, grain_um=0.5, camera="good", quality=1.0, resolution_nm=0.0, seed=8
    )
    made = [
        simulate_scan(masters, tmp_path / f"{i}.h5", s, DETECTOR, progress=False)
        for i, s in enumerate((wide, sharp))
    ]
    shared = made[0][0].frame["overlap"].to_numpy()
    patterns = [kikuchipy.load(tmp_path / f"{i}.h5").data.reshape(36, -1).astype(float) for i in range(2)]
    alike = np.array([np.corrcoef(a, b)[0, 1] for a, b in zip(*patterns, strict=True)])
    assert (shared > 0.3).any()
    assert (shared == 0).any()
    assert alike[shared == 0].min() > alike[shared > 0.3].max()


def test_the_pattern_centre_moves_as_the_beam_does():
    centers = scan_centers(DETECTOR, ScanSettings((3, 5), step_um=100.0, px_size_um=500.0)).reshape(3, 5, 3)
    np.testing.assert_allclose(centers[1, 2], DETECTOR.pattern_center, atol=1e-12)
    # 100 µm on a screen of 48 pixels of 500 µm.
    np.testing.assert_allclose(np.diff(centers[0, :, 0]), -100 / (48 * 500))
    assert pdist(centers[:, :, 1:].reshape(-1, 2)).max() > 0


def test_without_azimuth_and_twist_the_centres_are_kikuchipys():
    settings = ScanSettings((4, 7), step_um=100.0, px_size_um=500.0)
    theirs = DETECTOR.to_kikuchipy().extrapolate_pc(
        pc_indices=[1.5, 3.0], navigation_shape=(4, 7), step_sizes=(100.0, 100.0), px_size=500.0, binning=1
    )
    np.testing.assert_allclose(scan_centers(DETECTOR, settings), theirs.pc.reshape(-1, 3), atol=1e-12)


def test_the_screen_stays_where_it_is_whatever_its_angles():
    detector = replace(DETECTOR, azimuthal_deg=8.0, twist_deg=30.0, sample_tilt_deg=60.0)
    x, y, z = scan_centers(detector, ScanSettings((3, 5), step_um=100.0, px_size_um=500.0)).T
    row, column = (part.ravel() for part in np.indices((3, 5)))
    beam = 100.0 * np.column_stack([-row, -column, 0 * row])
    corner = 500.0 * np.column_stack([-48 * x, 40 * y, 40 * z]) @ detector.detector_to_sample.T
    np.testing.assert_allclose(beam + corner - (beam + corner)[0], 0.0, atol=1e-6)


def test_the_same_seed_gives_the_same_scan(scan, masters, tmp_path):
    path, manifest, _ = scan
    again, _ = simulate_scan(masters, tmp_path / "scan.h5", SETTINGS, DETECTOR, progress=False)
    assert again.frame.equals(manifest.frame)
    np.testing.assert_array_equal(kikuchipy.load(tmp_path / "scan.h5").data, kikuchipy.load(path).data)


def test_what_makes_no_sense_is_refused(masters, tmp_path):
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="points"):
        draw_grains((0, 5), step_um=1.0, grain_um=3.0, fractions=[1], rng=rng)
    with pytest.raises(InputError, match="larger than zero"):
        draw_grains((5, 5), step_um=1.0, grain_um=3.0, fractions=[1, 0], rng=rng)
    with pytest.raises(InputError, match="2 numbers for 3 phases"):
        simulate_scan(
            masters, tmp_path / "x.h5", ScanSettings((3, 3), fractions=(1.0, 1.0)), DETECTOR, progress=False
        )
    with pytest.raises(InputError, match="none of"):
        ScanSettings((3, 3), camera="telephone")
    assert not list(tmp_path.iterdir())


def test_the_file_says_the_detectors_tilts_and_the_patterns_follow_them(masters, tmp_path):
    settings = ScanSettings((2, 3), camera="good", quality=1.0, resolution_nm=0.0, seed=3)
    plain = Detector((40, 48), (0.48, 0.3, 0.6), tilt_deg=4.0, sample_tilt_deg=65.0, azimuthal_deg=3.0)
    twisted = replace(plain, twist_deg=30.0)
    for name, detector in (("plain", plain), ("twisted", twisted)):
        simulate_scan(masters, tmp_path / f"{name}.h5", settings, detector, progress=False)
    opened = {name: kikuchipy.load(tmp_path / f"{name}.h5") for name in ("plain", "twisted")}
    found = opened["twisted"].detector
    assert (found.tilt, found.azimuthal, found.twist, found.sample_tilt) == (4.0, 3.0, 30.0, 65.0)
    first, second = (signal.data.reshape(6, -1).astype(float) for signal in opened.values())
    assert max(np.corrcoef(a, b)[0, 1] for a, b in zip(first, second, strict=True)) < 0.9
