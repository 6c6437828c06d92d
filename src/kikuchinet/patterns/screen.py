"""Which part of an image is screen, and which is surround.

Round phosphor screens leave corners without signal: black in raw frames, a flat grey once the vendor's
software has removed the background. Either would outweigh the Kikuchi bands in every filter that follows.
"""

from __future__ import annotations

import numba as nb
import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError

Images = NDArray[np.float32]

#: Blocks a side into which an image is divided. A block of 4 px at 128 holds enough pixels for a spread, and
#: the mask follows a round edge to 3 % of the width.
BLOCKS = 32
#: A block is flat where its spread is below this part of the typical one. Measured on two round screens,
#: 480 px shrunk to 128: surround 0.10 (raw, black) and 0.13 (processed, grey, JPEG); screen above 0.4.
_FLAT = np.float32(0.25)
#: A block is dark where its mean is below this part of the median block. Measured on a raw round screen:
#: surround 0.10, the screen's rim 0.3-0.5.
_DARK = np.float32(0.22)
#: With less than this part left as screen the finding is not believed and the whole image is used.
_LEAST_SCREEN = 0.3


def screen_mask(images: NDArray[np.generic]) -> NDArray[np.bool_]:
    """Find the screen in images: False where a flat or dark surround reaches in from the border.

    Parameters
    ----------
    images
        (n, rows, columns), any real type, at least 32 px a side; best at the size the network sees.

    Returns
    -------
    numpy.ndarray
        bool (n, rows, columns). All True where no surround is found.

    Raises
    ------
    InputError
        If the images are not a stack or too small.

    Notes
    -----
    The image is divided into 32 x 32 blocks. Flat blocks (hardly any spread) and dark ones (hardly any
    signal) that hang together with a corner or, if dark, with the border are surround; so are their
    neighbours, since the edge of the screen runs through those. A strip narrower than a block is found by the
    outermost line of pixels: a round screen comes within 1 to 3 px of the border of an image of 128.
    """
    stack = np.ascontiguousarray(images, dtype=np.float32)
    if stack.ndim != 3 or min(stack.shape[1:]) < BLOCKS:
        raise InputError(
            "screen mask", f"needs (n, rows, columns) of at least {BLOCKS} px, got {stack.shape}"
        )
    masks = np.ones(stack.shape, dtype=np.bool_)
    for image, mask in zip(stack, masks, strict=True):
        find_screen(image, mask)
    return masks


@nb.njit(nogil=True, cache=True)
def find_screen(image: Images, mask: NDArray[np.bool_]) -> bool:
    """Write the screen of one image to `mask`; return whether there is any surround."""
    means = np.empty((BLOCKS, BLOCKS), dtype=np.float32)
    outside = np.empty((BLOCKS, BLOCKS), dtype=np.bool_)
    found = find_screen_blocks(image, means, outside)
    paint_mask(outside, mask)
    return found


