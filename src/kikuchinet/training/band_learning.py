"""How a network of band profiles learns."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kikuchinet.datasets.profiles import Profiles
from kikuchinet.indexing.bands import CHANNELS
from kikuchinet.indexing.unnamed import CubicFinder
from kikuchinet.models.band_network import BandNetwork
from kikuchinet.training.band_config import BandTrainingConfig, LearningConfig

_LARGEST_POOL = 4
_MOST_STRETCHED = 0.35
"""Change of scale up to which a profile is stretched to be mixed: beyond it the ends of the curves would be made up."""


def fit_bands(
    profiles: Profiles,
    config: BandTrainingConfig,
    finder: CubicFinder,
    *,
    accepted: NDArray[np.bool_] | None = None,
    progress: bool = True,
) -> BandNetwork:
    """Fit a network to band profiles.

    Parameters
    ----------
    profiles
        With their labels.
    config
        Its `learning`, `classes` and `seed` count.
    finder
        Whose templates the network is to hold.
    accepted
        (masters, classes) True where a class is a right answer for a master pattern: groups that its pattern does not tell
        apart. The label alone if not given.
    progress
        Show a progress bar.

    Returns
    -------
    BandNetwork
        In evaluation mode.
    """
    from rich.progress import Progress

    learning = config.learning
    profiles = profiles.chosen(~(profiles.misorientations_deg > learning.misorientation_deg))
    devices: list[int] = []
    with torch.random.fork_rng(devices):
        torch.manual_seed(config.seed)
        count, rows, columns = finder.templates.shape
        network = BandNetwork(
            len(config.classes),
            (count, rows, columns),
            width=learning.width,
            members=learning.members,
            dropout=learning.dropout,
        )
        network.templates.copy_(torch.from_numpy(finder.templates))
        values, labels = torch.from_numpy(profiles.values), torch.from_numpy(profiles.labels)
        members = _members(profiles.blocks)
        # Every class weighs the same, however many of its profiles there are.
        per_class = torch.bincount(labels, minlength=len(config.classes)).clamp(min=1)
        weights = (len(labels) / len(config.classes)) / per_class
        outside = config.classes.index(0) if 0 in config.classes else -1
        right = nn.functional.one_hot(labels, len(config.classes)).bool()
        if accepted is not None:
            right |= torch.from_numpy(accepted[profiles.masters])
        # What lies outside is of many kinds: a mixture of two of them is of none.
        scales = torch.from_numpy(np.where(profiles.labels == outside, np.nan, profiles.scales)).float()
        kinds = _Kinds(right, scales)
        optimiser = torch.optim.AdamW(
            network.parameters(), learning.learning_rate, weight_decay=learning.weight_decay
        )
        size = min(learning.batch_size, len(labels))
        steps = learning.epochs * (len(labels) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, learning.learning_rate, total_steps=max(2, steps)
        )
        network.train()
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("learning", total=steps)
            for _ in range(learning.epochs):
                order = torch.randperm(len(labels))
                for first in range(0, len(labels) - size + 1, size):
                    chosen = order[first : first + size]
                    shown = _pooled(values, members, chosen, learning.pooled)
                    if learning.mixed:
                        shown = _mixed(shown, values, chosen, kinds, learning.mixed)
                    shown = _varied(shown, learning)
                    outputs = network.each(shown)
                    error = _loss(
                        outputs.flatten(0, 1),
                        right[chosen].repeat(learning.members, 1),
                        weights[labels[chosen]].repeat(learning.members),
                        learning.label_smoothing,
                    )
                    optimiser.zero_grad(set_to_none=True)
                    error.backward()
                    optimiser.step()
                    schedule.step()
                    bar.advance(task)
    return network.eval()


def _loss(outputs: Tensor, right: Tensor, weights: Tensor, smoothing: float) -> Tensor:
    """Return the mean of -log of the probability of all right answers together, smoothed as cross-entropy is."""
    logarithms = outputs.log_softmax(dim=1)
    said = torch.logsumexp(logarithms.masked_fill(~right, -torch.inf), dim=1)
    each = -(1.0 - smoothing) * said - smoothing * logarithms.mean(dim=1)
    return (weights * each).sum() / weights.sum()


def _members(blocks: NDArray[np.int64]) -> Tensor:
    """Return first place and size of each profile's block, (n, 2); blocks lie together."""
    _, first, sizes = np.unique(blocks, return_index=True, return_counts=True)
    which = np.repeat(np.arange(len(sizes)), sizes)
    return torch.from_numpy(np.stack([first[which], sizes[which]], axis=1))


