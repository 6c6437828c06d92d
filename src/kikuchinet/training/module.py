"""One training step, the same for streams and stored sets."""

from __future__ import annotations

from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional

from kikuchinet.datasets.stream import Batch
from kikuchinet.models import create_model
from kikuchinet.training.config import TrainingConfig
from kikuchinet.training.replicas import Replicas

_MEMORY = 0.95
"""Of the running means of loss and accuracy that are logged: some 20 steps, for single batches say little."""


class SpaceGroupModule(lightning.LightningModule):
    """Learns space groups by cross-entropy.

    Parameters
    ----------
    config
        The training run.
    """

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.config = config
        # Gradients come from replicas in threads, so the optimiser is stepped here and not by Lightning.
        self.automatic_optimization = False
        network = create_model(config.model.architecture, len(config.model.classes))
        # Channels last is the layout that oneDNN's and cuDNN's convolutions work in.
        self.network: nn.Module = network.to(memory_format=torch.channels_last)
        self.images_seen = 0
        self._mean: Tensor | None = None
        self._replicas: Replicas | None = None

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (n, classes) for patterns (n, rows, columns)."""
        logits: Tensor = self.network(images[:, None].contiguous(memory_format=torch.channels_last))
        return logits

    def on_fit_start(self) -> None:
        """Make the replicas, now that the network is where it learns; a GPU needs only one."""
        self._replicas = Replicas(self.network, self.config.replicas if self.device.type == "cpu" else 1)

    def on_fit_end(self) -> None:
        """End the replicas' threads."""
        if self._replicas is not None:
            self._replicas.close()
            self._replicas = None

    def training_step(self, batch: Batch, batch_index: int) -> None:  # noqa: ARG002
        """Learn from a batch, shrunk to the resolution that this part of the run has."""
        if self._replicas is None:
            raise RuntimeError("a training step outside of a fit")
        images, labels = batch
        images = shrink(images, self.config.size_at(self.images_seen))
        images = images[:, None].contiguous(memory_format=torch.channels_last)
        loss, correct = self._replicas.gradients(self._loss, images, labels)
        settings = self.config.optimiser
        if settings.gradient_clip:
            torch.nn.utils.clip_grad_norm_(self.parameters(), settings.gradient_clip)
        optimiser = self.optimizers()
        optimiser.step()  # type: ignore[union-attr]
        if settings.schedule != "constant":
            self.lr_schedulers().step()  # type: ignore[union-attr]
        self.images_seen += len(labels)
        now = torch.stack([loss, correct])
        self._mean = now if self._mean is None else _MEMORY * self._mean + (1.0 - _MEMORY) * now
        self.log_dict({"loss": self._mean[0], "accuracy": self._mean[1], "images": float(self.images_seen)})

    def _loss(self, network: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        # Autocast belongs to a thread: Lightning has set it in its own thread only.
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bf16"):
            logits = network(images).float()
        loss = functional.cross_entropy(logits, labels, label_smoothing=self.config.optimiser.label_smoothing)
        return loss, (logits.detach().argmax(dim=1) == labels).float().mean()

    def validation_step(self, batch: Batch, batch_index: int) -> None:  # noqa: ARG002
        """Log loss and accuracy of a batch of validation patterns."""
        images, labels = batch
        logits = self(images).float()
        correct = (logits.argmax(dim=1) == labels).float().mean()
        self.log_dict(
            {"val_loss": functional.cross_entropy(logits, labels), "val_accuracy": correct},
            batch_size=len(labels),
        )

    def configure_optimizers(self) -> Any:
        """Return the optimiser, and for OneCycle its schedule per step."""
        settings = self.config.optimiser
        kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
        optimiser = kind(
            self.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
        )
        if settings.schedule == "constant":
            return optimiser
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimiser,
            max_lr=settings.learning_rate,
            total_steps=self.config.total_images // settings.batch_size,
            pct_start=settings.warm_up,
        )
        return {"optimizer": optimiser, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the place in the stream and the random state, which Lightning does not."""
        checkpoint["images_seen"] = self.images_seen
        checkpoint["torch_random_state"] = torch.get_rng_state()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on where the checkpoint was written."""
        self.images_seen = int(checkpoint["images_seen"])
        torch.set_rng_state(checkpoint["torch_random_state"])
        for schedule in checkpoint["lr_schedulers"]:
            # How long the schedule is says the configuration, whose phases may have been changed since.
            for of_length in ("total_steps", "_schedule_phases"):
                schedule.pop(of_length, None)


def shrink(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize prepared patterns (n, rows, columns), smoothing as much as shrinking needs."""
    if tuple(images.shape[1:]) == tuple(size):
        return images
    return functional.interpolate(images[:, None], size=size, mode="bilinear", antialias=True)[:, 0]
