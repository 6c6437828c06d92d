"""Many simulations: in this process, or on a cluster, with what is done and what is left."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from kikuchinet._cluster import cores
from kikuchinet.diffraction.cache import MasterCache
from kikuchinet.diffraction.job import SimulationJob, file_content

_CLUSTER_PAYS_S = 60.0
"""Expected work below which processes are not worth the seconds that their start takes."""


@dataclass(frozen=True)
class Standing:
    """How far many simulations are.

    Attributes
    ----------
    done, total
        Number of jobs that have ended, and of all.
    share
        Share of the expected work that is done, 0 to 1.
    left_s
        Seconds left if it goes on as it went; None as long as nothing is done.
    running
        Names of what is being simulated.
    """

    done: int
    total: int
    share: float
    left_s: float | None
    running: tuple[str, ...] = ()


Watch = Callable[[Standing], None]


@dataclass(frozen=True)
class Finished:
    """A job that has ended.

    Attributes
    ----------
    job
        Which.
    content
        The bytes of the master pattern's file; empty if it failed.
    path
        Where the file lies in the cache; None if it failed or there is no cache.
    error
        Why it failed; None if it did not.
    standing
        How far the others are.
    """

    job: SimulationJob
    content: bytes
    path: Path | None
    error: Exception | None
    standing: Standing


def worker_count(jobs: Sequence[SimulationJob], workers: int | None = None) -> int:
    """Return how many processes share the jobs where nobody names a scheduler; 1 is this one, with all its threads.

    Parameters
    ----------
    jobs
        What is to be done.
    workers
        How many are wanted. None: one for each core, if there is enough to do.
    """
    if workers is not None:
        return max(1, min(workers, len(jobs)))
    if sum(job.cost_s for job in jobs) < _CLUSTER_PAYS_S:
        return 1
    return max(1, min(cores(), len(jobs)))


def simulate_many(
    jobs: Sequence[SimulationJob],
    cache: MasterCache | None = None,
    *,
    scheduler: str | None = None,
    workers: int | None = None,
    watch: Watch | None = None,
) -> Generator[Finished]:
    """Simulate many master patterns; what is finished is in the cache before the next is waited for.

    What the cache holds already is simulated again: leave out what ``cache.find(job.key)`` finds.

    Parameters
    ----------
    jobs
        What to simulate. Several of one key are one.
    cache
        Where results are kept.
    scheduler
        Address of a dask scheduler, such as ``tcp://10.0.0.1:8786``, whose workers have this kikuchinet installed.
        Without it, processes of this machine share the work.
    workers
        Number of those processes; see :func:`worker_count`. A script that may start processes does its work under
        ``if __name__ == "__main__":``, as always with Python's multiprocessing.
    watch
        Called about once a second, in this thread, with how far things are.

    Yields
    ------
    Finished
        In the order of ending: on a cluster the costliest jobs are begun first, in this process they come in the order
        given. A job that fails does not stop the others; it comes with its error. Closing the iterator, or an
        exception such as Ctrl-C while it runs, ends the processes.

    Raises
    ------
    kikuchinet.errors.InputError
        No scheduler answers at the address, or it went away.
    """
    unique = list({job.key: job for job in jobs}.values())
    if not unique:
        return
    clock = _Clock(unique, watch)
    count = worker_count(unique, workers)
    if scheduler is None and count == 1:
        outcomes = _compute_here(unique, clock)
    else:
        from kikuchinet.diffraction.cluster import compute_on_cluster

        outcomes = compute_on_cluster(unique, scheduler, count, clock.running)
    with closing(outcomes):
        for job, outcome in outcomes:
            if isinstance(outcome, Exception):
                yield Finished(job, b"", None, outcome, clock.ended(job))
            else:
                path = cache.store(job.key, outcome) if cache is not None else None
                yield Finished(job, outcome, path, None, clock.ended(job))


def _compute_here(
    jobs: Sequence[SimulationJob], clock: _Clock
) -> Generator[tuple[SimulationJob, bytes | Exception]]:
    for job in jobs:
        clock.running([job])
        outcome: bytes | Exception
        try:
            outcome = file_content(job.run(progress=partial(clock.running, [job])))
        except Exception as error:  # noqa: BLE001 - one crystal's failure must not take the others along
            outcome = error
        yield job, outcome


class _Clock:
    """Counts what is done and guesses what is left."""

    def __init__(self, jobs: Sequence[SimulationJob], watch: Watch | None) -> None:
        self._watch = watch
        self._start = time.monotonic()
        self._total = len(jobs)
        self._total_cost = sum(job.cost_s for job in jobs)
        self._done = 0
        self._done_cost = 0.0

    def running(self, jobs: Sequence[SimulationJob], share: float = 0.0) -> None:
        """Tell who watches what is running, `share` of it done."""
        if self._watch is not None:
            begun = share * sum(job.cost_s for job in jobs)
            self._watch(self._standing(begun, tuple(job.name for job in jobs)))

    def ended(self, job: SimulationJob) -> Standing:
        """Count a job as done."""
        self._done += 1
        self._done_cost += job.cost_s
        return self._standing()

    def _standing(self, begun: float = 0.0, running: tuple[str, ...] = ()) -> Standing:
        share = min((self._done_cost + begun) / self._total_cost, 1.0)
        elapsed = time.monotonic() - self._start
        return Standing(
            done=self._done,
            total=self._total,
            share=share,
            left_s=elapsed * (1.0 - share) / share if share > 0.0 else None,
            running=running,
        )
