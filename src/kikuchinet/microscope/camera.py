"""The camera: from the intensity that a master pattern gives to the image that a microscope stores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope import stages
from kikuchinet.microscope.filters import gaussian_blur, resample

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """One camera, screen and exposure. All randomness comes with the generator given to `expose`.

    Parameters
    ----------
    contrast
        Standard deviation of the Kikuchi signal relative to the local background. Raw frames have 0.03 to
        0.15.
    source_center, source_width
        Where on the screen (x, y; fractions) the diffuse background peaks, and its width in heights.
    vignette
        Part of the light lost at half a height from the middle.
    compression
        How far the brightest parts of the signal are flattened; `stages.compress`.
    uneven, uneven_grain
        Standard deviation, relative to the Kikuchi signal's, and patch size, in heights, of a smooth
        unevenness that flat-fielding does not remove; `stages.uneven_field`.
    excess_deficiency
        Standard deviation of the asymmetry of bands relative to the signal's; `stages.excess_deficiency`.
    beam_center
        (x, y) towards which bands are asymmetric: where the diffuse source, not the screen's light, is
        brightest.
    psf_sigma_px
        Blur of the signal, in pixels of the output: phosphor, lens, energy spread, deformed crystal.
    capture_rows
        Rows of the camera chip after binning; the result is resized to the input's shape. 0: as the input.
    dose_electrons_per_px
        Mean number of detected electrons in a pixel of the chip, over all averaged frames.
    read_noise_electrons
        Standard deviation of the read-out's noise.
    noise_sigma_px
        Blur after detection, in pixels of the chip: what correlates the noise of neighbours.
    gain_error
        Standard deviation of the pixels' gains that flat-fielding has not removed.
    dust
        Number of specks on the screen.
    flat_fielded
        Whether the image was divided by its static background.
    dynamic_background
        Whether the vendor's software subtracted a Gaussian average as well.
    gamma
        Exponent of the grey scale.
    clip_fraction
        Part of the pixels clipped at each end.
    bits
        Bits per pixel.
    screen_radius
        Radius of a round screen in heights; 0 for a screen that fills the image.
    screen_center
        (x, y) of the round screen.
    surround
        ``"dark"`` or ``"grey"``, what is around a round screen.
    shadow_angle, shadow_reach, shadow_depth, shadow_softness
        A partial shadow, `stages.shadow`; none at depth 0.
    """

    contrast: float = 0.08
    source_center: tuple[float, float] = (0.5, 0.65)
    source_width: float = 0.7
    vignette: float = 0.3
    compression: float = 0.3
    uneven: float = 0.0
    uneven_grain: float = 0.15
    excess_deficiency: float = 0.2
    beam_center: tuple[float, float] = (0.5, 0.9)
    psf_sigma_px: float = 0.8
    capture_rows: int = 0
    dose_electrons_per_px: float = 2000.0
    read_noise_electrons: float = 2.0
    noise_sigma_px: float = 0.0
    gain_error: float = 0.0
    dust: int = 0
    flat_fielded: bool = True
    dynamic_background: bool = False
    gamma: float = 1.0
    clip_fraction: float = 0.002
    bits: int = 8
    screen_radius: float = 0.0
    screen_center: tuple[float, float] = (0.5, 0.5)
    surround: str = "dark"
    shadow_angle: float = 0.0
    shadow_reach: float = 0.0
    shadow_depth: float = 0.0
    shadow_softness: float = 0.02

    def __post_init__(self) -> None:
        positive = ("contrast", "source_width", "dose_electrons_per_px", "gamma", "uneven_grain")
        not_negative = (
            "compression",
            "uneven",
            "excess_deficiency",
            "psf_sigma_px",
            "read_noise_electrons",
            "noise_sigma_px",
            "gain_error",
            "dust",
            "capture_rows",
            "screen_radius",
        )
        parts = ("vignette", "clip_fraction", "shadow_reach", "shadow_depth")
        for name in positive:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) > 0):
                raise InputError(f"camera {name}", "must be larger than zero")
        for name in not_negative:
            if not (np.isfinite(getattr(self, name)) and getattr(self, name) >= 0):
                raise InputError(f"camera {name}", "must not be negative")
        for name in parts:
            if not 0 <= getattr(self, name) <= 1:
                raise InputError(f"camera {name}", "must be between 0 and 1")
        if self.surround not in ("dark", "grey"):
            raise InputError("camera surround", f"{self.surround!r} is neither 'dark' nor 'grey'")
        if not 1 <= self.bits <= 16:
            raise InputError("camera bits", "must be between 1 and 16")

    @property
    def noise_to_signal(self) -> float:
        """Noise relative to the Kikuchi signal, standard deviations, at mean brightness, before any blur."""
        variance = self.dose_electrons_per_px + self.read_noise_electrons**2
        return float(np.sqrt(variance) / self.dose_electrons_per_px / self.contrast)

    def expose(self, images: NDArray[np.generic], rng: np.random.Generator) -> NDArray[np.generic]:
        """Photograph patterns.

        Parameters
        ----------
        images
            (n, rows, columns) of intensity from `project`; each is standardised first, so its units do not
            matter.
        rng
            Source of all randomness: the same state gives the same bytes.

        Returns
        -------
        numpy.ndarray
            (n, rows, columns), uint8 up to 8 bits, else uint16.

        Raises
        ------
        InputError
            If the images are not a stack.

        Notes
        -----
        The signal gets its asymmetry and its blur, modulates the diffuse background, is shadowed and cut by
        the screen's edge, averaged into the chip's pixels, counted, divided by the static background, and
        digitised. Where the background is weak few electrons are counted, so after flat-fielding noise is
        strongest there: on a measured pattern it is twice as strong at the top as at the bottom.
        """
        stack = np.ascontiguousarray(images, dtype=np.float32)
        if stack.ndim != 3 or min(stack.shape[1:]) < 3:
            raise InputError("camera", f"images of shape {stack.shape}; (n, rows, columns) is needed")
        _n, rows, columns = stack.shape
        signal = stages.compress(stages.standardise(stack), self.compression)
        signal = stages.excess_deficiency(signal, self.beam_center, self.excess_deficiency)
        signal = gaussian_blur(signal, self.psf_sigma_px)
        if self.uneven > 0:
            signal += np.float32(self.uneven) * stages.uneven_field((rows, columns), self.uneven_grain, rng)
        background = stages.diffuse_background(
            (rows, columns), self.source_center, self.source_width, self.vignette
        )
        if self.shadow_depth > 0:
            background = background * stages.shadow(
                (rows, columns), self.shadow_angle, self.shadow_reach, self.shadow_depth, self.shadow_softness
            )
        lit = None
        if self.screen_radius > 0:
            lit = stages.round_screen((rows, columns), self.screen_center, self.screen_radius, 1.0 / rows)
            background = background * lit
        brightness = np.maximum(1 + np.float32(self.contrast) * signal, 0) * background

        chip = (rows, columns)
        if self.capture_rows and self.capture_rows != rows:
            chip = (self.capture_rows, max(3, round(self.capture_rows * columns / rows)))
            brightness = resample(brightness, chip)
            background = resample(background[None], chip)[0]
        if self.gain_error > 0 or self.dust > 0:
            brightness = brightness * stages.fixed_pattern(chip, self.gain_error, self.dust, rng)
        measured = stages.detect(brightness, self.dose_electrons_per_px, self.read_noise_electrons, rng)
        if self.noise_sigma_px > 0:
            measured = gaussian_blur(measured, self.noise_sigma_px)

        # Software that subtracts an average paints the surround grey as well: it would be an average of
        # nothing.
        grey = lit is not None and (self.surround == "grey" or self.dynamic_background)
        if self.flat_fielded or grey:
            # A tenth of the mean: no software divides by the black of a shadow.
            measured /= np.maximum(background, np.float32(0.1))
        if self.dynamic_background:
            # The average of a wide Gaussian has no detail: a quarter of the pixels hold it.
            quarter = (max(3, chip[0] // 4), max(3, chip[1] // 4))
            coarse = gaussian_blur(resample(measured, quarter), quarter[0] / 8)
            measured = measured - resample(coarse, chip)
        if chip != (rows, columns):
            measured = resample(measured, (rows, columns))
        if grey and lit is not None:
            inside = lit > 0.5
            if inside.any():
                level = measured[:, inside].mean(axis=1, dtype=np.float64).astype(np.float32)
                measured[:, ~inside] = level[:, None]
        raw = not (self.flat_fielded or grey or self.dynamic_background)
        levels = stages.digitise(measured, self.clip_fraction, self.gamma, self.bits, from_zero=raw)
        return levels.astype(np.uint8 if self.bits <= 8 else np.uint16)
