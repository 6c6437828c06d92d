"""Signals of HyperSpy and kikuchipy as sources of patterns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kikuchinet.errors import InputError
from kikuchinet.patterns.reading import _signal_source
from kikuchinet.patterns.source import PatternSource


def signal_source(signal: Any, *, static_background: bool = True) -> PatternSource:
    """Return a source that reads from a signal in memory or on disk.

    Parameters
    ----------
    signal
        HyperSpy or kikuchipy signal of patterns (two signal axes), lazy or not, with at most two navigation axes.
    static_background
        Whether raw patterns are divided by the static background that the signal holds.

    Returns
    -------
    PatternSource
        Patterns are computed when they are asked for; the signal is not changed.

    Raises
    ------
    kikuchinet.errors.InputError
        The signal holds no patterns.
    """
    if getattr(signal.axes_manager, "signal_dimension", 2) != 2:
        raise InputError("signal", "has no two signal axes, so it holds no patterns")
    if "MasterPattern" in type(signal).__name__:
        raise InputError("signal", "holds a master pattern, not detector patterns")
    title = str(signal.metadata.get_item("General.title", default="")) or "signal"
    return _signal_source(signal, Path(title), title, static_background)
