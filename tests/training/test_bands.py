"""A network of band profiles from its configuration to a file, and back."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kikuchinet.datasets import MastersConfig, QualityRange, StreamConfig, prepare
from kikuchinet.datasets.profiles import Profiles, ProfilesConfig
from kikuchinet.errors import InputError
from kikuchinet.evaluation import evaluate_bands
from kikuchinet.indexing import CubicFinder
from kikuchinet.indexing.bands import BINS, CHANNELS, FAMILIES
from kikuchinet.models import ModelCard, load_model
from kikuchinet.models.band_network import load_band_model
from kikuchinet.training.band_config import (
    BandTrainingConfig,
    LearningConfig,
    is_band_config,
    read_band_config,
)
from kikuchinet.training.band_learning import _Kinds, _loss, _members, _mixed, _pooled, _varied, fit_bands
from kikuchinet.training.bands import calibrate_bands, train_bands
from kikuchinet.training.hours import spent

CLASSES = (225, 227, 229)


@pytest.fixture(scope="module")
def config(masters_config: MastersConfig) -> BandTrainingConfig:
    return BandTrainingConfig(
        name="small-bands",
        classes=CLASSES,
        masters=replace(masters_config, half_width=40),
        stream=StreamConfig(
            seed=5, camera="good", block=8, quality=QualityRange(lowest=0.5, highest=1.0, start=0.5)
        ),
        profiles=ProfilesConfig(searched=1, known=3, patterns=64, templates=3),
        learning=LearningConfig(epochs=16, batch_size=32, width=32),
        seed=3,
        size=(60, 60),
    )


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def run(config: BandTrainingConfig, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    train_bands(config, folder, cache_dir=cache, workers=1, progress=False)
    return folder


def test_trained_stored_loaded_and_right(run: Path) -> None:
    model = load_band_model(run / "model")
    assert model.card.details["orientations_within_1.5_deg"] > 0.8
    profiles = Profiles.concatenate(
        [Profiles.load(path) for path in sorted((run / "profiles").glob("*.npz"))]
    )
    assert len(profiles) == 4 * 64
    found = model.logits(profiles.values).argmax(axis=1)
    assert (found == profiles.labels).mean() > 0.95
    with pytest.raises(InputError, match="band profiles"):
        load_model(run / "model")


def test_fresh_patterns_of_the_same_crystals_are_known(
    config: BandTrainingConfig, run: Path, cache: Path, tmp_path: Path
) -> None:
    masters = prepare(config.masters, cache, progress=False)
    model = load_band_model(run / "model")
    result = evaluate_bands(model, masters, tmp_path / "scores", count=96, progress=False)
    # Chance is a third.
    assert result.visible.macro_recall > 0.8
    assert (tmp_path / "scores/evaluation.json").is_file()


def test_groups_without_a_crystal_are_not_scored(
    config: BandTrainingConfig, run: Path, cache: Path, masters_config: MastersConfig
) -> None:
    two = replace(masters_config, half_width=40, materials=masters_config.materials[:2])
    masters = prepare(two, cache, progress=False)
    groups = {entry.visible_group for entry in masters}
    assert len(groups) < len(CLASSES)
    result = evaluate_bands(load_band_model(run / "model"), masters, count=64, progress=False)
    scored = result.summary()["visible"]["recall"]
    assert {int(group) for group, (recall, *_) in scored.items() if np.isfinite(recall)} >= groups
    assert result.visible.accuracy > 0.7


def test_same_seed_same_weights_and_resumed_is_not_another_run(
    config: BandTrainingConfig, cache: Path, tmp_path: Path
) -> None:
    short = replace(config, learning=replace(config.learning, epochs=2))
    first = train_bands(short, tmp_path / "one", cache_dir=cache, workers=1, progress=False)
    (tmp_path / "one/profiles/part-0002.npz").unlink()
    hours = spent(tmp_path / "one")
    assert first.details["hours"] == round(hours, 3)
    again = train_bands(short, tmp_path / "one", resume=True, cache_dir=cache, workers=1, progress=False)
    assert again.sha256 == first.sha256
    assert spent(tmp_path / "one") > hours > 0.0
    with pytest.raises(InputError, match="another configuration"):
        train_bands(replace(short, seed=4), tmp_path / "one", resume=True, cache_dir=cache, progress=False)
    other = train_bands(replace(short, seed=4), tmp_path / "two", cache_dir=cache, workers=1, progress=False)
    assert other.sha256 != first.sha256


def test_a_folder_with_another_run_is_left_alone(
    config: BandTrainingConfig, cache: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no run to go on with"):
        train_bands(config, tmp_path / "run", resume=True, cache_dir=cache, progress=False)
    (tmp_path / "run").mkdir()
    (tmp_path / "run/notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        train_bands(config, tmp_path / "run", cache_dir=cache, progress=False)


def test_calibration_is_written_on_the_card(
    config: BandTrainingConfig, run: Path, cache: Path, tmp_path: Path, masters_config: MastersConfig
) -> None:
    from kikuchinet.training import Phase, TrainingConfig

    shutil.copytree(run / "model", tmp_path / "model")
    other = TrainingConfig(
        name="others",
        masters=replace(masters_config, half_width=40),
        stream=config.stream,
        phases=(Phase(64, (48, 48)),),
    )
    card = calibrate_bands(tmp_path / "model", other, count=120, cache_dir=cache, progress=False)
    assert ModelCard.load(tmp_path / "model/card.json") == card
    assert card.details["calibration"]["config"] == "others"


def test_pooling_averages_within_a_block_with_the_coverage_for_weight() -> None:
    values = torch.zeros(4, 4, 1, 2)
    values[:, 0] = torch.tensor([1.0, 1.0, 5.0, 5.0]).reshape(4, 1, 1)
    values[:, 2:] = 0.5
    members = _members(np.array([0, 0, 1, 1]))
    assert members.tolist() == [[0, 2], [0, 2], [2, 2], [2, 2]]
    torch.manual_seed(0)
    pooled = _pooled(values, members, torch.arange(4), share=1.0)
    torch.testing.assert_close(pooled, values)


def test_a_larger_lattice_parameter_narrows_all_bands_alike() -> None:
    torch.manual_seed(1)
    ramp = torch.linspace(0.0, 1.0, 64).expand(200, 4, 2, 64).clone()
    varied = _varied(ramp, LearningConfig(dilation=0.2))
    slopes = (varied[..., 20] - varied[..., 10]) / (ramp[..., 20] - ramp[..., 10])
    assert torch.allclose(slopes[:, 0, 0], slopes[:, 1, 1])
    factors = slopes[:, 0, 0].log()
    assert -0.2 <= factors.min() < -0.1
    assert 0.1 < factors.max() <= 0.2


def test_what_was_averaged_along_wrong_lines_is_not_learnt_from(
    config: BandTrainingConfig, run: Path
) -> None:
    paths = sorted((run / "profiles").glob("*.npz"))
    right = Profiles.concatenate([Profiles.load(path) for path in paths])
    right = right.chosen(right.misorientations_deg < 1.0)
    wrong = replace(right, labels=(right.labels + 1) % 3, misorientations_deg=np.full(len(right), 20.0))
    short = replace(config, learning=replace(config.learning, epochs=2))
    finder = CubicFinder(load_band_model(run / "model").network.templates.numpy())
    alone = fit_bands(right, short, finder, progress=False)
    with_wrong = fit_bands(Profiles.concatenate([right, wrong]), short, finder, progress=False)
    for one, other in zip(alone.parameters(), with_wrong.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0.0, atol=0.0)


def test_configurations_are_told_apart(tmp_path: Path) -> None:
    configs = Path(__file__).resolve().parents[2] / "configs"
    assert is_band_config(configs / "m3m-10-bands.toml")
    assert not is_band_config(configs / "m3m-10.toml")
    config = read_band_config(configs / "m3m-10-bands.toml")
    assert config.classes[0] == 0
    assert len(config.classes) == 11
    broken = tmp_path / "broken.toml"
    broken.write_text("[profiles]\nsearched = -1\n")
    with pytest.raises(InputError, match=r"broken\.toml"):
        read_band_config(broken)


def test_cif_files_are_taken_from_the_configurations_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    text = (
        "name = 'x'\nclasses = [225, 229]\n[masters]\ncifs = ['cifs', '/data/a.cif']\n[stream]\n[profiles]\n"
    )
    (tmp_path / "runs/bands.toml").write_text(text)
    config = read_band_config("runs/bands.toml")
    assert config.masters.cifs == (str(tmp_path / "runs/cifs"), "/data/a.cif")


def test_one_right_answer_is_cross_entropy_and_several_are_their_sum() -> None:
    outputs = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
    labels, weights = torch.tensor([0, 1, 2, 3, 1, 1]), torch.tensor([1.0, 2.0, 0.5, 1.0])
    one = torch.nn.functional.one_hot(labels, 4).bool()
    peer = torch.nn.CrossEntropyLoss(weight=weights)(outputs, labels)
    torch.testing.assert_close(_loss(outputs, one, weights[labels], 0.0), peer)
    several = one.clone()
    several[:, 0] = True
    together = torch.where(several, outputs.softmax(1), 0.0).sum(1).log()
    expected = -(weights[labels] * together).sum() / weights[labels].sum()
    torch.testing.assert_close(_loss(outputs, several, weights[labels], 0.0), expected)


def test_partners_are_right_for_the_same_groups_and_nobody_is_mixed_without_a_scale() -> None:
    torch.manual_seed(0)
    right = torch.eye(2).bool()[torch.tensor([0, 1, 0, 0, 1, 0])]
    kinds = _Kinds(right, torch.tensor([1.0, 1.0, 1.1, torch.nan, 1.2, 3.0]))
    found = torch.stack([kinds.partners(torch.arange(6)) for _ in range(60)])
    assert [set(column.tolist()) for column in found.T] == [
        {0, 2, 5},
        {1, 4},
        {0, 2, 5},
        {3},
        {1, 4},
        {0, 2, 5},
    ]
    values = torch.randn(6, len(CHANNELS), len(FAMILIES), BINS)
    for _ in range(20):
        mixed = _mixed(values.clone(), values, torch.arange(6), kinds, 1.0)
        assert torch.equal(mixed[3], values[3])


def test_what_is_mixed_in_is_as_wide_as_what_it_is_mixed_with() -> None:
    torch.manual_seed(0)
    wide, narrow = torch.zeros(2, len(CHANNELS), len(FAMILIES), BINS)
    narrow[..., :24] = 1.0
    wide[..., :30] = 2.0
    values = torch.stack([narrow, wide])
    kinds = _Kinds(torch.ones(2, 1).bool(), torch.tensor([1.0, 1.25]))
    heights = set()
    for _ in range(40):
        mixed = _mixed(values.clone(), values, torch.tensor([0]), kinds, 1.0)[0]
        heights.add(round(float(mixed[0, 0, 0]), 3))
        assert (mixed[..., :23] == mixed[0, 0, 0]).all()
        assert (mixed[..., 25:] == 0.0).all()
    assert min(heights) == 1.0
    assert 1.0 < sorted(heights)[1] < max(heights) <= 2.0


def test_bands_get_fainter_and_stronger_a_family_as_a_whole() -> None:
    torch.manual_seed(0)
    profiles = 0.5 + torch.rand(8, len(CHANNELS), len(FAMILIES), BINS)
    profiles[:, 0, 3] = 0.0
    varied = _varied(profiles, LearningConfig(dilation=0.0, gain=0.3))
    coverage = CHANNELS.index("coverage")
    torch.testing.assert_close(varied[:, coverage], profiles[:, coverage], rtol=1e-4, atol=0.0)
    assert (varied[:, 0, 3] == 0.0).all()
    factors = varied[:, 1, :, :1] / profiles[:, 1, :, :1]
    torch.testing.assert_close(varied[:, 1], profiles[:, 1] * factors, rtol=1e-3, atol=0.0)
    assert 0.2 < float(factors.log().std()) < 0.4
