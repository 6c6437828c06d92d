"""Readers, tried on the vendors' files inside kikuchipy, on pictures written here, and on damaged ones."""

from __future__ import annotations

import shutil
import socket
import warnings
import zlib
from pathlib import Path

import h5py
import kikuchipy as kp
import numpy as np
import pytest
import tifffile
from PIL import Image

from kikuchinet.errors import InputError
from kikuchinet.patterns import (
    IMAGE_EXTENSIONS,
    ColourWarning,
    PatternSource,
    example_patterns,
    preprocess,
    read_patterns,
)

DATA = Path(kp.__file__).parent / "data"


@pytest.fixture(scope="module")
def nickel():
    return kp.data.nickel_ebsd_small()


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 255, (40, 50), dtype=np.uint8)


# Vendors' files


@pytest.mark.parametrize(
    ("file", "scan"),
    [
        ("kikuchipy_h5ebsd/patterns.h5", (3, 3)),
        ("edax_h5ebsd/patterns.h5", (3, 3)),
        ("nordif/Pattern.dat", (3, 3)),
        ("oxford_binary/patterns.ebsp", (3, 3)),
        ("edax_binary/edax_binary.up1", (9,)),
        ("nordif", (3, 3)),
    ],
)
def test_vendor_files_hold_the_nickel_patterns(file, scan, nickel):
    # kikuchipy's own file holds two scans of the same patterns.
    source = read_patterns(DATA / file, static_background=False)[0]
    assert isinstance(source, PatternSource)
    assert source.navigation_shape == scan
    assert len(source) == source.n == len(source.names) == 9
    np.testing.assert_array_equal(np.concatenate(list(source.batches(4))), nickel.data.reshape(9, 60, 60))
    np.testing.assert_array_equal(source[5], nickel.data[1, 2])
    np.testing.assert_array_equal(source[-1], nickel.data[2, 2])
    if len(scan) == 2:
        np.testing.assert_array_equal(source.rows, np.repeat([0, 1, 2], 3))
        np.testing.assert_array_equal(source.columns, np.tile([0, 1, 2], 3))
        assert source.step == (1.5, 1.5)
        assert source.step_unit == "um"


def test_all_batch_sizes_give_the_same(nickel):
    source, _ = read_patterns([DATA / "kikuchipy_h5ebsd/patterns.h5"], static_background=False)
    for size in (1, 2, 5, 9, 50):
        np.testing.assert_array_equal(
            np.concatenate(list(source.batches(size))), nickel.data.reshape(9, 60, 60)
        )
    assert len(list(source)) == 9
    with pytest.raises(IndexError):
        source[9]
    with pytest.raises(InputError):
        next(source.batches(0))


def test_patterns_are_read_only_when_asked_for(monkeypatch):
    (source,) = read_patterns(DATA / "oxford_binary/patterns.ebsp")
    asked = []
    original = source.read
    object.__setattr__(source, "read", lambda a, b: asked.append((a, b)) or original(a, b))
    batches = source.batches(2)
    assert asked == []
    next(batches)
    assert asked == [(0, 2)]


def test_static_background_of_raw_patterns_is_used(nickel):
    source, _ = read_patterns(DATA / "kikuchipy_h5ebsd/patterns.h5")
    background = nickel.static_background.astype(float)
    np.testing.assert_array_equal(source.static_background, background)
    level = background > 0.2 * np.median(background)
    np.testing.assert_allclose(source[0][level], (nickel.data[0, 0] / background)[level], rtol=1e-5)


def test_static_background_is_not_used_twice(tmp_path, nickel):
    flat = nickel.deepcopy()
    flat.remove_static_background(show_progressbar=False)
    flat.save(tmp_path / "flat.h5")
    (source,) = read_patterns(tmp_path / "flat.h5")
    assert source.static_background is None
    np.testing.assert_array_equal(source[4], flat.data[1, 1])


def test_reading_writes_nothing(tmp_path, capfd, caplog, recwarn):
    # Without its settings and background kikuchipy has much to say about a NORDIF file.
    shutil.copy(DATA / "nordif/Pattern.dat", tmp_path)
    shutil.copy(DATA / "nordif/Setting.txt", tmp_path)
    (source,) = read_patterns(tmp_path / "Pattern.dat")
    assert source.static_background is None
    source[0]
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert caplog.records == []
    assert len(recwarn) == 0


