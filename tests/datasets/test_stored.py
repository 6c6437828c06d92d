"""Stored sets: kikuchipy reads them, manifests travel, splits do not leak."""

from __future__ import annotations

from dataclasses import replace

import kikuchipy
import numpy as np
import pandas as pd
import pytest
from orix.quaternion import Rotation
from orix.vector import Vector3d

from kikuchinet.datasets import GeometryRange, Manifest, MasterSet, StoredPatterns, generate
from kikuchinet.datasets.measuring import measure_quality
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.microscope import instrument


@pytest.fixture(scope="module")
def stored(masters, tmp_path_factory):
    folder = tmp_path_factory.mktemp("set")
    manifest = generate(
        masters,
        folder / "set.h5",
        count=9,
        shape=(40, 48),
        camera="good",
        detector_tilt_deg=3.0,
        seed=4,
        progress=False,
    )
    return folder, manifest


def test_kikuchipy_reads_patterns_and_geometry(stored):
    folder, manifest = stored
    signal = kikuchipy.load(folder / "set.h5")
    assert signal.data.shape == (27, 40, 48)
    assert signal.data.dtype == np.uint8
    assert signal.detector.tilt == 3.0
    assert signal.detector.sample_tilt == 70.0
    np.testing.assert_allclose(signal.detector.pc.reshape(-1, 3), manifest.frame[["pc_x", "pc_y", "pc_z"]])


def test_patterns_match_what_kikuchipy_projects(stored, masters):
    """A stored pattern's orientation and pattern centre explain it, by a projection that is not ours."""
    from orix.quaternion import Rotation

    from kikuchinet.diffraction import MasterPattern

    folder, manifest = stored
    signal = kikuchipy.load(folder / "set.h5")
    row = manifest.frame.iloc[0]
    master = MasterPattern.load(masters[0].path).to_kikuchipy()
    detector = kikuchipy.detectors.EBSDDetector(
        shape=(40, 48), pc=row[["pc_x", "pc_y", "pc_z"]].to_numpy(float), tilt=3.0, sample_tilt=70.0
    )

    def likeness(quaternion: np.ndarray) -> float:
        made = master.get_patterns(
            Rotation(quaternion),
            detector,
            energy=20,
            dtype_out="float32",
            compute=True,
            show_progressbar=False,
        )
        flat = [signal.data[0].astype(float), np.asarray(made.data).reshape(40, 48)]
        flat = [a - _smooth(a) for a in flat]
        return float(np.corrcoef(flat[0].ravel(), flat[1].ravel())[0, 1])

    right = likeness(row[["qa", "qb", "qc", "qd"]].to_numpy(float))
    wrong = likeness(np.array([0.8, 0.6, 0.0, 0.0]))
    assert right > 0.6
    assert right > wrong + 0.3


def _smooth(image: np.ndarray) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(image, 6)


def test_same_seed_same_set(stored, masters, tmp_path):
    folder, manifest = stored
    options = {"count": 9, "shape": (40, 48), "camera": "good", "detector_tilt_deg": 3.0, "progress": False}
    again = generate(masters, tmp_path / "set.h5", seed=4, **options)
    pd.testing.assert_frame_equal(again.frame, manifest.frame)
    first, second = (kikuchipy.load(f / "set.h5").data for f in (folder, tmp_path))
    np.testing.assert_array_equal(first, second)
    other = generate(masters, tmp_path / "other.h5", seed=5, **options)
    assert not np.allclose(other.frame["qa"], manifest.frame["qa"])


def test_materials_are_recorded_with_the_same_cameras_where_that_is_wanted(masters, tmp_path):
    options = {
        "count": 20,
        "shape": (40, 48),
        "camera": "mixed",
        "quality": (0.0, 1.0),
        "seed": 2,
        "progress": False,
    }
    shared = generate(masters, tmp_path / "shared.h5", same_cameras=True, **options).frame
    apart = generate(masters, tmp_path / "apart.h5", **options).frame
    by_material = {name: part["quality"].tolist() for name, part in shared.groupby("material")}
    assert len({tuple(values) for values in by_material.values()}) == 1
    assert len(set(by_material["Al"])) >= 3
    assert len({tuple(part["quality"]) for _, part in apart.groupby("material")}) == len(by_material)
    # Only the cameras are.
    names = ["qa", "qb", "qc", "qd"]
    assert not np.allclose(
        shared[shared["material"] == "Al"][names], shared[shared["material"] == "Fe"][names]
    )


