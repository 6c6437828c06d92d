"""Chemical elements as a user writes them."""

from __future__ import annotations

from collections.abc import Iterable

import gemmi

from kikuchinet.errors import InputError


def parse_elements(text: str | Iterable[str]) -> tuple[str, ...]:
    """Return element symbols from ``"Al,Ni"``, ``"al ni"`` or a list of them.

    Returns
    -------
    tuple of str
        Proper symbols, each once, in the order given.

    Raises
    ------
    kikuchinet.errors.InputError
        A word is no element.
    """
    words = text.replace(",", " ").split() if isinstance(text, str) else list(text)
    symbols = []
    for word in words:
        symbol = word.strip().capitalize()
        # gemmi reads the first two letters only, so the whole word must be what it found.
        if gemmi.Element(symbol).atomic_number == 0 or gemmi.Element(symbol).name != symbol:
            raise InputError("--elements", f"{word!r} is not a chemical element")
        symbols.append(symbol)
    return tuple(dict.fromkeys(symbols))