def test_example_needs_no_network(monkeypatch, nickel):
    def refuse(*arguments, **keywords):
        raise AssertionError("the network was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    source = example_patterns()
    assert source.navigation_shape == (3, 3)
    assert len(source) == 9
    raw = example_patterns(static_background=False)
    np.testing.assert_array_equal(np.stack(list(raw)), nickel.data.reshape(9, 60, 60))


# Pictures


@pytest.mark.parametrize("ending", [e for e in IMAGE_EXTENSIONS if not e.startswith(".jp")])
def test_pictures_are_read_exactly(tmp_path, picture, ending):
    path = tmp_path / f"p{ending}"
    Image.fromarray(picture).save(path)
    (source,) = read_patterns(str(path))
    np.testing.assert_array_equal(source[0], picture)
    assert source[0].dtype == np.uint8
    assert source.name == str(path)
    assert source.navigation_shape is None
    assert source.rows is None


def test_jpeg_and_capital_endings(tmp_path, picture):
    smooth = np.broadcast_to(np.arange(50, dtype=np.uint8) * 4, (40, 50))
    Image.fromarray(np.ascontiguousarray(smooth)).save(tmp_path / "p.JPG", quality=95)
    (source,) = read_patterns(tmp_path / "p.JPG")
    assert np.abs(source[0].astype(int) - smooth).max() < 6


@pytest.mark.parametrize("ending", [".tif", ".png"])
def test_sixteen_bits_stay(tmp_path, ending):
    deep = (np.arange(40 * 50).reshape(40, 50) * 30).astype(np.uint16)
    path = tmp_path / f"deep{ending}"
    if ending == ".tif":
        tifffile.imwrite(path, deep)
    else:
        Image.fromarray(deep).save(path)
    (source,) = read_patterns(path)
    np.testing.assert_array_equal(source[0], deep)


def test_colour_turns_grey_with_a_warning(tmp_path, picture):
    Image.fromarray(np.stack([picture] * 3, axis=2)).save(tmp_path / "grey_in_colour.png")
    with pytest.warns(ColourWarning):
        np.testing.assert_array_equal(read_patterns(tmp_path / "grey_in_colour.png")[0][0], picture)
    coloured = np.zeros((40, 50, 3), np.uint8)
    coloured[..., 1] = picture
    tifffile.imwrite(tmp_path / "green.tif", coloured, photometric="rgb")
    with pytest.warns(ColourWarning):
        np.testing.assert_allclose(read_patterns(tmp_path / "green.tif")[0][0], 0.587 * picture, rtol=1e-5)


def test_pages_of_a_tiff_are_patterns(tmp_path, picture):
    with tifffile.TiffWriter(tmp_path / "stack.tif") as file:
        for k in range(3):
            file.write(picture + np.uint8(k))
    (source,) = read_patterns(tmp_path / "stack.tif")
    assert len(source) == 3
    np.testing.assert_array_equal(source[2], picture + 2)


def test_folders_are_in_natural_order(tmp_path, picture):
    for number in (10, 9, 1, 100):
        Image.fromarray(picture + np.uint8(number)).save(tmp_path / f"p{number}.png")
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / ".hidden.png").write_bytes(b"not a picture either")
    (source,) = read_patterns(tmp_path)
    assert [Path(name).name for name in source.names] == ["p1.png", "p9.png", "p10.png", "p100.png"]
    np.testing.assert_array_equal(source[2], picture + np.uint8(10))
    assert source.navigation_shape is None


