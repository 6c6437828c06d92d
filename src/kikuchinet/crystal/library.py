"""The library of named crystals that ships with the package."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from importlib import resources
from typing import Any, TypeVar, overload

from kikuchinet.crystal.crystal import Crystal, Site
from kikuchinet.errors import InputError

_Default = TypeVar("_Default")

PAPER_MATERIALS: dict[int, tuple[str, ...]] = {
    221: ("FeNi3", "Ni3Al", "NiAl", "FeAl"),
    223: ("Mo3Si", "Cr3Si"),
    225: ("TaC", "Ni", "NbC", "TiC", "Al"),
    227: ("Ge", "Si"),
    229: ("W", "Ta", "Fe"),
    230: ("Al4Ni3", "Al4CoNi2"),
}
"""The 18 materials of Kaufmann et al., Microsc. Microanal. 26 (2020) 447, by space group."""


def _crystal(entry: dict[str, Any]) -> Crystal:
    cell = [float(x) for x in entry["cell"]]
    return Crystal(
        name=entry["name"],
        a_nm=cell[0],
        b_nm=cell[1],
        c_nm=cell[2],
        alpha_deg=cell[3],
        beta_deg=cell[4],
        gamma_deg=cell[5],
        space_group=int(entry["space_group"]),
        setting=entry["setting"],
        sites=tuple(
            Site(element, (x, y, z), occupancy, b_iso_nm2, label)
            for label, element, x, y, z, occupancy, b_iso_nm2 in entry["sites"]
        ),
        source=f"{entry['source']}; B: {entry['b_source']}",
        structure_verified=bool(entry["structure_verified"]),
        lattice_verified=bool(entry["lattice_verified"]),
        prototype=entry["prototype"],
        note=entry["note"],
    )


def _plain(words: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(c for c in words.casefold() if c.isalnum())


def _amounts(formula: str) -> frozenset[tuple[str, str]]:
    """Elements of a simple formula and their numbers; empty if it is none. The order of elements does not matter."""
    if re.fullmatch(r"([A-Z][a-z]?[\d.]*)+", formula) is None:
        return frozenset()
    return frozenset(re.findall(r"([A-Z][a-z]?)([\d.]*)", formula))


def _is_of_type(crystal: Crystal, prototype: str) -> bool:
    words = re.split(r"[\s,()]+", crystal.prototype)
    return crystal.prototype == prototype or prototype in words


class Library(Mapping[str, Crystal]):
    """Named crystals, read when first asked for.

    ``crystals["Ni3Al"]`` is one crystal, ``crystals(space_group=221)`` a tuple of them; iteration gives names, as with
    every mapping, and ``crystals.values()`` the crystals.
    """

    @cached_property
    def _entries(self) -> dict[str, dict[str, Any]]:
        entries: dict[str, dict[str, Any]] = {}
        folder = resources.files("kikuchinet.crystal") / "data"
        for file in sorted(folder.iterdir(), key=lambda item: item.name):
            if not file.name.endswith(".json"):
                continue
            for entry in json.loads(file.read_text(encoding="utf-8"))["crystals"]:
                if entry["name"] in entries:
                    raise InputError(entry["name"], "is twice in the crystal library")
                entries[entry["name"]] = entry
        return entries

    @cached_property
    def _built(self) -> dict[str, Crystal]:
        return {}

    def __getitem__(self, name: str) -> Crystal:
        if name not in self._entries:
            raise InputError(str(name), f"no such crystal in the library{self._suggestion(str(name))}")
        if name not in self._built:
            self._built[name] = _crystal(self._entries[name])
        return self._built[name]

    @overload
    def get(self, name: str, /) -> Crystal | None: ...
    @overload
    def get(self, name: str, /, default: Crystal | _Default) -> Crystal | _Default: ...
    def get(self, name: str, /, default: object = None) -> object:
        """Return the crystal of a name, or `default` where there is none.

        Of our own, because `Mapping.get` knows a missing name by a `KeyError` only.
        """
        if name not in self._entries:
            return default
        return self[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self._entries

    def __call__(
        self,
        *,
        space_group: int | None = None,
        crystal_system: str | None = None,
        prototype: str | None = None,
        verified: bool | None = None,
    ) -> tuple[Crystal, ...]:
        """Crystals that meet all conditions given.

        Parameters
        ----------
        space_group
            Number, 1 to 230.
        crystal_system
            Such as ``"cubic"``.
        prototype
            Structure type as the library writes it, such as ``"L1_2 (Cu3Au)"``, or a word of it, such as ``"L1_2"``.
        verified
            Whether positions and lattice parameters were both read in a source.

        Returns
        -------
        tuple of Crystal
            In the order of the library; empty if there is none.
        """
        return tuple(
            crystal
            for crystal in self.values()
            if (space_group is None or crystal.space_group == space_group)
            and (crystal_system is None or crystal.symmetry.crystal_system == crystal_system)
            and (prototype is None or _is_of_type(crystal, prototype))
            and (verified is None or crystal.verified == verified)
        )

    def search(self, words: str) -> tuple[str, ...]:
        """Names that somebody may mean.

        Parameters
        ----------
        words
            A name, part of a name, or a formula; case, spaces and signs do not matter.

        Returns
        -------
        tuple of str
            The crystals of exactly this name, else of this formula, else those whose names hold the words; empty if
            there are none.
        """
        wanted = _plain(words)
        if not wanted:
            return ()
        same = tuple(name for name in self if _plain(name) == wanted)
        amount = _amounts(words)
        alike = tuple(
            name for name, crystal in self.items() if amount and _amounts(crystal.formula) == amount
        )
        return same or alike or tuple(name for name in self if wanted in _plain(name))

    @property
    def names(self) -> tuple[str, ...]:
        """All names, in the order of the library."""
        return tuple(self._entries)

    def _suggestion(self, name: str) -> str:
        lower = {known.lower(): known for known in self._entries}
        near = difflib.get_close_matches(name.lower(), lower, n=3, cutoff=0.6)
        return f"; did you mean {' or '.join(lower[match] for match in near)}?" if near else ""

    def __repr__(self) -> str:
        return f"<Library of {len(self)} crystals>"


crystals = Library()
"""The crystals that ship with kikuchinet."""
