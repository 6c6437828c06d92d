"""One simulation to be done: what `simulate` is called with, in a form that travels and has a name of its own."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.cache import content_key
from kikuchinet.diffraction.energy import FULL_MAP
from kikuchinet.diffraction.master_pattern import MasterPattern
from kikuchinet.diffraction.simulation import PRESETS, simulate

_STAMP = "simulation"
"""Key, in a master pattern's settings, of what it was made from."""
_LATTICE_POINTS = {"P": 1, "A": 2, "B": 2, "C": 2, "I": 2, "R": 3, "F": 4}
_MONTE_CARLO_S = 3.0
"""Of 100 000 electrons at 20 keV: 2.7 s for Al and Ni, 3.9 s for W on one core."""
_SECONDS_PER_OPERATION = 1.2e-8
"""From Ni (accurate) at half-width 250, 46 s of one core; a rough figure, which is all that it is used for."""
_SECONDS_PER_MULTIPLICATION = 1.2e-10
"""Of a crystal at the preset's limit: TaC (accurate), 71 s of one core for an energy."""


@dataclass(frozen=True)
class SimulationJob:
    """One master pattern to be simulated.

    Parameters
    ----------
    crystal, energy_kev, half_width, preset, seed
        As in :func:`kikuchinet.diffraction.simulate`. The electron transport is always the simulated one.
    device
        As there. Where it is done is no part of what is done, so it is not in the key.
    """

    crystal: Crystal
    energy_kev: float = 20.0
    half_width: int = 250
    preset: str = "accurate"
    seed: int = 0
    device: str | None = None

    @property
    def name(self) -> str:
        """The crystal's name."""
        return self.crystal.name

    @cached_property
    def key(self) -> str:
        """Digest of all that decides the intensities; see :func:`kikuchinet.diffraction.cache.content_key`."""
        return content_key(self.crystal, self.energy_kev, self.half_width, self.preset, self.seed)

    @cached_property
    def stamp(self) -> dict[str, str]:
        """What a file of this job says of itself: `key`, and a digest `crystal` of what it calls its crystal."""
        said = f"{self.crystal.name}\n{self.crystal.source}\n{self.crystal.to_cif()}"
        return {"key": self.key, "crystal": hashlib.sha256(said.encode()).hexdigest()[:16]}

    @cached_property
    def cost_s(self) -> float:
        """Expected work, in seconds of one core, right within a factor of several.

        It puts jobs in order and says whether processes are worth their start. The number of beams per direction grows
        with the content of the primitive cell; the law was fitted to W, Ni, Ge and Al4Ni3 (17 to 245 beams).
        """
        settings = PRESETS[self.preset]
        primitive = self.crystal.n_atoms / _LATTICE_POINTS[self.crystal.centring]
        beams = (
            math.sqrt(self.crystal.mean_atomic_number)
            * primitive**0.65
            * settings.selection.strong
            * (0.05 / settings.d_min_nm) ** 2
        )
        directions = 2 * (2 * self.half_width + 1) ** 2 / len(self.crystal.point_group_operations)
        # What a preset spends on a large cell at most: `Preset.most_operations`.
        most = _SECONDS_PER_MULTIPLICATION * settings.most_operations * max(directions, FULL_MAP)
        solving = min(_SECONDS_PER_OPERATION * directions * beams**2.5, most)
        return _MONTE_CARLO_S + self._energies * solving

    @property
    def _energies(self) -> int:
        return PRESETS[self.preset].energies

    def run(self, progress: Callable[[float], None] | None = None) -> MasterPattern:
        """Simulate the master pattern, with the stamp among its settings.

        Parameters
        ----------
        progress
            Called with the fraction done, from time to time.

        Raises
        ------
        kikuchinet.errors.InputError
            The crystal, a size or an energy is not one that can be simulated.
        """
        master = simulate(
            crystal=self.crystal,
            energy_kev=self.energy_kev,
            half_width=self.half_width,
            preset=self.preset,
            seed=self.seed,
            device=self.device,
            progress=progress,
        )
        return self.label(master)

    def label(self, master: MasterPattern) -> MasterPattern:
        """Return a master pattern of this job's content under this job's crystal and stamp."""
        return replace(
            master,
            name=self.crystal.name,
            crystal=self.crystal,
            settings={**master.settings, _STAMP: self.stamp},
        )

    def made(self, master: MasterPattern) -> bool:
        """Return whether a master pattern is what this job makes, the name of its crystal included."""
        return master.settings.get(_STAMP) == self.stamp


def file_content(master: MasterPattern) -> bytes:
    """Return the bytes of a master pattern's file."""
    with tempfile.TemporaryDirectory(prefix="kikuchinet-") as folder:
        path = Path(folder) / "master.h5"
        master.save(path)
        return path.read_bytes()
