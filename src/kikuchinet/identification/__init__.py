"""From patterns to space groups: per pattern, per scan, and for all patterns together."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kikuchinet.identification.candidates import Candidate, library_candidates
    from kikuchinet.identification.elements import parse_elements
    from kikuchinet.identification.files import whole_folder, write_results
    from kikuchinet.identification.limits import LookAlike, kinematic_twins, look_alikes
    from kikuchinet.identification.maps import crystal_map
    from kikuchinet.identification.pipeline import identify, open_sources
    from kikuchinet.identification.result import CSV_COLUMNS, IdentificationResult, SourceAnswer

_HOME = {
    "CSV_COLUMNS": "result",
    "Candidate": "candidates",
    "IdentificationResult": "result",
    "LookAlike": "limits",
    "SourceAnswer": "result",
    "crystal_map": "maps",
    "identify": "pipeline",
    "kinematic_twins": "limits",
    "library_candidates": "candidates",
    "look_alikes": "limits",
    "open_sources": "pipeline",
    "parse_elements": "elements",
    "whole_folder": "files",
    "write_results": "files",
}

__all__ = [
    "CSV_COLUMNS",
    "Candidate",
    "IdentificationResult",
    "LookAlike",
    "SourceAnswer",
    "crystal_map",
    "identify",
    "kinematic_twins",
    "library_candidates",
    "look_alikes",
    "open_sources",
    "parse_elements",
    "whole_folder",
    "write_results",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: parsing elements must not wait for PyTorch (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
