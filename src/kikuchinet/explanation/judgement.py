"""Whether heat maps of many patterns are to be believed: the tests of `faithfulness` together, and a verdict in words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.explanation.chance import LABELS
from kikuchinet.explanation.faithfulness import (
    Curves,
    HeatShare,
    deletion_insertion,
    heat_share,
    randomised_similarity,
)
from kikuchinet.explanation.gradcam import Heat, heat_maps

SAME_MAP = 0.5
"""Rank correlation from which a map of random weights counts as the same map: a quarter of the ranks' variance in common."""
_BLOB_WIDTH = 0.2


@dataclass(frozen=True)
class Difference:
    """Mean difference of pairs.

    Parameters
    ----------
    mean
        The mean.
    low, high
        95 % interval, from resampling pairs.
    """

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: NDArray[np.float64], *, seed: int = 0, resamples: int = 2000) -> Difference:
        """Return the mean of (n,) differences with its interval.

        Raises
        ------
        kikuchinet.errors.InputError
            There are fewer than two.
        """
        if len(values) < 2:
            raise InputError("faithfulness", f"{len(values)} patterns; at least two are needed")
        rng = np.random.default_rng(seed)
        drawn = values[rng.integers(len(values), size=(resamples, len(values)))].mean(axis=1)
        low, high = np.quantile(drawn, (0.025, 0.975))
        return cls(float(values.mean()), float(low), float(high))

    def __str__(self) -> str:
        return f"{self.mean:+.3f} ({self.low:+.3f} to {self.high:+.3f})"


def reference_orders(shape: tuple[int, int, int], *, seed: int = 0) -> dict[str, Heat]:
    """Return orders of pixels that know nothing of the network, as heat maps of (n, rows, columns).

    Parameters
    ----------
    shape
        Number of patterns, rows, columns.
    seed
        Of the random order.

    Returns
    -------
    dict
        ``random``: another random order for each pattern. ``centre``: a Gaussian in the middle, 0.2 heights wide, where the
        contrast of most patterns is best.
    """
    n, rows, columns = shape
    rng = np.random.default_rng(seed)
    y = (np.arange(rows) - 0.5 * (rows - 1)) / rows
    x = (np.arange(columns) - 0.5 * (columns - 1)) / rows
    blob = np.exp(-(y[:, None] ** 2 + x[None, :] ** 2) / (2.0 * _BLOB_WIDTH**2)).astype(np.float32)
    return {
        "random": rng.random(shape, dtype=np.float32),
        "centre": np.broadcast_to(blob, (n, rows, columns)).copy(),
    }


@dataclass(frozen=True, eq=False)
class Judgement:
    """What tests say of one kind of heat map.

    Parameters
    ----------
    deletion, insertion
        For each reference order, area under the map's curve less that under the reference's. A true map deletes faster
        (below 0) and inserts faster (above 0).
    similarity
        Rank correlation with the maps of the same network with random weights.
    features
        Share of heat on each feature.
    """

    deletion: Mapping[str, Difference]
    insertion: Mapping[str, Difference]
    similarity: Difference
    features: Mapping[str, HeatShare]

    @property
    def deletes(self) -> tuple[str, ...]:
        """Reference orders that the map is clearly better than at deletion."""
        return tuple(name for name, one in self.deletion.items() if one.high < 0.0)

    @property
    def inserts(self) -> tuple[str, ...]:
        """Reference orders that the map is clearly better than at insertion."""
        return tuple(name for name, one in self.insertion.items() if one.low > 0.0)

    @property
    def learnt(self) -> bool:
        """Whether the maps change with the weights."""
        return self.similarity.high < SAME_MAP

    @property
    def verdict(self) -> str:
        """What the figures say, in words; follows from the numbers alone."""
        references = tuple(self.deletion)
        everywhere = set(self.deletes) == set(self.inserts) == set(references)
        if everywhere and self.learnt:
            head = "To be believed: it shows what moves the answer"
        elif (self.deletes or self.inserts) and self.learnt:
            head = "To be half believed"
        else:
            head = "Not to be believed as a picture of what moves the answer"
        order = (
            f"{_order('deletion', self.deletes, references)}; {_order('insertion', self.inserts, references)}"
        )
        weights = (
            f"it changes with the weights (rank correlation {self.similarity.mean:.2f})"
            if self.learnt
            else f"it stays much the same with random weights (rank correlation {self.similarity.mean:.2f}), so it shows "
            "the pattern as much as what was learnt"
        )
        lies = "; ".join(f"{LABELS.get(name, name)}: {one.verdict}" for name, one in self.features.items())
        return f"{head}. {order[:1].upper()}{order[1:]}; {weights}. {lies[:1].upper()}{lies[1:]}."


