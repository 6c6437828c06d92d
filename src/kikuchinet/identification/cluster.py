"""Who answers the blocks of a run: the workers of a dask cluster.

Patterns are read where the run was started and sent out, and answers are kept there. So a worker needs nothing but
kikuchinet: no folder that both sides see, no model's name that means the same to both. A worker that dies takes nothing with
it: the scheduler still has the patterns and gives them to another.
"""

from __future__ import annotations

import queue
import threading
import time
import uuid
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from kikuchinet._cluster import LOOK_EVERY_S, Connection, cluster_client
from kikuchinet._version import __version__
from kikuchinet.errors import InputError
from kikuchinet.identification.blocks import Block, BlockAnswer, Images, answer
from kikuchinet.identification.schedule import AHEAD, Answers, Work
from kikuchinet.models import ModelCard, SpaceGroupModel, model_bytes, model_from_bytes

if TYPE_CHECKING:
    from distributed import Client, Future, WorkerPlugin

_LOADING = threading.Lock()
_LEAVING_S = 10.0
"""How long a scheduler may take to notice that a worker has left."""


def answer_on_cluster(model: SpaceGroupModel, work: Work, scheduler: str, device: str) -> Answers:
    """Answer blocks on a cluster.

    Parameters
    ----------
    model
        Who answers; it is sent to the workers.
    work
        The blocks and their patterns, read as they are asked for.
    scheduler
        Address of a dask scheduler.
    device
        Where the network runs on each worker: ``auto`` or PyTorch's name of a device.

    Yields
    ------
    tuple
        Each block with its answer, as they come.

    Raises
    ------
    kikuchinet.errors.InputError
        No scheduler answers at the address, it went away, it has another kikuchinet, or a block killed worker after worker.
    """
    with cluster_client(scheduler, 0) as client, _model_on_workers(client, model, device) as name:
        connection = Connection(client, scheduler)
        finished: queue.SimpleQueue[Future] = queue.SimpleQueue()
        running: dict[str, tuple[Future, Block]] = {}

        def one() -> tuple[Block, BlockAnswer]:
            while True:
                connection.check()
                try:
                    future = finished.get(timeout=LOOK_EVERY_S)
                except queue.Empty:
                    continue
                _, block = running.pop(str(future.key))
                return block, _outcome(future, block, connection)

        for block, images in work:
            key = f"{name}-{block.number}"
            with warnings.catch_warnings():
                # dask would have large arguments sent once for many tasks; each of ours is for one.
                warnings.filterwarnings("ignore", message="Sending large graph", category=UserWarning)
                future = client.submit(_work, images, name, key=key, pure=False)
            del images
            running[key] = (future, block)
            future.add_done_callback(finished.put)
            while len(running) >= _room(client):
                yield one()
        while running:
            yield one()


def _room(client: Client) -> int:
    """How many blocks may be under way: what keeps the workers busy, those that came meanwhile too."""
    return max(1, sum(client.nthreads().values())) + AHEAD if client.status == "running" else 1


@contextmanager
def _model_on_workers(client: Client, model: SpaceGroupModel, device: str) -> Iterator[str]:
    """Give the model to all workers, those that will come too, for as long as the block runs."""
    name = f"identify-{uuid.uuid4().hex[:8]}"
    plugin = _plugin(name, model, device)
    _register(client, plugin)
    try:
        yield name
    finally:
        if client.status == "running":
            # A worker that leaves meanwhile takes the model with it; the others have been told.
            with suppress(OSError):
                client.unregister_worker_plugin(name)


def _register(client: Client, plugin: WorkerPlugin) -> None:
    """Give all workers a plugin, again if one of them leaves meanwhile."""
    give_up = time.monotonic() + _LEAVING_S
    while True:
        try:
            client.register_plugin(plugin)
        except OSError:  # dask's CommClosedError is one
            if time.monotonic() > give_up:
                raise
            time.sleep(_LEAVING_S / 50)
        else:
            return


class _Model:
    """A model on a worker, loaded when it is first asked for."""

    def __init__(self, card: ModelCard, weights: bytes, precision: str, runtime: str, device: str) -> None:
        self.version = __version__
        self.card, self.weights, self.device = card, weights, device
        self.precision, self.runtime = precision, runtime
        self._loaded: SpaceGroupModel | None = None

    def __getstate__(self) -> dict[str, object]:
        return self.__dict__ | {"_loaded": None}

    def load(self) -> SpaceGroupModel:
        with _LOADING:
            if self._loaded is None:
                self._loaded = model_from_bytes(
                    self.card,
                    self.weights,
                    device=self.device,
                    precision=self.precision,
                    runtime=self.runtime,
                )
                self._loaded.make_ready()
            return self._loaded


def _plugin(name: str, model: SpaceGroupModel, device: str) -> WorkerPlugin:
    from kikuchinet.identification._plugin import ModelPlugin

    return ModelPlugin(name, _Model(model.card, model_bytes(model), model.precision, model.runtime, device))


def _work(images: Images, name: str) -> BlockAnswer | InputError:
    """Answer a block inside a worker, in one of its threads, which computes alone."""
    import torch
    from distributed import get_worker

    from kikuchinet.identification._plugin import ModelPlugin

    plugin = get_worker().plugins[name]
    assert isinstance(plugin, ModelPlugin)
    model: _Model = plugin.model
    if model.version != __version__:
        return InputError("dask cluster", f"its workers run kikuchinet {__version__}, not {model.version}")
    torch.set_num_threads(1)
    try:
        return answer(model.load(), images)
    except InputError as error:
        # Returned, not raised: to dask a raised one is a fault, worth a traceback in the worker's log.
        return error


def _outcome(future: Future, block: Block, connection: Connection) -> BlockAnswer:
    from distributed import KilledWorker

    if future.status in {"cancelled", "lost"}:
        raise connection.dropped()
    try:
        outcome: BlockAnswer | InputError = future.result()
    except KilledWorker as error:
        raise InputError(
            "dask cluster",
            f"patterns {block.first} to {block.last - 1} of input {block.source + 1} ended worker after worker; "
            "they may need more memory",
        ) from error
    if isinstance(outcome, InputError):
        raise outcome
    return outcome
