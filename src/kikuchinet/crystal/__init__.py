"""Crystals: cell, sites, space group; CIF in and out; the symmetry ladder; the library; generated crystals."""

from kikuchinet.crystal.crystal import DEFAULT_B_ISO_NM2, Atoms, Crystal, Site
from kikuchinet.crystal.ladder import OUTSIDE, SymmetryLadder, ladder
from kikuchinet.crystal.library import PAPER_MATERIALS, Library, crystals
from kikuchinet.crystal.prototypes import near_copies, prototype_label
from kikuchinet.crystal.symmetry import Setting, find_setting, reference_setting
from kikuchinet.crystal.synthetic import SyntheticRanges, synthetic_crystal
from kikuchinet.crystal.variants import prototype_variant

__all__ = [
    "DEFAULT_B_ISO_NM2",
    "OUTSIDE",
    "PAPER_MATERIALS",
    "Atoms",
    "Crystal",
    "Library",
    "Setting",
    "Site",
    "SymmetryLadder",
    "SyntheticRanges",
    "crystals",
    "find_setting",
    "ladder",
    "near_copies",
    "prototype_label",
    "prototype_variant",
    "reference_setting",
    "synthetic_crystal",
]
