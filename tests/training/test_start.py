"""A run that goes on from another model's weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kikuchinet.errors import InputError
from kikuchinet.models import load_model
from kikuchinet.training.config import ModelConfig, TrainingConfig
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.run import start_from


def test_weights_are_those_of_the_model_named(tiny_model: Path) -> None:
    config = TrainingConfig(
        start=str(tiny_model), model=ModelConfig(architecture="test_resnet", size=(64, 64))
    )
    module = SpaceGroupModule(config)
    theirs = load_model(tiny_model).network.state_dict()
    assert not all(torch.equal(value, theirs[name]) for name, value in module.network.state_dict().items())
    start_from(module, config)
    for name, value in module.network.state_dict().items():
        assert torch.equal(value, theirs[name]), name


def test_a_model_with_other_classes_is_refused(tiny_model: Path) -> None:
    other = ModelConfig(architecture="test_resnet", classes=(225, 229), size=(64, 64))
    config = TrainingConfig(start=str(tiny_model), model=other)
    with pytest.raises(InputError, match="other classes"):
        start_from(SpaceGroupModule(config), config)
    with pytest.raises(InputError, match="no such model"):
        start_from(SpaceGroupModule(config), replace(config, start="nowhere/at/all"))
