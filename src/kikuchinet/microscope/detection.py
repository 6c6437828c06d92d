"""From light to counts: dose, noise, gains, full wells.

Conventions: `kikuchinet.microscope.grid`. Brightness is relative: its mean over the screen is 1.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.float32]
Image = NDArray[np.float32]


#: Mean counts from which the expansion is used. It is exact to 1/λ there, and a table is no faster.
_FEW = np.float32(12.0)


def poisson_counts(expected: Images, normals: Images) -> Images:
    """Draw Poisson counts with given means from given standard normal numbers.

    Parameters
    ----------
    expected
        Mean number of electrons in each pixel.
    normals
        Independent standard normal numbers of the same shape.

    Returns
    -------
    numpy.ndarray
        Whole numbers, float32.

    Notes
    -----
    Below a mean of 12 the Poisson distribution is inverted exactly at u = Φ(z). Above, a Cornish-Fisher
    expansion to the skewness, λ + √λ z + (z² - 1)/6, rounded: its mean and variance are exact to 1/λ.
    Drawing the normals outside keeps one generator in charge of all randomness.
    """
    expected = np.ascontiguousarray(expected)
    out = np.empty(expected.shape, dtype=np.float32)
    _counts_kernel(expected.ravel(), np.ascontiguousarray(normals).ravel(), out.ravel())
    return out


@nb.njit(nogil=True, cache=True, inline="always")
def _few_counts(mean: float, z: float) -> int:
    """Invert the Poisson distribution at Φ(z)."""
    u = 0.5 * math.erfc(-z / math.sqrt(2.0))
    count = 0
    probability = math.exp(-mean)
    total = probability
    while u > total and count < 100:
        count += 1
        probability *= mean / count
        total += probability
    return count


@nb.njit(nogil=True, cache=True)
def _counts_kernel(expected: Images, normals: Images, out: Images) -> None:
    for i in range(expected.size):
        mean = max(np.float64(expected[i]), 0.0)
        z = np.float64(normals[i])
        if mean < _FEW:
            out[i] = _few_counts(mean, z)
        else:
            value = mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0
            out[i] = max(math.floor(value + 0.5), 0.0)


@nb.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _noisy_kernel(
    expected: Images, normals: Images, read_variance: np.float32, few: Images, out: Images
) -> None:
    """Write counts with the read-out's noise; `few` has a normal number for each pixel of fewer than 12 counts."""
    sixth, one, zero = np.float32(1.0 / 6.0), np.float32(1.0), np.float32(0.0)
    # Free of branches, for SIMD; what it gives where counts are few is overwritten.
    for i in range(expected.size):
        mean = max(expected[i], zero)
        variance = mean + read_variance
        z = normals[i]
        out[i] = mean + np.sqrt(variance) * z + mean / variance * sixth * (z * z - one)
    if few.size == 0:
        return
    read, k = math.sqrt(read_variance), 0
    for i in range(expected.size):
        if expected[i] < _FEW:
            mean = max(np.float64(expected[i]), 0.0)
            out[i] = _few_counts(mean, np.float64(normals[i])) + read * few[k]
            k += 1


def detect(
    images: Images, dose: float, read_noise: float, rng: np.random.Generator, frames: int = 1
) -> Images:
    """Turn relative brightness into what the camera counts, shot and read noise included.

    Parameters
    ----------
    images
        Brightness, mean 1.
    dose
        Mean number of electrons per pixel and image, all averaged frames together.
    read_noise
        Standard deviation of the read-out's noise of one frame, in electrons.
    rng
        Source of all randomness.
    frames
        Number of averaged frames. The dose is that of all of them, so shot noise does not depend on it; each is read
        out by itself, so the variance of the read-out's noise grows with their number.

    Returns
    -------
    numpy.ndarray
        Brightness as measured, mean 1 but for the noise.

    Notes
    -----
    One normal number z a pixel does for both noises where counts are many: with the total variance σ² = λ + r² of
    counts and read-out, λ + σ z + λ/σ² (z² - 1)/6 has the mean, the variance and the skewness of their sum.
    """
    normals = rng.standard_normal(images.shape, dtype=np.float32)
    expected = np.ascontiguousarray(images * np.float32(dose))
    if read_noise > 0:
        few = rng.standard_normal(np.count_nonzero(expected < _FEW), dtype=np.float32)
        counts = np.empty(expected.shape, dtype=np.float32)
        variance = np.float32(frames * read_noise**2)
        _noisy_kernel(expected.ravel(), normals.ravel(), variance, few, counts.ravel())
    else:
        counts = poisson_counts(expected, normals)
    counts *= np.float32(1.0 / dose)
    return counts


def gains(shape: tuple[int, int], error: float, rng: np.random.Generator) -> Image:
    """Return the gains of the pixels that flat-fielding has not removed.

    Parameters
    ----------
    shape
        Rows and columns.
    error
        Standard deviation of the gains; typically 1 % or less. Also what is left of the shot noise of a static
        background that was averaged over N counts a pixel: 1/√N.
    rng
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns), mean about 1; the same in all frames, unlike noise. In the photon-transfer curve of a
        camera it is the part whose variance grows with the square of the brightness (J. R. Janesick, Photon Transfer,
        SPIE, 2007).
    """
    return 1 + np.float32(error) * rng.standard_normal(shape, dtype=np.float32)


def saturate(images: Images, level: float) -> Images:
    """Cut off what a pixel's full well, or the converter's highest number, does not hold.

    Parameters
    ----------
    images
        Brightness as measured, mean 1.
    level
        Highest brightness relative to the mean; 0 for a well that is never full.

    Returns
    -------
    numpy.ndarray
        Brightness, at most `level`.
    """
    if level <= 0:
        return images
    return np.minimum(images, np.float32(level))
