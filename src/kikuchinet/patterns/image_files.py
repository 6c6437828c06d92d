"""Patterns stored as pictures."""

from __future__ import annotations

import re
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.patterns.geometry import Geometry, oxford_tiff_geometry
from kikuchinet.patterns.libraries import quiet, words
from kikuchinet.patterns.limits import check_shape
from kikuchinet.patterns.source import PatternSource

Image = NDArray[Any]

#: File names that end in one of these are read as pictures, in upper or lower case.
IMAGE_EXTENSIONS: tuple[str, ...] = (".tif", ".tiff", ".png", ".bmp", ".jpg", ".jpeg")

# x and y counted in a file's name, as vendors export maps: x000_y010, Map_x12y7, X3 Y4.
_PLACE = re.compile(r"x[ _-]?(\d+)[ _-]*y[ _-]?(\d+)", re.IGNORECASE)
# Rec. 601 weights of red, green and blue.
_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)


class ColourWarning(UserWarning):
    """A colour image was turned to grey."""


def image_source(path: Path) -> PatternSource:
    """Return the pattern or patterns (pages of a TIFF) of one image file."""
    pages = _count_pages(path)

    def read(first: int, last: int) -> Sequence[Image]:
        return [read_image(path, page) for page in range(first, last)]

    return PatternSource(
        name=str(path),
        names=[str(path)] * pages,
        read=read,
        navigation_shape=(pages,) if pages > 1 else None,
        geometry=_tiff_geometry([path]),
    )


def folder_source(folder: Path, files: Sequence[Path], *, damaged: bool = False) -> PatternSource:
    """Return the patterns of a folder of image files, one a file.

    With `damaged`, files that cannot be read are part of it, and fail when they are read.

    Files are in natural order (2 before 10). Where all names hold x and y and these fill a grid, it is a scan and the
    order is row by row.
    """
    ordered = sorted(files, key=natural_key)
    if not damaged:
        for file in ordered:
            _check_single(file)
    rows = columns = None
    shape: tuple[int, ...] | None = None
    places = [_PLACE.search(file.stem) for file in ordered]
    if len(ordered) > 1 and all(places):
        xy = np.array([[int(number) for number in place.groups()] for place in places if place])
        x_values, x = np.unique(xy[:, 0], return_inverse=True)
        y_values, y = np.unique(xy[:, 1], return_inverse=True)
        if len(x_values) * len(y_values) == len(ordered) == len({*zip(x.tolist(), y.tolist(), strict=True)}):
            order = np.lexsort((x, y))
            ordered = [ordered[k] for k in order]
            rows, columns = y[order].astype(np.int64), x[order].astype(np.int64)
            shape = (len(y_values), len(x_values))

    def read(first: int, last: int) -> Sequence[Image]:
        if damaged:
            for file in ordered[first:last]:
                _check_single(file)
        return [read_image(file) for file in ordered[first:last]]

    return PatternSource(
        name=str(folder),
        names=[str(file) for file in ordered],
        read=read,
        navigation_shape=shape,
        rows=rows,
        columns=columns,
        geometry=_geometry_of_some(ordered) if damaged else _tiff_geometry(ordered),
    )


def _check_single(file: Path) -> None:
    if file.stat().st_size == 0:
        raise InputError(file, "is empty")
    if _count_pages(file) != 1:
        raise InputError(file, "holds several pages, and a folder needs one pattern a file")


def _geometry_of_some(files: Sequence[Path]) -> Geometry | None:
    """Return the geometry of images of which some may be damaged: None if one is, for it has no pattern centre."""
    try:
        return _tiff_geometry(files)
    except InputError:
        return None


def _tiff_geometry(files: Sequence[Path]) -> Geometry | None:
    """Return the geometry that the images carry, if all of them do."""
    if not all(_is_tiff(file) for file in files):
        return None
    found = []
    for file in files:
        one = oxford_tiff_geometry(file)
        if one is None:
            return None
        found.append(one)
    return replace(found[0], pattern_centers=np.concatenate([one.pattern_centers for one in found]))


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Return a sorting key that counts digits as numbers: a2 before a10."""
    parts = re.split(r"(\d+)", path.name.lower())
    return [(0, int(part)) if part.isdigit() else (1, part) for part in parts if part]


def read_image(path: Path, page: int = 0) -> Image:
    """Read one image file as grey levels.

    Parameters
    ----------
    path
        File.
    page
        Page of a TIFF with several.

    Returns
    -------
    numpy.ndarray
        (rows, columns) in the file's own type, float32 if it was in colour.

    Raises
    ------
    InputError
        If the file cannot be read.

    Warns
    -----
    ColourWarning
        If the image is in colour; its luminance is taken.
    """
    try:
        with quiet():
            image = _read_tiff(path, page) if _is_tiff(path) else _read_picture(path)
    except InputError:
        raise
    except Exception as error:  # decoders raise anything at all on damaged files
        raise InputError(path, f"cannot be read as an image ({words(error)})") from error
    if image.ndim == 3 and image.shape[2] in (1, 2):  # grey, or grey with transparency
        image = image[..., 0]
    if image.ndim == 3 and image.shape[2] in (3, 4):
        colours = image[..., :3]
        grey = bool((colours == colours[..., :1]).all())
        image = colours[..., 0] if grey else colours.astype(np.float32) @ _LUMA
        # The folder, not the file: a map of a thousand images gives one warning.
        warnings.warn(f"{path.parent}: colour images are taken as grey", ColourWarning, stacklevel=2)
    if image.ndim != 2:
        raise InputError(path, f"has {image.ndim} dimensions; a pattern has rows and columns")
    check_shape(path, image.shape)
    return image


def _is_tiff(path: Path) -> bool:
    return path.suffix.lower() in (".tif", ".tiff")


def _count_pages(path: Path) -> int:
    """Return the number of pages of an image file, looking at its header alone."""
    import tifffile
    from PIL import Image as Pillow

    try:
        if _is_tiff(path):
            with quiet(), tifffile.TiffFile(path) as file:
                first = file.pages.first
                check_shape(path, (first.imagelength, first.imagewidth))
                return len(file.pages)
        with quiet(), Pillow.open(path) as picture:
            check_shape(path, picture.size[::-1])
        return 1
    except InputError:
        raise
    except Exception as error:  # decoders raise anything at all on damaged files
        raise InputError(path, f"cannot be read as an image ({words(error)})") from error


def _read_tiff(path: Path, page: int) -> Image:
    import tifffile

    with tifffile.TiffFile(path) as file:
        return np.asarray(file.pages[page].asarray())


def _read_picture(path: Path) -> Image:
    from PIL import Image as Pillow

    with Pillow.open(path) as picture:
        if picture.mode in ("P", "CMYK", "YCbCr", "LAB", "HSV", "PA"):
            return np.array(picture.convert("RGB"))
        return np.array(picture.convert("L") if picture.mode == "1" else picture)
