"""Training: configuration, loop, checkpoints, calibration, export."""

from kikuchinet.training.config import (
    ModelConfig,
    OptimiserConfig,
    Phase,
    StoppingConfig,
    TrainingConfig,
    read_config,
)
from kikuchinet.training.run import TrainingResult, train

__all__ = [
    "ModelConfig",
    "OptimiserConfig",
    "Phase",
    "StoppingConfig",
    "TrainingConfig",
    "TrainingResult",
    "read_config",
    "train",
]
