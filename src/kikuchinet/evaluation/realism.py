"""Statistics in which a simulated pattern may differ from a measured one: spectrum, grey levels, noise.

All take images of any scale, and a mask of the screen. They are meant to be applied alike to measured and simulated
patterns of one orientation and one quality; what a figure says by itself is less than what the pair says.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, signal

from kikuchinet.errors import InputError

Image = NDArray[np.floating]
Mask = NDArray[np.bool_]

#: Percentiles of `GreyLevels`.
PERCENTILES = (1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0)
#: Radius of the circular window of `radial_spectrum` in heights: within a round screen that touches the edges.
_WINDOW_RADIUS = 0.46
#: Half the side of the squares in which `noise` fits a quadratic surface: 7 x 7 px.
_REACH = 3


@dataclass(frozen=True)
class GreyLevels:
    """Distribution of the grey levels of one image, brought to mean 0 and standard deviation 1.

    Parameters
    ----------
    percentiles
        (7,) values at `PERCENTILES`.
    skewness
        Third standardised moment.
    kurtosis
        Fourth standardised moment less 3; 0 for a normal distribution.
    """

    percentiles: NDArray[np.float64]
    skewness: float
    kurtosis: float


@dataclass(frozen=True, eq=False)
class Noise:
    """Noise of one image, in the units of its grey levels.

    Parameters
    ----------
    sigma
        Standard deviation over the whole screen.
    correlation
        (5, 5) correlation of the noise of two pixels, lag (0, 0) in the middle, rows first.
    heights
        (bands,) middle of each band of rows as a fraction of the height, from the top.
    profile
        (bands,) standard deviation in each band; NaN where there is too little screen.
    """

    sigma: float
    correlation: NDArray[np.float64]
    heights: NDArray[np.float64]
    profile: NDArray[np.float64]


def _checked(image: NDArray[np.generic], mask: Mask | None) -> tuple[NDArray[np.float64], Mask]:
    values = np.asarray(image, dtype=np.float64)
    if values.ndim != 2 or min(values.shape) < 16:
        raise InputError(
            "pattern statistics", f"image of shape {values.shape}; rows and columns, 16 px at least"
        )
    if not np.isfinite(values).all():
        raise InputError("pattern statistics", "an image holds numbers that are not finite")
    inside = np.ones(values.shape, dtype=bool) if mask is None else np.asarray(mask, dtype=bool)
    if inside.shape != values.shape or inside.sum() < 64:
        raise InputError(
            "pattern statistics", "the mask does not fit the image or leaves less than 64 px of it"
        )
    return values, inside


def grey_levels(image: NDArray[np.generic], mask: Mask | None = None) -> GreyLevels:
    """Return the distribution of an image's grey levels.

    Parameters
    ----------
    image
        (rows, columns).
    mask
        bool (rows, columns), True on the screen.

    Raises
    ------
    InputError
        If the image is too small, not finite or blank.
    """
    values, inside = _checked(image, mask)
    levels = values[inside]
    spread = levels.std()
    if not spread > 0:
        raise InputError("grey levels", "the image is blank")
    levels = (levels - levels.mean()) / spread
    return GreyLevels(
        np.percentile(levels, PERCENTILES), float((levels**3).mean()), float((levels**4).mean() - 3)
    )


def radial_spectrum(
    image: NDArray[np.generic], mask: Mask | None = None, bins: int = 24
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the power of an image by spatial frequency.

    Parameters
    ----------
    image
        (rows, columns).
    mask
        bool (rows, columns); outside it the image is taken to be the mean of what is inside.
    bins
        Number of bins, even in the logarithm of the frequency.

    Returns
    -------
    frequency : numpy.ndarray
        (bins,) in cycles per height, from 2 to half the rows.
    power : numpy.ndarray
        (bins,) mean power density; white noise of standard deviation 1 has 1 everywhere. NaN for an empty bin.

    Notes
    -----
    Periodogram under a circular Hann window of radius 0.46 heights, which leaves out the corners that a round screen
    does not have.
    """
    values, inside = _checked(image, mask)
    rows, columns = values.shape
    y = (np.arange(rows) - (rows - 1) / 2) / rows
    x = (np.arange(columns) - (columns - 1) / 2) / rows
    radius = np.hypot(y[:, None], x[None]) / _WINDOW_RADIUS
    window = np.where(radius < 1, np.cos(0.5 * np.pi * np.minimum(radius, 1)) ** 2, 0.0) * inside
    mean = (values * window).sum() / window.sum()
    power = np.abs(np.fft.fft2((values - mean) * window)) ** 2 / (window**2).sum()
    frequency = np.hypot(np.fft.fftfreq(rows)[:, None] * rows, np.fft.fftfreq(columns)[None] * rows)
    edges = np.geomspace(2.0, rows / 2, bins + 1)
    where = np.digitize(frequency.ravel(), edges) - 1
    counted = (where >= 0) & (where < bins)
    number = np.bincount(where[counted], minlength=bins)
    total = np.bincount(where[counted], power.ravel()[counted], minlength=bins)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.sqrt(edges[1:] * edges[:-1]), total / number


