"""Bloch-wave intensities on a GPU: the solvers of `bloch` and `tiles` as batches of matrix products.

Directions, or tiles of them, with about as many beams are padded to a common size and solved together. Padding changes no
answer: a padded beam couples to nothing, so the wave in it stays zero, and a padded direction repeats another of its
tile and is thrown away. The batches are as large as a given amount of memory allows. Within one, the host waits for the
device once or twice, for sizes; the steps in depth are launched ahead of it.

Matrices and waves are complex64 and are multiplied in full float32, not in TF32. PyTorch is imported when this module is,
so nothing imports it before a device is asked for.

References
----------
.. [1] N. J. Higham, SIAM J. Matrix Anal. Appl. 26 (2005) 1179: scaling and squaring of the matrix exponential.
.. [2] M. S. Paterson, L. J. Stockmeyer, SIAM J. Comput. 2 (1973) 60: few products for a polynomial of a matrix.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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

_COMPLEX_BYTES = 8

_TAYLOR_NORM = 0.6
"""Largest norm of an exponent for the Taylor polynomial of degree 8, whose remainder is then 0.6^9 / 9! = 3e-8."""
_BLOCK = 16
"""Depths that the exact solver propagates at once: fewer and each product is a read of the matrix, more and the powers
of the matrix cost more than they save."""


def torch_intensities(
    potential: CrystalPotential,
    directions: NDArray[np.float64],
    tiles: NDArray[np.integer],
    selection: BeamSelection,
    weights: NDArray[np.float64],
    step_nm: float,
    *,
    substeps: int = 2,
    strengths: NDArray[np.float64] | None = None,
    tiled: bool,
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
        (n,) label of the tile each direction belongs to; used by the tiled solver only.
    selection
        Which beams take part. The tiled solver takes no weak beams.
    weights
        Weight of each depth ``k · step_nm``, k = 0, 1, ...
    step_nm
        Depth step of `weights`.
    substeps
        Splitting steps per depth step of the tiled solver.
    strengths
        What `reflection_strengths` gives, where the caller has it already.
    tiled
        The solver of `tiled_intensities` instead of that of `exact_intensities`.
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
        (n,) int64: number of strong beams of each direction.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such device.
    ValueError
        Weak beams for the tiled solver.

    See Also
    --------
    kikuchinet.diffraction.bloch.exact_intensities, kikuchinet.diffraction.tiles.tiled_intensities
    """
    if tiled and selection.weak > selection.strong:
        raise ValueError("the tiled solver has no Bethe perturbation: weak must not exceed strong")
    chosen = torch_device(device)
    depths = _Depths(np.asarray(weights, dtype=np.float64), float(step_nm), int(substeps))
    report = progress or (lambda _: None)
    vectors = np.asarray(directions, dtype=np.float64)
    with torch.no_grad(), full_float32():
        tables = DeviceTables.on(chosen, potential, selection, strengths)
        if not tiled:
            return _solve_directions(
                tables, torch.as_tensor(vectors).to(chosen), depths, memory_bytes, report
            )
        order = np.argsort(tiles, kind="stable")
        changes = np.diff(np.asarray(tiles)[order], prepend=np.asarray(tiles)[order[:1]]) != 0
        values, counts = _solve_tiles(
            tables,
            torch.as_tensor(vectors[order]).to(chosen),
            np.cumsum(changes),
            depths,
            memory_bytes,
            report,
        )
    intensities, beams = np.empty_like(values), np.empty_like(counts)
    intensities[order], beams[order] = values, counts
    return intensities, beams


@dataclass(frozen=True, eq=False)
class _Depths:
    """Where the wave is looked at: weight of each depth, the step between them in nm, splitting steps in each."""

    weights: NDArray[np.float64]
    step_nm: float
    substeps: int


