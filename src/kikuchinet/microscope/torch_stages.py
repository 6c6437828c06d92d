"""The light that falls on the screen, on a torch device, each stage for many cameras at once.

Images are float32 (cameras, patterns, rows, columns); a parameter that every camera has its own value of is (cameras, 1, 1,
1). The formulae are those of `kikuchinet.microscope.specimen`, `optics` and `faults`, whose docstrings say where they are
from.
"""

from __future__ import annotations

import torch
from torch import Tensor

from kikuchinet.microscope.specimen import _LOW_LOSS_POWER, MEAN_ENERGY
from kikuchinet.microscope.torch_filters import separable


def coordinates(shape: tuple[int, int], rows: Tensor) -> tuple[Tensor, Tensor]:
    """Return pixel centres as fractions of the height `rows`: y (..., rows, 1) and x (..., 1, columns)."""
    y, x = (torch.arange(side, dtype=torch.float32, device=rows.device) + 0.5 for side in shape)
    return y[:, None] / rows, x[None, :] / rows


def _of_screen(shape: tuple[int, int], like: Tensor) -> tuple[Tensor, Tensor]:
    return coordinates(shape, torch.full((), float(shape[0]), device=like.device))


def standardise(images: Tensor) -> Tensor:
    """Return images of mean 0 and standard deviation 1 each; a blank one becomes 0."""
    mean = images.mean((-2, -1), keepdim=True)
    centred = images - mean
    spread = centred.square().mean((-2, -1), keepdim=True).sqrt_()
    # Rounding alone spreads a blank image by a few units in the last place of its mean.
    return centred.mul_(torch.where(spread > 1e-6 * mean.abs(), 1.0 / spread, 0.0))


def compress(images: Tensor, strength: Tensor) -> Tensor:
    """Flatten the brightest parts of the Kikuchi signal against the rest."""
    curved = torch.expm1(-strength * images.clamp(min=-6.0)).neg_()
    return torch.where(strength > 0.0, standardise(curved), images)


def excess_deficiency(
    images: Tensor, blur: tuple[Tensor, Tensor], center_x: Tensor, center_y: Tensor, strength: Tensor
) -> Tensor:
    """Brighten bands on the edge away from the incident beam; `blur` are the matrices over which slopes are taken."""
    shape = (images.shape[-2], images.shape[-1])
    y, x = _of_screen(shape, images)
    smooth = separable(images, *blur)
    term = torch.zeros_like(images)
    term[..., 1:-1, :] += (center_y - y[1:-1]) * (smooth[..., 2:, :] - smooth[..., :-2, :])
    toward_x = center_x * (shape[1] / shape[0]) - x[:, 1:-1]
    term[..., :, 1:-1] += toward_x * (smooth[..., 2:] - smooth[..., :-2])
    return torch.addcmul(images, strength, standardise(term))


def drifted_focus(images: Tensor, blur: tuple[Tensor, Tensor], angle: Tensor) -> Tensor:
    """Blur images more and more towards one side; `blur` are the matrices at the farther side."""
    shape = (images.shape[-2], images.shape[-1])
    along, reach = _along(shape, angle)
    share = (0.5 + 0.5 * along / reach).clamp_(0.0, 1.0).square_()
    return torch.lerp(images, separable(images, *blur), share)


