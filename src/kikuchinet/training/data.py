"""Batches for the training loop, from a stream or from a stored set, starting anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import torch

from kikuchinet.datasets import LabelledPatterns, PatternStream, windows
from kikuchinet.training.module import Batch


class StreamBatches:
    """Batches of a stream, from any pattern on.

    Parameters
    ----------
    stream
        The stream.
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
        size = self._stream.config.window
        window, offset = divmod(position, size)
        self._stream.first_window = window
        source = windows(self._stream, workers=self._workers)
        held = _after(next(source), offset) if position < self._total else None
        while held is not None and position + self._batch_size <= self._total:
            while len(held) < self._batch_size:
                held = LabelledPatterns.concatenate([held, next(source)])
            batch, held = held.take(slice(0, self._batch_size)), _after(held, self._batch_size)
            position += self._batch_size
            yield torch.from_numpy(batch.images), torch.from_numpy(batch.labels)


def _after(patterns: LabelledPatterns, n: int) -> LabelledPatterns:
    return patterns.take(slice(n, None))


def epoch_order(n: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order, (n,) indices, in which an epoch goes through a stored set."""
    return np.random.default_rng([seed, epoch]).permutation(n)
