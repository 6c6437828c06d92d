"""Bloch-wave intensities on a GPU: the solvers of `bloch` and `tiles` as batches of matrix products.

Directions, or tiles of them, with about as many beams are padded to a common size and solved together. Padding changes no
answer: a padded beam couples to nothing, so the wave in it stays zero, and a padded direction repeats another of its
tile and is thrown away. The batches are as large as a given amount of memory allows. Within one, the host waits for the
device once or twice, for sizes; the steps in depth are launched ahead of it.

Matrices and waves are complex64 and are multiplied in full float32, not in TF32. PyTorch is imported when this module is,
so nothing imports it before a device is asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from kikuchinet._torch import full_float32, torch_device
from kikuchinet.diffraction.bloch import BeamSelection
from kikuchinet.diffraction.potential import CrystalPotential
from kikuchinet.diffraction.torch_beams import (
    SURVEY_BYTES,
    DeviceTables,
    plan_batches,
    survey,
    true_indices,
)
from kikuchinet.diffraction.torch_depths import BLOCK, depth_sums, exponential
from kikuchinet.diffraction.torch_tiles import solve_tiles

_COMPLEX_BYTES = 8


def torch_intensities(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    tiles: NDArray[np.integer],
    patches: NDArray[np.integer] | None,
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
    *,
    strengths: NDArray[np.float64] | None = None,
    folded: bool,
    device: str | torch.device,
    memory_bytes: int = 2 * 2**30,
    progress: Callable[[float], None] | None = None,
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Backscattered intensity that leaves along each direction, solved on a torch device.

    Parameters
    ----------
    potential
        The crystal's potential.
    directions
        Unit vectors from the sample to the detector, Cartesian crystal frame, (n, 3).
    tiles
        (n,) label of the tile each direction belongs to; the folding solver's business only.
    patches
        (n,) label of the patch of whole tiles each direction belongs to; what weak beams scatter into each other is worked
        out once for it. ``None`` makes each tile one. The folding solver's business, too.
    selection
        Which beams take part.
    weights
        Weight of each depth ``k · step_nm``, k = 0, 1, ...
    step_nm
        Depth step of `weights`.
    strengths
        What `reflection_strengths` gives, where the caller has it already.
    folded
        The solver of `tiled_intensities`, which folds weak beams in, instead of that of `exact_intensities`.
    device
        Where to compute; PyTorch's name of a device, or ``auto`` for a GPU where there is one.
    memory_bytes
        Memory of the device to keep to, the crystal's own tables not counted. At least one direction or tile is
        solved at a time, whatever it takes.
    progress
        Called with the fraction of directions done, once a batch.

    Returns
    -------
    intensities
        (n,) float64.
    beams
        (n, 2) int64: numbers of strong and of weak beams of each direction, or of its tile.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such device.

    See Also
    --------
    kikuchinet.diffraction.bloch.exact_intensities, kikuchinet.diffraction.tiles.tiled_intensities
    """
    chosen = torch_device(device)
    report = progress or (lambda _: None)
    vectors = np.asarray(directions, dtype=np.float64)
    with torch.no_grad(), full_float32():
        tables = DeviceTables.on(chosen, potential, selection, strengths)
        if not folded:
            on_device = torch.as_tensor(vectors).to(chosen)
            return _solve_directions(tables, on_device, np.asarray(weights), step_nm, memory_bytes, report)
        groups = np.stack([np.asarray(tiles if patches is None else patches), np.asarray(tiles)])
        order = np.lexsort(groups[::-1])
        new_patch, new_tile = np.diff(groups[:, order], prepend=groups[:, order[:1]]) != 0
        values, counts = solve_tiles(
            tables,
            torch.as_tensor(vectors[order]).to(chosen),
            np.cumsum(new_patch | new_tile),
            np.cumsum(new_patch),
            np.asarray(weights),
            step_nm,
            memory_bytes,
            report,
        )
    intensities, beams = np.empty_like(values), np.empty_like(counts)
    intensities[order], beams[order] = values, counts
    return intensities, beams


def _solve_directions(
    tables: DeviceTables,
    directions: torch.Tensor,
    weights: NDArray[np.float64],
    step_nm: float,
    memory_bytes: int,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Exact intensities of directions (n, 3), and their numbers (n, 2) of strong and of weak beams."""
    found = survey(tables, directions, None, memory_bytes)
    weak_columns = int(found.weak.max(initial=0))

    def member_bytes(rows: int, columns: int) -> int:
        # Matrices of the exponential and their indices; the perturbation's factors; waves; excitation errors.
        elements = rows * (12 * rows + 6 * weak_columns + 5 * BLOCK)
        return _COMPLEX_BYTES * elements + SURVEY_BYTES * len(tables.flat)

    values = np.empty(len(directions))
    done = 0
    for batch in plan_batches(found.strong, found.strong, member_bytes, memory_bytes):
        chosen = directions[torch.as_tensor(batch.members, device=directions.device)]
        weak = int(found.weak[batch.members].max())
        result = _exact_batch(tables, chosen, batch.rows, weak, weights, step_nm)
        values[batch.members] = result.cpu().numpy()
        done += len(batch.members)
        progress(done / len(directions))
    return values, np.stack([found.strong, found.weak], axis=1)


def _exact_batch(
    tables: DeviceTables,
    directions: torch.Tensor,
    rows: int,
    weak: int,
    weights: NDArray[np.float64],
    step_nm: float,
) -> torch.Tensor:
    """Exact intensities (b,) of directions (b, 3), padded to `rows` strong and `weak` weak beams."""
    errors = tables.all_excitation_errors(directions)
    size = errors.abs()
    strong = size <= tables.strong_limit
    beams, valid = true_indices(strong, rows)
    matrix = tables.potential_between(beams, beams)
    diagonal = torch.full_like(beams, tables.u_0, dtype=torch.complex64)
    if weak > 0:
        others, present = true_indices((size <= tables.weak_limit) & ~strong, weak)
        half = (0.5 * tables.wavelength_nm / errors.gather(1, others)).masked_fill_(~present, 0.0)
        correction, moduli = _perturbation(tables, beams, others, half.to(torch.float32))
        matrix -= correction
        diagonal -= moduli if tables.modulus_diagonal else correction.diagonal(dim1=1, dim2=2)
    # The real part of U_0 is in the wavelength already; only its absorption stays.
    diagonal += (2.0 / tables.wavelength_nm * errors.gather(1, beams)).to(torch.float32) - tables.u_0.real
    matrix.diagonal(dim1=1, dim2=2).copy_(diagonal)
    matrix.mul_(valid[:, :, None] & valid[:, None, :])
    step = exponential(matrix.mul_(1j * math.pi * tables.wavelength_nm * step_nm))
    return depth_sums(step, tables.thermal_between(beams, beams), weights)


def _perturbation(
    tables: DeviceTables, beams: torch.Tensor, weak: torch.Tensor, half: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Bethe's correction Σ_w U_{g-w} U_{w-h} λ / 2s_w, and on the diagonal Σ_w |U_{g-w}|² λ / 2s_w, as EMsoft has it.

    Parameters
    ----------
    tables
        The crystal.
    beams, weak
        (b, n) strong and (b, m) weak beams.
    half
        (b, m) λ / 2s_w, zero where there is no beam.

    Returns
    -------
    correction
        (b, n, n) complex64.
    moduli
        (b, n) float32.
    """
    left = tables.potential_between(beams, weak)
    moduli = torch.bmm(left.abs().square_(), half[:, :, None])[:, :, 0]
    left *= half[:, None, :]
    return torch.bmm(left, tables.potential_between(weak, beams)), moduli
