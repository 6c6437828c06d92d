"""Is a heat map true? Tests that a map must pass before anybody believes it."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.explanation.gradcam import Heat, heat_maps
from kikuchinet.microscope.filters import gaussian_blur

Patterns = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Curves:
    """Probability of a group while pixels go or come in the order of a heat map.

    Parameters
    ----------
    share
        (steps + 1,) share of the pixels that have gone or come, 0 to 1.
    deletion
        (n, steps + 1) hottest pixels taken away first: a true map falls fast.
    insertion
        (n, steps + 1) hottest pixels put in first: a true map rises fast.
    """

    share: NDArray[np.float64]
    deletion: NDArray[np.float64]
    insertion: NDArray[np.float64]

    @property
    def deletion_area(self) -> NDArray[np.float64]:
        """(n,) area under the deletion curves; lower is truer."""
        return np.asarray(np.trapezoid(self.deletion, self.share, axis=1))

    @property
    def insertion_area(self) -> NDArray[np.float64]:
        """(n,) area under the insertion curves; higher is truer."""
        return np.asarray(np.trapezoid(self.insertion, self.share, axis=1))


def deletion_insertion(
    network: nn.Module, prepared: Patterns, heat: Heat, targets: NDArray[np.int64], *, steps: int = 16
) -> Curves:
    """Take pixels away from patterns, and put them in, in the order of their heat.

    Parameters
    ----------
    network
        Takes float (n, 1, rows, columns), returns logits.
    prepared
        float32 (n, rows, columns).
    heat
        (n, rows, columns).
    targets
        (n,) indices of the outputs whose probability is followed.
    steps
        Points on a curve besides the first.

    Returns
    -------
    Curves
        The curves of V. Petsiuk, A. Das, K. Saenko (arXiv:1806.07421). A pixel that is gone takes the value of the
        pattern blurred by an eighth of its height, which holds no bands; a hard edge would be a feature of its own.

    Raises
    ------
    kikuchinet.errors.InputError
        Shapes disagree.
    """
    if heat.shape != prepared.shape or len(targets) != len(prepared):
        raise InputError(
            "heat maps", f"of shape {heat.shape} do not belong to patterns of shape {prepared.shape}"
        )
    n = len(prepared)
    pixels = prepared.reshape(n, -1)
    bare = gaussian_blur(prepared, prepared.shape[1] / 8).reshape(n, -1)
    # Ties, as in a map that is zero nearly everywhere, are broken alike for all maps: by a fixed shuffle.
    shuffle = np.random.default_rng(0).permutation(pixels.shape[1])
    order = shuffle[np.argsort(-heat.reshape(n, -1)[:, shuffle], axis=1, kind="stable")]
    share = np.linspace(0.0, 1.0, steps + 1)
    counts = np.rint(share * pixels.shape[1]).astype(int)
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(pixels.shape[1])[None], axis=1)
    deletion, insertion = np.empty((n, steps + 1)), np.empty((n, steps + 1))
    for step, count in enumerate(counts):
        gone = rank < count
        for curve, shown in ((deletion, ~gone), (insertion, gone)):
            mixed = np.where(shown, pixels, bare).reshape(prepared.shape)
            curve[:, step] = _probabilities(network, mixed)[np.arange(n), targets]
    return Curves(share, deletion, insertion)


def randomised_similarity(
    network: nn.Module, prepared: Patterns, targets: NDArray[np.int64], *, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compare a network's heat maps with those of the same network with random weights.

    Parameters
    ----------
    network
        The network.
    prepared
        float32 (n, rows, columns).
    targets
        (n,) indices of outputs.
    seed
        Of the random weights.

    Returns
    -------
    tuple of numpy.ndarray
        (n,) Spearman's rank correlation of the Grad-CAM maps, and (n,) of the guided ones. A map that stays as it is
        shows the pattern's edges, not what was learnt (J. Adebayo et al., arXiv:1810.03292).
    """
    twin = copy.deepcopy(network)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for module in twin.modules():
            if callable(reset := getattr(module, "reset_parameters", None)):
                reset()
    # Normalisation that fits the random weights: else its outputs vanish or run away, and so do all maps.
    settle(twin, prepared)
    learnt = heat_maps(network, prepared, targets)
    random = heat_maps(twin, prepared, targets)
    return _rank_correlation(learnt[0], random[0]), _rank_correlation(learnt[1], random[1])


