"""The filters of :mod:`kikuchinet.microscope.filters` on a torch device, as products with small matrices.

A separable filter is a matrix on either side of the image. On a GPU that is faster than a convolution, and every camera of
a batch may have its own: its width, or the size of its chip, is only another matrix. Chips of several sizes lie in the
top left corner of arrays of one size, with zeros around them, and so do their matrices.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor


def separable(images: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """Return `down` @ images @ `across`ᵀ: one filter along the columns, one along the rows.

    Parameters
    ----------
    images
        (..., rows, columns).
    down
        (..., new rows, rows).
    across
        (..., new columns, columns).
    """
    return down @ (images @ across.mT)


def blur_matrices(
    sides: Sequence[int],
    sigma_px: Sequence[float],
    length: int,
    device: torch.device,
    *,
    truncate: float = 3.5,
) -> Tensor:
    """Return the matrices of `gaussian_blur` along one side, the edge mirrored.

    Parameters
    ----------
    sides
        k numbers of pixels along the side, not more than `length`.
    sigma_px
        k standard deviations in pixels. Below 0.05 the matrix is one, as nothing happens there.
    length
        Rows and columns of each matrix; zero beyond `sides`.
    device
        Where the matrices are made.
    truncate
        Radius of the kernel in standard deviations.

    Returns
    -------
    torch.Tensor
        float32 (k, length, length).
    """
    radii = [max(1, int(truncate * sigma + 0.5)) for sigma in sigma_px]
    side, sigma, radius = _columns(sides, [max(value, 1e-3) for value in sigma_px], radii, device=device)
    to = torch.arange(length, dtype=torch.float64, device=device)[:, None]
    source = to.mT
    matrix = torch.zeros((len(sides), length, length), dtype=torch.float64, device=device)
    # Mirrors at both edges show each pixel again every two sides, the right way round and reversed.
    farthest = max(reach / pixels for reach, pixels in zip(radii, sides, strict=True))
    repeats = math.ceil((farthest + 1.0) / 2.0)
    for repeat in range(-repeats, repeats + 1):
        for first, sign in ((0.0, 1.0), (-1.0, -1.0)):
            low, high = sorted((2 * repeat, 2 * repeat + sign))
            if high <= -farthest or low >= 1.0 + farthest:
                continue
            distance = to - (first + sign * source) - (2.0 * repeat) * side
            kernel = distance.div(sigma).square_().mul_(-0.5).exp_()
            matrix += kernel.masked_fill_(distance.abs_() > radius, 0.0)
    matrix.masked_fill_((to >= side) | (source >= side), 0.0)
    return matrix.div_(matrix.sum(-1, keepdim=True).clamp_(min=1e-300)).float()


def resampling_matrices(
    old: Sequence[int], new: Sequence[int], lengths: tuple[int, int], device: torch.device
) -> Tensor:
    """Return the matrices of `resample` along one side: area averages to fewer pixels, linear interpolation to more.

    Parameters
    ----------
    old, new
        k numbers of pixels along the side.
    lengths
        Columns and rows of each matrix; zero beyond `old` and `new`.
    device
        Where the matrices are made.

    Returns
    -------
    torch.Tensor
        float32 (k, lengths[1], lengths[0]).
    """
    before, after = _columns(old, new, device=device)
    ratio = before / after
    to = torch.arange(lengths[1], dtype=torch.float64, device=device)[:, None]
    source = torch.arange(lengths[0], dtype=torch.float64, device=device)
    overlap = torch.minimum(source + 1.0, (to + 1.0) * ratio) - torch.maximum(source, to * ratio)
    centre = torch.minimum(((to + 0.5) * ratio - 0.5).clamp_(min=0.0), before - 1.0)
    triangle = 1.0 - (centre - source).abs_()
    matrix = torch.where(after < before, overlap, triangle).clamp_(min=0.0)
    matrix.masked_fill_((to >= after) | (source >= before), 0.0)
    return matrix.div_(matrix.sum(-1, keepdim=True).clamp_(min=1e-300)).float()


def _columns(*lists: Sequence[float], device: torch.device) -> list[Tensor]:
    """Return each list of k numbers as float64 (k, 1, 1), sent to the device together."""
    table = torch.tensor(lists, dtype=torch.float64).to(device)
    return list(table[:, :, None, None].unbind(0))


def resample_torch(images: Tensor, shape: tuple[int, int]) -> Tensor:
    """Resize images (..., rows, columns) to (..., *shape), as `kikuchinet.microscope.filters.resample` does."""
    rows, columns = images.shape[-2:]
    if (rows, columns) == tuple(shape):
        return images
    down, across = (
        resampling_matrices([old], [new], (old, new), images.device)[0]
        for old, new in ((rows, shape[0]), (columns, shape[1]))
    )
    return separable(images, down, across)
