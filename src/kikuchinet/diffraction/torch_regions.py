"""Tiles and patches of directions on a torch device, the beams of each, and batches of them of one size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from kikuchinet.diffraction.torch_beams import DeviceTables


@dataclass(frozen=True, eq=False)
class RegionBatch:
    """Tiles or patches to be worked on together; all tensors on one device.

    Attributes
    ----------
    directions
        (t, d, 3) float64; a region of fewer directions repeats its last one.
    inside
        (t, d) bool: which of them are not repeated.
    centres
        (t, 3) float64 unit vectors.
    strong, weak
        (t, reflections) bool: beams that are solved for, beams that are folded in.
    rows, weak_rows
        Numbers of beams that all regions are padded to.
    """

    directions: torch.Tensor
    inside: torch.Tensor
    centres: torch.Tensor
    strong: torch.Tensor
    weak: torch.Tensor
    rows: int
    weak_rows: int


@dataclass(frozen=True, eq=False)
class Regions:
    """All tiles, or all patches, of a map. Those of each region are consecutive directions.

    Attributes
    ----------
    directions
        (n, 3) float64 unit vectors on the device.
    starts, counts
        (k,) first direction of each region, and number of them.
    centres
        (k, 3) float64 unit vectors on the device.
    strong, weak
        (k, reflections) bool on the device: beams that are strong for any of a region's directions; beams that are weak
        at its centre and strong nowhere in it.
    strong_counts, weak_counts
        (k,) int64 numbers of them.
    """

    directions: torch.Tensor
    starts: NDArray[np.int64]
    counts: NDArray[np.int64]
    centres: torch.Tensor
    strong: torch.Tensor
    weak: torch.Tensor
    strong_counts: NDArray[np.int64]
    weak_counts: NDArray[np.int64]

    @classmethod
    def of(
        cls,
        tables: DeviceTables,
        directions: torch.Tensor,
        labels: NDArray[np.int64],
        strong: torch.Tensor,
        memory_bytes: int,
    ) -> Regions:
        """Find centres and weak beams.

        Parameters
        ----------
        tables
            The crystal.
        directions
            (n, 3) float64 on the device, sorted by region.
        labels
            (n,) number of each direction's region: 0, 1, ...
        strong
            (k, reflections) bool: beams that are strong for any of its directions.
        memory_bytes
            Memory to keep to; at least one region is taken at a time.
        """
        counts = np.bincount(labels)
        centres = torch.zeros((len(counts), 3), dtype=torch.float64, device=directions.device)
        centres.index_add_(0, torch.as_tensor(labels, device=directions.device), directions)
        centres = torch.nn.functional.normalize(centres)
        weak = torch.empty_like(strong)
        for part in tables.parts(len(centres), memory_bytes):
            size = tables.all_excitation_errors(centres[part]).abs_()
            weak[part] = (size <= tables.folded_limit) & ~strong[part]
        numbers = (mask.sum(dim=1).cpu().numpy() for mask in (strong, weak))
        return cls(directions, np.cumsum(counts) - counts, counts, centres, strong, weak, *numbers)

    def numbers(
        self, members: NDArray[np.int64], columns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Numbers of the directions of some regions, padded with the last one, and which are not padding, (t, columns)."""
        column = np.arange(columns)
        counts = self.counts[members, None]
        return self.starts[members, None] + np.minimum(column, counts - 1), column < counts

    def batch(self, members: NDArray[np.int64], rows: int, columns: int) -> RegionBatch:
        """Put regions together, padded to so many strong beams and directions, and to the most weak beams of them."""
        device = self.directions.device
        chosen, inside = self.numbers(members, columns)
        place = torch.as_tensor(members, device=device)
        return RegionBatch(
            self.directions[torch.as_tensor(chosen, device=device)],
            torch.as_tensor(inside, device=device),
            self.centres[place],
            self.strong[place],
            self.weak[place],
            rows,
            int(self.weak_counts[members].max()),
        )


def join(
    tables: DeviceTables, strong: torch.Tensor, patches: NDArray[np.int64], memory_bytes: int
) -> torch.Tensor:
    """Beams that any tile of a patch has.

    Parameters
    ----------
    tables
        The crystal.
    strong
        (tiles, reflections) bool.
    patches
        (tiles,) number of each tile's patch: 0, 1, ..., ascending.
    memory_bytes
        Memory to keep to; at least one tile is taken at a time.

    Returns
    -------
    torch.Tensor
        (patches, reflections) bool; `strong` itself where each tile is a patch.
    """
    count = int(patches[-1]) + 1
    if count == len(strong):
        return strong
    number = torch.as_tensor(patches, device=strong.device)
    result = torch.zeros((count, strong.shape[1]), dtype=torch.bool, device=strong.device)
    for part in tables.parts(len(strong), memory_bytes):
        tile, beam = strong[part].nonzero(as_tuple=True)
        result[number[part][tile], beam] = True
    return result
