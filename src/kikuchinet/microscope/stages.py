"""What happens to a pattern between the sample and the file, one stage a function.

Every stage takes and returns float32 (n, rows, columns) and touches nothing else. Positions and lengths
that do not end in ``_px`` are fractions of the image's height (x: of its width), from the top left corner.
"""

from __future__ import annotations

import math

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope.filters import gaussian_blur, resample

Images = NDArray[np.float32]
Image = NDArray[np.float32]


def coordinates(shape: tuple[int, int]) -> tuple[Image, Image]:
    """Return pixel centres as fractions of height: y (rows, 1) and x (1, columns)."""
    rows, columns = shape
    y = (np.arange(rows, dtype=np.float32) + np.float32(0.5)) / np.float32(rows)
    x = (np.arange(columns, dtype=np.float32) + np.float32(0.5)) / np.float32(rows)
    return y[:, None], x[None, :]


def standardise(images: Images) -> Images:
    """Return images of mean 0 and standard deviation 1 each; a blank one becomes 0."""
    n = len(images)
    flat = images.reshape(n, -1)
    centred = flat - flat.mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    spread = np.sqrt(np.einsum("ij,ij->i", centred, centred, dtype=np.float64) / flat.shape[1])
    scale = np.where(spread > 0, 1.0 / np.where(spread > 0, spread, 1.0), 0.0).astype(np.float32)
    return (centred * scale[:, None]).reshape(images.shape)


def diffuse_background(
    shape: tuple[int, int],
    center: tuple[float, float],
    width: float,
    vignette: float,
    vignette_center: tuple[float, float] = (0.5, 0.5),
) -> Image:
    """Return the smooth brightness of the screen without any bands, mean 1.

    Parameters
    ----------
    shape
        Rows and columns.
    center
        (x, y) where inelastic scattering is strongest: the lower middle of the screen for a sample at 70°.
    width
        Standard deviation of that lobe in heights.
    vignette
        Loss of the lens and of the phosphor's distance at half a height from `vignette_center`, 0 to 1.
    vignette_center
        (x, y) of the optical axis.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns).

    Notes
    -----
    A Gaussian lobe times the fall-off 1/(1 + r²/s²)² (the cos⁴ law of a lens). Raw frames that were looked
    at fall to 0.25-0.5 of the middle at the edges; after a vendor's flat-fielding nothing is left.
    """
    y, x = coordinates(shape)
    aspect = np.float32(shape[1] / shape[0])
    lobe_x, lobe_y = np.float32(center[0]) * aspect, np.float32(center[1])
    lobe = np.exp(((x - lobe_x) ** 2 + (y - lobe_y) ** 2) * np.float32(-0.5 / width**2))
    if vignette > 0:
        # (1 + 0.25/s²)⁻² = 1 - vignette
        inverse_square = np.float32(4.0 * ((1.0 - min(vignette, 0.99)) ** -0.5 - 1.0))
        axis_x, axis_y = np.float32(vignette_center[0]) * aspect, np.float32(vignette_center[1])
        lobe /= (1 + inverse_square * ((x - axis_x) ** 2 + (y - axis_y) ** 2)) ** 2
    return lobe / lobe.mean()


def excess_deficiency(images: Images, center: tuple[float, float], strength: float) -> Images:
    """Brighten bands on the edge away from the incident beam and darken them on the other.

    Parameters
    ----------
    images
        Kikuchi signal, standardised.
    center
        (x, y) towards which the diffuse background grows.
    strength
        Standard deviation of the added term, relative to the signal's.

    Returns
    -------
    numpy.ndarray
        Signal with the asymmetry added.

    Notes
    -----
    Electrons are scattered into and out of a reflecting plane at rates proportional to the diffuse
    intensity on either side of it [1]_, so the asymmetry is the slope of the band profile along the
    gradient of that intensity. For a Gaussian lobe the gradient of its logarithm points to `center` and
    grows with distance.

    References
    ----------
    .. [1] A. Winkelmann, Ultramicroscopy 108 (2008) 1546-1550.
    """
    if strength <= 0:
        return images
    rows, columns = images.shape[1:]
    y, x = coordinates((rows, columns))
    toward_y = np.float32(center[1]) - y
    toward_x = np.float32(center[0] * columns / rows) - x
    # Slopes over 1.5 % of the height: the edge of a band, not its noise.
    smooth = gaussian_blur(images, 0.012 * rows, truncate=2.5)
    term = np.zeros_like(images)
    term[:, 1:-1] += toward_y[1:-1] * (smooth[:, 2:] - smooth[:, :-2])
    term[:, :, 1:-1] += toward_x[:, 1:-1] * (smooth[:, :, 2:] - smooth[:, :, :-2])
    return images + np.float32(strength) * standardise(term)


