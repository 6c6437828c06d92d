"""The camera on a torch device: many cameras, each with its own patterns, in one batch.

`expose_torch` is the twin of `Camera.expose`, stage by stage as in `kikuchinet.microscope.exposure`. What is drawn once for
a camera comes from the NumPy generator that is passed in; the noise of pixels comes from a generator of the device, which
that one seeds. So a device always draws the same noise for the same seed, but not that of the compiled code or of another
device. PyTorch is imported when this module is, so nothing imports it before a device is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
import torch
from torch import Tensor

from kikuchinet._torch import full_float32
from kikuchinet.errors import InputError
from kikuchinet.microscope import torch_processing as processing
from kikuchinet.microscope import torch_stages as stages
from kikuchinet.microscope.camera import Camera
from kikuchinet.microscope.torch_camera_batch import COVERED, CameraBatch
from kikuchinet.microscope.torch_filters import separable


def expose_torch(cameras: Sequence[Camera], images: Tensor, rngs: Sequence[np.random.Generator]) -> Tensor:
    """Photograph patterns, with each camera its own.

    Parameters
    ----------
    cameras
        The cameras.
    images
        (cameras, n, rows, columns) of intensity; each image is standardised first, so its units do not matter.
    rngs
        A source of randomness for each camera: the same state gives the same patterns on the same device, whatever the
        other cameras are.

    Returns
    -------
    torch.Tensor
        float32 (cameras, n, rows, columns), whole grey levels, without gradient.

    Raises
    ------
    InputError
        If shapes disagree, or a camera has something that is not computed on a device.

    See Also
    --------
    kikuchinet.microscope.Camera.expose : the same on the processor, for one camera.
    """
    if images.ndim != 4 or min(images.shape[2:]) < 3:
        raise InputError(
            "camera", f"images of shape {tuple(images.shape)}; (cameras, n, rows, columns) is needed"
        )
    if not len(cameras) == len(rngs) == len(images) > 0:
        raise InputError("camera", f"{len(cameras)} cameras, {len(rngs)} generators, {len(images)} stacks")
    for camera in cameras:
        _check_covered(camera)
    with torch.no_grad(), torch.autocast(images.device.type, enabled=False), full_float32():
        batch = CameraBatch(cameras, (images.shape[2], images.shape[3]), rngs, images.device)
        lit = _lit_screen(batch)
        light, static = _screen_light(batch, lit)
        brightness = _brightness(batch, images.float(), light)
        if batch.any("glare"):
            tail = batch.averages(screen=True, widths=batch.values("glare_width"), truncate=2.5)
            brightness, static = (
                torch.lerp(image, separable(image, *tail), batch["glare"]) for image in (brightness, static)
            )
        return _stored(batch, _processed(batch, *_counted(batch, brightness, static), lit))


def _check_covered(camera: Camera) -> None:
    for field in fields(camera):
        if field.name not in COVERED and getattr(camera, field.name) != field.default:
            raise InputError(f"camera {field.name}", "is not computed on a torch device")


def _lit_screen(batch: CameraBatch) -> Tensor:
    """Return the share of the screen that each pixel sees."""
    lit = stages.round_screen(
        batch.shape, batch.pair("screen_center"), batch["screen_radius"], 1.0 / batch.shape[0]
    )
    if any(any(camera.screen_margins) for camera in batch.cameras):
        bars = (batch[f"screen_margins_{k}"] for k in range(4))
        lit = lit * stages.margins(batch.shape, *bars)
    return lit


def _screen_light(batch: CameraBatch, lit: Tensor) -> tuple[Tensor, Tensor]:
    """Return the brightness of the screen without any bands, as it is and as the static background has it."""

    def light(center: tuple[Tensor, Tensor]) -> Tensor:
        return stages.diffuse_background(
            batch.shape, center, batch["source_width"], batch["vignette"], batch.pair("optical_axis")
        )

    now = static = light(batch.pair("source_center"))
    if any(any(camera.background_drift) for camera in batch.cameras):
        (x, y), (drift_x, drift_y) = batch.pair("source_center"), batch.pair("background_drift")
        static = light((x - drift_x * (batch.shape[0] / batch.shape[1]), y - drift_y))
    common = lit
    if batch.any("energy_rise"):
        common = common * stages.diffuse_energy(batch.shape, batch["energy_rise"])
    if batch.any("shadow_depth"):
        named = (batch[f"shadow_{name}"] for name in ("angle", "reach", "depth", "softness"))
        common = common * stages.shadow(batch.shape, *named)
    return now * common, static * common


def _brightness(batch: CameraBatch, images: Tensor, light: Tensor) -> Tensor:
    """Return what falls on the screen."""
    signal = stages.compress(stages.standardise(images), batch["compression"])
    rows = batch.shape[0]
    if batch.any("excess_deficiency"):
        slopes = batch.blurs(
            [width * rows for width in batch.values("excess_width")], screen=True, truncate=2.5
        )
        signal = stages.excess_deficiency(
            signal, slopes, *batch.pair("beam_center"), batch["excess_deficiency"]
        )
    signal = separable(signal, *batch.blurs(batch.values("psf_sigma_px"), screen=True))
    if batch.any("focus_drift_px"):
        blur = batch.blurs(batch.values("focus_drift_px"), screen=True, truncate=2.5)
        signal = stages.drifted_focus(signal, blur, batch["focus_angle"])
    if batch.any("uneven"):
        signal = signal.addcmul_(batch["uneven"], batch.uneven_fields())
    contrast = batch["contrast_left"]
    if batch.any("contrast_width"):
        lobe = stages.contrast_lobe(batch.shape, batch.pair("contrast_center"), batch["contrast_width"])
        contrast = contrast * lobe
    if batch.any("energy_rise"):
        energy = stages.diffuse_energy(batch.shape, batch["energy_rise"])
        contrast = contrast * stages.energy_contrast(energy)
    return signal.mul_(contrast).add_(1.0).clamp_(min=0.0).mul_(light)


def _counted(batch: CameraBatch, brightness: Tensor, static: Tensor) -> tuple[Tensor, Tensor]:
    """Return what the chips count, and the static background at their sizes."""
    if batch.binned:
        brightness, static = (separable(image, *batch.to_chip) for image in (brightness, static))
    generator = torch.Generator(batch.device)
    if batch.any("gain_error"):
        brightness = brightness * batch.gains(generator)
    if batch.any("dust"):
        sizes = batch["chip_rows"], batch["chip_columns"]
        brightness = brightness * stages.specks(batch.chip, *sizes, batch.dust)
    measured = processing.detect(
        brightness,
        batch.values("dose_electrons_per_px"),
        [camera.total_read_noise for camera in batch.cameras],
        batch.seeds,
        generator,
    )
    if batch.any("noise_sigma_px"):
        measured = separable(measured, *batch.blurs(batch.values("noise_sigma_px"), screen=False))
    if batch.broken is not None:
        which, gain, dark = batch.broken
        measured[which] = measured[which] * gain + dark
    if batch.any("saturation"):
        measured = torch.minimum(measured, batch["fullest"])
    return measured, static


def _processed(batch: CameraBatch, measured: Tensor, static: Tensor, lit: Tensor) -> Tensor:
    """Return measured brightness at the image's size with the backgrounds taken off."""
    measured = processing.remove_static(
        measured, static, batch.flag("static_removed"), batch.flag("static_subtracted")
    )
    if batch.any("dynamic_background"):
        measured = processing.remove_dynamic(
            measured,
            separable(lit, *batch.to_chip) if batch.binned else lit,
            batch.averages(screen=False, widths=batch.values("dynamic_width")),
            batch["chip_rows"] * batch["chip_columns"],
            batch.flag("dynamic_background"),
            batch.flag("dynamic_divided") if batch.divides else None,
        )
    if batch.binned:
        measured = separable(measured, *batch.from_chip)
    if batch.paints:
        inside = lit > 0.5
        count = inside.sum((-2, -1), keepdim=True)
        level = (measured * inside).sum((-2, -1), keepdim=True) / count.clamp(min=1)
        measured = torch.where(batch.flag("grey") & ~inside & (count > 0), level, measured)
    return measured


def _stored(batch: CameraBatch, measured: Tensor) -> Tensor:
    """Return whole grey levels."""
    pixels = batch.shape[0] * batch.shape[1]
    clipped = [processing.clipped_pixels(fraction, pixels) for fraction in batch.values("clip_fraction")]
    levels = processing.stretch(measured, clipped, batch.flag("raw"))
    for tiles, which, limits in batch.equalised(measured.shape[1]):
        own = levels[which]
        levels[which] = processing.equalise(own.flatten(0, 1), limits, tiles).view_as(own)
    levels = processing.quantise(levels, batch["gamma"], batch["highest"])
    if batch.written is not None:
        which, covered, ink = batch.written
        written = torch.round(ink * batch["highest"][which])
        levels[which] = torch.where(covered, written, levels[which])
    return levels
