"""``kikuchinet explain`` on measured patterns with a small untrained model."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest
from orix.quaternion import Orientation, Rotation
from orix.quaternion.symmetry import Oh
from PIL import Image
from typer.testing import CliRunner

from kikuchinet.cli import app
from kikuchinet.patterns import example_patterns


def invoke(*words: object):
    return CliRunner().invoke(app, ["explain", *map(str, words)])


def explained(out, *words: object) -> tuple[pd.DataFrame, dict]:
    result = invoke("--out", out, *words)
    assert result.exit_code == 0, result.output + result.stderr
    return pd.read_csv(out / "explanation.csv"), json.loads((out / "explanation.json").read_text())


@pytest.fixture(scope="module")
def out(tmp_path_factory, tiny_model):
    folder = tmp_path_factory.mktemp("explain") / "out"
    explained(folder, "--example", "--model", tiny_model, "--count", 3)
    return folder


def test_the_files_own_indexing_is_drawn_and_fits(out):
    table = pd.read_csv(out / "explanation.csv")
    assert table["index"].tolist() == [0, 4, 8]
    assert set(table["orientation"]) == {"file"}
    assert set(table["crystal"]) == {"Ni"}  # the file calls its phase "ni" and holds its cell
    for name in table["picture"]:
        assert (out / name).read_bytes().startswith(b"\x89PNG")
    # Bands drawn where they are: brighter than bands drawn anywhere.
    assert (table["band_brightness"] > table["band_brightness_chance"]).all()
    reference = example_patterns().reference
    assert table[["qa", "qb", "qc", "qd"]].to_numpy() == pytest.approx(
        reference.rotations.data[[0, 4, 8]], abs=1e-5
    )


def test_summary_pools_the_table(out):
    table, summary = (
        pd.read_csv(out / "explanation.csv"),
        json.loads((out / "explanation.json").read_text()),
    )
    for heat in ("grad_cam", "guided"):
        for name in ("zone_axes", "bands", "holz_rings"):
            figures = summary["heat"][heat][name]
            assert figures["share"] == pytest.approx(table[f"{heat}_{name}_share"].mean(), abs=1e-5)
            assert figures["chance"] == pytest.approx(table[f"{heat}_{name}_chance"].mean(), abs=1e-5)
            assert figures["chance_low"] <= figures["chance"] <= figures["chance_high"]
    assert summary["with_overlay"] == summary["patterns"] == 3
    assert summary["overlays_that_do_not_fit"] == 0


def test_a_pattern_without_heat_is_told_in_words(tmp_path, tiny_model, monkeypatch):
    from kikuchinet.explanation import figures, gradcam

    found = gradcam.heat_maps

    def cold(*args, **kwargs):
        maps = found(*args, **kwargs)
        for heat in maps:
            # An untrained model may leave any of the patterns cold.
            heat[:, :20] = 1.0
            heat[1] = 0.0
        return maps

    drawn = []
    monkeypatch.setattr(gradcam, "heat_maps", cold)
    monkeypatch.setattr(figures, "_say_no_heat", lambda ax, group: drawn.append((ax.get_title(), group)))
    out = tmp_path / "out"
    result = invoke("--out", out, "--example", "--model", tiny_model, "--count", 3)
    assert result.exit_code == 0, result.stderr
    assert "No Grad-CAM heat on 1 of 3 patterns (pattern_00004.png)" in result.stdout
    assert "2 of 3" in result.stdout
    table = pd.read_csv(out / "explanation.csv")
    assert table["heat"].tolist() == [True, False, True]
    # Both maps of that pattern, and of no other.
    assert [title.split(" for ")[0] for title, _ in drawn] == ["Grad-CAM", "guided Grad-CAM"]
    assert {group for _, group in drawn} == {str(table["space_group"][1])}


@pytest.mark.slow
def test_hough_indexing_finds_what_the_file_says(tmp_path, tiny_model):
    words = ("--example", "--model", tiny_model, "--crystal", "Ni", "--orientation", "hough", "--count", 3)
    table, _ = explained(tmp_path / "out", *words)
    assert set(table["orientation"]) == {"hough"}
    ours = Orientation(Rotation(table[["qa", "qb", "qc", "qd"]].to_numpy()), symmetry=Oh)
    theirs = Orientation(example_patterns().reference.rotations[[0, 4, 8]], symmetry=Oh)
    assert np.median(np.rad2deg(ours.angle_with(theirs))) < 3.0
    assert table["mad_deg"].between(0.0, 3.0).all()


def test_an_overlay_that_does_not_fit_is_told(tmp_path, tiny_model):
    words = ("--example", "--model", tiny_model, "--count", 2, "--pattern-center", "0.9,0.9,1.5")
    _, summary = explained(tmp_path / "out", *words)
    assert summary["overlays_that_do_not_fit"] == 2
    assert "does not fit" in summary["overlay"]


def test_without_orientation_there_is_no_overlay_and_it_says_so(tmp_path, tiny_model):
    image = tmp_path / "one.png"
    Image.fromarray(np.asarray(example_patterns()[0]).clip(0, 255).astype(np.uint8)).save(image)
    result = invoke("--out", tmp_path / "out", image, "--model", tiny_model)
    assert result.exit_code == 0, result.stderr
    assert "No overlay: no orientation is known." in result.stdout
    summary = json.loads((tmp_path / "out" / "explanation.json").read_text())
    assert summary["with_overlay"] == 0
    assert summary["heat"] == {}


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (("--crystal", "Ni"), "give a pattern centre"),
        (("--orientation", "hough"), "none is named"),
        (("--orientation", "file"), "holds no indexing"),
        (("--crystal", "Nickle"), "Nickle"),
        (("--crystal", "Ni", "--pattern-center", "0.5,0.3"), "three numbers"),
        (("--space-group", "2"), "does not know it"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_results_alone(words, cause, tmp_path, tiny_model):
    image, folder = tmp_path / "one.png", tmp_path / "out"
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(image)
    folder.mkdir()
    (folder / "explanation.csv").write_text("earlier")
    result = invoke("--out", folder, image, "--model", tiny_model, *words)
    assert result.exit_code == 2
    assert cause in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert [path.name for path in folder.iterdir()] == ["explanation.csv"]
    assert (folder / "explanation.csv").read_text() == "earlier"


def test_pictures_of_an_earlier_run_go(out, tmp_path, tiny_model):
    folder = tmp_path / "out"
    folder.mkdir()
    for name in ("pattern_00007.png", "pattern_2_00007.png", "pattern_of_mine.png"):
        (folder / name).touch()
    explained(folder, "--example", "--model", tiny_model, "--count", 1)
    assert sorted(path.name for path in folder.iterdir()) == [
        "explanation.csv", "explanation.json", "pattern_00000.png", "pattern_of_mine.png",
    ]  # fmt: skip


def test_a_model_explains_what_it_calls_outside(tmp_path, outside_model):
    table, summary = explained(
        tmp_path / "out", "--example", "--model", outside_model, "--count", 2, "--space-group", 0
    )
    assert set(table["space_group"]) == {0}
    assert set(table["symbol"]) == {"none of the model's groups"}
    assert summary["settings"]["space_group"] == 0


def test_0_is_refused_where_the_model_has_no_such_class(tmp_path, tiny_model):
    result = invoke("--example", "--model", tiny_model, "--out", tmp_path / "out", "--space-group", 0)
    assert result.exit_code == 2
    assert "space group 0: the model tiny does not know it; it knows 221, 223" in result.stderr
