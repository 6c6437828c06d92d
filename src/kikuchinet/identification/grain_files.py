"""Grain maps that somebody else made: arrays, pictures, tables and crystal maps."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.identification.grains import Grains
from kikuchinet.patterns import PatternSource
from kikuchinet.patterns.libraries import words

GRAIN_NAMES = ("grain", "grains", "grain_id", "grainid", "grain_ids", "grain_number", "featureids")
"""Names of the column or property that holds the grain, in lower case; the last is DREAM.3D's."""


def read_grain_map(path: str | Path, source: PatternSource) -> Grains:
    """Read the grains of a source's patterns.

    Parameters
    ----------
    path
        A map of whole numbers, one a grain, less than zero for points of none:

        - ``.npy``, ``.tif``, ``.tiff``, ``.png``: an array of the scan's shape;
        - ``.csv``: columns ``row``, ``column`` and one of `GRAIN_NAMES`, such as the manifest of ``kikuchinet generate``;
        - ``.h5``, ``.ang``, ``.ctf``: a crystal map that orix reads, with a property of one of these names.
    source
        The patterns. A map of the whole scan fits part of it (``--roi``, ``--stride``), too.

    Returns
    -------
    Grains
        Numbered anew.

    Raises
    ------
    kikuchinet.errors.InputError
        The file cannot be read or does not fit the scan.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "does not exist")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise InputError(path, f"no kind of grain map ({' '.join(_READERS)})")
    try:
        labels = read(path, source)
    except InputError:
        raise
    except Exception as error:  # readers raise anything at all on damaged and foreign files
        raise InputError(path, f"cannot be read as a grain map ({words(error)})") from error
    numbers = np.full(len(labels), -1, dtype=np.int64)
    inside = labels >= 0
    numbers[inside] = np.unique(labels[inside], return_inverse=True)[1].ravel()
    if not inside.any():
        raise InputError(path, "no point of these patterns belongs to a grain")
    return Grains(numbers, origin=str(path))


def _from_map(path: Path, labels: NDArray[Any], source: PatternSource) -> NDArray[np.int64]:
    """Return the grain of each pattern from a map of the scan or of the selected part."""
    array = np.asarray(labels)
    if not array.size:  # tifffile's answer to a file without an image
        raise InputError(path, "holds no numbers")
    if array.ndim == 3 and 1 in array.shape:
        array = array.squeeze()
    if array.dtype.kind == "f" and np.isfinite(array).all() and (array == np.rint(array)).all():
        array = array.astype(np.int64)
    if array.dtype.kind not in "bui":
        raise InputError(path, f"holds {array.dtype} numbers; grains are whole numbers")
    if array.shape == source.navigation_shape:
        return array.ravel().astype(np.int64)
    if array.ndim == 2 and source.rows is not None and source.columns is not None:
        reach = (int(source.rows.max()), int(source.columns.max()))
        if array.shape[0] > reach[0] and array.shape[1] > reach[1]:
            return np.asarray(array[source.rows, source.columns], dtype=np.int64)
    if array.ndim == 1 and len(array) == len(source):
        return array.astype(np.int64)
    raise InputError(path, f"a map of shape {array.shape} does not fit a scan of {source.navigation_shape}")


def _npy(path: Path, source: PatternSource) -> NDArray[np.int64]:
    return _from_map(path, np.load(path, allow_pickle=False), source)


def _picture(path: Path, source: PatternSource) -> NDArray[np.int64]:
    if path.suffix.lower() == ".png":
        from PIL import Image

        with Image.open(path) as picture:
            return _from_map(path, np.asarray(picture), source)
    import tifffile

    return _from_map(path, tifffile.imread(path), source)


def _csv(path: Path, source: PatternSource) -> NDArray[np.int64]:
    import pandas as pd

    frame = pd.read_csv(path)
    lower = {str(name).strip().lower(): name for name in frame.columns}
    grain = next((lower[name] for name in GRAIN_NAMES if name in lower), None)
    if grain is None or "row" not in lower or "column" not in lower:
        raise InputError(path, f"needs columns row, column and one of {', '.join(GRAIN_NAMES)}")
    if source.rows is None or source.columns is None:
        raise InputError(path, f"holds rows and columns, and {source.name} is no scan of both")
    places = frame[[lower["row"], lower["column"], grain]].dropna().to_numpy()
    if not len(places):
        raise InputError(path, "holds no rows with a row, a column and a grain")
    row, column = places[:, 0].astype(np.int64), places[:, 1].astype(np.int64)
    if min(row.min(), column.min()) < 0:
        raise InputError(path, "holds a row or column less than zero")
    full = np.full((max(row.max(), source.rows.max()) + 1, max(column.max(), source.columns.max()) + 1), -1)
    full[row, column] = places[:, 2].astype(np.int64)
    return np.asarray(full[source.rows, source.columns], dtype=np.int64)


def _crystal_map(path: Path, source: PatternSource) -> NDArray[np.int64]:
    from orix import io

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = io.load(str(path))
    name = next((key for key in loaded.prop if str(key).lower() in GRAIN_NAMES), None)
    if name is None:
        held = ", ".join(map(str, loaded.prop)) or "none"
        raise InputError(path, f"has no property {' or '.join(GRAIN_NAMES[:3])}; it has {held}")
    return _from_map(path, np.asarray(loaded.get_map_data(name, fill_value=-1)), source)


_READERS = {
    ".npy": _npy,
    ".tif": _picture,
    ".tiff": _picture,
    ".png": _picture,
    ".csv": _csv,
    ".h5": _crystal_map,
    ".hdf5": _crystal_map,
    ".ang": _crystal_map,
    ".ctf": _crystal_map,
}