@torch.no_grad()
def settle(network: nn.Module, prepared: Patterns) -> None:
    """Set the statistics of a network's batch normalisation to those of some patterns, in place."""
    normalisations = [
        module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)
    ]
    for module in normalisations:
        module.reset_running_stats()
        module.momentum = None  # a plain mean over batches
    network.train()
    device = next(network.parameters()).device
    for start in range(0, len(prepared), 32):
        network(torch.from_numpy(prepared[start : start + 32])[:, None].to(device))
    network.eval()


@dataclass(frozen=True)
class HeatShare:
    """How much of the heat falls on a feature of the patterns, against chance.

    Parameters
    ----------
    share
        Mean share of the heat.
    low, high
        95 % interval of `share`, from resampling patterns.
    area
        Mean share of the pixels: what an even map would give.
    exchanged
        Mean share with each map laid on another pattern's features: what a map that knows the screen but not the pattern
        would give. Heat that prefers the middle of the screen is no evidence for a zone axis there.
    exchanged_high
        Upper end of its 95 % range over exchanges.
    n_patterns
        How many patterns.
    """

    share: float
    low: float
    high: float
    area: float
    exchanged: float
    exchanged_high: float
    n_patterns: int

    @property
    def verdict(self) -> str:
        """What the figures say, in words."""
        # Clear of chance by both: the patterns that were drawn, and the exchanges.
        if self.low > self.exchanged_high:
            return f"{self.share / self.exchanged:.2f} times as much heat as chance"
        return "no more heat than chance"


def heat_share(heat: Heat, masks: NDArray[np.bool_], *, seed: int = 0, exchanges: int = 200) -> HeatShare:
    """Return how much of the heat of many patterns falls on a feature.

    Parameters
    ----------
    heat
        (n, rows, columns), at least 2 patterns; empty maps are left out.
    masks
        (n, rows, columns) where the feature lies on each.
    seed
        Of resampling and exchanges.
    exchanges
        How many of each.

    Raises
    ------
    kikuchinet.errors.InputError
        Shapes disagree or fewer than two maps hold any heat.
    """
    if heat.shape != masks.shape:
        raise InputError("heat maps", f"of shape {heat.shape} do not belong to masks of shape {masks.shape}")
    n_all = len(heat)
    flat = heat.reshape(n_all, -1).astype(np.float64)
    total = flat.sum(axis=1)
    hot = total > 0
    if hot.sum() < 2:
        raise InputError("heat maps", "fewer than two hold any heat")
    flat = flat[hot] / total[hot, None]
    features = masks.reshape(n_all, -1)[hot].astype(np.float64)
    n = len(flat)
    rng = np.random.default_rng(seed)
    table = flat @ features.T  # share of map i on the features of pattern j
    own = np.diag(table)
    resampled = own[rng.integers(n, size=(exchanges, n))].mean(axis=1)
    rows = np.arange(n)
    others = np.array([table[rows, _derangement(n, rng)].mean() for _ in range(exchanges)])
    return HeatShare(
        share=float(own.mean()),
        low=float(np.quantile(resampled, 0.025)),
        high=float(np.quantile(resampled, 0.975)),
        area=float(features.mean()),
        exchanged=float(others.mean()),
        exchanged_high=float(np.quantile(others, 0.975)),
        n_patterns=n,
    )


def _derangement(n: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a permutation in which nothing stays in place: a random cycle."""
    cycle = rng.permutation(n)
    result = np.empty(n, dtype=np.int64)
    result[cycle] = np.roll(cycle, 1)
    return result


@torch.inference_mode()
def _probabilities(network: nn.Module, prepared: Patterns) -> NDArray[np.float64]:
    network.eval()
    device = next(network.parameters()).device
    parts = [
        network(torch.from_numpy(np.ascontiguousarray(prepared[i : i + 64]))[:, None].to(device)).softmax(
            dim=1
        )
        for i in range(0, len(prepared), 64)
    ]
    return torch.cat(parts).double().cpu().numpy()


def _rank_correlation(a: Heat, b: Heat) -> NDArray[np.float64]:
    from scipy.stats import spearmanr

    pairs = zip(a.reshape(len(a), -1), b.reshape(len(b), -1), strict=True)
    # A constant map has no ranks: no resemblance.
    return np.array([spearmanr(x, y).statistic if np.ptp(x) > 0 and np.ptp(y) > 0 else 0.0 for x, y in pairs])
