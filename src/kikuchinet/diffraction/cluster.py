"""Simulations on a dask cluster: somebody's, or one of this machine's own cores.

Workers send the finished file back, and whoever called puts it where it belongs. So a worker needs nothing but
kikuchinet: no folder that both sides see, no right to write. A file of half-width 250 is 2 MB, against minutes of work.
"""

from __future__ import annotations

import queue
import threading
import uuid
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING

from kikuchinet._cluster import LOOK_EVERY_S, Connection, cluster_client
from kikuchinet.diffraction.job import SimulationJob, file_content
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future

_ONE_AT_A_TIME = threading.Lock()
"""Held by the simulation that a worker is busy with."""


def compute_on_cluster(
    jobs: Sequence[SimulationJob],
    scheduler: str | None,
    workers: int,
    running: Callable[[Sequence[SimulationJob]], None],
) -> Generator[tuple[SimulationJob, bytes | Exception]]:
    """Simulate jobs on a cluster, those that cost most first.

    Parameters
    ----------
    jobs
        No two with the same key.
    scheduler
        Address of a dask scheduler. None starts a cluster on this machine, for as long as this runs.
    workers
        Number of processes of that one; each has one thread.
    running
        Called about once a second with the jobs that are being computed.

    Yields
    ------
    tuple
        Each job, as they come, with the bytes of its finished file, or with the error that it ended in.

    Raises
    ------
    kikuchinet.errors.InputError
        No scheduler answers at the address, or it went away.
    """
    ordered = sorted(jobs, key=lambda job: job.cost_s, reverse=True)
    with cluster_client(scheduler, workers) as client:
        connection = Connection(client, scheduler)
        # A name of our own: another run on the same scheduler must not be answered with the leavings of this one.
        run = uuid.uuid4().hex[:8]
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        waiting = {f"simulate-{run}-{job.key}": job for job in ordered}
        rank = {name: number for number, name in enumerate(waiting)}
        futures: dict[str, Future] = {}
        unsent = iter(list(waiting.items()))

        def send() -> None:
            for name, job in islice(unsent, _room(client, len(futures)) if scheduler is None else None):
                futures[name] = client.submit(_work, job, job.key, key=name, pure=False)
                futures[name].add_done_callback(finished.put)

        while waiting:
            connection.check()
            send()
            running([waiting[name] for name in _running(client, rank) if name in waiting])
            try:
                future = finished.get(timeout=LOOK_EVERY_S)
            except queue.Empty:
                continue
            name = str(future.key)
            job = waiting.pop(name)
            outcome = _outcome(future, job, connection)
            # The worker may forget the file now.
            del futures[name], future
            send()
            yield job, outcome


def _work(job: SimulationJob, key: str) -> bytes | InputError:
    """Run a job inside a worker, on as many threads as the worker was given."""
    import numba
    from distributed import get_worker
    from threadpoolctl import threadpool_limits

    # A copy works its key out anew, with this worker's presets and revision.
    if replace(job).key != key:
        return InputError("dask cluster", "its workers run another version of kikuchinet, of other results")
    # A script that imports numba before its main guard has had it read the environment before dask set it here.
    numba.config.reload_config()
    threads = max(1, min(get_worker().state.nthreads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    # Not every threading layer of numba bears being entered by two threads, and two would only share the same cores.
    with _ONE_AT_A_TIME, threadpool_limits(1):
        numba.set_num_threads(threads)
        try:
            return file_content(job.run())
        except InputError as error:
            # Returned, not raised: to dask a raised one is a fault, worth a traceback in the worker's log.
            return error


def _outcome(future: Future, job: SimulationJob, connection: Connection) -> bytes | Exception:
    from distributed import KilledWorker

    if future.status in {"cancelled", "lost"}:
        raise connection.dropped()
    try:
        return future.result()
    except KilledWorker:
        return InputError(
            job.name,
            "the process that computed it died, again and again; it may need more memory than there is",
        )
    except Exception as error:  # noqa: BLE001 - one crystal's failure must not take the others along
        return error


def _room(client: Client, sent: int) -> int:
    """Number of jobs that processes of this machine are free to begin at once.

    More are not sent: dask gives few jobs to the processes that are there, and blames all that wait at one that dies.
    Somebody's cluster is sent all of them, because it may grow by what waits.
    """
    if client.status != "running":
        return 0
    return max(0, sum(client.nthreads().values()) - sent)


def _running(client: Client, rank: Mapping[str, int]) -> list[str]:
    """Names of the tasks that workers are busy with: of what lies with a worker, as many as it has threads."""
    if client.status != "running":
        return []
    threads = client.nthreads()
    names: list[str] = []
    for worker, assigned in client.processing().items():
        # In the order of submission, in which a worker takes them.
        ours = sorted((name for name in assigned if name in rank), key=rank.__getitem__)
        names += ours[: threads.get(worker, 1)]
    return names
