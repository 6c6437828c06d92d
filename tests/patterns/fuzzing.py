"""Files that went through a lot: damaged copies of a good file of every format, by a seed."""

from __future__ import annotations

import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import h5py
import kikuchipy as kp
import numpy as np
import tifffile
from kikuchipy.data._dummy_files.bruker_h5ebsd import create_dummy_bruker_h5ebsd_file
from kikuchipy.data._dummy_files.oxford_h5ebsd import create_dummy_oxford_h5ebsd_file
from PIL import Image

DATA = Path(kp.__file__).parent / "data"
HUGE = (0, 1, 0xFF, 0x7FFF, 0xFFFF, 40_000, 10**9, 0x7FFFFFFF, 0xFFFFFFFF)


def write_good_files(folder: Path) -> list[Path]:
    """Write one good file of each format into folders of their own."""
    rng = np.random.default_rng(0)
    image = rng.integers(0, 255, (60, 60), dtype=np.uint8)

    def place(name: str) -> Path:
        path = folder / name.replace(".", "_") / name
        path.parent.mkdir(parents=True)
        return path

    for name, source in (
        ("kikuchipy.h5", "kikuchipy_h5ebsd/patterns.h5"),
        ("edax.h5", "edax_h5ebsd/patterns.h5"),
        ("edax.oh5", "edax_h5ebsd/patterns.h5"),
        ("edax.up1", "edax_binary/edax_binary.up1"),
        ("edax.up2", "edax_binary/edax_binary.up2"),
        ("oxford.ebsp", "oxford_binary/patterns.ebsp"),
        ("emsoft.h5", "emsoft_ebsd/EBSD_TEST_Ni.h5"),
        ("nordif.dat", "nordif/Pattern.dat"),
    ):
        shutil.copy(DATA / source, place(name))
    shutil.copy(DATA / "nordif" / "Setting.txt", folder / "nordif_dat")
    create_dummy_bruker_h5ebsd_file(place("bruker.h5"))
    create_dummy_oxford_h5ebsd_file(place("oxford.h5oina"))
    scan = struct.pack("<IIIIxIIBdd", 3, 60, 60, 42, 3, 2, 0, 0.5, 0.25)
    place("scan.up1").write_bytes(scan + np.stack([image] * 6).tobytes())
    for ending in ("png", "bmp", "jpg"):
        Image.fromarray(image).save(place(f"picture.{ending}"))
    Image.fromarray(np.stack([image] * 3, axis=-1)).save(place("colour.png"))
    tifffile.imwrite(place("picture.tif"), image.astype(np.uint16) * 200, compression="zlib")
    tifffile.imwrite(place("pages.tiff"), np.stack([image] * 3), photometric="minisblack")
    tifffile.imwrite(place("float.tif"), image.astype(np.float32))
    names = ("pattern-center-x-pu", "pattern-center-y-pu", "detector-distance-pu")
    xml = "<root>" + "".join(f"<{name}>0.5</{name}>" for name in names) + "</root>"
    tifffile.imwrite(place("oxford.tiff"), image, extratags=[(51122, 2, len(xml) + 1, xml, True)])
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "Setting.txt")


def _truncated(content: bytearray, rng: np.random.Generator) -> None:
    del content[int(rng.integers(0, len(content))) :]


def _flipped(content: bytearray, rng: np.random.Generator) -> None:
    # Headers are where a flipped bit does harm.
    reach = len(content) if rng.random() < 0.4 else min(len(content), 3000)
    for place in rng.integers(0, reach, int(rng.integers(1, 40))):
        content[int(place)] ^= 1 << int(rng.integers(0, 8))


def _blotted(content: bytearray, rng: np.random.Generator) -> None:
    first = int(rng.integers(0, len(content)))
    last = min(len(content), first + int(rng.integers(1, 2000)))
    content[first:last] = bytes([int(rng.choice([0, 0xFF]))]) * (last - first)


def _absurd(content: bytearray, rng: np.random.Generator) -> None:
    reach = max(1, min(len(content), int(rng.choice([64, 600, 6000]))) - 4)
    for _ in range(int(rng.integers(1, 4))):
        place = int(rng.integers(0, reach))
        content[place : place + 4] = struct.pack("<I", int(rng.choice(HUGE)))


def _padded(content: bytearray, rng: np.random.Generator) -> None:
    place = int(rng.integers(0, len(content)))
    content[place:place] = rng.bytes(int(rng.integers(1, 5000)))


def _emptied(content: bytearray, rng: np.random.Generator) -> None:
    content.clear()


def _noise(content: bytearray, rng: np.random.Generator) -> None:
    content[:] = rng.bytes(len(content))


WAYS: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
    _truncated, _flipped, _blotted, _absurd, _padded, _emptied, _noise,
)  # fmt: skip
_ODDS = np.array([0.2, 0.25, 0.15, 0.25, 0.07, 0.03, 0.05])


def damaged(good: list[Path], seed: int, folder: Path) -> tuple[Path, str]:
    """Write the damaged file of a seed into a folder; return it and what was done to what."""
    rng = np.random.default_rng(seed)
    path = good[seed % len(good)]
    target = folder / f"{seed}" / path.name
    target.parent.mkdir(parents=True)
    ending = path.suffix
    if rng.random() < 0.1:
        ending = str(rng.choice([other.suffix for other in good]))
        target = target.with_suffix(ending)
    for other in path.parent.iterdir():
        if other != path:
            shutil.copy(other, target.parent)
    if path.suffix in {".h5", ".h5oina", ".oh5"} and rng.random() < 0.4:
        shutil.copy(path, target)
        return target, f"{path.name} as {ending}: {_spoilt_hdf5(target, rng)}"
    content = bytearray(path.read_bytes())
    way = WAYS[int(rng.choice(len(WAYS), p=_ODDS))]
    way(content, rng)
    if path.name == "nordif.dat" and rng.random() < 0.5:
        settings = bytearray((target.parent / "Setting.txt").read_bytes())
        way(settings, rng)
        (target.parent / "Setting.txt").write_bytes(settings)
        content = bytearray(path.read_bytes())
    target.write_bytes(content)
    return target, f"{path.name} as {ending}: {way.__name__[1:]}"


def _spoilt_hdf5(path: Path, rng: np.random.Generator) -> str:
    """Change what an HDF5 file says, where its form stays sound."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visit(names.append)
        name = str(rng.choice(sorted(names)))
        item = file[name]
        what = str(rng.choice(["gone", "huge", "absurd", "text", "nan", "group", "loop", "elsewhere"]))
        attributes = dict(item.attrs)
        size = item.shape if isinstance(item, h5py.Dataset) else None
        del file[name]
        if what == "huge":
            shape = [(40_000, 40_000), (10**6, 60, 60), (10**9,), (2, 2, 10**5, 10**5), (0, 60, 60)]
            file.create_dataset(name, shape[int(rng.integers(len(shape)))], np.uint8, chunks=True)
        elif what == "absurd":
            file[name] = np.full(size or (1,), rng.choice([-1, 0, 10**9, 2**62]), dtype=np.int64)
        elif what == "text":
            file[name] = "\udcff../../etc/passwd\x1b[31m".encode("utf-8", "surrogateescape")
        elif what == "nan":
            file[name] = np.full(size if size and np.prod(size) < 10**6 else (1,), np.nan)
        elif what == "group":
            file.create_group(name).attrs.update(attributes)
        elif what == "loop":
            file[name] = h5py.SoftLink("/" + name)
        elif what == "elsewhere":
            file[name] = h5py.ExternalLink("/dev/zero", "/patterns")
    return f"{name} {what}"
