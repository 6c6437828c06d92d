"""Networks by name. Every architecture comes from timm; what is fixed here is how ours are built."""

from __future__ import annotations

from torch import nn

from kikuchinet.errors import InputError

XCEPTION = "legacy_xception"
"""timm's name for Xception as Chollet (2017, arXiv:1610.02357) drew it; the network of Kaufmann et al. (2020)."""


def create_model(architecture: str = XCEPTION, n_classes: int = 6, in_chans: int = 1) -> nn.Module:
    """Return an untrained network.

    Parameters
    ----------
    architecture
        Any name that timm knows.
    n_classes
        Number of outputs.
    in_chans
        Number of input channels; 1 for grey patterns.

    Returns
    -------
    torch.nn.Module
        Takes float (n, in_chans, rows, columns), returns logits (n, n_classes). With the defaults it has 20,873,198
        numbers to learn or to track (batch-norm means and variances included), as many as the paper's network.

    Raises
    ------
    kikuchinet.errors.InputError
        timm does not know the architecture, or a count is not positive.
    """
    import timm

    if n_classes < 2 or in_chans < 1:
        raise InputError(architecture, f"{n_classes} classes and {in_chans} channels cannot be")
    if not timm.is_model(architecture):
        raise InputError(architecture, "no architecture of this name in timm")
    network: nn.Module = timm.create_model(
        architecture, pretrained=False, num_classes=n_classes, in_chans=in_chans
    )
    return network


def count_parameters(network: nn.Module) -> int:
    """Count as Keras does: weights plus the running means and variances of batch normalisation."""
    weights = sum(p.numel() for p in network.parameters())
    running = sum(b.numel() for name, b in network.named_buffers() if "running_" in name)
    return weights + running
