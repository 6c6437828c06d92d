"""From the tables of a TOML file to frozen dataclasses, with errors that name the entry."""

from __future__ import annotations

import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

from kikuchinet.errors import InputError

T = TypeVar("T")


def read_table(cls: type[T], path: Path) -> T:
    """Return the dataclass `cls` filled from a TOML file.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, is not TOML, or holds an entry that is unknown or wrong.
    """
    try:
        table: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(path, "no such file") from error
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise InputError(path, f"cannot be read as TOML ({error})") from error
    try:
        return build(cls, table, "config")
    except InputError as error:
        raise InputError(path, f"{error.subject}: {error.cause}") from error


def build(cls: type[T], table: object, where: str) -> T:
    """Return the dataclass `cls` filled from a table.

    Parameters
    ----------
    cls
        A dataclass whose fields are numbers, strings, tuples, dataclasses, or one of these or None.
    table
        What the TOML file holds.
    where
        The table's name, for messages.

    Raises
    ------
    kikuchinet.errors.InputError
        An entry is unknown, missing, or of the wrong type.
    """
    if not isinstance(table, Mapping):
        raise InputError(where, f"must be a table, not {table!r}")
    hints = typing.get_type_hints(cls)
    known = {f.name: f for f in fields(cls) if f.init}  # type: ignore[arg-type]
    if unknown := sorted(set(table) - set(known)):
        raise InputError(where, f"unknown entry {unknown[0]!r}; known are {', '.join(sorted(known))}")
    values = {}
    for name, f in known.items():
        if name in table:
            values[name] = _convert(hints[name], table[name], f"{where}.{name}")
        elif f.default is MISSING and f.default_factory is MISSING:
            raise InputError(where, f"entry {name!r} is missing")
    try:
        return cls(**values)
    except InputError:
        raise
    except (TypeError, ValueError) as error:
        raise InputError(where, str(error)) from error


def _convert(hint: Any, value: object, where: str) -> Any:
    origin = get_origin(hint)
    if origin in (Union, types.UnionType):
        options = [option for option in get_args(hint) if option is not type(None)]
        if value is None and len(options) < len(get_args(hint)):
            return None
        return _convert(options[0], value, where)
    if is_dataclass(hint):
        return build(typing.cast("type[Any]", hint), value, where)
    if origin is tuple:
        return _tuple(get_args(hint), value, where)
    if hint is bool or isinstance(value, bool):
        if hint is bool and isinstance(value, bool):
            return value
    elif hint is float and isinstance(value, int | float):
        return float(value)
    elif hint in (int, str) and isinstance(value, hint):
        return value
    raise InputError(where, f"must be a {getattr(hint, '__name__', hint)}, not {value!r}")


def _tuple(items: tuple[Any, ...], value: object, where: str) -> tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(where, f"must be a list, not {value!r}")
    if len(items) == 2 and items[1] is Ellipsis:
        items = (items[0],) * len(value)
    if len(items) != len(value):
        raise InputError(where, f"must have {len(items)} entries, not {len(value)}")
    return tuple(
        _convert(item, entry, f"{where}[{i}]")
        for i, (item, entry) in enumerate(zip(items, value, strict=True))
    )
