"""From a crystal to its master pattern."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.bloch import BeamSelection, exact_intensities, reflection_strengths
from kikuchinet.diffraction.folding import Folding, fold
from kikuchinet.diffraction.lambert import lambert_grid
from kikuchinet.diffraction.master_pattern import MasterPattern
from kikuchinet.diffraction.potential import CrystalPotential, crystal_potential
from kikuchinet.diffraction.tiles import count_tile_beams, tiled_intensities
from kikuchinet.diffraction.transport import ElectronTransport
from kikuchinet.errors import InputError

_DEPTH_STEP_NM = 0.5
"""Depth step of the folded solver. Its sums are within 3e-6 (NCC) of the analytic integral for Ni, NiAl at this step."""


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
        Directions of a square of this width at most are solved together; 0 for each by itself.
    depth_tail
        Share of the attenuated intensity that is left beyond the largest depth.
    emsoft
        Do as EMsoft does: no folding of the source, depths as they are in its histogram, and the wavelength of the
        beam's energy for its highest bin.
    """

    d_min_nm: float
    selection: BeamSelection
    energies: int
    tile_rad: float
    depth_tail: float
    emsoft: bool = False


PRESETS = {
    "accurate": Preset(
        0.025,
        BeamSelection(strong=4.0, weak=20.0, cutoff=50.0, weak_cutoff=200.0, forbidden_s_per_nm=None),
        energies=3,
        tile_rad=0.011,
        depth_tail=5e-3,
    ),
    "fast": Preset(
        0.035,
        BeamSelection(strong=3.0, weak=12.0, cutoff=30.0, weak_cutoff=100.0, forbidden_s_per_nm=None),
        energies=1,
        tile_rad=0.021,
        depth_tail=2e-2,
    ),
    "parity": Preset(
        0.05,
        BeamSelection(strong=4.0, weak=8.0, cutoff=50.0, modulus_diagonal=True),
        energies=1,
        tile_rad=0.0,
        depth_tail=2e-3,
        emsoft=True,
    ),
}
"""``accurate``: the default.

``fast``: for large training sets; fewer beams, one energy.

``parity``: EMsoft's default settings, for comparison with its files.
"""


def simulate(
    crystal: Crystal,
    energy_kev: float = 20.0,
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
        Energy of the beam.
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
    if transport is None:
        transport = ElectronTransport.simulate(crystal, energy_kev, energies=settings.energies, seed=seed)
    folding = fold(crystal, half_width)
    directions = lambert_grid(half_width)[folding.rows, folding.columns]
    directions[:, 2] *= folding.signs
    total = np.zeros(len(directions))
    strong = folded = 0.0
    levels = list(zip(transport.energies_kev, transport.energy_weights, transport.depth_weights, strict=True))
    with threadpool_limits(1):
        for number, (level, share, depth_weights) in enumerate(levels):
            energy = transport.beam_kev if settings.emsoft else float(level)
            potential = crystal_potential(crystal, energy, settings.d_min_nm)
            weights, step = _depth_weights(depth_weights, transport.depth_step_nm, settings, potential)

            def report(done: float, base: int = number) -> None:
                if progress is not None:
                    progress((base + done) / len(levels))

            problem = _Problem(potential, directions, folding, half_width, settings, weights, step)
            intensities, beams = problem.solve(device, report)
            total += share * intensities
            strong += share * beams[0]
            folded += share * beams[1]
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
            "mean_strong_beams": round(float(strong), 2),
            "mean_weak_beams": round(float(folded), 2),
            "device": device or "cpu",
            "seed": seed,
        },
    )


def _depth_weights(
    weights: NDArray[np.float64], step_nm: float, settings: Preset, potential: CrystalPotential
) -> tuple[NDArray[np.float64], float]:
    """Depth weights with the mean absorption undone, cut where nothing is left, sum 1."""
    # EMsoft's convention: bin k, at the depth k · step, is attenuated as if it lay one step higher.
    offset = 1 if settings.emsoft else 0
    if not settings.emsoft and not np.isclose(step_nm, _DEPTH_STEP_NM):
        weights, step_nm = _resample(weights, step_nm, _DEPTH_STEP_NM), _DEPTH_STEP_NM
    kept = 1.0 - np.cumsum(weights) / weights.sum() > settings.depth_tail
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


_PARTS = 20
"""Parts in which the work is done, so that progress can be seen."""
_SAMPLED_TILES = 8


