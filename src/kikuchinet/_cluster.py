"""A dask cluster: somebody's, or one of this machine's own cores; what every kind of work on one needs.

Nothing here knows what is computed. dask is imported when a cluster is asked for.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from distributed import Client, LocalCluster, Worker, WorkerPlugin

LOOK_EVERY_S = 1.0
"""How often to look how a cluster is."""
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


def cores() -> int:
    """Return how many cores this process may use; a batch system may have given it fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Connection:
    """Notices when a scheduler has gone for good.

    Parameters
    ----------
    client
        A client of the scheduler.
    name
        What errors call the scheduler; None for a cluster of this machine.
    """

    def __init__(self, client: Client, name: str | None) -> None:
        self._client = client
        self._name = name or "local cluster"
        self._seen = time.monotonic()

    def check(self) -> None:
        """Raise an `InputError` if the scheduler has been out of reach for a minute."""
        if self._client.status == "running":
            self._seen = time.monotonic()
        elif time.monotonic() - self._seen > _LOST_S:
            raise InputError(self._name, "the connection to the scheduler was lost")

    def dropped(self) -> InputError:
        """Return the error to raise where the scheduler has forgotten the work."""
        return InputError(self._name, "the scheduler dropped the work; was it stopped or restarted?")


@contextmanager
def cluster_client(scheduler: str | None, workers: int) -> Iterator[Client]:
    """Connect to a scheduler, or start a cluster on this machine for as long as the block runs.

    Parameters
    ----------
    scheduler
        Address of a dask scheduler; None starts processes of this machine.
    workers
        Number of those processes; each has one thread.

    Yields
    ------
    distributed.Client

    Raises
    ------
    kikuchinet.errors.InputError
        No scheduler answers at the address, or no process could be started.
    """
    connection = _local_client(workers) if scheduler is None else _foreign_client(scheduler)
    with _silent_logs(), connection as client:
        yield client


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
    from distributed import Client, LocalCluster

    with ExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="kikuchinet-", ignore_cleanup_errors=True)
        )
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
