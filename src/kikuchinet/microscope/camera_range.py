"""Ranges from which training draws its cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.camera import Camera

Range = tuple[float, float]

#: Electrons; typical of cooled cameras, and next to nothing beside the shot noise of any usual dose.
_READ_NOISE = 2.0


@dataclass(frozen=True)
class CameraRange:
    """Ranges of everything a `Camera` has, and the odds of its faults.

    Parameters
    ----------
    noise_to_signal
        Noise relative to the Kikuchi signal in a pixel of the chip, log-uniform. It sets the dose.
    contrast
        Kikuchi signal relative to the background, log-uniform.
    psf_sigma
        Blur of the signal in heights, log-uniform; 0.01 is 1.28 px at 128.
    capture_rows
        Rows of a coarse chip, log-uniform.
    coarse
        Odds of a coarse chip.
    noise_sigma_px
        Blur of the noise, in pixels of the chip, uniform.
    compression
        Flattening of the brightest parts of the signal, uniform.
    uneven, uneven_grain
        Smooth unevenness left by flat-fielding, and the size of its patches in heights, uniform.
    excess_deficiency
        Strength of the bands' asymmetry, uniform.
    source_x, source_y, source_width, vignette
        Shape of the diffuse background, uniform.
    beam_y
        Height of the point towards which bands are asymmetric, uniform; x is that of the source.
    gain_error
        Pixel gains left by flat-fielding, uniform.
    gamma
        Exponent of the grey scale, log-uniform.
    clip_fraction
        Clipping at each end, uniform.
    raw
        Odds of a frame that was not flat-fielded.
    dynamic
        Odds of a vendor's dynamic background.
    round_screen
        Odds of a round screen; half have a dark surround, half a grey one.
    screen_radius
        Radius of a round screen in heights, uniform.
    shadowed
        Odds of a partial shadow.
    dusty
        Odds of dust, up to eight specks.

    Notes
    -----
    Where the ranges come from: one 1244 x 1024 pattern with its header (noise 0.4 of the signal after binning to 311
    columns, point spread 2.5-3 px of 1244, 0.5 % clipped, noise twice as strong at the top), and a look at a few raw
    and processed frames that are never trained on: 3 of 60 px Ni, raw, at most twice as much noise as signal by their
    correlation of 0.39-0.47 with simulated patterns of the indexed orientations; 1 of 480 px Si, raw, round screen;
    10 of 480 px steel, processed, round screen. The ranges were made wide
    enough for the skewness and the radial power spectrum (seven bands) of these, after `preprocess`, to lie between
    the 2nd and the 98th percentile of what simulated patterns of Ni and Si give. Two fall outside: the Oxford frame
    has less power at the longest periods, and the Si frame, once divided by its static background, has more at
    periods of 7 to 17 px of 128.
    """

    noise_to_signal: Range = (0.1, 2.0)
    contrast: Range = (0.03, 0.2)
    psf_sigma: Range = (0.3 / 128, 3.0 / 128)
    capture_rows: Range = (48.0, 110.0)
    coarse: float = 0.35
    noise_sigma_px: Range = (0.0, 0.7)
    compression: Range = (0.0, 0.8)
    uneven: Range = (0.0, 0.6)
    uneven_grain: Range = (0.06, 0.3)
    excess_deficiency: Range = (0.0, 0.8)
    source_x: Range = (0.35, 0.65)
    source_y: Range = (0.3, 0.9)
    source_width: Range = (0.55, 1.5)
    vignette: Range = (0.0, 0.45)
    beam_y: Range = (0.5, 1.6)
    gain_error: Range = (0.0, 0.01)
    gamma: Range = (0.7, 1.4)
    clip_fraction: Range = (0.0, 0.02)
    raw: float = 0.3
    dynamic: float = 0.3
    round_screen: float = 0.3
    screen_radius: Range = (0.42, 0.62)
    shadowed: float = 0.08
    dusty: float = 0.15

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                if not (len(value) == 2 and all(map(math.isfinite, value)) and value[0] <= value[1]):
                    raise InputError(f"camera range {field.name}", f"{value} is not (low, high)")
            elif not 0 <= value <= 1:
                raise InputError(f"camera range {field.name}", f"{value} is not a probability")
        for name in ("noise_to_signal", "contrast", "psf_sigma", "capture_rows", "gamma"):
            if getattr(self, name)[0] <= 0:
                raise InputError(f"camera range {name}", "must be larger than zero")

    @classmethod
    def good(cls) -> CameraRange:
        """Return ranges of good patterns: little noise, sharp, whole screens."""
        return cls(
            noise_to_signal=(0.05, 0.5),
            psf_sigma=(0.3 / 128, 1.6 / 128),
            coarse=0.0,
            noise_sigma_px=(0.0, 0.4),
            uneven=(0.0, 0.2),
            excess_deficiency=(0.0, 0.4),
            clip_fraction=(0.0, 0.01),
            round_screen=0.15,
            shadowed=0.0,
            dusty=0.0,
        )

    @classmethod
    def mixed(cls) -> CameraRange:
        """Return ranges of whatever a microscope may give, faults included: the default."""
        return cls()

    @classmethod
    def poor(cls) -> CameraRange:
        """Return ranges of fast scans: coarse chips, much noise, raw frames, dust and shadows."""
        return cls(noise_to_signal=(0.2, 2.0), coarse=0.6, raw=0.4, shadowed=0.15, dusty=0.4)

    @classmethod
    def binned(cls) -> CameraRange:
        """Return ranges of small or binned chips with time enough: few pixels, little to moderate noise, raw frames."""
        return cls(noise_to_signal=(0.05, 1.0), coarse=1.0, raw=0.4, shadowed=0.0, dusty=0.0)

    def sample(self, rng: np.random.Generator, rows: int = 128, quality: float = 0.0) -> Camera:
        """Draw one camera.

        Parameters
        ----------
        rng
            Source of all randomness.
        rows
            Rows of the images that the camera will be given: blur is a fraction of the height.
        quality
            0 draws from the whole range; towards 1 the bad ends of noise, blur, asymmetry and faults are
            moved to the good ones. For a curriculum from clean to noisy.

        Returns
        -------
        Camera
            With `quality` 1, one without noise to speak of, without faults and with the least blur.

        Raises
        ------
        InputError
            If `quality` is not between 0 and 1.
        """
        if not 0 <= quality <= 1:
            raise InputError("camera quality", f"{quality} is not between 0 and 1")
        worst = 1.0 - quality
        # One draw for each parameter, whatever the others are, so that a change of one range or of the
        # quality moves nothing else.
        u = iter(rng.random(32))

        def uniform(low_high: Range) -> float:
            low, high = low_high
            return low + (high - low) * float(next(u))

        def log_uniform(low_high: Range) -> float:
            low, high = low_high
            return low * (high / low) ** float(next(u))

        def chance(odds: float) -> bool:
            return float(next(u)) < odds

        def best_low(low_high: Range) -> Range:
            low, high = low_high
            return (low, low + (high - low) * worst) if low == 0 else (low, low * (high / low) ** worst)

        contrast = log_uniform(self.contrast)
        noise = log_uniform(best_low(self.noise_to_signal))
        psf_sigma = log_uniform(best_low(self.psf_sigma))
        capture = log_uniform(self.capture_rows)
        coarse = chance(self.coarse * worst)
        source = (uniform(self.source_x), uniform(self.source_y))
        beam_y = uniform(self.beam_y)
        round_screen = chance(self.round_screen * worst)
        radius = uniform(self.screen_radius)
        shadowed, dusty = chance(self.shadowed * worst), chance(self.dusty * worst)
        return Camera(
            contrast=contrast,
            source_center=source,
            source_width=uniform(self.source_width),
            vignette=uniform(self.vignette),
            compression=uniform(self.compression),
            uneven=uniform(best_low(self.uneven)),
            uneven_grain=uniform(self.uneven_grain),
            excess_deficiency=uniform(best_low(self.excess_deficiency)),
            beam_center=(source[0], beam_y),
            psf_sigma_px=psf_sigma * rows,
            capture_rows=min(rows, round(capture)) if coarse else 0,
            dose_electrons_per_px=_dose(noise * contrast, _READ_NOISE),
            read_noise_electrons=_READ_NOISE,
            noise_sigma_px=uniform(self.noise_sigma_px),
            gain_error=uniform(best_low(self.gain_error)),
            dust=int(1 + 8 * float(next(u))) if dusty else 0,
            flat_fielded=not chance(self.raw),
            dynamic_background=chance(self.dynamic),
            gamma=log_uniform(self.gamma),
            clip_fraction=uniform(self.clip_fraction),
            screen_radius=radius if round_screen else 0.0,
            screen_center=(uniform((0.44, 0.56)), uniform((0.44, 0.56))),
            surround="grey" if chance(0.5) else "dark",
            shadow_angle=uniform((0.0, 2 * math.pi)),
            shadow_reach=uniform((0.05, 0.4)),
            shadow_depth=uniform((0.4, 1.0)) if shadowed else 0.0,
            shadow_softness=uniform((0.01, 0.2)),
        )

    def expose(
        self, images: NDArray[np.generic], rng: np.random.Generator, quality: float = 0.0
    ) -> NDArray[np.float32]:
        """Photograph each pattern with a camera of its own.

        Parameters
        ----------
        images
            (n, rows, columns) of intensity from `project`.
        rng
            Source of all randomness.
        quality
            As in `sample`.

        Returns
        -------
        numpy.ndarray
            float32 (n, rows, columns), grey levels.
        """
        out = np.empty(images.shape, dtype=np.float32)
        for k in range(len(images)):
            camera = self.sample(rng, rows=images.shape[1], quality=quality)
            out[k] = camera.expose(images[k : k + 1], rng)[0]
        return out


def _dose(relative_noise: float, read_noise: float) -> float:
    """Return the dose d at which sqrt(d + read_noise²) / d is the relative noise."""
    square = relative_noise**2
    return (1 + math.sqrt(1 + 4 * square * read_noise**2)) / (2 * square)
