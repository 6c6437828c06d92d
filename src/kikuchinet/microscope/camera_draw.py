"""How a camera is drawn from a `CameraRange`."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope.camera import Camera

if TYPE_CHECKING:
    from kikuchinet.microscope.camera_range import CameraRange

Range = tuple[float, float]

#: Electrons; typical of cooled cameras, and next to nothing beside the shot noise of any usual dose.
_READ_NOISE = 2.0


class _Draws:
    """Uniform numbers, one after the other; each parameter takes its own, whatever the others are.

    So a change of one range, or of the quality, moves nothing else.
    """

    def __init__(self, numbers: NDArray[np.float64], worst: float) -> None:
        self._numbers = numbers
        self._next = 0
        #: 1 for the whole range, 0 for its best end.
        self.worst = worst

    def number(self) -> float:
        self._next += 1
        return float(self._numbers[self._next - 1])

    def skip_to(self, position: int) -> None:
        """Go on with a certain number, however many were taken before."""
        self._next = position

    def uniform(self, low_high: Range) -> float:
        low, high = low_high
        return low + (high - low) * self.number()

    def log_uniform(self, low_high: Range) -> float:
        low, high = low_high
        return low * (high / low) ** self.number()

    def chance(self, odds: float) -> bool:
        return self.number() < odds

    def best_low(self, low_high: Range) -> Range:
        """Return a range without its upper, bad part."""
        low, high = low_high
        return (low, low + (high - low) * self.worst) if low == 0 else (low, low * (high / low) ** self.worst)


def draw_camera(ranges: CameraRange, rng: np.random.Generator, rows: int, quality: float) -> Camera:
    """Draw one camera; the parameters are those of `CameraRange.sample`."""
    worst = 1.0 - quality
    draws = _Draws(rng.random(80), worst)
    uniform, log_uniform, chance = draws.uniform, draws.log_uniform, draws.chance
    best_low = draws.best_low
    contrast = log_uniform(ranges.contrast)
    noise = log_uniform(best_low(ranges.noise_to_signal))
    psf_sigma = log_uniform(best_low(ranges.psf_sigma))
    capture = log_uniform(ranges.capture_rows)
    coarse = chance(ranges.coarse * worst)
    source = (uniform(ranges.source_x), uniform(ranges.source_y))
    beam_y = uniform(ranges.beam_y)
    round_screen = chance(ranges.round_screen * worst)
    radius = uniform(ranges.screen_radius)
    shadowed, dusty = chance(ranges.shadowed * worst), chance(ranges.dusty * worst)
    camera = Camera(
        contrast=contrast,
        source_center=source,
        source_width=uniform(ranges.source_width),
        vignette=uniform(ranges.vignette),
        compression=uniform(ranges.compression),
        uneven=uniform(best_low(ranges.uneven)),
        uneven_grain=uniform(ranges.uneven_grain),
        excess_deficiency=uniform(best_low(ranges.excess_deficiency)),
        beam_center=(source[0], beam_y),
        psf_sigma_px=psf_sigma * rows,
        capture_rows=min(rows, round(capture)) if coarse else 0,
        dose_electrons_per_px=_dose(noise * contrast, _READ_NOISE),
        read_noise_electrons=_READ_NOISE,
        noise_sigma_px=uniform(ranges.noise_sigma_px),
        gain_error=uniform(best_low(ranges.gain_error)),
        dust=int(1 + 8 * draws.number()) if dusty else 0,
        flat_fielded=not chance(ranges.raw),
        dynamic_background=chance(ranges.dynamic),
        gamma=log_uniform(ranges.gamma),
        clip_fraction=uniform(ranges.clip_fraction),
        screen_radius=radius if round_screen else 0.0,
        screen_center=(uniform((0.44, 0.56)), uniform((0.44, 0.56))),
        surround="grey" if chance(0.5) else "dark",
        shadow_angle=uniform((0.0, 2 * math.pi)),
        shadow_reach=uniform((0.05, 0.4)),
        shadow_depth=uniform((0.4, 1.0)) if shadowed else 0.0,
        shadow_softness=uniform((0.01, 0.2)),
    )
    # What came later is drawn last: all of the above stays as it was for the same seed.
    draws.skip_to(32)
    later = {**_specimen(ranges, draws, rows, camera), **_software(ranges, draws, camera)}
    return replace(camera, **later, **_contrast(ranges, draws, camera))


def _specimen(ranges: CameraRange, draws: _Draws, rows: int, camera: Camera) -> dict[str, Any]:
    """Draw what came later of specimen, screen and chip."""
    uniform, log_uniform, chance = draws.uniform, draws.log_uniform, draws.chance
    amorphous, thickness = chance(ranges.amorphous * draws.worst), uniform(ranges.amorphous_nm)
    unfocused, drift = chance(ranges.unfocused * draws.worst), log_uniform(ranges.focus_drift)
    cropped = chance(ranges.cropped * draws.worst)
    bars = [max(0.0, 0.3 * draws.number() - 0.15) for _ in range(4)]
    saturated, level = chance(ranges.saturated * draws.worst), uniform((1.3, 2.2))
    broken, dead = chance(ranges.broken * draws.worst), log_uniform(ranges.dead_pixels)
    frames = round(log_uniform(ranges.frames))
    # The dose is chosen again: more frames are read out more often.
    noise = camera.noise_to_signal * camera.contrast
    lines, columns = draws.number() < 0.2, int(4 * draws.number())
    return {
        "amorphous_nm": thickness if amorphous else 0.0,
        "excess_width": log_uniform(ranges.excess_width),
        "energy_rise": uniform(ranges.energy_rise),
        "optical_axis": (uniform((0.44, 0.56)), uniform((0.44, 0.56))),
        "glare": uniform(draws.best_low(ranges.glare)),
        "glare_width": uniform((0.1, 0.4)),
        "focus_drift_px": drift * rows if unfocused else 0.0,
        "focus_angle": uniform((0.0, 2 * math.pi)),
        "screen_margins": (bars[0], bars[1], bars[2], bars[3]) if cropped else (0.0, 0.0, 0.0, 0.0),
        "frames": frames,
        "dose_electrons_per_px": _dose(noise, _READ_NOISE * math.sqrt(frames)),
        "saturation": level if saturated else 0.0,
        "dead_pixels": dead if broken else 0.0,
        "dead_lines": int(broken and lines),
        "hot_columns": columns if broken else 0,
    }


def _software(ranges: CameraRange, draws: _Draws, camera: Camera) -> dict[str, Any]:
    """Draw what came later of the vendor's processing."""
    uniform, log_uniform, chance = draws.uniform, draws.log_uniform, draws.chance
    subtracted, divided = chance(ranges.subtracted), chance(ranges.dynamic_divided)
    drifted, drift = chance(ranges.drifted * draws.worst), uniform(ranges.background_drift)
    direction = uniform((0.0, 2 * math.pi))
    equalised, limit = chance(ranges.equalised), log_uniform(ranges.local_contrast)
    tiles = int(uniform((4.0, 13.0)))
    written, which = chance(ranges.written * draws.worst), draws.number()
    bar, characters = uniform((0.1, 0.3)), int(uniform((4.0, 25.0)))
    # After a subtraction the mean is zero, and there is nothing to divide by.
    divided = divided and not (subtracted and camera.flat_fielded)
    return {
        "static_operation": "subtract" if subtracted else "divide",
        "background_drift": (drift * math.cos(direction), drift * math.sin(direction))
        if drifted
        else (0.0, 0.0),
        "dynamic_operation": "divide" if divided else "subtract",
        "dynamic_width": log_uniform(ranges.dynamic_width),
        "local_contrast": limit if equalised else 0.0,
        "local_contrast_tiles": tiles,
        "scale_bar": bar if written and which < 0.6 else 0.0,
        "label": characters if written and which > 0.4 else 0,
    }


def _contrast(ranges: CameraRange, draws: _Draws, camera: Camera) -> dict[str, Any]:
    """Draw where the contrast is highest."""
    lobed, above = draws.chance(ranges.lobed), draws.uniform(ranges.contrast_above)
    width = draws.log_uniform(ranges.contrast_width)
    x, y = camera.source_center
    return {"contrast_center": (x, y - above), "contrast_width": width if lobed else 0.0}


def _dose(relative_noise: float, read_noise: float) -> float:
    """Return the dose d at which sqrt(d + read_noise²) / d is the relative noise."""
    square = relative_noise**2
    return (1 + math.sqrt(1 + 4 * square * read_noise**2)) / (2 * square)
