"""Which master patterns stand behind a data set: several slightly different ones for every material.

A network that sees one master pattern per material learns that picture. Lattice parameter, thermal motion and
beam energy vary a little from variant to variant, with the same ranges for every material, so that scale and
contrast say nothing about the class.
"""

from __future__ import annotations

from dataclasses import dataclass

from kikuchinet.crystal import crystals
from kikuchinet.errors import InputError


@dataclass(frozen=True)
class MastersConfig:
    """Which master patterns to simulate.

    Parameters
    ----------
    materials
        Names in the library of crystals: what a model is made for and scored on.
    cifs
        CIF files, and folders of them, whose crystals are materials too, under the names of their files. In a configuration
        file relative to its folder.
    others
        Names of further crystals of the same groups, so that a group is more than how its materials look.
    half_width
        Half the width of the Lambert square, in pixels.
    preset
        Preset of the simulator.
    energies
        Number of energies of the electrons that leave; 0 for as many as the preset has.
    variants
        Master patterns per material. The first is the crystal as it stands in the library at the typical energy.
    other_variants
        The same for each of the others.
    energy_typical_kev, energy_range_kev, energy_typical_share
        The share of variants at the typical energy; the others are uniform in the range.
    prototype_variants
        Crystals of the same structure type with other elements that are drawn for each of `materials` and `others`
        (`kikuchinet.crystal.prototype_variant`); they join the others.
    synthetic
        Pairs of a space group and how many crystals of it are drawn from nothing but its symmetry
        (`kikuchinet.crystal.synthetic_crystal`); they join the others.
    withheld
        Names in the library that no drawn crystal may equal in elements and space group: what a network is to be scored
        on as unseen.
    synthetic_sites
        Largest number of occupied orbits of synthetic crystals; few make small cells, which are simulated fast.
    drawn_seed
        Draws other crystals, and changes nothing else: for crystals that a model has not been shown.
    drawn_electrons
        Electrons of the Monte Carlo run of a drawn crystal; 0 for as many as others get. At one energy they decide the
        depths alone, and for a small cell they are most of the work.
    most_cost_s
        Drawn crystals whose simulation is expected to take longer than this are drawn anew.
    large_cell_atoms, large_cell_variants
        Crystals with more atoms per cell than this get at most so many variants: their cost grows with the cube of the
        cell's volume.
    lattice_change
        The cell is scaled by a factor uniform in 1 - change to 1 + change.
    b_factor_range
        All B factors are multiplied by one factor, log-uniform in this range.
    seed
        Seed of the variants and of their Monte Carlo runs.
    """

    materials: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    cifs: tuple[str, ...] = ()
    half_width: int = 125
    preset: str = "accurate"
    energies: int = 0
    variants: int = 6
    other_variants: int = 2
    prototype_variants: int = 0
    synthetic: tuple[tuple[int, int], ...] = ()
    withheld: tuple[str, ...] = ()
    synthetic_sites: int = 3
    drawn_seed: int = 0
    drawn_electrons: int = 0
    most_cost_s: float = 20.0
    energy_typical_kev: float = 20.0
    energy_range_kev: tuple[float, float] = (15.0, 25.0)
    energy_typical_share: float = 0.5
    large_cell_atoms: int = 40
    large_cell_variants: int = 3
    lattice_change: float = 0.015
    b_factor_range: tuple[float, float] = (0.6, 1.6)
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.materials and not self.cifs:
            raise InputError("masters", "no materials are named")
        if twice := set(self.materials) & set(self.others):
            raise InputError("masters", f"{min(twice)} is named twice, in materials and in others")
        if min(self.variants, self.other_variants, self.large_cell_variants, self.half_width) < 1:
            raise InputError("masters", "numbers of variants and half_width must be positive")
        if self.prototype_variants < 0 or any(count < 1 for _, count in self.synthetic):
            raise InputError("masters", "numbers of drawn crystals must be positive")
        for group, _ in self.synthetic:
            if not 1 <= group <= 230:
                raise InputError("masters.synthetic", f"{group} is not a space group")
        if missing := [name for name in self.withheld if name not in crystals]:
            raise InputError(missing[0], "no crystal of this name in the library")
        if both := set(self.withheld) & {*self.materials, *self.others}:
            raise InputError("masters", f"{min(both)} is withheld, and named to be shown")
        if self.most_cost_s <= 0.0 or self.synthetic_sites < 1:
            raise InputError("masters", "most_cost_s and synthetic_sites must be positive")
        if self.drawn_electrons and (not self.energies or self.drawn_electrons < 1000):
            raise InputError(
                "masters", "drawn_electrons must be 1000 or more, and needs a number of energies"
            )
        if self.energies < 0:
            raise InputError("masters", f"{self.energies} energies")
        if not 0.0 <= self.lattice_change < 0.5:
            raise InputError("masters", f"lattice_change {self.lattice_change:g} is not in 0 to 0.5")
        for name in ("energy_range_kev", "b_factor_range"):
            low, high = getattr(self, name)
            if not 0.0 < low <= high:
                raise InputError("masters", f"{name} must be two positive numbers in rising order")
