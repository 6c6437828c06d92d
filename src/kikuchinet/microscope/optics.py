"""Screen and lens: which part of the image the screen lights up, and how sharply.

Conventions: `kikuchinet.microscope.grid`.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope.filters import gaussian_blur, resample
from kikuchinet.microscope.grid import coordinates

Images = NDArray[np.float32]
Image = NDArray[np.float32]


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


def margins(shape: tuple[int, int], edges: tuple[float, float, float, float]) -> Image:
    """Return how much of a cropped screen's light each pixel sees: 1 on it, 0 in the bars around it.

    Parameters
    ----------
    shape
        Rows and columns.
    edges
        Widths of the dark bars on the left, top, right and bottom, in widths and heights.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns). Pixels that the screen's edge runs through see a part of it.
    """
    rows, columns = shape
    left, top, right, bottom = edges
    y, x = np.arange(rows, dtype=np.float32)[:, None], np.arange(columns, dtype=np.float32)[None, :]

    def lit(first: Image, before: float, after: float, size: int) -> Image:
        from_start = np.clip(first + 1 - np.float32(before * size), 0, 1)
        to_end = np.clip(np.float32((1 - after) * size) - first, 0, 1)
        return np.minimum(from_start, to_end)

    return lit(y, top, bottom, rows) * lit(x, left, right, columns)


def glare(images: Images, share: float, width: float) -> Images:
    """Spread a part of the light over the screen: the far tail of the point spread.

    Parameters
    ----------
    images
        Brightness.
    share
        Part of the light that ends up in the tail.
    width
        Standard deviation of the tail in heights.

    Returns
    -------
    numpy.ndarray
        Brightness. Contrast falls by about `share`, and dark surrounds are no longer black.

    Notes
    -----
    Light is scattered within the phosphor and its glass and reflected between lenses, "veiling glare". The tail is so
    wide that a quarter of the pixels hold it.
    """
    if share <= 0:
        return images
    rows, columns = images.shape[1:]
    quarter = (max(3, rows // 4), max(3, columns // 4))
    tail = resample(
        gaussian_blur(resample(images, quarter), width * quarter[0], truncate=2.5), (rows, columns)
    )
    return np.float32(1 - share) * images + np.float32(share) * tail


def drifted_focus(images: Images, sigma_px: float, angle: float) -> Images:
    """Blur images more and more towards one side, as where the lens has drifted.

    Parameters
    ----------
    images
        Kikuchi signal or brightness.
    sigma_px
        Standard deviation of the blur at the farther side, in pixels.
    angle
        Direction of that side in radians, 0 to the right, π/2 downwards.

    Returns
    -------
    numpy.ndarray
        Images, sharp at the near side. Between, sharp and blurred are mixed.

    Notes
    -----
    The circle of confusion of a lens grows in proportion to the distance from the plane of focus. The mixture is so
    weighted that its variance is that of the blur it stands for, σ² times the square of the distance.
    """
    if sigma_px < 0.05:
        return images
    shape = (images.shape[1], images.shape[2])
    y, x = coordinates(shape)
    half = 0.5 * shape[1] / shape[0]
    along = (x - np.float32(half)) * np.float32(math.cos(angle)) + (y - np.float32(0.5)) * np.float32(
        math.sin(angle)
    )
    reach = half * abs(math.cos(angle)) + 0.5 * abs(math.sin(angle))
    # Variances add, so the share of the wide blur is the square of the distance.
    share = np.clip(0.5 + 0.5 * along / np.float32(reach), 0, 1) ** 2
    blurred = gaussian_blur(images, sigma_px, truncate=2.5)
    mixed: Images = images + share * (blurred - images)
    return mixed
