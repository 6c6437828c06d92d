"""From a crystal to its master pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.bloch import (
    BeamSelection,
    count_beams,
    count_union,
    exact_intensities,
    reflection_strengths,
)
from kikuchinet.diffraction.folding import fold
from kikuchinet.diffraction.lambert import lambert_grid
from kikuchinet.diffraction.master_pattern import MasterPattern
from kikuchinet.diffraction.potential import CrystalPotential, crystal_potential
from kikuchinet.diffraction.tiles import tiled_intensities
from kikuchinet.diffraction.transport import ElectronTransport
from kikuchinet.errors import InputError

_TILE_RAD = 0.06
"""Width of a tile: wider ones share fewer beams, narrower ones fill the matrix products badly."""
_NEGLIGIBLE_DEPTH_WEIGHT = 2e-3
"""Share of the weighted intensity at large depth that is left out."""


@dataclass(frozen=True)
class Preset:
    """Numerical settings of a simulation. All crystals of one training set should share them.

    Attributes
    ----------
    d_min_nm
        Smallest interplanar spacing of a reflection.
    selection
        Which beams take part for one direction.
    depth_step_nm
        Depth step; ``None`` takes the transport's own.
    energies
        Number of energies, where the transport is simulated.
    phase_per_step
        Largest phase 2π |s| h of a beam in one splitting step of the tiled solver, whose error is of second order: 0.5
        leaves NCC 0.9999 against the exact solver for W, Ni and Si, 1.3 leaves 0.998.
    top_energy_wavelength
        Take the wavelength and potential at the beam's energy for all energies, as EMsoft does for its highest bin.
    """

    d_min_nm: float
    selection: BeamSelection
    depth_step_nm: float | None
    energies: int
    phase_per_step: float = 0.5
    top_energy_wavelength: bool = False


PRESETS = {
    "accurate": Preset(
        0.035, BeamSelection(strong=6.0, weak=6.0, cutoff=100.0, forbidden_s_per_nm=None), 0.5, 3
    ),
    "fast": Preset(
        0.05,
        BeamSelection(strong=4.0, weak=4.0, cutoff=50.0, forbidden_s_per_nm=0.15),
        0.5,
        1,
        phase_per_step=1.3,
    ),
    "parity": Preset(
        0.05,
        BeamSelection(strong=4.0, weak=8.0, cutoff=50.0, modulus_diagonal=True),
        None,
        1,
        top_energy_wavelength=True,
    ),
}
"""``accurate``: the default.

``fast``: for large training sets; fewer beams, one energy, and forbidden reflections (most of those of a large cell)
only near their Bragg angle.

