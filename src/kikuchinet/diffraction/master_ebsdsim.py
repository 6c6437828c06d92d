"""Master patterns of ebsdsim (0.2 and before): ``.npz`` archives of the directions that symmetry leaves.

Its conventions, read in its source and checked with files that it wrote itself:

* ``fundamental_kij`` is ``(column - h, row - h, side)`` on the same square Lambert map as ours, `side` > 0 for z >= 0;
  ``fundamental_khat`` is that pixel's unit vector in the frame e1 ∥ a, e3 ∥ c*, and ``pg_operators`` act there.
* ``khat`` is the direction in which the *incident* wave travels; our patterns are by the direction in which electrons
  *leave*, which by reciprocity is the opposite one. Crystals with an inversion centre do not tell; the part of a pattern
  that is odd under inversion correlates with ours by -0.84 for a triclinic W-Al-Ni crystal in P1 and by -0.85 for GaAs if
  the file is taken as it stands (EMsoft's GaAs: +0.73). So the patterns are inverted here.
* Index 0 of the energies is the sum with the weights of the energies, index 0 of the sites the mean over the sites;
  intensities are not normalised. A file with one energy, or one site, has index 0 only.
* Only a fundamental sector is stored, a margin of two pixels around it; all else follows from ``pg_operators``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.diffraction.lambert import direction_to_square, lambert_grid, square_to_direction
from kikuchinet.diffraction.master_contents import Contents, Request, sum_energies
from kikuchinet.errors import InputError


def read_ebsdsim(path: Path, request: Request) -> Contents:
    """Read an archive of ebsdsim's and expand it to both hemispheres.

    Raises
    ------
    kikuchinet.errors.InputError
        Something that ebsdsim writes is missing, or its conventions are not those above.
    """
    with np.load(path, allow_pickle=False) as archive:
        if "fundamental_sector" not in archive or "meta_json" not in archive:
            raise InputError(path, "an archive, but not a master pattern of ebsdsim")
        meta = json.loads(archive["meta_json"].tobytes().decode())
        sector = np.asarray(archive["fundamental_sector"], dtype=np.float32)[:, 0]
        pixels = np.asarray(archive["fundamental_kij"], dtype=np.int64)
        directions = np.asarray(archive["fundamental_khat"], dtype=np.float64)
        operations = np.asarray(archive["pg_operators"], dtype=np.float64)
        normals = np.asarray(archive["fs_normals"], dtype=np.float64).reshape(-1, 3)
        voltages = np.asarray(archive["bin_voltages_kv"], dtype=np.float64)
    half_width = int(meta["halfw"])
    _check_directions(pixels, directions, half_width, path)
    values, energy_kev = sector[0], float(meta["voltage_kv"])
    if request.energy_kev is not None:
        held = sector[1:] if len(sector) > 1 else sector
        chosen, energy_kev = sum_energies(held[:, :, None], voltages[: len(held)], path, request)
        values = chosen[:, 0]
    hemispheres = _expand(values, pixels, operations, normals, half_width, path)
    return Contents(
        *hemispheres,
        energy_kev=energy_kev,
        name=Path(str(meta.get("source") or path.stem)).stem,
        space_group=int(meta["cell"]["space_group"]),
        settings=_settings(meta),
    )


def _settings(meta: dict[str, Any]) -> dict[str, Any]:
    kept = ("dmin", "solver", "rank", "bethe_c_strong", "bethe_c_weak", "bethe_c_cutoff", "sigma_deg", "cell")
    return {"program": "ebsdsim"} | {key: meta[key] for key in kept if key in meta}


def _check_directions(
    pixels: NDArray[np.int64], directions: NDArray[np.float64], half_width: int, path: Path
) -> None:
    """Make sure that pixels and directions agree as this module assumes."""
    if np.abs(pixels[:, :2]).max() > half_width:
        raise InputError(path, f"has pixels outside its square of half-width {half_width}")
    expected = square_to_direction(pixels[:, 0] / half_width, pixels[:, 1] / half_width)
    expected[:, 2] *= np.sign(pixels[:, 2])
    if np.abs(expected - directions).max() > 1e-3:
        raise InputError(path, "its directions are not those of its pixels: another version's conventions")


def _expand(
    values: NDArray[np.float32],
    pixels: NDArray[np.int64],
    operations: NDArray[np.float64],
    normals: NDArray[np.float64],
    half_width: int,
    path: Path,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Fill both hemispheres from the fundamental sector, inverted to the directions in which electrons leave.

    Each direction is turned by the operation that brings it farthest inside the planes that bound the sector, and takes its
    value from the stored ones among the four pixels around it (bilinear).
    """
    size = 2 * half_width + 1
    sheets = np.zeros((2, size, size))
    stored = np.zeros((2, size, size))
    place = ((pixels[:, 2] < 0).astype(int), pixels[:, 1] + half_width, pixels[:, 0] + half_width)
    sheets[place], stored[place] = values, 1.0
    grid = -lambert_grid(half_width).reshape(-1, 3)
    wanted = np.concatenate([grid, grid * [1.0, 1.0, -1.0]])
    if len(normals):
        wanted = _into_sector(wanted, operations, normals)
    value, share = _bilinear(sheets, stored, wanted)
    if share.min() < 0.2:
        raise InputError(path, "its fundamental sector leaves directions open")
    upper, lower = (value / share).astype(np.float32).reshape(2, size, size)
    return upper, lower


def _into_sector(
    directions: NDArray[np.float64], operations: NDArray[np.float64], normals: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Each direction, turned by the operation that brings it farthest inside all planes, (n, 3)."""
    best = np.zeros(len(directions), dtype=np.int64)
    farthest = np.full(len(directions), -np.inf)
    for i, operation in enumerate(operations):
        inside = (directions @ (normals @ operation).T).min(axis=1)
        # Rounding must not choose between operations that do equally well.
        better = inside > farthest + 1e-9
        best[better], farthest[better] = i, inside[better]
    return np.asarray(np.einsum("nij,nj->ni", operations[best], directions))


def _bilinear(
    sheets: NDArray[np.float64], stored: NDArray[np.float64], directions: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted sum over the stored ones of the four pixels around each direction, and the sum of their weights."""
    half_width = sheets.shape[1] // 2
    square = np.clip((direction_to_square(directions) + 1.0) * half_width, 0.0, 2.0 * half_width)
    # Operations carry rounding errors: what lies on a pixel must not ask for its neighbour.
    square = np.round(square, 6)
    corner = np.minimum(square.astype(np.int64), 2 * half_width - 1)
    fraction = square - corner
    # The equator lies on both sheets, and the upper one is never without it.
    side = (directions[:, 2] < -1e-9).astype(np.int64)
    value, weight = np.zeros(len(side)), np.zeros(len(side))
    for dx in (0, 1):
        for dy in (0, 1):
            share = np.abs(1 - dx - fraction[:, 0]) * np.abs(1 - dy - fraction[:, 1])
            at = (side, corner[:, 1] + dy, corner[:, 0] + dx)
            weight += share * stored[at]
            value += share * sheets[at]
    return value, weight
