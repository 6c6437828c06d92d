"""A model's batch normalisation fitted to unlabelled patterns: those of the microscope that it is to answer for."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kikuchinet.errors import InputError
from kikuchinet.microscope.filters import resample
from kikuchinet.models.space_group_model import SpaceGroupModel, softmax

PRIOR = 16.0
"""Patterns that the statistics learnt in training count for, N of Schneider et al. (2020), who find 8 to 256 to do."""
EARLY = 0.1
"""Share of the layers of batch normalisation, from the input on, that are fitted. What deeper ones see is as much the
crystal's as the camera's: with all of them fitted, simulated iron that was answered right 32 times of 32 is 4 times
(``benchmarks/adaptation.py``, docs/identify.md)."""
BATCH = 128
"""Patterns per pass: each adds to the statistics that it is normalised with."""
_JUDGED = 256
"""Patterns that the answers are compared on, before and after."""
_SMALL = (32, 32)
_KINDS = ("running_mean", "running_var")
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


@dataclass(frozen=True, eq=False)
class Adaptation:
    """What fitting a model to unlabelled patterns came to.

    Parameters
    ----------
    patterns
        Patterns that the statistics are of.
    effective
        How many unlike ones they count for; see `effective_patterns`.
    weight
        Share of their statistics in those of the layers that are fitted, the rest being training's; see `layer_weights`.
    entropies
        Mean entropy of the answers in nats, before and after.
    used
        Whether the model answers with the new statistics.
    statistics
        Running means and variances by the names that the network's state has for them.
    """

    patterns: int
    effective: float
    weight: float
    entropies: tuple[float, float]
    used: bool
    statistics: Mapping[str, NDArray[np.float32]] = field(repr=False)

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        what = f"{self.patterns:,} of its own patterns (as good as {self.effective:.0f} unlike ones)"
        before, after = self.entropies
        if self.used:
            return (
                f"The network was adapted to the scan, without labels, on {what}: their statistics count "
                f"{self.weight:.2f} in the first layers. Mean entropy of the answers {before:.3f} before, {after:.3f} after."
            )
        if not self.statistics:
            return "The network was not adapted: no pattern shows any contrast."
        return (
            f"The network was not adapted: with the statistics of {what} its answers would be less sure (mean entropy "
            f"{before:.3f} before, {after:.3f} after)."
        )

    def applied(self, model: SpaceGroupModel) -> SpaceGroupModel:
        """Return the model as it answers after this: a copy with the new statistics, or itself if they are not used."""
        if not self.used:
            return model
        network = copy.deepcopy(model.network)
        state = network.state_dict()
        for name, values in self.statistics.items():
            state[name].copy_(torch.from_numpy(np.ascontiguousarray(values)))
        return SpaceGroupModel(
            network, model.card, device=str(model.device), precision=model.precision, runtime=model.runtime
        )


def adapt(
    model: SpaceGroupModel,
    prepared: NDArray[np.float32],
    *,
    prior: float = PRIOR,
    early: float = EARLY,
    progress: Callable[[int, int], None] | None = None,
) -> Adaptation:
    """Fit the statistics of batch normalisation to unlabelled patterns.

    Parameters
    ----------
    model
        The model; it is not changed.
    prepared
        float32 (n, rows, columns) of the model's size, from `kikuchinet.patterns.preprocess`, in no order: each batch should
        look like all of them.
    prior
        Patterns that training's statistics count for.
    early
        Share of the layers, from the input on, that are fitted.
    progress
        Called with the patterns done and the patterns in all.

    Returns
    -------
    Adaptation
        Used where the answers become surer by it.

    Raises
    ------
    kikuchinet.errors.InputError
        The network has no batch normalisation.

    Notes
    -----
    AdaBN [1]_ takes means and variances of every layer's input from the target's patterns in place of training's. Few
    patterns give poor ones, so both are mixed as [2]_ has it: with N patterns' worth of training's and n of the target's,
    mean and variance are ``N / (N + n)`` times training's plus ``n / (N + n)`` times the target's. n is not the number of
    patterns but of unlike ones, since a scan of one orientation is one pattern many times over.

    Both papers do so in all layers, for sets of as many classes as training had. A scan has one phase or a few, and the
    statistics of deep layers are its crystals': here the first `EARLY` of the layers only.

    References
    ----------
    .. [1] Y. Li, N. Wang, J. Shi, J. Liu, X. Hou, arXiv:1603.04779 (2016).
    .. [2] S. Schneider, E. Rusak, L. Eck, O. Bringmann, W. Brendel, M. Bethge, arXiv:2006.16971 (2020), section 3.
    """
    network = copy.deepcopy(model.network).eval()
    norms = normalisations(network)
    if not norms:
        raise InputError(
            model.name,
            "cannot be adapted to a scan: its network has no batch normalisation (leave out --adapt)",
        )
    n = len(prepared)
    if not n:
        return Adaptation(0, 0.0, 0.0, (0.0, 0.0), used=False, statistics={})
    effective = effective_patterns(prepared)
    weights = layer_weights(len(norms), effective, prior, early)
    steps = [prepared[k : k + BATCH] for k in range(0, n, BATCH)]

    def batches() -> Iterable[Tensor]:
        for number, step in enumerate(steps):
            yield torch.from_numpy(np.ascontiguousarray(step))[:, None].to(
                model.device, memory_format=torch.channels_last
            )
            if progress is not None:
                progress(min((number + 1) * BATCH, n), n)

    with torch.autocast(model.device.type, torch.bfloat16, enabled=model.precision == "bf16"):
        fit_statistics(network, batches(), weights)
    statistics = {
        f"{name}.{kind}": norm.get_buffer(kind).cpu().numpy().astype(np.float32)
        for name, norm in norms.items()
        for kind in _KINDS
    }
    found = Adaptation(n, effective, weights[0], (0.0, 0.0), used=True, statistics=statistics)
    judged = prepared[:_JUDGED]
    before, after = (entropy(one, judged) for one in (model, found.applied(model)))
    return Adaptation(n, effective, weights[0], (before, after), used=after < before, statistics=statistics)


def normalisations(network: nn.Module) -> dict[str, nn.Module]:
    """Return a network's layers of batch normalisation that know statistics, by name, the first one first."""
    return {
        name: module
        for name, module in network.named_modules()
        if isinstance(module, _NORMS) and module.running_mean is not None
    }


