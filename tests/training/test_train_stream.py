"""Training on a stream: it learns, it resumes bit for bit, it stops when asked to."""

from __future__ import annotations

import csv
import json
import os
import signal
import threading
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from kikuchinet.datasets import MasterSet
from kikuchinet.errors import InputError
from kikuchinet.models import load_model
from kikuchinet.training import TrainingConfig, train
from kikuchinet.training.callbacks import Checkpoints
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.run import LAST, claim, train_stream


class StopAfter(Checkpoints):
    """Checkpoints that behave as if Ctrl-C had come in a given step."""

    after = 9

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        if trainer.global_step >= self.after:
            self._stop(signal.SIGINT, None)
            self.after = 10**9
        super().on_train_batch_end(trainer, pl_module, outputs, batch, batch_idx)


def weights(folder: Path) -> dict[str, np.ndarray]:
    return load_file(folder / "model" / "weights.safetensors")


def run_stream(config: TrainingConfig, masters: MasterSet, out: Path, **options):
    claim(out, config, resume=options.get("resume", False))
    return train_stream(config, masters, out, progress=False, **options)


def test_interrupted_and_resumed_run_ends_with_the_same_weights(config, masters, tmp_path, monkeypatch):
    whole = run_stream(config, masters, tmp_path / "whole")
    assert whole.finished
    assert whole.images_seen == 384

    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.run.Checkpoints", StopAfter)
        first = run_stream(config, masters, tmp_path / "parts")
    assert not first.finished
    # In the middle of a window of 48 and past the change of resolution: nothing falls on a boundary.
    assert first.images_seen == 9 * 16
    assert not (tmp_path / "parts" / "model").exists()

    second = run_stream(config, masters, tmp_path / "parts", resume=True)
    assert second.finished
    assert second.images_seen == 384
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert expected.keys() == found.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    assert second.card is not None
    assert whole.card is not None
    assert second.card.temperature == whole.card.temperature
    assert second.hours > first.hours


def test_a_stream_on_a_device_is_resumed_bit_for_bit(config, masters, tmp_path, monkeypatch):
    """The training loop asks nobody where its patterns are made; here the device is the processor."""
    config = replace(config, stream=replace(config.stream, device="cpu"))
    config = replace(config, phases=(replace(config.phases[0], images=192),))
    run_stream(config, masters, tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.run.Checkpoints", StopAfter)
        first = run_stream(config, masters, tmp_path / "parts")
    assert first.images_seen == 144
    run_stream(config, masters, tmp_path / "parts", resume=True)
    expected, found = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)
    compiled = replace(config, stream=replace(config.stream, device=""))
    run_stream(compiled, masters, tmp_path / "compiled")
    other = weights(tmp_path / "compiled")
    assert any(not np.array_equal(other[name], value) for name, value in expected.items())
    with pytest.raises(InputError, match="workers"):
        replace(config, workers=1)


def test_another_seed_gives_other_weights(config, masters, tmp_path):
    config = replace(config, phases=(replace(config.phases[0], images=32),))
    run_stream(config, masters, tmp_path / "a")
    run_stream(replace(config, seed=4), masters, tmp_path / "b")
    a, b = weights(tmp_path / "a"), weights(tmp_path / "b")
    assert any(not np.array_equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_loss_falls_and_the_model_beats_chance(config, masters, tmp_path):
    phases = (replace(config.phases[1], images=4800),)
    config = replace(config, phases=phases, calibration_images=384)
    result = run_stream(config, masters, tmp_path / "run")
    with (tmp_path / "run/log/version_0/metrics.csv").open() as file:
        losses = [float(row["loss"]) for row in csv.DictReader(file)]
    assert np.mean(losses[-4:]) < 0.8 * np.mean(losses[:3])
    assert result.card is not None
    figures = result.card.details["figures"]
    # Chance is a third; 192 scored patterns make a standard error of 0.034.
    assert figures["accuracy"] > 0.6
    model = load_model(tmp_path / "run" / "model")
    assert model.classes == (225, 227, 229)


def test_real_signal_saves_and_stops(config, masters, tmp_path, monkeypatch):
    config = replace(config, phases=(replace(config.phases[0], images=16 * 4000),))

    class CtrlC(Checkpoints):
        def on_train_batch_start(self, trainer, *rest):
            if trainer.global_step == 2:
                os.kill(os.getpid(), signal.SIGINT)

    monkeypatch.setattr("kikuchinet.training.run.Checkpoints", CtrlC)
    before = signal.getsignal(signal.SIGINT)
    result = run_stream(config, masters, tmp_path / "run")
    assert not result.finished
    assert result.images_seen == 3 * 16  # the step that was begun was ended
    assert (tmp_path / "run" / LAST).is_file()
    assert signal.getsignal(signal.SIGINT) is before


class CtrlCTwice(Checkpoints):
    def on_train_batch_start(self, trainer, *rest):
        if trainer.global_step == 2:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)