def test_manifest_comes_back(stored, tmp_path):
    folder, manifest = stored
    read = Manifest.read(folder / "set.csv")
    pd.testing.assert_frame_equal(read.frame, manifest.frame)
    assert manifest.frame.groupby("material").size().to_dict() == {"Al": 9, "Fe": 9, "Si": 9}
    manifest.write(tmp_path / "set.parquet")
    pd.testing.assert_frame_equal(Manifest.read(tmp_path / "set.parquet").frame, manifest.frame)


def test_stored_patterns_are_prepared_and_labelled(stored):
    folder, manifest = stored
    dataset = StoredPatterns(Manifest.read(folder / "set.csv"), (225, 227, 229), size=(32, 38))
    assert len(dataset) == 27
    image, label = dataset[26]
    assert tuple(image.shape) == (32, 38)
    assert (225, 227, 229)[int(label)] == manifest.frame["space_group"].iloc[26]
    batches = list(dataset.batches(10))
    assert [len(labels) for _, labels in batches] == [10, 10, 7]
    np.testing.assert_allclose(batches[2][0][6], image.numpy(), atol=1e-5)
    with pytest.raises(InputError, match="not among the classes"):
        StoredPatterns(manifest, (225, 227), size=(32, 38))


def test_kept_patterns_are_those_prepared_anew_and_read_once(stored, monkeypatch):
    manifest = stored[1]
    kept, anew = (
        StoredPatterns(manifest, (225, 227, 229), size=(32, 40), keep=keep) for keep in (True, False)
    )
    read = []
    monkeypatch.setattr(kept, "image", lambda i: read.append(i) or StoredPatterns.image(kept, i))
    first = [kept[i] for i in (5, 0, 5, 26)]
    batches = list(kept.batches(8))
    assert sorted(read) == list(range(27))
    for (image, label), i in zip(first, (5, 0, 5, 26), strict=True):
        assert (image == anew[i][0]).all()
        assert label == anew[i][1]
    for (images, labels), (other, of_other) in zip(batches, anew.batches(8), strict=True):
        assert (images == other).all()
        assert (labels == of_other).all()
    monkeypatch.setattr("kikuchinet.datasets.stored.KEPT_BYTES", 27 * 32 * 40 * 4 - 1)
    large = StoredPatterns(manifest, (225, 227, 229), size=(32, 40), keep=True)
    monkeypatch.setattr(large, "image", lambda i: read.append(i) or StoredPatterns.image(large, i))
    assert (large[3][0] == large[3][0]).all()
    assert read[27:] == [3] * 2


@pytest.mark.parametrize("by", ["material", "map"])
def test_splits_keep_together_what_belongs_together(by):
    rng = np.random.default_rng(0)
    n = 4000
    material = rng.integers(0, 12, n)
    frame = pd.DataFrame(
        {
            "file": "x.h5",
            "index": np.arange(n),
            "material": [f"m{i}" for i in material],
            "space_group": np.where(material < 6, 225, 229),
            "map": [f"map{m}-{i}" for m, i in zip(material, rng.integers(0, 5, n), strict=True)],
        }
    )
    parts = Manifest(frame, None).split({"train": 0.5, "test": 0.5}, by=by, seed=3)
    assert set(parts) == {"train", "test"}
    train, test = parts["train"].frame, parts["test"].frame
    assert len(train) + len(test) == n
    assert not set(train[by]) & set(test[by])
    assert set(train["space_group"]) == set(test["space_group"]) == {225, 229}


def test_wrong_manifests_are_refused(tmp_path, stored):
    folder, manifest = stored
    with pytest.raises(InputError, match="no such file"):
        Manifest.read(tmp_path / "none.csv")
    (tmp_path / "a.csv").write_text("file,index,material\nx.h5,0,Al\n")
    with pytest.raises(InputError, match="no column 'space_group'"):
        Manifest.read(tmp_path / "a.csv")
    (tmp_path / "b.csv").write_text("file,index,material,space_group\nx.h5,0,Al,999\n")
    with pytest.raises(InputError, match="outside 1 to 230"):
        Manifest.read(tmp_path / "b.csv")
    (tmp_path / "c.csv").write_text("file,index,material,space_group\nx.h5,0,Al,\n")
    with pytest.raises(InputError, match="whole numbers"):
        Manifest.read(tmp_path / "c.csv")
    (tmp_path / "d.csv").write_text("")
    with pytest.raises(InputError, match="cannot be read"):
        Manifest.read(tmp_path / "d.csv")
    frame = manifest.frame.assign(index=1000)
    with pytest.raises(InputError, match="no pattern 1000"):
        StoredPatterns(Manifest(frame, folder), (225, 227, 229), size=(32, 38)).image(0)


