"""Weights in and out of safetensors files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from kikuchinet._files import atomic_path
from kikuchinet.errors import InputError

WEIGHTS_FILE = "weights.safetensors"


_SCALE = "#scale"
"""Behind a kernel's name: the float32 scale of each of its output channels, where the kernel is stored in 8 bits."""


def save_weights(network: nn.Module, path: str | Path, *, bits: int = 16) -> str:
    """Write a network's weights at reduced precision and return the file's SHA-256.

    Kernels are rounded: to float16, or to integers of 8 bits with a scale for each output channel (symmetric, per channel;
    M. Nagel et al., arXiv:2106.08295, section 2.2). Vectors (batch norm, biases) stay float32: they are few, and running
    variances can leave float16's range. The network computes in floating point either way.

    Parameters
    ----------
    network
        The network.
    path
        The safetensors file to write.
    bits
        16 or 8: per weight of a kernel.

    Raises
    ------
    kikuchinet.errors.InputError
        A weight is not finite, or leaves the range of float16; or `bits` is neither 16 nor 8.
    """
    if bits not in (8, 16):
        raise InputError("bits", f"weights are stored in 16 or 8 bits, not {bits}")
    tensors = {}
    for name, tensor in network.state_dict().items():
        value = tensor.detach().cpu()
        if value.is_floating_point() and value.ndim >= 2:
            if not torch.isfinite(value.to(torch.float16)).all():
                raise InputError(name, "weights leave the range of float16")
            if bits == 16:
                value = value.to(torch.float16)
            else:
                value, tensors[name + _SCALE] = _to_eight_bits(value)
        tensors[name] = value.contiguous()
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    return file_digest(path)


def _to_eight_bits(kernel: Tensor) -> tuple[Tensor, Tensor]:
    """Return integers (output channels, ...) of -127 to 127, and a scale for each output channel."""
    largest = kernel.float().flatten(1).abs().amax(dim=1)
    scale = torch.where(largest > 0.0, largest / 127.0, torch.ones_like(largest))
    steps = torch.round(kernel.float() / _along_channels(scale, kernel.ndim))
    return steps.to(torch.int8), scale


def _along_channels(scale: Tensor, dimensions: int) -> Tensor:
    return scale.reshape(-1, *[1] * (dimensions - 1))


def _restored(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """Return what was stored in 8 bits as float32, and the rest as it is."""
    restored = {}
    for name, tensor in tensors.items():
        if name.endswith(_SCALE):
            continue
        scale = tensors.get(name + _SCALE)
        if scale is None:
            restored[name] = tensor
        elif tensor.ndim < 2 or scale.shape != tensor.shape[:1]:
            raise InputError(path, f"{name} and its scales do not belong together")
        else:
            restored[name] = tensor.float() * _along_channels(scale, tensor.ndim)
    return restored


def load_weights(network: nn.Module, path: str | Path, sha256: str | None = None) -> None:
    """Load weights into a network of the same architecture.

    Parameters
    ----------
    network
        The network, changed in place; it stays float32.
    path
        A safetensors file.
    sha256
        Digest that the file must have.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, damaged, not the one that the card names, or of another network.
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(path, "no such file")
    if sha256 is not None and file_digest(path) != sha256:
        raise InputError(path, "its SHA-256 is not the one on the model's card: damaged or replaced")
    try:
        tensors = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(path, f"not a readable safetensors file ({error})") from error
    tensors = _restored(tensors, path)
    own = network.state_dict()
    if missing := sorted(set(own) ^ set(tensors)):
        raise InputError(path, f"weights of another network: {len(missing)} names differ, first {missing[0]}")
    for name, tensor in tensors.items():
        if tensor.shape != own[name].shape:
            shapes = f"{tuple(tensor.shape)} instead of {tuple(own[name].shape)}"
            raise InputError(path, f"weights of another network: {name} has shape {shapes}")
    network.load_state_dict({name: tensor.to(own[name].dtype) for name, tensor in tensors.items()})


def file_digest(path: str | Path) -> str:
    """Return the SHA-256 of a file."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
