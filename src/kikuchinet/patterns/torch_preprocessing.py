"""`preprocess` on a torch device: the same steps, each on all patterns at once.

Every step is that of :mod:`kikuchinet.patterns.preprocessing` and the modules it calls; their docstrings say why.
PyTorch is imported when this module is, so nothing imports it before a device is asked for.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from kikuchinet._torch import full_float32
from kikuchinet.errors import InputError
from kikuchinet.microscope.torch_filters import resample_torch, separable
from kikuchinet.patterns.lowpass import gaussian_basis
from kikuchinet.patterns.preprocessing import DEFAULT, Preprocessing, target_shape
from kikuchinet.patterns.screen import _DARK, _FLAT, _LEAST_SCREEN, BLOCKS

_TINY = 1e-6
_VARIANCE_FLOOR = 0.05
_SWEEPS = 8
"""Steps of the search for the surround between two looks at whether it is over; a look waits for the device."""


def preprocess_torch(
    images: Tensor, size: tuple[int, int] = (128, 128), settings: Preprocessing = DEFAULT
) -> Tensor:
    """Make patterns ready for a network, on the device that they are on.

    Parameters
    ----------
    images
        (n, rows, columns), real. That they are finite is for the caller to know: to look would wait for the device.
    size
        Rows and columns of the result, at least 32 each.
    settings
        How; the default is what shipped networks were trained with.

    Returns
    -------
    torch.Tensor
        float32 (n, *size), without gradient: mean 0 and standard deviation 1 over the screen, 0 outside it, all 0 for a
        blank image.

    Raises
    ------
    InputError
        If the images are not a stack or too small.

    See Also
    --------
    kikuchinet.patterns.preprocess : the same on the processor.
    """
    rows, columns = target_shape(size)
    if images.ndim != 3 or min(images.shape[1:]) < 2:
        raise InputError("patterns", f"shape {tuple(images.shape)}; (n, rows, columns) is needed")
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False), full_float32():
        stack = resample_torch(_cropped(images, (rows, columns)).float(), (rows, columns))
        lowest, highest = stack.amin((1, 2)), stack.amax((1, 2))
        blank = highest - lowest <= _TINY * torch.maximum(highest.abs(), lowest.abs())
        means, spreads = _block_statistics(stack)
        outside = _surround(means, spreads, _rim_means(stack))
        image = _without_trend(stack, means, outside)
        weight = _painted(~outside, (rows, columns)).float()
        image = _standardised(image, weight)
        narrow = _Smoother((rows, columns), settings.background_sigma, images.device)
        norm = narrow(weight).clamp_(min=_TINY)
        for _ in range(settings.passes):
            image = image.sub_(narrow(image).div_(norm)).mul_(weight)
        image = _standardised(image, weight).clamp_(-settings.clip, settings.clip)
        wide = _Smoother((rows, columns), settings.contrast_sigma, images.device)
        variance = wide(image * image).div_(wide(weight).clamp_(min=_TINY)).clamp_(min=0.0)
        image = image.mul_(weight).mul_(variance.add_(_VARIANCE_FLOOR).rsqrt_())
        image = _standardised(image, weight).clamp_(-settings.clip, settings.clip)
        # Not a product with zero: a blank image has been divided by next to nothing.
        return image.masked_fill_(blank[:, None, None], 0.0)


def _cropped(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the largest centred part with the aspect of `size`, as `crop_to_aspect`."""
    rows, columns = images.shape[1:]
    wide = min(columns, max(1, round(rows * size[1] / size[0])))
    high = min(rows, max(1, round(columns * size[0] / size[1])))
    top, left = (rows - high) // 2, (columns - wide) // 2
    return images[:, top : top + high, left : left + wide]


