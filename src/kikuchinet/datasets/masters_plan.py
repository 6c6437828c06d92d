"""The simulations that a configuration asks for, crystals drawn for it included."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kikuchinet.crystal import Crystal, SyntheticRanges, crystals, prototype_variant, synthetic_crystal
from kikuchinet.datasets.cifs import cif_crystals
from kikuchinet.datasets.drawn_store import Drawing, DrawnStore
from kikuchinet.datasets.energies import EnergiesJob
from kikuchinet.datasets.masters_config import MastersConfig
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.diffraction.presets import PRESETS
from kikuchinet.errors import InputError

_DRAWS_EACH = 40
"""Attempts at a drawn crystal that is cheap enough and not withheld; of groups with large cells there may be fewer."""

_LISTS = frozenset(
    {"materials", "others", "cifs", "synthetic", "prototype_variants", "withheld"}
    | {"variants", "other_variants", "large_cell_atoms", "large_cell_variants"}
)
"""Fields of `MastersConfig` that say which crystals there are: a kind of drawn ones depends on its own part of them only."""


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


def plan(config: MastersConfig, cache_dir: str | Path | None = None) -> list[MasterSpec]:
    """List the master patterns that a configuration asks for.

    Parameters
    ----------
    config
        Materials, variants and ranges.
    cache_dir
        The cache folder, in which drawn crystals are kept too: they take a minute or more of a large configuration. None
        draws them anew. The list is the same either way.

    Returns
    -------
    list of MasterSpec
        All first variants, then all second ones, and so on, so that an unfinished cache is a balanced one. A
        material's variants depend on the seed and its name, not on the other materials.

    Raises
    ------
    kikuchinet.errors.InputError
        A material is not in the library, there is no such preset, a CIF file cannot be used, or drawn crystals cannot be
        kept in the cache.
    """
    if config.preset not in PRESETS:
        raise InputError(f"preset {config.preset!r}", f"no such preset; there are {', '.join(PRESETS)}")
    specs: dict[str, list[MasterSpec]] = {}
    named = materials_of(config)
    for material, crystal in (named | others_of(config)).items():
        count = config.variants if material in named else config.other_variants
        if crystal.n_atoms > config.large_cell_atoms:
            count = min(count, config.large_cell_variants)
        rng = material_rng(config.seed, material)
        specs[material] = [
            _spec(config, _draw(config, crystal, variant, rng), variant) for variant in range(count)
        ]
    rounds = [
        specs[material][i]
        for i in range(max(map(len, specs.values())))
        for material in specs
        if i < len(specs[material])
    ]
    return [*rounds, *_drawn(config, cache_dir)]


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


@dataclass(frozen=True)
class _Kind:
    """Crystals that are drawn from one source of randomness."""

    name: str
    count: int
    make: Callable[[np.random.Generator], Crystal]
    decided_by: dict[str, Any]


def _kinds(config: MastersConfig) -> list[_Kind]:
    ranges = SyntheticRanges(most_sites=config.synthetic_sites)
    variants = [
        _Kind(
            f"variants of {name}",
            config.prototype_variants,
            partial(prototype_variant, crystal),
            {"crystal": asdict(crystal)},
        )
        for name, crystal in (materials_of(config) | others_of(config)).items()
    ]
    return variants + [
        _Kind(
            f"synthetic {group}",
            count,
            partial(synthetic_crystal, group, ranges=ranges),
            {"ranges": asdict(ranges)},
        )
        for group, count in config.synthetic
    ]


def _drawn(config: MastersConfig, cache_dir: str | Path | None) -> list[MasterSpec]:
    """One master pattern each of crystals that are in no library.

    The first of every kind, then the second of every kind, and so on.
    """
    store = None if cache_dir is None else DrawnStore(cache_dir)
    withheld = [crystals[name] for name in config.withheld]
    common = {
        "settings": {key: value for key, value in asdict(config).items() if key not in _LISTS},
        "preset": asdict(PRESETS[config.preset]),
        "withheld": sorted([one.space_group, sorted(one.composition)] for one in withheld),
        "draws_each": _DRAWS_EACH,
    }
    lists: list[list[MasterSpec]] = []
    for kind in _kinds(config):
        if not kind.count:
            continue
        draw = partial(_drawings, config, kind, withheld)
        decided_by = {**common, "kind": kind.name, "count": kind.count, **kind.decided_by}
        found = tuple(draw()) if store is None else store.drawings(decided_by, draw)
        lists.append([_spec(config, one, variant=1, electrons=config.drawn_electrons) for one in found])
    return [one[i] for i in range(max(map(len, lists), default=0)) for one in lists if i < len(one)]


def _drawings(config: MastersConfig, kind: _Kind, withheld: Sequence[Crystal]) -> Iterator[Drawing]:
    rng = material_rng(config.seed, f"{kind.name}, {config.drawn_seed}" if config.drawn_seed else kind.name)
    left = kind.count
    for _ in range(kind.count * _DRAWS_EACH):
        drawing = _draw(config, kind.make(rng), 1, rng)
        cost_s = _spec(config, drawing, variant=1, electrons=config.drawn_electrons).job().cost_s
        if cost_s > config.most_cost_s or any(same(drawing.base, one) for one in withheld):
            continue
        yield drawing
        left -= 1
        if not left:
            return


def same(one: Crystal, other: Crystal) -> bool:
    """Whether two crystals are one material: the same elements in the same space group."""
    return one.space_group == other.space_group and set(one.composition) == set(other.composition)


def _draw(config: MastersConfig, base: Crystal, variant: int, rng: np.random.Generator) -> Drawing:
    # Every number is drawn for every variant: what one setting decides must not shift the others.
    typical = rng.random() < config.energy_typical_share
    energy = rng.uniform(*config.energy_range_kev)
    lattice = 1.0 + config.lattice_change * rng.uniform(-1.0, 1.0)
    b_factor = float(np.exp(rng.uniform(*np.log(config.b_factor_range))))
    seed = int(rng.integers(2**31))
    if variant == 0:
        typical, lattice, b_factor = True, 1.0, 1.0
    return Drawing(
        base=base,
        # Rounded, so that a key does not depend on the last bit of a platform's exp().
        energy_kev=config.energy_typical_kev if typical else round(energy, 3),
        lattice_factor=round(lattice, 6),
        b_factor=round(b_factor, 6),
        seed=seed,
    )


def _spec(config: MastersConfig, drawing: Drawing, variant: int, electrons: int = 0) -> MasterSpec:
    return MasterSpec(
        **vars(drawing),
        variant=variant,
        half_width=config.half_width,
        preset=config.preset,
        energies=config.energies,
        electrons=electrons,
    )
