"""A trained network with everything around it: patterns in, space groups out."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.models.card import ModelCard
from kikuchinet.models.identification import Identification
from kikuchinet.models.inference import PRECISIONS, inference_network, resolve_precision
from kikuchinet.models.openvino_runtime import OpenvinoNetwork, check_runtime, resolve_runtime
from kikuchinet.patterns import preprocess

_PASS = {"cpu": 32}
"""Patterns per pass through the network that were fastest; where nothing was measured, `_LARGE_PASS`."""
_LARGE_PASS = 512


class SpaceGroupModel:
    """A trained network and its card.

    Parameters
    ----------
    network
        Takes float (n, 1, rows, columns), returns logits (n, classes).
    card
        The card.
    device
        ``auto`` takes a GPU where there is one; else PyTorch's name of a device.
    precision
        ``fp32``, ``bf16``, or ``auto``: bf16 where the hardware has it, on which it is twice as fast and more.
    runtime
        ``torch``; ``openvino``, on a processor, where it is installed; ``auto``: PyTorch, unless `for_run` says otherwise.
    """

    def __init__(
        self,
        network: nn.Module,
        card: ModelCard,
        *,
        device: str = "auto",
        precision: str = "fp32",
        runtime: str = "auto",
    ) -> None:
        if precision not in PRECISIONS:
            raise InputError("precision", f"{precision!r} is none of {', '.join(PRECISIONS)}")
        self.card = card
        self.runtime = check_runtime(runtime)
        self.device = _device("cpu" if (device, runtime) == ("auto", "openvino") else device)
        if runtime == "openvino" and self.device.type != "cpu":
            raise InputError("runtime", f"OpenVINO computes on the processor, not on {self.device}")
        self.precision = resolve_precision(precision, self.device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        # By runtime; one dictionary for all that `for_run` returns.
        self._ready: dict[str, nn.Module | OpenvinoNetwork] = {}

    def __repr__(self) -> str:
        return f"SpaceGroupModel({self.name!r}, version {self.version}, space groups {list(self.classes)})"

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.card.name

    @property
    def version(self) -> str:
        """Version of the model."""
        return self.card.version

    @property
    def classes(self) -> tuple[int, ...]:
        """Space-group numbers that the model can answer with; 0, where it is there, for none of the others."""
        return self.card.classes

    @property
    def pass_size(self) -> int:
        """Patterns per pass through the network, where nobody says how many."""
        return _PASS.get(self.device.type, _LARGE_PASS)

    def for_run(self, patterns: int) -> SpaceGroupModel:
        """Return the model as it answers a run of so many patterns: with a runtime that is no longer ``auto``.

        The network is the same one, not a copy. PyTorch computes one that OpenVINO cannot convert.
        """
        if self.runtime != "auto":
            return self
        model = copy.copy(self)
        model.runtime = resolve_runtime(self.runtime, self.device, patterns)
        if model.runtime == "openvino":
            try:
                model.make_ready()
            except InputError:
                model.runtime = "torch"
        return model

    def make_ready(self) -> None:
        """Do what `outputs` otherwise does when it is first called: threads that share a model must not all do it."""
        if isinstance(network := self._ready_network, OpenvinoNetwork):
            network.make_ready(self.pass_size)

    def identify(
        self, images: NDArray[Any] | Sequence[NDArray[Any]], *, batch_size: int | None = None
    ) -> Identification:
        """Say which space group each pattern belongs to.

        Parameters
        ----------
        images
            (n, rows, columns) or (rows, columns) of any real type, or a sequence of images of unequal shapes, as
            the camera or the vendor's program left them.
        batch_size
            As for `outputs`.

        Returns
        -------
        Identification
            Probabilities and answers, in the order of the patterns.

        Raises
        ------
        kikuchinet.errors.InputError
            There are no patterns, or one is no image.
        """
        return self.answers(*self.outputs(images, batch_size=batch_size))

    @torch.inference_mode()
    def outputs(
        self, images: NDArray[Any] | Sequence[NDArray[Any]], *, batch_size: int | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        """Return what the network says about patterns, as fast as it can be had.

        Parameters
        ----------
        images
            As for `identify`.
        batch_size
            Patterns per pass through the network; what is fastest on the device if not given. OpenVINO fills passes up to
            it, and compiles the network for each size that it meets.

        Returns
        -------
        logits : numpy.ndarray
            float32 (n, classes).
        blank : numpy.ndarray
            (n,) True for patterns without any contrast.

        Raises
        ------
        kikuchinet.errors.InputError
            There are no patterns, or one is no image.

        Notes
        -----
        The network is a copy with batch normalisation folded in (`kikuchinet.models.inference`), made when it is first asked
        for: weights that are changed afterwards are not seen. On a GPU stacks of patterns are prepared there, too.
        """
        if isinstance(images, np.ndarray) and images.ndim == 2:
            images = images[None]
        if batch_size is None:
            batch_size = 1 if len(images) == 1 else self.pass_size
        if batch_size < 1:
            raise InputError("batch_size", f"{batch_size} is not positive")
        if len(images) == 0:
            raise InputError("images", "no patterns")
        network = self._ready_network
        logits = np.empty((len(images), len(self.classes)), dtype=np.float32)
        blank = np.empty(len(images), dtype=bool)
        for start in range(0, len(images), batch_size):
            part = slice(start, start + batch_size)
            prepared = self._prepared(images[part])
            blank[part] = (prepared.amin((1, 2)) == prepared.amax((1, 2))).cpu().numpy()
            if isinstance(network, OpenvinoNetwork):
                logits[part] = network(prepared.numpy(), batch_size)
                continue
            batch = prepared[:, None].contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                logits[part] = network(batch).float().cpu().numpy()
        return logits, blank

    @property
    def _ready_network(self) -> nn.Module | OpenvinoNetwork:
        runtime = "openvino" if self.runtime == "openvino" else "torch"
        if runtime not in self._ready:
            self._ready[runtime] = (
                OpenvinoNetwork(inference_network(self.network, "fp32"), self.precision, self.card.size)
                if runtime == "openvino"
                else inference_network(self.network, self.precision)
            )
        return self._ready[runtime]

    def _prepared(self, images: NDArray[Any] | Sequence[NDArray[Any]]) -> torch.Tensor:
        """Return patterns made ready, float32 (n, rows, columns), on the device."""
        if self.device.type == "cpu" or not isinstance(images, np.ndarray) or images.dtype.kind not in "uif":
            return torch.from_numpy(preprocess(images, size=self.card.size)).to(self.device)
        from kikuchinet.patterns.torch_preprocessing import preprocess_torch

        if images.dtype.kind == "f" and not np.isfinite(images).all():
            raise InputError("patterns", "hold numbers that are not finite")
        # Eight bits travel as they are; PyTorch does little with other whole numbers.
        stack = np.ascontiguousarray(images, dtype=np.uint8 if images.dtype == np.uint8 else np.float32)
        return preprocess_torch(torch.from_numpy(stack).to(self.device), self.card.size)

    @torch.inference_mode()
    def logits(self, prepared: NDArray[np.float32], *, batch_size: int = 64) -> NDArray[np.float64]:
        """Return the raw outputs for patterns that went through `kikuchinet.patterns.preprocess`.

        Parameters
        ----------
        prepared
            float32 (n, rows, columns) at the model's size.
        batch_size
            Patterns per pass through the network.

        Returns
        -------
        numpy.ndarray
            (n, classes).
        """
        self.network.eval()
        outputs = []
        for start in range(0, len(prepared), batch_size):
            batch = torch.from_numpy(np.ascontiguousarray(prepared[start : start + batch_size]))[:, None]
            batch = batch.to(self.device, memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bf16"):
                output = self.network(batch)
            outputs.append(output.double().cpu().numpy())
        return np.concatenate(outputs) if outputs else np.empty((0, len(self.classes)))

    def answer(self, logits: NDArray[np.float64], prepared: NDArray[np.float32]) -> Identification:
        """Turn raw outputs into probabilities and answers.

        Parameters
        ----------
        logits
            (n, classes).
        prepared
            (n, rows, columns), the patterns that went in.

        Returns
        -------
        Identification
            Its `abstained` says where the model gave no answer.
        """
        flat = prepared.reshape(len(prepared), -1)
        return self.answers(logits, flat.min(axis=1) == flat.max(axis=1))

    def answers(self, logits: NDArray[np.floating[Any]], blank: NDArray[np.bool_]) -> Identification:
        """Turn raw outputs into probabilities and answers.

        Parameters
        ----------
        logits
            (n, classes).
        blank
            (n,) True for patterns without any contrast.

        Returns
        -------
        Identification
            Its `abstained` says where the model gave no answer.
        """
        return answers(self.card, logits, blank)


def answers(
    card: ModelCard,
    logits: NDArray[np.floating[Any]],
    blank: NDArray[np.bool_],
    refused: Sequence[str] | None = None,
) -> Identification:
    """Do what `SpaceGroupModel.answers` does for a model of which only the card is at hand.

    Parameters
    ----------
    card, logits, blank
        As there.
    refused
        (n,) other reasons why nothing can be said of a pattern, empty where there is none.
    """
    probabilities = softmax(logits.astype(np.float64) / card.temperature)
    found = np.asarray(card.classes, dtype=np.int64)[probabilities.argmax(axis=1)]
    reasons = []
    for i, highest in enumerate(probabilities.max(axis=1)):
        reason = "no contrast" if blank[i] else "" if refused is None else refused[i]
        if reason:
            # What a network says about nothing is no evidence, not even weak evidence, for pooling.
            probabilities[i] = 1.0 / len(card.classes)
            reasons.append(reason)
        elif highest < card.abstain_below:
            reasons.append(f"probability {highest:.2f} is below {card.abstain_below:.2f}")
        else:
            reasons.append("")
            continue
        found[i] = 0
    return Identification(
        classes=card.classes,
        probabilities=probabilities,
        space_groups=found,
        reasons=tuple(reasons),
        pool_correlation=card.pool_correlation,
    )


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return probabilities (n, classes) from logits."""
    from scipy.special import softmax as scipy_softmax

    probabilities: NDArray[np.float64] = scipy_softmax(logits.astype(np.float64), axis=1)
    return probabilities


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError("device", f"{name!r} is not to be had ({str(error).splitlines()[0]})") from error
    return device
