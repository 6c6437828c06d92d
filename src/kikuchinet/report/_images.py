"""Pictures inside the page: PNG as data URIs."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

_CLIP_PERCENT = 0.5
"""Brightest and darkest share of the pixels that a stretched picture gives up."""


def data_uri(png: bytes) -> str:
    """Return PNG bytes as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def file_uri(path: Path) -> str:
    """Return a PNG file as a data URI."""
    return data_uri(path.read_bytes())


def stretched(image: NDArray[Any], longest_px: int = 256) -> str:
    """Return a pattern as a grey PNG, contrast stretched and made smaller where it is large.

    Parameters
    ----------
    image
        (rows, columns) of any real type.
    longest_px
        Longest side of the picture. Small patterns keep their own pixels; the browser enlarges them.

    Returns
    -------
    str
        A data URI.
    """
    values = np.asarray(image, dtype=np.float64)
    low, high = np.percentile(values, [_CLIP_PERCENT, 100.0 - _CLIP_PERCENT])
    if high <= low:
        low, high = float(values.min()), float(values.min()) + 1.0
    grey = np.clip((values - low) / (high - low) * 255.0, 0.0, 255.0).round().astype(np.uint8)
    picture = Image.fromarray(grey)
    # BOX averages whole blocks: noise shrinks as it does when a camera bins.
    picture.thumbnail((longest_px, longest_px), Image.Resampling.BOX)
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", optimize=True)
    return data_uri(buffer.getvalue())


def heat(values: NDArray[Any]) -> str:
    """Return a heat map, (rows, columns) from 0 to 1, as a PNG to be laid over the pattern.

    Returns
    -------
    str
        A data URI. Cold is transparent, hot is yellow: lightness rises with the heat, so the map reads without colours too.
    """
    from matplotlib import colormaps

    table = np.linspace(0.0, 1.0, 256)
    colours = (colormaps["plasma"](0.25 + 0.75 * table)[:, :3] * 255).round().astype(np.uint8)
    picture = Image.fromarray((np.clip(values, 0.0, 1.0) * 255).round().astype(np.uint8), mode="P")
    picture.putpalette(colours.tobytes())
    buffer = io.BytesIO()
    picture.save(
        buffer,
        format="PNG",
        optimize=True,
        transparency=(table**0.7 * 190).round().astype(np.uint8).tobytes(),
    )
    return data_uri(buffer.getvalue())
