"""Master patterns and a configuration small enough to train with in seconds."""

from __future__ import annotations

from pathlib import Path

import pytest

from kikuchinet.datasets import MastersConfig, MasterSet, QualityRange, StreamConfig, prepare
from kikuchinet.training import ModelConfig, OptimiserConfig, Phase, TrainingConfig

MATERIALS = ("Al", "Fe", "Si")
CLASSES = (225, 227, 229)


@pytest.fixture(scope="session")
def masters_config() -> MastersConfig:
    """Three light crystals, one master pattern each."""
    return MastersConfig(materials=MATERIALS, half_width=24, preset="fast", variants=1)


@pytest.fixture(scope="session")
def masters(tmp_path_factory: pytest.TempPathFactory, masters_config: MastersConfig) -> MasterSet:
    """Their simulated master patterns."""
    return prepare(masters_config, tmp_path_factory.mktemp("cache"), progress=False)


@pytest.fixture
def config(masters_config: MastersConfig) -> TrainingConfig:
    """A run of 24 steps on 32-pixel patterns, two resolutions, everything switched on."""
    return TrainingConfig(
        name="small",
        seed=3,
        workers=0,
        replicas=2,
        checkpoint_minutes=60.0,
        calibration_images=96,
        model=ModelConfig(architecture="test_resnet", classes=CLASSES, size=(48, 48)),
        optimiser=OptimiserConfig(
            name="adamw",
            learning_rate=3e-3,
            schedule="onecycle",
            batch_size=16,
            label_smoothing=0.02,
            gradient_clip=5.0,
            ema_decay=0.9,
        ),
        phases=(Phase(128, (32, 32)), Phase(256, (48, 48))),
        masters=masters_config,
        stream=StreamConfig(
            seed=5, camera="good", block=4, blocks_per_window=12, quality=QualityRange(start=1.0, images=200)
        ),
    )


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Folder for a run."""
    return tmp_path / "run"
