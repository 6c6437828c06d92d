"""How large a study is: as the paper's, for a CPU, or for minutes."""

from __future__ import annotations

from dataclasses import dataclass, replace

from kikuchinet.datasets import MastersConfig
from kikuchinet.models.networks import XCEPTION
from kikuchinet.training import TrainingConfig
from kikuchinet.training.config import ModelConfig, OptimiserConfig, StoppingConfig

_PATIENCE = 8
"""Epochs without a lower validation loss after which a network has learnt to the end, at least."""


@dataclass(frozen=True)
class StudySettings:
    """Size of a study.

    Parameters
    ----------
    size
        Rows and columns that the network sees; the paper's are 246 x 299.
    training, validation
        Patterns per space group.
    test
        Patterns per material that are tested at least.
    maps
        Simulated scans per material, each with its own camera, texture and pattern centre.
    half_width
        Of the master patterns.
    preset
        Of the simulator.
    energies
        Of the electrons that leave; 0 for as many as the preset has.
    variants
        Master patterns per material, which differ as those of `kikuchinet.datasets.MastersConfig` do.
    precision
        ``fp32`` as in the paper, or ``bf16``.
    patience, max_epochs
        When training stops; the paper's patience is 25 epochs.
    seed
        Of patterns, weights and order.
    architecture
        timm's name of the network; the paper's is Xception.
    statistics
        Training patterns from which batch normalisation's statistics are taken after each epoch
        (`kikuchinet.training.OptimiserConfig`). An epoch has 75 steps of Adam at 1e-3: running means of the last of them
        belong to other weights.
    """

    size: tuple[int, int] = (246, 299)
    training: int = 400
    validation: int = 100
    test: int = 1000
    maps: int = 8
    half_width: int = 150
    preset: str = "accurate"
    energies: int = 0
    variants: int = 6
    precision: str = "fp32"
    patience: int = 25
    max_epochs: int = 500
    seed: int = 0
    architecture: str = XCEPTION
    statistics: int = 640

    @property
    def pool(self) -> int:
        """Patterns of a material: enough to teach a group alone and to be tested on the rest."""
        return self.training + self.validation + self.test

    @property
    def judged(self) -> bool:
        """Whether networks learn enough for their figures to mean anything: as many patterns as the paper's, to the end."""
        paper = StudySettings()
        return (
            self.training >= paper.training
            and self.validation >= paper.validation
            and self.patience >= _PATIENCE
            and self.max_epochs > 4 * self.patience
        )

    def masters(self, materials: tuple[str, ...], variants: int | None = None) -> MastersConfig:
        """Return what master patterns of materials there are: `variants` of each, or as many as the study has."""
        return MastersConfig(
            materials=materials,
            half_width=self.half_width,
            preset=self.preset,
            energies=self.energies,
            variants=variants or self.variants,
            seed=self.seed,
        )

    def training_config(self, name: str) -> TrainingConfig:
        """Return the paper's training settings at this size; its weight decay is the text's, not the code's."""
        return TrainingConfig(
            name=name,
            seed=self.seed,
            labels="literal",
            precision=self.precision,
            workers=0,
            model=ModelConfig(architecture=self.architecture, size=self.size),
            optimiser=OptimiserConfig(
                name="adam",
                learning_rate=1e-3,
                weight_decay=1e-5,
                schedule="constant",
                batch_size=32,
                statistics=self.statistics,
            ),
            stopping=StoppingConfig(patience=self.patience, min_delta=1e-3, max_epochs=self.max_epochs),
        )


PAPER_SIZE = StudySettings()
"""Everything as in the paper, for a GPU."""

CPU_SIZE = replace(
    PAPER_SIZE,
    size=(106, 128),
    half_width=100,
    preset="fast",
    energies=1,
    variants=3,
    precision="bf16",
    patience=_PATIENCE,
)
"""The same protocol at 128 px, in bf16, on master patterns no finer than that; networks stop after 8 epochs without gain,
where the paper's stop after 25."""

QUICK = replace(
    PAPER_SIZE,
    size=(48, 58),
    training=24,
    validation=12,
    test=16,
    maps=2,
    half_width=40,
    preset="fast",
    energies=1,
    variants=2,
    precision="fp32",
    patience=2,
    max_epochs=3,
)
"""Minutes for all six: shows that everything runs, and nothing else."""
