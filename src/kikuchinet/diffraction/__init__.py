"""Dynamical electron diffraction: from a crystal to its master pattern."""

from kikuchinet.diffraction.master_pattern import MasterPattern
from kikuchinet.diffraction.simulation import PRESETS, simulate
from kikuchinet.diffraction.transport import ElectronTransport
from kikuchinet.diffraction.visibility import superlattice_ratio, visible_group, weakest_ordering

__all__ = [
    "PRESETS",
    "ElectronTransport",
    "MasterPattern",
    "simulate",
    "superlattice_ratio",
    "visible_group",
    "weakest_ordering",
]