def _pooled(values: Tensor, members: Tensor, chosen: Tensor, share: float) -> Tensor:
    """Return profiles, some of them averaged with others of their blocks, weighted with the coverage."""
    own = values[chosen].float()
    n = len(chosen)
    many = torch.where(
        torch.rand(n) < share, torch.where(torch.rand(n) < 0.5, 2, _LARGEST_POOL), torch.ones(())
    )
    first, size = members[chosen].unbind(1)
    coverage = CHANNELS.index("coverage")
    total = own[:, coverage, None].clone()
    sums = own * total
    for rank in range(1, _LARGEST_POOL):
        (mine,) = torch.nonzero(many > rank, as_tuple=True)
        if len(mine) == 0:
            continue
        partner = first[mine] + (torch.rand(len(mine)) * size[mine]).long()
        other = values[partner].float()
        sums[mine] += other * other[:, coverage, None]
        total[mine] += other[:, coverage, None]
    mean = sums / torch.where(total > 0, total, 1.0)
    mean[:, coverage] = total[:, 0] / many.reshape(-1, 1, 1)
    return mean


class _Kinds:
    """Finds partners for profiles among those of crystals that the same groups are right for.

    Parameters
    ----------
    right
        (n, classes) True where a class is a right answer.
    scales
        (n,) of `Profiles`; a profile whose scale is unknown has no partner and is none.
    """

    def __init__(self, right: Tensor, scales: Tensor) -> None:
        _, kinds = torch.unique(right, dim=0, return_inverse=True)
        self.scales = scales
        kinds = torch.where(scales.isfinite(), kinds, int(kinds.max()) + 1)
        self._order = torch.argsort(kinds, stable=True)
        sizes = torch.bincount(kinds)
        self._first = (torch.cumsum(sizes, 0) - sizes)[kinds]
        self._sizes = sizes[kinds]

    def partners(self, chosen: Tensor) -> Tensor:
        """Return a partner for each chosen profile, drawn at random."""
        step = (torch.rand(len(chosen)) * self._sizes[chosen]).long()
        return self._order[self._first[chosen] + step]


def _mixed(shown: Tensor, values: Tensor, chosen: Tensor, kinds: _Kinds, share: float) -> Tensor:
    """Return profiles, some of them mixed with those of other crystals of their kind, which are stretched to be as wide."""
    partners = kinds.partners(chosen)
    factors = kinds.scales[partners] / kinds.scales[chosen]
    (ours,) = torch.nonzero(
        (torch.rand(len(chosen)) < share) & ((factors - 1.0).abs() < _MOST_STRETCHED), as_tuple=True
    )
    other = _stretched(values[partners[ours]].float(), factors[ours])
    weight = torch.rand(len(ours)).reshape(-1, 1, 1, 1)
    mixed = shown.clone()
    mixed[ours] = weight * shown[ours] + (1.0 - weight) * other
    return mixed


def _varied(profiles: Tensor, learning: LearningConfig) -> Tensor:
    """Return profiles as other lattice parameters and more noise would have left them."""
    varied = _stretched(profiles, torch.exp((2.0 * torch.rand(len(profiles)) - 1.0) * learning.dilation))
    if learning.gain:
        factors = torch.exp(learning.gain * torch.randn(len(varied), 1, varied.shape[2], 1))
        told = [place for place, channel in enumerate(CHANNELS) if channel != "coverage"]
        varied[:, told] = varied[:, told] * factors
    if learning.noise:
        varied[:, 0] += learning.noise * torch.randn_like(varied[:, 0])
    return varied


def _stretched(profiles: Tensor, factors: Tensor) -> Tensor:
    """Return profiles read at angles larger by (n,) factors: narrower bands for factors above 1."""
    n, channels, families, bins = profiles.shape
    place = (torch.linspace(0.0, 1.0, bins)[None] * factors[:, None] * 2.0 - 1.0).clamp(-1.0, 1.0)
    grid = torch.stack([place, torch.zeros_like(place)], dim=-1)[:, None]
    flat = profiles.reshape(n, channels * families, 1, bins)
    stretched = nn.functional.grid_sample(flat, grid, align_corners=True, padding_mode="border")
    return stretched.reshape(profiles.shape)
