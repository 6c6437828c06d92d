"""What answers fast answers the same: folded networks, bf16, and patterns prepared by torch."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import timm
import torch

import kikuchinet as kn
from kikuchinet.models import create_model
from kikuchinet.models.inference import inference_network, resolve_precision


@pytest.fixture(scope="module")
def patterns():
    return np.stack(list(kn.example_patterns()))


def settled(architecture: str) -> torch.nn.Module:
    """Return a network whose batch normalisation has seen something, so that folding it changes weights."""
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = create_model(architecture, 5, 1)
        images = torch.randn(8, 1, *network.default_cfg["input_size"][1:])[..., :96, :96]
        network.train()
        with torch.no_grad():
            for _ in range(3):
                network(images)
    return network.eval()


# One of each way to build a network: plain, separable with squeeze-and-excitation, attention.
@pytest.mark.parametrize(
    "architecture", ["test_resnet", "test_efficientnet", "test_byobnet", "test_convnext"]
)
def test_folding_changes_no_answer(architecture):
    assert timm.is_model(architecture)
    network = settled(architecture)
    before = copy.deepcopy(network.state_dict())
    images = torch.randn(4, 1, 96, 96, generator=torch.Generator().manual_seed(0))
    ready = inference_network(network, "fp32")
    with torch.inference_mode():
        torch.testing.assert_close(ready(images), network(images), rtol=1e-4, atol=1e-5)
    norms = [module for module in ready.modules() if isinstance(module, torch.nn.BatchNorm2d)]
    if architecture == "test_resnet":
        assert not norms
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


def test_a_network_that_cannot_be_followed_is_used_as_it_is():
    class Branching(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Conv2d(1, 3, 3)

        def forward(self, images):
            return self.layer(images).mean((2, 3)) if images.sum() > 0 else self.layer(-images).mean((2, 3))

    network = Branching().eval()
    images = torch.rand(2, 1, 8, 8)
    with torch.inference_mode():
        torch.testing.assert_close(inference_network(network, "fp32")(images), network(images))


def test_the_model_that_ships_says_the_same_in_bf16(patterns):
    exact = kn.load_model(precision="fp32", device="cpu").identify(patterns)
    fast = kn.load_model(precision="bf16", device="cpu").identify(patterns)
    plain = kn.load_model(precision="fp32", device="cpu")
    slow = plain.answer(plain.logits(kn.patterns.preprocess(patterns, plain.card.size)), patterns)
    np.testing.assert_allclose(exact.probabilities, slow.probabilities, atol=1e-5)
    assert np.abs(fast.probabilities - exact.probabilities).max() < 0.03
    clear = np.ptp(np.sort(exact.probabilities, axis=1)[:, -2:], axis=1) > 0.06
    assert (fast.space_groups == exact.space_groups)[clear].all()


def test_patterns_may_be_prepared_by_torch(patterns, tiny_model, monkeypatch):
    """As on a GPU, whose name alone decides it."""
    model = kn.load_model(tiny_model, device="cpu")
    here = model.identify(patterns)

    class Elsewhere:
        type = "elsewhere"

    from kikuchinet.patterns import torch_preprocessing

    asked = []
    own = torch_preprocessing.preprocess_torch
    monkeypatch.setattr(
        torch_preprocessing, "preprocess_torch", lambda *words: asked.append(1) or own(*words)
    )
    monkeypatch.setattr(torch.Tensor, "to", lambda tensor, device: tensor)
    model.device = Elsewhere()
    for stack in (patterns.astype(np.uint8), patterns.astype(np.uint16), patterns):
        prepared = model._prepared(stack)
        assert prepared.dtype == torch.float32
        np.testing.assert_allclose(
            prepared.numpy(), kn.patterns.preprocess(stack, model.card.size), atol=2e-3
        )
    assert len(asked) == 3
    assert len(here) == 9
    with pytest.raises(kn.InputError, match="finite"):
        model._prepared(np.full((1, 40, 40), np.nan))


def test_auto_is_bf16_only_where_the_hardware_has_it(monkeypatch):
    device = torch.device("cpu")
    for supported, expected in ((True, "bf16"), (False, "fp32")):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda supported=supported: supported)
        monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
        assert resolve_precision("auto", device) == expected
    assert resolve_precision("fp32", device) == "fp32"
