"""OpenVINO in place of PyTorch: a network converted and compiled in memory, for answers on a processor.

OpenVINO is an optional dependency and imported when it is asked for. Nothing is written and nothing is sent.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import threading
import warnings
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kikuchinet._cluster import cores
from kikuchinet.errors import InputError

RUNTIMES = ("auto", "torch", "openvino")
"""What may be asked for."""
PAYS_FROM = 4096
"""Patterns of a run from which the seconds of conversion are won back, with a margin: two cores win them back within 2,000
(``benchmarks/runtimes.py``). More cores need more patterns for it, but the answers must not depend on their number."""
_TELEMETRY = "openvino_telemetry"


def installed() -> bool:
    """Say whether OpenVINO is there, without importing it."""
    return importlib.util.find_spec("openvino") is not None


def check_runtime(runtime: str) -> str:
    """Return the name of a runtime that can be had.

    Raises
    ------
    kikuchinet.errors.InputError
        There is none of this name, or it is not installed.
    """
    if runtime not in RUNTIMES:
        raise InputError("runtime", f"{runtime!r} is none of {', '.join(RUNTIMES)}")
    if runtime == "openvino" and not installed():
        raise InputError(
            "runtime", "OpenVINO is not installed; 'pip install kikuchinet[openvino]' installs it"
        )
    return runtime


def resolve_runtime(runtime: str, device: torch.device, patterns: int) -> str:
    """Return ``torch`` or ``openvino`` for a run.

    Parameters
    ----------
    runtime
        One of `RUNTIMES`. ``auto`` is OpenVINO where it is installed and faster, conversion included: on a processor, for
        `PAYS_FROM` patterns and more.
    device
        Where the network runs.
    patterns
        Patterns of the whole run.

    Returns
    -------
    str
    """
    if runtime != "auto":
        return runtime
    pays = device.type == "cpu" and patterns >= PAYS_FROM
    return "openvino" if pays and installed() else "torch"


class OpenvinoNetwork:
    """A network that OpenVINO computes.

    Parameters
    ----------
    network
        Only answers, in float32 and on the processor (`kikuchinet.models.inference.inference_network`).
    precision
        ``fp32`` or ``bf16``, in which OpenVINO is to compute.
    size
        Rows and columns of the input.

    Raises
    ------
    kikuchinet.errors.InputError
        The network cannot be converted. So says `make_ready` of one that this processor cannot compute.

    Notes
    -----
    A pass is computed by one thread, whatever else goes on, and has a fixed size, to which it is filled up with zeros. So
    its answer does not depend on the number of cores, to the last bit. Any number of threads may ask at the same time.
    """

    def __init__(self, network: nn.Module, precision: str, size: tuple[int, int]) -> None:
        self._openvino = _import()
        self._size = size
        self._settings = {
            "INFERENCE_PRECISION_HINT": {"fp32": "f32", "bf16": "bf16"}[precision],
            "PERFORMANCE_HINT": "THROUGHPUT",
            # One thread each: as many threads of ours may ask at the same time.
            "NUM_STREAMS": cores(),
            "INFERENCE_NUM_THREADS": cores(),
            # Pinned, the threads of two processes would share one core and leave another idle.
            "ENABLE_CPU_PINNING": False,
        }
        self._model = self._converted(network)
        self._compiling = threading.Lock()
        self._compiled: dict[int, Any] = {}
        self._idle: dict[int, list[Any]] = {}
        self._process = os.getpid()
        self._left: list[Any] = []

    def _converted(self, network: nn.Module) -> Any:
        shape = self._openvino.PartialShape([-1, 1, *self._size])
        try:
            return self._openvino.convert_model(_traced(network, self._size), input=[shape])
        except Exception as error:
            # Whatever PyTorch or OpenVINO meet in somebody's network.
            raise InputError(
                "runtime", f"OpenVINO cannot convert this network ({_last_line(error)})"
            ) from error

    def make_ready(self, batch_size: int) -> None:
        """Compile the network for passes of so many patterns, which takes seconds, once."""
        with self._compiling:
            if self._process != os.getpid():
                # In the child of a fork, where OpenVINO's threads are missing: what they belong to can neither compute nor,
                # since it would wait for them, be taken down.
                self._left.append((self._compiled, self._idle))
                self._compiled, self._idle, self._process = {}, {}, os.getpid()
            if batch_size in self._compiled:
                return
            model = self._model.clone()
            model.reshape([batch_size, 1, *self._size])
            try:
                compiled = _core(self._openvino).compile_model(model, "CPU", self._settings)
            except RuntimeError as error:
                raise InputError(
                    "runtime", f"OpenVINO cannot compute this network here ({_last_line(error)})"
                ) from error
            self._idle[batch_size] = []
            self._compiled[batch_size] = compiled

    def __call__(self, prepared: NDArray[np.float32], batch_size: int) -> NDArray[np.float32]:
        """Return the raw outputs for the patterns of one pass.

        Parameters
        ----------
        prepared
            float32 (n, rows, columns), n at most `batch_size`.
        batch_size
            Patterns that the pass is filled up to.

        Returns
        -------
        numpy.ndarray
            float32 (n, classes).
        """
        self.make_ready(batch_size)
        batch = np.zeros((batch_size, 1, *self._size), dtype=np.float32)
        batch[: len(prepared), 0] = prepared
        try:
            request = self._idle[batch_size].pop()
        except IndexError:
            request = self._compiled[batch_size].create_infer_request()
        try:
            outputs: NDArray[np.float32] = np.array(request.infer([batch], share_inputs=True)[0])
        finally:
            self._idle[batch_size].append(request)
        return outputs[: len(prepared)]


_CORES: dict[int, Any] = {}
"""OpenVINO's core of this process, and in the child of a fork those of its parents."""

_MAKING = threading.Lock()


def _core(openvino: Any) -> Any:
    """Return the one core of this process, which is never taken down.

    The first model of each core gives the thread a stack for signals, of the size that AMX needs, and the core's end frees
    it and brings back the one before. With two cores that end in the order in which they were made, the thread is left with
    a freed stack, and the next signal that Python handles, Ctrl-C say, is a segmentation fault.
    """
    with _MAKING:
        if os.getpid() not in _CORES:
            _CORES[os.getpid()] = openvino.Core()
        return _CORES[os.getpid()]


@torch.inference_mode()
def _traced(network: nn.Module, size: tuple[int, int]) -> Any:
    """Return what a network does to one pattern, written down by PyTorch, if it does the same to others."""
    noise = torch.randn(2, 1, *size, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        # The only way into OpenVINO for a network in memory, though PyTorch calls it deprecated.
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.zeros(1, 1, *size), check_trace=False)
        for images in (noise, -noise):
            torch.testing.assert_close(
                traced(images), network(images), rtol=1e-3, atol=1e-3, msg="it branches on what it is given"
            )
    return traced


def _last_line(error: Exception) -> str:
    """Return what an error comes to: the lines before it say where in OpenVINO it arose."""
    return (str(error).strip().splitlines() or [type(error).__name__])[-1].strip()


def _import() -> Any:
    """Import OpenVINO without the package by which it reports its use to its makers, when it is imported and later."""
    if "openvino" in sys.modules:
        return importlib.import_module("openvino")
    before = sys.modules.get(_TELEMETRY)
    sys.modules[_TELEMETRY] = None  # type: ignore[assignment]  # to Python, a module that is not there
    try:
        return importlib.import_module("openvino")
    finally:
        if before is None:
            del sys.modules[_TELEMETRY]
        else:
            sys.modules[_TELEMETRY] = before
