"""Batch normalisation fitted to unlabelled patterns: held against PyTorch's own running statistics."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from torch import nn

import kikuchinet as kn
from kikuchinet.models import ModelCard, SpaceGroupModel, adapt
from kikuchinet.models.adaptation import effective_patterns, fit_statistics, layer_weights, normalisations


def network() -> nn.Sequential:
    """Return two layers of batch normalisation that have seen something."""
    with torch.random.fork_rng():
        torch.manual_seed(5)
        made = nn.Sequential(
            nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 6, 3), nn.BatchNorm2d(6), nn.ReLU()
        )
        made.train()
        with torch.no_grad():
            for _ in range(4):
                made(2.0 * torch.randn(8, 1, 16, 16) + 0.5)
    return made.eval()


def images(n: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 1, 16, 16, generator=torch.Generator().manual_seed(seed)) * 0.7 - 1.0


def torchs_own(net: nn.Module, batch: torch.Tensor, momentum: float) -> nn.Module:
    """Return the network after PyTorch's training mode has seen a batch."""
    net = copy.deepcopy(net).train()
    for module in normalisations(net).values():
        module.momentum = momentum
    with torch.no_grad():
        net(batch)
    return net.eval()


def statistics(net: nn.Module) -> dict[str, torch.Tensor]:
    return {name: value for name, value in net.state_dict().items() if "running" in name}


def test_all_of_the_targets_statistics_are_those_of_training_mode():
    net, batch = network(), images(32)
    expected = statistics(torchs_own(net, batch, 1.0))
    fit_statistics(net, [batch], [1.0, 1.0])
    for name, value in statistics(net).items():
        # Training mode takes the unbiased variance, over 32 x 14 x 14 values and fewer.
        torch.testing.assert_close(value, expected[name], rtol=3e-4, atol=1e-6)


def test_a_share_of_the_targets_statistics_is_a_momentum():
    net, batch = network(), images(32)
    expected = statistics(torchs_own(net, batch, 0.3))
    fit_statistics(net, [batch], [0.3, 0.3])
    for name in ("1.running_mean", "1.running_var"):
        torch.testing.assert_close(statistics(net)[name], expected[name], rtol=3e-4, atol=1e-6)


def test_deeper_layers_see_what_they_will_see_afterwards():
    """The formula of Schneider et al. (2020), computed from the adapted network's own activations."""
    source, batch, share = network(), images(40), 24.0 / (16.0 + 24.0)
    net = copy.deepcopy(source)
    fit_statistics(net, [batch], [share, share])
    with torch.no_grad():
        values = net[:4](batch).double().numpy()
    before, after = statistics(source), statistics(net)
    mean, variance = values.mean(axis=(0, 2, 3)), values.var(axis=(0, 2, 3))
    for kind, target in (("mean", mean), ("var", variance)):
        mixed = 16.0 / 40.0 * before[f"4.running_{kind}"].numpy() + 24.0 / 40.0 * target
        np.testing.assert_allclose(after[f"4.running_{kind}"].numpy(), mixed, rtol=1e-4, atol=1e-6)


def test_batches_add_up():
    whole, parts = network(), network()
    batch = images(50)
    fit_statistics(whole, [batch], [0.5, 0.0])
    fit_statistics(parts, [batch[:20], batch[20:27], batch[27:]], [0.5, 0.0])
    for name, value in statistics(whole).items():
        torch.testing.assert_close(statistics(parts)[name], value, rtol=1e-5, atol=1e-6)
    for name in ("4.running_mean", "4.running_var"):
        assert torch.equal(statistics(whole)[name], statistics(network())[name])


def test_like_patterns_count_once():
    rng = np.random.default_rng(0)
    one = rng.standard_normal((1, 64, 64)).astype(np.float32)
    assert effective_patterns(np.repeat(one, 50, axis=0)) == pytest.approx(1.0, abs=1e-4)
    # Waves of different frequencies are orthogonal.
    angles = 2 * np.pi * np.outer(np.arange(1, 13), np.arange(64)) / 64
    waves = np.repeat(np.sin(angles)[:, None, :], 64, axis=1).astype(np.float32)
    assert effective_patterns(waves) == pytest.approx(12.0, rel=0.01)
    assert effective_patterns(np.repeat(waves, 5, axis=0)) == pytest.approx(12.0, rel=0.01)


@pytest.fixture
def model(tiny_model):
    return kn.load_model(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def prepared():
    rng = np.random.default_rng(1)
    return kn.preprocess(rng.normal(size=(40, 50, 50)).cumsum(axis=2), size=(64, 64))


def test_the_model_is_not_changed_and_one_that_is_not_used_changes_nothing(model, prepared):
    before = copy.deepcopy(model.network.state_dict())
    found = adapt(model, prepared)
    assert found.patterns == 40
    assert 1.0 < found.effective <= 40.0
    assert found.weight == pytest.approx(found.effective / (16.0 + found.effective))
    for name, value in model.network.state_dict().items():
        assert torch.equal(value, before[name])
    assert found.used == (found.entropies[1] < found.entropies[0])
    used, unused = (copy.copy(found) for _ in range(2))
    object.__setattr__(used, "used", True)
    object.__setattr__(unused, "used", False)
    assert unused.applied(model) is model
    other = used.applied(model)
    assert other is not model
    assert other.card is model.card
    assert not np.allclose(other.logits(prepared), model.logits(prepared), atol=1e-2)
    np.testing.assert_allclose(
        other.answers(*other.outputs(prepared)).probabilities,
        used.applied(model).identify(prepared).probabilities,
        atol=1e-6,
    )


def test_a_weaker_prior_changes_more(model, prepared):
    moved = []
    for prior in (1e6, 64.0, 1.0):
        found = adapt(model, prepared, prior=prior)
        moved.append(
            sum(
                float(np.abs(values - model.network.state_dict()[name].numpy()).sum())
                for name, values in found.statistics.items()
            )
        )
    assert moved[0] < 1e-3 * moved[1] < 1e-3 * moved[2]


def test_only_the_first_layers_are_fitted():
    weights = layer_weights(40, 48.0, 16.0)
    assert weights == [0.75] * 4 + [0.0] * 36
    assert layer_weights(3, 48.0, 16.0) == [0.75, 0.0, 0.0]


def test_nothing_to_adapt_to(model):
    found = adapt(model, np.empty((0, 64, 64), dtype=np.float32))
    assert found.applied(model) is model
    assert "no pattern" in found.sentence


def test_a_network_without_batch_normalisation(prepared):
    card = ModelCard("plain", "0", "none", (221, 225), (64, 64), "visible", "")
    plain = SpaceGroupModel(nn.Sequential(nn.Flatten(), nn.Linear(4096, 2)), card, device="cpu")
    with pytest.raises(kn.InputError, match="no batch normalisation"):
        adapt(plain, prepared)
