"""The pieces that a run is cut into: read together, answered together, kept together."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.models import SpaceGroupModel
from kikuchinet.patterns import PatternSource, quality

BLOCK_PATTERNS = 256
"""Patterns of a block, if they are small: a second's work for a processor, and some 20 kB of answers to keep."""
BLOCK_BYTES = 2**25
"""Bytes of a block's patterns, if they are large."""

Images = NDArray[Any] | list[NDArray[Any]]


@dataclass(frozen=True)
class Block:
    """Patterns `first` to `last` - 1 of source `source`, the `number`-th piece of the run."""

    number: int
    source: int
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first


@dataclass(frozen=True, eq=False)
class BlockAnswer:
    """What the network said about the patterns of a block.

    Parameters
    ----------
    logits
        float32 (n, classes).
    blank
        (n,) True for patterns without contrast.
    quality
        float64 (n,) image quality.
    """

    logits: NDArray[np.float32]
    blank: NDArray[np.bool_]
    quality: NDArray[np.float64]


class Interrupted(Exception):  # noqa: N818 - not an error
    """A block was given up because the run is over."""


def plan(sources: Sequence[PatternSource], most: int | None = None) -> list[Block]:
    """Cut sources into blocks.

    Parameters
    ----------
    sources
        What is to be identified.
    most
        Patterns of a block; `BLOCK_PATTERNS`, or fewer where they are large, if not given.

    Returns
    -------
    list of Block
        In the order of the patterns. How a run is cut depends on nothing but this, so that a run that is taken up again, or
        shared among any number of workers, has the same blocks and with them the same answers to the last bit.
    """
    blocks: list[Block] = []
    for number, source in enumerate(sources):
        size = most or _size(source)
        blocks += [
            Block(len(blocks) + k, number, first, min(first + size, len(source)))
            for k, first in enumerate(range(0, len(source), size))
        ]
    return blocks


def _size(source: PatternSource) -> int:
    (image, *_), _ = source.salvage(0, 1)
    return max(1, min(BLOCK_PATTERNS, BLOCK_BYTES // max(image.nbytes, 1)))


def digest(images: Images, key: str) -> str:
    """Return a digest of a block's patterns and of all that their answers depend on.

    Parameters
    ----------
    images
        The patterns, to the last bit.
    key
        Says which model, computing how, answers.
    """
    found = hashlib.blake2b(key.encode(), digest_size=20)
    for image in [images] if isinstance(images, np.ndarray) else images:
        found.update(f"{image.shape} {image.dtype.str}".encode())
        found.update(np.ascontiguousarray(image).data)
    return found.hexdigest()


def answer(model: SpaceGroupModel, images: Images, stop: threading.Event | None = None) -> BlockAnswer:
    """Answer a block.

    Parameters
    ----------
    model
        Who answers.
    images
        The patterns.
    stop
        Set when the answer is no longer wanted.

    Raises
    ------
    Interrupted
        It is no longer wanted.
    """
    parts = []
    for some in _passes(images, model.pass_size):
        if stop is not None and stop.is_set():
            raise Interrupted
        # A last pattern that is alone is no reason to make the model ready for single ones.
        parts.append((*model.outputs(some, batch_size=model.pass_size), quality(some)))
    logits, blank, sharpness = (np.concatenate(column) for column in zip(*parts, strict=True))
    return BlockAnswer(logits, blank, sharpness)


def nothing_seen(n: int, classes: int) -> BlockAnswer:
    """Return the answer to n patterns of which none can be read."""
    return BlockAnswer(np.zeros((n, classes), dtype=np.float32), np.ones(n, dtype=bool), np.zeros(n))


def _passes(images: Images, size: int) -> Iterator[Images]:
    for first in range(0, len(images), size):
        yield images[first : first + size]
