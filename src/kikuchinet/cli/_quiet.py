"""Our own warnings in one line each; the libraries' chatter not at all."""

from __future__ import annotations

import logging
import os
import warnings
from typing import TextIO

from kikuchinet.cli._group import complain

_LIBRARIES = (
    "dask", "distributed", "fsspec", "hyperspy", "kikuchipy", "lightning", "lightning.pytorch", "matplotlib",
    "numba", "orix", "pytorch_lightning", "rsciio", "timm", "torch",
)  # fmt: skip


def quieten() -> None:
    """Keep what third-party libraries log and warn about off the terminal.

    Warnings raised by kikuchinet's own modules are kept and printed as ``kikuchinet: warning: ...``.
    ``KIKUCHINET_DEBUG=1`` switches all of this off.
    """
    if os.environ.get("KIKUCHINET_DEBUG"):
        return
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", module=r"kikuchinet(\.|$)")
    said: set[str] = set()

    def show_once(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        # A folder of colour images has one thing to say, not a thousand.
        if str(message) not in said:
            said.add(str(message))
            complain(message, kind="warning")

    warnings.showwarning = show_once
