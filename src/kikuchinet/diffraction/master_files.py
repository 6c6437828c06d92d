"""Files of master patterns: which program wrote one is told by what is in it, never by its name."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path

import h5py

from kikuchinet.diffraction.master_contents import Contents, Request
from kikuchinet.diffraction.master_ebsdsim import read_ebsdsim
from kikuchinet.diffraction.master_emsoft import read_emsoft
from kikuchinet.diffraction.master_kikuchipy import read_hyperspy
from kikuchinet.errors import InputError

_UNDERSTOOD = "kikuchinet, EMsoft, kikuchipy or ebsdsim"


def read(path: Path, request: Request) -> Contents:
    """Read the master pattern in a file or, for zarr, a folder.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, damaged, of another kind, or lacks what cannot be concluded.
    """
    try:
        return _recognise(path)(path, request)
    except InputError as error:
        raise InputError(path, error.cause) from error
    except (OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError, EOFError,
            AttributeError, zipfile.BadZipFile, zlib.error) as error:  # fmt: skip
        raise InputError(path, f"not a master pattern of {_UNDERSTOOD}, or damaged ({error})") from error


def _recognise(path: Path) -> Callable[[Path, Request], Contents]:
    """Find the reader of what a file holds."""
    if not path.exists():
        raise InputError(path, "no such file")
    if path.is_dir():
        if any((path / name).is_file() for name in (".zgroup", "zarr.json")):
            return partial(read_hyperspy, reader="ZSPY")
        raise InputError(path, "is a folder, not a master pattern")
    if path.stat().st_size == 0:
        raise InputError(path, "is empty")
    if zipfile.is_zipfile(path):
        return read_ebsdsim
    with h5py.File(path, "r") as file:
        if "EMData" in file:
            return read_emsoft
        if "Experiments" in file:
            return partial(read_hyperspy, reader="HSPY")
    raise InputError(path, f"HDF5, but not a master pattern of {_UNDERSTOOD}")