class Broken(Checkpoints):
    def on_train_batch_start(self, trainer, *rest):
        if trainer.global_step == 2:
            raise ZeroDivisionError


@pytest.mark.parametrize(("kind", "error"), [(CtrlCTwice, KeyboardInterrupt), (Broken, ZeroDivisionError)])
def test_a_run_that_is_broken_off_gives_everything_back(config, masters, tmp_path, monkeypatch, kind, error):
    monkeypatch.setattr("kikuchinet.training.run.Checkpoints", kind)
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    threads = set(threading.enumerate())
    claim(tmp_path / "run", config, resume=False)
    with pytest.raises(error):
        train_stream(config, masters, tmp_path / "run", progress=True)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before
    # Neither the bar's thread nor those of the replicas are left.
    assert set(threading.enumerate()) <= threads


def test_a_folder_belongs_to_one_run(config, masters, masters_config, tmp_path):
    config = replace(config, phases=(replace(config.phases[0], images=32),))
    run_stream(config, masters, tmp_path / "run")
    with pytest.raises(InputError, match="holds a training run already"):
        claim(tmp_path / "run", config, resume=False)
    with pytest.raises(InputError, match="another configuration"):
        claim(tmp_path / "run", replace(config, seed=9), resume=True)
    with pytest.raises(InputError, match="no training run to resume"):
        claim(tmp_path / "empty", config, resume=True)


def test_a_resumed_run_may_have_become_shorter(config, masters, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("kikuchinet.training.run.Checkpoints", StopAfter)
        run_stream(config, masters, tmp_path / "run")
    rates = []
    end = SpaceGroupModule.on_fit_end

    def note(module):
        rates.append(module.optimizers().param_groups[0]["lr"])
        end(module)

    monkeypatch.setattr(SpaceGroupModule, "on_fit_end", note)
    shorter = replace(config, phases=(config.phases[0], replace(config.phases[1], images=96)))
    result = run_stream(shorter, masters, tmp_path / "run", resume=True)
    assert result.finished
    assert result.images_seen == 128 + 96
    # The schedule has come to its end; that of the longer run would be half way down.
    assert rates[0] < 0.05 * config.optimiser.learning_rate
    assert result.card is not None
    meant = json.loads(json.dumps([asdict(phase) for phase in config.phases]))
    assert result.card.details["data"]["phases_meant_before"] == [meant]
    with pytest.raises(InputError, match="another configuration"):
        claim(tmp_path / "run", replace(config, seed=9), resume=True)


def test_a_run_begun_before_an_entry_existed_is_the_same_run(config, masters_config, tmp_path):
    claim(tmp_path, config, resume=False)
    described = tmp_path / "config.json"
    recorded = json.loads(described.read_text())
    del recorded["masters"]["cifs"]
    described.write_text(json.dumps(recorded))
    claim(tmp_path, config, resume=True)
    with pytest.raises(InputError, match="another configuration"):
        claim(tmp_path, replace(config, masters=replace(masters_config, cifs=("a.cif",))), resume=True)
    described.write_text("{")
    with pytest.raises(InputError, match="another configuration"):
        claim(tmp_path, config, resume=True)


def test_a_configuration_without_a_stream_is_refused(tmp_path):
    with pytest.raises(InputError, match="describes no stream"):
        train(TrainingConfig(), tmp_path / "run")