def _along(shape: tuple[int, int], angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance from the middle along a direction, and that of the farthest corner."""
    y, x = _of_screen(shape, angle)
    half = 0.5 * shape[1] / shape[0]
    along = (x - half) * angle.cos() + (y - 0.5) * angle.sin()
    return along, half * angle.cos().abs() + 0.5 * angle.sin().abs()


def diffuse_background(
    shape: tuple[int, int],
    center: tuple[Tensor, Tensor],
    width: Tensor,
    vignette: Tensor,
    axis: tuple[Tensor, Tensor],
) -> Tensor:
    """Return the smooth brightness of the screen without any bands, mean 1, (cameras, 1, rows, columns)."""
    y, x = _of_screen(shape, width)
    aspect = shape[1] / shape[0]
    lobe = torch.exp(((x - center[0] * aspect) ** 2 + (y - center[1]) ** 2) * (-0.5 / width**2))
    # (1 + 0.25/s²)⁻² = 1 - vignette
    inverse_square = 4.0 * ((1.0 - vignette.clamp(max=0.99)).rsqrt() - 1.0)
    lobe = lobe / (1.0 + inverse_square * ((x - axis[0] * aspect) ** 2 + (y - axis[1]) ** 2)) ** 2
    return lobe / lobe.mean((-2, -1), keepdim=True)


def diffuse_energy(shape: tuple[int, int], rise: Tensor) -> Tensor:
    """Return the mean energy of the diffuse electrons relative to the screen's mean, (cameras, 1, rows, 1)."""
    y, _ = _of_screen(shape, rise)
    return 1.0 + (rise / MEAN_ENERGY) * (y - 0.5)


def energy_contrast(energy: Tensor) -> Tensor:
    """Return how the Kikuchi contrast varies with that energy, mean about 1."""
    share = energy**_LOW_LOSS_POWER
    return share / share.mean((-2, -1), keepdim=True)


def contrast_lobe(shape: tuple[int, int], center: tuple[Tensor, Tensor], width: Tensor) -> Tensor:
    """Return how the Kikuchi contrast varies over the screen, mean 1; 1 everywhere where the width is 0."""
    y, x = _of_screen(shape, width)
    squares = (x - center[0] * (shape[1] / shape[0])) ** 2 + (y - center[1]) ** 2
    lobe = torch.exp(squares * (-0.5 / width.clamp(min=1e-3) ** 2))
    return torch.where(width > 0.0, lobe / lobe.mean((-2, -1), keepdim=True), 1.0)


def shadow(shape: tuple[int, int], angle: Tensor, reach: Tensor, depth: Tensor, softness: Tensor) -> Tensor:
    """Return what is left of the light where something stands between sample and screen; all of it at depth 0."""
    along, farthest = _along(shape, angle)
    edge = farthest * (1.0 - 2.0 * reach)
    covered = ((along - edge) / softness.clamp(min=1e-6) + 0.5).clamp(0.0, 1.0)
    return 1.0 - depth * covered


def round_screen(
    shape: tuple[int, int], center: tuple[Tensor, Tensor], radius: Tensor, softness: float
) -> Tensor:
    """Return how much of the screen's light each pixel sees; all of it where the radius is 0."""
    y, x = _of_screen(shape, radius)
    distance = ((x - center[0] * (shape[1] / shape[0])) ** 2 + (y - center[1]) ** 2).sqrt()
    edge = ((radius - distance) / softness + 0.5).clamp(0.0, 1.0)
    return torch.where(radius > 0.0, edge, 1.0)


def margins(shape: tuple[int, int], left: Tensor, top: Tensor, right: Tensor, bottom: Tensor) -> Tensor:
    """Return how much of a cropped screen's light each pixel sees: 1 on it, 0 in the bars around it."""

    def lit(before: Tensor, after: Tensor, size: int) -> Tensor:
        first = torch.arange(size, dtype=torch.float32, device=before.device)
        from_start = (first + 1.0 - before * size).clamp(0.0, 1.0)
        return torch.minimum(from_start, ((1.0 - after) * size - first).clamp(0.0, 1.0))

    return lit(top, bottom, shape[0]).mT * lit(left, right, shape[1])


def specks(shape: tuple[int, int], rows: Tensor, columns: Tensor, dust: Tensor) -> Tensor:
    """Return what specks of dust leave of the light, (cameras, 1, *shape).

    Parameters
    ----------
    shape
        Rows and columns of the array that the chips lie in.
    rows, columns
        (cameras, 1, 1, 1) sizes of the chips.
    dust
        (cameras, specks, 4): x and y as fractions, depth, radius in heights; a speck of depth 0 does nothing.
    """
    y, x = coordinates(shape, rows)
    left = torch.ones((len(dust), 1, *shape), device=dust.device)
    for speck in dust.unbind(1):
        at_x, at_y, depth, radius = (value[:, None, None, None] for value in speck.unbind(1))
        across = torch.exp(-0.5 * ((x - at_x * (columns / rows)) / radius) ** 2)
        down = torch.exp(-0.5 * ((y - at_y) / radius) ** 2)
        left *= 1.0 - depth * down * across
    return left
