"""One energy of a master pattern: which directions, which beams, in which tiles, and solved by what."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.bloch import BeamSelection, exact_intensities, reflection_strengths
from kikuchinet.diffraction.emission import emission_amplitudes, emission_pays, emission_rows
from kikuchinet.diffraction.folding import Folding, fold
from kikuchinet.diffraction.lambert import pixel_directions
from kikuchinet.diffraction.potential import CrystalPotential, crystal_potential
from kikuchinet.diffraction.presets import Preset
from kikuchinet.diffraction.tiles import count_tile_beams, tiled_intensities
from kikuchinet.diffraction.transport import ElectronTransport

_DEPTH_STEP_NM = 0.5
"""Largest depth step of the folded solver. Its sums are within 3e-6 (NCC) of the analytic integral for Ni, NiAl."""


def _depth_weights(
    weights: NDArray[np.float64], step_nm: float, settings: Preset, potential: CrystalPotential
) -> tuple[NDArray[np.float64], float]:
    """Depth weights with the mean absorption undone, cut where nothing is left, sum 1."""
    # EMsoft's convention: bin k, at the depth k · step, is attenuated as if it lay one step higher.
    offset = 1 if settings.emsoft else 0
    if not settings.bethe and not np.isclose(step_nm, _DEPTH_STEP_NM):
        weights, step_nm = _resample(weights, step_nm, _DEPTH_STEP_NM), _DEPTH_STEP_NM
    kept = 1.0 - np.cumsum(weights) / weights.sum() > settings.depth_tail
    end = max(int(kept.sum()) + 1, 2)
    cut = weights[:end]
    depth = np.maximum(np.arange(end) - offset, 0) * step_nm
    result = cut * np.exp(2.0 * np.pi * depth / potential.absorption_length_nm) / cut.sum()
    if settings.bethe:
        return result, step_nm
    # The fastest beat is that of beams at the two ends of the strong ones, and a step is no longer than its period.
    beat_nm = 0.5 / (settings.selection.strong * potential.wavelength_nm * abs(potential.u_0))
    parts = max(1, int(np.ceil(step_nm / beat_nm)))
    return _refined(result, parts), step_nm / parts


def _refined(weights: NDArray[np.float64], parts: int) -> NDArray[np.float64]:
    """Weights of the trapezoidal rule on a grid of depths so many times finer; the density is interpolated linearly."""
    density = weights.copy()
    density[0] *= 2.0
    depth = np.arange(len(weights))
    fine = np.interp(np.linspace(0, depth[-1], depth[-1] * parts + 1), depth, density) / parts
    fine[0] *= 0.5
    return fine


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
_BETHE_PARTS = 4
"""The same for a preset that takes a fraction of a second: threads wait for each other at the end of each part."""
_SAMPLED_TILES = 8
FULL_MAP = 30_000
"""Directions from which on `Preset.most_operations` holds for each."""
_CUTOFF_FACTORS = tuple(2.0 ** (-0.25 * k) for k in range(33))


def _parts(order: NDArray[np.int64], edges: NDArray[np.int64], most: int) -> list[NDArray[np.int64]]:
    """Parts of whole patches, each from all over the map: threads then have equally much to do."""
    number = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    rng = np.random.default_rng(0)
    place = rng.permutation(len(edges) - 1)[number]
    count = min(most, len(edges) - 1)
    return [order[place % count == part] for part in range(count)]


@dataclass(frozen=True, eq=False)
class Solution:
    """Intensities (n,), beams as they were chosen, their mean numbers, and complex multiplications that it took."""

    intensities: NDArray[np.float64]
    selection: BeamSelection
    mean_strong: float
    mean_weak: float
    operations: float


def plan_energy(
    crystal: Crystal,
    transport: ElectronTransport,
    number: int,
    half_width: int,
    settings: Preset,
    folding: Folding | None = None,
) -> EnergyProblem:
    """Set up what has to be solved for one of a transport's energies; `folding` where the caller has it already."""
    if folding is None:
        folding = fold(crystal, half_width)
    directions = pixel_directions(folding.rows, folding.columns, half_width)
    directions[:, 2] *= folding.signs
    energy = transport.beam_kev if settings.emsoft else float(transport.energies_kev[number])
    potential = crystal_potential(crystal, energy, settings.d_min_nm)
    weights, step = _depth_weights(
        transport.depth_weights[number], transport.depth_step_nm, settings, potential
    )
    return EnergyProblem(potential, directions, folding, half_width, settings, weights, step)


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which beams take part, and (n,) the number of the tile, and of the patch, each direction lies in.

    `patch_operations` is the number of complex multiplications a direction that patches take.
    """

    selection: BeamSelection
    labels: NDArray[np.int64]
    patches: NDArray[np.int64]
    patch_operations: float


@dataclass(frozen=True, eq=False)
class EnergyProblem:
    """All directions of a map at one energy, and how to go about them."""

    potential: CrystalPotential
    directions: NDArray[np.float64]
    folding: Folding
    half_width: int
    settings: Preset
    weights: NDArray[np.float64]
    step_nm: float

    def solve(
        self,
        device: str | None,
        progress: Callable[[float], None],
        only: NDArray[np.int64] | None = None,
    ) -> Solution:
        """Solve for all directions, on a torch device or with compiled code on all processors.

        Parameters
        ----------
        device
            A torch device, or ``None`` for compiled code.
        progress
            Called with the fraction done.
        only
            Directions that are wanted, (k,); the intensities of others may be left as zero. Tiles stay as they are.
        """
        strengths = reflection_strengths(self.potential, self.settings.selection)
        plan = self._plan(strengths)
        if only is not None and not len(only):
            return Solution(np.zeros(len(self.directions)), plan.selection, 0.0, 0.0, 0.0)
        if only is not None:
            return self._of_some(plan, strengths, np.isin(plan.patches, plan.patches[only]))
        run = self._in_parts if device is None else partial(self._on_device, device=device)
        intensities, beams = run(plan, strengths, progress)
        strong, weak = beams.mean(axis=0)
        _, first, counts = np.unique(plan.labels, return_index=True, return_counts=True)
        operations = _operations(beams[first], counts, len(self.weights), self._rows)
        total = float(operations.sum()) + plan.patch_operations * len(intensities)
        return Solution(intensities, plan.selection, float(strong), float(weak), total)

    def _of_some(self, plan: _Plan, strengths: NDArray[np.float64], wanted: NDArray[np.bool_]) -> Solution:
        part = replace(self, directions=self.directions[wanted])
        chosen = replace(plan, labels=plan.labels[wanted], patches=plan.patches[wanted])
        values, beams = part._in_parts(chosen, strengths, lambda _: None)
        intensities = np.zeros(len(wanted))
        intensities[wanted] = values
        strong, weak = beams.mean(axis=0)
        return Solution(intensities, plan.selection, float(strong), float(weak), float("nan"))

    def _in_parts(
        self, plan: _Plan, strengths: NDArray[np.float64], progress: Callable[[float], None]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        selection = plan.selection
        order = np.argsort(plan.patches, kind="stable")
        # Patches begin where the label changes.
        edges = np.concatenate([[0], np.flatnonzero(np.diff(plan.patches[order])) + 1, [len(order)]])
        result = np.empty(len(order))
        beams = np.empty((len(order), 2), dtype=np.int64)
        pays = not self.settings.bethe and emission_pays(self.potential)
        amplitudes = emission_amplitudes(self.potential) if pays else np.empty((0, 0), dtype=np.complex64)
        done = 0
        for chosen in _parts(order, edges, _BETHE_PARTS if self.settings.bethe else _PARTS):
            directions = self.directions[chosen]
            if self.settings.bethe:
                result[chosen], beams[chosen] = exact_intensities(
                    self.potential, directions, selection, self.weights, self.step_nm, strengths
                )
            else:
                result[chosen], beams[chosen] = tiled_intensities(
                    self.potential,
                    directions,
                    plan.labels[chosen],
                    selection,
                    self.weights,
                    self.step_nm,
                    strengths,
                    amplitudes,
                    plan.patches[chosen],
                )
            done += len(chosen)
            progress(done / len(order))
        return result, beams

    def _on_device(
        self,
        plan: _Plan,
        strengths: NDArray[np.float64],
        progress: Callable[[float], None],
        *,
        device: str,
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        from kikuchinet.diffraction.torch_solver import torch_intensities

        return torch_intensities(
            self.potential,
            self.directions,
            plan.labels,
            plan.patches,
            plan.selection,
            self.weights,
            self.step_nm,
            strengths=strengths,
            folded=not self.settings.bethe,
            device=device,
            progress=progress,
        )

    @property
    def _rows(self) -> float:
        return emission_rows(self.potential) if emission_pays(self.potential) else np.inf

    def _labels(self, pixels: int) -> NDArray[np.int64]:
        """(n,) number of the tile each direction lies in."""
        per_side = (2 * self.half_width) // pixels + 1
        below = (self.folding.signs < 0).astype(np.int64)
        return (below * per_side + self.folding.rows // pixels) * per_side + self.folding.columns // pixels

    def _width(self, limit_rad: float) -> int:
        """Pixels that a limit of an angle allows, one at least."""
        # On the equal-area square a pixel is sqrt(2π) / 2h wide.
        return max(1, int(limit_rad / (np.sqrt(2.0 * np.pi) / (2 * self.half_width))))

    def _plan(self, strengths: NDArray[np.float64]) -> _Plan:
        """Choose the width of tiles, and cut-offs that a large cell can afford; see `Preset`."""
        if self.settings.bethe:
            labels = self._labels(1)
            return _Plan(self.settings.selection, labels, labels, 0.0)
        limit = self.settings.most_operations * max(1.0, FULL_MAP / len(self.directions))
        for factor in _CUTOFF_FACTORS:
            selection = self.settings.selection.scaled(factor)
            best = min(self._costs(selection, strengths), key=lambda cost: cost.weighted)
            if best.operations + best.patch_operations <= limit:
                break
        return _Plan(
            selection, self._labels(best.pixels), self._labels(best.patch_pixels), best.patch_operations
        )

    def _costs(self, selection: BeamSelection, strengths: NDArray[np.float64]) -> list[_Cost]:
        """Work a direction for each width of tiles, from a few tiles and a few patches of them."""
        found = []
        for pixels in range(1, self._width(self.settings.tile_rad) + 1):
            patch_pixels = pixels * max(1, self._width(self.settings.patch_rad) // pixels)
            beams, counts = self._sampled(self._labels(pixels), selection, strengths)
            arguments = beams, counts, len(self.weights), self._rows
            total = counts.sum()
            patch_beams, patch_counts = self._sampled(self._labels(patch_pixels), selection, strengths)
            n, m = patch_beams.T.astype(np.float64)
            patch = float((m**2 * n).sum() / patch_counts.sum())
            found.append(
                _Cost(
                    pixels,
                    patch_pixels,
                    float(_operations(*arguments).sum() / total),
                    patch,
                    float(_tile_costs(*arguments).sum() / total) + patch,
                )
            )
        return found

    def _sampled(
        self, labels: NDArray[np.int64], selection: BeamSelection, strengths: NDArray[np.float64]
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Beams (k, 2) and directions (k,) of some tiles or patches."""
        numbers = np.unique(labels)
        numbers = numbers[np.linspace(0, len(numbers) - 1, min(_SAMPLED_TILES, len(numbers))).astype(int)]
        tiles = [self.directions[labels == number] for number in numbers]
        beams = count_tile_beams(self.potential, tiles, selection, strengths)
        return beams, np.array([len(tile) for tile in tiles])