def test_names_with_x_and_y_make_a_scan(tmp_path, picture):
    for x in (0, 10, 20):
        for y in (0, 10):
            Image.fromarray(np.full((40, 50), x + y // 10, np.uint8)).save(
                tmp_path / f"x{x:03d}_y{y:03d}.png"
            )
    (source,) = read_patterns(tmp_path)
    assert source.navigation_shape == (2, 3)
    assert [int(image[0, 0]) for image in source] == [0, 10, 20, 1, 11, 21]
    np.testing.assert_array_equal(source.rows, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(source.columns, [0, 1, 2, 0, 1, 2])
    (tmp_path / "x020_y010.png").unlink()
    (source,) = read_patterns(tmp_path)
    assert source.navigation_shape is None


def test_mixed_sizes_come_as_a_list(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    Image.fromarray(picture[:30]).save(tmp_path / "b.png")
    (source,) = read_patterns(tmp_path)
    (batch,) = source.batches(8)
    assert [image.shape for image in batch] == [(40, 50), (30, 50)]
    assert preprocess(batch, (32, 32)).shape == (2, 32, 32)


def test_several_inputs_keep_their_order(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    sources = read_patterns([DATA / "oxford_binary/patterns.ebsp", tmp_path / "a.png"])
    assert [len(source) for source in sources] == [9, 1]


# What cannot be read


def _nan_file(path):
    signal = kp.signals.EBSD(np.full((2, 2, 60, 60), np.nan, np.float32))
    signal.save(path)


def read_all(path):
    return [list(source) for source in read_patterns(path)]


BROKEN = {
    "missing.h5": None,
    "empty.h5": b"",
    "empty.png": b"",
    "text.h5": b"this is no HDF5 file",
    "text.png": b"this is no picture",
    "text.tif": b"II*\x00 and nothing after it",
    "tags.tif": b"II*\x00\x08\x00\x00\x00\x05\x00" + b"\x00\x01" * 30,
    "text.jpg": b"\xff\xd8\xff\xe0 damaged",
    "text.ebsp": b"x" * 50,
    "text.up1": b"x" * 10,
    "text.dat": b"x" * 1000,
    "table.csv": b"1,2,3",
    "text.bmp": b"BM" + b"\xff" * 60,
}


@pytest.mark.parametrize("name", BROKEN)
def test_damaged_files_are_named(tmp_path, name, caplog, recwarn):
    path = tmp_path / name
    if BROKEN[name] is not None:
        path.write_bytes(BROKEN[name])
    with pytest.raises(InputError, match=name):
        read_all(path)
    assert caplog.records == []
    # kikuchipy leaves a damaged file open; Python says so when it cleans up, and to nobody but developers.
    assert [w for w in recwarn if not issubclass(w.category, ResourceWarning)] == []


@pytest.mark.parametrize("file", ["oxford_binary/patterns.ebsp", "kikuchipy_h5ebsd/patterns.h5"])
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9])
def test_truncated_files_are_named(tmp_path, file, part):
    whole = (DATA / file).read_bytes()
    path = tmp_path / Path(file).name
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(InputError, match=path.name):
        read_all(path)


@pytest.mark.parametrize("ending", [".png", ".tif", ".bmp", ".jpg"])
def test_truncated_pictures_are_named(tmp_path, picture, ending):
    path = tmp_path / f"cut{ending}"
    Image.fromarray(np.tile(picture, (5, 5))).save(path)
    path.write_bytes(path.read_bytes()[:-4000])
    with pytest.raises(InputError, match=path.name):
        list(read_patterns(tmp_path)[0])


def test_one_bad_file_in_a_folder_is_named(tmp_path, picture):
    Image.fromarray(picture).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"nothing")
    with pytest.raises(InputError, match=r"b\.png"):
        read_patterns(tmp_path)


def test_nan_is_refused(tmp_path):
    _nan_file(tmp_path / "nan.h5")
    (source,) = read_patterns(tmp_path / "nan.h5")
    with pytest.raises(InputError, match=r"nan\.h5.*not finite"):
        source[0]


def test_blank_patterns_are_read(tmp_path):
    Image.fromarray(np.full((60, 60), 9, np.uint8)).save(tmp_path / "blank.png")
    (source,) = read_patterns(tmp_path / "blank.png")
    assert (preprocess(source[0]) == 0).all()


def test_simulated_patterns_of_emsoft():
    (source,) = read_patterns(DATA / "emsoft_ebsd/EBSD_TEST_Ni.h5")
    assert source.name.endswith("EBSD_TEST_Ni.h5")
    assert source.n == 1
    assert source[0].shape == (480, 640)
    assert source.geometry.energy_kev == 20.0
    with pytest.raises(
        InputError, match=r"simulated_ebsd\.h5: is 10 x 10 px; a pattern has at least 16 a side"
    ):
        read_patterns(DATA / "emsoft_ebsd/simulated_ebsd.h5")


def test_master_patterns_are_no_patterns():
    with pytest.raises(InputError, match="master pattern"):
        read_patterns(DATA / "emsoft_ebsd_master_pattern/ni_mc_mp_20kv_uint8_gzip_opts9.h5")


def test_hdf5_without_patterns(tmp_path):
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(5)
    with pytest.raises(InputError, match=r"other\.h5"):
        read_patterns(tmp_path / "other.h5")


def test_tiny_and_huge_pictures(tmp_path):
    Image.fromarray(np.zeros((5, 7), np.uint8)).save(tmp_path / "tiny.png")
    with pytest.raises(InputError, match=r"tiny\.png.*5 x 7"):
        read_patterns(tmp_path / "tiny.png")
    # Headers that claim far too much must be refused before memory is asked for.
    for side in (12000, 60000):
        header = bytearray((tmp_path / "tiny.png").read_bytes())
        header[16:24] = side.to_bytes(4, "big") * 2
        header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
        (tmp_path / "huge.png").write_bytes(header)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with pytest.raises(InputError, match=r"huge\.png"):
                read_patterns(tmp_path / "huge.png")
    header[16:24] = (12000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (tmp_path / "huge.png").write_bytes(header)
    with pytest.raises(InputError, match="more than any EBSD camera"):
        read_patterns(tmp_path / "huge.png")


def test_nothing_given(tmp_path):
    with pytest.raises(InputError, match="no files"):
        read_patterns([])
    with pytest.raises(InputError, match="no pattern files"):
        read_patterns(tmp_path)
