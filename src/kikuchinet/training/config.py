"""Everything that decides a training run, as it stands in a TOML file."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

from kikuchinet.datasets import MastersConfig, StreamConfig
from kikuchinet.datasets.labels import check_labels
from kikuchinet.errors import InputError
from kikuchinet.models.card import check_classes
from kikuchinet.models.networks import XCEPTION
from kikuchinet.training.tables import read_table

PAPER_CLASSES = (221, 223, 225, 227, 229, 230)
"""The six space groups of Kaufmann et al. (2020)."""


@dataclass(frozen=True)
class ModelConfig:
    """The network.

    Parameters
    ----------
    architecture
        timm's name.
    classes
        Space groups to tell apart; 0 (`kikuchinet.crystal.OUTSIDE`) for crystals of all others.
    size
        Rows and columns of the patterns that it takes. The default is the paper's.
    """

    architecture: str = XCEPTION
    classes: tuple[int, ...] = PAPER_CLASSES
    size: tuple[int, int] = (246, 299)

    def __post_init__(self) -> None:
        check_classes(self.classes, "model.classes")
        if min(self.size) < 32:
            raise InputError("model.size", f"{self.size[0]} x {self.size[1]} is too small")


@dataclass(frozen=True)
class OptimiserConfig:
    """How the weights are learnt. The defaults are the paper's.

    Parameters
    ----------
    name
        ``adam`` (weight decay added to the gradient, as in the paper) or ``adamw`` (decoupled).
    learning_rate
        The learning rate, or its highest value under a schedule.
    weight_decay
        Weight decay.
    schedule
        ``constant``, or ``onecycle`` (L. N. Smith, N. Topin, arXiv:1708.07120), for streams only.
    warm_up
        Share of the steps of ``onecycle`` before the highest learning rate.
    batch_size
        Patterns per step.
    label_smoothing
        Share of each label spread over all classes.
    gradient_clip
        Largest norm of the gradient; 0 for no limit.
    ema_decay
        Decay per step of the running mean of the weights, which is what is validated and shipped; 0 for none.
    statistics
        Training patterns of a stored set from which means and variances of batch normalisation are taken anew after each
        epoch (`kikuchinet.training.statistics`), before validation; 0 leaves PyTorch's running means of the last batches.
    """

    name: str = "adam"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    schedule: str = "constant"
    warm_up: float = 0.1
    batch_size: int = 32
    label_smoothing: float = 0.0
    gradient_clip: float = 0.0
    ema_decay: float = 0.0
    statistics: int = 0

    def __post_init__(self) -> None:
        if self.name not in {"adam", "adamw"}:
            raise InputError("optimiser.name", f"{self.name!r} is neither adam nor adamw")
        if self.schedule not in {"constant", "onecycle"}:
            raise InputError("optimiser.schedule", f"{self.schedule!r} is neither constant nor onecycle")
        if self.learning_rate <= 0.0 or self.batch_size < 2:
            raise InputError("optimiser", "learning_rate must be positive and batch_size at least 2")
        if not 0.0 <= self.ema_decay < 1.0 or not 0.0 <= self.label_smoothing < 1.0:
            raise InputError("optimiser", "ema_decay and label_smoothing must be in 0 to 1")
        if self.statistics and self.statistics < self.batch_size:
            raise InputError("optimiser.statistics", "must be 0, or a batch of patterns at least")
        if not 0.0 < self.warm_up < 1.0:
            raise InputError("optimiser.warm_up", "must be between 0 and 1")


@dataclass(frozen=True)
class Phase:
    """A stretch of a streamed run at one resolution.

    Parameters
    ----------
    images
        How many patterns.
    size
        Rows and columns that patterns are shrunk to before they enter the network. A fully convolutional network
        learns the larger part of its task from smaller images, at a fraction of the cost.
    """

    images: int
    size: tuple[int, int]

    def __post_init__(self) -> None:
        if self.images < 1:
            raise InputError("phase", "images must be positive")


@dataclass(frozen=True)
class StoppingConfig:
    """When training on a stored set ends. The defaults are the paper's.

    Parameters
    ----------
    patience
        Epochs without a validation loss lower by `min_delta` before training stops.
    min_delta
        What counts as lower.
    max_epochs
        Where it ends at the latest.
    validation_share
        Share of a manifest's patterns that is held back for validation where the manifest has no column ``split``.
    """

    patience: int = 25
    min_delta: float = 1e-3
    max_epochs: int = 500
    validation_share: float = 0.2


@dataclass(frozen=True)
class TrainingConfig:
    """A training run.

    Parameters
    ----------
    name, version
        Of the model that comes out.
    seed
        Of the weights, and of the order of a stored set.
    labels
        ``visible`` or ``literal`` space groups.
    precision
        ``fp32`` or ``bf16`` (mixed).
    workers
        Processes that make or read patterns beside the training; 0 makes them in between, and a stream on a device
        must.
    replicas
        Threads that share each batch on a processor, one replica of the network each; 1 leaves the threads to PyTorch.
    checkpoint_minutes
        How often the state is saved.
    abstain_below
        Goes to the model's card.
    weight_bits
        Per weight of a kernel in the model's file: 16 or 8.
    calibration_images
        Fresh simulated patterns, or validation patterns of a stored set, that the temperature is fitted on.
    model, optimiser, stopping
        The network and how it learns.
    start
        Model whose weights the run starts from: the name of one that ships, or a folder. Random weights if empty.
    phases
        Of a streamed run.
    masters, stream
        Where streamed patterns come from; None for a stored set.
    """

    name: str = "model"
    version: str = "1"
    seed: int = 0
    labels: str = "visible"
    precision: str = "fp32"
    workers: int = 1
    replicas: int = 1
    checkpoint_minutes: float = 5.0
    abstain_below: float = 0.5
    weight_bits: int = 16
    calibration_images: int = 4096
    model: ModelConfig = field(default_factory=ModelConfig)
    optimiser: OptimiserConfig = field(default_factory=OptimiserConfig)
    stopping: StoppingConfig = field(default_factory=StoppingConfig)
    start: str = ""
    phases: tuple[Phase, ...] = ()
    masters: MastersConfig | None = None
    stream: StreamConfig | None = None

    def __post_init__(self) -> None:
        check_labels(self.labels)
        if self.precision not in {"fp32", "bf16"}:
            raise InputError("precision", f"{self.precision!r} is neither fp32 nor bf16")
        if self.weight_bits not in {8, 16}:
            raise InputError("weight_bits", f"{self.weight_bits} is neither 16 nor 8")
        if not 1 <= self.replicas <= self.optimiser.batch_size // 2:
            raise InputError("replicas", "at least 1, and no more than half of batch_size")
        if (self.masters is None) != (self.stream is None):
            raise InputError("training", "a stream needs both [masters] and [stream]")
        if self.stream is not None and self.stream.device and self.workers:
            raise InputError(
                "workers", "must be 0 where the stream is on a device: it is made by the training process"
            )
        if self.stream is not None and not self.phases:
            raise InputError("training", "a stream needs at least one [[phases]]")
        if self.stream is None and self.optimiser.schedule != "constant":
            raise InputError("optimiser.schedule", "only streams have a length to fit a schedule to")
        if any(phase.images % self.optimiser.batch_size for phase in self.phases):
            raise InputError("phases", "images must be a multiple of batch_size")

    @property
    def total_images(self) -> int:
        """Patterns in all phases of a streamed run."""
        return sum(phase.images for phase in self.phases)

    def size_at(self, images: int) -> tuple[int, int]:
        """Return the resolution after so many patterns."""
        for phase in self.phases:
            if images < phase.images:
                return phase.size
            images -= phase.images
        return self.model.size


def read_config(path: str | Path) -> TrainingConfig:
    """Read a training run from a TOML file.

    Parameters
    ----------
    path
        The file. Tables: ``[model]``, ``[optimiser]``, ``[stopping]``, ``[[phases]]``, ``[masters]``, ``[stream]``
        with ``[stream.geometry]`` and ``[stream.camera]``. What is not given keeps its default. Paths in
        ``cifs`` of ``[masters]`` are taken from the file's folder.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, is not TOML, or holds an entry that is unknown or wrong.
    """
    path = Path(path)
    config = read_table(TrainingConfig, path)
    return (
        config
        if config.masters is None
        else replace(config, masters=from_folder(config.masters, path.parent))
    )


def from_folder(masters: MastersConfig, folder: Path) -> MastersConfig:
    """Return what a configuration says of master patterns, with the paths in ``cifs`` taken from its file's folder."""
    # Whole paths: a run may be resumed, and its model scored, from another folder.
    return replace(masters, cifs=tuple(str((folder / one).resolve()) for one in masters.cifs))
