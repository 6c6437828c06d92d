"""A batch shared between Python threads, each with a single-threaded replica of the network.

PyTorch divides every single operation between OpenMP threads and waits for the last one. Where anything else runs on
the machine, each of the thousand waits in a step can cost a time slice: a step on two threads then took six times as
long as on one. Replicas wait for each other once a step. On idle cores both ways are equally fast.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch
from torch import Tensor, nn

Loss = Callable[[nn.Module, Tensor, Tensor], tuple[Tensor, Tensor]]
"""Takes a network, patterns and labels; returns the mean loss, and figures (k,) to report without a gradient."""


class Replicas:
    """Computes gradients of one batch in several threads.

    Replicas share the network's parameters. Each has batch-norm statistics of its own, of which those of the first,
    the network itself, are kept; so batch norm sees ``batch / replicas`` patterns at a time.

    Parameters
    ----------
    network
        The network.
    n
        Number of replicas, at least 1.
    """

    def __init__(self, network: nn.Module, n: int) -> None:
        self._parameters = [p for p in network.parameters() if p.requires_grad]
        self._networks = [network]
        for _ in range(n - 1):
            replica = copy.deepcopy(network)
            for own, other in zip(network.modules(), replica.modules(), strict=True):
                other._parameters = own._parameters
            self._networks.append(replica)
        self._pool = (
            ThreadPoolExecutor(n, initializer=torch.set_num_threads, initargs=(1,)) if n > 1 else None
        )

    def close(self) -> None:
        """End the threads."""
        if self._pool is not None:
            self._pool.shutdown()

    def gradients(self, loss: Loss, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Set every parameter's gradient for a batch.

        Parameters
        ----------
        loss
            Computes the loss of a part of the batch.
        images, labels
            The batch.

        Returns
        -------
        tuple of torch.Tensor
            The batch's mean loss, and the mean of the figures.
        """

        def part(network: nn.Module, x: Tensor, y: Tensor) -> tuple[float, Sequence[Tensor], Tensor, Tensor]:
            value, figures = loss(network, x, y)
            return len(y) / len(labels), torch.autograd.grad(value, self._parameters), value.detach(), figures

        n = len(self._networks)
        parts = list(zip(self._networks, images.tensor_split(n), labels.tensor_split(n), strict=True))
        done = (
            [part(*one) for one in parts]
            if self._pool is None
            else list(self._pool.map(lambda a: part(*a), parts))
        )
        # Summed in a fixed order: floating-point sums depend on it, and a resumed run must not. In place: fresh memory costs
        # more than the sums.
        totals = list(done[0][1])
        torch._foreach_mul_(totals, done[0][0])
        for share, gradients, _, _ in done[1:]:
            torch._foreach_add_(totals, list(gradients), alpha=share)
        for parameter, total in zip(self._parameters, totals, strict=True):
            parameter.grad = total
        value = torch.stack([share * mean for share, _, mean, _ in done]).sum()
        return value, torch.stack([share * figures for share, _, _, figures in done]).sum(dim=0)
