"""A model scored on stored and on fresh patterns: the tables agree with what it answers one by one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

from kikuchinet.datasets import MastersConfig, QualityRange, StreamConfig, generate, prepare
from kikuchinet.datasets.masters import MasterSet
from kikuchinet.errors import InputError
from kikuchinet.evaluation import evaluate, evaluate_fresh, score_card
from kikuchinet.models import ModelCard, create_model, load_model, save_model
from kikuchinet.training import ModelConfig, OptimiserConfig, Phase, TrainingConfig

CLASSES = (225, 227, 229)
MASTERS = MastersConfig(materials=("Al", "Fe", "Si"), half_width=16, preset="fast", variants=1)
STREAM = StreamConfig(seed=1, block=4, blocks_per_window=9, quality=QualityRange(start=0.5, images=100))


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def masters(cache):
    return prepare(MASTERS, cache, progress=False)


@pytest.fixture
def folder(tmp_path):
    config = TrainingConfig(
        model=ModelConfig("test_resnet", CLASSES, (40, 40)),
        optimiser=OptimiserConfig(batch_size=16),
        phases=(Phase(32, (40, 40)),),
        masters=MASTERS,
        stream=STREAM,
    )
    torch.manual_seed(0)
    save_model(
        tmp_path / "model",
        create_model("test_resnet", 3),
        name="small",
        version="1",
        architecture="test_resnet",
        classes=CLASSES,
        size=(40, 40),
        labels="visible",
        details={"config": asdict(config), "figures": {"accuracy": 0.3}},
        abstain_below=0.0,
    )
    return tmp_path / "model"


def test_groups_that_are_not_told_apart_are_all_right(folder, masters):
    # Nobody tells any of these apart: then every answer is right, and so are the pools and the probabilities' bins.
    blurred = MasterSet([replace(entry, visible_groups=CLASSES) for entry in masters])
    strict = evaluate_fresh(folder, masters, config=STREAM, count=36, progress=False)
    lenient = evaluate_fresh(folder, blurred, config=STREAM, count=36, progress=False)
    assert strict.visible.accuracy < 0.9
    assert lenient.visible.accuracy == 1.0
    assert (lenient.pools["accuracy"] == 1.0).all()
    assert lenient.literal.accuracy == strict.literal.accuracy
    assert lenient.calibration_error != strict.calibration_error


def test_so_they_are_where_a_manifest_says_it(folder, masters, tmp_path):
    blurred = MasterSet([replace(entry, visible_groups=CLASSES) for entry in masters])
    for name, some in (("strict", masters), ("lenient", blurred)):
        generate(some, tmp_path / f"{name}.h5", count=12, shape=(40, 40), seed=2, progress=False)
    strict, lenient = (
        evaluate(folder, tmp_path / f"{name}.csv", progress=False) for name in ("strict", "lenient")
    )
    assert strict.visible.accuracy < 0.9
    assert lenient.visible.accuracy == 1.0
    assert (lenient.pools["accuracy"] == 1.0).all()
    assert lenient.literal.accuracy == strict.literal.accuracy


def test_stored_patterns_are_scored_as_identified(folder, masters, tmp_path):
    manifest = generate(masters, tmp_path / "set.h5", count=12, shape=(40, 40), seed=2, progress=False)
    result = evaluate(folder, tmp_path / "set.csv", tmp_path / "out", progress=False)

    import kikuchipy

    answers = load_model(folder).identify(kikuchipy.load(tmp_path / "set.h5").data).space_groups
    truth = manifest.frame["space_group"].to_numpy()
    assert result.visible.accuracy == pytest.approx((answers == truth).mean())
    table = pd.read_csv(tmp_path / "out/visible_groups.csv").set_index("space_group")
    for group in CLASSES:
        assert table.loc[group, "recall"] == pytest.approx((answers[truth == group] == group).mean())
        assert table.loc[group, "recall_low"] <= table.loc[group, "recall"] <= table.loc[group, "recall_high"]
    counts = pd.read_csv(tmp_path / "out/literal_counts.csv").set_index("material")
    assert counts.to_numpy().sum() == 36
    assert "Al" in (tmp_path / "out/evaluation.md").read_text()
    assert json.loads((tmp_path / "out/evaluation.json").read_text())["visible"]["patterns"] == 36


def test_fresh_patterns_are_reproducible_and_of_another_seed(folder, masters):
    first = evaluate_fresh(folder, masters, config=STREAM, count=70, progress=False)
    again = evaluate_fresh(folder, masters, config=STREAM, count=70, progress=False)
    assert first.summary() == again.summary()
    assert int(first.visible.groups["patterns"].sum()) == 72
    with pytest.raises(InputError, match="not positive"):
        evaluate_fresh(folder, masters, config=STREAM, count=0, progress=False)


def test_scores_go_onto_the_card(folder, cache, tmp_path):
    result = score_card(folder, tmp_path / "out", cache_dir=cache, count=36, progress=False)
    figures = ModelCard.load(folder / "card.json").details["figures"]
    assert figures["accuracy"] == 0.3
    assert figures["fresh_good"]["visible"]["accuracy"] == pytest.approx(result.visible.accuracy)
    assert set(figures["fresh_good"]["visible"]["recall_by_material"]) == {"Al", "Fe", "Si"}
    assert np.isfinite(load_model(folder).card.temperature)


def untrained(folder, name, classes, details):
    """Write a small network of other classes, which answers at random."""
    torch.manual_seed(1)
    return save_model(
        folder / name,
        create_model("test_resnet", len(classes)),
        name=name,
        version="1",
        architecture="test_resnet",
        classes=classes,
        size=(40, 40),
        labels="visible",
        details=dict(details),
        abstain_below=0.0,
    )


def test_crystals_of_other_groups_are_outside(folder, masters, tmp_path):
    card = ModelCard.load(folder / "card.json")
    inside = untrained(tmp_path, "outside", (0, 225, 227), card.details)
    assert inside.classes == (0, 225, 227)
    # Iron, 229, is a crystal of another group.
    manifest = generate(masters, tmp_path / "set.h5", count=12, shape=(40, 40), seed=2, progress=False)
    stored = evaluate(tmp_path / "outside", manifest, tmp_path / "out", progress=False)
    fresh = evaluate_fresh(tmp_path / "outside", masters, config=STREAM, count=36, progress=False)
    for result in (stored, fresh):
        for scores in (result.visible, result.literal):
            truth = scores.materials.set_index("material")["space_group"]
            assert truth.to_dict() == {"Fe": 0, "Al": 225, "Si": 227}
            assert set(scores.groups["space_group"]) == {0, 225, 227}
    import kikuchipy

    said = load_model(tmp_path / "outside").identify(kikuchipy.load(tmp_path / "set.h5").data)
    right = said.outside & (manifest.frame["material"] == "Fe").to_numpy()
    row = stored.visible.groups.set_index("space_group").loc[0]
    assert row["right"] == right.sum()
    assert "none of the model's groups" in (tmp_path / "out/evaluation.md").read_text()


def test_groups_without_a_crystal_are_not_asked_about(folder, masters, tmp_path):
    card = ModelCard.load(folder / "card.json")
    classes = (0, 221, *card.classes)
    untrained(tmp_path, "more", classes, card.details)
    assert masters.classes_shown(classes) == card.classes
    result = evaluate_fresh(tmp_path / "more", masters, config=STREAM, count=36, progress=False)
    asked = result.visible.groups.set_index("space_group")["patterns"]
    assert set(asked[asked > 0].index) == set(card.classes)
    # What is answered is still all that the model knows, and none of it is right by mistake.
    truth = result.visible.materials.set_index("material")["space_group"]
    assert truth.to_dict() == {"Al": 225, "Fe": 229, "Si": 227}
    counts = result.visible.counts
    assert counts.to_numpy().sum() == asked.sum()
