"""Training: configuration, loop, checkpoints, calibration, export."""

from kikuchinet.training.config import (
    ModelConfig,
    OptimiserConfig,
    Phase,
    StoppingConfig,
    TrainingConfig,
    read_config,
)
from kikuchinet.training.recalibration import calibrate
from kikuchinet.training.run import TrainingResult, train

__all__ = [
    "ModelConfig",
    "OptimiserConfig",
    "Phase",
    "StoppingConfig",
    "TrainingConfig",
    "TrainingResult",
    "calibrate",
    "read_config",
    "train",
]
