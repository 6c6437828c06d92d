"""What happens around the steps: running mean of the weights, checkpoints, Ctrl-C, progress."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import Any, cast

import lightning
from lightning.pytorch.callbacks import Callback, EarlyStopping, WeightAveraging
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from torch import Tensor
from torch.optim.swa_utils import get_ema_multi_avg_fn

from kikuchinet._files import atomic_path
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.statistics import renew_statistics


class RunningMean(WeightAveraging):
    """Exponential running mean of weights and batch-norm statistics (after B. Polyak, A. Juditsky, 1992).

    The mean is what is validated and what ships: it stands where a smaller learning rate would have led.

    Parameters
    ----------
    decay
        Weight of the old mean at each step.
    """

    def __init__(self, decay: float) -> None:
        super().__init__(multi_avg_fn=get_ema_multi_avg_fn(decay))


class Checkpoints(Callback):
    """Saves the whole state now and then, and stops the run when it is asked to.

    The first Ctrl-C (or SIGTERM) lets the step finish, saves and stops; the second one stops at once.

    Parameters
    ----------
    path
        The checkpoint file, replaced whole every time.
    minutes
        How often; None saves after every epoch and only then, for stored sets, which begin an unfinished epoch
        again.
    """

    def __init__(self, path: Path, minutes: float | None) -> None:
        self.path = path
        self.interrupted = False
        self._seconds = None if minutes is None else 60.0 * minutes
        self._saved_at = 0.0
        self._handlers: dict[int, Any] = {}

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Listen for signals from here on."""
        self._saved_at = time.monotonic()
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._handlers[number] = signal.signal(number, self._stop)

    def _stop(self, number: int, frame: FrameType | None) -> None:  # noqa: ARG002
        if self.interrupted:
            raise KeyboardInterrupt
        self.interrupted = True

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,  # noqa: ARG002
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Save if it is time to."""
        if self.interrupted:
            trainer.should_stop = True
            # What is left of an epoch is neither validated nor counted: it is begun again.
            trainer.limit_val_batches = 0
        if self._seconds is None:
            return
        if self.interrupted or time.monotonic() - self._saved_at > self._seconds:
            self.save(trainer)

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Save after a whole epoch of a stored set."""
        if self._seconds is None and not self.interrupted:
            self.save(trainer)

    def save(self, trainer: lightning.Trainer) -> None:
        """Write the checkpoint."""
        with atomic_path(self.path) as temporary:
            trainer.save_checkpoint(temporary)
        self._saved_at = time.monotonic()

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Give the signals back."""
        self.give_back()

    def give_back(self) -> None:
        """Give the signals back; after an error Lightning tears nothing down, and puts our handlers in place once more."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}


class FreshStatistics(Callback):
    """Takes the statistics of batch normalisation anew before each validation of a stored set.

    Parameters
    ----------
    batches
        Prepared patterns (n, 1, rows, columns) of the training set.
    """

    def __init__(self, batches: Sequence[Tensor]) -> None:
        self._batches = batches

    def on_validation_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Run the network over the patterns."""
        module = cast("SpaceGroupModule", pl_module)
        batches = [batch.to(module.device) for batch in self._batches]
        renew_statistics(module.network, batches, bf16=module.config.precision == "bf16")


class BestEpoch(Callback):
    """Keeps the state of the epoch with the lowest validation loss.

    It saves after validation, and so before `Checkpoints`, whose file then says which epoch was the best. (Lightning's own
    ModelCheckpoint comes after all other callbacks: a run that is gone on with would have forgotten its last epoch.)

    Parameters
    ----------
    path
        The checkpoint file, replaced whole every time.
    checkpoints
        Knows whether the run was interrupted: nothing is kept then, for the epoch will be begun again.
    """

    def __init__(self, path: Path, checkpoints: Checkpoints) -> None:
        self.path = path
        self._checkpoints = checkpoints
        self._lowest: float | None = None

    def on_validation_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Save if no epoch was better."""
        loss = float(trainer.callback_metrics["val_loss"])
        # Of losses that are no numbers the first is kept, so that there is one.
        if self._checkpoints.interrupted or not (self._lowest is None or loss < self._lowest):
            return
        self._lowest = loss
        with atomic_path(self.path) as temporary:
            trainer.save_checkpoint(temporary)

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint holds of this."""
        return {"lowest": self._lowest}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over what a checkpoint holds of this."""
        self._lowest = state_dict["lowest"]


class Patience(EarlyStopping):
    """Stops when the validation loss has not fallen for long enough, counted over all resumptions.

    Parameters
    ----------
    min_delta
        What counts as fallen.
    patience
        Epochs.
    """

    def __init__(self, min_delta: float, patience: int) -> None:
        # After validation, so that the checkpoint that follows holds this epoch's count.
        super().__init__(
            monitor="val_loss",
            mode="min",
            min_delta=min_delta,
            patience=patience,
            check_on_train_epoch_end=False,
        )

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Train no further if a run is gone on with that had ended."""
        if self.wait_count >= self.patience:
            trainer.should_stop = True


class ProgressInImages(Callback):
    """A progress bar that counts patterns, with their rate, the loss and the accuracy.

    Parameters
    ----------
    total
        Patterns in the whole run; None where it ends when it has learnt enough.
    disable
        Show nothing.
    """

    def __init__(self, total: int | None, *, disable: bool = False) -> None:
        self._total = total
        self._bar = Progress(
            TextColumn("[progress.description]{task.description}"),
            BarColumn(),
            TextColumn("{task.completed:,.0f} patterns, {task.fields[rate]:.0f}/s"),
            TextColumn("loss {task.fields[loss]:.3f}, right {task.fields[right]:.1%}"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            disable=disable,
            refresh_per_second=2,
        )
        self._task = TaskID(0)
        self._start = (0.0, 0)

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:  # noqa: ARG002
        """Show the bar."""
        seen = cast("SpaceGroupModule", pl_module).images_seen
        self._start = (time.monotonic(), seen)
        self._bar.start()
        self._task = self._bar.add_task(
            "training", total=self._total, completed=seen, rate=0.0, loss=float("nan"), right=float("nan")
        )

    def on_train_batch_end(
        self,
        trainer: lightning.Trainer,
        pl_module: lightning.LightningModule,
        outputs: object,  # noqa: ARG002
        batch: object,  # noqa: ARG002
        batch_idx: int,  # noqa: ARG002
    ) -> None:
        """Move the bar."""
        metrics = trainer.callback_metrics
        seen = cast("SpaceGroupModule", pl_module).images_seen
        rate = (seen - self._start[1]) / max(time.monotonic() - self._start[0], 1e-9)
        self._bar.update(
            self._task,
            completed=seen,
            rate=rate,
            loss=float(metrics["loss"]),
            right=float(metrics["accuracy"]),
        )

    def teardown(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule, stage: str) -> None:  # noqa: ARG002
        """Take the bar down."""
        self._bar.stop()

    def on_exception(
        self,
        trainer: lightning.Trainer,  # noqa: ARG002
        pl_module: lightning.LightningModule,  # noqa: ARG002
        exception: BaseException,  # noqa: ARG002
    ) -> None:
        """Take the bar down: after an error Lightning tears nothing down."""
        self._bar.stop()
