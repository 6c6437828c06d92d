"""Cameras as arrays on a device, and what is drawn once for each of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from kikuchinet.microscope import exposure, faults
from kikuchinet.microscope.camera import Camera
from kikuchinet.microscope.specimen import transmitted_contrast
from kikuchinet.microscope.torch_filters import blur_matrices, resampling_matrices, separable
from kikuchinet.microscope.torch_stages import standardise

COVERED = frozenset(
    {
        "contrast",
        "source_center",
        "source_width",
        "vignette",
        "compression",
        "uneven",
        "uneven_grain",
        "excess_deficiency",
        "beam_center",
        "psf_sigma_px",
        "capture_rows",
        "dose_electrons_per_px",
        "read_noise_electrons",
        "noise_sigma_px",
        "gain_error",
        "dust",
        "flat_fielded",
        "dynamic_background",
        "gamma",
        "clip_fraction",
        "bits",
        "screen_radius",
        "screen_center",
        "surround",
        "shadow_angle",
        "shadow_reach",
        "shadow_depth",
        "shadow_softness",
        "amorphous_nm",
        "excess_width",
        "energy_rise",
        "optical_axis",
        "glare",
        "glare_width",
        "focus_drift_px",
        "focus_angle",
        "screen_margins",
        "frames",
        "saturation",
        "dead_pixels",
        "dead_lines",
        "hot_columns",
        "static_operation",
        "background_drift",
        "dynamic_operation",
        "dynamic_width",
        "local_contrast",
        "local_contrast_tiles",
        "scale_bar",
        "label",
        "contrast_center",
        "contrast_width",
    }
)
"""Fields of `Camera` that are computed on a device. Any other must have its default."""

Pair = tuple[Tensor, Tensor]
Sizes = Sequence[tuple[int, int]]

_NOTHING = np.zeros((3, 3), dtype=np.float32)
_OF_GAINS = 0x5851F42D4C957F2D


class CameraBatch:
    """Many cameras at once: their numbers, their filters, their faults.

    Parameters
    ----------
    cameras
        The cameras.
    shape
        Rows and columns of the images.
    rngs
        A source of randomness for each camera. Drawn are, in this order and each only where the camera has it: the
        uneven field, dust, defects; a seed for the noise of pixels; writing.
    device
        Where the arrays are.

    Attributes
    ----------
    chips, chip
        Rows and columns of each camera's chip, and of an array that all of them fit into.
    dust
        (cameras, specks, 4), as `torch_stages.specks` takes it.
    seeds
        Of each camera's noise.
    broken
        Which cameras have broken pixels, and gains and dark levels (k, 1, *chip); None if none has.
    written
        Which cameras' images are written on, and where and what with (k, 1, *shape); None if none is.
    """

    def __init__(
        self,
        cameras: Sequence[Camera],
        shape: tuple[int, int],
        rngs: Sequence[np.random.Generator],
        device: torch.device,
    ) -> None:
        self.cameras, self.shape, self.device = cameras, shape, device
        self.chips = [exposure.chip_shape(camera, shape) for camera in cameras]
        self.chip = _largest(self.chips)
        self.binned = any(size != shape for size in self.chips)
        self._screens = [shape] * len(cameras)
        self._coarse: list[NDArray[np.float32]] = []
        self.seeds: list[int] = []
        dust = np.zeros((len(cameras), max(camera.dust for camera in cameras), 4), dtype=np.float32)
        dust[..., 3] = 1.0
        broken: list[tuple[int, faults.Defects]] = []
        written: list[tuple[int, NDArray[np.bool_], NDArray[np.float32]]] = []
        for k, (camera, rng) in enumerate(zip(cameras, rngs, strict=True)):
            self._coarse.append(_coarse_field(camera, shape, rng))
            if n := camera.dust:
                dust[k, :n, :2] = rng.random((n, 2), dtype=np.float32)
                dust[k, :n, 2] = rng.uniform(0.05, 0.4, n)
                dust[k, :n, 3] = rng.uniform(0.005, 0.02, n)
            if camera.dead_pixels > 0 or camera.dead_lines > 0 or camera.hot_columns > 0:
                counts = camera.dead_pixels, camera.dead_lines, camera.hot_columns
                broken.append((k, faults.draw_defects(self.chips[k], *counts, rng)))
            self.seeds.append(int(rng.integers(2**63)))
            if camera.scale_bar > 0 or camera.label > 0:
                written.append((k, *faults.draw_writing(shape, camera.scale_bar, camera.label, rng)))
        self.dust = torch.from_numpy(dust).to(device)
        self.broken = self._sent_defects(broken) if broken else None
        self.written = self._sent_writing(written) if written else None
        rows = [_numbers(camera, chip) for camera, chip in zip(cameras, self.chips, strict=True)]
        table = torch.tensor([list(row.values()) for row in rows], dtype=torch.float32).to(device)
        self._numbers = {name: table[:, i, None, None, None] for i, name in enumerate(rows[0])}
        self.paints = any(row["grey"] for row in rows)
        self.divides = any(row["dynamic_divided"] for row in rows)
        if self.binned:
            self.to_chip = self._resizing(self._screens, self.chips)
            self.from_chip = self._resizing(self.chips, self._screens)

    def __getitem__(self, name: str) -> Tensor:
        """Return a number of every camera, (cameras, 1, 1, 1)."""
        return self._numbers[name]

    def pair(self, name: str) -> Pair:
        """Return x and y of a place of every camera, (cameras, 1, 1, 1) each."""
        return self[f"{name}_0"], self[f"{name}_1"]

    def flag(self, name: str) -> Tensor:
        """Return a yes or no of every camera, (cameras, 1, 1, 1) bool."""
        return self[name] > 0.5

    def values(self, name: str) -> list[float]:
        """Return a number of every camera on the host."""
        return [getattr(camera, name) for camera in self.cameras]

    def any(self, name: str) -> bool:
        """Return whether any camera has a number other than zero; the device is not waited for."""
        return any(value != 0 for value in self.values(name))

    def blurs(self, sigma_px: Sequence[float], *, screen: bool, truncate: float = 3.5) -> Pair:
        """Return the matrices (cameras, 1, side, side) of each camera's blur, down and across, of screen or chip."""
        return self._blurs(self._screens if screen else self.chips, sigma_px, truncate)

    def averages(self, *, screen: bool, widths: Sequence[float], truncate: float = 3.5) -> Pair:
        """Return the matrices of a wide Gaussian average, worked out on a quarter of the pixels; widths in heights."""
        sizes = self._screens if screen else self.chips
        quarters = [(max(3, rows // 4), max(3, columns // 4)) for rows, columns in sizes]
        shrink = self._resizing(sizes, quarters)
        sigma = [width * size[0] for width, size in zip(widths, quarters, strict=True)]
        blur = self._blurs(quarters, sigma, truncate)
        grow = self._resizing(quarters, sizes)
        down, across = (a @ b @ c for a, b, c in zip(grow, blur, shrink, strict=True))
        return down, across

    def uneven_fields(self) -> Tensor:
        """Return each camera's smooth field, (cameras, 1, rows, columns): coarse noise, interpolated and blurred."""
        sizes = [(grid.shape[0], grid.shape[1]) for grid in self._coarse]
        grids = torch.from_numpy(_padded(self._coarse, _largest(sizes))).to(self.device)
        fine = separable(grids, *self._resizing(sizes, self._screens))
        sigma = [0.5 * grain * self.shape[0] for grain in self.values("uneven_grain")]
        return standardise(separable(fine, *self.blurs(sigma, screen=True)))

    def gains(self, generator: torch.Generator) -> Tensor:
        """Return the gain of each pixel of each camera, (cameras, 1, *chip)."""
        gains = torch.empty((len(self.cameras), 1, *self.chip), device=self.device)
        for own, seed in zip(gains, self.seeds, strict=True):
            # Not the seed of the counts: the same numbers would come again.
            generator.manual_seed(seed ^ _OF_GAINS)
            own.normal_(generator=generator)
        return gains.mul_(self["gain_error"]).add_(1.0)

    def equalised(self, patterns: int) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Yield numbers of tiles, which cameras have so many, and the limit of each of their patterns."""
        for tiles in sorted({c.local_contrast_tiles for c in self.cameras if c.local_contrast > 0}):
            mine = [
                k
                for k, camera in enumerate(self.cameras)
                if camera.local_contrast > 0 and camera.local_contrast_tiles == tiles
            ]
            limits = [self.cameras[k].local_contrast for k in mine for _ in range(patterns)]
            yield tiles, self._index(mine), torch.tensor(limits, dtype=torch.float32, device=self.device)

    def _index(self, which: Sequence[int]) -> Tensor:
        return torch.tensor(which, dtype=torch.int64, device=self.device)

    def _sent_defects(self, broken: list[tuple[int, faults.Defects]]) -> tuple[Tensor, Tensor, Tensor]:
        gain, dark = (
            torch.from_numpy(_padded(arrays, self.chip)).to(self.device)
            for arrays in ([defects.gain for _, defects in broken], [defects.dark for _, defects in broken])
        )
        return self._index([k for k, _ in broken]), gain, dark

    def _sent_writing(
        self, written: list[tuple[int, NDArray[np.bool_], NDArray[np.float32]]]
    ) -> tuple[Tensor, Tensor, Tensor]:
        covered = torch.from_numpy(np.stack([covered for _, covered, _ in written])[:, None])
        ink = torch.from_numpy(np.stack([ink for _, _, ink in written])[:, None])
        return self._index([k for k, _, _ in written]), covered.to(self.device), ink.to(self.device)

    def _blurs(self, sizes: Sizes, sigma_px: Sequence[float], truncate: float) -> Pair:
        down, across = (
            blur_matrices(sides, sigma_px, max(sides), self.device, truncate=truncate)[:, None]
            for sides in _sides(sizes)
        )
        return down, across

    def _resizing(self, old: Sizes, new: Sizes) -> Pair:
        """Return the matrices (cameras, 1, new side, old side) between arrays of given sizes, down and across."""
        down, across = (
            resampling_matrices(a, b, (max(a), max(b)), self.device)[:, None]
            for a, b in zip(_sides(old), _sides(new), strict=True)
        )
        return down, across


def _coarse_field(camera: Camera, shape: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float32]:
    """Draw what `specimen.uneven_field` makes its field of."""
    if camera.uneven <= 0:
        return _NOTHING
    points = [max(3, round(side / (shape[0] * camera.uneven_grain)) + 2) for side in shape]
    return rng.standard_normal(points, dtype=np.float32)


def _numbers(camera: Camera, chip: tuple[int, int]) -> dict[str, float]:
    """Return all of a camera that is a number for each camera."""
    out: dict[str, float] = {}
    for field in fields(camera):
        if field.name not in COVERED:
            continue
        value = getattr(camera, field.name)
        if isinstance(value, tuple):
            out |= {f"{field.name}_{k}": float(part) for k, part in enumerate(value)}
        elif not isinstance(value, str):
            out[field.name] = float(value)
    partial = camera.screen_radius > 0 or any(camera.screen_margins)
    grey = partial and (camera.surround == "grey" or camera.dynamic_background)
    return out | {
        "chip_rows": chip[0],
        "chip_columns": chip[1],
        "contrast_left": camera.contrast * transmitted_contrast(camera.amorphous_nm),
        "fullest": camera.saturation if camera.saturation > 0 else np.inf,
        "grey": grey,
        "static_removed": camera.flat_fielded or grey,
        "static_subtracted": camera.static_operation == "subtract",
        "dynamic_divided": camera.dynamic_background and camera.dynamic_operation == "divide",
        "raw": not (camera.flat_fielded or grey or camera.dynamic_background),
        "highest": 2**camera.bits - 1,
    }


def _largest(sizes: Sizes) -> tuple[int, int]:
    """Return the size of an array that arrays of all these sizes fit into."""
    return max(size[0] for size in sizes), max(size[1] for size in sizes)


def _sides(sizes: Sizes) -> tuple[list[int], list[int]]:
    return [size[0] for size in sizes], [size[1] for size in sizes]


def _padded(arrays: Sequence[NDArray[np.float32]], size: tuple[int, int]) -> NDArray[np.float32]:
    """Return arrays in the top left corners of (k, 1, *size), with zeros around."""
    out = np.zeros((len(arrays), 1, *size), dtype=np.float32)
    for place, array in zip(out[:, 0], arrays, strict=True):
        place[: array.shape[0], : array.shape[1]] = array
    return out
