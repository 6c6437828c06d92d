"""Geometry, indexing and grain lists that come with patterns."""

from __future__ import annotations

import shutil
from pathlib import Path

import h5py
import kikuchipy as kp
import numpy as np
import pytest
import tifffile
from kikuchipy.data._dummy_files.bruker_h5ebsd import create_dummy_bruker_h5ebsd_file
from kikuchipy.data._dummy_files.oxford_h5ebsd import create_dummy_oxford_h5ebsd_file

from kikuchinet.datasets.grain_lists import manifest_from_grain_list
from kikuchinet.errors import InputError
from kikuchinet.patterns import example_patterns, read_grain_list, read_patterns
from kikuchinet.patterns.geometry import oxford_tiff_geometry, signal_geometry

DATA = Path(kp.__file__).parent / "data"
XML = """<?xml version="1.0" encoding="us-ascii"?>
<oina-image image-type="ebsp"><ebsp-image>
<pattern-center-x-pu>0.5</pattern-center-x-pu><pattern-center-y-pu>0.6</pattern-center-y-pu>
<detector-distance-pu>0.7</detector-distance-pu><sem-acc-voltage-kv>15</sem-acc-voltage-kv>
<specimen-tilt-deg>69</specimen-tilt-deg><specimen-tilt-axis>X</specimen-tilt-axis>
<detector-orientation-euler2-deg>95.5</detector-orientation-euler2-deg>
</ebsp-image></oina-image>"""
LIST = """ID\tPhase\tX\tY\tphi1\tPHI\tphi2\tMAD\tAFI\tBC\tBS\tGrain ID
0\tAl\t0.0\t0.0\t10.0\t20.0\t30.0\t0.24\t0\t209\t211\t0
1\tZero solution\t20.0\t0.0\t0.0\t0.0\t0.0\t0.0\t0\t90\t80\t0
2\tNi\t40.0\t0.0\t40.0\t50.0\t60.0\t0.35\t0\t195\t175\t1
"""


def write_tiff(path: Path, xml: str | None = XML) -> None:
    """Write a pattern as Oxford's software does."""
    image = np.random.default_rng(len(path.name)).integers(0, 255, (40, 50), dtype=np.uint8)
    tags = [] if xml is None else [(51122, "s", 0, xml, True)]
    tifffile.imwrite(path, image, extratags=tags)


# Geometry of vendors' files


def test_the_nickel_patterns_know_their_geometry() -> None:
    source = example_patterns()
    signal = kp.data.nickel_ebsd_small()
    assert source.geometry is not None
    np.testing.assert_allclose(source.geometry.pattern_centers, signal.detector.pc.reshape(-1, 3))
    assert source.geometry.energy_kev == 20.0
    detector = source.geometry.detector((60, 60), 4)
    np.testing.assert_allclose(detector.pattern_center, signal.detector.pc.reshape(-1, 3)[4])
    assert detector.tilt_deg == signal.detector.tilt
    assert detector.sample_tilt_deg == signal.detector.sample_tilt
    assert source.reference is not None
    np.testing.assert_allclose(source.reference.rotations.data, signal.xmap.rotations.data)


@pytest.mark.parametrize(
    ("file", "known"),
    [
        ("kikuchipy_h5ebsd/patterns.h5", True),
        # Never calibrated: (0, 0, 0) in EDAX's convention.
        ("edax_h5ebsd/patterns.h5", False),
        ("nordif/Pattern.dat", False),
        ("oxford_binary/patterns.ebsp", False),
        ("edax_binary/edax_binary.up1", False),
    ],
)
def test_what_files_say_is_what_kikuchipy_reads(file: str, known: bool) -> None:
    source = read_patterns(DATA / file)[0]
    assert (source.geometry is not None) == known
    if source.geometry is not None:
        signal = kp.load(DATA / file, lazy=True)
        np.testing.assert_allclose(source.geometry.pattern_centers, signal.detector.pc.reshape(-1, 3))
        assert source.geometry.detector_tilt_deg == signal.detector.tilt


def test_bruker_and_oxford_hdf5(tmp_path: Path) -> None:
    create_dummy_bruker_h5ebsd_file(tmp_path / "bruker.h5")
    create_dummy_oxford_h5ebsd_file(tmp_path / "oxford.h5oina")
    for name in ("bruker.h5", "oxford.h5oina"):
        (source,) = read_patterns(tmp_path / name, static_background=False)
        signal = kp.load(tmp_path / name)
        patterns = np.concatenate(list(source.batches(4)))
        np.testing.assert_array_equal(patterns, signal.data.reshape(patterns.shape))
        assert source.geometry is not None
        assert source.geometry.sample_tilt_deg == signal.detector.sample_tilt
        np.testing.assert_allclose(source.geometry.pattern_centers, signal.detector.pc.reshape(-1, 3))


@pytest.mark.parametrize(
    ("center", "known"),
    [((0.4, 0.3, 0.6), True), ((0.4, 0.3, 0.0), False), ((0.4, 0.3, -0.6), False), ((0.0, 1.0, 0.0), False)],
)
def test_a_screen_at_no_distance_is_nowhere(center: tuple[float, float, float], known: bool) -> None:
    signal = kp.data.nickel_ebsd_small()
    signal.detector.pc = np.array(center)
    assert (signal_geometry(signal, 9) is not None) == known


