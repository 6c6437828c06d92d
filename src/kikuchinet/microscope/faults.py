"""What goes wrong: shadows, dirt, broken pixels, and writing burnt into the image.

Conventions: `kikuchinet.microscope.grid`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kikuchinet.microscope.grid import coordinates

Images = NDArray[np.float32]
Image = NDArray[np.float32]


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


def specks(shape: tuple[int, int], dust: int, rng: np.random.Generator) -> Image:
    """Return what specks of dust on the screen leave of the light.

    Parameters
    ----------
    shape
        Rows and columns.
    dust
        Number of specks, each darker by 5-40 % and 0.5-2 % of the height wide, as on the NORDIF screens looked at.
    rng
        Source of all randomness.

    Returns
    -------
    numpy.ndarray
        float32 (rows, columns), 0 to 1.
    """
    left = np.ones(shape, dtype=np.float32)
    y, x = coordinates(shape)
    at = rng.random((dust, 2), dtype=np.float32)
    depth = rng.uniform(0.05, 0.4, dust).astype(np.float32)
    radius = rng.uniform(0.005, 0.02, dust).astype(np.float32)
    aspect = np.float32(shape[1] / shape[0])
    for k in range(dust):
        across = np.exp(-0.5 * ((x - at[k, 0] * aspect) / radius[k]) ** 2)
        down = np.exp(-0.5 * ((y - at[k, 1]) / radius[k]) ** 2)
        left *= 1 - depth[k] * down * across
    return left


@dataclass(frozen=True, eq=False)
class Defects:
    """Pixels of the chip that do not work, the same in every frame.

    Parameters
    ----------
    gain
        float32 (rows, columns): what a pixel passes on of the light, 1 or, where it is dead, 0.
    dark
        float32 (rows, columns): what it adds without light, in units of the mean brightness.
    """

    gain: Image
    dark: Image

    def apply(self, images: Images) -> Images:
        """Return measured brightness as these pixels report it."""
        return images * self.gain + self.dark


def draw_defects(
    shape: tuple[int, int], dead_share: float, dead_lines: int, hot_columns: int, rng: np.random.Generator
) -> Defects:
    """Draw which pixels of a chip are broken.

    Parameters
    ----------
    shape
        Rows and columns of the chip.
    dead_share
        Part of the pixels that are broken one by one: half are dead, half hot. Scientific CCDs are sold with less than
        0.1 %; worn and uncooled ones have more.
    dead_lines
        Number of rows, or columns, that pass on nothing.
    hot_columns
        Number of columns that are brighter from a random row on: a hot pixel, or a trap, that charge is clocked through.
    rng
        Source of all randomness.

    Returns
    -------
    Defects
        Dead pixels give 0; hot ones 0.5 to 3 mean brightnesses more, hot columns 0.05 to 0.5.
    """
    rows, columns = shape
    gain, dark = np.ones(shape, dtype=np.float32), np.zeros(shape, dtype=np.float32)
    broken = int(round(dead_share * rows * columns))
    if broken:
        where = rng.integers(rows * columns, size=broken)
        dead = broken // 2
        gain.flat[where[:dead]] = 0
        dark.flat[where[dead:]] = rng.uniform(0.5, 3.0, broken - dead)
    for _ in range(dead_lines):
        across, at = rng.random(2)
        if across < 0.5:
            gain[int(at * rows)] = 0
        else:
            gain[:, int(at * columns)] = 0
    for _ in range(hot_columns):
        column, start, level = rng.random(3)
        dark[int(0.8 * start * rows) :, int(column * columns)] += np.float32(0.05 + 0.45 * level)
    return Defects(gain, dark)


def _font(*glyphs: str) -> NDArray[np.bool_]:
    """Return letters of 5 x 3 dots, (letters, 5, 3)."""
    return np.array([[[dot == "#" for dot in row] for row in glyph.split("/")] for glyph in glyphs])


_FONT = _font(
    "###/#.#/#.#/#.#/###",
    ".#./##./.#./.#./###",
    "###/..#/###/#../###",
    "###/..#/.##/..#/###",
    "#.#/#.#/###/..#/..#",
    "###/#../###/..#/###",
    "###/#../###/#.#/###",
    "###/..#/.#./.#./.#.",
    "###/#.#/###/#.#/###",
    "###/#.#/###/..#/###",
    ".../.../.../.../.#.",
    ".../.../.../.#./#..",
    "#../#.#/##./##./#.#",
    "#.#/#.#/#.#/#.#/.#.",
    ".../.../###/###/#.#",
    "###/#.#/###/#../#..",
    "#.#/#.#/###/#.#/#.#",
    ".../#.#/.#./#.#/...",
)
"""Digits and what else stands on an exported pattern."""


def draw_writing(
    shape: tuple[int, int], scale_bar: float, label: int, rng: np.random.Generator
) -> tuple[NDArray[np.bool_], Image]:
    """Draw what software has burnt into an exported image: a scale bar, a line of text.

    Parameters
    ----------
    shape
        Rows and columns.
    scale_bar
        Length of the bar in widths; 0 for none.
    label
        Number of characters, drawn from digits, a point, a comma and the letters k, V, m, P, H and x; 0 for none.
    rng
        Source of all randomness.

    Returns
    -------
    covered : numpy.ndarray
        bool (rows, columns): pixels that are written over.
    level : numpy.ndarray
        float32 (rows, columns): what with, from black 0 to white 1.
    """
    rows, columns = shape
    covered, level = np.zeros(shape, dtype=bool), np.zeros(shape, dtype=np.float32)
    boxed, bright = rng.random() < 0.5, rng.random() < 0.7
    ink = np.float32(bright)

    def box(top: int, left: int, height: int, width: int) -> tuple[slice, slice]:
        place = slice(max(top, 0), top + height), slice(max(left, 0), left + width)
        if boxed:
            covered[place] = True
            level[place] = 1 - ink
        return place

    margin = max(1, rows // 40)
    dot = max(1, rows // 100)
    if scale_bar > 0:
        width, height = max(3, round(scale_bar * columns)), max(2, rows // 50)
        left = margin if rng.random() < 0.5 else columns - margin - width
        top = rows - 2 * margin - height
        box(top - margin, left - margin, height + 2 * margin, width + 2 * margin)
        covered[top : top + height, max(left, 0) : left + width] = True
        level[top : top + height, max(left, 0) : left + width] = ink
    if label > 0:
        glyphs = _FONT[rng.integers(len(_FONT), size=label)]
        # A dot between letters.
        line = np.zeros((5, 4 * label - 1), dtype=bool)
        for k, glyph in enumerate(glyphs):
            line[:, 4 * k : 4 * k + 3] = glyph
        text = np.kron(line, np.ones((dot, dot), dtype=bool))[: rows - 2 * margin, : columns - 2 * margin]
        top = margin if rng.random() < 0.5 else rows - margin - len(text)
        left = margin
        box(top - margin, left - margin, len(text) + 2 * margin, text.shape[1] + 2 * margin)
        place = slice(top, top + len(text)), slice(left, left + text.shape[1])
        covered[place] |= text
        level[place] = np.where(text, ink, level[place])
    return covered, level