@dataclass(frozen=True)
class _Cost:
    """Complex multiplications a direction, for one width of tiles and of patches in pixels.

    `operations` in tiles, `patch_operations` in patches; `weighted` is both by how long they take.
    """

    pixels: int
    patch_pixels: int
    operations: float
    patch_operations: float
    weighted: float


def _operations(
    beams: NDArray[np.int64], directions: NDArray[np.int64], depths: int, rows: float
) -> NDArray[np.float64]:
    """Complex multiplications in each tile's products.

    Parameters
    ----------
    beams
        (tiles, 2) strong and weak beams.
    directions
        (tiles,).
    depths
        Number of depths.
    rows
        What `emission_rows` gives; infinite where it does not pay.
    """
    n, m = beams.T.astype(np.float64)
    waves = depths * directions
    # The propagator (its powers too, for a single direction), the folding into it, the waves; and the source.
    shared = np.where(directions == 1, 12.0, 8.0) * n**3 + m * n**2 + waves * n**2
    return np.asarray(shared + n * np.minimum(rows * (m + waves), m * (m + 2.0 * n) + waves * n))


def _tile_costs(
    beams: NDArray[np.int64], directions: NDArray[np.int64], depths: int, rows: float
) -> NDArray[np.float64]:
    """The same, weighted by how long they take.

    Narrow products run below the machine's rate: 2.5 times at 4 columns, 1.7 at 16 and more (measured with OpenBLAS).
    """
    n = beams[:, 0].astype(np.float64)
    waves = depths * directions * (n + np.minimum(rows, n)) * n  # as `squares_are_cheaper` mostly decides
    narrow = np.where(directions == 1, 1.3, np.where(directions < 16, 2.5, 1.7))
    return _operations(beams, directions, depths, rows) + (narrow - 1.0) * waves