@pytest.mark.parametrize(
    ("said", "energy"),
    [
        (np.float32(15.0), 15.0),
        (np.int32(15), 15.0),
        (np.array([15.0], dtype=np.float32), 15.0),
        (15, 15.0),
        (0.0, None),
        (np.float32(np.nan), None),
        (np.array([15.0, 20.0]), None),
        ("15 kV", None),
        (None, None),
    ],
)
def test_the_beam_energy_is_a_number_of_any_type(said: object, energy: float | None) -> None:
    signal = kp.data.nickel_ebsd_small()
    signal.metadata.set_item("Acquisition_instrument.SEM.beam_energy", said)
    geometry = signal_geometry(signal, 9)
    assert geometry is not None
    assert geometry.energy_kev == energy


def test_every_scan_of_a_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "three.h5"
    # Holds two scans already.
    shutil.copy(DATA / "kikuchipy_h5ebsd" / "patterns.h5", path)
    with h5py.File(path, "a") as file:
        file.copy(file["Scan 2"], "Scan 10")
        data = file["Scan 10/EBSD/Data/patterns"]
        data[...] = 255 - data[...]
    sources = read_patterns(path, static_background=False)
    assert [source.name.rsplit(", ", 1)[-1] for source in sources] == ["scan 1", "scan 2", "scan 3"]
    np.testing.assert_array_equal(np.stack(list(sources[1])), 255 - np.stack(list(sources[2])))


# Oxford's images


def test_the_geometry_inside_an_image(tmp_path: Path) -> None:
    write_tiff(tmp_path / "one.tiff")
    geometry = oxford_tiff_geometry(tmp_path / "one.tiff")
    assert geometry is not None
    theirs = kp.detectors.EBSDDetector(shape=(40, 50), pc=(0.5, 0.6, 0.7), convention="oxford")
    np.testing.assert_allclose(geometry.pattern_centers, theirs.pc)
    assert (geometry.energy_kev, geometry.sample_tilt_deg, geometry.detector_tilt_deg) == (15.0, 69.0, 5.5)
    (source,) = read_patterns(tmp_path / "one.tiff")
    assert source.geometry is not None
    write_tiff(tmp_path / "two.tiff", XML.replace("0.6<", "0.65<"))
    (folder,) = read_patterns(tmp_path)
    assert folder.geometry is not None
    assert folder.geometry.pattern_centers.shape == (2, 3)
    write_tiff(tmp_path / "three.tiff", None)
    assert read_patterns(tmp_path)[0].geometry is None


@pytest.mark.parametrize(
    "xml",
    [
        "no xml <",
        "<a></a>",
        XML.replace("0.7<", "-1<"),
        XML.replace("0.7<", "nan<"),
        '<?xml version="1.0"?><!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>',
    ],
)
def test_a_damaged_tag_is_named(tmp_path: Path, xml: str) -> None:
    write_tiff(tmp_path / "bad.tiff", xml)
    with pytest.raises(InputError, match=r"bad\.tiff: TIFF tag 51122") as caught:
        read_patterns(tmp_path / "bad.tiff")
    assert "\n" not in str(caught.value)


# Grain lists


def test_a_grain_list_and_its_images_make_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "Grain List.txt").write_text(LIST)
    for number in range(3):
        write_tiff(tmp_path / f"map7_{number:04d}.tiff")
    table = read_grain_list(tmp_path / "Grain List.txt")
    assert table["phase"].tolist() == ["Al", "", "Ni"]
    manifest = manifest_from_grain_list(tmp_path, {"Al": 225, "Ni": 225}, materials={"Ni": "nickel"})
    frame = manifest.frame
    assert frame["file"].tolist() == ["map7_0000.tiff", "map7_0002.tiff"]
    assert frame["material"].tolist() == ["Al", "nickel"]
    assert frame["mad_deg"].tolist() == [0.24, 0.35]
    from orix.quaternion import Rotation

    expected = Rotation.from_euler(np.deg2rad([[10.0, 20.0, 30.0], [40.0, 50.0, 60.0]])).data
    np.testing.assert_allclose(frame[["qa", "qb", "qc", "qd"]], expected)
    assert frame["pc_z"].notna().all()
    only = manifest_from_grain_list(tmp_path, {"Al": 225})
    assert len(only) == 1
    with pytest.raises(InputError, match="no pattern of Fe"):
        manifest_from_grain_list(tmp_path, {"Fe": 229})
    write_tiff(tmp_path / "map7_0009.tiff")
    with pytest.raises(InputError, match=r"map7_0009\.tiff: its name ends in no number"):
        manifest_from_grain_list(tmp_path, {"Al": 225})


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "no grain list"),
        ("a\tb\n1\t2\n", "no column 'ID'"),
        ("ID\tPhase\n", "lists no patterns"),
        (LIST.replace("0.24", "x"), "line 2: 'x' is no number"),
        (LIST.replace("\n2\tNi", "\n0\tNi"), "ID 0 comes twice"),
        (LIST.encode("utf-16").decode("latin-1"), "no column|no grain list"),
    ],
)
def test_what_is_no_grain_list_is_refused(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "Grain List.txt"
    path.write_text(text, encoding="latin-1")
    with pytest.raises(InputError, match=cause):
        read_grain_list(path)


def test_the_authors_files(shared_dir: Path) -> None:
    folder = shared_dir / "patterns" / "oxford_tiff"
    (source,) = read_patterns(folder / "sample_ebsd.tiff")
    assert source[0].shape == (1024, 1244)
    assert source.geometry is not None
    assert source.geometry.energy_kev == 20.0
    assert source.geometry.detector_tilt_deg == pytest.approx(6.19, abs=0.01)
    table = read_grain_list(folder / "Grain List.txt")
    assert len(table) == 1218
    assert (table["phase"] == "").sum() == 74
    assert set(table["phase"]) == {"Al", ""}