def _solve_directions(
    tables: DeviceTables,
    directions: torch.Tensor,
    depths: _Depths,
    memory_bytes: int,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Exact intensities of directions (n, 3), and their numbers of strong beams."""
    found = survey(tables, directions, None, memory_bytes)
    weak_columns = int(found.weak.max(initial=0))

    def member_bytes(rows: int, columns: int) -> int:
        # Matrices of the exponential and their indices; the perturbation's factors; waves; excitation errors.
        elements = rows * (12 * rows + 6 * weak_columns + 5 * _BLOCK)
        return _COMPLEX_BYTES * elements + SURVEY_BYTES * len(tables.flat)

    values = np.empty(len(directions))
    done = 0
    for batch in plan_batches(found.strong, found.strong, member_bytes, memory_bytes):
        chosen = directions[torch.as_tensor(batch.members, device=directions.device)]
        weak = int(found.weak[batch.members].max())
        values[batch.members] = _exact_batch(tables, chosen, batch.rows, weak, depths).cpu().numpy()
        done += len(batch.members)
        progress(done / len(directions))
    return values, found.strong


def _exact_batch(
    tables: DeviceTables, directions: torch.Tensor, rows: int, weak: int, depths: _Depths
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
    step = _exponential(matrix.mul_(1j * math.pi * tables.wavelength_nm * depths.step_nm))
    return _depth_integral(step, tables.thermal_between(beams), depths.weights)


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


def _depth_integral(step: torch.Tensor, thermal: torch.Tensor, weights: NDArray[np.float64]) -> torch.Tensor:
    """Σ_k w_k ψ_k† S ψ_k with ψ_0 = e_0 and ψ_k = E ψ_{k-1}.

    Parameters
    ----------
    step, thermal
        E and S, (b, n, n) complex64.
    weights
        (depths,).

    Returns
    -------
    torch.Tensor
        (b,) float64.
    """
    waves = torch.zeros_like(step[:, :, :1])
    waves[:, 0] = 1.0
    while waves.shape[2] < min(_BLOCK, len(weights)):
        waves = torch.cat([waves, torch.bmm(step, waves)], dim=2)
        step = torch.bmm(step, step)
    block = waves.shape[2]
    padded = np.zeros(-(-len(weights) // block) * block)
    padded[: len(weights)] = weights
    shares = torch.as_tensor(padded, device=step.device).reshape(-1, block)
    total = torch.zeros(len(step), dtype=torch.float64, device=step.device)
    for number, share in enumerate(shares):
        if number > 0:
            waves = torch.bmm(step, waves)
        overlaps = _real_products(waves, torch.bmm(thermal, waves)).reshape(len(step), -1, block, 2)
        total += overlaps.sum(dim=(1, 3)).to(torch.float64) @ share
    return total


def _solve_tiles(
    tables: DeviceTables,
    directions: torch.Tensor,
    labels: NDArray[np.int64],
    depths: _Depths,
    memory_bytes: int,
    progress: Callable[[float], None],
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Intensities of directions (n, 3) sorted by tile, 0, 1, ..., and their numbers of beams."""
    found = survey(tables, directions, torch.as_tensor(labels, device=directions.device), memory_bytes)
    assert found.unions is not None  # labels were given
    counts = np.bincount(labels)
    starts = np.cumsum(counts) - counts

    def member_bytes(rows: int, columns: int) -> int:
        # Matrices of the exponential and their indices; waves and phases, made in float64.
        return _COMPLEX_BYTES * rows * (12 * rows + 10 * columns)

    values = np.empty(len(directions))
    done = 0
    sizes = found.unions.sum(dim=1).cpu().numpy()
    for batch in plan_batches(sizes, counts, member_bytes, memory_bytes):
        inside = counts[batch.members, None]
        column = np.arange(batch.columns)
        # Padding repeats a tile's last direction; what comes out for it is thrown away.
        chosen = starts[batch.members, None] + np.minimum(column, inside - 1)
        number = torch.as_tensor(batch.members, device=directions.device)
        result = _tile_batch(
            tables,
            directions[torch.as_tensor(chosen, device=directions.device)],
            found.unions[number],
            batch.rows,
            depths,
        )
        kept = column < inside
        values[chosen[kept]] = result.cpu().numpy()[kept]
        done += int(inside.sum())
        progress(done / len(directions))
    return values, found.strong


def _tile_batch(
    tables: DeviceTables, directions: torch.Tensor, unions: torch.Tensor, rows: int, depths: _Depths
) -> torch.Tensor:
    """Intensities (t, m) of tiles of directions (t, m, 3), whose beams (t, reflections) are padded to `rows`."""
    beams, valid = true_indices(unions, rows)
    step_nm = depths.step_nm / depths.substeps
    matrix = tables.potential_between(beams, beams)
    # The real part of U_0 is in the wavelength already.
    matrix.diagonal(dim1=1, dim2=2).fill_(1j * tables.u_0.imag)
    matrix.mul_(valid[:, :, None] & valid[:, None, :])
    scatter = _exponential(matrix.mul_(1j * math.pi * tables.wavelength_nm * step_nm))
    thermal = tables.thermal_between(beams)
    half, full = _phases(tables, directions, beams, valid, step_nm)
    waves = torch.zeros_like(half)
    waves[:, 0] = half[:, 0]
    scattered, overlaps = torch.empty_like(waves), torch.empty_like(waves)
    tiles, _, columns = waves.shape
    # Real and imaginary parts are summed apart, side by side, and brought together at the end.
    total = torch.zeros((tiles, 2 * columns), dtype=torch.float64, device=waves.device)
    for weight in depths.weights[1:].tolist():
        for _ in range(depths.substeps):
            torch.bmm(scatter, waves, out=scattered)
            torch.mul(scattered, full, out=waves)
        # `scattered` is half a step of free propagation before the sample.
        scattered *= half
        torch.bmm(thermal, scattered, out=overlaps)
        total.add_(_real_products(scattered, overlaps).sum(dim=1), alpha=weight)
    return total.reshape(tiles, columns, 2).sum(dim=2) + float(depths.weights[0]) * tables.s_0


def _phases(
    tables: DeviceTables, directions: torch.Tensor, beams: torch.Tensor, valid: torch.Tensor, step_nm: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Phases of half a step and of a whole step of free propagation, (t, n, m) complex64.

    A beam that a direction does not have is 0 in the first, so that it is never seen, and -1 in the second, so that what
    is scattered into it in one step is undone in the next.
    """
    along = torch.bmm(tables.g[beams], directions.transpose(1, 2))
    errors = tables.excitation_errors(along, tables.squared[beams][:, :, None])
    taken = (errors.abs() <= tables.strong_limit[beams][:, :, None]) & valid[:, :, None]
    half = torch.polar(taken.to(torch.float32), errors.mul_(math.pi * step_nm).to(torch.float32))
    full = torch.square(half).masked_fill_(~taken, -1.0)
    return half, full


def _real_products(a: torch.Tensor, b: torch.Tensor) -> torch.Tensor:
    """Re a · Re b and Im a · Im b side by side, (t, n, 2m) float32, in the memory of `b`; their sum is Re(a* b)."""
    flat = torch.view_as_real(b).flatten(2)
    return flat.mul_(torch.view_as_real(a).flatten(2))


def _exponential(exponent: torch.Tensor) -> torch.Tensor:
    """exp(X) of matrices (b, n, n) complex64 [1]_: a Taylor polynomial by four products [2]_, then squarings.

    What is squared is D = exp(X) - 1, by (1 + D)² - 1 = 2D + D²: the small elements that carry the scattering are not
    rounded beside the 1 of the diagonal. Against float64 the error is a third of that of squaring exp(X) itself.
    """
    # The 2-norm is at most the geometric mean of these two (Hölder).
    size = exponent.abs()
    norm = float((size.sum(dim=1).amax() * size.sum(dim=2).amax()).sqrt())
    squarings = max(0, math.ceil(math.log2(norm / _TAYLOR_NORM))) if norm > 0.0 else 0
    x = exponent * 0.5**squarings
    x2 = torch.bmm(x, x)
    x3 = torch.bmm(x2, x)
    x4 = torch.bmm(x2, x2)
    high = (x / 120).add_(x2, alpha=1 / 720).add_(x3, alpha=1 / 5040).add_(x4, alpha=1 / 40320)
    high.diagonal(dim1=1, dim2=2).add_(1 / 24)
    d = x.add_(x2, alpha=1 / 2).add_(x3, alpha=1 / 6)
    d = torch.baddbmm(d, x4, high)
    for _ in range(squarings):
        d = torch.baddbmm(d, d, d, beta=2)
    d.diagonal(dim1=1, dim2=2).add_(1.0)
    return d
