"""The camera: from the intensity that a master pattern gives to the image that a microscope stores."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.exposure import expose
from kikuchinet.microscope.specimen import transmitted_contrast

Images = NDArray[np.float32]


@dataclass(frozen=True)
class Camera:
    """One specimen's surface, screen, camera, exposure and vendor's software.

    All randomness comes with the generator given to `expose`. Positions and lengths are fractions of the image's height
    (x: of its width) unless their names say otherwise. docs/camera.md has the sources.

    Parameters
    ----------
    contrast
        Standard deviation of the Kikuchi signal relative to the local background. Raw frames have 0.01 to
        0.15.
    source_center, source_width
        Where on the screen (x, y; fractions) the diffuse background peaks, and its width in heights.
    vignette
        Part of the light lost at half a height from the middle.
    compression
        How far the brightest parts of the signal are flattened; `specimen.compress`.
    uneven, uneven_grain
        Standard deviation, relative to the Kikuchi signal's, and patch size, in heights, of a smooth
        unevenness that flat-fielding does not remove; `specimen.uneven_field`.
    excess_deficiency
        Standard deviation of the asymmetry of bands relative to the signal's; `specimen.excess_deficiency`.
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
        Standard deviation of the read-out's noise of a frame.
    noise_sigma_px
        Blur after detection, in pixels of the chip: what correlates the noise of neighbours. 0.47 correlates those next to
        each other by 0.2, 0.7 by 0.6.
    gain_error
        Standard deviation of the pixels' gains that flat-fielding has not removed.
    dust
        Number of specks on the screen.
    flat_fielded
        Whether the static background was taken off.
    dynamic_background
        Whether the vendor's software took off a Gaussian average as well.
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
        ``"dark"`` or ``"grey"``, what is around a screen that does not fill the image.
    shadow_angle, shadow_reach, shadow_depth, shadow_softness
        A partial shadow, `faults.shadow`; none at depth 0.
    amorphous_nm
        Thickness of an amorphous layer on the surface, nm; it lowers the contrast, `specimen.transmitted_contrast`.
    excess_width
        Over how many heights the slopes of the asymmetry are taken; `specimen.excess_deficiency`.
    energy_rise
        Rise of the diffuse electrons' mean energy from the top to the bottom, in energies of the beam; it makes light
        and contrast stronger at the bottom, `specimen.diffuse_energy`.
    optical_axis
        (x, y) about which the lens vignettes.
    glare, glare_width
        Part of the light in the far tail of the point spread, and the tail's width in heights; `optics.glare`.
    focus_drift_px, focus_angle
        Blur at the side of the screen that is out of focus, in pixels of the output, and the direction of that side in
        radians; `optics.drifted_focus`.
    screen_margins
        Dark bars on the left, top, right and bottom of a cropped screen, in widths and heights.
    frames
        Averaged frames; each is read out once.
    saturation
        Highest brightness that a pixel holds, relative to the mean; 0 for no limit.
    dead_pixels
        Part of the pixels that are dead or hot.
    dead_lines, hot_columns
        Number of dead rows or columns, and of columns that glow from some row on.
    static_operation
        ``"divide"`` or ``"subtract"``.
    background_drift
        (x, y), in heights, by which the diffuse background has moved since the static one was recorded.
    dynamic_operation
        ``"subtract"`` or ``"divide"``.
    dynamic_width
        Standard deviation of the dynamic background's Gaussian in heights.
    local_contrast, local_contrast_tiles
        How many times contrast may grow at most in adaptive histogram equalisation, 0 for none, and its tiles along
        the height; `processing.equalise`.
    scale_bar
        Length of a burnt-in scale bar in widths; 0 for none.
    label
        Characters of a burnt-in line of text.
    contrast_center, contrast_width
        Where on the screen (x, y) the contrast relative to the background is highest, and the width in heights of the lobe
        in which it falls off, `specimen.contrast_lobe`; 0 for a contrast that is the same everywhere.
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
    amorphous_nm: float = 0.0
    excess_width: float = 0.012
    energy_rise: float = 0.0
    optical_axis: tuple[float, float] = (0.5, 0.5)
    glare: float = 0.0
    glare_width: float = 0.25
    focus_drift_px: float = 0.0
    focus_angle: float = 0.0
    screen_margins: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)
    frames: int = 1
    saturation: float = 0.0
    dead_pixels: float = 0.0
    dead_lines: int = 0
    hot_columns: int = 0
    static_operation: str = "divide"
    background_drift: tuple[float, float] = (0.0, 0.0)
    dynamic_operation: str = "subtract"
    dynamic_width: float = 0.125
    local_contrast: float = 0.0
    local_contrast_tiles: int = 8
    scale_bar: float = 0.0
    label: int = 0
    contrast_center: tuple[float, float] = (0.5, 0.5)
    contrast_width: float = 0.0

    def __post_init__(self) -> None:
        for name, (lowest, highest) in _BOUNDS.items():
            value = getattr(self, name)
            if not (np.isfinite(value) and lowest <= value <= highest):
                raise InputError(f"camera {name}", f"{value} is not {_in_words(lowest, highest)}")
        for name in _POSITIVE:
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise InputError(f"camera {name}", "must be larger than zero")
        for name, words in _WORDS.items():
            if getattr(self, name) not in words:
                raise InputError(
                    f"camera {name}", f"{getattr(self, name)!r} is neither {words[0]!r} nor {words[1]!r}"
                )
        left, top, right, bottom = self.screen_margins
        if min(self.screen_margins) < 0 or not (left + right < 1 and top + bottom < 1):
            raise InputError("camera screen_margins", f"{self.screen_margins} leave nothing of the screen")
        subtracted = self.flat_fielded and self.static_operation == "subtract"
        if subtracted and self.dynamic_background and self.dynamic_operation == "divide":
            raise InputError("camera dynamic_operation", "after a subtraction there is nothing to divide by")
        if 0 < self.local_contrast < 1:
            raise InputError("camera local_contrast", "must be 0, for none, or at least 1")

    @property
    def noise_to_signal(self) -> float:
        """Noise relative to the Kikuchi signal, standard deviations, at mean brightness, before any blur."""
        variance = self.dose_electrons_per_px + self.total_read_noise**2
        contrast = self.contrast * transmitted_contrast(self.amorphous_nm)
        return float(np.sqrt(variance) / self.dose_electrons_per_px / contrast)

    @property
    def total_read_noise(self) -> float:
        """Standard deviation of the read-out's noise over all frames, in electrons."""
        return self.read_noise_electrons * math.sqrt(self.frames)

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

        See Also
        --------
        kikuchinet.microscope.exposure : what happens in which order.
        """
        stack = np.ascontiguousarray(images, dtype=np.float32)
        if stack.ndim != 3 or min(stack.shape[1:]) < 3:
            raise InputError("camera", f"images of shape {stack.shape}; (n, rows, columns) is needed")
        return expose(self, stack, rng).astype(np.uint8 if self.bits <= 8 else np.uint16)


_POSITIVE = (
    "contrast",
    "source_width",
    "dose_electrons_per_px",
    "gamma",
    "uneven_grain",
    "excess_width",
    "glare_width",
    "dynamic_width",
)
_ANY = (0.0, math.inf)
_PART = (0.0, 1.0)
_BOUNDS: dict[str, tuple[float, float]] = {
    "compression": _ANY,
    "uneven": _ANY,
    "excess_deficiency": _ANY,
    "psf_sigma_px": _ANY,
    "read_noise_electrons": _ANY,
    "noise_sigma_px": _ANY,
    "gain_error": _ANY,
    "dust": _ANY,
    "capture_rows": _ANY,
    "screen_radius": _ANY,
    "amorphous_nm": _ANY,
    "focus_drift_px": _ANY,
    "saturation": _ANY,
    "dead_lines": _ANY,
    "hot_columns": _ANY,
    "label": _ANY,
    "contrast_width": _ANY,
    "local_contrast": _ANY,
    "local_contrast_tiles": (1, math.inf),
    "frames": (1, math.inf),
    "vignette": _PART,
    "clip_fraction": _PART,
    "shadow_reach": _PART,
    "shadow_depth": _PART,
    "glare": _PART,
    "dead_pixels": _PART,
    "scale_bar": _PART,
    "energy_rise": (-1.0, 1.0),
    "bits": (1, 16),
}
_WORDS = {
    "surround": ("dark", "grey"),
    "static_operation": ("divide", "subtract"),
    "dynamic_operation": ("subtract", "divide"),
}


def _in_words(lowest: float, highest: float) -> str:
    return f"{lowest:g} or more" if highest == math.inf else f"between {lowest:g} and {highest:g}"
