"""Intensity across the Kikuchi bands of a cubic crystal, averaged along each band and over all bands of a family.

In a cubic crystal the normals of the planes {hkl} do not depend on the lattice parameter. Once the orientation is
known, every band of a family lies where it must, whatever the crystal, and the intensity at an angle from its plane
can be averaged along the band and over the equivalent bands. What is left is a short curve for each family: half as
wide as the Bragg angle of its first reflection that is not forbidden, with shoulders at the orders that follow. The
reflection conditions that tell the ten space groups of m-3m apart can be read from these curves; where the crystal
lay, and where the screen stood, is no longer in them.
"""

from __future__ import annotations

import itertools
from functools import cache

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError

FAMILIES: tuple[tuple[int, int, int], ...] = (
    (1, 0, 0), (1, 1, 0), (1, 1, 1), (2, 1, 0), (2, 1, 1), (2, 2, 1), (3, 1, 0), (3, 1, 1),
    (3, 2, 0), (3, 2, 1), (3, 3, 1), (3, 2, 2), (4, 1, 0), (4, 1, 1), (3, 3, 2), (4, 2, 1),
)  # fmt: skip
"""Families of planes, by the direction of their normals: the bands of all orders n(hkl) lie on one another."""
BINS = 64
"""Points of a profile."""
REACH = 0.16
"""Sine of the largest angle from the plane (9.2°): 19 Bragg angles of a spacing of 0.5 nm at 20 kV."""
CHANNELS = ("intensity", "disagreement", "coverage", "separated")
"""What is known at each point: the mean, the standard deviation between equivalent bands, how many pixels it comes from,
and the intensity that is left to the family when all families together make up the pattern."""

_PRIOR_PIXELS = 4.0
"""Pixels that it takes to believe a separated intensity half: noise of a pattern over variance of its profiles."""
_ITERATIONS = 8
"""Steps of conjugate gradients. Five are within 1 % of what is explained of a pattern in the end."""

Floats = NDArray[np.float32]


@cache
def plane_normals() -> tuple[Floats, NDArray[np.int64]]:
    """Return the unit normals of all planes of `FAMILIES`, one of each opposite pair, and the family of each.

    Returns
    -------
    normals : numpy.ndarray
        float32 (planes, 3).
    family : numpy.ndarray
        (planes,) indices into `FAMILIES`, in rising order.
    """
    normals, family = [], []
    for number, indices in enumerate(FAMILIES):
        equivalent = {
            tuple(sign * index for sign, index in zip(signs, order, strict=True))
            for order in itertools.permutations(indices)
            for signs in itertools.product((1, -1), repeat=3)
        }
        for plane in sorted(equivalent):
            if plane > tuple(-index for index in plane):
                normals.append(np.asarray(plane) / np.linalg.norm(plane))
                family.append(number)
    return np.asarray(normals, dtype=np.float32), np.asarray(family, dtype=np.int64)