``parity``: EMsoft's default settings, for comparison with its files.
"""


def simulate(
    crystal: Crystal,
    energy_kev: float = 20.0,
    half_width: int = 250,
    preset: str = "accurate",
    transport: ElectronTransport | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> MasterPattern:
    """Simulate the dynamical master pattern of a crystal.

    Parameters
    ----------
    crystal
        Any crystal of any space group.
    energy_kev
        Energy of the beam.
    half_width
        Half the width of the square Lambert map; the map is (2h+1, 2h+1).
    preset
        Name of numerical settings, a key of :data:`PRESETS`.
    transport
        Energy and depth weights. Simulated for the crystal's composition by Monte Carlo unless given.
    seed
        Seed of that Monte Carlo run.
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
    The depth weights count electrons that leave from each depth; attenuation on the way out is in them already, so
    the mean absorption of the wave is undone: ``w(z) exp(2π z / ξ'₀)``, which leaves the difference between strongly
    and weakly absorbed Bloch waves.
    """
    if preset not in PRESETS:
        raise InputError(f"preset {preset!r}", f"no such preset; there are {', '.join(PRESETS)}")
    if half_width < 4:
        raise InputError(f"half-width {half_width}", "at least 4 pixels are needed")
    settings = PRESETS[preset]
    if transport is None:
        transport = ElectronTransport.simulate(crystal, energy_kev, energies=settings.energies, seed=seed)
    folding = fold(crystal, half_width)
    directions = lambert_grid(half_width)[folding.rows, folding.columns]
    directions[:, 2] *= folding.signs
    total = np.zeros(len(directions))
    beams = 0.0
    solvers = set()
    levels = list(zip(transport.energies_kev, transport.energy_weights, transport.depth_weights, strict=True))
    with threadpool_limits(1):
        for number, (level, share, depth_weights) in enumerate(levels):
            energy = transport.beam_kev if settings.top_energy_wavelength else float(level)
            potential = crystal_potential(crystal, energy, settings.d_min_nm)
            weights, step = _depth_weights(depth_weights, transport.depth_step_nm, settings, potential)
            labels = _tile_labels(folding.rows, folding.columns, folding.signs, half_width)

            def report(done: float, base: int = number) -> None:
                if progress is not None:
                    progress((base + done) / len(levels))

            intensities, mean_beams, solver = _solve(
                potential,
                directions,
                labels,
                settings.selection,
                weights,
                step,
                settings.phase_per_step,
                report,
            )
            total += share * intensities
            beams += share * mean_beams
            solvers.add(solver)
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
            "beam_selection": asdict(settings.selection),
            "energies_kev": [round(float(value), 4) for value in transport.energies_kev],
            "energy_weights": [round(float(value), 6) for value in transport.energy_weights],
            "mean_depth_nm": round(transport.mean_depth_nm, 4),
            "mean_beams": round(float(beams), 2),
            "solver": "+".join(sorted(solvers)),
            "seed": seed,
        },
    )


def _depth_weights(
    weights: NDArray[np.float64], step_nm: float, settings: Preset, potential: CrystalPotential
) -> tuple[NDArray[np.float64], float]:
    """Depth weights with the mean absorption undone, cut where nothing is left, sum 1."""
    if settings.depth_step_nm is None:
        # EMsoft's convention: bin k, at the depth k · step, is attenuated as if it lay one step higher.
        offset = 1
    else:
        offset = 0
        if not np.isclose(step_nm, settings.depth_step_nm):
            weights, step_nm = _resample(weights, step_nm, settings.depth_step_nm), settings.depth_step_nm
    kept = 1.0 - np.cumsum(weights) / weights.sum() > _NEGLIGIBLE_DEPTH_WEIGHT
    end = max(int(kept.sum()) + 1, 2)
    cut = weights[:end]
    depth = np.maximum(np.arange(end) - offset, 0) * step_nm
    result = cut * np.exp(2.0 * np.pi * depth / potential.absorption_length_nm)
    return result / cut.sum(), step_nm


def _resample(weights: NDArray[np.float64], step_nm: float, new_step_nm: float) -> NDArray[np.float64]:
    """Spread each weight over the two nearest depths of a new step; mean depth is kept."""
    position = np.arange(len(weights)) * step_nm / new_step_nm
    low = np.floor(position).astype(int)
    share = position - low
    result = np.zeros(low[-1] + 2)
    np.add.at(result, low, weights * (1.0 - share))
    np.add.at(result, low + 1, weights * share)
    return result


def _tile_labels(
    rows: NDArray[np.int64], columns: NDArray[np.int64], signs: NDArray[np.int64], half_width: int
) -> NDArray[np.int64]:
    # On the equal-area square a pixel is sqrt(2π) / 2h wide.
    width = max(2, int(round(_TILE_RAD / (np.sqrt(2.0 * np.pi) / (2 * half_width)))))
    per_side = (2 * half_width) // width + 1
    return ((signs < 0) * per_side + rows // width) * per_side + columns // width


def _tiled_is_cheaper(mean_beams: float, tiles: list[tuple[int, int]], depths: int, substeps: int) -> bool:
    """Compare the solvers by their matrix products, in complex multiplications per direction.

    The exact solver forms about nine products of n x n matrices for each direction. A tile forms about four for all its
    directions, of the size of their common beams, and then one product with all their waves per splitting step and one
    per depth; such narrow products run at 1.7 times the cost (measured with OpenBLAS at 16 to 64 columns).
    """
    exact = 9.0 * mean_beams**3
    directions = sum(count for count, _ in tiles)
    shared = sum(4.0 * union**3 + 1.7 * (substeps + 1) * depths * count * union**2 for count, union in tiles)
    return shared / directions < exact


def _solve(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    labels: NDArray[np.int64],
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
    phase_per_step: float,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], float, str]:
    """Choose the cheaper solver and run it in parts, so that progress can be seen."""
    largest_s = selection.strong * potential.wavelength_nm * abs(potential.u_0)
    substeps = max(1, int(np.ceil(2.0 * np.pi * largest_s * step_nm / phase_per_step)))
    strengths = reflection_strengths(potential, selection)
    order = np.argsort(labels, kind="stable")
    result = np.empty(len(directions))
    # Parts are cut between tiles, where the label changes.
    edges = np.concatenate([[0], np.flatnonzero(np.diff(labels[order])) + 1, [len(order)]])
    sample = directions[:: max(1, len(directions) // 200)]
    mean_beams = float(count_beams(potential, sample, selection, strengths).mean())
    tiled = False
    if selection.weak <= selection.strong:
        chosen_tiles = np.linspace(0, len(edges) - 2, min(6, len(edges) - 1)).astype(int)
        tiles = [directions[order[edges[i] : edges[i + 1]]] for i in chosen_tiles]
        unions = [(len(tile), count_union(potential, tile, selection, strengths)) for tile in tiles]
        tiled = _tiled_is_cheaper(mean_beams, unions, len(weights), substeps)
    parts = np.array_split(np.arange(len(edges) - 1), min(20, len(edges) - 1))
    for part in parts:
        chosen = order[edges[part[0]] : edges[part[-1] + 1]]
        if tiled:
            values, _ = tiled_intensities(
                potential,
                directions[chosen],
                labels[chosen],
                selection,
                weights,
                step_nm,
                substeps,
                strengths,
            )
        else:
            values, _ = exact_intensities(
                potential, directions[chosen], selection, weights, step_nm, strengths
            )
        result[chosen] = values
        progress(edges[part[-1] + 1] / len(order))
    return result, mean_beams, "tiled" if tiled else "exact"
