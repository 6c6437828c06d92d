"""Heat maps: on networks whose right answer is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import kikuchinet as kn
from kikuchinet.errors import InputError
from kikuchinet.explanation import explain, heat_maps
from kikuchinet.explanation.gradcam import last_convolution
from kikuchinet.patterns import example_patterns


class Corner(nn.Module):
    """Output 0 is the brightness of the upper left quarter, output 1 that of the lower right one."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 2, 1, bias=False)
        self.act = nn.ReLU(inplace=True)
        nn.init.ones_(self.first.weight)
        mask = torch.zeros(2, 2, 32, 32)
        mask[0, 0, :16, :16] = 1.0
        mask[1, 1, 16:, 16:] = 1.0
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = self.act(self.first(x))
        return torch.einsum("ncij,kcij->nk", features, self.mask)


def test_heat_lies_where_the_evidence_lies() -> None:
    patterns = np.abs(np.random.default_rng(0).standard_normal((2, 32, 32), dtype=np.float32))
    cam, guided = heat_maps(Corner(), patterns, np.array([0, 1]))
    for heat in (cam, guided):
        assert heat.shape == (2, 32, 32)
        np.testing.assert_allclose(heat.max(axis=(1, 2)), 1.0)
        assert heat.min() >= 0.0
    # The guided map knows the place to a pixel.
    assert guided[0, :16, :16].sum() == pytest.approx(guided[0].sum())
    assert guided[1, 16:, 16:].sum() == pytest.approx(guided[1].sum())


def test_the_network_is_left_as_it_was() -> None:
    network = Corner()
    patterns = np.ones((1, 32, 32), dtype=np.float32)
    before = network(torch.from_numpy(patterns)[:, None])
    heat_maps(network, patterns, np.array([0]))
    assert network.act.inplace
    assert torch.equal(network(torch.from_numpy(patterns)[:, None]), before)
    assert not network.act._forward_hooks
    assert not network.act._backward_hooks


def test_a_network_without_convolution_is_refused() -> None:
    with pytest.raises(InputError, match="no convolution"):
        last_convolution(nn.Linear(3, 3))


def test_explaining_a_model(tiny_model: Path) -> None:
    model = kn.load_model(tiny_model)
    images = np.stack(list(example_patterns()))[:3]
    explanation = explain(model, images)
    assert explanation.prepared.shape == explanation.grad_cam.shape == explanation.guided.shape == (3, 64, 64)
    best = np.array(model.classes)[model.identify(images).probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(explanation.space_groups, best)
    other = explain(model, images, 227)
    np.testing.assert_array_equal(other.space_groups, 227)
    assert not np.array_equal(other.guided, explanation.guided)
    again = explain(model, images, 227)
    np.testing.assert_array_equal(other.guided, again.guided)
    with pytest.raises(InputError, match="does not know it"):
        explain(model, images, 2)
    with pytest.raises(InputError, match="one for each"):
        explain(model, images, [227, 225])
    with pytest.raises(InputError, match="no patterns"):
        explain(model, images[:0])
