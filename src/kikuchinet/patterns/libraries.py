"""Manners for the libraries that read files."""

from __future__ import annotations

import contextlib
import logging
import os
import warnings
from collections.abc import Iterator

_NAMES = ("kikuchipy", "hyperspy", "rsciio", "orix", "tifffile", "PIL")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep the reading libraries from writing to the user's screen; what fails raises all the same."""
    loggers = [logging.getLogger(name) for name in _NAMES]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def words(error: Exception) -> str:
    """Return the first line of an error's message, or its kind where it has none."""
    return str(error).split("\n")[0] or type(error).__name__


def import_pyebsdindex() -> None:
    """Import PyEBSDIndex without what it does to the environment.

    Importing it points ``NUMBA_CACHE_DIR`` to one folder for everybody. Every process started from then on would keep and
    look for compiled code of all libraries there; orix's has been seen to crash.
    """
    before = os.environ.get("NUMBA_CACHE_DIR")
    try:
        import pyebsdindex.ebsd_index  # noqa: F401 - the module that imports all others
    finally:
        if before is None:
            os.environ.pop("NUMBA_CACHE_DIR", None)
        else:
            os.environ["NUMBA_CACHE_DIR"] = before
