"""EDAX's files, beside kikuchipy's and PyEBSDIndex's own readers."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import h5py
import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.patterns import read_patterns
from kikuchinet.patterns.libraries import import_pyebsdindex

DATA = Path(kp.__file__).parent / "data"


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 2**16, (12, 20, 30), dtype=np.uint16)


def write_up(path: Path, images, scan=(3, 4), hexagonal=0, version=3, keep=None) -> Path:
    """Write a file by the layout, as the script in kikuchipy's data folder does."""
    dtype = np.uint8 if path.suffix == ".up1" else np.uint16
    rows, columns = images.shape[1:]
    head = struct.pack("<IIIIxIIBdd", version, columns, rows, 42, scan[1], scan[0], hexagonal, 0.5, 0.25)
    path.write_bytes(head + images[:keep].astype(dtype).tobytes())
    return path


@pytest.mark.parametrize("name", ["edax_binary.up1", "edax_binary.up2"])
def test_kikuchipys_files_are_read_as_kikuchipy_reads_them(name):
    path = DATA / "edax_binary" / name
    signal = kp.load(path)
    (source,) = read_patterns(path)
    data = signal.data.reshape(-1, *signal.data.shape[-2:])
    np.testing.assert_array_equal(np.stack(list(source)), data)
    assert source[0].dtype == data.dtype
    assert source.navigation_shape == signal.data.shape[:-2]
    np.testing.assert_array_equal(np.stack(source.patterns(3, 8)), data[3:8])


@pytest.mark.parametrize("ending", [".up1", ".up2"])
@pytest.mark.parametrize("hexagonal", [0, 1])
def test_scans_are_read_as_kikuchipy_reads_them(tmp_path, images, ending, hexagonal):
    path = write_up(tmp_path / f"scan{ending}", images, hexagonal=hexagonal)
    signal = kp.load(path)
    (source,) = read_patterns(path)
    np.testing.assert_array_equal(np.stack(list(source)), signal.data.reshape(12, 20, 30))
    assert source.navigation_shape == ((12,) if hexagonal else (3, 4)) == signal.data.shape[:-2]
    if not hexagonal:
        assert source.step == (0.25, 0.5)
        assert source.rows.tolist() == [0] * 4 + [1] * 4 + [2] * 4


def test_an_interrupted_scan_keeps_its_shape(tmp_path, images):
    (source,) = read_patterns(write_up(tmp_path / "scan.up2", images, keep=7))
    assert source.navigation_shape == (3, 4)
    found, failures = source.salvage(0, 12)
    np.testing.assert_array_equal(found[:7], images[:7])
    assert sorted(failures) == [7, 8, 9, 10, 11]
    with pytest.raises(InputError, match="ends with pattern 6 of 11"):
        source[7]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"scan": (2**31, 2**31)}, "more than any scan has"),
        ({"scan": (6000, 6000)}, "too few"),
        ({"version": 2}, "version 2"),
        ({"version": 77_000}, "version 77000"),
        ({"keep": 0}, "begin at byte"),
    ],
)
def test_headers_that_cannot_be_are_refused(tmp_path, images, change, words):
    with pytest.raises(InputError, match=words):
        read_patterns(write_up(tmp_path / "scan.up1", images, **change))
    (tmp_path / "short.up1").write_bytes(b"\x01\x00\x00")
    with pytest.raises(InputError, match="too short"):
        read_patterns(tmp_path / "short.up1")


@pytest.fixture
def oh5(tmp_path):
    """kikuchipy's file in the layout of EDAX's HDF5, with the pattern centre that it lacks."""
    path = tmp_path / "nickel.oh5"
    shutil.copy(DATA / "edax_h5ebsd" / "patterns.h5", path)
    with h5py.File(path, "r+") as file:
        place = file["Scan 1/EBSD/Header/Pattern Center Calibration"]
        for axis, value in zip("xyz", (0.48, 0.71, 0.62), strict=True):
            place[f"{axis}-star"][0] = value
    return path


def test_oh5_is_what_others_read_in_it(oh5, tmp_path):
    import_pyebsdindex()
    from pyebsdindex.ebsd_pattern import EDAXOH5

    shutil.copy(oh5, tmp_path / "nickel.h5")
    signal = kp.load(tmp_path / "nickel.h5")
    (source,) = read_patterns(oh5)
    np.testing.assert_array_equal(np.stack(list(source)), signal.data.reshape(9, 60, 60))
    assert source.navigation_shape == (3, 3)
    assert source.step == (1.5, 1.5)
    np.testing.assert_allclose(source.geometry.pattern_centers, signal.detector.pc, atol=1e-7)
    assert source.geometry.sample_tilt_deg == pytest.approx(signal.detector.sample_tilt)
    with h5py.File(oh5, "r+") as file:
        # PyEBSDIndex looks for these names without the blank in front and for a later version.
        file["Version"] = np.array([b"OIM Analysis 8.6.0050"])
        file["Manufacturer"] = np.array([b"EDAX"])
    other = EDAXOH5(str(oh5))
    other.read_header()
    theirs = other.read_data(patStartCount=[2, 4], convertToFloat=False).patterns
    np.testing.assert_array_equal(np.stack(source.patterns(2, 6)), theirs)


def test_every_scan_of_an_oh5_file_is_found_however_deep(oh5):
    with h5py.File(oh5, "r+") as file:
        file.copy("Scan 1", "Project/Sample/Area 2/Map 1")
        other = file["Project/Sample/Area 2/Map 1/EBSD"]
        other["Data/Pattern"][:] = 7
        other["Header/Grid Type"][0] = b"HexGrid"
        other["Header/Pattern Center Calibration/z-star"][0] = 0.0
    first, second = sorted(read_patterns(oh5), key=lambda source: source.name, reverse=True)
    assert first.name.endswith("Scan 1")
    assert second.name.endswith("Project/Sample/Area 2/Map 1")
    assert (second[0] == 7).all()
    assert second.navigation_shape == (9,)
    assert second.geometry is None


def test_an_oh5_file_that_was_never_filled_is_refused(tmp_path):
    with h5py.File(tmp_path / "empty.oh5", "w") as file:
        file.create_dataset("Scan 1/EBSD/Data/Pattern", (10**6, 60, 60), np.uint8, chunks=(1, 60, 60))
        file.create_group("Scan 1/EBSD/Header")
    with pytest.raises(InputError, match="too few"):
        read_patterns(tmp_path / "empty.oh5")
