"""Who answers the blocks of a run: threads of this process."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait

from kikuchinet._cluster import cores
from kikuchinet.identification.blocks import Block, BlockAnswer, Images, answer
from kikuchinet.models import SpaceGroupModel

AHEAD = 2
"""Blocks that are read before a worker is free for them."""
_FEEDERS = 3
"""Threads that keep a GPU busy: it computes for one while another prepares and a third fetches."""

Work = Iterable[tuple[Block, Images]]
Answers = Generator[tuple[Block, BlockAnswer]]


def answer_here(model: SpaceGroupModel, work: Work, blocks: int) -> Answers:
    """Answer blocks in this process, several at a time.

    Parameters
    ----------
    model
        Who answers.
    work
        The blocks and their patterns, read as they are asked for.
    blocks
        Blocks of the whole run, finished ones included.

    Yields
    ------
    tuple
        Each block with its answer, as they come.

    Notes
    -----
    Each thread takes a block from the raw patterns to the logits, with one core: no thread waits for another, reading goes
    on meanwhile, and a network is computed with less loss than by all cores together. A block that is the only one gets all
    cores.
    """
    import torch

    workers = max(1, min(cores(), blocks)) if model.device.type == "cpu" else _FEEDERS
    threads = cores() if workers == 1 and blocks == 1 else 1
    before = torch.get_num_threads()
    stop = threading.Event()
    pool = ThreadPoolExecutor(workers, "identify", initializer=torch.set_num_threads, initargs=(threads,))
    running: dict[Future[BlockAnswer], Block] = {}
    try:
        model.make_ready()
        for block, images in work:
            running[pool.submit(answer, model, images, stop)] = block
            del images
            while len(running) >= workers + AHEAD:
                yield from _finished(running)
        while running:
            yield from _finished(running)
    finally:
        stop.set()
        pool.shutdown(cancel_futures=True)
        # The number is also what threads to come start with.
        torch.set_num_threads(before)


def _finished(running: dict[Future[BlockAnswer], Block]) -> Answers:
    # In no order: which of several came first must not matter to anybody.
    for future in wait(running, return_when=FIRST_COMPLETED).done:
        yield running.pop(future), future.result()
