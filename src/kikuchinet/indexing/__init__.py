"""How a crystal lies in a pattern: orientations found and refined, with a named phase or without one, and band profiles."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kikuchinet.indexing.bands import FAMILIES, band_profiles, pooled_profiles
    from kikuchinet.indexing.refinement import Refinement, refine
    from kikuchinet.indexing.search import search_orientations
    from kikuchinet.indexing.unnamed import CubicFinder, CubicOrientations

_HOME = {
    "CubicFinder": "unnamed",
    "CubicOrientations": "unnamed",
    "FAMILIES": "bands",
    "Refinement": "refinement",
    "band_profiles": "bands",
    "pooled_profiles": "bands",
    "refine": "refinement",
    "search_orientations": "search",
}

__all__ = [
    "FAMILIES",
    "CubicFinder",
    "CubicOrientations",
    "Refinement",
    "band_profiles",
    "pooled_profiles",
    "refine",
    "search_orientations",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
