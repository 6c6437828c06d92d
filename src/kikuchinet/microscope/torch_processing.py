"""From light to grey levels on a torch device: counts, and what the vendor's software makes of them.

Conventions are those of `kikuchinet.microscope.torch_stages`; the formulae those of `kikuchinet.microscope.detection` and
`processing`, whose docstrings say where they are from.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from kikuchinet.microscope.processing import _BINS
from kikuchinet.microscope.torch_filters import separable

_MOST_COUNTED = 1e6
"""Mean counts per pixel up to which they are drawn exactly; bright pixels may have a few times as many."""


def detect(
    images: Tensor,
    doses: Sequence[float],
    read_noises: Sequence[float],
    seeds: Sequence[int],
    generator: torch.Generator,
) -> Tensor:
    """Turn relative brightness into what the camera counts, shot and read noise included.

    Parameters
    ----------
    images
        (cameras, patterns, rows, columns) of brightness, mean 1.
    doses, read_noises, seeds
        Of each camera: electrons in all averaged frames together, and the read-out's noise of all of them. Its noise
        depends on its own seed only, whatever else is in the batch.
    generator
        Of the images' device; its state is overwritten.

    Returns
    -------
    torch.Tensor
        Brightness as measured.

    Notes
    -----
    Counts are drawn from the Poisson distribution itself; beyond a mean of a million by the expansion that
    `kikuchinet.microscope.detection.poisson_counts` has, since CUDA's generator counts in 32 bits.
    """
    measured = torch.empty_like(images)
    for own, expected, dose, read_noise, seed in zip(
        measured, images, doses, read_noises, seeds, strict=True
    ):
        generator.manual_seed(seed)
        # A large gain error takes the darkest pixels below zero, as in `poisson_counts`.
        mean = (expected * dose).clamp_(min=0.0)
        if dose <= _MOST_COUNTED:
            counts = torch.poisson(mean, generator=generator)
        else:
            z = torch.empty_like(mean).normal_(generator=generator)
            counts = (mean + mean.sqrt() * z + (z * z - 1.0) / 6.0).round_().clamp_(min=0.0)
        if read_noise > 0:
            counts.add_(own.normal_(generator=generator), alpha=read_noise)
        torch.div(counts, dose, out=own)
    return measured


def remove_static(images: Tensor, background: Tensor, chosen: Tensor, subtracted: Tensor) -> Tensor:
    """Take off the static background of the cameras that are chosen: divided by, or subtracted where that is true."""
    # A tenth of the mean: no software divides by the black of a shadow.
    divided = images / torch.where(chosen & ~subtracted, background.clamp(min=0.1), 1.0)
    return divided.sub_(torch.where(chosen & subtracted, background, 0.0))


def remove_dynamic(
    images: Tensor,
    lit: Tensor,
    average: tuple[Tensor, Tensor],
    pixels: Tensor,
    chosen: Tensor,
    divided: Tensor | None,
) -> Tensor:
    """Take off the dynamic background of the cameras that are chosen: the pattern itself, blurred, over the screen alone.

    Parameters
    ----------
    images
        Brightness on the chip.
    lit
        (cameras, 1, rows, columns) share of the screen that each pixel of the chip sees.
    average
        Matrices of the wide Gaussian average.
    pixels
        (cameras, 1, 1, 1) number of pixels of each chip.
    chosen, divided
        bool (cameras, 1, 1, 1): whether it is taken off, and whether it is divided by and not subtracted; None where it
        is divided by nowhere.
    """
    smooth = separable(images * lit, *average) / separable(lit, *average).clamp(min=1e-3)
    if divided is None:
        return images - torch.where(chosen, smooth, 0.0)
    # Where an image has been brought to a mean of zero there is nothing to divide by; a tenth of its mean is a floor.
    floor = smooth.abs().sum((-2, -1), keepdim=True).mul_(0.1 / pixels).add_(1e-6)
    quotient = images / torch.maximum(smooth, floor)
    return torch.where(chosen, torch.where(divided, quotient, images - smooth), images)


def stretch(images: Tensor, clipped: Sequence[int], from_zero: Tensor) -> Tensor:
    """Stretch brightness to 0..1 and clip the rest.

    Parameters
    ----------
    images
        (cameras, patterns, rows, columns) brightness on any scale.
    clipped
        Number of pixels that is clipped at each end, for each camera.
    from_zero
        bool (cameras, 1, 1, 1): level 0 means no light.
    """
    flat = images.flatten(2)
    most = max(clipped) + 1
    index = torch.tensor(clipped, device=images.device)[:, None, None].expand(-1, images.shape[1], 1)
    high = flat.topk(most).values.gather(2, index)[..., None]
    low = flat.topk(most, largest=False).values.gather(2, index)[..., None]
    low = torch.where(from_zero, 0.0, low)
    scale = torch.where(high > low, 1.0 / (high - low), 0.0)
    return ((images - low) * scale).clamp_(0.0, 1.0)


def equalise(images: Tensor, limits: Tensor, tiles: int) -> Tensor:
    """Raise local contrast by contrast-limited adaptive histogram equalisation.

    Parameters
    ----------
    images
        (n, rows, columns), levels from 0 to 1.
    limits
        (n,) steepest slope of the grey scale.
    tiles
        Number of tiles along the height.
    """
    n, rows, columns = images.shape
    down = max(1, min(tiles, rows // 4))
    across = max(1, min(round(tiles * columns / rows), columns // 4))
    position = images * _BINS
    level = position.to(torch.int64).clamp_(max=_BINS - 1)
    part = position - level
    tile_r, count_r = _tiles(rows, down, images.device)
    tile_c, count_c = _tiles(columns, across, images.device)
    own = tile_r[:, None] * across + tile_c
    image = torch.arange(n, device=images.device)[:, None, None] * (down * across)
    counts = torch.zeros(n * down * across * _BINS, device=images.device)
    # Sums of ones are exact in float32, in whatever order they are added.
    counts.scatter_add_(0, ((image + own) * _BINS + level).flatten(), torch.ones_like(images).flatten())
    counts = counts.view(n, down * across, _BINS)
    size = (count_r[:, None] * count_c).flatten()[None, :, None]
    kept = torch.minimum(counts, limits[:, None, None] * size / _BINS)
    spread = (counts - kept).sum(2, keepdim=True).div_(_BINS)
    # The grey scale at the bins' edges, from 0.
    scales = torch.nn.functional.pad((kept + spread).cumsum(2).div_(size), (1, 0)).flatten()
    a, below, weight_r = _between(rows, down, images.device)
    b, right, weight_c = _between(columns, across, images.device)

    def scaled(tile_row: Tensor, tile_column: Tensor) -> Tensor:
        edge = (image + tile_row[:, None] * across + tile_column) * (_BINS + 1) + level
        return torch.lerp(scales[edge], scales[edge + 1], part)

    upper = torch.lerp(scaled(a, b), scaled(a, right), weight_c)
    lower = torch.lerp(scaled(below, b), scaled(below, right), weight_c)
    return torch.lerp(upper, lower, weight_r[:, None])


def _tiles(side: int, number: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the tile of each pixel along a side, and how many pixels each tile has."""
    edges = torch.arange(number + 1, device=device) * side // number
    pixel = torch.arange(side, device=device)
    return torch.searchsorted(edges, pixel, right=True) - 1, edges.diff().float()


def _between(side: int, number: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the tiles before and after each pixel along a side, and the weight of the one after."""
    at = (torch.arange(side, dtype=torch.float32, device=device) + 0.5) * (number / side) - 0.5
    at = at.clamp_(0.0, number - 1.0)
    before = at.long().clamp_(max=max(number - 2, 0))
    return before, (before + 1).clamp_(max=number - 1), at - before


def quantise(levels: Tensor, gamma: Tensor, highest: Tensor) -> Tensor:
    """Bend the grey scale and round it to whole levels from 0 to `highest`."""
    return levels.pow(gamma).mul_(highest).round_()


def clipped_pixels(clip_fraction: float, pixels: int) -> int:
    """Return how many pixels a camera clips at each end."""
    return min(int(clip_fraction * pixels), pixels // 2, pixels - 1)
