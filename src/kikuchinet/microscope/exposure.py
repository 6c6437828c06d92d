"""The stages of the camera in their order.

The signal gets its asymmetry and its blur, modulates the diffuse background, is shadowed and cut by the screen's edge,
averaged into the chip's pixels, counted, rid of its background as the vendor's software does, and digitised. Where the
background is weak few electrons are counted, so after flat-fielding noise is strongest there: on a measured pattern it is
twice as strong at the top as at the bottom.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope import detection, faults, optics, processing, specimen
from kikuchinet.microscope.filters import gaussian_blur, resample
from kikuchinet.microscope.grid import standardise

if TYPE_CHECKING:
    from kikuchinet.microscope.camera import Camera

Images = NDArray[np.float32]
Image = NDArray[np.float32]


def expose(camera: Camera, images: Images, rng: np.random.Generator) -> Images:
    """Return the grey levels that a camera stores of patterns; see `Camera.expose`.

    Parameters
    ----------
    camera
        The camera.
    images
        float32 (n, rows, columns), C-contiguous.
    rng
        Source of all randomness. Drawn in this order, each only where the camera has it: the uneven field, gains, dust,
        defects, the noise of all pixels, writing.
    """
    shape = (images.shape[1], images.shape[2])
    signal = kikuchi_signal(camera, images)
    if camera.uneven > 0:
        signal += np.float32(camera.uneven) * specimen.uneven_field(shape, camera.uneven_grain, rng)
    lit = lit_screen(camera, shape)
    light, static = screen_light(camera, shape, lit)
    contrast = kikuchi_contrast(camera, shape)
    brightness = np.maximum(1 + contrast * signal, 0) * light
    if camera.glare > 0:
        brightness = optics.glare(brightness, camera.glare, camera.glare_width)
        static = optics.glare(static[None], camera.glare, camera.glare_width)[0]
    measured, static = _counted(camera, brightness, static, rng)
    measured = _processed(camera, measured, static, shape, lit)
    return _stored(camera, measured, is_raw(camera, lit), rng)


def kikuchi_signal(camera: Camera, images: Images) -> Images:
    """Return the Kikuchi signal as it falls on the screen: mean 0, standard deviation about 1."""
    signal = specimen.compress(standardise(images), camera.compression)
    signal = specimen.excess_deficiency(
        signal, camera.beam_center, camera.excess_deficiency, camera.excess_width
    )
    signal = gaussian_blur(signal, camera.psf_sigma_px)
    return optics.drifted_focus(signal, camera.focus_drift_px, camera.focus_angle)


def kikuchi_contrast(camera: Camera, shape: tuple[int, int]) -> Image | np.float32:
    """Return the standard deviation of the Kikuchi signal relative to the background: a number, (rows, 1) or an image."""
    contrast: Image | np.float32 = np.float32(
        camera.contrast * specimen.transmitted_contrast(camera.amorphous_nm)
    )
    if camera.contrast_width > 0:
        contrast = contrast * specimen.contrast_lobe(shape, camera.contrast_center, camera.contrast_width)
    if camera.energy_rise == 0:
        return contrast
    return contrast * specimen.energy_contrast(specimen.diffuse_energy(shape, camera.energy_rise))


def lit_screen(camera: Camera, shape: tuple[int, int]) -> Image | None:
    """Return the share of the screen that each pixel sees, or nothing if the screen fills the image."""
    lit = None
    if camera.screen_radius > 0:
        lit = optics.round_screen(shape, camera.screen_center, camera.screen_radius, 1.0 / shape[0])
    if any(camera.screen_margins):
        bars = optics.margins(shape, camera.screen_margins)
        lit = bars if lit is None else lit * bars
    return lit


def screen_light(camera: Camera, shape: tuple[int, int], lit: Image | None) -> tuple[Image, Image]:
    """Return the brightness of the screen without any bands, as it is and as the static background has it."""

    def light(center: tuple[float, float]) -> Image:
        return specimen.diffuse_background(
            shape, center, camera.source_width, camera.vignette, camera.optical_axis
        )

    now = light(camera.source_center)
    x, y = camera.source_center
    drift_x, drift_y = camera.background_drift
    static = light((x - drift_x * shape[0] / shape[1], y - drift_y)) if drift_x or drift_y else now
    common: Image | np.float32 = np.float32(1.0)
    if camera.energy_rise != 0:
        common = specimen.diffuse_energy(shape, camera.energy_rise)
    if camera.shadow_depth > 0:
        common = common * faults.shadow(
            shape, camera.shadow_angle, camera.shadow_reach, camera.shadow_depth, camera.shadow_softness
        )
    if lit is not None:
        common = common * lit
    return now * common, static * common


def chip_shape(camera: Camera, shape: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of the chip behind an image of a given shape."""
    if not camera.capture_rows or camera.capture_rows == shape[0]:
        return shape
    return camera.capture_rows, max(3, round(camera.capture_rows * shape[1] / shape[0]))


