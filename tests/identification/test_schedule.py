"""Runs that are cut off and taken up again, and runs that others share: the same answers to the last bit."""

from __future__ import annotations

import os
import signal
import threading
import time

import numpy as np
import pytest

import kikuchinet as kn
from kikuchinet._cluster import cores
from kikuchinet.errors import InputError
from kikuchinet.identification import AnswerStore
from kikuchinet.identification.schedule import AHEAD
from kikuchinet.models import SpaceGroupModel
from kikuchinet.models.openvino_runtime import installed
from kikuchinet.patterns import PatternSource

BATCH = 16


@pytest.fixture(scope="module")
def model(tiny_model):
    return kn.load_model(tiny_model, device="cpu")


def scan(n: int = 100, changed: int | None = None, broken: tuple[int, ...] = ()) -> PatternSource:
    """Return noise of which pattern `changed` is other noise, and some patterns cannot be read."""

    def read(first, last):
        if bad := [i for i in range(first, last) if i in broken]:
            raise InputError("scan", f"pattern {bad[0]} is broken")
        return [
            np.random.default_rng(i + 1000 * (i == changed)).integers(0, 255, (40, 40), dtype=np.uint8)
            for i in range(first, last)
        ]

    return PatternSource("scan", ["scan"] * n, read, (n,))


def same(one, other) -> bool:
    return (one.identification.probabilities == other.identification.probabilities).all() and (
        one.answers[0].quality == other.answers[0].quality
    ).all()


@pytest.fixture
def answered(monkeypatch):
    """Patterns that the network was asked about, a number a pass."""
    counts: list[int] = []
    own = SpaceGroupModel.outputs

    def outputs(self, images, **options):
        counts.append(len(images))
        return own(self, images, **options)

    monkeypatch.setattr(SpaceGroupModel, "outputs", outputs)
    return counts


def cut_off(source, model, store, after: int) -> None:
    def stop(done, total):
        if done >= after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kn.identify(source, model, batch_size=BATCH, store=store, progress=stop)


def test_a_run_that_was_cut_off_goes_on(model, tmp_path, answered):
    whole = kn.identify(scan(), model, batch_size=BATCH)
    cut_off(scan(), model, AnswerStore(tmp_path), after=40)
    answered.clear()
    store = AnswerStore(tmp_path)
    result = kn.identify(scan(), model, batch_size=BATCH, store=store)
    assert same(result, whole)
    assert result.summary() == whole.summary()
    assert store.found >= 3 * BATCH
    assert sum(answered) == 100 - store.found


@pytest.mark.parametrize("what", ["patterns", "model", "precision", "runtime"])
def test_a_changed_run_takes_nothing_that_does_not_belong_to_it(model, tiny_model, tmp_path, answered, what):
    kn.identify(scan(), model, batch_size=BATCH, store=AnswerStore(tmp_path))
    answered.clear()
    source, other = scan(), model
    if what == "patterns":
        source = scan(changed=50)
    elif what == "model":
        other = kn.load_model(tiny_model, device="cpu")
        next(iter(other.network.parameters())).data *= 1.5
    elif what == "precision":
        other = kn.load_model(tiny_model, device="cpu", precision="bf16")
    else:
        if not installed():
            pytest.skip("OpenVINO is not installed")
        other = kn.load_model(tiny_model, runtime="openvino")
    result = kn.identify(source, other, batch_size=BATCH, store=AnswerStore(tmp_path))
    assert sum(answered) == (BATCH if what == "patterns" else 100)
    assert same(result, kn.identify(source, other, batch_size=BATCH))


def test_a_damaged_answer_is_found_out(model, tmp_path, answered):
    whole = kn.identify(scan(), model, batch_size=BATCH, store=AnswerStore(tmp_path))
    files = sorted(tmp_path.rglob("*.npz"))
    content = bytearray(files[0].read_bytes())
    content[content.index(b"\x93NUMPY") + 130] ^= 0xFF  # behind the 128 bytes of header: a number
    files[0].write_bytes(content)
    files[1].write_bytes(files[1].read_bytes()[:-30])
    files[2].write_bytes(b"")
    answered.clear()
    result = kn.identify(scan(), model, batch_size=BATCH, store=AnswerStore(tmp_path))
    assert same(result, whole)
    assert 2 * BATCH < sum(answered) <= 3 * BATCH


