"""From a crystal to its master pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
from threadpoolctl import threadpool_limits

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.energy import plan_energy
from kikuchinet.diffraction.folding import fold
from kikuchinet.diffraction.master_pattern import MasterPattern
from kikuchinet.diffraction.presets import PRESETS
from kikuchinet.diffraction.transport import ElectronTransport
from kikuchinet.errors import InputError

__all__ = ["PRESETS", "simulate"]


def simulate(
    crystal: Crystal,
    energy_kev: float | None = None,
    half_width: int = 250,
    preset: str = "accurate",
    transport: ElectronTransport | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> MasterPattern:
    """Simulate the dynamical master pattern of a crystal.

    Parameters
    ----------
    crystal
        Any crystal of any space group.
    energy_kev
        Energy of the beam; 20, or that of `transport`, if not given. With `transport` the waves have its energies whatever
        stands here, and this is what the pattern says.
    half_width
        Half the width of the square Lambert map; the map is (2h+1, 2h+1).
    preset
        Name of numerical settings, a key of :data:`PRESETS`.
    transport
        Energy and depth weights. Simulated for the crystal's composition by Monte Carlo unless given.
    seed
        Seed of that Monte Carlo run.
    device
        A torch device, such as ``"cuda"``. By default compiled code runs on all processors.
    progress
        Called with the fraction done, from time to time.

    Returns
    -------
    MasterPattern
        Both hemispheres; intensity of localised backscattering, in units of Z² per unit cell.

    Raises
    ------
    kikuchinet.errors.InputError
        No such preset, or a size or energy that makes no sense.

    Notes
    -----
    The depth weights λ(z) count electrons that leave from each depth; attenuation on the way out is in them already, so
    the mean absorption of the wave is undone: λ(z) exp(2π z / ξ'₀) is the strength of the source at each depth, and the
    waves themselves decay. See :mod:`kikuchinet.diffraction.transport` for which λ(z) is right.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r}", f"no such preset; there are {', '.join(PRESETS)}")
    if half_width < 4:
        raise InputError(f"half-width {half_width}", "at least 4 pixels are needed")
    settings = PRESETS[preset]
    if energy_kev is None:
        energy_kev = 20.0 if transport is None else transport.beam_kev
    if transport is None:
        transport = ElectronTransport.simulate(crystal, energy_kev, energies=settings.energies, seed=seed)
    folding = fold(crystal, half_width)
    total = np.zeros(len(folding.rows))
    strong = weak = 0.0
    with threadpool_limits(1):
        for number, share in enumerate(transport.energy_weights):

            def report(done: float, base: int = number) -> None:
                if progress is not None:
                    progress((base + done) / len(transport.energy_weights))

            solution = plan_energy(crystal, transport, number, half_width, settings, folding).solve(
                device, report
            )
            total += share * solution.intensities
            strong += share * solution.mean_strong
            weak += share * solution.mean_weak
            selection = solution.selection
    images = total[folding.source].astype(np.float32)
    return MasterPattern(
        upper=images[0],
        lower=images[1],
        energy_kev=float(energy_kev),
        name=crystal.name,
        space_group=crystal.space_group,
        crystal=crystal,
        settings={
            "program": "kikuchinet",
            "preset": preset,
            "d_min_nm": settings.d_min_nm,
            "beam_selection": asdict(selection),
            "energies_kev": [round(float(value), 4) for value in transport.energies_kev],
            "energy_weights": [round(float(value), 6) for value in transport.energy_weights],
            "mean_depth_nm": round(transport.mean_depth_nm, 4),
            "mean_strong_beams": round(float(strong), 2),
            "mean_weak_beams": round(float(weak), 2),
            "device": device or "cpu",
            "seed": seed,
        },
    )
