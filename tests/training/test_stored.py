"""Training on a stored set, as the paper does it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from torch import nn

from kikuchinet.datasets import Manifest, StoredPatterns, generate
from kikuchinet.errors import InputError
from kikuchinet.models import load_model
from kikuchinet.training import ModelConfig, OptimiserConfig, StoppingConfig, TrainingConfig, train
from kikuchinet.training.callbacks import Checkpoints
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.stored import PATTERNS_FILE, digest, divide, train_stored

CONFIG = TrainingConfig(
    name="stored",
    seed=2,
    workers=0,
    labels="literal",
    model=ModelConfig(architecture="test_resnet", size=(40, 40)),
    optimiser=OptimiserConfig(batch_size=16),
    stopping=StoppingConfig(max_epochs=4, validation_share=0.25),
)


@pytest.fixture(scope="module")
def manifest(masters, tmp_path_factory):
    path = tmp_path_factory.mktemp("set") / "set.h5"
    generate(masters, path, count=32, shape=(40, 40), camera="good", seed=6, progress=False)
    return path.with_suffix(".csv")


@pytest.mark.slow
def test_interrupted_epoch_is_begun_again(manifest, tmp_path, monkeypatch):
    whole = train(manifest, tmp_path / "whole", config=CONFIG, progress=False)
    assert whole.finished
    assert whole.images_seen == 4 * 72
    assert whole.card is not None
    assert whole.card.classes == (225, 227, 229)
    assert whole.card.details["data"]["validation_patterns"] == 24

    class StopInThirdEpoch(Checkpoints):
        def on_train_batch_end(self, trainer, *rest):
            if trainer.global_step == 12:
                self.interrupted = True
            super().on_train_batch_end(trainer, *rest)

    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.stored.Checkpoints", StopInThirdEpoch)
        first = train(manifest, tmp_path / "parts", config=CONFIG, progress=False)
    assert not first.finished
    second = train(manifest, tmp_path / "parts", config=CONFIG, resume=True, progress=False)
    assert second.finished
    assert second.images_seen == 4 * 72
    expected, found = (load_file(tmp_path / f / "model/weights.safetensors") for f in ("whole", "parts"))
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_patience_ends_a_run_and_the_best_epoch_is_kept(manifest, tmp_path):
    stopping = StoppingConfig(max_epochs=50, patience=2, min_delta=10.0, validation_share=0.25)
    result = train(manifest, tmp_path / "run", config=replace(CONFIG, stopping=stopping), progress=False)
    # Nothing gets better by 10, so the first epoch and two more are all.
    assert result.images_seen == 3 * 72
    assert load_model(tmp_path / "run/model").name == "stored"


def test_statistics_are_those_of_training_patterns_at_the_weights_that_ship(manifest, tmp_path):
    config = replace(
        CONFIG,
        optimiser=OptimiserConfig(batch_size=16, statistics=64),
        stopping=StoppingConfig(max_epochs=2, validation_share=0.25),
    )
    train(manifest, tmp_path / "run", config=config, progress=False)
    network = load_model(tmp_path / "run/model").network
    training, _ = divide(Manifest.read(manifest), config, "set")
    learn = StoredPatterns(training, (225, 227, 229), size=(40, 40), labels="literal")
    rows = np.random.default_rng(config.seed).permutation(72)[:64]
    images = torch.stack([learn[int(i)][0] for i in rows])[:, None]
    first = next(module for module in network.modules() if isinstance(module, nn.BatchNorm2d))
    seen = []
    first.register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    with torch.no_grad():
        network.eval()(images)
    # What goes into the first layer depends on no other statistics.
    means = torch.stack([batch.mean(dim=(0, 2, 3)) for batch in seen[0].split(16)]).mean(dim=0)
    variances = torch.stack([batch.var(dim=(0, 2, 3)) for batch in seen[0].split(16)]).mean(dim=0)
    # Weights are stored in 16 bits.
    np.testing.assert_allclose(first.running_mean, means, rtol=2e-2, atol=1e-3)
    np.testing.assert_allclose(first.running_var, variances, rtol=2e-2, atol=1e-3)


def test_a_split_column_is_obeyed(manifest, tmp_path):
    table = Manifest.read(manifest)
    rows = np.arange(len(table)) % 4
    split = np.select([rows < 2, rows == 2], ["train", "validation"], "test")
    Manifest(table.frame.assign(split=split), table.folder).write(manifest.parent / "split.csv")
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=1))
    result = train(manifest.parent / "split.csv", tmp_path / "run", config=config, progress=False)
    assert result.card is not None
    assert result.card.details["data"]["training_patterns"] == 48
    assert result.card.details["data"]["validation_patterns"] == 24
    Manifest(table.frame.assign(split="train"), table.folder).write(manifest.parent / "all.csv")
    with pytest.raises(InputError, match="no pattern as 'validation'"):
        train(manifest.parent / "all.csv", tmp_path / "other", config=config, progress=False)


def test_with_class_0_all_other_groups_of_the_manifest_are_outside(manifest, tmp_path):
    model = ModelConfig(architecture="test_resnet", classes=(0, 225, 229), size=(40, 40))
    config = replace(CONFIG, model=model, stopping=StoppingConfig(max_epochs=1, validation_share=0.25))
    done = train(manifest, tmp_path / "run", config=config, progress=False)
    assert done.card is not None
    assert done.card.classes == (0, 225, 229)
    assert set(done.card.details["figures"]["recall"]) <= {"0", "225", "229"}
    assert "none of them (class 0)" in done.card.details["limits"][0]
    stored = StoredPatterns(Manifest.read(manifest), (0, 225, 229), size=(40, 40), labels="literal")
    np.testing.assert_array_equal(stored.labels == 0, stored.manifest.labels("literal") == 227)
    missing = replace(config, model=replace(model, classes=(0, 225, 230)))
    with pytest.raises(InputError, match="no training pattern for 230 Ia-3d"):
        train(manifest, tmp_path / "other", config=missing, progress=False)
    nothing = replace(config, model=replace(model, classes=(0, 225, 227, 229)))
    with pytest.raises(InputError, match="no training pattern for none of the model's groups"):
        train(manifest, tmp_path / "third", config=nothing, progress=False)


def interrupted_after(step: int) -> type[Checkpoints]:
    class Interrupted(Checkpoints):
        def on_train_batch_end(self, trainer, *rest):
            if trainer.global_step == step:
                self.interrupted = True
            super().on_train_batch_end(trainer, *rest)

    return Interrupted


@pytest.fixture
def rising(monkeypatch):
    """Let the validation loss rise with every epoch, so that the first one is the best."""

    def only(self, batch, batch_index):
        self.log("val_loss", 1.0 + self.current_epoch, batch_size=len(batch[1]))

    monkeypatch.setattr(SpaceGroupModule, "validation_step", only)


@pytest.mark.usefixtures("rising")
def test_the_best_epoch_and_the_patience_survive_an_interruption(manifest, tmp_path, monkeypatch):
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=6, patience=2, validation_share=0.25))
    whole = train(manifest, tmp_path / "whole", config=config, progress=False)
    assert whole.images_seen == 3 * 72
    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.stored.Checkpoints", interrupted_after(7))
        assert not train(manifest, tmp_path / "parts", config=config, progress=False).finished
        patch.setattr("kikuchinet.training.stored.Checkpoints", interrupted_after(12))
        assert not train(manifest, tmp_path / "parts", config=config, resume=True, progress=False).finished
    for _ in range(2):
        # The second time there is nothing left to train: the model is made anew.
        second = train(manifest, tmp_path / "parts", config=config, resume=True, progress=False)
        assert second.images_seen == 3 * 72
        expected, found = (load_file(tmp_path / f / "model/weights.safetensors") for f in ("whole", "parts"))
        for name, value in expected.items():
            np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_a_finished_run_of_one_epoch_can_be_resumed(manifest, tmp_path):
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=1, validation_share=0.25))
    train(manifest, tmp_path / "run", config=config, progress=False)
    again = train(manifest, tmp_path / "run", config=config, resume=True, progress=False)
    assert again.finished
    assert again.images_seen == 72


def test_every_group_calibrates_and_is_scored(manifest, tmp_path):
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=1, validation_share=0.25))
    card = train(manifest, tmp_path / "run", config=config, progress=False).card
    assert card is not None
    # Eight validation patterns of each: in the manifest's order the first half would hold all of the first group.
    assert set(card.details["figures"]["recall"]) == {"225", "227", "229"}
    table = Manifest.read(manifest)
    split = np.where(np.arange(len(table)) == 5, "validation", "train")
    one = Manifest(table.frame.assign(split=split), table.folder)
    with pytest.raises(InputError, match="two are needed"):
        train_stored(one, config, tmp_path / "one", progress=False)
    few = replace(config, stopping=StoppingConfig(max_epochs=1, validation_share=0.01))
    with pytest.raises(InputError, match="too few patterns to hold"):
        train_stored(table.where(np.arange(len(table)) < 9), few, tmp_path / "few", progress=False)


def test_an_export_that_fails_leaves_no_model(manifest, tmp_path, monkeypatch):
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=1, validation_share=0.25))

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.export.fit_temperature", killed)
        with pytest.raises(KeyboardInterrupt):
            train(manifest, tmp_path / "run", config=config, progress=False)
    assert not list(tmp_path.glob("run/**/card.json"))
    done = train(manifest, tmp_path / "run", config=config, resume=True, progress=False)
    assert done.card is not None
    assert load_model(tmp_path / "run/model").card.sha256 == done.card.sha256
    # A model that is there is replaced whole.
    again = train(manifest, tmp_path / "run", config=config, resume=True, progress=False)
    assert again.card is not None
    assert load_model(tmp_path / "run/model").card.details["hours"] == again.card.details["hours"]
    assert {path.name for path in (tmp_path / "run/model").iterdir()} == {"card.json", "weights.safetensors"}


def test_a_run_starts_from_the_model_that_is_named(manifest, tmp_path):
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=1, validation_share=0.25))
    train(manifest, tmp_path / "first", config=config, progress=False)
    # At a rate like this nothing is learnt, so that the weights stay those of the start.
    still = replace(
        config,
        seed=5,
        start=str(tmp_path / "first/model"),
        optimiser=replace(config.optimiser, learning_rate=1e-12, weight_decay=0.0),
    )
    train(manifest, tmp_path / "second", config=still, progress=False)
    before, after = (load_file(tmp_path / f / "model/weights.safetensors") for f in ("first", "second"))
    kernels = [name for name, value in before.items() if value.ndim == 4]
    assert kernels
    for name in kernels:
        np.testing.assert_allclose(after[name], before[name], atol=1e-3, err_msg=name)


def test_a_group_without_training_patterns_is_refused(manifest, tmp_path):
    table = Manifest.read(manifest)
    rows = np.arange(len(table)) % 4
    split = np.where(table.labels("literal") == 227, "test", np.where(rows < 3, "train", "validation"))
    marked = Manifest(table.frame.assign(split=split), table.folder)
    with pytest.raises(InputError, match="no training pattern for 227"):
        train_stored(marked, CONFIG, tmp_path / "run", progress=False)


def test_a_run_is_not_gone_on_with_on_other_patterns(manifest, tmp_path, monkeypatch):
    config = replace(CONFIG, stopping=StoppingConfig(max_epochs=2, validation_share=0.25))
    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.stored.Checkpoints", interrupted_after(7))
        assert not train(manifest, tmp_path / "run", config=config, progress=False).finished
    table = Manifest.read(manifest)
    order = Manifest(table.frame.iloc[::-1].reset_index(drop=True), table.folder)
    for other in (order, table.where(np.arange(len(table)) > 0)):
        with pytest.raises(InputError, match="started with other patterns"):
            train_stored(other, config, tmp_path / "run", resume=True, progress=False)
    # The same rows from elsewhere, and runs of before this was recorded, are gone on with.
    table.write(manifest.parent / "copy.parquet")
    assert digest(Manifest.read(manifest.parent / "copy.parquet")) == digest(table)
    (tmp_path / "run" / PATTERNS_FILE).unlink()
    assert train_stored(table, config, tmp_path / "run", resume=True, progress=False).finished
