"""EDAX's own files: .up1 and .up2, of patterns and nothing else, and .oh5, HDF5 as OIM and APEX write it."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.pattern_center import to_bruker
from kikuchinet.patterns.geometry import Geometry
from kikuchinet.patterns.libraries import words
from kikuchinet.patterns.limits import check_count, check_shape
from kikuchinet.patterns.source import PatternSource

UP_EXTENSIONS = (".up1", ".up2")
OH5_EXTENSION = ".oh5"

_HEAD = struct.Struct("<IIII")
"""Version, columns, rows, place of the first pattern; all that version 1 has."""
_SCAN = struct.Struct("<xIIBdd")
"""After a byte: columns and rows of the scan, whether its grid is hexagonal, step in x and in y."""


def up_source(path: Path) -> PatternSource:
    """Open a file of type UP1 (8 bits) or UP2 (16 bits).

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    PatternSource
        A scan where the file (version 3 and later) has a square grid, else a row of patterns. One that ends early keeps the
        shape of its scan; what is missing fails when it is read. Only the patterns that are asked for are read.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is none, or is so damaged that no pattern is in it.

    Notes
    -----
    The layout is as kikuchipy and PyEBSDIndex (D. J. Rowenhorst, US Naval Research Laboratory) know it.
    """
    dtype = np.dtype(np.uint8 if path.suffix.lower() == UP_EXTENSIONS[0] else "<u2")
    with path.open("rb") as file:
        head = file.read(_HEAD.size + _SCAN.size)
        size = os.fstat(file.fileno()).st_size
    if len(head) < _HEAD.size:
        raise InputError(path, "is too short for the header of a UP file")
    version, columns, rows, offset = _HEAD.unpack_from(head)
    if version == 2 or not 1 <= version <= 100:
        raise InputError(path, f"is of version {version}; UP files of version 1, 3 and later are understood")
    check_shape(path, (rows, columns))
    if not _HEAD.size <= offset < size:
        raise InputError(path, f"its patterns begin at byte {offset:,} of {size:,}, its header says")
    bytes_each = rows * columns * dtype.itemsize
    there = (size - offset) // bytes_each
    if there == 0:
        raise InputError(path, "holds no whole pattern")
    shape: tuple[int, ...] = (there,)
    step = None
    if version >= 3:
        if len(head) < _HEAD.size + _SCAN.size:
            raise InputError(path, "is too short for the header of a UP file")
        scan_columns, scan_rows, hexagonal, step_x, step_y = _SCAN.unpack_from(head, _HEAD.size)
        claimed = scan_columns * scan_rows
        if not hexagonal and claimed:
            check_count(path, claimed, claimed * bytes_each, size)
            shape = (scan_rows, scan_columns) if scan_rows > 1 else (scan_columns,)
            if all(np.isfinite([step_x, step_y])) and min(step_x, step_y) > 0:
                step = (step_y, step_x)

    def read(first: int, last: int) -> Sequence[NDArray[Any]]:
        if last > there:
            raise InputError(path, f"ends with pattern {there - 1:,} of {np.prod(shape) - 1:,}")
        images = np.fromfile(path, dtype, (last - first) * rows * columns, offset=offset + first * bytes_each)
        return list(images.reshape(last - first, rows, columns))

    return _scan(path, str(path), shape, read, step)


def oh5_sources(path: Path) -> list[PatternSource]:
    """Open an HDF5 file of OIM or APEX with the ending .oh5.

    Parameters
    ----------
    path
        The file.

    Returns
    -------
    list of PatternSource
        One for every group, however deep, that holds ``EBSD/Data/Pattern``, in the file's order.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is no HDF5 or holds no patterns.
    """
    import h5py

    try:
        with h5py.File(path) as file:
            groups: list[str] = []
            file.visititems(lambda name, item: groups.append(name) if _holds_patterns(item) else None)
            found = [_oh5_source(path, file[name], len(groups) > 1) for name in groups]
    except InputError:
        raise
    except Exception as error:  # h5py raises anything at all on damaged files
        raise InputError(path, f"cannot be read as patterns ({words(error)})") from error
    if not found:
        raise InputError(path, "holds no EBSD/Data/Pattern")
    return found


def _holds_patterns(item: Any) -> bool:
    import h5py

    return isinstance(item, h5py.Group) and isinstance(item.get("EBSD/Data/Pattern"), h5py.Dataset)


def _oh5_source(path: Path, group: Any, several: bool) -> PatternSource:
    data = group["EBSD/Data/Pattern"]
    header = group.get("EBSD/Header")
    title = f"{path}, {group.name.strip('/')}" if several else str(path)
    if data.ndim != 3:
        raise InputError(title, f"EBSD/Data/Pattern has shape {data.shape}; (n, rows, columns) is understood")
    n, *sides = (int(side) for side in data.shape)
    check_shape(title, sides)
    check_count(title, n, data.size * data.dtype.itemsize, data.id.get_storage_size())
    rows, columns = (int(_number(header, name, 0)) for name in ("nRows", "nColumns"))
    square = _text(header, "Grid Type") == "SqrGrid" and rows > 1 and rows * columns == n
    step = (_number(header, "Step Y", 0.0), _number(header, "Step X", 0.0))
    name = data.name

    def read(first: int, last: int) -> Sequence[NDArray[Any]]:
        import h5py

        try:
            with h5py.File(path) as file:
                return list(file[name][first:last])
        except Exception as error:
            raise InputError(
                title, f"patterns {first} to {last - 1} cannot be read ({words(error)})"
            ) from error

    known_step = step if all(np.isfinite(step)) and min(step) > 0 else None
    shape = (rows, columns) if square else (n,)
    return _scan(path, title, shape, read, known_step, _geometry(header, (sides[0], sides[1])))


def _scan(
    path: Path,
    name: str,
    shape: tuple[int, ...],
    read: Any,
    step: tuple[float, float] | None,
    geometry: Geometry | None = None,
) -> PatternSource:
    n = int(np.prod(shape))
    row, column = np.divmod(np.arange(n), shape[-1])
    return PatternSource(
        name=name,
        names=[name] * n,
        read=read,
        navigation_shape=shape,
        rows=row if len(shape) == 2 else None,
        columns=column,
        step=step,
        geometry=geometry,
    )


def _geometry(header: Any, shape: tuple[int, int]) -> Geometry | None:
    """Return where the screen stood; None where no pattern centre is written or none that can be."""
    place = None if header is None else header.get("Pattern Center Calibration")
    center = [_number(place, f"{axis}-star", np.nan) for axis in "xyz"]
    if not np.isfinite(center).all() or center[2] <= 0:
        return None
    inside = to_bruker(np.array([center]), "edax", shape)
    return Geometry(
        pattern_centers=np.asarray(inside, dtype=np.float64).reshape(1, 3),
        sample_tilt_deg=_number(header, "Sample Tilt", 70.0),
        detector_tilt_deg=_number(header, "Camera Elevation Angle", 0.0),
        azimuthal_deg=_number(header, "Camera Azimuthal Angle", 0.0),
    )


def _number(group: Any, name: str, default: float) -> float:
    import h5py

    item = None if group is None else group.get(name)
    if not isinstance(item, h5py.Dataset) or item.size != 1 or item.dtype.kind not in "uif":
        return default
    return float(np.ravel(item[()])[0])


def _text(group: Any, name: str) -> str:
    import h5py

    item = None if group is None else group.get(name)
    if not isinstance(item, h5py.Dataset) or item.size != 1:
        return ""
    value = np.ravel(item[()])[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)
