"""Verdicts on heat maps follow from the numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.explanation import Difference, HeatShare, Judgement, judge, reference_orders

BELOW, ABOVE, NONE = Difference(-0.2, -0.3, -0.1), Difference(0.2, 0.1, 0.3), Difference(0.0, -0.1, 0.1)
MORE, CHANCE = HeatShare(0.2, 0.18, 0.22, 0.1, 0.1, 0.11, 50), HeatShare(0.1, 0.09, 0.12, 0.1, 0.1, 0.11, 50)
GOOD = Judgement(
    {"random": BELOW, "centre": BELOW}, {"random": ABOVE, "centre": ABOVE}, NONE, {"zone_axes": MORE}
)


def test_difference_against_scipy() -> None:
    from scipy.stats import bootstrap

    values = np.random.default_rng(0).normal(0.3, 1.0, 80)
    ours = Difference.of(values)
    theirs = bootstrap((values,), np.mean, method="percentile", n_resamples=4000, rng=1).confidence_interval
    assert ours.mean == pytest.approx(values.mean())
    assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high), abs=0.02)
    with pytest.raises(InputError, match="at least two"):
        Difference.of(values[:1])


def test_verdicts() -> None:
    assert GOOD.verdict.startswith("To be believed")
    assert "2.00 times as much heat as chance" in GOOD.verdict
    no_blob = replace(GOOD, insertion={"random": ABOVE, "centre": NONE}, features={"zone_axes": CHANCE})
    assert no_blob.verdict.startswith("To be half believed")
    assert "; insertion faster than a random order, no faster than a blob in the middle" in no_blob.verdict
    assert "no more heat than chance" in no_blob.verdict
    edges = replace(GOOD, similarity=Difference(0.8, 0.7, 0.9))
    assert edges.verdict.startswith("Not to be believed")
    assert "random weights" in edges.verdict
    nothing = replace(
        GOOD, deletion={"random": NONE, "centre": ABOVE}, insertion={"random": BELOW, "centre": NONE}
    )
    assert nothing.verdict.startswith("Not to be believed")


def test_reference_orders_know_nothing_but_the_middle() -> None:
    orders = reference_orders((3, 20, 30), seed=1)
    assert not np.array_equal(orders["random"][0], orders["random"][1])
    assert np.array_equal(orders["centre"][0], orders["centre"][2])
    row, column = np.unravel_index(orders["centre"][0].argmax(), (20, 30))
    assert (row, column) in {(9, 14), (9, 15), (10, 14), (10, 15)}
    assert np.array_equal(orders["random"], reference_orders((3, 20, 30), seed=1)["random"])


class Corner(nn.Module):
    """Answers 1 where the upper left corner is bright, else 0."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.act = nn.ReLU()
        with torch.no_grad():
            self.conv.weight.zero_()
            self.conv.weight[1, 0, 1, 1] = 1.0
            self.conv.bias.zero_()
        mask = torch.zeros(2, 24, 24)
        mask[1, 2:8, 2:8] = 1.0
        self.register_buffer("mask", mask)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.einsum("ncij,cij->nc", self.act(self.conv(x)), self.mask) / 6.0


def test_a_map_that_is_known_to_be_true_is_believed_before_its_references() -> None:
    rng = np.random.default_rng(3)
    patterns = 0.1 * rng.standard_normal((24, 24, 24)).astype(np.float32)
    patterns[:, 2:8, 2:8] += 1.0
    mask = np.zeros(patterns.shape, dtype=bool)
    mask[:, 2:8, 2:8] = True
    trial = judge(Corner(), patterns, {"bands": mask}, steps=12)
    assert (trial.targets == 1).all()
    guided = trial.judgements["guided"]
    assert set(guided.deletes) == set(guided.inserts) == {"random", "centre"}
    assert guided.features["bands"].share > 0.99
    assert set(trial.curves) == {"grad_cam", "guided", "random", "centre"}
