"""Space groups from electron backscatter (Kikuchi) diffraction patterns.

Everything a user types hangs on this module: ``import kikuchinet as kn``. Names are loaded when they are first
used, so that importing the package costs milliseconds and not the seconds that PyTorch and HyperSpy take.

Examples
--------
>>> import kikuchinet as kn
>>> kn.crystals["Ni3Al"].symmetry.symbol
'Pm-3m'
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from kikuchinet._version import __version__

if TYPE_CHECKING:
    from kikuchinet.crystal import Crystal, Site, crystals, ladder, synthetic_crystal
    from kikuchinet.diffraction import (
        ElectronTransport,
        MasterPattern,
        simulate,
        visible_group,
        visible_groups,
    )
    from kikuchinet.errors import InputError
    from kikuchinet.identification.signals import identify
    from kikuchinet.microscope import Camera, CameraRange, Detector, project
    from kikuchinet.models import list_models, load_model
    from kikuchinet.patterns import example_patterns, preprocess, read_patterns

_HOME = {
    "Crystal": "crystal",
    "Site": "crystal",
    "crystals": "crystal",
    "ladder": "crystal",
    "synthetic_crystal": "crystal",
    "ElectronTransport": "diffraction",
    "MasterPattern": "diffraction",
    "simulate": "diffraction",
    "visible_group": "diffraction",
    "visible_groups": "diffraction",
    "Camera": "microscope",
    "CameraRange": "microscope",
    "Detector": "microscope",
    "project": "microscope",
    "example_patterns": "patterns",
    "preprocess": "patterns",
    "read_patterns": "patterns",
    "list_models": "models",
    "load_model": "models",
    "identify": "identification.signals",
    "InputError": "errors",
}

__all__ = [
    "Camera",
    "CameraRange",
    "Crystal",
    "Detector",
    "ElectronTransport",
    "InputError",
    "MasterPattern",
    "Site",
    "__version__",
    "crystals",
    "example_patterns",
    "identify",
    "ladder",
    "list_models",
    "load_model",
    "preprocess",
    "project",
    "read_patterns",
    "simulate",
    "synthetic_crystal",
    "visible_group",
    "visible_groups",
]


def __getattr__(name: str) -> Any:
    """Load a public name from the package that holds it, once (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, loaded or not."""
    return sorted(set(globals()) | set(__all__))