@lru_cache(maxsize=32)
def _block_edges(side: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Return the blocks' first pixels (32,), each pixel's block (side,), and 0 or 1 whether it lies in it (32, side)."""
    edges = np.arange(BLOCKS + 1) * side // BLOCKS
    block = np.repeat(np.arange(BLOCKS), np.diff(edges))
    member = np.zeros((BLOCKS, side), dtype=np.float32)
    member[block, np.arange(side)] = 1.0
    return (
        torch.from_numpy(edges[:-1]).to(device),
        torch.from_numpy(block).to(device),
        torch.from_numpy(member).to(device),
    )


def _painted(blocks: Tensor, shape: tuple[int, int]) -> Tensor:
    """Spread values of blocks (n, 32, 32) over their pixels (n, *shape)."""
    (_, down, _), (_, across, _) = (_block_edges(side, blocks.device) for side in shape)
    return blocks[:, down][:, :, across]


def _block_statistics(images: Tensor) -> tuple[Tensor, Tensor]:
    """Return means and standard deviations of 32 x 32 blocks, (n, 32, 32) each."""
    shape = (images.shape[1], images.shape[2])
    (first_r, _, down), (first_c, _, across) = (_block_edges(side, images.device) for side in shape)
    first = images[:, first_r][:, :, first_c]
    # Measured from the block's first pixel: no cancellation at a high offset.
    value = images - _painted(first, shape)
    count = down.sum(1)[:, None] * across.sum(1)
    mean = separable(value, down, across).div_(count)
    squares = separable(value.square_(), down, across).div_(count)
    return first + mean, squares.sub_(mean * mean).clamp_(min=0.0).sqrt_()


def _median(values: Tensor) -> Tensor:
    """Return the median along the last axis; of an even number the mean of the two in the middle, as NumPy."""
    ordered = values.sort(dim=-1).values
    last = values.shape[-1] - 1
    return 0.5 * (ordered[..., last // 2] + ordered[..., (last + 1) // 2])


def _rim_means(images: Tensor) -> Tensor:
    """Return the darkest outermost line of pixels at each block of the border, (n, 32, 32); infinite elsewhere.

    Lines are averaged along a block and its neighbours, as in `kikuchinet.patterns.screen`.
    """
    shape = (images.shape[1], images.shape[2])
    down, across = (_block_edges(side, images.device)[2] for side in shape)
    down, across = (_spread(member[None] > 0.0, 1)[0].float() for member in (down, across))

    def along(lines: Tensor, member: Tensor) -> Tensor:
        return (lines @ member.mT) / member.sum(1)

    rims = torch.full((len(images), BLOCKS, BLOCKS), torch.inf, device=images.device)
    rims[:, 0] = along(images[:, 0], across)
    rims[:, -1] = along(images[:, -1], across)
    rims[:, :, 0] = torch.minimum(rims[:, :, 0], along(images[:, :, 0], down))
    rims[:, :, -1] = torch.minimum(rims[:, :, -1], along(images[:, :, -1], down))
    return rims


def _surround(means: Tensor, spreads: Tensor, rims: Tensor) -> Tensor:
    """Return which blocks are no screen, bool (n, 32, 32): as `find_screen_blocks`."""
    typical = _median(spreads.flatten(1))[:, None, None]
    # Darkness has a meaning only where zero means no signal.
    lit = means.amin((1, 2)) >= 0.0
    darkest = float(_DARK) * _median(means.flatten(1))[:, None, None]
    dark = (means < darkest) & lit[:, None, None]
    flat = spreads < float(_FLAT) * typical
    border, corner = _rim(means.device)
    reached = (flat & corner) | (dark & border) | ((rims < darkest) & lit[:, None, None])
    grows = flat | dark
    while True:
        before = reached
        for _ in range(_SWEEPS):
            reached = reached | ((_spread(reached, 1) | _spread(reached, 2)) & grows)
        if torch.equal(before, reached):
            break
    reached &= typical > 0.0
    # The screen's edge runs through the neighbours.
    outside = _spread(_spread(reached, 1), 2)
    believed = outside.sum((1, 2)) <= (1.0 - _LEAST_SCREEN) * BLOCKS * BLOCKS
    return outside & believed[:, None, None]


def _spread(blocks: Tensor, axis: int) -> Tensor:
    """Return the blocks (n, 32, 32) of a set and those before and after them along one axis."""
    wider = blocks.clone()
    last = BLOCKS - 1
    wider.narrow(axis, 0, last).logical_or_(blocks.narrow(axis, 1, last))
    wider.narrow(axis, 1, last).logical_or_(blocks.narrow(axis, 0, last))
    return wider


@lru_cache(maxsize=8)
def _rim(device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the blocks at the border and those in the corners, bool (32, 32)."""
    at_end = torch.zeros(BLOCKS, dtype=torch.bool)
    at_end[[0, -1]] = True
    return (at_end[:, None] | at_end).to(device), (at_end[:, None] & at_end).to(device)


@lru_cache(maxsize=32)
def _legendre(side: int, device: torch.device) -> Tensor:
    """Return the Legendre polynomials P0 to P4 at pixel centres from -1 to 1, (side, 5) float64."""
    x = (2.0 * np.arange(side) + 1.0) / side - 1.0
    return torch.from_numpy(np.polynomial.legendre.legvander(x, 4)).to(device)


@lru_cache(maxsize=8)
def _trend_design(device: torch.device) -> tuple[Tensor, Tensor, tuple[Tensor, Tensor]]:
    """Return the polynomials at block centres (1024, 15), their products (1024, 225), and degrees in y and x (15,)."""
    p = _legendre(BLOCKS, device)
    y, x = torch.tensor([(a, b) for a in range(5) for b in range(5 - a)], device=device).T
    design = (p[:, None, y] * p[None, :, x]).flatten(0, 1)
    return design, (design[:, :, None] * design[:, None, :]).flatten(1), (y, x)


def _without_trend(images: Tensor, means: Tensor, outside: Tensor) -> Tensor:
    """Return images without their slow trend: as `kikuchinet.patterns.trend.remove_trend`."""
    design, products, (degree_y, degree_x) = _trend_design(images.device)
    flat = means.flatten(1).double()
    least = 0.05 * _median(flat)
    factor = (flat.amin(1) >= 0.0) & (least > 0.0)
    logarithm = torch.maximum(flat, least[:, None]).log()
    values = torch.where(factor[:, None], logarithm, flat)
    level = values.mean(1)
    on = (~outside).flatten(1).double()
    normal = (on @ products).unflatten(1, (15, 15))
    # The ridge only matters where a small screen leaves some terms undetermined.
    normal = normal + 1e-6 * BLOCKS * BLOCKS * torch.eye(15, dtype=torch.float64, device=images.device)
    right = ((values - level[:, None]) * on) @ design
    solution, _ = torch.linalg.solve_ex(normal, right)
    square = torch.zeros((len(images), 5, 5), dtype=torch.float64, device=images.device)
    square[:, degree_y, degree_x] = solution
    rows, columns = images.shape[1:]
    down, across = (_legendre(side, images.device).float() for side in (rows, columns))
    trend = separable(square.float(), down, across).add_(level.float()[:, None, None])
    divided = images * torch.exp(-trend) - 1.0
    return torch.where(factor[:, None, None], divided, images - trend)


def _standardised(images: Tensor, weight: Tensor) -> Tensor:
    """Return images of mean 0 and standard deviation 1 over the screen, 0 outside."""
    count = weight.sum((1, 2), keepdim=True)
    centred = (images - (images * weight).sum((1, 2), keepdim=True).div_(count)).mul_(weight)
    spread = (centred * centred).sum((1, 2), keepdim=True).div_(count).sqrt_()
    return centred.mul_(torch.where(spread > 0.0, 1.0 / spread, 0.0))


class _Smoother:
    """Gaussian averages by the few cosine coefficients that they leave; see `kikuchinet.patterns.lowpass`."""

    def __init__(self, shape: tuple[int, int], sigma: float, device: torch.device) -> None:
        (self._down, down), (self._across, across) = (
            _basis(side, sigma * shape[0], device) for side in shape
        )
        self._transfer = down[:, None] * across

    def __call__(self, images: Tensor) -> Tensor:
        coefficients = separable(images, self._down, self._across).mul_(self._transfer)
        return separable(coefficients, self._down.mT, self._across.mT)


@lru_cache(maxsize=64)
def _basis(side: int, sigma_px: float, device: torch.device) -> tuple[Tensor, Tensor]:
    basis, transfer = gaussian_basis(side, sigma_px)
    return torch.from_numpy(basis).to(device), torch.from_numpy(transfer).to(device)
