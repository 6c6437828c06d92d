"""A network made ready to answer, and for nothing else: folded, and with weights of the type that it computes in."""

from __future__ import annotations

import copy

import torch
from torch import nn

PRECISIONS = ("auto", "fp32", "bf16")
"""What may be asked for."""


def resolve_precision(precision: str, device: torch.device) -> str:
    """Return ``fp32`` or ``bf16`` for what was asked for.

    Parameters
    ----------
    precision
        One of `PRECISIONS`. ``auto`` is bf16 where the hardware multiplies in it: GPUs from Ampere on, and processors
        with AVX512-BF16 or AMX, on which networks are about twice as fast in it.
    device
        Where the network runs.

    Returns
    -------
    str
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp32"
    return "bf16" if device.type == "cpu" and _processor_has_bf16() else "fp32"


def _processor_has_bf16() -> bool:
    # Private names of PyTorch's: without them a processor counts as one that has no bf16.
    tests = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(bool(getattr(torch.cpu, test, bool)()) for test in tests)


def inference_network(network: nn.Module, precision: str) -> nn.Module:
    """Return a copy of a network that only answers.

    Parameters
    ----------
    network
        In evaluation mode, on its device.
    precision
        ``fp32`` or ``bf16``.

    Returns
    -------
    torch.nn.Module
        Batch normalisation is folded into the convolutions before it, as far as `torch.fx` can follow the network; one that
        it cannot follow is left as it is, slower and with the same answers. For ``bf16``, convolutions and linear layers
        hold weights of bf16, so that autocast, under which the copy has to run, need not convert them for every batch; all
        the rest keeps float32.
    """
    ready = _folded(copy.deepcopy(network).eval())
    if precision == "bf16":
        for module in ready.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                module.to(torch.bfloat16)
    for parameter in ready.parameters():
        parameter.requires_grad_(False)
    ready.to(memory_format=torch.channels_last)
    return ready


def _folded(network: nn.Module) -> nn.Module:
    from torch.fx.experimental.optimization import fuse
    from torch.fx.proxy import TraceError

    try:
        folded: nn.Module = fuse(network, inplace=True)
    except (TraceError, TypeError, NotImplementedError, AttributeError, AssertionError):
        # Branches on a tensor's values or shape, as vision transformers have them.
        return network
    return folded
