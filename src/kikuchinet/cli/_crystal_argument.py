"""A crystal on the command line: a name of the library or a CIF file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kikuchinet.crystal import Crystal


def find_crystal(word: str) -> Crystal:
    """Return the crystal that a word on the command line means.

    Parameters
    ----------
    word
        A name of the library, else the path of a CIF file.

    Raises
    ------
    kikuchinet.errors.InputError
        It is neither, or the file cannot be read.
    """
    from kikuchinet.crystal import Crystal, crystals

    if word in crystals:
        return crystals[word]
    path = Path(word)
    if path.suffix.lower() == ".cif" or path.is_file():
        return Crystal.from_cif(path)
    # Raises, and says which names come near.
    return crystals[word]
