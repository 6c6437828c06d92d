"""Weak beams on a torch device: how they follow the strong ones, and what they scatter into each other.

The equations stand in :mod:`kikuchinet.diffraction.tiles`. A weak beam's amplitude is
ψ_w = -(Σ_h U_{w-h} ψ_h + Σ_v U_{w-v} ψ_v) / D_w, with h over strong beams and v over other weak ones, and the second sum
is worked out once for a patch of tiles.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from kikuchinet.diffraction.torch_beams import DeviceTables, true_indices
from kikuchinet.diffraction.torch_regions import RegionBatch

_PAIR_BYTES = 16
"""Per pair of weak beams: an index and a coupling."""


def weak_couplings(
    tables: DeviceTables, regions: RegionBatch, beams: torch.Tensor, valid: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Weak beams of tiles or patches, what couples them to the strong ones, and how they answer.

    Parameters
    ----------
    tables
        The crystal.
    regions
        Tiles or patches.
    beams, valid
        (t, n) their strong beams, and which are not padding.

    Returns
    -------
    weak
        (t, m) numbers of the weak beams, padded with 0.
    couplings
        U_{w-h}, (t, m, n) complex64.
    inverses
        -1/D_w with D_w = 2 s_w/λ + i U'_0, averaged over a region's directions and bounded as in `tiles`,
        D* / (|D|² + 4 max_h |U_{w-h}|²); (t, m, 1) complex64, zero where `weak` is padded.
    """
    weak, present = true_indices(regions.weak, regions.weak_rows)
    couplings = tables.potential_between(weak, beams)
    largest = couplings.abs().square_().mul_(valid[:, None, :]).amax(dim=2).to(torch.float64)
    absorption = tables.u_0.imag
    real = tables.errors_of(weak, regions.directions).mul_(2.0 / tables.wavelength_nm)
    shares = real.square().add_((4.0 * largest + absorption**2)[:, :, None]).reciprocal_()
    shares.mul_(regions.inside[:, None, :]).div_(regions.inside.sum(dim=1)[:, None, None])
    imaginary = shares.sum(dim=2).mul_(absorption)
    inverses = torch.complex(-real.mul_(shares).sum(dim=2), imaginary).mul_(present)
    return weak, couplings, inverses.to(torch.complex64)[:, :, None]


@dataclass(frozen=True, eq=False)
class ScatteredOn:
    """What weak beams, excited by strong ones, scatter into other weak ones, for some patches.

    Attributes
    ----------
    sums
        Σ_v U_{w-v} ψ_v per strong amplitude, (patches, m + 1, n) complex64. The last row is zero.
    rows, columns
        (patches, reflections) int64: where weak and strong reflections stand in `sums`; m for one that is not weak.
    """

    sums: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor

    @classmethod
    def of(cls, tables: DeviceTables, patches: RegionBatch, memory_bytes: int) -> ScatteredOn:
        """Work the sums out.

        Parameters
        ----------
        tables
            The crystal.
        patches
            The patches.
        memory_bytes
            Memory for the couplings among weak beams; those of one beam of each patch are taken at least.
        """
        beams, valid = true_indices(patches.strong, patches.rows)
        weak, follow, inverses = weak_couplings(tables, patches, beams, valid)
        follow.mul_(inverses)
        count, m, n = follow.shape
        sums = torch.zeros((count, m + 1, n), dtype=torch.complex64, device=follow.device)
        height = max(1, memory_bytes // (count * _PAIR_BYTES * (m + n + 1)))
        for start in range(0, m, height):
            part = slice(start, min(start + height, m))
            among = tables.potential_between(weak[:, part], weak)
            # No beam scatters into itself.
            among.diagonal(offset=start, dim1=1, dim2=2).zero_()
            sums[:, part] = torch.bmm(among, follow)
        # A reflection's place is the number of those before it.
        rows = (patches.weak.cumsum(dim=1) - 1).masked_fill_(~patches.weak, m)
        return cls(sums, rows, patches.strong.cumsum(dim=1) - 1)

    def between(self, patches: torch.Tensor, weak: torch.Tensor, strong: torch.Tensor) -> torch.Tensor:
        """Look the sums up.

        Parameters
        ----------
        patches
            (t,) number of the patch that each tile is in.
        weak
            (t, m) reflections.
        strong
            (t, n) reflections, all of them strong ones of their patch.

        Returns
        -------
        torch.Tensor
            (t, m, n) complex64; zero for a reflection that is no weak one of the patch.
        """
        row = self.rows[patches[:, None], weak]
        column = self.columns[patches[:, None], strong]
        return self.sums[patches[:, None, None], row[:, :, None], column[:, None, :]]
