"""Simulations on a dask cluster: somebody's, or one of this machine's own cores.

Workers send the finished file back, and whoever called puts it where it belongs. So a worker needs nothing but
kikuchinet: no folder that both sides see, no right to write. A file of half-width 250 is 2 MB, against minutes of work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import queue
import signal
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

from kikuchinet.diffraction.job import SimulationJob, file_content
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, Future, LocalCluster, Worker, WorkerPlugin

_LOOK_EVERY_S = 1.0
"""How often to look which jobs are running."""
_CONNECT_S = 10.0
"""How long a scheduler may take to answer at first."""
_LOST_S = 60.0
"""How long a scheduler may be out of reach before it counts as gone."""
_START_S = 120.0
"""How long the first process of this machine may take to start; seconds, on one that is not overloaded."""
_GRACE_S = 1.0
"""How long an interrupted process has to end by itself."""
_ONE_THREAD = dict.fromkeys(
    ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"
)
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
    connection = _local_client(workers) if scheduler is None else _foreign_client(scheduler)
    with _silent_logs(), connection as client:
        # A name of our own: another run on the same scheduler must not be answered with the leavings of this one.
        run = uuid.uuid4().hex[:8]
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        waiting = {f"simulate-{run}-{job.key}": job for job in ordered}
        rank = {name: number for number, name in enumerate(waiting)}
        futures: dict[str, Future] = {}
        for name, job in waiting.items():
            futures[name] = client.submit(_work, job, job.key, key=name, pure=False)
            futures[name].add_done_callback(finished.put)
        seen = time.monotonic()
        while waiting:
            if client.status == "running":
                seen = time.monotonic()
            elif time.monotonic() - seen > _LOST_S:
                raise InputError(scheduler or "local cluster", "the connection to the scheduler was lost")
            running([waiting[name] for name in _running(client, rank) if name in waiting])
            try:
                future = finished.get(timeout=_LOOK_EVERY_S)
            except queue.Empty:
                continue
            name = str(future.key)
            job = waiting.pop(name)
            outcome = _outcome(future, job, scheduler)
            # The worker may forget the file now.
            del futures[name], future
            yield job, outcome


def _work(job: SimulationJob, key: str) -> bytes | InputError:
    """Run a job inside a worker, on as many threads as the worker was given."""
    import numba
    from distributed import get_worker
    from threadpoolctl import threadpool_limits

    # A copy works its key out anew, with this worker's presets and revision.
    if replace(job).key != key:
        return InputError("dask cluster", "its workers run another version of kikuchinet, of other results")
    threads = max(1, min(get_worker().state.nthreads, numba.config.NUMBA_NUM_THREADS))  # type: ignore[attr-defined]
    # Not every threading layer of numba bears being entered by two threads, and two would only share the same cores.
    with _ONE_AT_A_TIME, threadpool_limits(1):
        numba.set_num_threads(threads)
        try:
            return file_content(job.run())
        except InputError as error:
            # Returned, not raised: to dask a raised one is a fault, worth a traceback in the worker's log.
            return error


def _outcome(future: Future, job: SimulationJob, scheduler: str | None) -> bytes | Exception:
    from distributed import KilledWorker

    if future.status in {"cancelled", "lost"}:
        raise InputError(
            scheduler or "local cluster", "the scheduler dropped the work; was it stopped or restarted?"
        )
    try:
        return future.result()
    except KilledWorker:
        return InputError(
            job.name,
            "the process that computed it died, again and again; it may need more memory than there is",
        )
    except Exception as error:  # noqa: BLE001 - one crystal's failure must not take the others along
        return error


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


@contextmanager
def _foreign_client(address: str) -> Iterator[Client]:
    from distributed import Client

    try:
        client = Client(address, timeout=_CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        cause = str(error) or type(error).__name__
        raise InputError(address, f"no dask scheduler can be reached here ({cause})") from error
    with client:
        yield client


@contextmanager
def _local_client(workers: int) -> Iterator[Client]:
    """Start processes of this machine; nothing of them listens beyond it, prints, or outlives the block."""
    import dask
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="kikuchinet-", ignore_cleanup_errors=True)
        )
        # One job at a worker and the rest at the scheduler, so that whichever is free takes the next.
        stack.enter_context(dask.config.set({"distributed.scheduler.worker-saturation": 1.0}))
        cluster = stack.enter_context(
            LocalCluster(
                n_workers=0,
                threads_per_worker=1,
                processes=True,
                host="127.0.0.1",
                dashboard_address="127.0.0.1:0",
                # A share of the memory each would kill one large crystal although there is room.
                memory_limit=0,
                local_directory=folder,
                silence_logs=logging.CRITICAL,
                env=_ONE_THREAD,
            )
        )
        cluster.sync(_settle, cluster)
        client = stack.enter_context(Client(cluster, set_as_default=False))
        client.register_plugin(_no_page())
        cluster.scale(workers)
        try:
            client.wait_for_workers(1, timeout=_START_S)
        except TimeoutError as error:
            raise InputError(
                "local cluster",
                f"no process started within {_START_S:.0f} s; "
                'a script does such work under `if __name__ == "__main__":`',
            ) from error
        try:
            yield client
        except BaseException:
            cluster.sync(_stop, cluster)
            raise


async def _settle(cluster: LocalCluster) -> None:
    """Close the scheduler's web page, and keep Ctrl-C from the processes to come: they end when we say so."""
    assert cluster.scheduler is not None
    cluster.scheduler.http_server.stop()
    if hasattr(signal, "pthread_sigmask"):
        from multiprocessing import resource_tracker

        # Python starts this one along with the first process, and (3.11) unblocks the signal then.
        resource_tracker.ensure_running()
        # Processes inherit the mask of the thread that starts them, which is this one.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})


async def _stop(cluster: LocalCluster) -> None:
    """End the processes in the middle of what they do, without the seconds that dask would wait for them."""
    stops = [worker.close(timeout=_GRACE_S) for worker in cluster.workers.values()]
    # What is not down by then is left to the cluster's own closing.
    await asyncio.gather(*stops, return_exceptions=True)


def _no_page() -> WorkerPlugin:
    """Return what closes a worker's web page, too, when it starts."""
    from distributed import WorkerPlugin

    class NoPage(WorkerPlugin):
        def setup(self, worker: Worker) -> None:
            worker.http_server.stop()

    return NoPage()


@contextmanager
def _silent_logs() -> Iterator[None]:
    """Keep quiet what dask and the libraries under it log about workers that come and go."""
    if os.environ.get("KIKUCHINET_DEBUG"):
        yield
        return
    # Loaded first: it sets the levels of its own loggers, several of them, when it is.
    import distributed  # noqa: F401

    libraries = ("distributed", "tornado", "asyncio")
    names = {name for name in logging.root.manager.loggerDict if name.split(".")[0] in libraries}
    loggers = [logging.getLogger(name) for name in sorted(names.union(libraries))]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL)
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
