"""Ranges from which training draws its cameras."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.camera import Camera
from kikuchinet.microscope.camera_draw import draw_camera

Range = tuple[float, float]

_POSITIVE = (
    "noise_to_signal",
    "contrast",
    "psf_sigma",
    "capture_rows",
    "gamma",
    "excess_width",
    "focus_drift",
    "dead_pixels",
    "dynamic_width",
    "contrast_width",
)
_FAULTLESS: dict[str, Any] = dict.fromkeys(
    ("amorphous", "unfocused", "cropped", "saturated", "broken", "written", "overlapped"), 0.0
)


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
    amorphous, amorphous_nm
        Odds of an amorphous layer, and its thickness in nm, uniform.
    excess_width
        Over how many heights the slopes of the asymmetry are taken, log-uniform.
    energy_rise
        Rise of the diffuse electrons' energy down the screen, uniform. The Monte Carlo has 0.14 (W) to 0.21 (Si), but with
        it contrast would rise towards the bottom throughout, which no measured set shows; so half of that.
    lobed, contrast_above, contrast_width
        Odds of a contrast that falls off about a point, how far that lies above the diffuse background's maximum, uniform,
        and the lobe's width in heights, log-uniform. Three measured sets have 0.4 to 0.7.
    glare
        Part of the light in the far tail of the point spread, uniform; the tail is 0.1 to 0.4 heights wide.
    unfocused, focus_drift
        Odds of a drifted focus, and its blur at the farther side in heights, log-uniform.
    cropped
        Odds of a screen that leaves bars of up to 0.15 on some sides of the image.
    frames
        Averaged frames, log-uniform.
    saturated
        Odds of pixels that are full at 1.3 to 2.2 times the mean brightness.
    broken, dead_pixels
        Odds of broken pixels, up to one dead line and three hot columns, and the part of pixels that is dead or hot,
        log-uniform.
    subtracted
        Odds that a static background is subtracted and not divided by.
    drifted, background_drift
        Odds of a static background that was recorded elsewhere, and how far the light has moved since in heights,
        uniform in both directions.
    dynamic_divided, dynamic_width
        Odds that a dynamic background is divided by, where one is and something can be; and its width in heights,
        log-uniform.
    equalised, local_contrast
        Odds of local contrast, and how many times it may grow, log-uniform; on 4 to 12 tiles along the height.
    written
        Odds of a burnt-in scale bar, line of text, or both.
    overlapped, overlap_share
        Odds that a pattern shows a second grain, and the second one's part in it, uniform. The camera does not draw
        these: `kikuchinet.datasets.recording` does.

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
    source_width: Range = (0.3, 1.5)
    vignette: Range = (0.0, 0.45)
    beam_y: Range = (0.5, 3.0)
    gain_error: Range = (0.0, 0.01)
    gamma: Range = (0.7, 1.4)
    clip_fraction: Range = (0.0, 0.02)
    raw: float = 0.3
    dynamic: float = 0.3
    round_screen: float = 0.3
    screen_radius: Range = (0.42, 0.62)
    shadowed: float = 0.08
    dusty: float = 0.15
    amorphous: float = 0.1
    amorphous_nm: Range = (1.0, 8.0)
    excess_width: Range = (0.006, 0.045)
    energy_rise: Range = (0.0, 0.1)
    glare: Range = (0.0, 0.2)
    unfocused: float = 0.1
    focus_drift: Range = (1.0 / 128, 4.0 / 128)
    cropped: float = 0.05
    frames: Range = (1.0, 30.0)
    saturated: float = 0.05
    broken: float = 0.1
    dead_pixels: Range = (1e-4, 5e-3)
    subtracted: float = 0.3
    drifted: float = 0.3
    background_drift: Range = (0.0, 0.06)
    dynamic_divided: float = 0.2
    dynamic_width: Range = (0.08, 0.25)
    equalised: float = 0.15
    local_contrast: Range = (1.1, 3.0)
    written: float = 0.03
    overlapped: float = 0.05
    overlap_share: Range = (0.1, 0.45)
    lobed: float = 0.7
    contrast_above: Range = (0.0, 0.3)
    contrast_width: Range = (0.33, 1.0)

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, tuple):
                if not (len(value) == 2 and all(map(math.isfinite, value)) and value[0] <= value[1]):
                    raise InputError(f"camera range {field.name}", f"{value} is not (low, high)")
            elif not 0 <= value <= 1:
                raise InputError(f"camera range {field.name}", f"{value} is not a probability")
        for name in _POSITIVE:
            if getattr(self, name)[0] <= 0:
                raise InputError(f"camera range {name}", "must be larger than zero")
        for name in ("frames", "local_contrast"):
            if getattr(self, name)[0] < 1:
                raise InputError(f"camera range {name}", "must be at least 1")
        if self.overlap_share[0] < 0 or self.overlap_share[1] > 0.5:
            raise InputError(
                "camera range overlap_share", "must lie between 0 and 0.5: the first grain gives the label"
            )

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
            glare=(0.0, 0.1),
            background_drift=(0.0, 0.02),
            **_FAULTLESS,
        )

    @classmethod
    def mixed(cls) -> CameraRange:
        """Return ranges of whatever a microscope may give, faults included: the default."""
        return cls()

    @classmethod
    def poor(cls) -> CameraRange:
        """Return ranges of fast scans: coarse chips, much noise, raw frames, all faults."""
        return cls(
            noise_to_signal=(0.2, 2.0),
            coarse=0.6,
            raw=0.4,
            shadowed=0.15,
            dusty=0.4,
            amorphous=0.2,
            unfocused=0.2,
            cropped=0.1,
            broken=0.25,
            overlapped=0.1,
        )

    @classmethod
    def binned(cls) -> CameraRange:
        """Return ranges of small or binned chips with time enough: few pixels, little to moderate noise, raw frames."""
        return cls(
            noise_to_signal=(0.05, 1.0),
            coarse=1.0,
            raw=0.4,
            shadowed=0.0,
            dusty=0.0,
            **_FAULTLESS,
        )

    @classmethod
    def fast_scan(cls) -> CameraRange:
        """Return ranges of the fastest scans: few pixels and more noise than signal.

        Measured nickel (kikuchipy's, 60 x 60, raw): noise about twice the signal, contrast 0.015-0.02, the noise of
        neighbours correlated by 0.2, which is a blur of 0.47 px.
        """
        return cls(
            noise_to_signal=(0.5, 2.5),
            contrast=(0.012, 0.08),
            coarse=1.0,
            capture_rows=(48.0, 80.0),
            noise_sigma_px=(0.3, 0.6),
            raw=0.4,
            shadowed=0.0,
            dusty=0.2,
            frames=(1.0, 1.0),
            unfocused=0.0,
            cropped=0.0,
            written=0.0,
        )

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
        return draw_camera(self, rng, rows, quality)

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