def band_profiles(
    images: NDArray[np.generic], rays: NDArray[np.generic], mask: NDArray[np.bool_] | None = None
) -> Floats:
    """Average patterns along the bands of every family of planes.

    Parameters
    ----------
    images
        (n, rows, columns), as `kikuchinet.patterns.preprocess` returns them.
    rays
        (n, 3, 3) where the pixels look in the crystal, `kikuchinet.microscope.projection.pattern_rays` of the
        orientations and the pattern centres.
    mask
        bool (rows, columns) or (n, rows, columns), True on the screen; all of it if not given.

    Returns
    -------
    numpy.ndarray
        float32 (n, 4, families, `BINS`): the `CHANNELS`. Bin i is the angle from the plane whose sine is (i + 1/2)
        `REACH` / `BINS`, on both sides. The coverage is in pixels, divided by four times the number of rows. Where no
        pixel is, all four are 0.

    Raises
    ------
    InputError
        If shapes disagree.

    Notes
    -----
    A pixel counts in the two bins on either side of it, linearly.

    Along a band lie all the bands that cross it, and which of them are on the screen depends on the orientation: to the
    mean of a weak band they add more than the band itself. So the pattern is also taken for the sum of its bands,

        I(pixel) = mean + sum over planes hkl of p_{hkl}(angle to hkl),

    one unknown curve p a family, and all curves are found together by least squares with a prior of mean 0 (ridge
    regression). It has families times bins unknowns, and is solved by conjugate gradients with the diagonal as
    preconditioner (M. R. Hestenes, E. Stiefel, J. Res. Natl. Bur. Stand. 49 (1952) 409). At a zone axis bands do not add
    up; what remains is about a third of a good pattern's variance, noise included.
    """
    stack = np.ascontiguousarray(images, dtype=np.float32)
    directions = np.ascontiguousarray(rays, dtype=np.float32)
    if stack.ndim != 3 or directions.shape != (len(stack), 3, 3):
        raise InputError("band profiles", f"patterns of shape {stack.shape} and rays of {directions.shape}")
    if mask is not None and np.shape(mask) not in (stack.shape, stack.shape[1:]):
        raise InputError(
            "band profiles", f"a mask of shape {np.shape(mask)} for patterns of {stack.shape[1:]}"
        )
    shown = np.broadcast_to(True if mask is None else mask, stack.shape)
    normals, family = plane_normals()
    result = np.zeros((len(stack), len(CHANNELS), len(FAMILIES), BINS), dtype=np.float32)
    sums = np.empty((len(normals), BINS), dtype=np.float32)
    counts = np.empty_like(sums)
    separated = CHANNELS.index("separated")
    for image, inside, ray, profile in zip(stack, shown, directions, result, strict=True):
        sums[:] = 0.0
        counts[:] = 0.0
        _along_bands(image, inside, ray, normals, sums, counts)
        _over_families(sums, counts, family, np.float32(4 * stack.shape[1]), profile)
        curves = _separated(image, inside, ray, normals, family, np.float32(_PRIOR_PIXELS), _ITERATIONS)
        profile[separated] = curves.reshape(len(FAMILIES), BINS)
    return result


def pooled_profiles(profiles: Floats) -> Floats:
    """Average profiles of several patterns of one crystal.

    Parameters
    ----------
    profiles
        (n, 4, families, bins).

    Returns
    -------
    numpy.ndarray
        float32 (4, families, bins). All are averaged with the coverage for weight, the coverage itself evenly.
    """
    coverage = CHANNELS.index("coverage")
    weight = profiles[:, coverage]
    total = weight.sum(axis=0)
    mean = (profiles * weight[:, None]).sum(axis=0) / np.where(total > 0, total, 1.0)
    mean[coverage] = total / len(profiles)
    return np.asarray(mean, dtype=np.float32)


@nb.njit(fastmath=True, cache=True, nogil=True)
def _along_bands(
    image: Floats, mask: NDArray[np.bool_], ray: Floats, normals: Floats, sums: Floats, counts: Floats
) -> None:
    rows, columns = image.shape
    scale = np.float32(BINS / REACH)
    limit = np.float32(REACH * REACH)
    half = np.float32(0.5)
    one = np.float32(1.0)
    across = ray[1, 0] * ray[1, 0] + ray[1, 1] * ray[1, 1] + ray[1, 2] * ray[1, 2]
    for k in range(len(normals)):
        first = normals[k, 0] * ray[0, 0] + normals[k, 1] * ray[0, 1] + normals[k, 2] * ray[0, 2]
        per_column = normals[k, 0] * ray[1, 0] + normals[k, 1] * ray[1, 1] + normals[k, 2] * ray[1, 2]
        per_row = normals[k, 0] * ray[2, 0] + normals[k, 1] * ray[2, 1] + normals[k, 2] * ray[2, 2]
        for r in range(rows):
            x = ray[0, 0] + r * ray[2, 0]
            y = ray[0, 1] + r * ray[2, 1]
            z = ray[0, 2] + r * ray[2, 2]
            start = first + r * per_row
            square = x * x + y * y + z * z
            slope = np.float32(2.0) * (x * ray[1, 0] + y * ray[1, 1] + z * ray[1, 2])
            for c in range(columns):
                # Length of the projection on the normal, and squared length, of the direction of the pixel.
                height = start + c * per_column
                length = square + c * (slope + c * across)
                if height * height < limit * length and mask[r, c]:
                    place = abs(height) / np.sqrt(length) * scale - half
                    low = int(np.floor(place))
                    share = np.float32(place - low)
                    value = image[r, c]
                    # Beyond the plane itself the next bin is the mirror image of the first.
                    below = max(low, 0)
                    sums[k, below] += value * (one - share)
                    counts[k, below] += one - share
                    if low + 1 < BINS:
                        sums[k, low + 1] += value * share
                        counts[k, low + 1] += share


