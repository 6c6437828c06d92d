"""A run whose model is fitted to its patterns first: which patterns, and the same answers however the run is made."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import kikuchinet as kn
from kikuchinet.errors import InputError
from kikuchinet.identification import AnswerStore, adapting
from kikuchinet.identification.adapting import adapt_to_scan, sample
from kikuchinet.models import adapt
from kikuchinet.patterns import PatternSource

BATCH = 16


@pytest.fixture(scope="module")
def model(tiny_model):
    return kn.load_model(tiny_model, device="cpu")


def pattern(i: int) -> np.ndarray:
    return np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8)


def scan(
    n: int = 60, blank: tuple[int, ...] = (), broken: tuple[int, ...] = (), first: int = 0
) -> PatternSource:
    def read(start, end):
        if bad := [i for i in range(start, end) if i in broken]:
            raise InputError("scan", f"pattern {bad[0]} is broken")
        return [
            np.full((40, 40), 7, np.uint8) if i in blank else pattern(first + i) for i in range(start, end)
        ]

    return PatternSource("scan", ["scan"] * n, read, (n,))


def rows(stack: np.ndarray) -> list[bytes]:
    return sorted(image.tobytes() for image in stack)


def test_what_shows_nothing_or_cannot_be_read_is_left_out():
    found = sample([scan(20, blank=(3,), broken=(7, 8)), scan(10, first=20)], (64, 64))
    kept = [pattern(i) for i in range(30) if i not in {3, 7, 8}]
    assert rows(found) == rows(kn.preprocess(np.stack(kept), size=(64, 64)))
    # In random order: batches must look like the scan.
    assert [image.tobytes() for image in found] != rows(found)
    assert np.array_equal(found, sample([scan(20, blank=(3,), broken=(7, 8)), scan(10, first=20)], (64, 64)))


def test_of_many_the_sharpest_are_taken():
    def read(start, end):
        wave = np.sin(np.arange(40) / 4)[:, None] * np.ones(40)
        return [wave + (i % 2) * np.random.default_rng(i).normal(size=(40, 40)) for i in range(start, end)]

    source = PatternSource("scan", ["scan"] * 200, read, (200,))
    found = sample([source], (64, 64), most=30)
    clear = kn.preprocess(read(0, 1)[0], size=(64, 64))[0]
    assert found.shape == (30, 64, 64)
    np.testing.assert_allclose(found, np.broadcast_to(clear, found.shape), atol=1e-5)


def certain(monkeypatch):
    """Have every adaptation used: whether it is, is another matter."""
    own = adapting.adapt
    monkeypatch.setattr(
        adapting, "adapt", lambda *words, **options: replace(own(*words, **options), used=True)
    )


def test_a_run_says_what_the_adapted_model_says(model, monkeypatch):
    certain(monkeypatch)
    result = kn.identify(scan(), model, adapt=True)
    direct = replace(adapt(model, sample([scan()], model.card.size)), used=True).applied(model)
    images = np.stack([pattern(i) for i in range(60)])
    np.testing.assert_allclose(
        result.identification.probabilities, direct.identify(images).probabilities, atol=1e-5
    )
    plain = kn.identify(scan(), model)
    assert not np.allclose(plain.identification.probabilities, result.identification.probabilities, atol=1e-3)
    assert plain.summary()["adaptation"] is None
    summary = result.summary()["adaptation"]
    assert summary["used"]
    assert summary["patterns"] == 60
    again = kn.identify(scan(), model, adapt=result.adaptation)
    assert (again.identification.probabilities == result.identification.probabilities).all()


def test_a_run_that_was_cut_off_takes_up_its_adaptation(model, tmp_path, monkeypatch):
    certain(monkeypatch)
    whole = kn.identify(scan(), model, batch_size=BATCH, adapt=True)

    def stop(done, total):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        kn.identify(scan(), model, batch_size=BATCH, adapt=True, store=AnswerStore(tmp_path), progress=stop)
    monkeypatch.setattr(adapting, "adapt", None)
    store = AnswerStore(tmp_path)
    result = kn.identify(scan(), model, batch_size=BATCH, adapt=True, store=store)
    assert store.found >= BATCH
    assert result.summary() == whole.summary()
    assert (result.identification.probabilities == whole.identification.probabilities).all()
    # Another scan, or the same without adapting, takes nothing of it.
    with pytest.raises(TypeError):
        adapt_to_scan([scan(first=1)], model, store=store)
    other = AnswerStore(tmp_path)
    kn.identify(scan(), model, batch_size=BATCH, store=other)
    assert other.found == 0


def test_workers_of_a_cluster_get_the_adapted_model(model, monkeypatch):
    from distributed import LocalCluster

    certain(monkeypatch)
    here = kn.identify(scan(), model, batch_size=BATCH, adapt=True)
    with LocalCluster(
        n_workers=1,
        processes=False,
        protocol="tcp://",
        dashboard_address=None,
        silence_logs=60,
        host="127.0.0.1",
    ) as cluster:
        shared = kn.identify(scan(), model, batch_size=BATCH, adapt=True, scheduler=cluster.scheduler_address)
    assert (shared.identification.probabilities == here.identification.probabilities).all()
    assert shared.summary()["adaptation"] == here.summary()["adaptation"]