def _counted(
    camera: Camera, brightness: Images, static: Image, rng: np.random.Generator
) -> tuple[Images, Image]:
    """Return what the chip counts, and the static background at the chip's size."""
    chip = chip_shape(camera, (brightness.shape[1], brightness.shape[2]))
    brightness, static = resample(brightness, chip), resample(static[None], chip)[0]
    if camera.gain_error > 0:
        brightness = brightness * detection.gains(chip, camera.gain_error, rng)
    if camera.dust > 0:
        brightness = brightness * faults.specks(chip, camera.dust, rng)
    defects = None
    if camera.dead_pixels > 0 or camera.dead_lines > 0 or camera.hot_columns > 0:
        defects = faults.draw_defects(chip, camera.dead_pixels, camera.dead_lines, camera.hot_columns, rng)
    measured = detection.detect(
        brightness, camera.dose_electrons_per_px, camera.read_noise_electrons, rng, camera.frames
    )
    if camera.noise_sigma_px > 0:
        measured = gaussian_blur(measured, camera.noise_sigma_px)
    if defects is not None:
        measured = defects.apply(measured)
    return detection.saturate(measured, camera.saturation), static


def painted_grey(camera: Camera, lit: Image | None) -> bool:
    """Return whether what is around the screen is painted grey.

    Software that subtracts an average paints the surround as well: it would be an average of nothing.
    """
    return lit is not None and (camera.surround == "grey" or camera.dynamic_background)


def _processed(
    camera: Camera, measured: Images, static: Image, shape: tuple[int, int], lit: Image | None
) -> Images:
    """Return measured brightness at the image's size with the backgrounds taken off."""
    grey = painted_grey(camera, lit)
    if camera.flat_fielded or grey:
        measured = processing.remove_static(measured, static, camera.static_operation)
    if camera.dynamic_background:
        chip = (measured.shape[1], measured.shape[2])
        on_chip = None if lit is None else resample(lit[None], chip)[0]
        measured = processing.remove_dynamic(
            measured, camera.dynamic_width, camera.dynamic_operation, on_chip
        )
    measured = resample(measured, shape)
    if grey and lit is not None:
        inside = lit > 0.5
        if inside.any():
            level = measured[:, inside].mean(axis=1, dtype=np.float64).astype(np.float32)
            measured[:, ~inside] = level[:, None]
    return measured


def is_raw(camera: Camera, lit: Image | None) -> bool:
    """Return whether grey level 0 means no light."""
    return not (camera.flat_fielded or camera.dynamic_background or painted_grey(camera, lit))


def _stored(camera: Camera, measured: Images, raw: bool, rng: np.random.Generator) -> Images:
    """Return whole grey levels."""
    levels = processing.stretch(measured, camera.clip_fraction, from_zero=raw)
    if camera.local_contrast > 0:
        levels = processing.equalise(levels, camera.local_contrast, camera.local_contrast_tiles)
    levels = processing.quantise(levels, camera.gamma, camera.bits)
    if camera.scale_bar > 0 or camera.label > 0:
        shape = (levels.shape[1], levels.shape[2])
        covered, ink = faults.draw_writing(shape, camera.scale_bar, camera.label, rng)
        levels[:, covered] = np.rint(ink[covered] * (2**camera.bits - 1))
    return levels
