"""Means and variances of batch normalisation, taken anew from training patterns before a network is validated.

The running means that PyTorch keeps are of the last ten or so batches. Where an epoch has few batches and the learning rate
is high, the weights move faster than that, and the same network is right for half or for nearly all validation patterns, as
it happens. Taking the statistics of one state of the weights over many patterns is called precise batch normalisation
(Y. Wu, J. Johnson, arXiv:2105.07576).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


def renew_statistics(network: nn.Module, batches: Sequence[Tensor], *, bf16: bool = False) -> None:
    """Replace the means and variances of all batch normalisation by those of some batches; weights stay as they are.

    Parameters
    ----------
    network
        The network; its mode is put back afterwards.
    batches
        Prepared patterns (n, 1, rows, columns), at least two each; each batch counts the same.
    bf16
        Compute in bfloat16 (autocast), as the network is validated.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta = [norm.momentum for norm in norms]
    training = [module.training for module in network.modules()]
    network.eval()
    for norm in norms:
        norm.reset_running_stats()
        # PyTorch's plain mean over all batches since then.
        norm.momentum = None
        norm.train()
    try:
        with torch.no_grad():
            for batch in batches:
                with torch.autocast(batch.device.type, torch.bfloat16, enabled=bf16):
                    network(batch)
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in zip(network.modules(), training, strict=True):
            module.training = mode