def compress(images: Images, strength: float) -> Images:
    """Flatten the brightest parts of the Kikuchi signal against the rest.

    Parameters
    ----------
    images
        Kikuchi signal, standardised.
    strength
        k in (1 - exp(-k m))/k; 0 leaves the signal m as it is.

    Returns
    -------
    numpy.ndarray
        Signal, standardised again.

    Notes
    -----
    An empirical curve. Bloch-wave patterns have zone axes far brighter than measured ones: after `preprocess` a
    skewness of 0.7 to 1.2 (medians of Si and Ni) against 0.1 to 0.3 of measured Ni, ferrite and an Oxford frame.
    What does it is not settled: electrons that were diffracted before, the spread of energies, the phosphor. With a
    strength of 0.4 simulated Ni correlates with measured Ni at the indexed orientation by 0.47, 0.39, 0.41 instead
    of 0.41, 0.35, 0.36.
    """
    if strength <= 0:
        return images
    rate = np.float32(strength)
    # Beyond -6 standard deviations there is no signal, and the exponential must not run away.
    curved: Images = np.expm1(-rate * np.maximum(images, np.float32(-6.0)))
    return standardise(np.negative(curved, out=curved))


def uneven_field(shape: tuple[int, int], grain: float, rng: np.random.Generator) -> Image:
    """Return a smooth random field of mean 0 and standard deviation 1.

    Parameters
    ----------
    shape
        Rows and columns.
    grain
        Size of its patches in heights (standard deviation of the Gaussian that smooths it).
    rng
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns).

    Notes
    -----
    It stands for what a static background does not hold: the sample's topography, charging, a background
    taken on another phase or tilt.
    """
    # White noise on a grid of one point a grain, interpolated: as smooth as filtering, at a fraction of the
    # work.
    points = [max(3, round(side / (shape[0] * grain)) + 2) for side in shape]
    coarse = rng.standard_normal((1, *points), dtype=np.float32)
    return standardise(gaussian_blur(resample(coarse, shape), 0.5 * grain * shape[0]))[0]


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
    out = np.empty_like(expected)
    _poisson_kernel(expected.ravel(), np.ascontiguousarray(normals).ravel(), out.ravel())
    return out


@nb.njit(nogil=True, cache=True)
def _poisson_kernel(expected: Images, normals: Images, out: Images) -> None:
    for i in range(expected.size):
        mean = max(np.float64(expected[i]), 0.0)
        z = np.float64(normals[i])
        if mean < 12.0:
            u = 0.5 * math.erfc(-z / math.sqrt(2.0))
            count = 0
            probability = math.exp(-mean)
            total = probability
            while u > total and count < 100:
                count += 1
                probability *= mean / count
                total += probability
            out[i] = count
        else:
            value = mean + math.sqrt(mean) * z + (z * z - 1.0) / 6.0
            out[i] = max(math.floor(value + 0.5), 0.0)


def detect(images: Images, dose: float, read_noise: float, rng: np.random.Generator) -> Images:
    """Turn relative brightness into what the camera counts, shot and read noise included.

    Parameters
    ----------
    images
        Brightness, mean 1.
    dose
        Mean number of electrons per pixel and image, all averaged frames together.
    read_noise
        Standard deviation of the read-out's noise, in electrons.
    rng
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        Brightness as measured, mean 1 but for the noise.
    """
    normals = rng.standard_normal(images.shape, dtype=np.float32)
    counts = poisson_counts(images * np.float32(dose), normals)
    if read_noise > 0:
        counts += np.float32(read_noise) * rng.standard_normal(images.shape, dtype=np.float32)
    counts *= np.float32(1.0 / dose)
    return counts