@nb.njit(cache=True, nogil=True)
def _over_families(
    sums: Floats, counts: Floats, family: NDArray[np.int64], pixels: np.float32, profile: Floats
) -> None:
    planes, bins = sums.shape
    first = 0
    while first < planes:
        last = first
        while last < planes and family[last] == family[first]:
            last += 1
        for b in range(bins):
            total, weight = 0.0, 0.0
            for k in range(first, last):
                total += sums[k, b]
                weight += counts[k, b]
            if weight > 0.0:
                mean = total / weight
                spread, counted = 0.0, 0.0
                for k in range(first, last):
                    # Less than half a pixel has no mean.
                    if counts[k, b] > 0.5:
                        difference = sums[k, b] / counts[k, b] - mean
                        spread += counts[k, b] * difference * difference
                        counted += counts[k, b]
                profile[0, family[first], b] = mean
                profile[1, family[first], b] = np.sqrt(spread / counted) if counted > 0.0 else 0.0
                profile[2, family[first], b] = weight / pixels
        first = last


@nb.njit(fastmath=True, cache=True, nogil=True)
def _separated(
    image: Floats,
    mask: NDArray[np.bool_],
    ray: Floats,
    normals: Floats,
    family: NDArray[np.int64],
    prior: np.float32,
    iterations: int,
) -> Floats:
    """Return the curves (families * bins,) whose sum over all planes is the pattern."""
    rows, columns = image.shape
    planes = len(normals)
    unknowns = (family[-1] + 1) * BINS
    scale, limit = np.float32(BINS / REACH), np.float32(REACH)
    half, zero = np.float32(0.5), np.float32(0.0)
    # Each pixel, and the two neighbouring bins of each plane it is near to: the rows of a sparse matrix.
    place = np.empty((rows * columns, planes), np.int32)
    share = np.empty((rows * columns, planes), np.float32)
    many = np.zeros(rows * columns, np.int64)
    values = np.empty(rows * columns, np.float32)
    pixels = 0
    for r in range(rows):
        for c in range(columns):
            if not mask[r, c]:
                continue
            x = ray[0, 0] + c * ray[1, 0] + r * ray[2, 0]
            y = ray[0, 1] + c * ray[1, 1] + r * ray[2, 1]
            z = ray[0, 2] + c * ray[1, 2] + r * ray[2, 2]
            length = np.sqrt(x * x + y * y + z * z)
            near = 0
            for k in range(planes):
                sine = abs(normals[k, 0] * x + normals[k, 1] * y + normals[k, 2] * z) / length
                if sine < limit:
                    at = sine * scale - half
                    low = int(np.floor(at))
                    # Within half a bin of the plane and of the end there is one bin only.
                    single = low < 0 or low >= BINS - 1
                    low = min(max(low, 0), BINS - 1)
                    place[pixels, near] = family[k] * BINS + low
                    share[pixels, near] = zero if single else np.float32(at - low)
                    near += 1
            many[pixels] = near
            values[pixels] = image[r, c]
            pixels += 1
    # One bin more than there are: the last has a neighbour, of weight 0.
    curves = np.zeros(unknowns + 1, np.float32)
    if pixels == 0:
        return curves[:unknowns]
    mean = values[:pixels].mean()
    residual, diagonal = np.zeros_like(curves), np.full_like(curves, prior)
    for i in range(pixels):
        value = values[i] - mean
        for n in range(many[i]):
            j, upper = place[i, n], share[i, n]
            lower = np.float32(1.0) - upper
            residual[j] += lower * value
            residual[j + 1] += upper * value
            diagonal[j] += lower
            diagonal[j + 1] += upper
    scaled = residual / diagonal
    direction = scaled.copy()
    size = np.sum(residual * scaled)
    for _ in range(iterations):
        image_of = prior * direction
        for i in range(pixels):
            value = zero
            for n in range(many[i]):
                j = place[i, n]
                value += direction[j] + share[i, n] * (direction[j + 1] - direction[j])
            for n in range(many[i]):
                j, upper = place[i, n], share[i, n]
                image_of[j] += (np.float32(1.0) - upper) * value
                image_of[j + 1] += upper * value
        curvature = np.sum(direction * image_of)
        if not curvature > 0.0:
            break
        step = size / curvature
        curves += step * direction
        residual -= step * image_of
        scaled = residual / diagonal
        before, size = size, np.sum(residual * scaled)
        direction = scaled + (size / before) * direction
    # Where no pixel is, the prior's mean stands: 0.
    return curves[:unknowns]
