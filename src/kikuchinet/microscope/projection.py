"""Projection of a master pattern onto a detector.

A pixel's direction is linear in its row and column until it is normalised, so one pattern needs nine
numbers. The kernel goes row by row in two passes: the first, free of branches, works out where each pixel
falls in the square Lambert map (SIMD); the second fetches the four texels around that point, which lie
beside each other in memory. All arithmetic is in float32. Threads are Python's own, over a kernel that
releases the GIL, so that a training worker can call it without starting any and a forked process inherits
none.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import TYPE_CHECKING, Protocol

import numba as nb
import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.errors import InputError
from kikuchinet.microscope.detector import Detector, detector_to_sample

if TYPE_CHECKING:
    from orix.quaternion import Rotation


class HasHemispheres(Protocol):
    """Anything with two hemispheres in the square Lambert projection, above all a `MasterPattern`."""

    @property
    def upper(self) -> NDArray[np.float32]:
        """Northern hemisphere, (2h+1, 2h+1)."""
        ...

    @property
    def lower(self) -> NDArray[np.float32]:
        """Southern hemisphere, seen from the north, (2h+1, 2h+1)."""
        ...


def project(
    master: HasHemispheres, rotations: Rotation, detector: Detector, *, threads: int | None = None
) -> NDArray[np.float32]:
    """Project a master pattern onto a detector, one pattern per rotation.

    Parameters
    ----------
    master
        Master pattern with ``upper`` and ``lower``, each (2h+1, 2h+1).
    rotations
        Orientations, sample to crystal; any shape, taken in flat order.
    detector
        Where the screen stands.
    threads
        Number of threads; all processors if not given.

    Returns
    -------
    numpy.ndarray
        float32 (n, rows, columns), in the master pattern's units of intensity.

    Raises
    ------
    InputError
        If the master pattern or the rotations cannot be used.

    See Also
    --------
    project_batch : arrays in, arrays out, with a pattern centre for each pattern.
    """
    quaternions = np.asarray(rotations.data, dtype=np.float64).reshape(-1, 4)
    centers = np.broadcast_to(np.asarray(detector.pattern_center), (len(quaternions), 3))
    return project_batch(
        master.upper,
        master.lower,
        quaternions,
        centers,
        detector.shape,
        tilt_deg=detector.tilt_deg,
        azimuthal_deg=detector.azimuthal_deg,
        twist_deg=detector.twist_deg,
        sample_tilt_deg=detector.sample_tilt_deg,
        threads=threads,
    )


def project_batch(
    upper: NDArray[np.generic],
    lower: NDArray[np.generic],
    quaternions: ArrayLike,
    pattern_centers: ArrayLike,
    shape: tuple[int, int],
    *,
    tilt_deg: float = 0.0,
    azimuthal_deg: float = 0.0,
    twist_deg: float = 0.0,
    sample_tilt_deg: float = 70.0,
    out: NDArray[np.float32] | None = None,
    threads: int | None = 1,
    texels: NDArray[np.float32] | None = None,
) -> NDArray[np.float32]:
    """Project one master pattern with an orientation and a pattern centre for each pattern.

    Parameters
    ----------
    upper, lower
        The two hemispheres, each (2h+1, 2h+1), any real type, in kikuchipy's square Lambert layout.
    quaternions
        (n, 4) scalar first, sample to crystal; normalised here.
    pattern_centers
        (n, 3) or (3,), Bruker's convention.
    shape
        Rows and columns of the detector.
    tilt_deg, azimuthal_deg, twist_deg, sample_tilt_deg
        As in `Detector`; the same for all patterns.
    out
        float32 (n, rows, columns), C-contiguous, to write to.
    threads
        Number of threads; 1 starts none, None takes all processors.
    texels
        `interleave(upper, lower)`, where the caller keeps it for many calls.

    Returns
    -------
    numpy.ndarray
        float32 (n, rows, columns).

    Raises
    ------
    InputError
        If shapes disagree or numbers are not finite.

    Notes
    -----
    Bilinear interpolation in the square equal-area projection of [1]_, as in EMsoft [2]_ and kikuchipy.

    References
    ----------
    .. [1] D. Roşca, Astron. Astrophys. 520 (2010) A63.
    .. [2] P. G. Callahan, M. De Graef, Microsc. Microanal. 19 (2013) 1255-1265.
    """
    if texels is None:
        texels = interleave(upper, lower)
    size = np.asarray(upper).shape[0]
    if texels.shape != (2 * size * size, 4):
        raise InputError("interleaved master pattern", "does not belong to the given hemispheres")
    detector = Detector(shape)  # checks the shape
    to_sample = detector_to_sample(sample_tilt_deg, tilt_deg, azimuthal_deg, twist_deg)
    rays = pattern_rays(quaternions, pattern_centers, detector.shape, to_sample)
    n = len(rays)
    wanted = (n, *detector.shape)
    if out is None:
        out = np.empty(wanted, dtype=np.float32)
    elif out.shape != wanted or out.dtype != np.float32 or not out.flags.c_contiguous:
        raise InputError("project_batch out", f"must be C-contiguous float32 of shape {wanted}")
    workers = min(n, threads if threads is not None else os.cpu_count() or 1)
    if workers <= 1:
        _project_kernel(texels, size, rays, out)
        return out
    edges = np.linspace(0, n, workers + 1).astype(int)
    with ThreadPoolExecutor(workers) as pool:
        jobs = [
            pool.submit(_project_kernel, texels, size, rays[first:last], out[first:last])
            for first, last in pairwise(edges)
        ]
        for job in jobs:
            job.result()
    return out


def interleave(upper: NDArray[np.generic], lower: NDArray[np.generic]) -> NDArray[np.float32]:
    """Lay out both hemispheres so that the four texels around a point are neighbours in memory.

    Parameters
    ----------
    upper, lower
        Hemispheres, each (2h+1, 2h+1).

    Returns
    -------
    numpy.ndarray
        float32 (2·(2h+1)², 4): for each texel itself, its right, its lower and its lower right neighbour;
        the last row and column repeat themselves.

    Raises
    ------
    InputError
        If a hemisphere is not a square of odd side, or they differ in shape.
    """
    up, low = (np.ascontiguousarray(side, dtype=np.float32) for side in (upper, lower))
    if up.ndim != 2 or up.shape[0] != up.shape[1] or up.shape[0] % 2 == 0 or up.shape[0] < 3:
        raise InputError("master pattern", f"hemisphere of shape {up.shape}; a square of odd side is needed")
    if up.shape != low.shape:
        raise InputError("master pattern", f"hemispheres of unequal shapes {up.shape} and {low.shape}")
    texels = np.empty((2 * up.size, 4), dtype=np.float32)
    _interleave_kernel(up, texels[: up.size])
    _interleave_kernel(low, texels[up.size :])
    return texels


def pixel_directions(rotation: Rotation, detector: Detector) -> NDArray[np.float64]:
    """Return the direction in the crystal that each pixel of a detector looks into.

    Parameters
    ----------
    rotation
        One orientation, sample to crystal.
    detector
        Where the screen stands.

    Returns
    -------
    numpy.ndarray
        float64 (rows, columns, 3), unit vectors in the Cartesian crystal frame.

    Raises
    ------
    InputError
        If there is more than one orientation.
    """
    quaternions = np.asarray(rotation.data, dtype=np.float64).reshape(-1, 4)
    if len(quaternions) != 1:
        raise InputError("orientation", f"{len(quaternions)} were given, one is needed")
    first, along, down = pattern_rays(
        quaternions, detector.pattern_center, detector.shape, detector.detector_to_sample
    )[0].astype(np.float64)
    rows, columns = (np.arange(side, dtype=np.float64) for side in detector.shape)
    rays = first + rows[:, None, None] * down + columns[None, :, None] * along
    directions: NDArray[np.float64] = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    return directions


def pattern_rays(
    quaternions: ArrayLike,
    pattern_centers: ArrayLike,
    shape: tuple[int, int],
    to_sample: NDArray[np.float64],
) -> NDArray[np.float32]:
    """Return the nine numbers of each pattern that decide where its pixels look.

    Parameters
    ----------
    quaternions
        (n, 4) scalar first, sample to crystal; normalised here.
    pattern_centers
        (n, 3) or (3,), Bruker's convention.
    shape
        Rows and columns of the detector.
    to_sample
        (3, 3), or (n, 3, 3) where tilts differ, of `kikuchinet.microscope.detector.detector_to_sample`.

    Returns
    -------
    numpy.ndarray
        float32 (n, 3, 3): the first pixel's direction, its change per column and per row, in the crystal. The unit of
        length is the detector's height, in which a pixel is 1/rows wide and high.

    Raises
    ------
    InputError
        If shapes disagree or numbers are not finite.
    """
    q = np.asarray(quaternions, dtype=np.float64)
    if q.ndim != 2 or q.shape[1] != 4:
        raise InputError("quaternions", f"shape {q.shape}; (n, 4) is needed")
    norm = np.linalg.norm(q, axis=1, keepdims=True)
    if not np.all(np.isfinite(q)) or np.any(norm < 1e-12):
        raise InputError("quaternions", "one is zero or not finite")
    a, b, c, d = (q / norm).T
    rotation = np.empty((len(q), 3, 3))
    rotation[:, 0, 0] = a * a + b * b - c * c - d * d
    rotation[:, 1, 1] = a * a - b * b + c * c - d * d
    rotation[:, 2, 2] = a * a - b * b - c * c + d * d
    rotation[:, 0, 1], rotation[:, 1, 0] = 2 * (b * c - a * d), 2 * (b * c + a * d)
    rotation[:, 0, 2], rotation[:, 2, 0] = 2 * (b * d + a * c), 2 * (b * d - a * c)
    rotation[:, 1, 2], rotation[:, 2, 1] = 2 * (c * d - a * b), 2 * (c * d + a * b)

    pc = np.asarray(pattern_centers, dtype=np.float64)
    if pc.shape not in ((3,), (len(q), 3)):
        raise InputError("pattern centres", f"shape {pc.shape}; (3,) or ({len(q)}, 3) is needed")
    pc = np.broadcast_to(pc, (len(q), 3))
    if not np.all(np.isfinite(pc)) or np.any(pc[:, 2] <= 0):
        raise InputError("pattern centres", "one is not finite or has z of zero or less")
    rows, columns = shape
    vectors = np.zeros((len(q), 3, 3))
    vectors[:, 0, 0] = 0.5 / rows - pc[:, 0] * (columns / rows)
    vectors[:, 0, 1] = pc[:, 1] - 0.5 / rows
    vectors[:, 0, 2] = pc[:, 2]
    vectors[:, 1, 0] = 1.0 / rows
    vectors[:, 2, 1] = -1.0 / rows
    return np.ascontiguousarray(vectors @ (rotation @ to_sample).transpose(0, 2, 1), dtype=np.float32)


@nb.njit(nogil=True, cache=True)
def _interleave_kernel(side: NDArray[np.float32], texels: NDArray[np.float32]) -> None:
    size = side.shape[0]
    for i in range(size):
        below = min(i + 1, size - 1)
        for j in range(size):
            right = min(j + 1, size - 1)
            k = i * size + j
            texels[k, 0] = side[i, j]
            texels[k, 1] = side[i, right]
            texels[k, 2] = side[below, j]
            texels[k, 3] = side[below, right]


# Typed constants: a bare literal would make the whole expression float64 and halve the SIMD width.
_ZERO, _ONE, _TINY = np.float32(0.0), np.float32(1.0), np.float32(1e-30)
# 4/π · arctan on [0, 1] as an odd polynomial; Abramowitz & Stegun 4.4.49, error below 2e-8 before the factor.
_A1, _A3, _A5, _A7, _A9, _A11, _A13, _A15, _A17 = (
    np.float32(4.0 / np.pi * value)
    for value in (
        1.0,
        -0.3333314528,
        0.1999355085,
        -0.1420889944,
        0.1065626393,
        -0.0752896400,
        0.0429096138,
        -0.0161657367,
        0.0028662257,
    )
)


@nb.njit(nogil=True, cache=True, fastmath=True, error_model="numpy")
def _project_kernel(
    texels: NDArray[np.float32], size: int, rays: NDArray[np.float32], out: NDArray[np.float32]
) -> None:
    n, rows, columns = out.shape
    half = np.float32((size - 1) // 2)
    lower = np.int32(size * size)
    width = np.int32(size)
    index = np.empty(columns, dtype=np.int32)
    weight_x = np.empty(columns, dtype=np.float32)
    weight_y = np.empty(columns, dtype=np.float32)
    for k in range(n):
        ax, ay, az = rays[k, 1, 0], rays[k, 1, 1], rays[k, 1, 2]
        for row in range(rows):
            step = np.float32(row)
            ox = rays[k, 0, 0] + step * rays[k, 2, 0]
            oy = rays[k, 0, 1] + step * rays[k, 2, 1]
            oz = rays[k, 0, 2] + step * rays[k, 2, 2]
            for column in range(columns):
                t = np.float32(np.int32(column))
                x = ox + t * ax
                y = oy + t * ay
                z = oz + t * az
                abs_x, abs_y, abs_z = abs(x), abs(y), abs(z)
                planar = x * x + y * y
                length = np.sqrt(planar + z * z)
                # sqrt(1 - |z|/length), written without the cancellation near the pole.
                radius = half * np.sqrt(planar / (length * (length + abs_z)))
                large = max(abs_x, abs_y, _TINY)
                ratio = min(abs_x, abs_y) / large
                r2 = ratio * ratio
                angle = _A15 + r2 * _A17
                angle = _A13 + r2 * angle
                angle = _A11 + r2 * angle
                angle = _A9 + r2 * angle
                angle = _A7 + r2 * angle
                angle = _A5 + r2 * angle
                angle = _A3 + r2 * angle
                angle = _A1 + r2 * angle
                minor = radius * ratio * angle
                u = radius if abs_x >= abs_y else minor
                v = minor if abs_x >= abs_y else radius
                u = half + (u if x >= _ZERO else -u)
                v = half + (v if y >= _ZERO else -v)
                iu = np.int32(u)
                iv = np.int32(v)
                weight_x[column] = u - np.float32(iu)
                weight_y[column] = v - np.float32(iv)
                side = np.int32(0) if z >= _ZERO else lower
                index[column] = side + iv * width + iu
            for column in range(columns):
                k4 = index[column]
                wx = weight_x[column]
                top = texels[k4, 0] + wx * (texels[k4, 1] - texels[k4, 0])
                bottom = texels[k4, 2] + wx * (texels[k4, 3] - texels[k4, 2])
                out[k, row, column] = top + weight_y[column] * (bottom - top)
