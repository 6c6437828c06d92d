"""An experiment from patterns to tables, and a study's folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.metrics import recall_score

import kikuchinet as kn
from kikuchinet.datasets import MastersConfig, generate, plan, prepare
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.errors import InputError
from kikuchinet.study import QUICK, Experiment, StudySettings, pictures, run_experiment, run_study
from kikuchinet.study import study as study_module
from kikuchinet.study.figures import draw_inverse_pole_figures, draw_quality, draw_recalls
from kikuchinet.training import callbacks
from kikuchinet.training.stored import digest

SMALL = replace(
    QUICK,
    size=(32, 39),
    training=12,
    validation=6,
    test=6,
    max_epochs=2,
    architecture="test_resnet",
)
THREE = Experiment("fig2", "A1", {225: ("Al",), 227: ("Si",), 229: ("Fe",)}, "51.2 %", "")
_PER_MATERIAL = 24


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    """Two scans of three materials, 24 patterns each."""
    folder = tmp_path_factory.mktemp("patterns")
    masters = prepare(
        MastersConfig(materials=("Al", "Fe", "Si"), half_width=20, preset="fast"),
        folder / "cache",
        progress=False,
    )
    frames = []
    for number in range(2):
        made = generate(
            masters,
            folder / f"{number}.h5",
            count=_PER_MATERIAL // 2,
            shape=(32, 39),
            seed=number,
            progress=False,
        )
        frames.append(made.frame.assign(map=made.frame["material"] + f"_{number}"))
    return Manifest(pd.concat(frames, ignore_index=True), folder)


def test_an_experiment_predicts_every_test_pattern_and_its_tables_agree(
    manifest: Manifest, tmp_path: Path
) -> None:
    result = run_experiment(THREE, manifest, tmp_path, SMALL, progress=False)
    predictions = result.predictions
    assert predictions is not None
    divided = pd.read_csv(tmp_path / "patterns.csv")
    assert len(predictions) == (divided["split"] == "test").sum() == 3 * (_PER_MATERIAL - 18)
    shares = predictions[["p_225", "p_227", "p_229"]].to_numpy()
    assert np.allclose(shares.sum(axis=1), 1.0, atol=1e-6)
    assert (predictions["answer"].to_numpy() == np.array([225, 227, 229])[shares.argmax(axis=1)]).all()
    classes = result.scores("literal").classes.set_index("class")
    recalls = recall_score(
        predictions["space_group"],
        predictions["answer"],
        labels=[225, 227, 229],
        average=None,
        zero_division=0,
    )
    assert classes.loc[["225", "227", "229"], "recall"].to_numpy() == pytest.approx(recalls)
    counts = pd.read_csv(tmp_path / "counts.csv", index_col=0)
    assert counts.to_numpy().sum() == len(predictions)
    assert "## literal: classes" in (tmp_path / "tables.md").read_text(encoding="utf-8")


def test_what_is_finished_is_not_done_again(manifest: Manifest, tmp_path: Path) -> None:
    first = run_experiment(THREE, manifest, tmp_path, SMALL, progress=False)
    weights = tmp_path / "run" / "model" / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    again = run_experiment(THREE, manifest, tmp_path, SMALL, progress=False)
    assert weights.stat().st_mtime_ns == before
    assert first.predictions is not None
    assert again.predictions is not None
    pd.testing.assert_frame_equal(first.predictions, again.predictions, check_dtype=False, rtol=1e-9)


def test_predictions_without_their_network_are_taken_as_they_are(manifest: Manifest, tmp_path: Path) -> None:
    first = run_experiment(THREE, manifest, tmp_path / "first", SMALL, progress=False)
    assert first.predictions is not None
    again = tmp_path / "again"
    again.mkdir()
    shown = first.predictions.assign(answer=229)
    shown.to_csv(again / "predictions.csv", index=False)
    restored = run_experiment(THREE, manifest, again, SMALL, progress=False)
    assert restored.predictions is not None
    assert (restored.predictions["answer"] == 229).all()
    assert not (again / "run").exists()
    assert (again / "patterns.csv").is_file()
    assert (again / "tables.md").is_file()


def test_an_interrupted_experiment_goes_on(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class StopInSecondEpoch(callbacks.Checkpoints):
        def on_train_batch_end(self, trainer: Any, *rest: Any) -> None:
            if trainer.global_step == 3:
                self.interrupted = True
            super().on_train_batch_end(trainer, *rest)

    monkeypatch.setattr("kikuchinet.training.stored.Checkpoints", StopInSecondEpoch)
    assert run_experiment(THREE, manifest, tmp_path, SMALL, progress=False).predictions is None
    monkeypatch.undo()
    assert run_experiment(THREE, manifest, tmp_path, SMALL, progress=False).predictions is not None


@pytest.mark.slow
def test_a_study_runs_on_given_patterns_and_keeps_its_folder(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_module, "find_experiment", lambda name: THREE)
    # One small master pattern for all materials: which ones are asked for is tested below.
    master = kn.simulate(kn.crystals["Al"], half_width=6, preset="fast")
    monkeypatch.setattr(pictures, "_masters", lambda names, *rest: [master] * len(names))
    out = tmp_path / "study"
    results = run_study(
        ["fig2"],
        out,
        SMALL,
        patterns=manifest,
        command="kikuchinet study fig2",
        progress=False,
    )
    assert [one.experiment.name for one in results] == ["fig2"]
    for name in (
        "recall_literal",
        "recall_visible",
        "recall_structure",
        "inverse_pole_figures",
        "quality_by_answer",
    ):
        assert (out / "fig2" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    listed = pd.read_csv(out / "figures" / "figures.csv").set_index("name")
    for name in ("1", "3", "9", "A2", "A5"):
        assert (out / listed.loc[name, "file"]).read_bytes().startswith(b"\x89PNG")
    # What cannot be made says why, and is not there.
    assert "NbC" in listed.loc["8", "reason"]
    assert "hold no numbers" in listed.loc["A3 mad_deg", "reason"]
    assert not (out / "figures" / "figure_8.png").exists()
    page = (out / "study.html").read_text(encoding="utf-8")
    assert "Quick: 12 patterns per group" in page
    assert "not judged" in page
    assert "kikuchinet study fig2" in page
    with Image.open(out / listed.loc["1", "file"]) as picture:
        assert picture.text["Description"] == "kikuchinet study fig2"
    with pytest.raises(InputError, match="other settings"):
        run_study(["fig2"], out, replace(SMALL, seed=1), patterns=manifest, progress=False)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "thesis.tex").touch()
    with pytest.raises(InputError, match="not empty"):
        run_study(["fig2"], tmp_path / "full", SMALL, patterns=manifest, progress=False)


def test_a_study_of_another_manifest_is_refused(manifest: Manifest, tmp_path: Path) -> None:
    study_module._claim(tmp_path, SMALL, f"a manifest, SHA-256 {digest(manifest)}", before="a manifest")
    other = manifest.where(np.arange(len(manifest)) > 0)
    with pytest.raises(InputError, match="other settings or patterns"):
        run_study(["fig2"], tmp_path, SMALL, patterns=other, progress=False)
    # Folders of before say less.
    study_module._claim(tmp_path / "old", SMALL, "a manifest")
    study_module._claim(tmp_path / "old", SMALL, f"a manifest, SHA-256 {digest(other)}", before="a manifest")


def test_figures_are_made_from_the_master_patterns_of_the_study(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def remember(config: MastersConfig, cache: object, **options: object) -> list[Any]:
        asked.append(config)
        return []

    monkeypatch.setattr(pictures, "prepare", remember)
    pictures._masters(("Al", "Ni"), QUICK, str(tmp_path))
    keys = {spec.key() for spec in plan(QUICK.masters(("Ni", "Fe", "Al"))) if spec.variant == 0}
    assert {spec.key() for spec in plan(asked[0])} < keys


def test_too_few_patterns_are_refused(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="needs more than"):
        run_experiment(THREE, manifest, tmp_path, replace(SMALL, training=40), progress=False)


def test_figures_hold_what_the_table_says(manifest: Manifest) -> None:
    table = manifest.frame.assign(answer=225)
    table["right"] = table["answer"] == table["space_group"]
    from kikuchinet.study.tables import score_level

    figure = draw_recalls(score_level("literal", table, THREE), 3)
    heights = [round(bar.get_height(), 6) for ax in figure.axes for bar in ax.patches]
    assert heights == [1.0, 0.0, 0.0]
    assert all(
        line.get_ydata()[0] == pytest.approx(1 / 3)
        for ax in figure.axes
        for line in ax.lines
        if line.get_linestyle() == "--"
    )
    assert len(draw_inverse_pole_figures(table, ["Al"], split_by_answer=True).axes) >= 2
    with pytest.raises(InputError, match="no numbers"):
        draw_quality(table, "mad_deg")
    with pytest.raises(InputError, match="no patterns"):
        draw_inverse_pole_figures(table, ["W"])


def test_the_paper_size_is_the_papers() -> None:
    config = StudySettings().training_config("fig2")
    assert config.model.size == (246, 299)
    assert config.model.architecture == "legacy_xception"
    optimiser = config.optimiser
    assert (optimiser.name, optimiser.learning_rate, optimiser.weight_decay, optimiser.batch_size) == (
        "adam",
        1e-3,
        1e-5,
        32,
    )
    assert (config.stopping.patience, config.stopping.min_delta) == (25, 1e-3)
