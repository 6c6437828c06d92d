"""Dynamical electron diffraction: from a crystal to its master pattern."""

from kikuchinet.diffraction.master_pattern import MasterPattern
from kikuchinet.diffraction.simulation import PRESETS, simulate
from kikuchinet.diffraction.transport import ElectronTransport
from kikuchinet.diffraction.visibility import (
    Ordering,
    orderings,
    possible_groups,
    superlattice_ratio,
    visible_group,
    visible_groups,
    weakest_ordering,
)

__all__ = [
    "PRESETS",
    "ElectronTransport",
    "MasterPattern",
    "Ordering",
    "orderings",
    "possible_groups",
    "simulate",
    "superlattice_ratio",
    "visible_group",
    "visible_groups",
    "weakest_ordering",
]
