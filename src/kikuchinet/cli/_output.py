"""Tables and lines on stdout, for terminals and for pipes."""

from __future__ import annotations

import sys
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

_PIPE_WIDTH = 200
"""Columns where stdout is no terminal: a file has no edge, but rules should not be endless."""


@cache
def console() -> Console:
    """Return the console for results. In a pipe it neither colours nor cuts at 80 columns."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False)
    return Console(highlight=False, width=_PIPE_WIDTH, color_system=None)


def table(*columns: str, title: str = "", right: tuple[str, ...] = ()) -> Table:
    """Return an empty table.

    Parameters
    ----------
    columns
        Headings.
    title
        Line above the table.
    right
        Headings of columns that are aligned to the right.
    """
    from rich import box
    from rich.table import Table

    made = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def text(value: object) -> str:
    """Return a value as text that rich prints as it is: no markup, no control characters."""
    from rich.markup import escape

    from kikuchinet.cli._group import one_line

    return escape(one_line(value))
