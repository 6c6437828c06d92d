"""The tiled solver of :mod:`kikuchinet.diffraction.tiles` as batches of matrix products on a torch device.

What is solved, and why so, stands there: beams that are strong anywhere in a tile are solved for at its centre, weak ones
are folded in, and each direction differs from the centre by phases. Here many tiles are padded to a common size, and one
step in depth of all of them is two products of [tiles, n, n] with [tiles, n, directions].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kikuchinet.diffraction.torch_beams import DeviceTables, plan_batches, survey, true_indices
from kikuchinet.diffraction.torch_depths import depth_sums, exponential, split_depth_sums

_COMPLEX_BYTES = 8


@dataclass(frozen=True, eq=False)
class TileBatch:
    """Tiles to be solved together; all tensors on one device.

    Attributes
    ----------
    directions
        (t, m, 3) float64; a tile of fewer directions repeats its last one.
    inside
        (t, m) bool: which of them are not repeated.
    centres
        (t, 3) float64 unit vectors.
    strong, weak
        (t, reflections) bool: beams that are solved for, beams that are folded in.
    rows, weak_rows
        Numbers of beams that all tiles are padded to.
    """

    directions: torch.Tensor
    inside: torch.Tensor
    centres: torch.Tensor
    strong: torch.Tensor
    weak: torch.Tensor
    rows: int
    weak_rows: int


def solve_tiles(
    tables: DeviceTables,
    directions: torch.Tensor,
    labels: NDArray[np.int64],
    weights: NDArray[np.float64],
    step_nm: float,
    memory_bytes: int,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Intensities (n,) of directions, and numbers (n, 2) of strong and of folded beams of their tiles.

    Parameters
    ----------
    tables
        The crystal.
    directions
        (n, 3) float64 on the device, sorted by tile.
    labels
        (n,) number of each direction's tile: 0, 1, ...
    weights
        Weight of each depth ``k · step_nm``.
    step_nm
        Depth step.
    memory_bytes, progress
        As for `torch_intensities`.
    """
    device = directions.device
    found = survey(tables, directions, torch.as_tensor(labels, device=device), memory_bytes)
    assert found.unions is not None  # labels were given
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts
    centres = torch.zeros((len(counts), 3), dtype=torch.float64, device=device)
    centres.index_add_(0, torch.as_tensor(labels, device=device), directions)
    centres = torch.nn.functional.normalize(centres)
    weak = _folded_beams(tables, centres, found.unions, memory_bytes)
    strong_counts = found.unions.sum(dim=1).cpu().numpy()
    weak_counts = weak.sum(dim=1).cpu().numpy()
    most_weak = int(weak_counts.max())

    def member_bytes(rows: int, columns: int) -> int:
        # Matrices of a step and their indices; waves and phases, made in float64; tables of the folded beams.
        elements = rows * (14 * rows + 12 * columns) + most_weak * (3 * most_weak + 6 * rows + 5 * columns)
        return _COMPLEX_BYTES * elements

    values = np.empty(len(directions))
    done = 0
    for batch in plan_batches(strong_counts, counts, member_bytes, memory_bytes):
        number = torch.as_tensor(batch.members, device=device)
        column = np.arange(batch.columns)
        inside = column < counts[batch.members, None]
        chosen = starts[batch.members, None] + np.minimum(column, counts[batch.members, None] - 1)
        tiles = TileBatch(
            directions[torch.as_tensor(chosen, device=device)],
            torch.as_tensor(inside, device=device),
            centres[number],
            found.unions[number],
            weak[number],
            batch.rows,
            int(weak_counts[batch.members].max()),
        )
        values[chosen[inside]] = solve_tile_batch(tables, tiles, weights, step_nm).cpu().numpy()[inside]
        done += int(inside.sum())
        progress(done / len(directions))
    return values, np.stack([strong_counts, weak_counts], axis=1)[labels]


