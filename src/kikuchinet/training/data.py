"""Batches for the training loop, from a stream or from a stored set, starting anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice

import numpy as np

from kikuchinet.datasets import PatternStream
from kikuchinet.datasets.stream import Batch


class StreamBatches:
    """Batches of a stream, from any pattern on.

    Parameters
    ----------
    stream
        The stream; one on a device gives batches that are there already.
    batch_size
        Patterns in a batch.
    total
        Pattern of the stream to stop before.
    workers
        Processes that make patterns ahead.
    position
        Says how many patterns were used already; asked when iteration starts.
    """

    def __init__(
        self,
        stream: PatternStream,
        *,
        batch_size: int,
        total: int,
        workers: int,
        position: Callable[[], int],
    ) -> None:
        self._stream = stream
        self._batch_size = batch_size
        self._total = total
        self._workers = workers
        self._position = position

    def __iter__(self) -> Iterator[Batch]:
        position = self._position()
        left = max(self._total - position, 0) // self._batch_size
        return islice(self._stream.batches(self._batch_size, start=position, workers=self._workers), left)


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order, (n,) indices, in which an epoch goes through a stored set."""
    return np.random.default_rng([seed, epoch]).permutation(n)
