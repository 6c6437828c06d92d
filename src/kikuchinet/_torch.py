"""What every part that computes with PyTorch asks of it: a device that exists, and float32 that is float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from kikuchinet.errors import InputError


def torch_device(name: str | torch.device) -> torch.device:
    """Return a device that can be computed on.

    Parameters
    ----------
    name
        PyTorch's name of a device (``cpu``, ``cuda``, ``cuda:1``), or ``auto``: a GPU where there is one.

    Returns
    -------
    torch.device

    Raises
    ------
    InputError
        If the machine has no such device, or it cannot hold float64 and complex64.
    """
    if str(name) == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
        # Something is computed and fetched: a device may have a name and neither memory nor float64.
        number = torch.ones(1, dtype=torch.float64, device=device).to(torch.complex64)
        (number + number).real.item()
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        cause = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(f"device {str(name)!r}", f"is not to be had ({cause})") from error
    return device


@contextmanager
def full_float32() -> Iterator[None]:
    """Multiply matrices of float32 and complex64 in float32, whatever the process has been set to.

    TF32, which a network may well be trained in, keeps 10 bits of the factors; waves that are multiplied by a matrix
    hundreds of times need all 23. The setting belongs to the whole process, so other threads see it too until the end
    of the block, where it is put back.
    """
    matmuls = [
        backend.matmul
        for backend in (torch.backends.cuda, torch.backends.mkldnn)
        if hasattr(getattr(backend, "matmul", None), "fp32_precision")
    ]
    by_backend = [matmul.fp32_precision for matmul in matmuls]
    try:
        before = torch.get_float32_matmul_precision()
    except RuntimeError:
        # Set by the switches of single backends (PyTorch 2.9 and later), which this older call will not read.
        before = None
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        if before is not None:
            torch.set_float32_matmul_precision(before)
        for matmul, precision in zip(matmuls, by_backend, strict=True):
            matmul.fp32_precision = precision
