"""Configuration of the training of a network of band profiles."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

from kikuchinet.datasets import StreamConfig
from kikuchinet.datasets.labels import check_labels
from kikuchinet.datasets.masters_config import MastersConfig
from kikuchinet.datasets.profiles import ProfilesConfig
from kikuchinet.errors import InputError
from kikuchinet.models.card import check_classes
from kikuchinet.training.config import from_folder
from kikuchinet.training.tables import read_table


@dataclass(frozen=True)
class LearningConfig:
    """How a network of band profiles learns.

    Parameters
    ----------
    epochs
        Times that every profile is shown.
    batch_size
        Profiles of a step.
    learning_rate, weight_decay
        Of AdamW; the rate is the highest of one cycle (L. N. Smith, N. Topin, arXiv:1708.07120).
    label_smoothing
        Share of the target that is spread over all classes.
    width, members, dropout
        Of the network.
    weight_bits
        Per weight of a kernel in the model's file: 16 or 8.
    dilation
        Profiles are stretched by a factor between exp(-dilation) and exp(dilation), all families alike: a larger
        lattice parameter has narrower bands, and changes nothing of the reflection conditions.
    gain
        The intensities of each family are multiplied by a factor of this standard deviation in its logarithm, a family by
        itself: other structure factors make some bands stronger and others fainter, and change nothing of the reflection
        conditions.
    mixed
        Share of profiles that are mixed with one of any crystal that the same groups are right for, stretched to the
        same lattice parameter: all conditions that both fulfil are fulfilled by the mixture.
    noise
        Standard deviation of noise that is added to the intensities.
    pooled
        Share of profiles that are averages of two or four patterns of the same crystal.
    misorientation_deg
        Profiles of crystals in m-3m whose orientation was found with a larger error are left out: what is averaged along
        the wrong lines says nothing of the crystal.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.03
    width: int = 512
    members: int = 1
    weight_bits: int = 16
    dropout: float = 0.3
    dilation: float = 0.15
    gain: float = 0.0
    mixed: float = 0.0
    noise: float = 0.0
    pooled: float = 0.5
    misorientation_deg: float = 1.5

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.width, self.members) < 1 or self.learning_rate <= 0.0:
            raise InputError(
                "learning", "epochs, batch_size, width, members and learning_rate must be positive"
            )
        if min(self.weight_decay, self.dilation, self.gain, self.noise) < 0.0:
            raise InputError("learning", "weight_decay, dilation, gain and noise cannot be negative")
        shares = (self.label_smoothing, self.dropout, self.pooled, self.mixed)
        if not all(0.0 <= share <= 1.0 for share in shares) or self.dropout == 1.0:
            raise InputError("learning", "label_smoothing, dropout, pooled and mixed are shares, 0 to 1")


@dataclass(frozen=True)
class BandTrainingConfig:
    """A training run of a network of band profiles.

    Parameters
    ----------
    name, version
        What the model is called.
    classes
        Space groups of m-3m, in the order of the network's outputs; 0 for all other crystals.
    masters, stream, profiles, learning
        The crystals, what is photographed how, how profiles are made of it, and how the network learns.
    seed
        Of the network's start and of the order of profiles.
    labels
        ``visible`` or ``literal`` space groups.
    size
        Rows and columns of the simulated patterns.
    abstain_below
        No answer is given where the highest probability is below this.
    """

    name: str
    classes: tuple[int, ...]
    masters: MastersConfig
    stream: StreamConfig
    profiles: ProfilesConfig = field(default_factory=ProfilesConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)
    version: str = "1"
    seed: int = 0
    labels: str = "visible"
    size: tuple[int, int] = (96, 96)
    abstain_below: float = 0.5

    def __post_init__(self) -> None:
        check_classes(self.classes, "classes")
        check_labels(self.labels)
        if min(self.size) < 48:
            raise InputError(
                "size", f"{self.size}: patterns of 48 px and more have bands that can be measured"
            )


def is_band_config(path: str | Path) -> bool:
    """Whether a TOML file describes a network of band profiles: it has a table ``[profiles]``."""
    try:
        return "profiles" in tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False  # whoever reads the file next says what is wrong


def read_band_config(path: str | Path) -> BandTrainingConfig:
    """Read a training run of a network of band profiles from a TOML file.

    Parameters
    ----------
    path
        The file. Paths in ``cifs`` of ``[masters]`` are taken from its folder.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, is not TOML, or holds an entry that is unknown or wrong.
    """
    path = Path(path)
    config = read_table(BandTrainingConfig, path)
    return replace(config, masters=from_folder(config.masters, path.parent))
