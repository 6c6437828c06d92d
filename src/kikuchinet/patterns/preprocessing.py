"""What a pattern goes through before a network sees it, the same for simulated and measured ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.filters import resample
from kikuchinet.patterns.lowpass import gaussian_basis, smooth_kernel
from kikuchinet.patterns.screen import BLOCKS, find_screen_blocks, paint_mask
from kikuchinet.patterns.trend import remove_trend, trend_fit

Images = NDArray[np.float32]
Basis = tuple[Images, Images, Images, Images]


@dataclass(frozen=True)
class Preprocessing:
    """How patterns are made ready.

    Parameters
    ----------
    background_sigma
        Standard deviation of the Gaussian background, in heights. An eighth is kikuchipy's choice for the
        dynamic background, and wider than any low-index band but narrower than vignetting.
    passes
        How many times the background is taken off. At a period of one height one pass leaves 27 % and three leave
        2 %; at half a height 71 % and 36 %.
    contrast_sigma
        Standard deviation, in heights, of the Gaussian in which contrast is made even. Bands are a constant
        part of the local brightness, so a raw frame has less contrast where it is darker; a vendor's
        division by the static background has undone that. Evened out, the two look alike.
    clip
        Values beyond this many standard deviations are clipped: dust, dead pixels, edges of shadows.
    """

    background_sigma: float = 1.0 / 8.0
    passes: int = 3
    contrast_sigma: float = 1.0 / 5.0
    clip: float = 4.0

    def __post_init__(self) -> None:
        if not (0.02 <= self.background_sigma <= 2.0 and 0.02 <= self.contrast_sigma <= 2.0):
            raise InputError("preprocessing", "a Gaussian must be between 0.02 and 2 heights wide")
        if self.passes < 1 or self.clip <= 0:
            raise InputError("preprocessing", "needs at least one pass and a positive clip")


DEFAULT = Preprocessing()


def preprocess(
    images: NDArray[np.generic] | Sequence[NDArray[np.generic]],
    size: tuple[int, int] = (128, 128),
    settings: Preprocessing = DEFAULT,
    static_background: NDArray[np.generic] | None = None,
) -> Images:
    """Make patterns ready for a network.

    Parameters
    ----------
    images
        (n, rows, columns) of any real type, one image (rows, columns), or a sequence of images of unequal
        shapes.
    size
        Rows and columns of the result, at least 32 each.
    settings
        How; the default is what shipped networks were trained with.
    static_background
        (rows, columns) of the images: the screen without bands, as some files hold it. Images are divided
        by it first, which takes away dust and the screen's own structure.

    Returns
    -------
    numpy.ndarray
        float32, n patterns of `size`: mean 0 and standard deviation 1 over the screen, 0 outside it, all 0 for a blank
        image.

    Raises
    ------
    InputError
        If an image is not two-dimensional, is empty, is not of a real type or holds numbers that are not
        finite.

    Notes
    -----
    In order: division by the static background, if given; centre crop to the aspect of `size`; resize, by area
    averages where it shrinks; find the screen; take out the slow trend, `remove_trend`; take off the Gaussian
    background, normalised within the screen, three times; even out the local contrast; clip; standardise. The grey
    scale's gain does not matter and its offset hardly does, and so neither do an exposure's settings nor the vendor's
    stretching of contrast. On a raw frame of Si (NORDIF, round screen) 3 % of the power is left at periods of 33 to
    83 px of 128; before narrow strips of surround were found it was 7 %.
    """
    rows, columns = target_shape(size)
    if static_background is not None:
        images = divide_static(images, static_background)
    stack = _at_size(images, (rows, columns))
    out = np.empty_like(stack)
    narrow, wide = (
        (*gaussian_basis(rows, part * rows), *gaussian_basis(columns, part * rows))
        for part in (settings.background_sigma, settings.contrast_sigma)
    )
    _preprocess_stack(stack, narrow, wide, settings.passes, np.float32(settings.clip), out)
    return out


def target_shape(size: tuple[int, int]) -> tuple[int, int]:
    """Return rows and columns of prepared patterns.

    Raises
    ------
    InputError
        If a side is less than 32 px, of which each block of the screen's mask needs one.
    """
    rows, columns = (int(side) for side in size)
    if min(rows, columns) < 32:
        raise InputError("preprocess size", f"{(rows, columns)} is less than 32 px")
    return rows, columns


def divide_static(
    images: NDArray[np.generic] | Sequence[NDArray[np.generic]], background: NDArray[np.generic]
) -> Images:
    """Divide raw frames by the static background.

    Parameters
    ----------
    images
        (n, rows, columns), (rows, columns), or a sequence of images, all of the background's shape.
    background
        (rows, columns), the screen without bands, in the same units.

    Returns
    -------
    numpy.ndarray
        float32 (n, rows, columns), about 1 on the screen.

    Raises
    ------
    InputError
        If shapes disagree or the background is not a positive, finite image.

    Notes
    -----
    Where the background is below a fifth of its median there is no screen: the result is 0 there, and `screen_mask`
    finds it.
    """
    level = np.asarray(background, dtype=np.float32)
    if level.ndim != 2 or not np.isfinite(level).all() or np.median(level) <= 0:
        raise InputError("static background", "is not a positive, finite image of rows and columns")
    stack = np.asarray(images)
    stack = stack[None] if stack.ndim == 2 else stack
    if stack.ndim != 3 or stack.shape[1:] != level.shape:
        raise InputError("static background", f"shape {level.shape} is not that of the patterns")
    screen = level > np.float32(0.2 * np.median(level))
    scale = np.where(screen, 1 / np.where(screen, level, 1), 0).astype(np.float32)
    return np.multiply(stack, scale, dtype=np.float32)


def crop_to_aspect(image: NDArray[np.generic], size: tuple[int, int]) -> NDArray[np.generic]:
    """Return the largest centred part of an image, or stack of images, with the aspect of `size` (a view)."""
    rows, columns = image.shape[-2:]
    wanted_columns = min(columns, max(1, round(rows * size[1] / size[0])))
    wanted_rows = min(rows, max(1, round(columns * size[0] / size[1])))
    top, left = (rows - wanted_rows) // 2, (columns - wanted_columns) // 2
    return image[..., top : top + wanted_rows, left : left + wanted_columns]


def _at_size(images: NDArray[np.generic] | Sequence[NDArray[np.generic]], size: tuple[int, int]) -> Images:
    """Return images checked, cropped and resized, float32 (n, *size)."""
    if isinstance(images, np.ndarray):
        stack = images[None] if images.ndim == 2 else images
        if stack.ndim != 3:
            raise InputError("patterns", f"shape {images.shape}; (n, rows, columns) is needed")
        return _resized(stack, size, "patterns")
    parts = [_resized(np.asarray(image)[None], size, f"pattern {k}") for k, image in enumerate(images)]
    return np.concatenate(parts) if parts else np.empty((0, *size), dtype=np.float32)


def _resized(stack: NDArray[np.generic], size: tuple[int, int], name: str) -> Images:
    if stack.ndim != 3:
        raise InputError(name, f"shape {stack.shape[1:]}; an image has rows and columns")
    if min(stack.shape[1:]) < 2:
        raise InputError(name, f"shape {stack.shape[1:]} is too small for a pattern")
    if stack.dtype.kind not in "buif":
        raise InputError(name, f"type {stack.dtype} is not a grey level")
    cropped = np.ascontiguousarray(crop_to_aspect(stack, size), dtype=np.float32)
    if stack.dtype.kind == "f":
        finite = np.isfinite(cropped).all(axis=(1, 2))
        if not finite.all():
            first = int(np.argmin(finite))
            raise InputError(name, f"image {first} holds numbers that are not finite")
    return resample(cropped, size)


# Not the whole of fastmath: comparisons with infinity and NaN must keep their meaning.
_FAST = {"contract", "reassoc", "nsz", "arcp"}
_ZERO, _TINY = np.float32(0.0), np.float32(1e-6)
#: Part of the mean variance that is added to the local one: an empty corner is not blown up to full contrast.
_VARIANCE_FLOOR = np.float32(0.05)


# Kernels call only kernels of their own file: numba's cache does not see a change in another one, and would go on
# with old code. What joins them is Python; that costs some 20 µs an image.


def _preprocess_stack(
    images: Images, narrow: Basis, wide: Basis, passes: int, clip: np.float32, out: Images
) -> None:
    """Write images of the right size, made ready, to `out`."""
    shape = images.shape[1:]
    fit = trend_fit(BLOCKS)
    means = np.empty((BLOCKS, BLOCKS), dtype=np.float32)
    outside = np.empty((BLOCKS, BLOCKS), dtype=np.bool_)
    mask = np.empty(shape, dtype=np.bool_)
    weight, norm, work, smooth = (np.empty(shape, dtype=np.float32) for _ in range(4))
    for image, source in zip(out, images, strict=True):
        image[:] = source
        lowest, highest = image.min(), image.max()
        # Rounding alone spreads a constant float image by a few units in the last place.
        if highest - lowest <= _TINY * max(abs(highest), abs(lowest)):
            image[:] = _ZERO
            continue
        masked = find_screen_blocks(image, means, outside)
        remove_trend(image, means, outside, *fit)
        paint_mask(outside, mask)
        weight[:] = mask
        _standardise(image, weight)
        if masked:
            smooth_kernel(weight, *narrow, 1, norm)
            for _ in range(passes):
                # The image is zero outside the screen, so its plain average is the numerator of that over it.
                smooth_kernel(image, *narrow, 1, smooth)
                _subtract_average(image, weight, smooth, norm)
        else:
            # All passes at once: without a mask they only scale cosine coefficients.
            smooth_kernel(image, *narrow, passes, smooth)
            image -= smooth
        _standardise(image, weight)
        _clip(image, clip)
        np.multiply(image, image, out=work)
        smooth_kernel(work, *wide, 1, smooth)
        if masked:
            smooth_kernel(weight, *wide, 1, norm)
        else:
            norm[:] = 1
        _even_contrast(image, weight, smooth, norm)
        _standardise(image, weight)
        _clip(image, clip)


@nb.njit(nogil=True, cache=True, fastmath=_FAST)
def _subtract_average(image: Images, weight: Images, smooth: Images, norm: Images) -> None:
    """Take the average over the screen, smooth / norm, off an image, in place."""
    rows, columns = image.shape
    for i in range(rows):
        for j in range(columns):
            image[i, j] = weight[i, j] * (image[i, j] - smooth[i, j] / max(norm[i, j], _TINY))


@nb.njit(nogil=True, cache=True, fastmath=_FAST)
def _even_contrast(image: Images, weight: Images, smooth: Images, norm: Images) -> None:
    """Divide an image by its standard deviation in the neighbourhood, from its smoothed square, in place."""
    rows, columns = image.shape
    for i in range(rows):
        for j in range(columns):
            variance = max(smooth[i, j] / max(norm[i, j], _TINY), _ZERO)
            image[i, j] *= weight[i, j] / np.sqrt(variance + _VARIANCE_FLOOR)


@nb.njit(nogil=True, cache=True)
def _clip(image: Images, clip: np.float32) -> None:
    for i in range(image.shape[0]):
        for j in range(image.shape[1]):
            image[i, j] = min(max(image[i, j], -clip), clip)


@nb.njit(nogil=True, cache=True, fastmath=_FAST)
def _standardise(image: Images, weight: Images) -> None:
    """Shift and scale an image to mean 0 and standard deviation 1 over the screen, in place; 0 outside."""
    rows, columns = image.shape
    count = total = np.float64(0.0)
    for i in range(rows):
        line, width = np.float32(0.0), np.float32(0.0)
        for j in range(columns):
            line += weight[i, j] * image[i, j]
            width += weight[i, j]
        total += line
        count += width
    mean = np.float32(total / count)
    squares = np.float64(0.0)
    for i in range(rows):
        line = np.float32(0.0)
        for j in range(columns):
            value = (image[i, j] - mean) * weight[i, j]
            image[i, j] = value
            line += value * value
        squares += line
    spread = np.sqrt(squares / count)
    scale = np.float32(1.0 / spread) if spread > 0.0 else np.float32(0.0)
    for i in range(rows):
        for j in range(columns):
            image[i, j] *= scale
