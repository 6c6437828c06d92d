"""Drawn crystals kept on disk, beside the master patterns that are simulated of them.

A synthetic crystal takes a tenth of a second and more to draw, so those of a large configuration take minutes. A file of
the store holds all drawings of one kind ("synthetic 225") and is called ``KEY-SUM.json``, as files of
:class:`kikuchinet.diffraction.cache.MasterCache` are: KEY is a digest of everything that decides the drawings, SUM one of
the file itself, so a damaged file does not fit its name and is not used.
"""

from __future__ import annotations

import errno
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.crystal.crystal import Site
from kikuchinet.errors import InputError

_CODE = (
    ("kikuchinet.crystal", ()),
    ("kikuchinet.datasets", ("energies.py", "masters_plan.py")),
    ("kikuchinet.diffraction", ("energy.py", "job.py", "presets.py")),
)
"""Packages, and which of their modules decide what is drawn, by the draws or by the cost that a crystal may have; all where
none is named. Their text is part of every key: there is no number that somebody would have to raise."""
_LIBRARIES = ("numpy", "spglib", "gemmi")
_KEY_DIGITS = 32
_SUM_DIGITS = 16
_READ_ONLY = (errno.EACCES, errno.EPERM, errno.EROFS)


@cache
def code_revision() -> str:
    """Return a digest, in hexadecimal digits, of the code that draws crystals and of the libraries it draws with."""
    digest = hashlib.sha256()
    for package, modules in _CODE:
        found = sorted(
            (one for one in files(package).iterdir() if one.name.endswith(".py")), key=lambda one: one.name
        )
        for module in found:
            if not modules or module.name in modules:
                text = module.read_bytes()
                digest.update(f"{package}/{module.name} {len(text)}\n".encode())
                digest.update(text)
    for library in _LIBRARIES:
        digest.update(f"{library} {version(library)}\n".encode())
    return digest.hexdigest()


@dataclass(frozen=True)
class Drawing:
    """A crystal as it was drawn, and what was drawn with it for its master pattern; see `MasterSpec`."""

    base: Crystal
    energy_kev: float
    lattice_factor: float
    b_factor: float
    seed: int


class DrawnStore:
    """A content-addressed store of drawn crystals.

    Any number of processes may use a folder at once: files appear whole.

    Parameters
    ----------
    folder
        The cache folder, which the master patterns are in too; made when something is stored.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def __repr__(self) -> str:
        return f"DrawnStore({str(self.folder)!r})"

    def drawings(
        self, decided_by: dict[str, Any], draw: Callable[[], Iterable[Drawing]]
    ) -> tuple[Drawing, ...]:
        """Return the drawings of a kind, from the store or drawn and stored.

        Parameters
        ----------
        decided_by
            What decides them beside the code, as JSON takes it.
        draw
            Draws them.

        Raises
        ------
        kikuchinet.errors.InputError
            The folder cannot be written to for another reason than that it may only be read.
        """
        said = json.dumps({"code": code_revision(), **decided_by}, sort_keys=True)
        key = hashlib.sha256(said.encode()).hexdigest()[:_KEY_DIGITS]
        found = self._find(key)
        if found is None:
            found = tuple(draw())
            self._store(key, found)
        return found

    def _find(self, key: str) -> tuple[Drawing, ...] | None:
        # Another process may put a new file in the old one's place after we have seen the old one's name: look again then.
        for _ in range(2):
            replaced = False
            for path in sorted(self._shelf(key).glob(f"{key}-*.json")):
                try:
                    content = path.read_bytes()
                except FileNotFoundError:
                    replaced = True
                    continue
                if path == self._place(key, content):
                    return _read(content)
            if not replaced:
                break
        return None

    def _store(self, key: str, drawings: Sequence[Drawing]) -> None:
        content = json.dumps([asdict(one) for one in drawings]).encode()
        place = self._place(key, content)
        try:
            with atomic_path(place) as temporary:
                temporary.write_bytes(content)
        except OSError as error:
            # A store that may only be read serves as well: drawing anew costs time and nothing else.
            if error.errno in _READ_ONLY:
                return
            cause = error.strerror or str(error)
            raise InputError(self.folder, f"drawn crystals cannot be kept here: {cause}") from error
        for other in self._shelf(key).glob(f"{key}-*.json"):
            if other != place:
                with suppress(FileNotFoundError):
                    other.unlink()

    def _shelf(self, key: str) -> Path:
        return self.folder / "drawn" / key[:2]

    def _place(self, key: str, content: bytes) -> Path:
        return self._shelf(key) / f"{key}-{hashlib.sha256(content).hexdigest()[:_SUM_DIGITS]}.json"


def _read(content: bytes) -> tuple[Drawing, ...]:
    # Floats survive JSON to the last bit, and with them the keys of the master patterns.
    drawings = []
    for one in json.loads(content):
        base = dict(one.pop("base"))
        sites = tuple(Site(**{**site, "position": tuple(site["position"])}) for site in base.pop("sites"))
        drawings.append(Drawing(Crystal(**base, sites=sites), **one))
    return tuple(drawings)
