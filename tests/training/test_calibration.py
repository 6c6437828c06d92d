"""Temperature and calibration error on data whose right answers are known."""

from __future__ import annotations

import shutil
from dataclasses import replace

import numpy as np
import pytest
from scipy.special import softmax

from kikuchinet.crystal import crystals
from kikuchinet.datasets import MastersConfig, QualityRange, StreamConfig
from kikuchinet.datasets.energies import EnergiesJob
from kikuchinet.diffraction import ElectronTransport, MasterPattern, simulate
from kikuchinet.errors import InputError
from kikuchinet.models import ModelCard, load_model
from kikuchinet.training import Phase, TrainingConfig, calibrate, recalibration
from kikuchinet.training.calibration import expected_calibration_error, fit_temperature


def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from exactly the probabilities that they stand for."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=(n, 4))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulative).sum(axis=1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(factor):
    logits, labels = drawn(20000)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.04)


def test_calibration_error_is_nought_for_honest_probabilities_only():
    logits, labels = drawn(20000)
    assert expected_calibration_error(softmax(logits, axis=1), labels) < 0.015
    assert expected_calibration_error(softmax(4.0 * logits, axis=1), labels) > 0.1
    always = np.tile([1.0, 0.0], (10, 1))
    assert expected_calibration_error(always, np.array([0] * 7 + [1] * 3)) == pytest.approx(0.3)


def test_broken_outputs_are_refused():
    with pytest.raises(InputError):
        fit_temperature(np.full((3, 2), np.nan), np.zeros(3, dtype=int))


def test_a_model_is_calibrated_on_other_crystals(tiny_model, tmp_path, monkeypatch):
    """The tiny model answers at random: no temperature can make it sure of anything."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    before = load_model(folder).card
    config = TrainingConfig(
        name="others",
        masters=MastersConfig(
            materials=("NiAl", "Cr3Si", "Al", "Si", "Fe", "Al4Ni3"),
            half_width=8,
            preset="fast",
            energies=1,
            variants=1,
        ),
        stream=StreamConfig(camera="good", block=4, blocks_per_window=12),
        phases=(Phase(32, (64, 64)),),
    )
    master = MasterPattern.load(simulate_once(tmp_path))
    monkeypatch.setattr(EnergiesJob, "run", lambda self, progress=None: self.label(master))
    card = calibrate(folder, config, count=192, cache_dir=tmp_path / "cache", progress=False)
    assert card == load_model(folder).card
    said = card.details["calibration"]
    assert said["config"] == "others"
    assert said["patterns"] == 96
    assert said["temperature_before"] == before.temperature
    assert card.temperature > 3.0 * before.temperature
    assert said["expected_calibration_error"] < 0.6 * said["expected_calibration_error_before"]
    with pytest.raises(InputError, match=r"has no card\.json"):
        calibrate(tmp_path / "none", config)
    with pytest.raises(InputError, match="describes no stream"):
        calibrate(folder, TrainingConfig())


def simulate_once(folder):
    path = folder / "master.h5"
    transport = ElectronTransport.simulate(crystals["Al"], energies=1, electrons=20_000)
    simulate(crystals["Al"], half_width=8, preset="fast", transport=transport).save(path)
    return path


def test_groups_without_a_crystal_are_not_asked_about(tiny_model, tmp_path, monkeypatch):
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = TrainingConfig(
        name="few",
        masters=MastersConfig(materials=("Al", "Fe"), half_width=8, preset="fast", energies=1, variants=1),
        stream=StreamConfig(camera="good", block=4, blocks_per_window=12),
        phases=(Phase(32, (64, 64)),),
    )
    master = MasterPattern.load(simulate_once(tmp_path))
    monkeypatch.setattr(EnergiesJob, "run", lambda self, progress=None: self.label(master))
    truths = []
    own = recalibration.calibrated

    def remember(card, logits, truth, name):
        truths.extend(np.asarray(card.classes)[truth].tolist())
        return own(card, logits, truth, name)

    monkeypatch.setattr(recalibration, "calibrated", remember)
    card = calibrate(folder, config, count=48, cache_dir=tmp_path / "cache", progress=False)
    assert set(truths) == {225, 229}
    assert len(card.classes) > 2


def test_a_folder_named_like_a_shipped_model_is_calibrated_itself(tiny_model, tmp_path, monkeypatch):
    shipped = tmp_path / "shipped"
    shutil.copytree(tiny_model, shipped / "m3m-10")
    card = ModelCard.load(tiny_model / "card.json")
    replace(card, name="shipped").save(shipped / "m3m-10/card.json")
    monkeypatch.setattr("kikuchinet.models.registry._SHIPPED", shipped)
    shutil.copytree(tiny_model, tmp_path / "m3m-10")
    monkeypatch.chdir(tmp_path)
    config = TrainingConfig(
        masters=MastersConfig(materials=("Al", "Fe"), half_width=8, preset="fast", energies=1, variants=1),
        stream=StreamConfig(
            camera="good", block=4, blocks_per_window=12, quality=QualityRange(start=1.0, images=10**6)
        ),
        phases=(Phase(32, (64, 64)),),
    )
    master = MasterPattern.load(simulate_once(tmp_path))
    monkeypatch.setattr(EnergiesJob, "run", lambda self, progress=None: self.label(master))
    streams = []
    own = recalibration.pattern_stream

    def remember(masters, classes, stream, **options):
        streams.append(stream)
        return own(masters, classes, stream, **options)

    monkeypatch.setattr(recalibration, "pattern_stream", remember)
    assert calibrate("m3m-10", config, count=48, cache_dir="cache", progress=False).name == card.name
    # The patterns are as hard as those that the run ended with, not as those that it began with.
    assert streams[0].quality.at(0) == (0.0, 0.0)
    assert streams[0].seed == config.stream.seed
