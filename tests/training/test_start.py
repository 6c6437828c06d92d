"""A run that goes on from another model's weights."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from kikuchinet.crystal import OUTSIDE
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


def test_what_is_known_of_shared_classes_is_taken_over(tiny_model: Path) -> None:
    classes = (OUTSIDE, 230, 221, 228)
    model = ModelConfig(architecture="test_resnet", classes=classes, size=(64, 64))
    config = TrainingConfig(start=str(tiny_model), model=model)
    module = SpaceGroupModule(config)
    fresh = module.network.get_classifier().weight.detach().clone()
    start_from(module, config)
    theirs = load_model(tiny_model)
    for (name, value), learnt in zip(
        module.network.state_dict().items(), theirs.network.state_dict().values(), strict=True
    ):
        if value.shape == learnt.shape:
            assert torch.equal(value, learnt), name
    rows = module.network.get_classifier().weight
    known = theirs.network.get_classifier().weight
    assert torch.equal(rows[1], known[theirs.classes.index(230)])
    assert torch.equal(rows[2], known[theirs.classes.index(221)])
    assert torch.equal(rows[[0, 3]], fresh[[0, 3]])


def test_a_model_of_another_architecture_is_refused(tiny_model: Path) -> None:
    other = ModelConfig(architecture="resnet10t", size=(64, 64))
    config = TrainingConfig(start=str(tiny_model), model=other)
    with pytest.raises(InputError, match="another architecture"):
        start_from(SpaceGroupModule(config), config)
    with pytest.raises(InputError, match="no such model"):
        start_from(SpaceGroupModule(config), replace(config, start="nowhere/at/all"))
