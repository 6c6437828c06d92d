"""The master patterns behind a data set: several slightly different ones for every material.

A network that sees one master pattern per material learns that picture. Lattice parameter, thermal motion and
beam energy vary a little from variant to variant, with the same ranges for every material, so that scale and
contrast say nothing about the class.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal, SyntheticRanges, crystals, prototype_variant, synthetic_crystal
from kikuchinet.datasets.cifs import cif_crystals
from kikuchinet.datasets.energies import EnergiesJob
from kikuchinet.datasets.labels import visible_or_literal
from kikuchinet.diffraction import MasterPattern
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.campaign import simulate_many
from kikuchinet.diffraction.campaign_bar import campaign_bar
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.errors import InputError
from kikuchinet.microscope.projection import interleave

Hemispheres = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Upper (2h+1, 2h+1), lower (2h+1, 2h+1), and both as `kikuchinet.microscope.projection.interleave` lays them out."""


_DRAWS_EACH = 40
"""Attempts at a drawn crystal that is cheap enough and not withheld; of groups with large cells there may be fewer."""


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


@dataclass(frozen=True)
class MasterEntry:
    """One master pattern of a set, with the labels of its material.

    `other` marks the further crystals of a group; see `MastersConfig`.
    """

    path: Path
    material: str
    space_group: int
    visible_group: int
    energy_kev: float
    other: bool = False


class MasterSet(Sequence[MasterEntry]):
    """Master patterns of a data set; the intensities are read when they are first asked for, and kept.

    Parameters
    ----------
    entries
        The master patterns.
    """

    def __init__(self, entries: Sequence[MasterEntry]) -> None:
        if not entries:
            raise InputError("masters", "no master patterns")
        self._entries = tuple(entries)
        self._loaded: dict[int, Hemispheres] = {}

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> MasterEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[MasterEntry]: ...
    def __getitem__(self, index: int | slice) -> MasterEntry | Sequence[MasterEntry]:
        return self._entries[index]

    def __iter__(self) -> Iterator[MasterEntry]:
        return iter(self._entries)

    @property
    def materials(self) -> tuple[str, ...]:
        """Names of the materials, in order of first appearance."""
        return tuple(dict.fromkeys(entry.material for entry in self._entries))

    def scaled(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Read upper and lower hemisphere, scaled to mean 1 over both.

        The absolute yield of a simulation says something about the material that no camera keeps: exposure
        times differ.
        """
        master = MasterPattern.load(self._entries[index].path)
        mean = 0.5 * (float(master.upper.mean()) + float(master.lower.mean()))
        if mean <= 0.0:
            raise InputError(self._entries[index].path, "the master pattern's mean intensity is not positive")
        return master.upper / np.float32(mean), master.lower / np.float32(mean)

    def hemispheres(self, index: int) -> Hemispheres:
        """Return the hemispheres of `scaled` and their interleaved texels, and keep them."""
        if index not in self._loaded:
            upper, lower = self.scaled(index)
            self._loaded[index] = (upper, lower, interleave(upper, lower))
        return self._loaded[index]

    def __getstate__(self) -> dict[str, object]:
        # A worker process reads the files itself instead of receiving hundreds of megabytes through a pipe.
        return {"_entries": self._entries, "_loaded": {}}

    @classmethod
    def from_files(cls, paths: Sequence[str | Path]) -> MasterSet:
        """Return a set of master-pattern files, ours or EMsoft's; a file's phase names its material.

        Raises
        ------
        kikuchinet.errors.InputError
            A file is missing or damaged.
        """
        entries = []
        for path in paths:
            master = MasterPattern.load(path)
            group = master.space_group
            visible = visible_or_literal(master.crystal, "visible") if master.crystal is not None else group
            entries.append(
                MasterEntry(
                    path=Path(path),
                    material=master.name,
                    space_group=group,
                    visible_group=visible,
                    energy_kev=master.energy_kev,
                )
            )
        return cls(entries)


def prepare(
    config: MastersConfig,
    cache_dir: str | Path = "cache",
    *,
    progress: bool = True,
    scheduler: str | None = None,
    workers: int | None = None,
) -> MasterSet:
    """Simulate every master pattern of a configuration that the cache does not hold yet.

    A file appears in the cache only when it is whole, so the work can be killed at any moment and goes on where
    it was. A damaged file is made anew.

    Parameters
    ----------
    config
        Materials, variants and ranges.
    cache_dir
        The cache folder; its files are named after what they hold.
    progress
        Show a progress bar.
    scheduler, workers
        Who does the work; see :func:`kikuchinet.diffraction.campaign.simulate_many`. Much of it is shared among
        processes, so a script calls this under ``if __name__ == "__main__":``, or with ``workers=1``.

    Returns
    -------
    MasterSet
        The master patterns in the order of `plan`.

    Raises
    ------
    kikuchinet.errors.InputError
        A material is not in the library, a CIF file cannot be used, or a crystal cannot be simulated. The others are in the
        cache then.
    """
    specs = plan(config)
    named = materials_of(config)
    cache = MasterCache(cache_dir)
    jobs = [spec.job() for spec in specs]
    paths = {job.key: cache.find(job.key) for job in jobs}
    missing = [job for job in jobs if paths[job.key] is None]
    errors: list[Exception] = []
    with (
        campaign_bar("master patterns", shown=progress and bool(missing)) as watch,
        closing(simulate_many(missing, cache, scheduler=scheduler, workers=workers, watch=watch)) as run,
    ):
        for finished in run:
            paths[finished.job.key] = finished.path
            if finished.error is not None:
                errors.append(finished.error)
    if errors:
        raise errors[0]
    visible = {spec.material: visible_or_literal(spec.base, "visible") for spec in specs}
    return MasterSet(
        [
            MasterEntry(
                path=Path(os.path.relpath(path)),
                material=spec.material,
                space_group=spec.base.space_group,
                visible_group=visible[spec.material],
                energy_kev=spec.energy_kev,
                other=spec.material not in named,
            )
            for spec, job in zip(specs, jobs, strict=True)
            if (path := paths[job.key]) is not None
        ]
    )
