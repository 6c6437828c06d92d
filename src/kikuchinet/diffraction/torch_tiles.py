"""The tiled solver of :mod:`kikuchinet.diffraction.tiles` as batches of matrix products on a torch device.

What is solved, and why so, stands there: beams that are strong anywhere in a tile are solved for at its centre, weak ones
are folded in, and each direction differs from the centre by phases. Here work goes by groups of patches. For a group, what
weak beams scatter into each other is worked out for all its patches at once; then many of their tiles are padded to a
common size, and one step in depth of all of them is two products of [tiles, n, n] with [tiles, n, directions].
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from kikuchinet.diffraction.torch_beams import DeviceTables, plan_batches, survey, true_indices
from kikuchinet.diffraction.torch_depths import depth_sums, exponential, split_depth_sums
from kikuchinet.diffraction.torch_regions import RegionBatch, Regions, join
from kikuchinet.diffraction.torch_weak import ScatteredOn, weak_couplings

_COMPLEX_BYTES = 8
_PLACE_BYTES = 24
"""Per patch and reflection: where it stands among strong and among weak beams, and masks."""


def solve_tiles(
    tables: DeviceTables,
    directions: torch.Tensor,
    labels: NDArray[np.int64],
    patches: NDArray[np.int64],
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
        (n, 3) float64 on the device, sorted by patch, and by tile within a patch.
    labels
        (n,) number of each direction's tile: 0, 1, ...
    patches
        (n,) number of each direction's patch of whole tiles: 0, 1, ...
    weights
        Weight of each depth ``k · step_nm``.
    step_nm
        Depth step.
    memory_bytes, progress
        As for `torch_intensities`.
    """
    found = survey(tables, directions, torch.as_tensor(labels, device=directions.device), memory_bytes)
    assert found.unions is not None  # labels were given
    tiles = Regions.of(tables, directions, labels, found.unions, memory_bytes)
    patch_of = patches[tiles.starts]
    strong = join(tables, found.unions, patch_of, memory_bytes)
    wholes = Regions.of(tables, directions, patches, strong, memory_bytes)
    most_weak, most_directions = int(tiles.weak_counts.max()), int(wholes.counts.max())

    def tile_bytes(rows: int, columns: int) -> int:
        # Matrices of a step and their indices; waves and phases, made in float64; tables of the folded beams.
        elements = rows * (14 * rows + 12 * columns) + most_weak * (3 * most_weak + 8 * rows + 5 * columns)
        return _COMPLEX_BYTES * elements

    def patch_bytes(rows: int, columns: int) -> int:
        # The sums, the followers that they are made of and what these take in the making; excitation errors.
        elements = rows * (5 * columns + 4 * most_directions) + columns
        return _COMPLEX_BYTES * elements + _PLACE_BYTES * len(tables.flat)

    values = np.empty(len(directions))
    done = 0
    # Half of the memory is for the group's patches, the other for the couplings among weak beams, and then for tiles.
    half = memory_bytes // 2
    for group in plan_batches(wholes.weak_counts, wholes.strong_counts, patch_bytes, half):
        columns = int(wholes.counts[group.members].max())
        scattered_on = ScatteredOn.of(tables, wholes.batch(group.members, group.columns, columns), half)
        place = np.full(len(wholes.counts), -1)
        place[group.members] = np.arange(len(group.members))
        numbers = np.flatnonzero(place[patch_of] >= 0)
        for batch in plan_batches(tiles.strong_counts[numbers], tiles.counts[numbers], tile_bytes, half):
            members = numbers[batch.members]
            padded = tiles.batch(members, batch.rows, batch.columns)
            within = torch.as_tensor(place[patch_of[members]], device=directions.device)
            result = solve_tile_batch(tables, padded, scattered_on, within, weights, step_nm).cpu().numpy()
            chosen, inside = tiles.numbers(members, batch.columns)
            values[chosen[inside]] = result[inside]
            done += int(inside.sum())
            progress(done / len(directions))
    return values, np.stack([tiles.strong_counts, tiles.weak_counts], axis=1)[labels]


def solve_tile_batch(
    tables: DeviceTables,
    tiles: RegionBatch,
    scattered_on: ScatteredOn,
    patches: torch.Tensor,
    weights: NDArray[np.float64],
    step_nm: float,
) -> torch.Tensor:
    """Intensities of the directions of tiles, (t, m) float64; `patches` (t,) are their patches in `scattered_on`."""
    beams, valid = true_indices(tiles.strong, tiles.rows)
    middle = tables.errors_of(beams, tiles.centres[:, None, :])
    matrix = tables.potential_between(beams, beams)
    source = tables.thermal_between(beams, beams)
    if tiles.weak_rows > 0:
        weak, follow, inverses = weak_couplings(tables, tiles, beams, valid)
        follow.add_(scattered_on.between(patches, weak, beams)).mul_(inverses)
        _fold(tables, beams, weak, follow, matrix, source)
    # The real part of U_0 is in the wavelength already.
    diagonal = (2.0 / tables.wavelength_nm * middle[:, :, 0]).to(torch.float32) - tables.u_0.real
    matrix.diagonal(dim1=1, dim2=2).add_(diagonal)
    matrix.mul_(valid[:, :, None] & valid[:, None, :])
    step = exponential(matrix.mul_(1j * math.pi * tables.wavelength_nm * step_nm))
    if tiles.directions.shape[1] == 1:
        return depth_sums(step, source, weights)[:, None]
    difference = tables.errors_of(beams, tiles.directions).sub_(middle).mul_(math.pi * step_nm)
    half = torch.polar(torch.ones_like(difference, dtype=torch.float32), difference.to(torch.float32))
    return split_depth_sums(step, source, half, weights)


def _fold(
    tables: DeviceTables,
    beams: torch.Tensor,
    weak: torch.Tensor,
    follow: torch.Tensor,
    matrix: torch.Tensor,
    source: torch.Tensor,
) -> None:
    """Add what weak beams, ψ_w = Σ_h follow_wh ψ_h, do to the dynamical matrix and to the source matrix, in place.

    Parameters
    ----------
    tables
        The crystal.
    beams, weak
        (t, n) strong and (t, m) weak beams.
    follow
        (t, m, n) complex64.
    matrix, source
        (t, n, n) complex64.
    """
    matrix.baddbmm_(tables.potential_between(beams, weak), follow)
    cross = torch.bmm(tables.thermal_between(beams, weak), follow)
    source.add_(cross).add_(cross.mH)
    source.baddbmm_(follow.mH, torch.bmm(tables.thermal_between(weak, weak), follow))
