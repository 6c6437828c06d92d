"""What the specimen does to a pattern before it reaches the screen.

The Kikuchi signal's own shape, its asymmetry, the diffuse background that it stands on, a damaged surface, and a
second grain within the beam. Conventions: `kikuchinet.microscope.grid`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope.filters import gaussian_blur, resample
from kikuchinet.microscope.grid import coordinates, standardise

Images = NDArray[np.float32]
Image = NDArray[np.float32]


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


def excess_deficiency(
    images: Images, center: tuple[float, float], strength: float, width: float = 0.012
) -> Images:
    """Brighten bands on the edge away from the incident beam and darken them on the other.

    Parameters
    ----------
    images
        Kikuchi signal, standardised.
    center
        (x, y) towards which the diffuse background grows.
    strength
        Standard deviation of the added term, relative to the signal's.
    width
        Over how many heights slopes are taken (standard deviation of a Gaussian). Narrow, both edges of a band get a
        bright and a dark line; as wide as half a band, one half of it is bright and the other dark.

    Returns
    -------
    numpy.ndarray
        Signal with the asymmetry added.

    Notes
    -----
    Electrons are scattered into and out of a reflecting plane at rates proportional to the diffuse
    intensity on either side of it [1]_, so the asymmetry is the slope of the band profile along the
    gradient of that intensity. For a Gaussian lobe the gradient of its logarithm points to `center` and
    grows with distance. A band that runs along that direction has no asymmetry, one across it
    the strongest: the asymmetry of each band goes by its inclination.

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
    smooth = gaussian_blur(images, width * rows, truncate=2.5)
    term = np.zeros_like(images)
    term[:, 1:-1] += toward_y[1:-1] * (smooth[:, 2:] - smooth[:, :-2])
    term[:, :, 1:-1] += toward_x[:, 1:-1] * (smooth[:, :, 2:] - smooth[:, :, :-2])
    return images + np.float32(strength) * standardise(term)


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


def overlap(first: Images, second: Images, share: NDArray[np.floating]) -> Images:
    """Add the patterns of two grains, or two phases, that the beam excites at once.

    Parameters
    ----------
    first, second
        Intensities as projected, of both grains, patterns in pairs.
    share
        (n,) part of the electrons that come from the second grain, 0 to 1.

    Returns
    -------
    numpy.ndarray
        Patterns of the whole excited volume, each grain's standardised first: a phase's brightness is that of the diffuse
        background and no part of it.

    Notes
    -----
    Electrons of different grains do not interfere, so near a boundary the pattern is the sum of both, weighted by their
    parts of the excited volume [1]_.

    References
    ----------
    .. [1] S. Zaefferer, Ultramicroscopy 107 (2007) 254-266.
    """
    weight = np.asarray(share, dtype=np.float32)[:, None, None]
    return (1 - weight) * standardise(first) + weight * standardise(second)


#: Attenuation length of the diffraction signal at 20 kV in nm: contrast falls to 1/e. Of the order of the elastic mean
#: free path in a light amorphous solid (carbon at 20 keV: about 20 nm, recalled), halved for the slanted way out.
ATTENUATION_LENGTH_NM = 10.0


def transmitted_contrast(thickness_nm: float) -> float:
    """Return what an amorphous layer on the surface leaves of the Kikuchi contrast, 0 to 1.

    Parameters
    ----------
    thickness_nm
        Thickness of an oxide, a carbon coat, or the layer that polishing has damaged.

    Notes
    -----
    An electron that is scattered once more on its way out loses its direction and joins the diffuse background, which
    keeps its brightness: contrast falls as exp(-t/λ), `ATTENUATION_LENGTH_NM`. That a coat of 5-10 nm costs most of the
    contrast is common experience with conductive coating.
    """
    return float(np.exp(-thickness_nm / ATTENUATION_LENGTH_NM))


#: Mean energy of diffuse electrons over the screen, relative to the beam's: 0.79 (Si), 0.84 (Ni), 0.90 (W) in the Monte
#: Carlo of `kikuchinet.diffraction.transport`, 20 kV, 70° (benchmarks/diffuse_background.py).
MEAN_ENERGY = 0.84
#: The share of electrons that have kept 0.8 of their energy or more goes with this power of the mean energy: 3.7 (Ni), 4.8
#: (Si) and 2.3 (W) over the screen, in the same run.
_LOW_LOSS_POWER = 4


def diffuse_energy(shape: tuple[int, int], rise: float) -> Image:
    """Return the mean energy of the diffuse electrons that reach each pixel, relative to the screen's mean.

    Parameters
    ----------
    shape
        Rows and columns.
    rise
        Rise of the mean energy from the top to the bottom of the screen, in energies of the beam. With a sample at 70°
        electrons that leave downwards were turned by the smallest angle, in the fewest collisions, and lost least. The
        Monte Carlo of `kikuchinet.diffraction.transport` has 0.14 (W), 0.19 (Ni) and 0.21 (Si) at 20 kV; to the left and
        the right nothing changes (benchmarks/diffuse_background.py).

    Returns
    -------
    numpy.ndarray
        float32 (rows, 1), mean 1.

    Notes
    -----
    Electrons of all energies make the diffuse background, those that lost little make most of the Kikuchi signal [1]_;
    that the energy depends on the direction of exit is what EMsoft's energy-weighted master patterns rest on [2]_.

    References
    ----------
    .. [1] A. Winkelmann, K. Aizel, M. Vos, New J. Phys. 12 (2010) 053001.
    .. [2] P. G. Callahan, M. De Graef, Microsc. Microanal. 19 (2013) 1255-1265.
    """
    y, _x = coordinates(shape)
    energy: Image = 1 + np.float32(rise / MEAN_ENERGY) * (y - np.float32(0.5))
    return energy


def energy_contrast(energy: Image) -> Image:
    """Return how the Kikuchi contrast varies with the diffuse electrons' energy, from `diffuse_energy`, mean about 1.

    Notes
    -----
    With an energy filter nearly all contrast is found in electrons that have lost less than a fifth of their energy [1]_.
    Their share of all electrons is a power of the mean energy, `_LOW_LOSS_POWER`.

    References
    ----------
    .. [1] A. Deal, T. Hooghan, A. Eades, Ultramicroscopy 108 (2008) 116-125.
    """
    share = energy**_LOW_LOSS_POWER
    contrast: Image = share / share.mean()
    return contrast


def contrast_lobe(shape: tuple[int, int], center: tuple[float, float], width: float) -> Image:
    """Return how the Kikuchi contrast relative to the background varies over the screen, mean 1.

    Parameters
    ----------
    shape
        Rows and columns.
    center
        (x, y) of the highest contrast.
    width
        Standard deviation of the lobe in heights.

    Notes
    -----
    Seen on all three measured sets of docs/realism.md: after division by the background, contrast falls off like a Gaussian
    of 0.33 to 0.37 heights about a point somewhat above the background's own maximum. With the screen farther off it falls
    off less. An empirical curve: that electrons which still carry the bands leave in a narrower lobe than the diffuse ones
    would do it, and is not shown here.
    """
    y, x = coordinates(shape)
    across = x - np.float32(center[0] * shape[1] / shape[0])
    lobe: Image = np.exp((across**2 + (y - np.float32(center[1])) ** 2) * np.float32(-0.5 / width**2))
    return lobe / lobe.mean()
