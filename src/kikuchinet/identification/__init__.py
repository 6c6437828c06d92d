"""From patterns to space groups: per pattern, per scan, and for all patterns together."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kikuchinet.identification.answer_store import AnswerStore, unfinished
    from kikuchinet.identification.candidates import Candidate, library_candidates
    from kikuchinet.identification.contenders import gather_crystals
    from kikuchinet.identification.elements import parse_elements
    from kikuchinet.identification.files import whole_folder, write_results
    from kikuchinet.identification.fitting import CandidateFit, PhaseFit
    from kikuchinet.identification.grain_files import read_grain_map
    from kikuchinet.identification.grains import Grains, find_grains
    from kikuchinet.identification.grouping import with_grains
    from kikuchinet.identification.levels import LadderAnswer, ladder_answer
    from kikuchinet.identification.limits import LookAlike, kinematic_twins, look_alikes
    from kikuchinet.identification.maps import crystal_map
    from kikuchinet.identification.physics import Physics, fit_phases
    from kikuchinet.identification.pipeline import identify, open_sources, with_bands
    from kikuchinet.identification.result import CSV_COLUMNS, IdentificationResult, SourceAnswer
    from kikuchinet.identification.signals import identify_signal
    from kikuchinet.indexing.refinement import Refinement, refine
    from kikuchinet.indexing.search import search_orientations

_HOME = {
    "AnswerStore": "answer_store",
    "CSV_COLUMNS": "result",
    "Candidate": "candidates",
    "CandidateFit": "fitting",
    "Grains": "grains",
    "IdentificationResult": "result",
    "LadderAnswer": "levels",
    "LookAlike": "limits",
    "PhaseFit": "fitting",
    "Physics": "physics",
    "Refinement": "kikuchinet.indexing.refinement",
    "SourceAnswer": "result",
    "crystal_map": "maps",
    "find_grains": "grains",
    "fit_phases": "physics",
    "gather_crystals": "contenders",
    "identify": "pipeline",
    "identify_signal": "signals",
    "kinematic_twins": "limits",
    "ladder_answer": "levels",
    "library_candidates": "candidates",
    "look_alikes": "limits",
    "open_sources": "pipeline",
    "parse_elements": "elements",
    "read_grain_map": "grain_files",
    "refine": "kikuchinet.indexing.refinement",
    "search_orientations": "kikuchinet.indexing.search",
    "unfinished": "answer_store",
    "whole_folder": "files",
    "with_bands": "pipeline",
    "with_grains": "grouping",
    "write_results": "files",
}

__all__ = [
    "CSV_COLUMNS",
    "AnswerStore",
    "Candidate",
    "CandidateFit",
    "Grains",
    "IdentificationResult",
    "LadderAnswer",
    "LookAlike",
    "PhaseFit",
    "Physics",
    "Refinement",
    "SourceAnswer",
    "crystal_map",
    "find_grains",
    "fit_phases",
    "gather_crystals",
    "identify",
    "identify_signal",
    "kinematic_twins",
    "ladder_answer",
    "library_candidates",
    "look_alikes",
    "open_sources",
    "parse_elements",
    "read_grain_map",
    "refine",
    "search_orientations",
    "unfinished",
    "whole_folder",
    "with_bands",
    "with_grains",
    "write_results",
]


def __getattr__(name: str) -> Any:
    """Load a name when it is first used: parsing elements must not wait for PyTorch (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOME[name]
    return getattr(import_module(home if "." in home else f"{__name__}.{home}"), name)
