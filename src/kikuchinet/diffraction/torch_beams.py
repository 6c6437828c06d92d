"""A crystal's tables on a torch device, the choice of beams there, and how work is cut into batches.

The same rules as :mod:`kikuchinet.diffraction.bloch`, for many directions at once. Whatever decides which beams take part
is float64; tables that only enter matrices are complex64.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

from kikuchinet.diffraction.bloch import BeamSelection, reflection_strengths
from kikuchinet.diffraction.potential import CrystalPotential

_FORBIDDEN = 1e-4
"""Strength in 1/nm² up to which a reflection is judged as forbidden, as in `bloch`."""
SURVEY_BYTES = 48
"""Per direction and reflection: three float64 at a time while excitation errors are worked out, masks and indices."""
_WASTE = 0.1
"""Share of padding that a batch may hold."""
_SMALL_BATCH = 10**7
"""Multiplications (rows² x columns) up to which a batch takes a GPU no less time: 1e8 flop in a kernel's 5 µs."""


@dataclass(frozen=True, eq=False)
class DeviceTables:
    """A potential and a beam selection as tensors on one device.

    Attributes
    ----------
    g
        Reflections, Cartesian crystal frame, (n, 3) float64, 1/nm.
    squared
        |g|², (n,) float64, 1/nm².
    flat
        (n,) int64: position of each reflection in the flattened tables, counted from (0, 0, 0). It is linear in the
        indices, so ``flat[g] - flat[h]`` is the position of g - h.
    u, s
        The potential's tables, flattened, complex64.
    centre
        Position of (0, 0, 0) in them.
    u_0
        Mean potential, 1/nm².
    strong_limit, weak_limit, folded_limit
        (n,) float64: |s_g| up to which each reflection is a strong beam, and up to which it takes part at all, in the
        exact solver and in the tiled one, 1/nm.
    wavelength_nm
        Electron wavelength inside the crystal.
    modulus_diagonal
        As in `BeamSelection`.
    """

    g: torch.Tensor
    squared: torch.Tensor
    flat: torch.Tensor
    u: torch.Tensor
    s: torch.Tensor
    centre: int
    u_0: complex
    strong_limit: torch.Tensor
    weak_limit: torch.Tensor
    folded_limit: torch.Tensor
    wavelength_nm: float
    modulus_diagonal: bool

    @classmethod
    def on(
        cls,
        device: torch.device,
        potential: CrystalPotential,
        selection: BeamSelection,
        strengths: NDArray[np.float64] | None,
    ) -> DeviceTables:
        """Copy what a solution needs to a device; `strengths` as `reflection_strengths` gives them."""
        if strengths is None:
            strengths = reflection_strengths(potential, selection)
        shape = potential.u.shape
        strides = np.array([shape[1] * shape[2], shape[2], 1])
        forbidden = 0.0 if selection.forbidden_s_per_nm is None else selection.forbidden_s_per_nm
        folded = selection.cutoff if selection.weak_cutoff is None else selection.weak_cutoff
        unit = potential.wavelength_nm * abs(potential.u_0)

        def limit(times: float, cutoff: float) -> torch.Tensor:
            alone = np.where(strengths > _FORBIDDEN, cutoff * potential.wavelength_nm * strengths, forbidden)
            return torch.as_tensor(np.minimum(alone, times * unit), dtype=torch.float64).to(device)

        return cls(
            g=torch.as_tensor(potential.g, dtype=torch.float64).to(device),
            squared=torch.as_tensor(np.sum(potential.g**2, axis=1), dtype=torch.float64).to(device),
            flat=torch.as_tensor(potential.hkl @ strides, dtype=torch.int64).to(device),
            u=torch.as_tensor(potential.u.reshape(-1)).to(device, torch.complex64),
            s=torch.as_tensor(potential.s.reshape(-1)).to(device, torch.complex64),
            centre=int(potential.extent @ strides),
            u_0=potential.u_0,
            strong_limit=limit(selection.strong, selection.cutoff),
            weak_limit=limit(selection.weak, selection.cutoff),
            folded_limit=limit(selection.weak, folded),
            wavelength_nm=potential.wavelength_nm,
            modulus_diagonal=selection.modulus_diagonal,
        )

    def potential_between(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """U_{g-h} for beams g (b, n) in rows and h (b, m) in columns, (b, n, m) complex64."""
        difference = self.flat[rows][:, :, None] - self.flat[columns][:, None, :]
        return self.u[difference.add_(self.centre)]

    def thermal_between(self, rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
        """S_gh = s(h - g) for beams g (b, n) in rows and h (b, m) in columns, (b, n, m) complex64; ψ† S ψ scatters."""
        difference = self.flat[columns][:, None, :] - self.flat[rows][:, :, None]
        return self.s[difference.add_(self.centre)]

    def excitation_errors(self, along: torch.Tensor, squared: torch.Tensor) -> torch.Tensor:
        """s_g = (2k g·n - g²) / (2 (k - g·n)) along the direction n to the detector, for a wave that comes from there.

        Parameters
        ----------
        along
            g·n, any shape, 1/nm; its memory is used for the result.
        squared
            |g|², of a shape that broadcasts to it, 1/nm².

        Returns
        -------
        torch.Tensor
            float64, the shape of `along`, 1/nm.
        """
        k = 1.0 / self.wavelength_nm
        below = (k - along).mul_(2.0)
        return along.mul_(2.0 * k).sub_(squared).div_(below)

    def all_excitation_errors(self, directions: torch.Tensor) -> torch.Tensor:
        """s_g of every reflection for directions (b, 3), (b, n) float64, 1/nm."""
        return self.excitation_errors(directions @ self.g.T, self.squared)

    def errors_of(self, beams: torch.Tensor, directions: torch.Tensor) -> torch.Tensor:
        """s_g of beams (t, n) for directions (t, m, 3), (t, n, m) float64, 1/nm."""
        along = torch.bmm(self.g[beams], directions.transpose(1, 2))
        return self.excitation_errors(along, self.squared[beams][:, :, None])

    def parts(self, count: int, memory_bytes: int) -> list[slice]:
        """Parts of so many directions whose excitation errors fit into some memory; one direction at least."""
        rows = max(1, memory_bytes // (SURVEY_BYTES * len(self.flat)))
        return [slice(start, start + rows) for start in range(0, count, rows)]


@dataclass(frozen=True, eq=False)
class Survey:
    """How many beams each direction has, and which beams any direction of a tile has.

    Attributes
    ----------
    strong, weak
        (directions,) int64 numbers of beams.
    unions
        (tiles, n) bool on the device, or ``None`` where there are no tiles.
    """

    strong: NDArray[np.int64]
    weak: NDArray[np.int64]
    unions: torch.Tensor | None


def survey(
    tables: DeviceTables, directions: torch.Tensor, tiles: torch.Tensor | None, memory_bytes: int
) -> Survey:
    """Choose the beams of all directions once, to know how much there will be to do.

    Parameters
    ----------
    tables
        The crystal.
    directions
        (n, 3) float64 on the device.
    tiles
        (n,) int64 number of each direction's tile, ascending; ``None`` for no tiles.
    memory_bytes
        Memory to keep to; at least one direction is taken at a time.
    """
    unions = None
    if tiles is not None:
        shape = (int(tiles[-1]) + 1, len(tables.flat))
        unions = torch.zeros(shape, dtype=torch.bool, device=directions.device)
    counts = []
    for part in tables.parts(len(directions), memory_bytes):
        size = tables.all_excitation_errors(directions[part]).abs_()
        strong = size <= tables.strong_limit
        counts.append(torch.stack([strong.sum(dim=1), (size <= tables.weak_limit).sum(dim=1)]))
        if tiles is not None and unions is not None:
            direction, beam = strong.nonzero(as_tuple=True)
            unions[tiles[part][direction], beam] = True
    strong_counts, all_counts = torch.cat(counts, dim=1).cpu().numpy()
    return Survey(strong_counts, np.maximum(all_counts - strong_counts, 0), unions)


def true_indices(mask: torch.Tensor, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Positions of the true elements of each row.

    Parameters
    ----------
    mask
        (b, n) bool.
    width
        Columns of the result; a row with more true elements loses the last ones.

    Returns
    -------
    indices
        (b, width) int64, ascending, filled up with 0.
    valid
        (b, width) bool: where `indices` says something.
    """
    row, column = mask.nonzero(as_tuple=True)
    counts = mask.sum(dim=1)
    place = torch.arange(len(row), device=mask.device) - (counts.cumsum(0) - counts)[row]
    # A beam within rounding of its limit may be in here and not in the survey that `width` is from.
    kept = place < width
    indices = torch.zeros((len(mask), width), dtype=torch.int64, device=mask.device)
    indices[row[kept], place[kept]] = column[kept]
    return indices, torch.arange(width, device=mask.device) < counts[:, None]


@dataclass(frozen=True, eq=False)
class Batch:
    """Problems that are solved together, each padded to `rows` beams and `columns` directions.

    Attributes
    ----------
    members
        (k,) int64 numbers of the problems.
    rows, columns
        Size that all of them are padded to.
    """

    members: NDArray[np.int64]
    rows: int
    columns: int


def plan_batches(
    rows: NDArray[np.int64],
    columns: NDArray[np.int64],
    member_bytes: Callable[[int, int], int],
    memory_bytes: int,
) -> list[Batch]:
    """Put problems of similar size together, so that little is padded and a GPU has enough to do.

    Parameters
    ----------
    rows, columns
        (k,) sizes of the problems, whose cost is rows² x columns.
    member_bytes
        Memory of one problem of a size.
    memory_bytes
        Memory of a batch; at least one problem is in each.

    Returns
    -------
    list of Batch
        Every problem once, large ones first.
    """
    rows, columns = _rounded(rows), np.where(columns <= 8, columns, _rounded(columns))
    # Columns are compared by powers of two only: nearly all tiles are full, and the few at the rim are not worth batches
    # of their own.
    keys = np.stack([np.ceil(np.log2(columns)).astype(np.int64), rows, columns], axis=1)
    classes, inverse, counts = np.unique(keys, axis=0, return_inverse=True, return_counts=True)
    order = np.argsort(inverse.reshape(-1), kind="stable")
    ends = np.cumsum(counts)
    batches: list[Batch] = []
    first = len(classes)
    while first > 0:
        last, first = first, _merge(classes, counts, first)
        members = order[ends[first] - counts[first] : ends[last - 1]]
        r, c = int(classes[first:last, 1].max()), int(classes[first:last, 2].max())
        size = max(1, memory_bytes // member_bytes(r, c))
        parts = np.linspace(0, len(members), -(-len(members) // size) + 1).astype(int)
        batches += [Batch(members[a:b], r, c) for a, b in pairwise(parts)]
    return batches


def _merge(classes: NDArray[np.int64], counts: NDArray[np.int64], last: int) -> int:
    """First of the classes that go together with class `last` - 1, counted downwards while padding stays cheap."""
    first = last - 1
    while first > 0:
        chosen = slice(first - 1, last)
        r, c, count = classes[chosen, 1], classes[chosen, 2], counts[chosen]
        true = float((count * r**2 * c).sum())
        padded = float(count.sum()) * float(r.max()) ** 2 * float(c.max())
        if padded - true > _WASTE * true + _SMALL_BATCH:
            break
        first -= 1
    return first


def _rounded(sizes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Sizes rounded up to a multiple of 8, above 128 to one sixteenth of the next power of two: few different ones."""
    step = 2 ** (np.ceil(np.log2(np.maximum(sizes, 128))).astype(np.int64) - 4)
    return -(-np.asarray(sizes, dtype=np.int64) // step) * step