@nb.njit(nogil=True, cache=True)
def find_screen_blocks(image: Images, means: Images, outside: NDArray[np.bool_]) -> bool:
    """Write block means and which blocks are surround, (32, 32) each; return whether any is."""
    spreads = np.empty((BLOCKS, BLOCKS), dtype=np.float32)
    _block_statistics(image, means, spreads)
    outside[:] = False
    typical = np.median(spreads)
    if typical <= np.float32(0.0):
        return False
    # Darkness has a meaning only where zero means no signal.
    darkest = _DARK * np.median(means) if means.min() >= np.float32(0.0) else np.float32(-np.inf)
    flattest = _FLAT * typical
    rims = np.full((BLOCKS, BLOCKS), np.inf, dtype=np.float32)
    _rim_means(image, rims)
    reached = np.zeros((BLOCKS, BLOCKS), dtype=np.bool_)
    stack = np.empty((BLOCKS * BLOCKS, 2), dtype=np.int64)
    height = 0
    last = BLOCKS - 1
    for a in range(BLOCKS):
        for b in range(BLOCKS):
            corner = a in (0, last) and b in (0, last)
            border = a in (0, last) or b in (0, last)
            dark = border and min(means[a, b], rims[a, b]) < darkest
            if dark or (corner and spreads[a, b] < flattest):
                reached[a, b] = True
                stack[height, 0], stack[height, 1] = a, b
                height += 1
    if height == 0:
        return False
    while height > 0:
        height -= 1
        a, b = stack[height, 0], stack[height, 1]
        for step in range(4):
            i = a + (step == 0) - (step == 1)
            j = b + (step == 2) - (step == 3)
            if i < 0 or j < 0 or i > last or j > last or reached[i, j]:
                continue
            if spreads[i, j] < flattest or means[i, j] < darkest:
                reached[i, j] = True
                stack[height, 0], stack[height, 1] = i, j
                height += 1
    for a in range(BLOCKS):
        for b in range(BLOCKS):
            if reached[a, b]:
                # the screen's edge runs through the neighbours
                outside[max(a - 1, 0) : a + 2, max(b - 1, 0) : b + 2] = True
    if outside.sum() > (1.0 - _LEAST_SCREEN) * BLOCKS * BLOCKS:
        outside[:] = False
        return False
    return True


@nb.njit(nogil=True, cache=True)
def _rim_means(image: Images, rims: Images) -> None:
    """Write the mean of the darkest outermost line of pixels to each block of the border of (32, 32).

    Lines are averaged along a block and its neighbours, for a stretched pattern may well have a few black pixels side by
    side.
    """
    rows, columns = image.shape
    last = BLOCKS - 1
    for b in range(BLOCKS):
        c0, c1 = max(b - 1, 0) * columns // BLOCKS, min(b + 2, BLOCKS) * columns // BLOCKS
        r0, r1 = max(b - 1, 0) * rows // BLOCKS, min(b + 2, BLOCKS) * rows // BLOCKS
        rims[0, b] = min(rims[0, b], image[0, c0:c1].mean())
        rims[last, b] = min(rims[last, b], image[rows - 1, c0:c1].mean())
        rims[b, 0] = min(rims[b, 0], image[r0:r1, 0].mean())
        rims[b, last] = min(rims[b, last], image[r0:r1, columns - 1].mean())


@nb.njit(nogil=True, cache=True)
def paint_mask(outside: NDArray[np.bool_], mask: NDArray[np.bool_]) -> None:
    """Write False to the pixels of `mask` that lie in blocks that are outside, True elsewhere."""
    rows, columns = mask.shape
    mask[:] = True
    for a in range(BLOCKS):
        for b in range(BLOCKS):
            if outside[a, b]:
                r0, r1 = a * rows // BLOCKS, (a + 1) * rows // BLOCKS
                c0, c1 = b * columns // BLOCKS, (b + 1) * columns // BLOCKS
                mask[r0:r1, c0:c1] = False


@nb.njit(nogil=True, cache=True, fastmath={"contract", "reassoc", "nsz", "arcp"})
def _block_statistics(image: Images, means: Images, spreads: Images) -> None:
    rows, columns = image.shape
    for a in range(BLOCKS):
        r0, r1 = a * rows // BLOCKS, (a + 1) * rows // BLOCKS
        for b in range(BLOCKS):
            c0, c1 = b * columns // BLOCKS, (b + 1) * columns // BLOCKS
            first = image[r0, c0]
            total = np.float32(0.0)
            squares = np.float32(0.0)
            for i in range(r0, r1):
                for j in range(c0, c1):
                    # measured from the block's first pixel: no cancellation at a high offset
                    value = image[i, j] - first
                    total += value
                    squares += value * value
            count = np.float32((r1 - r0) * (c1 - c0))
            mean = total / count
            means[a, b] = first + mean
            spreads[a, b] = np.sqrt(max(squares / count - mean * mean, np.float32(0.0)))