def noise(image: NDArray[np.generic], mask: Mask | None = None, bands: int = 12) -> Noise:
    """Estimate an image's noise, its correlation between neighbours and how it varies with height.

    Parameters
    ----------
    image
        (rows, columns).
    mask
        bool (rows, columns), True on the screen.
    bands
        Number of bands of rows.

    Raises
    ------
    InputError
        If the image is too small, not finite, or has no part where a square of 7 px lies on the screen.

    Notes
    -----
    What a quadratic surface fitted to the 7 x 7 px around each pixel [1]_ leaves of that pixel is noise and little
    else, if bands are wide and smooth at that scale; finer detail counts as noise, so the figure is an upper bound.
    The filter colours what it leaves in a known way. Its residue's covariance at lags up to 4 px is linear in the
    noise's covariance, which is taken to vanish beyond 2 px and found by least squares.

    References
    ----------
    .. [1] A. Savitzky, M. J. E. Golay, Anal. Chem. 36 (1964) 1627-1639.
    """
    values, inside = _checked(image, mask)
    kernel = _residual_kernel()
    usable = ndimage.binary_erosion(inside, np.ones((2 * _REACH + 1,) * 2), border_value=0)
    if usable.sum() < 64:
        raise InputError("noise", "too little screen for an estimate")
    residue = np.where(usable, ndimage.correlate(values, kernel, mode="nearest"), 0.0)
    covariance = _covariance(residue, usable)
    variance = covariance[2, 2]
    if not variance > 0:
        raise InputError("noise", "the image has none")
    correlation = covariance / variance
    # What the filter leaves of the variance of noise that is correlated in this way.
    colour = signal.correlate2d(kernel, kernel)
    middle = colour.shape[0] // 2
    kept = float((correlation * colour[middle - 2 : middle + 3, middle - 2 : middle + 3]).sum())
    profile, heights = np.full(bands, np.nan), (np.arange(bands) + 0.5) / bands
    for k, rows in enumerate(np.array_split(np.arange(values.shape[0]), bands)):
        here = usable[rows]
        if here.sum() >= 32:
            profile[k] = np.sqrt((residue[rows][here] ** 2).mean() / max(kept, 1e-6))
    return Noise(float(np.sqrt(variance)), correlation, heights, profile)


def _residual_kernel() -> NDArray[np.float64]:
    """Return the (7, 7) filter that takes a fitted quadratic surface off its middle pixel."""
    step = np.arange(-_REACH, _REACH + 1, dtype=np.float64)
    y, x = (part.ravel() for part in np.meshgrid(step, step, indexing="ij"))
    design = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1)
    kernel = -np.linalg.pinv(design)[0].reshape(step.size, step.size)
    kernel[_REACH, _REACH] += 1
    return np.asarray(kernel)


def _covariance(residue: NDArray[np.float64], usable: Mask) -> NDArray[np.float64]:
    """Return the noise's covariance (5, 5) from what the filter left of the image."""
    colour = signal.correlate2d(_residual_kernel(), _residual_kernel())
    middle = colour.shape[0] // 2
    spectrum, place = np.fft.rfft2(residue, [2 * n for n in residue.shape]), usable.astype(np.float64)
    sums = np.fft.irfft2(np.abs(spectrum) ** 2)
    pairs = np.fft.irfft2(np.abs(np.fft.rfft2(place, [2 * n for n in place.shape])) ** 2)
    observed, rows = [], []
    unknown = [(i, j) for i in range(-2, 3) for j in range(-2, 3) if (i, j) >= (0, 0)]
    for a in range(5):
        for b in range(-4, 5):
            if (a, b) < (0, 0):
                continue
            observed.append(sums[a, b] / max(pairs[a, b], 1.0))
            rows.append(
                [
                    sum(
                        _at(colour, middle + a - i * s, middle + b - j * s)
                        for s in ((1,) if (i, j) == (0, 0) else (1, -1))
                    )
                    for i, j in unknown
                ]
            )
    solution = np.linalg.lstsq(np.array(rows), np.array(observed), rcond=None)[0]
    covariance = np.zeros((5, 5))
    for (i, j), value in zip(unknown, solution, strict=True):
        covariance[2 + i, 2 + j] = covariance[2 - i, 2 - j] = value
    return covariance


def _at(array: NDArray[np.float64], i: int, j: int) -> float:
    inside = 0 <= i < array.shape[0] and 0 <= j < array.shape[1]
    return float(array[i, j]) if inside else 0.0


def contrast_map(
    image: NDArray[np.generic],
    signal_image: NDArray[np.generic],
    mask: Mask | None = None,
    width: float = 0.125,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return how strongly a known signal is present in each part of an image.

    Parameters
    ----------
    image
        (rows, columns), a measured pattern.
    signal_image
        (rows, columns), the simulated pattern of its orientation.
    mask
        bool (rows, columns), True on the screen.
    width
        Standard deviation, in heights, of the Gaussian in which both are compared.

    Returns
    -------
    slope : numpy.ndarray
        (rows, columns) slope of the local regression of the image on the signal: the contrast, which noise does not
        bias.
    correlation : numpy.ndarray
        (rows, columns) their local correlation.
    """
    values, inside = _checked(image, mask)
    known, _ = _checked(signal_image, mask)
    sigma = width * values.shape[0]
    weight = inside.astype(np.float64)
    share = np.maximum(ndimage.gaussian_filter(weight, sigma), 1e-6)

    def mean(part: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(ndimage.gaussian_filter(np.where(inside, part, 0.0), sigma) / share)

    first, second = values - mean(values), known - mean(known)
    power = np.maximum(mean(second**2), 1e-30)
    common = mean(first * second)
    return common / power, common / np.sqrt(np.maximum(mean(first**2), 1e-30) * power)
