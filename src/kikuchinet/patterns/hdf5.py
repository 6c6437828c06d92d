"""What is looked at in an HDF5 file before a library reads it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kikuchinet.errors import InputError
from kikuchinet.patterns.limits import MOST_COMPRESSED

HDF5_EXTENSIONS = (".h5", ".hdf5", ".h5ebsd", ".h5oina")
"""Endings of the HDF5 files that kikuchipy reads."""
_SMALL = 2**24
"""Bytes that may be claimed without a look at what is stored."""


def check_hdf5(path: Path) -> None:
    """Raise an `InputError` if a data set of an HDF5 file claims far more than is stored of it.

    Parameters
    ----------
    path
        The file; one of another kind passes.

    Notes
    -----
    Libraries read headers whole. One that claims gigabytes is read as gigabytes of nothing, however small the file.
    """
    if path.suffix.lower() not in HDF5_EXTENSIONS:
        return
    import h5py

    def look(name: str, item: Any) -> None:
        if not isinstance(item, h5py.Dataset) or item.is_virtual or item.external:
            return
        claimed = item.size * item.dtype.itemsize if item.size else 0
        if claimed > max(_SMALL, MOST_COMPRESSED * item.id.get_storage_size()):
            raise InputError(path, f"{name} claims {claimed:,} bytes, far more than the file holds")

    with h5py.File(path) as file:
        file.visititems(look)
