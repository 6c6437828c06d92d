"""A trained network with everything around it: patterns in, space groups out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.models.card import ModelCard
from kikuchinet.models.identification import Identification
from kikuchinet.patterns import preprocess


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
        ``fp32`` or ``bf16``; bf16 is up to three times as fast on processors that have it.
    """

    def __init__(
        self, network: nn.Module, card: ModelCard, *, device: str = "auto", precision: str = "fp32"
    ) -> None:
        if precision not in {"fp32", "bf16"}:
            raise InputError("precision", f"{precision!r} is neither fp32 nor bf16")
        self.card = card
        self.precision = precision
        self.device = _device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]

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
        """Space-group numbers that the model can answer with."""
        return self.card.classes

    def identify(
        self, images: NDArray[Any] | Sequence[NDArray[Any]], *, batch_size: int = 64
    ) -> Identification:
        """Say which space group each pattern belongs to.

        Parameters
        ----------
        images
            (n, rows, columns) or (rows, columns) of any real type, or a sequence of images of unequal shapes, as
            the camera or the vendor's program left them.
        batch_size
            Patterns per pass through the network.

        Returns
        -------
        Identification
            Probabilities and answers, in the order of the patterns.

        Raises
        ------
        kikuchinet.errors.InputError
            There are no patterns, or one is no image.
        """
        if batch_size < 1:
            raise InputError("batch_size", f"{batch_size} is not positive")
        if isinstance(images, np.ndarray) and images.ndim == 2:
            images = images[None]
        if len(images) == 0:
            raise InputError("images", "no patterns")
        parts = []
        for start in range(0, len(images), batch_size):
            prepared = preprocess(images[start : start + batch_size], size=self.card.size)
            parts.append(self.answer(self.logits(prepared, batch_size=batch_size), prepared))
        return Identification.concatenate(parts)

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
            With 0 where the model abstains.
        """
        probabilities = softmax(logits / self.card.temperature)
        best = probabilities.argmax(axis=1)
        answers = np.asarray(self.classes, dtype=np.int64)[best]
        flat = prepared.reshape(len(prepared), -1)
        blank = flat.min(axis=1) == flat.max(axis=1)
        reasons = []
        for i, highest in enumerate(probabilities.max(axis=1)):
            if blank[i]:
                # What a network says about nothing is no evidence, not even weak evidence, for pooling.
                probabilities[i] = 1.0 / len(self.classes)
                reasons.append("no contrast")
            elif highest < self.card.abstain_below:
                reasons.append(f"probability {highest:.2f} is below {self.card.abstain_below:.2f}")
            else:
                reasons.append("")
                continue
            answers[i] = 0
        return Identification(
            classes=self.classes,
            probabilities=probabilities,
            space_groups=answers,
            reasons=tuple(reasons),
            pool_correlation=self.card.pool_correlation,
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
