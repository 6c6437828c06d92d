"""Finished master patterns on disk, found by what they were made from.

A file of the store is called ``KEY-SUM.h5``. KEY is a digest of everything that decides the intensities, so a pattern
that was simulated once is found again whatever its crystal is called and whoever asks. SUM is a digest of the file
itself: a file that was damaged, or cut off by a full disk, does not fit its name and is never handed out.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.crystal.elements import atomic_number
from kikuchinet.diffraction.simulation import PRESETS
from kikuchinet.diffraction.transport import ElectronTransport
from kikuchinet.errors import InputError

PHYSICS_REVISION = 2
"""Part of every key. Raise it when the simulator's answers change, so that no stale pattern is used."""

CACHE_VARIABLE = "KIKUCHINET_CACHE"
"""Environment variable that names the cache folder."""

_KEY_DIGITS = 32
_SUM_DIGITS = 16


def content_key(crystal: Crystal, energy_kev: float, half_width: int, preset: str, seed: int) -> str:
    """Return a digest of everything that decides the intensities of a master pattern.

    Parameters
    ----------
    crystal
        Its cell, setting and sites count; its name and where it is from do not.
    energy_kev, half_width, seed
        As in :func:`kikuchinet.diffraction.simulate`.
    preset
        Name of numerical settings. Their values count, not the name.

    Returns
    -------
    str
        32 hexadecimal digits (128 bits of SHA-256).

    Raises
    ------
    kikuchinet.errors.InputError
        No such preset.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r}", f"no such preset; there are {', '.join(PRESETS)}")
    content = {
        "revision": PHYSICS_REVISION,
        **structure_content(crystal),
        "energy_kev": float(energy_kev),
        "half_width": int(half_width),
        "preset": asdict(PRESETS[preset]),
        # What the Monte Carlo run assumes where a preset says nothing: tilt of the sample, number of electrons.
        "transport": ElectronTransport.simulate.__kwdefaults__,
        "seed": int(seed),
    }
    return digest(content)


def structure_content(crystal: Crystal) -> dict[str, Any]:
    """Return what of a crystal decides intensities, as JSON takes it; its name and where it is from do not."""
    return {
        "cell": [float(value) for value in crystal.cell],
        "setting": crystal.setting,
        "sites": [
            [
                atomic_number(site.element),
                [float(value) for value in site.position],
                float(site.occupancy),
                float(site.b_iso_nm2),
            ]
            for site in crystal.sites
        ],
    }


def digest(content: dict[str, Any]) -> str:
    """Return 32 hexadecimal digits (128 bits of SHA-256) of what JSON takes."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:_KEY_DIGITS]


def default_cache_folder() -> Path:
    """Return the folder that ``KIKUCHINET_CACHE`` names, else the user's cache folder as the platform has it."""
    named = os.environ.get(CACHE_VARIABLE)
    if named:
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("kikuchinet", appauthor=False)


def check_writable(folder: Path) -> None:
    """Make a folder and a file in it, so that a long run does not find out at its end that it cannot.

    Raises
    ------
    kikuchinet.errors.InputError
        It cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        cause = error.strerror or str(error)
        raise InputError(folder, f"master patterns cannot be kept here: {cause}") from error


class MasterCache:
    """A content-addressed store of master-pattern files.

    Any number of processes may use a folder at once: files appear whole, under names that no two contents share.

    Parameters
    ----------
    folder
        Where it lies; made when something is stored.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"MasterCache({str(self.folder)!r})"

    def find(self, key: str) -> Path | None:
        """Return the file of a key, or None. A file that does not fit its name is damaged, and removed.

        Parameters
        ----------
        key
            As :func:`content_key` gives it.
        """
        for path in self._shelved(key):
            try:
                content = path.read_bytes()
            except FileNotFoundError:
                # Another process has stored the key anew in between, under the sum of its own file.
                return self.find(key) if self._shelved(key) else None
            if path == self._place(key, content):
                return path
            # In a store that we may only read it stays; it is not used either way.
            with suppress(OSError):
                path.unlink()
        return None

    def _shelved(self, key: str) -> list[Path]:
        return sorted(self._shelf(key).glob(f"{key}-*.h5"))

    def store(self, key: str, content: bytes) -> Path:
        """Put a finished file into the store, in place of what was there under its key.

        Parameters
        ----------
        key
            As :func:`content_key` gives it.
        content
            The master-pattern file, byte by byte.

        Returns
        -------
        pathlib.Path
            Where it lies now.
        """
        place = self._place(key, content)
        with atomic_path(place) as temporary:
            temporary.write_bytes(content)
        for other in self._shelf(key).glob(f"{key}-*.h5"):
            if other != place:
                other.unlink(missing_ok=True)
        return place

    def _shelf(self, key: str) -> Path:
        # 256 folders: some file systems are slow with many thousands of files in one.
        return self.folder / "masters" / key[:2]

    def _place(self, key: str, content: bytes) -> Path:
        return self._shelf(key) / f"{key}-{hashlib.sha256(content).hexdigest()[:_SUM_DIGITS]}.h5"
