"""OpenVINO in place of PyTorch: the same answers, the same bits however a run is shared, and only where it pays."""

from __future__ import annotations

import subprocess
import sys

import kikuchipy as kp
import numpy as np
import pytest
import torch

import kikuchinet as kn
from kikuchinet.identification import pipeline, schedule
from kikuchinet.microscope import project_batch
from kikuchinet.models import SpaceGroupModel, adapt, openvino_runtime
from kikuchinet.models.openvino_runtime import OpenvinoNetwork, resolve_runtime
from kikuchinet.patterns import PatternSource

# Nothing here imports OpenVINO by itself, as `pytest.importorskip` would: it then reports its use to its makers.
pytestmark = pytest.mark.skipif(not openvino_runtime.installed(), reason="OpenVINO is not installed")
PATTERNS = 70


@pytest.fixture(scope="module")
def patterns():
    """Nickel of EMsoft's master pattern, with a little noise."""
    master = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    rng = np.random.default_rng(5)
    turns = rng.standard_normal((PATTERNS, 4))
    turns /= np.linalg.norm(turns, axis=1, keepdims=True)
    upper, lower = master.data.astype(np.float32)
    images = project_batch(upper, lower, turns, (0.5, 0.3, 0.6), (60, 60))
    images = (images - images.mean((1, 2), keepdims=True)) / images.std((1, 2), keepdims=True)
    images += rng.normal(0.0, 0.2, images.shape)
    return np.clip(128.0 + 30.0 * images, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def exact(patterns):
    return kn.load_model(device="cpu", precision="fp32", runtime="torch").identify(patterns)


@pytest.fixture(scope="module")
def fast_model():
    return kn.load_model(precision="bf16", runtime="openvino")


def scan(patterns: np.ndarray) -> PatternSource:
    n = len(patterns)
    return PatternSource("scan", ["scan"] * n, lambda first, last: patterns[first:last], (n,))


def noise(n: int) -> PatternSource:
    return scan(np.random.default_rng(2).integers(0, 255, (n, 40, 40), dtype=np.uint8))


def test_in_fp32_it_says_the_same(patterns, exact):
    model = kn.load_model(precision="fp32", runtime="openvino")
    assert isinstance(model._ready_network, OpenvinoNetwork)
    answers = model.identify(patterns)
    np.testing.assert_allclose(answers.probabilities, exact.probabilities, atol=1e-3)
    assert (answers.space_groups == exact.space_groups).all()


def test_in_bf16_it_says_the_same_where_that_is_clear(patterns, exact, fast_model):
    answers = fast_model.identify(patterns)
    difference = np.abs(answers.probabilities - exact.probabilities)
    assert difference.max() < 0.06
    assert difference.mean() < 0.01
    # Not fp32 by mistake.
    assert difference.max() > 1e-4
    clear = np.ptp(np.sort(exact.probabilities, axis=1)[:, -2:], axis=1) > 0.12
    assert clear.mean() > 0.5
    both = (answers.space_groups != 0) & (exact.space_groups != 0)
    assert (answers.space_groups == exact.space_groups)[clear & both].all()


def test_one_pattern_is_not_filled_up(patterns, exact):
    model = kn.load_model(precision="bf16", runtime="openvino")
    answer = model.identify(patterns[0])
    assert set(model._ready_network._compiled) == {1}
    assert np.abs(answer.probabilities[0] - exact.probabilities[0]).max() < 0.06


def test_a_pattern_without_contrast_gets_no_answer(fast_model):
    answers = fast_model.identify(np.full((1, 60, 60), 7, dtype=np.uint8))
    assert answers.reasons == ("no contrast",)


def test_the_number_of_cores_changes_no_bit(patterns, monkeypatch):
    found = []
    for cores in (1, 2):
        for module in (schedule, openvino_runtime):
            monkeypatch.setattr(module, "cores", lambda cores=cores: cores)
        model = kn.load_model(precision="bf16", runtime="openvino")
        # Blocks of a whole pass and one pattern more; the last one is smaller than a pass.
        result = kn.identify(scan(patterns), model, batch_size=33)
        assert result.settings["runtime"] == "openvino"
        assert set(model._ready_network._compiled) == {model.pass_size}
        found.append(result.identification.probabilities)
    np.testing.assert_array_equal(found[0], found[1])
    single = model.outputs(patterns[:32])[0]
    np.testing.assert_array_equal(model.answers(single, np.zeros(32, bool)).probabilities, found[0][:32])


def test_workers_of_a_cluster_say_the_same(tiny_model):
    from distributed import LocalCluster

    model = kn.load_model(tiny_model, precision="bf16", runtime="openvino")
    here = kn.identify(noise(100), model, batch_size=16)
    with LocalCluster(
        n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=60, host="127.0.0.1"
    ) as cluster:
        shared = kn.identify(noise(100), model, batch_size=16, scheduler=cluster.scheduler_address)
    assert shared.settings["runtime"] == "openvino"
    np.testing.assert_array_equal(shared.identification.probabilities, here.identification.probabilities)


def test_a_forked_process_says_the_same_and_nothing_is_reported(tiny_model):
    code = f"""
import os, sys, numpy, torch
import kikuchinet as kn
images = numpy.random.default_rng(0).integers(0, 255, (5, 40, 40), dtype=numpy.uint8)
model = kn.load_model({str(tiny_model)!r}, precision="bf16", runtime="openvino")
here, _ = model.outputs(images)
child = os.fork()
if not child:
    torch.set_num_threads(1)  # PyTorch's own threads do not survive a fork either
    os._exit(int(not (model.outputs(images)[0] == here).all()))
print(os.waitpid(child, 0)[1], "openvino" in sys.modules, "openvino_telemetry" in sys.modules)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=300
    )
    assert run.stdout.split() == ["0", "True", "False"]


def test_signals_are_handled_after_models_have_gone(tiny_model):
    """With a core for each model, ended in the order in which they were made, SIGINT was a segmentation fault."""
    code = f"""
import faulthandler, gc, os, signal, numpy
import kikuchinet as kn
faulthandler.enable()
images = numpy.random.default_rng(0).integers(0, 255, (5, 40, 40), dtype=numpy.uint8)
first, second = (kn.load_model({str(tiny_model)!r}, precision="bf16", runtime="openvino") for _ in range(2))
for model in (first, second):
    model.outputs(images)
for model in ("first", "model", "second"):
    globals()[model] = None
    gc.collect()
signal.signal(signal.SIGINT, lambda *_: print("handled"))
os.kill(os.getpid(), signal.SIGINT)
"""
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=300
    )
    assert (run.returncode, run.stdout.strip()) == (0, "handled"), run.stderr


def test_an_adapted_network_is_converted_as_it_then_is(tiny_model, patterns):
    prepared = kn.patterns.preprocess(patterns, size=(64, 64))
    model = kn.load_model(tiny_model, precision="fp32", runtime="openvino")
    adaptation = adapt(model, prepared)
    applied = adaptation.applied(model)
    if not adaptation.used:
        pytest.fail("an untrained network is expected to become surer")
    assert applied.runtime == "openvino"
    got = applied.outputs(patterns)[0]
    np.testing.assert_allclose(got, applied.logits(prepared), rtol=1e-3, atol=1e-2)
    assert np.abs(got - model.outputs(patterns)[0]).max() > 1.0


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("auto", "cpu", openvino_runtime.PAYS_FROM), "openvino"),
        (("auto", "cpu", openvino_runtime.PAYS_FROM - 1), "torch"),
        (("auto", "cuda", 10**6), "torch"),
        (("torch", "cpu", 10**6), "torch"),
        (("openvino", "cpu", 1), "openvino"),
    ],
)
def test_auto_goes_by_what_pays(words, expected, monkeypatch):
    runtime, device, patterns = words
    assert resolve_runtime(runtime, torch.device(device), patterns) == expected
    if runtime == "auto":
        monkeypatch.setitem(sys.modules, "openvino", None)
        assert resolve_runtime(runtime, torch.device(device), patterns) == "torch"


def test_a_run_decides_by_its_number_of_patterns(tiny_model, monkeypatch):
    monkeypatch.setattr(openvino_runtime, "PAYS_FROM", 50)
    model = kn.load_model(tiny_model, device="cpu", precision="bf16")
    small, large = kn.identify(noise(40), model), kn.identify(noise(60), model)
    assert (small.settings["runtime"], large.settings["runtime"]) == ("torch", "openvino")
    asked = []
    monkeypatch.setattr(openvino_runtime, "_traced", lambda *words: asked.append(words))
    # Converted once, and single patterns are none of its business.
    kn.identify(noise(60), model)
    assert not asked
    assert model.runtime == "auto"
    assert not isinstance(model._ready_network, OpenvinoNetwork)
    assert pipeline.model_key(model.for_run(40)) != pipeline.model_key(model.for_run(60))


class Branching(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Conv2d(1, 6, 3)

    def forward(self, images):
        return self.layer(images).mean((2, 3)) if images.sum() > 0 else self.layer(-images).mean((2, 3)) + 1.0


def test_what_cannot_be_converted_is_left_to_pytorch_or_said(tiny_model, monkeypatch):
    monkeypatch.setattr(openvino_runtime, "PAYS_FROM", 50)
    card = kn.load_model(tiny_model).card
    network = Branching().eval()
    result = kn.identify(noise(60), SpaceGroupModel(network, card, device="cpu", precision="bf16"))
    assert result.settings["runtime"] == "torch"
    with pytest.raises(kn.InputError, match=r"cannot convert this network \(it branches"):
        SpaceGroupModel(network, card, runtime="openvino").make_ready()


def test_what_the_processor_cannot_compute_is_left_to_pytorch_or_said(tiny_model, monkeypatch):
    openvino = openvino_runtime._import()

    def refuse(*words):
        raise RuntimeError("Exception from core.cpp:117:\nno such instruction\n\n")

    monkeypatch.setattr(openvino_runtime, "PAYS_FROM", 50)
    monkeypatch.setattr(openvino.Core, "compile_model", refuse)
    assert kn.identify(noise(60), kn.load_model(tiny_model, device="cpu")).settings["runtime"] == "torch"
    with pytest.raises(kn.InputError, match=r"cannot compute this network here \(no such instruction\)"):
        kn.load_model(tiny_model, runtime="openvino").make_ready()


def test_what_cannot_be_had_is_said(tiny_model, monkeypatch):
    with pytest.raises(kn.InputError, match="'onnx' is none of auto, torch, openvino"):
        kn.load_model(tiny_model, runtime="onnx")
    with pytest.raises(kn.InputError, match="on the processor, not on meta"):
        kn.load_model(tiny_model, device="meta", runtime="openvino")
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(kn.InputError, match=r"pip install kikuchinet\[openvino\]"):
        kn.load_model(tiny_model, runtime="openvino")
