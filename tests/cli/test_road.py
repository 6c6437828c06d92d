"""The whole road through commands, small: crystal, master pattern, patterns, training, scores, answers."""

from __future__ import annotations

import json
from dataclasses import replace

import h5py
import kikuchipy
import numpy as np
import pytest
from typer.testing import CliRunner

from kikuchinet.cli import app
from kikuchinet.diffraction import MasterPattern

CONFIG = """
name = "road"
seed = 1
workers = 0
calibration_images = 16
precision = "fp32"

[model]
architecture = "test_resnet"
classes = [225, 229]
size = [32, 32]

[optimiser]
name = "adamw"
schedule = "onecycle"
batch_size = 8

[[phases]]
images = 32
size = [32, 32]

[masters]
materials = ["Ni", "Fe"]
half_width = 12
preset = "fast"
variants = 1

[stream]
block = 4
blocks_per_window = 4
"""


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def ok(*words: object):
    result = invoke(*words)
    assert result.exit_code == 0, result.output + result.stderr
    return result


@pytest.fixture(scope="module")
def masters(tmp_path_factory):
    out = tmp_path_factory.mktemp("road") / "masters"
    ok("simulate", "Ni", "--out", out, "--half-width", 20, "--preset", "parity")
    return out


def test_simulated_file_loads_in_kikuchipy(masters):
    signal = kikuchipy.load(masters / "Ni.h5", hemisphere="both", projection="lambert")
    assert signal.data.shape == (2, 41, 41)
    assert signal.phase.space_group.number == 225


def test_finished_files_are_kept_and_others_are_not(masters):
    path = masters / "Ni.h5"
    before = path.read_bytes()
    assert "kept" in ok("simulate", "Ni", "--out", masters, "--half-width", 20, "--preset", "parity").stdout
    assert path.read_bytes() == before
    # Another setting, or a damaged file, is simulated anew.
    assert "wrote" in ok("simulate", "Ni", "--out", masters, "--half-width", 21, "--preset", "parity").stdout
    path.write_bytes(before[: len(before) // 2])
    assert "wrote" in ok("simulate", "Ni", "--out", masters, "--half-width", 20, "--preset", "parity").stdout
    again = ok("simulate", "Ni", "--out", masters, "--half-width", 20, "--preset", "parity", "--force")
    assert "wrote" in again.stdout


def test_a_cif_is_simulated_under_a_safe_name(masters, tmp_path):
    cif = ok("crystals", "Ni", "--cif").stdout
    path = tmp_path / "phase.cif"
    path.write_text(cif.replace("data_Ni", "data_../../Ni"))
    out = tmp_path / "out"
    ok("simulate", path, "--out", out, "--half-width", 20, "--preset", "parity")
    (made,) = out.iterdir()
    with h5py.File(made) as ours, h5py.File(masters / "Ni.h5") as theirs:
        key = "EMData/EBSDmaster/mLPNH"
        np.testing.assert_allclose(ours[key][()], theirs[key][()], rtol=1e-4)


def test_generate_writes_what_kikuchipy_reads_and_its_truth(masters, tmp_path):
    out = tmp_path / "patterns.h5"
    words = ("--crystals", masters / "Ni.h5", "--count", 5, "--rows", 32, "--columns", 40)
    ok("generate", *words, "--out", out)
    signal = kikuchipy.load(out)
    assert signal.data.shape[-2:] == (32, 40)
    assert signal.data.size == 5 * 32 * 40
    lines = out.with_suffix(".csv").read_text().splitlines()
    assert len(lines) == 1 + 5
    again = tmp_path / "again.h5"
    ok("generate", *words, "--out", again)
    assert np.array_equal(kikuchipy.load(again).data, signal.data)
    ok("generate", *words, "--seed", 1, "--out", again)
    assert not np.array_equal(kikuchipy.load(again).data, signal.data)


def test_generate_measures_phases_that_are_not_in_the_library(masters, tmp_path):
    master = MasterPattern.load(masters / "Ni.h5")
    replace(master, name="my phase", crystal=master.crystal.replace(name="my phase")).save(
        tmp_path / "own.h5"
    )
    out = tmp_path / "patterns.h5"
    words = ("--rows", 64, "--columns", 64, "--camera", "good", "--lowest-quality", 1)
    ok("generate", "--crystals", tmp_path / "own.h5", "--count", 2, *words, "--measure", "--out", out)
    header, *rows = out.with_suffix(".csv").read_text().splitlines()
    place = header.split(",").index("mad_deg")
    assert all(float(row.split(",")[place]) < 180 for row in rows)


@pytest.mark.slow
def test_train_evaluate_identify(tmp_path):
    config, run, cache = tmp_path / "config.toml", tmp_path / "run", tmp_path / "cache"
    config.write_text(CONFIG)
    trained = ok("train", config, "--out", run, "--cache", cache)
    assert "Model:" in trained.stdout
    model = run / "model"
    card = json.loads((model / "card.json").read_text())
    assert card["classes"] == [225, 229]

    assert "road" in ok("models", model).stdout

    assert invoke("train", config, "--out", run, "--cache", cache).exit_code == 2  # the folder holds a run

    ok("evaluate", model, config, "--out", tmp_path / "scores", "--count", 16, "--cache", cache)
    scores = json.loads((tmp_path / "scores" / "evaluation.json").read_text())
    assert scores["literal"]["patterns"] >= 16

    ok("identify", "--example", "--out", tmp_path / "out", "--model", model)
    summary = json.loads((tmp_path / "out" / "summary.json").read_text())
    assert summary["winner"]["space_group"] in {225, 229}