def test_what_cannot_be_read_is_named_and_the_rest_is_done(model):
    whole = kn.identify(scan(), model, batch_size=BATCH)
    result = kn.identify([scan(broken=(3, 50)), scan(20)], model, batch_size=BATCH, on_error="skip")
    (failure,) = result.failures
    assert str(failure).startswith("scan: 2 of 100 patterns cannot be read")
    good = np.setdiff1d(np.arange(100), [3, 50])
    np.testing.assert_allclose(
        result.answers[0].identification.probabilities[good],
        whole.identification.probabilities[good],
        atol=1e-6,
    )
    row = result.patterns.iloc[50]
    assert row["abstained"]
    assert row["reason"] == "cannot be read: pattern 50 is broken"
    assert result.pooled.n_patterns == 118
    assert result.summary()["failed"][0]["name"] == "scan"
    # Whoever shows patterns later must not fall over it.
    assert (result.answers[0].source[50] == 0).all()
    assert (result.answers[0].source[49] == scan()[49]).all()


def test_without_skip_what_cannot_be_read_is_raised(model):
    with pytest.raises(InputError, match="pattern 3 is broken"):
        kn.identify(scan(broken=(3,)), model)
    with pytest.raises(InputError, match="pattern 0 is broken"):
        kn.identify(scan(5, broken=(0, 1, 2, 3, 4)), model, on_error="skip")


def test_memory_does_not_grow_with_the_scan(model):
    ended = 0
    ahead = []

    def read(first, last):
        ahead.append(first // 4 - ended)
        return list(np.random.default_rng(first).integers(0, 255, (last - first, 40, 40), dtype=np.uint8))

    def count(done, total):
        nonlocal ended
        ended = done // 4

    kn.identify(PatternSource("scan", ["scan"] * 800, read, (800,)), model, batch_size=4, progress=count)
    assert max(ahead) <= cores() + AHEAD


def test_workers_of_a_cluster_share_a_run_and_may_die(model):
    from distributed import Client, LocalCluster

    source = scan(400)
    here = kn.identify(source, model, batch_size=BATCH)
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=60, host="127.0.0.1"
        ) as cluster,
        Client(cluster, set_as_default=False) as client,
    ):
        address = cluster.scheduler_address
        (first, *_) = client.run(os.getpid).values()
        killed = threading.Event()

        def kill(done, total):
            # Only a few blocks are sent ahead, so most are yet to be.
            if done > total // 4 and not killed.is_set():
                killed.set()
                os.kill(first, signal.SIGKILL)

        shared = kn.identify(source, model, batch_size=BATCH, scheduler=address, progress=kill)
        assert killed.is_set()
        assert same(shared, here)
        cluster.scale(1)
        alone = kn.identify(scan(64), model, batch_size=BATCH, scheduler=address)
        np.testing.assert_array_equal(
            alone.identification.probabilities, here.identification.probabilities[:64]
        )
        # The model is not left behind. A worker that is leaving does not say.
        deadline = time.monotonic() + 60
        models = [["unknown"]]
        while (not models or any(models)) and time.monotonic() < deadline:
            time.sleep(0.1)
            models = list(client.run(_models, on_error="ignore").values())
        assert models
        assert not any(models)


@pytest.mark.parametrize(("name", "times"), [("register_plugin", 2), ("unregister_worker_plugin", 1)])
def test_a_worker_may_leave_while_all_are_told(model, monkeypatch, name, times):
    from distributed import Client, LocalCluster
    from distributed.comm import CommClosedError

    tell, told = getattr(Client, name), []

    def once_in_vain(client, *arguments, **options):
        told.append(name)
        done = tell(client, *arguments, **options)
        if len(told) == 1:
            raise CommClosedError("a worker left")
        return done

    monkeypatch.setattr(Client, name, once_in_vain)
    with LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
        silence_logs=60,
        host="127.0.0.1",
    ) as cluster:
        shared = kn.identify(scan(20), model, batch_size=BATCH, scheduler=cluster.scheduler_address)
    assert len(told) == times
    assert same(shared, kn.identify(scan(20), model, batch_size=BATCH))


def _models(dask_worker) -> list[str]:
    return [name for name in dask_worker.plugins if name.startswith("identify")]


def test_no_scheduler_there(model, monkeypatch):
    from kikuchinet import _cluster

    monkeypatch.setattr(_cluster, "_CONNECT_S", 1.0)
    with pytest.raises(InputError, match="no dask scheduler"):
        kn.identify(scan(5), model, scheduler="tcp://127.0.0.1:9")
