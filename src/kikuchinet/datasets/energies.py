"""Simulations at a chosen number of energies: what a training set saves on a preset."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from kikuchinet.diffraction import ElectronTransport, MasterPattern, simulate
from kikuchinet.diffraction.cache import content_key
from kikuchinet.diffraction.job import SimulationJob
from kikuchinet.diffraction.transport import DEFAULT_ELECTRONS


@dataclass(frozen=True)
class EnergiesJob(SimulationJob):
    """A simulation at a number of energies of the electrons that leave, whatever its preset has.

    Parameters
    ----------
    energies
        How many; 1 takes their mean energy alone.
    electrons
        Of the Monte Carlo run; 0 for the usual number.
    """

    energies: int = 1
    electrons: int = 0

    @cached_property
    def key(self) -> str:
        """Digest of all that decides the intensities, the number of energies among it."""
        key = content_key(self.crystal, self.energy_kev, self.half_width, self.preset, self.seed)
        what = f"{key}, energies {self.energies}" + (
            f", electrons {self.electrons}" if self.electrons else ""
        )
        return hashlib.sha256(what.encode()).hexdigest()[: len(key)]

    @property
    def _energies(self) -> int:
        return self.energies

    def run(self, progress: Callable[[float], None] | None = None) -> MasterPattern:
        """Simulate the master pattern; see `SimulationJob.run`."""
        transport = ElectronTransport.simulate(
            self.crystal,
            self.energy_kev,
            energies=self.energies,
            electrons=self.electrons or DEFAULT_ELECTRONS,
            seed=self.seed,
        )
        master = simulate(
            crystal=self.crystal,
            energy_kev=self.energy_kev,
            half_width=self.half_width,
            preset=self.preset,
            transport=transport,
            seed=self.seed,
            device=self.device,
            progress=progress,
        )
        return self.label(master)
