"""Crystals that a configuration names by CIF files, beside those of the library."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.crystal.cif import cif_files
from kikuchinet.errors import InputError


def cif_crystals(paths: Sequence[str | Path]) -> dict[str, Crystal]:
    """Read the crystals of CIF files under the names of their files.

    Parameters
    ----------
    paths
        CIF files, and folders of them.

    Returns
    -------
    dict
        Crystal by name: that of the file without its ending, since several files may hold the same formula.

    Raises
    ------
    kikuchinet.errors.InputError
        A file is missing or cannot be read as a crystal, two files have one name, or a crystal of the library has it.
    """
    found: dict[str, Crystal] = {}
    for file in (file for path in paths for file in cif_files(path)):
        name = file.stem
        if name in found:
            raise InputError(file, f"a second CIF file of the name {name}: rename one of them")
        if name in crystals:
            raise InputError(file, f"{name} is the name of a crystal of the library: rename the file")
        found[name] = Crystal.from_cif(file).replace(name=name)
    return found