def _folded_beams(
    tables: DeviceTables, centres: torch.Tensor, unions: torch.Tensor, memory_bytes: int
) -> torch.Tensor:
    """Beams that are weak at the centres (t, 3) of tiles and strong nowhere in them, (t, reflections) bool."""
    weak = torch.empty_like(unions)
    for part in tables.parts(len(centres), memory_bytes):
        size = tables.all_excitation_errors(centres[part]).abs_()
        weak[part] = (size <= tables.folded_limit) & ~unions[part]
    return weak


def solve_tile_batch(
    tables: DeviceTables, tiles: TileBatch, weights: NDArray[np.float64], step_nm: float
) -> torch.Tensor:
    """Intensities of the directions of tiles, (t, m) float64."""
    beams, valid = true_indices(tiles.strong, tiles.rows)
    middle = _errors(tables, beams, tiles.centres[:, None, :])
    matrix = tables.potential_between(beams, beams)
    source = tables.thermal_between(beams, beams)
    if tiles.weak_rows > 0:
        _fold(tables, tiles, beams, matrix, source)
    # The real part of U_0 is in the wavelength already.
    diagonal = (2.0 / tables.wavelength_nm * middle[:, :, 0]).to(torch.float32) - tables.u_0.real
    matrix.diagonal(dim1=1, dim2=2).add_(diagonal)
    matrix.mul_(valid[:, :, None] & valid[:, None, :])
    step = exponential(matrix.mul_(1j * math.pi * tables.wavelength_nm * step_nm))
    if tiles.directions.shape[1] == 1:
        return depth_sums(step, source, weights)[:, None]
    difference = _errors(tables, beams, tiles.directions).sub_(middle).mul_(math.pi * step_nm)
    half = torch.polar(torch.ones_like(difference, dtype=torch.float32), difference.to(torch.float32))
    return split_depth_sums(step, source, half, weights)


def _errors(tables: DeviceTables, beams: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
    """Excitation errors of beams (t, n) for directions (t, m, 3), (t, n, m) float64, 1/nm."""
    along = torch.bmm(tables.g[beams], directions.transpose(1, 2))
    return tables.excitation_errors(along, tables.squared[beams][:, :, None])


def _fold(
    tables: DeviceTables, tiles: TileBatch, beams: torch.Tensor, matrix: torch.Tensor, source: torch.Tensor
) -> None:
    """Add what the weak beams do to the dynamical matrix and to the source matrix, (t, n, n) each, in place.

    A weak beam follows the strong ones, ψ_w = -Σ_h U_{w-h} ψ_h / D_w with D_w = 2 s_w/λ + i U'_0, and 1/D is averaged over
    the tile's directions and bounded, as in `tiles`.
    """
    weak, valid = true_indices(tiles.weak, tiles.weak_rows)
    errors = _errors(tables, weak, tiles.directions)
    detuning = errors.mul_(2.0 / tables.wavelength_nm).to(torch.complex128).add_(1j * tables.u_0.imag)
    follow = tables.potential_between(weak, beams)
    inside = torch.arange(follow.shape[2], device=follow.device) < tiles.strong.sum(dim=1)[:, None]
    largest = (follow.abs().square() * inside[:, None, :]).amax(dim=2).to(torch.float64)
    bounded = detuning.conj() / (detuning.abs().square() + 4.0 * largest[:, :, None])
    inverse = bounded.mul_(tiles.inside[:, None, :]).sum(dim=2)
    inverse = inverse.div_(tiles.inside.sum(dim=1)[:, None]).mul_(valid)
    follow.mul_(-inverse.to(torch.complex64)[:, :, None])
    matrix.baddbmm_(tables.potential_between(beams, weak), follow)
    cross = torch.bmm(tables.thermal_between(beams, weak), follow)
    source.add_(cross).add_(cross.mH)
    source.baddbmm_(follow.mH, torch.bmm(tables.thermal_between(weak, weak), follow))