def fixed_pattern(shape: tuple[int, int], gain_error: float, dust: int, rng: np.random.Generator) -> Image:
    """Return the camera's fixed pattern: pixel gains and specks of dust, mean about 1.

    Parameters
    ----------
    shape
        Rows and columns.
    gain_error
        Standard deviation of the pixels' gains; typically 1 % or less.
    dust
        Number of specks, each darker by 5-40 % and 0.5-2 % of the height wide, as on the NORDIF screens
        looked at.
    rng
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns).
    """
    gains = np.ones(shape, dtype=np.float32)
    if gain_error > 0:
        gains += np.float32(gain_error) * rng.standard_normal(shape, dtype=np.float32)
    if dust > 0:
        y, x = coordinates(shape)
        at = rng.random((dust, 2), dtype=np.float32)
        depth = rng.uniform(0.05, 0.4, dust).astype(np.float32)
        radius = rng.uniform(0.005, 0.02, dust).astype(np.float32)
        aspect = np.float32(shape[1] / shape[0])
        for k in range(dust):
            across = np.exp(-0.5 * ((x - at[k, 0] * aspect) / radius[k]) ** 2)
            down = np.exp(-0.5 * ((y - at[k, 1]) / radius[k]) ** 2)
            gains *= 1 - depth[k] * down * across
    return gains


def round_screen(
    shape: tuple[int, int], center: tuple[float, float], radius: float, softness: float
) -> Image:
    """Return how much of the screen's light each pixel sees: 1 on a round screen, 0 outside.

    Parameters
    ----------
    shape
        Rows and columns.
    center
        (x, y) of the screen.
    radius
        In heights; 0.5 just touches the top and bottom edges.
    softness
        Width of the edge in heights.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns), 0 to 1.
    """
    y, x = coordinates(shape)
    aspect = np.float32(shape[1] / shape[0])
    distance = np.sqrt((x - np.float32(center[0]) * aspect) ** 2 + (y - np.float32(center[1])) ** 2)
    edge = (np.float32(radius) - distance) / np.float32(max(softness, 1e-6)) + np.float32(0.5)
    return np.clip(edge, 0, 1)


def shadow(shape: tuple[int, int], angle: float, reach: float, depth: float, softness: float) -> Image:
    """Return what is left of the light where something stands between sample and screen.

    Parameters
    ----------
    shape
        Rows and columns.
    angle
        Direction from which the shadow comes, radians, 0 from the right, π/2 from below.
    reach
        How far the shadow's straight edge reaches into the image, 0 to 1.
    depth
        Part of the light that is lost in the shadow.
    softness
        Width of the shadow's edge in heights.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns), 1 - depth to 1.
    """
    y, x = coordinates(shape)
    half = np.float32(0.5 * shape[1] / shape[0])
    along = (x - half) * np.float32(math.cos(angle)) + (y - np.float32(0.5)) * np.float32(math.sin(angle))
    farthest = float(half) * abs(math.cos(angle)) + 0.5 * abs(math.sin(angle))
    edge = np.float32(farthest * (1 - 2 * reach))
    covered = np.clip((along - edge) / np.float32(max(softness, 1e-6)) + np.float32(0.5), 0, 1)
    return 1 - np.float32(depth) * covered


def digitise(
    images: Images, clip_fraction: float, gamma: float, bits: int, *, from_zero: bool = False
) -> Images:
    """Stretch, clip, bend and round grey levels as a camera's and a vendor's software do.

    Parameters
    ----------
    images
        Brightness on any scale.
    clip_fraction
        Part of the pixels that is clipped at each end. 0.005 on the measured Oxford pattern.
    gamma
        Exponent on the stretched brightness.
    bits
        Bits per pixel.
    from_zero
        Whether level 0 means no light, as in raw frames; else the darkest pixels are stretched down to it.

    Returns
    -------
    numpy.ndarray
        float32 whole numbers from 0 to 2^bits - 1.
    """
    n = len(images)
    flat = images.reshape(n, -1)
    count = flat.shape[1]
    if clip_fraction > 0:
        k = min(int(clip_fraction * count), count // 2)
        ordered = np.partition(flat, (k, count - 1 - k), axis=1)
        low, high = ordered[:, k], ordered[:, count - 1 - k]
    else:
        low, high = flat.min(axis=1), flat.max(axis=1)
    if from_zero:
        low = np.zeros_like(low)
    scale = np.where(high > low, 1 / np.where(high > low, high - low, 1), 0).astype(np.float32)
    levels = (flat - low[:, None]) * scale[:, None]
    np.clip(levels, 0, 1, out=levels)
    if gamma != 1.0:
        np.power(levels, np.float32(gamma), out=levels)
    levels *= np.float32(2**bits - 1)
    np.rint(levels, out=levels)
    return levels.reshape(images.shape)