@dataclass(frozen=True, eq=False)
class _Problem:
    """One energy: all directions of a map, and how to go about them."""

    potential: CrystalPotential
    directions: NDArray[np.float64]
    folding: Folding
    half_width: int
    settings: Preset
    weights: NDArray[np.float64]
    step_nm: float

    def solve(
        self, device: str | None, progress: Callable[[float], None]
    ) -> tuple[NDArray[np.float64], tuple[float, float]]:
        """Intensities (n,), and mean numbers of strong and weak beams."""
        strengths = reflection_strengths(self.potential, self.settings.selection)
        labels = self._labels(self._tile_pixels(strengths))
        order = np.argsort(labels, kind="stable")
        # Parts are cut between tiles, where the label changes.
        edges = np.concatenate([[0], np.flatnonzero(np.diff(labels[order])) + 1, [len(order)]])
        result = np.empty(len(order))
        beams = np.empty((len(order), 2), dtype=np.int64)
        for part in np.array_split(np.arange(len(edges) - 1), min(_PARTS, len(edges) - 1)):
            chosen = order[edges[part[0]] : edges[part[-1] + 1]]
            result[chosen], beams[chosen] = self._intensities(chosen, labels, strengths, device)
            progress(edges[part[-1] + 1] / len(order))
        strong, weak = beams.mean(axis=0)
        return result, (float(strong), float(weak))

    def _intensities(
        self,
        chosen: NDArray[np.int64],
        labels: NDArray[np.int64],
        strengths: NDArray[np.float64],
        device: str | None,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        potential, selection = self.potential, self.settings.selection
        directions, tiles = self.directions[chosen], labels[chosen]
        if device is not None:
            from kikuchinet.diffraction.torch_solver import torch_intensities

            return torch_intensities(
                potential,
                directions,
                tiles,
                selection,
                self.weights,
                self.step_nm,
                strengths=strengths,
                folded=not self.settings.emsoft,
                device=device,
            )
        if self.settings.emsoft:
            return exact_intensities(potential, directions, selection, self.weights, self.step_nm, strengths)
        return tiled_intensities(
            potential, directions, tiles, selection, self.weights, self.step_nm, strengths
        )

    def _labels(self, pixels: int) -> NDArray[np.int64]:
        """(n,) number of the tile each direction lies in."""
        per_side = (2 * self.half_width) // pixels + 1
        below = (self.folding.signs < 0).astype(np.int64)
        return (below * per_side + self.folding.rows // pixels) * per_side + self.folding.columns // pixels

    def _tile_pixels(self, strengths: NDArray[np.float64]) -> int:
        """Width of a tile in pixels that costs least, from the numbers of beams of a few tiles."""
        # On the equal-area square a pixel is sqrt(2π) / 2h wide.
        widest = max(1, int(self.settings.tile_rad / (np.sqrt(2.0 * np.pi) / (2 * self.half_width))))
        costs = []
        for pixels in range(1, widest + 1):
            labels = self._labels(pixels)
            numbers = np.unique(labels)
            numbers = numbers[np.linspace(0, len(numbers) - 1, min(_SAMPLED_TILES, len(numbers))).astype(int)]
            tiles = [self.directions[labels == number] for number in numbers]
            beams = count_tile_beams(self.potential, tiles, self.settings.selection, strengths)
            counts = np.array([len(tile) for tile in tiles])
            costs.append(_tile_costs(beams, counts, len(self.weights)).sum() / counts.sum())
        return int(np.argmin(costs)) + 1


def _tile_costs(beams: NDArray[np.int64], directions: NDArray[np.int64], depths: int) -> NDArray[np.float64]:
    """Complex multiplications of each tile, from its strong and weak beams (tiles, 2) and directions (tiles,).

    About eight products of strong by strong matrices (twelve with the powers for a single direction), the folding, and
    two products with the waves per depth. Narrow ones run below the machine's rate: 2.5 times at 4 columns, 1.7 at 16 and
    more (measured with OpenBLAS).
    """
    n, m = beams.T.astype(np.float64)
    single = directions == 1
    narrow = np.where(single, 1.3, np.where(directions < 16, 2.5, 1.7))
    waves = 2.0 * narrow * depths * directions * n**2
    return np.where(single, 12.0, 8.0) * n**3 + m * m * n + 3.0 * m * n**2 + waves
