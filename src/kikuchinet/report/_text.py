"""Names as a page may show them."""

from __future__ import annotations

import unicodedata


def shown(text: str) -> str:
    """Return a name with what cannot be seen made visible.

    Parameters
    ----------
    text
        Any text; a file's name may hold anything.

    Returns
    -------
    str
        Control characters, characters that turn the direction of writing (with which a name can pass for another one), and
        bytes that are no text, are written as their code, ``⟨U+202E⟩``. All else, right-to-left letters too, stays as it
        was. The result is not escaped for HTML.
    """
    return "".join(
        f"⟨U+{ord(letter):04X}⟩" if unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} else letter
        for letter in text
    )
