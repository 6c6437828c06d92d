"""Space-group symbols as crystallographers print them."""

from __future__ import annotations

import re
from collections.abc import Sequence

import gemmi
from markupsafe import Markup, escape

from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import outside_name
from kikuchinet.errors import InputError

_TOKEN = re.compile(
    r"-(?P<bar>\d)|(?P<screw>[2346])(?P<sub>[1-5])(?![0-9])|(?P<letter>[A-Za-z])|(?P<other>.)"
)


def hermann_mauguin(space_group: int) -> Markup:
    """Return the Hermann-Mauguin symbol of a space group as HTML.

    Parameters
    ----------
    space_group
        Number, 1 to 230.

    Returns
    -------
    markupsafe.Markup
        Letters in italics, inversion axes with a bar, screw axes with their index lowered: ``F m -3 m`` with a bar
        over the 3. Made from gemmi's table, safe to put into a page.

    Raises
    ------
    kikuchinet.errors.InputError
        The number is `kikuchinet.crystal.OUTSIDE`, which has no symbol; see `outside`.
    """
    if space_group == OUTSIDE:
        raise InputError("outside", "is no one space group and has no symbol")
    parts: list[str] = []
    for position, direction in enumerate(_short_directions(space_group)):
        if position:
            # A thin gap keeps "P 3 2 1" from being read as a screw axis.
            parts.append('<span class="thin"></span>')
        for token in _TOKEN.finditer(direction):
            if token["bar"]:
                parts.append(f'<span class="bar">{token["bar"]}</span>')
            elif token["screw"]:
                parts.append(f"{token['screw']}<sub>{token['sub']}</sub>")
            elif token["letter"]:
                parts.append(f"<i>{token['letter']}</i>")
            else:
                parts.append(token["other"])
    return Markup("".join(parts))  # noqa: S704  built from a fixed table


def outside(classes: Sequence[int]) -> Markup:
    """Return the name of what lies outside a model's groups as HTML; safe to put into a page."""
    name = outside_name(classes)
    symbol = name.removeprefix("outside ")
    return escape(name) if symbol == name else Markup("outside {}").format(point_group(symbol))


def _short_directions(space_group: int) -> list[str]:
    group = gemmi.find_spacegroup_by_number(space_group)
    directions = group.hm.split()
    # "P 1 21/c 1" is written P2_1/c: monoclinic symbols keep their one direction that says something.
    if group.crystal_system_str() == "monoclinic":
        directions = [directions[0], *(part for part in directions[1:] if part != "1")]
    return directions


def point_group(symbol: str) -> Markup:
    """Return a point group such as ``m-3m`` as HTML, with bars and italics; safe to put into a page."""
    parts = []
    for token in re.finditer(r"-(?P<bar>\d)|(?P<letter>[a-z])|(?P<other>.)", symbol):
        if token["bar"]:
            parts.append(Markup('<span class="bar">{}</span>').format(token["bar"]))
        elif token["letter"]:
            parts.append(Markup("<i>{}</i>").format(token["letter"]))
        else:
            parts.append(escape(token["other"]))
    return Markup("").join(parts)


def subscripts(text: str) -> Markup:
    """Return text as HTML with the numbers of formulas (``FeNi3``) and of structure types (``L1_2``) lowered."""
    parts = re.split(r"_(\d+)|(?<=[a-zA-Z)])(?<![LDAB])(\d+(?:\.\d+)?)", text)
    # re.split gives: plain, group 1, group 2, plain, ...; one of the two groups is None.
    html = [escape(parts[0])]
    for first, second, plain in zip(parts[1::3], parts[2::3], parts[3::3], strict=True):
        html += [Markup("<sub>{}</sub>").format(first or second), escape(plain)]
    return Markup("").join(html)
