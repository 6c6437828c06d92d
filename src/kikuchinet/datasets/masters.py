"""The master patterns behind a data set, simulated and kept in a cache."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.datasets.labels import among, check_labels
from kikuchinet.datasets.masters_config import MastersConfig
from kikuchinet.datasets.masters_plan import materials_of, plan
from kikuchinet.datasets.orderings_store import orderings_of
from kikuchinet.diffraction import MasterPattern, visible_group, visible_groups
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.campaign import simulate_many
from kikuchinet.diffraction.campaign_bar import campaign_bar
from kikuchinet.errors import InputError
from kikuchinet.microscope.projection import interleave

Hemispheres = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]
"""Upper (2h+1, 2h+1), lower (2h+1, 2h+1), and both as `kikuchinet.microscope.projection.interleave` lays them out."""


@dataclass(frozen=True)
class MasterEntry:
    """One master pattern of a set, with the labels of its material.

    `other` marks the further crystals of a group; see `MastersConfig`. `visible_groups` are those that a pattern does not
    tell apart, the visible one among them; that one alone if not given.
    """

    path: Path
    material: str
    space_group: int
    visible_group: int
    energy_kev: float
    other: bool = False
    visible_groups: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if self.visible_group not in self.visible_groups:
            object.__setattr__(self, "visible_groups", (*self.visible_groups, self.visible_group))


class MasterSet(Sequence[MasterEntry]):
    """Master patterns of a data set; the intensities are read when they are first asked for, and kept.

    Parameters
    ----------
    entries
        The master patterns.

    Raises
    ------
    kikuchinet.errors.InputError
        There are none, or one name stands for crystals of two space groups.
    """

    def __init__(self, entries: Sequence[MasterEntry]) -> None:
        if not entries:
            raise InputError("masters", "no master patterns")
        groups: dict[str, int] = {}
        for entry in entries:
            first = groups.setdefault(entry.material, entry.space_group)
            if first != entry.space_group:
                raise InputError(
                    entry.path,
                    f"its material {entry.material!r} has space group {entry.space_group}, that of another file {first}; "
                    "give them different names",
                )
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

    def crystals(self) -> dict[str, Crystal]:
        """Return the crystal of each material, its first master pattern's; materials whose files hold none are left out."""
        found: dict[str, Crystal] = {}
        seen: set[str] = set()
        for entry in self._entries:
            if entry.material in seen:
                continue
            seen.add(entry.material)
            crystal = MasterPattern.load(entry.path).crystal
            if crystal is not None:
                found[entry.material] = crystal
        return found

    def classes_shown(self, classes: Sequence[int], labels: str = "visible") -> tuple[int, ...]:
        """Return those of a model's classes that some of the crystals belong to, in their order."""
        visible = check_labels(labels) == "visible"
        groups = [entry.visible_group if visible else entry.space_group for entry in self._entries]
        found = set(among(groups, classes).tolist())
        return tuple(group for group in classes if group in found)

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
            crystal = master.crystal
            entries.append(
                MasterEntry(
                    path=Path(path),
                    material=master.name,
                    space_group=group,
                    visible_group=group if crystal is None else visible_group(crystal),
                    energy_kev=master.energy_kev,
                    visible_groups=(group,) if crystal is None else visible_groups(crystal),
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
        The cache folder of master patterns and drawn crystals; its files are named after what they hold.
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
    specs = plan(config, cache_dir)
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
    known = orderings_of([spec.base for spec in specs], cache_dir, workers=workers, progress=progress)
    return MasterSet(
        [
            MasterEntry(
                path=Path(os.path.relpath(path)),
                material=spec.material,
                space_group=spec.base.space_group,
                visible_group=visible_group(spec.base, known=known[spec.base]),
                energy_kev=spec.energy_kev,
                other=spec.material not in named,
                visible_groups=visible_groups(spec.base, known=known[spec.base]),
            )
            for spec, job in zip(specs, jobs, strict=True)
            if (path := paths[job.key]) is not None
        ]
    )
