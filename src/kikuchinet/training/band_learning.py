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
        right = nn.functional.one_hot(labels, len(config.classes)).bool()
        if accepted is not None:
            right |= torch.from_numpy(accepted[profiles.masters])
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


def _varied(profiles: Tensor, learning: LearningConfig) -> Tensor:
    """Return profiles as other lattice parameters and more noise would have left them."""
    varied = _stretched(profiles, torch.exp((2.0 * torch.rand(len(profiles)) - 1.0) * learning.dilation))
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
