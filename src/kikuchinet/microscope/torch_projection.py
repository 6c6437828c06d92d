"""Projection of master patterns onto detectors on a torch device, many masters in one batch.

The same map and interpolation as :mod:`kikuchinet.microscope.projection`, as a few dozen operations on whole batches. The
patterns stay on the device as a float32 tensor, for a camera and a network to go on with. PyTorch is imported when this
module is, so nothing imports it before a device is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from kikuchinet._torch import torch_device
from kikuchinet.errors import InputError
from kikuchinet.microscope.detector import Detector, detector_to_sample
from kikuchinet.microscope.projection import HasHemispheres, interleave, pattern_rays

_PIXEL_BYTES = 80
"""Memory that one pixel takes while it is projected: a dozen float32 at a time, two times four texels."""


@dataclass(frozen=True, eq=False)
class MasterStack:
    """Master patterns of equal size on one device, laid out for projection.

    Attributes
    ----------
    texels
        (masters · 2 · size², 4) float32: the upper, then the lower hemisphere of each master, as
        `kikuchinet.microscope.interleave` lays them out. A master of half-width 250 takes 8 MB.
    size
        Side of a hemisphere, 2h+1.
    """

    texels: torch.Tensor
    size: int

    @classmethod
    def of(cls, masters: Sequence[HasHemispheres], device: str | torch.device) -> MasterStack:
        """Put master patterns on a device.

        Parameters
        ----------
        masters
            Anything with ``upper`` and ``lower``, each (2h+1, 2h+1), all of one size.
        device
            PyTorch's name of a device, or ``auto`` for a GPU where there is one.

        Raises
        ------
        InputError
            No master, hemispheres that are no squares of odd side or of unequal sizes, or no such device.
        """
        chosen = torch_device(device)
        if len(masters) == 0:
            raise InputError("master patterns", "there is none to project")
        size = rows = 0
        # One after the other: interleaved masters are four times as large, and only the device need hold them all.
        for number, master in enumerate(masters):
            upper, lower = np.atleast_1d(master.upper), np.atleast_1d(master.lower)
            sides = {size or len(upper), len(upper), len(lower)}
            if len(sides) > 1:
                listed = ", ".join(map(str, sorted(sides)))
                raise InputError("master patterns", f"sides of {listed}; all must be equal")
            laid_out = torch.from_numpy(interleave(upper, lower))
            if number == 0:
                size, rows = len(upper), len(laid_out)
                texels = torch.empty((len(masters) * rows, 4), dtype=torch.float32, device=chosen)
            texels[number * rows : (number + 1) * rows].copy_(laid_out)
        return cls(texels, size)

    def __len__(self) -> int:
        """Return the number of master patterns."""
        return len(self.texels) // (2 * self.size**2)

    @property
    def device(self) -> torch.device:
        """Where the stack is, and where patterns are made from it."""
        return self.texels.device


def project_torch(
    masters: MasterStack,
    quaternions: ArrayLike,
    pattern_centers: ArrayLike,
    shape: tuple[int, int],
    *,
    which: ArrayLike = 0,
    tilt_deg: float = 0.0,
    azimuthal_deg: float = 0.0,
    twist_deg: float = 0.0,
    sample_tilt_deg: float = 70.0,
    memory_bytes: int = 2**30,
) -> torch.Tensor:
    """Project with a master pattern, an orientation and a pattern centre for each pattern.

    Parameters
    ----------
    masters
        The master patterns, on the device that shall compute.
    quaternions
        (n, 4) scalar first, sample to crystal; normalised here. On the host, as the pattern centres are: nine
        numbers a pattern go to the device.
    pattern_centers
        (n, 3) or (3,), Bruker's convention.
    shape
        Rows and columns of the detector.
    which
        (n,) int number of each pattern's master in the stack, or one for all.
    tilt_deg, azimuthal_deg, twist_deg, sample_tilt_deg
        As in `Detector`; the same for all patterns.
    memory_bytes
        Memory of the device to keep to, beside the stack and the result; at least one pattern is made at a time.

    Returns
    -------
    torch.Tensor
        float32 (n, rows, columns) on the stack's device, without gradient.

    Raises
    ------
    InputError
        If shapes disagree, numbers are not finite, or there is no such master.

    See Also
    --------
    kikuchinet.microscope.project_batch : the same on the processor, one master at a time.
    """
    detector = Detector(shape)  # checks the shape
    to_sample = detector_to_sample(sample_tilt_deg, tilt_deg, azimuthal_deg, twist_deg)
    rays = pattern_rays(quaternions, pattern_centers, detector.shape, to_sample)
    return project_rays(masters, rays, detector.shape, which=which, memory_bytes=memory_bytes)


def project_rays(
    masters: MasterStack,
    rays: NDArray[np.float32],
    shape: tuple[int, int],
    *,
    which: ArrayLike = 0,
    memory_bytes: int = 2**30,
) -> torch.Tensor:
    """Project with a master pattern and a screen for each pattern, where the screens' tilts differ.

    Parameters
    ----------
    masters
        The master patterns, on the device that shall compute.
    rays
        (n, 3, 3) float32 of `kikuchinet.microscope.projection.pattern_rays`, on the host.
    shape, which, memory_bytes
        As in `project_torch`.

    Returns
    -------
    torch.Tensor
        float32 (n, rows, columns) on the stack's device, without gradient.

    Raises
    ------
    InputError
        If there is no such master.
    """
    first = torch.from_numpy(_numbers(which, len(rays), len(masters)) * (2 * masters.size**2))
    sent, first = torch.from_numpy(rays).to(masters.device), first.to(masters.device)
    rows, columns = shape
    out = torch.empty((len(sent), rows, columns), dtype=torch.float32, device=masters.device)
    step = max(1, memory_bytes // (_PIXEL_BYTES * rows * columns))
    with torch.no_grad():
        for start in range(0, len(sent), step):
            part = slice(start, start + step)
            u, v, below = _square_points(masters.size, sent[part], shape)
            _interpolate(masters, first[part], u, v, below, out[part])
    return out


def _numbers(which: ArrayLike, count: int, masters: int) -> NDArray[np.int64]:
    """Return the number of each pattern's master, (count,) int64, once they are known to exist."""
    given = np.asarray(which)
    if given.dtype.kind not in "iu" or given.shape not in ((), (count,)):
        raise InputError(
            "numbers of master patterns", f"{given.dtype} of shape {given.shape}; ({count},) int is needed"
        )
    if given.size and (given.min() < 0 or given.max() >= masters):
        raise InputError("numbers of master patterns", f"one is outside 0 to {masters - 1}")
    return np.broadcast_to(given, (count,)).astype(np.int64)


