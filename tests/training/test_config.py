"""Configurations: the committed ones are what they say, and wrong ones are refused by name."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path

import pytest

import kikuchinet as kn
from kikuchinet.crystal import PAPER_MATERIALS, crystals
from kikuchinet.errors import InputError
from kikuchinet.training import TrainingConfig, read_config
from kikuchinet.training.run import PAPER
from kikuchinet.training.tables import build

CONFIGS = Path(__file__).parents[2] / "configs"


def test_the_papers_settings():
    config = read_config(CONFIGS / "paper.toml")
    assert config == PAPER
    optimiser, stopping = config.optimiser, config.stopping
    assert (optimiser.name, optimiser.learning_rate, optimiser.weight_decay) == ("adam", 1e-3, 1e-5)
    assert (optimiser.batch_size, stopping.patience, stopping.min_delta) == (32, 25, 1e-3)
    assert config.model.size == (246, 299)


RUNS = tuple(f"xception-m3m-6{suffix}" for suffix in ("-start", "-poor", "-fast", "-accurate", "-binned", ""))
"""The runs behind the model that ships; each goes on from the one before."""


@pytest.mark.parametrize("run", RUNS)
def test_the_shipped_models_settings(run):
    config = read_config(CONFIGS / f"{run}.toml")
    assert config.name == run
    assert config.masters is not None
    assert set(config.masters.materials) == {name for names in PAPER_MATERIALS.values() for name in names}
    assert config.model.classes == tuple(PAPER_MATERIALS)
    assert config.size_at(config.total_images - 1) == config.model.size


def test_each_run_goes_on_from_the_one_before():
    configs = [read_config(CONFIGS / f"{run}.toml") for run in RUNS]
    for before, after in pairwise(configs):
        assert after.start == f"runs/{before.name}/model"
    assert all(config.stream is not None for config in configs)
    assert len({config.stream.seed for config in configs}) == len(RUNS)


def test_the_last_runs_share_converged_master_patterns():
    last = [read_config(CONFIGS / f"{run}.toml").masters for run in RUNS[-3:]]
    assert last[0] == last[1] == last[2]
    assert last[0].preset == "accurate"
    assert not set(last[0].materials) & set(last[0].others)


def test_the_model_that_ships_was_made_by_its_config():
    """Name, version and settings on the card are those of the committed configuration."""
    config = read_config(CONFIGS / "xception-m3m-6.toml")
    card = kn.load_model("xception-m3m-6").card
    assert (card.name, card.version, card.size) == (config.name, config.version, config.model.size)
    recorded = card.details["config"]
    assert recorded["masters"]["materials"] == list(config.masters.materials)
    assert recorded["stream"]["seed"] == config.stream.seed
    assert sum(phase["images"] for phase in recorded["phases"]) == config.total_images


def test_resolution_follows_the_phases():
    config = read_config(CONFIGS / "xception-m3m-6-start.toml")
    assert config.size_at(0) == config.phases[0].size
    assert config.size_at(config.phases[0].images) == config.phases[1].size


def test_a_configuration_survives_json():
    import json

    config = read_config(CONFIGS / "xception-m3m-6.toml")
    assert build(TrainingConfig, json.loads(json.dumps(asdict(config))), "config") == config


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("nam = 'x'", "unknown entry 'nam'"),
        ("[optimiser]\nlearning_rate = 'fast'", "config.optimiser.learning_rate: must be a float"),
        ("[optimiser]\nbatch_size = 2.5", "batch_size"),
        ("seed = true", "config.seed: must be a int"),
        ("[model]\nsize = [128]", "must have 2 entries"),
        ("[model]\nclasses = [225, 225]", "two different space groups"),
        ("[optimiser]\nname = 'sgd'", "neither adam nor adamw"),
        ("[optimiser]\nschedule = 'onecycle'", "only streams"),
        ("[masters]\nmaterials = ['Al']", r"both \[masters\] and \[stream\]"),
        ("[masters]\npreset = 'fast'", "no materials are named"),
        ("[[phases]]\nsize = [32, 32]", "entry 'images' is missing"),
        ("model = 3", "must be a table"),
        ("[[phases]]\nimages = 33\nsize = [32, 32]", "multiple of batch_size"),
        ("labels = 'visibel'", "labels.*'visibel' is neither"),
        ("precision = 'fp8'", "neither fp32 nor bf16"),
        ("= 3", "TOML"),
    ],
)
def test_wrong_configurations_are_refused(tmp_path, text, cause):
    path = tmp_path / "run.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=cause) as caught:
        read_config(path)
    assert caught.value.subject == str(path)


def test_cif_files_are_taken_from_the_configurations_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs"
    folder.mkdir()
    text = f"[[phases]]\nimages = 32\nsize = [32, 32]\n[masters]\ncifs = ['cifs', '{tmp_path}/a.cif']\n[stream]\n"
    (folder / "run.toml").write_text(text)
    config = read_config("runs/run.toml")
    assert config.masters.cifs == (str(folder / "cifs"), str(tmp_path / "a.cif"))
    assert config.masters.materials == ()


def test_a_missing_configuration_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        read_config(tmp_path / "none.toml")


def test_crystals_held_out_are_not_taught() -> None:
    taught = read_config(CONFIGS / "m3m-10.toml").masters
    held = read_config(CONFIGS / "m3m-10-held-out.toml").masters
    assert taught is not None
    assert held is not None
    assert not {*taught.materials, *taught.others} & set(held.materials)
    assert set(taught.withheld) == set(held.materials)
    counts = Counter(crystals[name].space_group for name in held.materials)
    assert set(range(221, 231)) < set(counts)
    for group, count in counts.items():
        if group < 221:
            continue
        assert count >= 3 or len(crystals(space_group=group)) <= 3


def test_crystals_to_calibrate_on_are_neither_taught_nor_held_out() -> None:
    taught = read_config(CONFIGS / "m3m-10.toml").masters
    calibrated = read_config(CONFIGS / "m3m-10-calibration.toml").masters
    assert taught is not None
    assert calibrated is not None
    assert calibrated.withheld == taught.withheld
    assert calibrated.drawn_seed != taught.drawn_seed
    # The named ones are those that were taught: none of them is held out.
    assert {*calibrated.materials, *calibrated.others} <= {*taught.materials, *taught.others}


def test_what_the_ten_groups_start_from_was_not_shown_the_held_out_crystals_either() -> None:
    held = read_config(CONFIGS / "m3m-10-held-out.toml").masters
    assert held is not None
    for path in CONFIGS.glob("xception-m3m-6*.toml"):
        shown = read_config(path).masters
        assert shown is not None
        assert not {*shown.materials, *shown.others} & set(held.materials), path.name