def test_wrong_requests_are_refused(masters, tmp_path):
    for options in ({"count": 0}, {"count": 1, "camera": "best"}, {"count": 1, "quality": (0.5, 0.2)}):
        with pytest.raises(InputError):
            generate(masters, tmp_path / "x.h5", progress=False, **options)
    assert not list(tmp_path.iterdir())


def test_a_texture_and_an_instrument_are_obeyed(masters, tmp_path):
    manifest = generate(
        masters,
        tmp_path / "set.h5",
        count=96,
        shape=(24, 29),
        instrument="oxford_symmetry",
        texture=3.0,
        progress=False,
    )
    detector = instrument("oxford_symmetry").detector
    assert kikuchipy.load(tmp_path / "set.h5").detector.tilt == pytest.approx(detector.tilt_deg)
    centers = manifest.frame[["pc_x", "pc_y", "pc_z"]].to_numpy()
    assert np.abs(centers - detector.binned((24, 29)).pattern_center).max() <= 0.1
    plain = generate(
        masters, tmp_path / "plain.h5", count=96, shape=(24, 29), instrument="oxford_symmetry", progress=False
    )

    def clustering(frame: pd.DataFrame) -> float:
        # Squared length of the mean of cubic harmonics of the normal: larger the more normals are alike.
        normals = (Rotation(frame[["qa", "qb", "qc", "qd"]].to_numpy()) * Vector3d.zvector()).data
        return float(np.abs((normals**4).sum(axis=1).mean() - 0.6))

    shares = [
        [clustering(made.frame[made.frame["material"] == name]) for name in masters.materials]
        for made in (manifest, plain)
    ]
    assert np.mean(shares[0]) > 2 * np.mean(shares[1])
    with pytest.raises(InputError, match="either an instrument"):
        generate(
            masters,
            tmp_path / "x.h5",
            count=1,
            instrument="oxford_symmetry",
            geometry=GeometryRange(),
            progress=False,
        )


def test_quality_figures_join_the_manifest(masters, tmp_path):
    made = generate(
        masters,
        tmp_path / "set.h5",
        count=4,
        shape=(96, 96),
        camera="good",
        quality=(0.9, 1.0),
        seed=2,
        progress=False,
    )
    measured = measure_quality(made, progress=False)
    assert len(measured) == len(made)
    assert measured.frame["image_quality"].between(0, 1).all()
    assert (measured.frame["band_contrast"] > 0).all()
    assert measured.frame["mad_deg"].median() < 1.5
    # Without a pattern centre nothing is indexed, the rest stays the same.
    blind = measure_quality(Manifest(made.frame.drop(columns="pc_x"), made.folder), progress=False)
    assert blind.frame["mad_deg"].isna().all()
    np.testing.assert_allclose(blind.frame["band_contrast"], measured.frame["band_contrast"])
    reordered = Manifest(made.frame.iloc[::-1].reset_index(drop=True), made.folder)
    backwards = measure_quality(reordered, progress=False).frame
    np.testing.assert_allclose(backwards["mad_deg"].iloc[::-1], measured.frame["mad_deg"], atol=1e-3)


def test_materials_outside_the_library_are_measured_with_the_crystals_of_their_files(masters, tmp_path):
    paths = []
    for entry in masters[::2]:
        master = MasterPattern.load(entry.path)
        name = f"my {entry.material}"
        paths.append(tmp_path / f"{name}.h5")
        replace(master, name=name, crystal=master.crystal.replace(name=name)).save(paths[-1])
    own = MasterSet.from_files(paths)
    made = generate(
        own, tmp_path / "set.h5", count=2, shape=(96, 96), camera="good", quality=(0.9, 1.0), progress=False
    )
    assert set(own.crystals()) == {"my Al", "my Fe", "my Si"}
    assert measure_quality(made, progress=False).frame["mad_deg"].isna().all()
    known = measure_quality(made, phases=own.crystals(), progress=False).frame
    assert known["mad_deg"].notna().all()
