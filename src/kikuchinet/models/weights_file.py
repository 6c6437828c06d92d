"""Weights in and out of safetensors files."""

from __future__ import annotations

import hashlib
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from kikuchinet._files import atomic_path
from kikuchinet.errors import InputError

WEIGHTS_FILE = "weights.safetensors"


def save_weights(network: nn.Module, path: str | Path) -> str:
    """Write a network's weights at half precision and return the file's SHA-256.

    Kernels are rounded to float16, which halves the file. Vectors (batch norm, biases) stay float32: they are few,
    and running variances can leave float16's range.

    Parameters
    ----------
    network
        The network.
    path
        The safetensors file to write.
    """
    tensors = {}
    for name, tensor in network.state_dict().items():
        value = tensor.detach().cpu()
        if value.is_floating_point() and value.ndim >= 2:
            value = value.to(torch.float16)
            if not torch.isfinite(value).all():
                raise InputError(name, "weights leave the range of float16")
        tensors[name] = value.contiguous()
    with atomic_path(path) as temporary:
        save_file(tensors, temporary)
    return file_digest(path)


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
