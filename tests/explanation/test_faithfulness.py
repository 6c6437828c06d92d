"""Tests that a heat map must pass: a true map passes them, a false one does not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.explanation import deletion_insertion, heat_share, randomised_similarity
from kikuchinet.explanation.faithfulness import settle


class Patch(nn.Module):
    """Says class 0 if a patch of the pattern is bright, class 1 if not; looks at nothing else."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        bright = x[:, 0, 10:16, 20:26].mean(dim=(1, 2))
        return torch.stack([8.0 * (bright - 0.5), torch.zeros_like(bright)], dim=1)

    def parameters(self, recurse: bool = True):  # type: ignore[no-untyped-def]
        yield torch.zeros(1)


@pytest.fixture
def patterns() -> np.ndarray:
    rng = np.random.default_rng(1)
    images = 0.1 * rng.standard_normal((6, 32, 40), dtype=np.float32)
    images[:, 10:16, 20:26] += 1.5
    return images


def test_true_maps_beat_false_ones(patterns: np.ndarray) -> None:
    true = np.zeros_like(patterns)
    true[:, 10:16, 20:26] = 1.0
    false = np.roll(true, (15, -15), axis=(1, 2))
    targets = np.zeros(len(patterns), dtype=np.int64)
    good = deletion_insertion(Patch(), patterns, true, targets)
    bad = deletion_insertion(Patch(), patterns, false, targets)
    assert (good.deletion_area < bad.deletion_area - 0.2).all()
    assert (good.insertion_area > bad.insertion_area + 0.1).all()
    # Both begin with the whole pattern and end with nothing of it, or the other way round.
    np.testing.assert_allclose(good.deletion[:, 0], good.insertion[:, -1])
    np.testing.assert_allclose(good.deletion[:, -1], good.insertion[:, 0])
    assert good.share[0] == 0.0
    assert good.share[-1] == 1.0
    with pytest.raises(InputError, match="do not belong"):
        deletion_insertion(Patch(), patterns, true[:2], targets)


def test_random_weights_change_the_maps_of_a_network_that_has_learnt() -> None:
    torch.manual_seed(3)
    network = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2),
    )  # fmt: skip
    images = np.random.default_rng(0).standard_normal((64, 32, 32), dtype=np.float32)
    settle(network, images)
    norm = network[1]
    activation = network[0](torch.from_numpy(images)[:, None])
    torch.testing.assert_close(norm.running_mean, activation.mean(dim=(0, 2, 3)), atol=1e-3, rtol=1e-2)
    cam, guided = randomised_similarity(network, images[:4], np.zeros(4, dtype=np.int64), seed=5)
    assert cam.shape == guided.shape == (4,)
    assert (np.abs(cam) < 0.9).all()
    again = randomised_similarity(network, images[:4], np.zeros(4, dtype=np.int64), seed=5)
    np.testing.assert_array_equal(cam, again[0])


def test_heat_on_a_feature_is_told_from_heat_in_the_middle() -> None:
    rng = np.random.default_rng(2)
    n = 60
    masks = np.zeros((n, 24, 24), dtype=bool)
    for mask in masks:
        row, column = rng.integers(2, 18, 2)
        mask[row : row + 4, column : column + 4] = True
    follows = masks + 0.1 * rng.random(masks.shape)
    middle = np.zeros(masks.shape)
    middle[:, 8:16, 8:16] = 1.0
    middle += 0.01 * rng.random(masks.shape)
    share = heat_share(follows.astype(np.float32), masks)
    assert share.low > share.exchanged_high
    assert "as much heat as chance" in share.verdict
    assert share.area == pytest.approx(16 / 576)
    blind = heat_share(middle.astype(np.float32), masks)
    # It has more heat on the features than their area, for they prefer the middle too: exchange unmasks it.
    assert blind.share > 1.3 * blind.area
    assert blind.verdict == "no more heat than chance"
    with pytest.raises(InputError, match="fewer than two"):
        heat_share(np.zeros((3, 4, 4), dtype=np.float32), np.ones((3, 4, 4), dtype=bool))
