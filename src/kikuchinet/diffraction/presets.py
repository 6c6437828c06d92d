"""Numerical settings of a simulation, under names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kikuchinet.diffraction.bloch import BeamSelection


@dataclass(frozen=True)
class Preset:
    """Numerical settings of a simulation. All crystals of one training set should share them.

    Attributes
    ----------
    d_min_nm
        Smallest interplanar spacing of a reflection.
    selection
        Which beams take part for one direction.
    energies
        Number of energies, where the transport is simulated.
    tile_rad
        Directions of a square of this width at most are solved together; 0 for each by itself. The cheapest width is
        taken. Tiles cost some accuracy.
    depth_tail
        Share of the attenuated intensity that is left beyond the largest depth.
    patch_rad
        Tiles within a square of this width share what weak beams scatter into each other; 0 for each tile by itself.
    most_operations
        Complex multiplications a direction may cost, for maps of 30,000 directions and more (half-width 250 of a cubic
        crystal); smaller maps may cost as much in all. Where a crystal would cost more, weak reflections are left out:
        both cut-offs are lowered until it does not, see `BeamSelection.scaled`.
    bethe
        Solve each direction by itself with Bethe's perturbation, without folding weak beams into the source, at the
        transport's own depths.
    emsoft
        Take depths and wavelength as EMsoft takes them: a bin of its histogram is attenuated as if it lay one step
        higher, and the wavelength is that of the beam's energy.
    """

    d_min_nm: float
    selection: BeamSelection
    energies: int
    tile_rad: float
    depth_tail: float
    patch_rad: float = 0.0
    most_operations: float = np.inf
    bethe: bool = False
    emsoft: bool = False


PRESETS = {
    "accurate": Preset(
        0.02,
        BeamSelection(strong=6.0, weak=80.0, cutoff=150.0, weak_cutoff=1000.0, forbidden_s_per_nm=None),
        energies=3,
        tile_rad=0.011,
        patch_rad=0.063,
        depth_tail=5e-3,
        most_operations=2e7,
    ),
    "fast": Preset(
        0.035,
        BeamSelection(strong=3.0, weak=12.0, cutoff=30.0, weak_cutoff=100.0, forbidden_s_per_nm=None),
        energies=1,
        tile_rad=0.021,
        patch_rad=0.063,
        depth_tail=2e-2,
    ),
    "parity": Preset(
        0.05,
        BeamSelection(strong=4.0, weak=8.0, cutoff=50.0, modulus_diagonal=True),
        energies=1,
        tile_rad=0.0,
        depth_tail=2e-3,
        bethe=True,
        emsoft=True,
    ),
}
"""``accurate``: the default.

``fast``: for large training sets; fewer beams, one energy.

``parity``: EMsoft's default settings, for comparison with its files.
"""