def layer_weights(layers: int, effective: float, prior: float = PRIOR, early: float = EARLY) -> list[float]:
    """Return the share of the target's statistics in each layer of batch normalisation, the first one first.

    That of Schneider et al. in the first layers, the share `early` of all and one at least, and 0 in all others.
    """
    fitted = max(1, round(early * layers))
    return [effective / (prior + effective)] * fitted + [0.0] * (layers - fitted)


def effective_patterns(prepared: NDArray[np.float32]) -> float:
    """Return how many unlike patterns a set counts for.

    Parameters
    ----------
    prepared
        float32 (n, rows, columns).

    Returns
    -------
    float
        Between 1 and n: n² over the sum of all squared correlations (the participation ratio of the correlation matrix's
        eigenvalues), at 32 x 32 pixels. n patterns of one orientation without noise count for 1.
    """
    small = resample(np.ascontiguousarray(prepared, dtype=np.float32), _SMALL).reshape(len(prepared), -1)
    small = small - small.mean(axis=1, keepdims=True)
    small /= np.maximum(np.linalg.norm(small, axis=1, keepdims=True), 1e-12)
    return float(len(small) ** 2 / np.square(small @ small.T, dtype=np.float64).sum())


@torch.no_grad()
def fit_statistics(network: nn.Module, batches: Iterable[Tensor], weights: Sequence[float]) -> None:
    """Mix the statistics of batches into those that a network's batch normalisation has.

    Parameters
    ----------
    network
        In evaluation mode; its running means and variances are changed.
    batches
        Each (n, 1, rows, columns).
    weights
        Share of the batches' statistics in each layer's, as many as `normalisations` finds.

    Notes
    -----
    A layer normalises each batch with the mixture of training's statistics and those of all batches up to this one, so that
    what deeper layers see is what they will see afterwards.
    """
    handles = [
        module.register_forward_pre_hook(_Mixture(module, weight))
        for module, weight in zip(normalisations(network).values(), weights, strict=True)
    ]
    try:
        for batch in batches:
            network(batch)
    finally:
        for handle in handles:
            handle.remove()


class _Mixture:
    """Statistics of one layer: those it had, mixed with those of what it is given."""

    def __init__(self, module: nn.Module, weight: float) -> None:
        self.weight = weight
        self.source = tuple(module.get_buffer(name).clone() for name in _KINDS)
        self.count = 0
        self.mean, self.variance = (torch.zeros_like(value) for value in self.source)

    def __call__(self, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        values = inputs[0].float()
        variance, mean = torch.var_mean(values, [0, *range(2, values.ndim)], correction=0)
        # Mean and variance of two sets together (T. F. Chan, G. H. Golub, R. J. LeVeque, 1979).
        share = len(values) / (self.count + len(values))
        away = mean - self.mean
        self.mean = self.mean + share * away
        self.variance = (1.0 - share) * self.variance + share * variance + share * (1.0 - share) * away**2
        self.count += len(values)
        for name, source, target in zip(_KINDS, self.source, (self.mean, self.variance), strict=True):
            module.get_buffer(name).copy_((1.0 - self.weight) * source + self.weight * target)


def entropy(model: SpaceGroupModel, prepared: NDArray[np.float32]) -> float:
    """Return the mean entropy of a model's answers to single patterns, in nats."""
    probabilities = softmax(model.logits(prepared) / model.card.temperature)
    return float(-(probabilities * np.log(np.maximum(probabilities, 1e-12))).sum(axis=1).mean())