def _square_points(
    size: int, rays: torch.Tensor, shape: tuple[int, int]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Where each pixel falls on the square Lambert map; Roşca 2010, as the compiled kernel has it.

    Parameters
    ----------
    size
        Side of the map.
    rays
        (n, 3, 3) float32: the first pixel's direction, its change per column and per row.
    shape
        Rows and columns of the detector.

    Returns
    -------
    u, v
        Column and row of the map, (n, rows, columns) float32.
    below
        bool: the point is on the lower hemisphere.
    """
    half = float((size - 1) // 2)
    row, column = (torch.arange(side, dtype=torch.float32, device=rays.device) for side in shape)
    along = rays[:, 0, :, None] + rays[:, 2, :, None] * row
    across = rays[:, 1, :, None] * column
    x, y, z = (along[:, axis, :, None] + across[:, axis, None, :] for axis in range(3))
    planar = torch.addcmul(x * x, y, y)
    length = torch.addcmul(planar, z, z).sqrt_()
    # sqrt(1 - |z|/length), written without the cancellation near the pole.
    radius = planar.div_((z.abs() + length).mul_(length)).sqrt_().mul_(half)
    abs_x, abs_y = x.abs(), y.abs()
    ratio = torch.minimum(abs_x, abs_y).div_(torch.maximum(abs_x, abs_y).clamp_(min=1e-30))
    minor = ratio.atan_().mul_(4.0 / np.pi).mul_(radius)
    wide = abs_x >= abs_y
    u = torch.where(wide, radius, minor).copysign_(x).add_(half)
    v = torch.where(wide, minor, radius).copysign_(y).add_(half)
    return u, v, z < 0


def _interpolate(
    masters: MasterStack,
    first: torch.Tensor,
    u: torch.Tensor,
    v: torch.Tensor,
    below: torch.Tensor,
    out: torch.Tensor,
) -> None:
    """Bilinear interpolation at points of the map, for patterns whose master begins at texel `first`, into `out`."""
    column, row = u.to(torch.int32), v.to(torch.int32)
    u.sub_(column)
    v.sub_(row)
    place = row.mul_(masters.size).add_(column).add_(below, alpha=masters.size**2)
    index = place + first[:, None, None]
    texels = masters.texels.index_select(0, index.reshape(-1)).reshape(*u.shape, 4)
    sides = torch.lerp(texels[..., ::2], texels[..., 1::2], u[..., None])
    torch.lerp(sides[..., 0], sides[..., 1], v, out=out)