_REFERENCE_WORDS = {"random": "a random order", "centre": "a blob in the middle"}


def _order(test: str, passed: tuple[str, ...], references: tuple[str, ...]) -> str:
    failed = [name for name in references if name not in passed]
    words = []
    if passed:
        words.append("faster than " + " and ".join(_REFERENCE_WORDS.get(name, name) for name in passed))
    if failed:
        words.append("no faster than " + " or ".join(_REFERENCE_WORDS.get(name, name) for name in failed))
    return f"{test} {', '.join(words)}"


@dataclass(frozen=True, eq=False)
class Trial:
    """Everything that was measured on some patterns.

    Parameters
    ----------
    curves
        Of each map and of each reference order, by name.
    judgements
        Of each map.
    targets
        (n,) outputs that were explained.
    """

    curves: Mapping[str, Curves]
    judgements: Mapping[str, Judgement]
    targets: NDArray[np.int64]


def judge(
    network: nn.Module,
    prepared: NDArray[np.float32],
    masks: Mapping[str, NDArray[np.bool_]],
    *,
    steps: int = 16,
    seed: int = 0,
) -> Trial:
    """Try Grad-CAM and guided Grad-CAM of a network's answers on patterns of known crystals and orientations.

    Parameters
    ----------
    network
        Takes float (n, 1, rows, columns), returns logits.
    prepared
        float32 (n, rows, columns).
    masks
        Where features lie on the patterns, (n, rows, columns) each.
    steps
        Points on a curve besides the first.
    seed
        Of reference orders, random weights and resampling.

    Returns
    -------
    Trial
        Curves, differences with intervals, verdicts.
    """
    targets = _answers(network, prepared)
    maps = dict(zip(("grad_cam", "guided"), heat_maps(network, prepared, targets), strict=True))
    references = reference_orders(prepared.shape, seed=seed)
    curves = {
        name: deletion_insertion(network, prepared, heat, targets, steps=steps)
        for name, heat in {**maps, **references}.items()
    }
    similarity = dict(zip(maps, randomised_similarity(network, prepared, targets, seed=seed), strict=True))
    judgements = {
        name: Judgement(
            deletion={
                other: Difference.of(curves[name].deletion_area - curves[other].deletion_area, seed=seed)
                for other in references
            },
            insertion={
                other: Difference.of(curves[name].insertion_area - curves[other].insertion_area, seed=seed)
                for other in references
            },
            similarity=Difference.of(similarity[name], seed=seed),
            features={feature: heat_share(heat, mask, seed=seed) for feature, mask in masks.items()},
        )
        for name, heat in maps.items()
    }
    return Trial(curves, judgements, targets)


@torch.inference_mode()
def _answers(network: nn.Module, prepared: NDArray[np.float32]) -> NDArray[np.int64]:
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(torch.from_numpy(np.ascontiguousarray(prepared[i : i + 32]))[:, None].to(device)).argmax(
            dim=1
        )
        for i in range(0, len(prepared), 32)
    ]
    answers: NDArray[np.int64] = torch.cat(parts).cpu().numpy()
    return answers
