"""The simulations that a configuration asks for, crystals drawn for it included."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from kikuchinet.crystal import Crystal, SyntheticRanges, crystals, prototype_variant, synthetic_crystal
from kikuchinet.datasets.cifs import cif_crystals
from kikuchinet.datasets.energies import EnergiesJob
from kikuchinet.datasets.masters_config import MastersConfig
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError

_DRAWS_EACH = 40
"""Attempts at a drawn crystal that is cheap enough and not withheld; of groups with large cells there may be fewer."""


@dataclass(frozen=True)
class MasterSpec:
    """One master pattern of one material: everything that decides its intensities."""

    base: Crystal
    variant: int
    energy_kev: float
    lattice_factor: float
    b_factor: float
    half_width: int
    preset: str
    seed: int
    energies: int = 0
    electrons: int = 0

    @property
    def material(self) -> str:
        """The crystal's name."""
        return self.base.name

    def crystal(self) -> Crystal:
        """Return the crystal with its cell scaled and its B factors multiplied."""
        crystal = self.base
        return crystal.replace(
            a_nm=crystal.a_nm * self.lattice_factor,
            b_nm=crystal.b_nm * self.lattice_factor,
            c_nm=crystal.c_nm * self.lattice_factor,
            sites=tuple(
                type(site)(
                    element=site.element,
                    position=site.position,
                    occupancy=site.occupancy,
                    b_iso_nm2=site.b_iso_nm2 * self.b_factor,
                    label=site.label,
                )
                for site in crystal.sites
            ),
        )

    def job(self) -> SimulationJob:
        """Return the simulation that makes the master pattern."""
        job = SimulationJob(
            self.crystal(),
            energy_kev=self.energy_kev,
            half_width=self.half_width,
            preset=self.preset,
            seed=self.seed,
        )
        return (
            EnergiesJob(**vars(job), energies=self.energies, electrons=self.electrons)
            if self.energies
            else job
        )

    def key(self) -> str:
        """Return a digest of all that the master pattern depends on.

        The names of material, variant and preset are no physics; what they stand for is.
        """
        return self.job().key


def plan(config: MastersConfig) -> list[MasterSpec]:
    """List the master patterns that a configuration asks for.

    Parameters
    ----------
    config
        Materials, variants and ranges.

    Returns
    -------
    list of MasterSpec
        All first variants, then all second ones, and so on, so that an unfinished cache is a balanced one. A
        material's variants depend on the seed and its name, not on the other materials.

    Raises
    ------
    kikuchinet.errors.InputError
        A material is not in the library, or a CIF file cannot be used.
    """
    specs: dict[str, list[MasterSpec]] = {}
    named = materials_of(config)
    for material, crystal in (named | others_of(config)).items():
        count = config.variants if material in named else config.other_variants
        if crystal.n_atoms > config.large_cell_atoms:
            count = min(count, config.large_cell_variants)
        rng = material_rng(config.seed, material)
        specs[material] = [_draw(config, crystal, variant, rng) for variant in range(count)]
    rounds = [
        specs[material][i]
        for i in range(max(map(len, specs.values())))
        for material in specs
        if i < len(specs[material])
    ]
    return [*rounds, *_drawn(config)]


def materials_of(config: MastersConfig) -> dict[str, Crystal]:
    """Return the crystals that a model is made for by name: `materials` of the library, then those of `cifs`.

    Raises
    ------
    kikuchinet.errors.InputError
        A material is not in the library, or a CIF file cannot be used.
    """
    return _of_library(config.materials) | cif_crystals(config.cifs)


def others_of(config: MastersConfig) -> dict[str, Crystal]:
    """Return the further crystals by name.

    Raises
    ------
    kikuchinet.errors.InputError
        One is not in the library.
    """
    return _of_library(config.others)


def _of_library(names: Sequence[str]) -> dict[str, Crystal]:
    for name in names:
        if name not in crystals:
            raise InputError(name, "no crystal of this name in the library")
    return {name: crystals[name] for name in names}


def material_rng(seed: int, material: str) -> np.random.Generator:
    """Return the source of randomness for one material of a configuration: no other material has a part in it."""
    return np.random.default_rng(list(hashlib.sha256(f"{seed}/{material}".encode()).digest()))


def _drawn(config: MastersConfig) -> list[MasterSpec]:
    """One master pattern each of crystals that are in no library.

    The first of every kind, then the second of every kind, and so on.
    """
    withheld = [crystals[name] for name in config.withheld]
    ranges = SyntheticRanges(most_sites=config.synthetic_sites)
    makers: list[tuple[str, int, Callable[[np.random.Generator], Crystal]]] = [
        (f"variants of {name}", config.prototype_variants, partial(prototype_variant, crystal))
        for name, crystal in (materials_of(config) | others_of(config)).items()
    ]
    makers += [
        (f"synthetic {group}", count, partial(synthetic_crystal, group, ranges=ranges))
        for group, count in config.synthetic
    ]
    kinds: list[list[MasterSpec]] = []
    for name, count, make in makers:
        rng = material_rng(config.seed, f"{name}, {config.drawn_seed}" if config.drawn_seed else name)
        kind: list[MasterSpec] = []
        for _ in range(count * _DRAWS_EACH):
            if len(kind) == count:
                break
            spec = replace(_draw(config, make(rng), 1, rng), electrons=config.drawn_electrons)
            if spec.job().cost_s > config.most_cost_s or any(same(spec.base, one) for one in withheld):
                continue
            kind.append(spec)
        kinds.append(kind)
    return [kind[i] for i in range(max(map(len, kinds), default=0)) for kind in kinds if i < len(kind)]


def same(one: Crystal, other: Crystal) -> bool:
    """Whether two crystals are one material: the same elements in the same space group."""
    return one.space_group == other.space_group and set(one.composition) == set(other.composition)


def _draw(config: MastersConfig, base: Crystal, variant: int, rng: np.random.Generator) -> MasterSpec:
    # Every number is drawn for every variant: what one setting decides must not shift the others.
    typical = rng.random() < config.energy_typical_share
    energy = rng.uniform(*config.energy_range_kev)
    lattice = 1.0 + config.lattice_change * rng.uniform(-1.0, 1.0)
    b_factor = float(np.exp(rng.uniform(*np.log(config.b_factor_range))))
    seed = int(rng.integers(2**31))
    if variant == 0:
        typical, lattice, b_factor = True, 1.0, 1.0
    return MasterSpec(
        base=base,
        variant=variant,
        # Rounded, so that a key does not depend on the last bit of a platform's exp().
        energy_kev=config.energy_typical_kev if typical else round(energy, 3),
        lattice_factor=round(lattice, 6),
        b_factor=round(b_factor, 6),
        half_width=config.half_width,
        preset=config.preset,
        seed=seed,
        energies=config.energies,
    )
