"""Explanations of band profiles: on the measured nickel patterns inside kikuchipy, and on weights that are made up."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from orix.quaternion import Orientation, Rotation
from orix.quaternion.symmetry import Oh
from PIL import Image
from typer.testing import CliRunner

from kikuchinet.cli import app
from kikuchinet.crystal import crystals
from kikuchinet.explanation import BandExplanation, PatternFeatures, find_bands
from kikuchinet.explanation.band_figures import draw_band_explanation, sines_to_planes
from kikuchinet.explanation.bands import explanations, unread_sentence, weight_lines
from kikuchinet.indexing.bands import BINS, CHANNELS, FAMILIES
from kikuchinet.models.band_network import BandModel, load_band_model
from kikuchinet.patterns import example_patterns

MODEL = "bands-m3m-10"


def invoke(*words: object):
    return CliRunner().invoke(app, ["explain", "--model", MODEL, *map(str, words)])


@pytest.fixture(scope="module")
def model() -> BandModel:
    return load_band_model(MODEL)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The command on three patterns, and what the model was given and said in it."""
    out, calls = tmp_path_factory.mktemp("bands") / "out", []
    identify = BandModel.identify

    def watched(self, images, detector):
        reading = identify(self, images, detector)
        calls.append((images, detector, reading))
        return reading

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BandModel, "identify", watched)
        result = invoke("--out", out, "--example", "--count", 3)
    assert result.exit_code == 0, result.output + result.stderr
    ((images, detector, reading),) = calls
    return SimpleNamespace(
        out=out,
        printed=result.stdout,
        table=pd.read_csv(out / "explanation.csv"),
        summary=json.loads((out / "explanation.json").read_text()),
        images=images,
        detector=detector,
        reading=reading,
    )


def test_every_pattern_has_a_picture_and_a_row(run):
    assert run.table["index"].tolist() == [0, 4, 8]
    assert sorted(path.name for path in run.out.iterdir()) == [
        "explanation.csv", "explanation.json", "pattern_00000.png", "pattern_00004.png", "pattern_00008.png",
    ]  # fmt: skip
    for name in run.table["picture"]:
        assert np.asarray(Image.open(run.out / name).convert("L")).std() > 10
    assert run.summary["model"]["name"] == MODEL
    assert run.summary["patterns"] == 3


def test_the_orientation_is_that_of_the_files_indexing(run):
    ours = Orientation(Rotation(run.table[["qa", "qb", "qc", "qd"]].to_numpy()), symmetry=Oh)
    theirs = Orientation(example_patterns().reference.rotations[[0, 4, 8]], symmetry=Oh)
    assert np.rad2deg(ours.angle_with(theirs)).max() < 3.0


def test_weights_are_those_of_the_model(run, model):
    columns = [f"weight_{''.join(map(str, family))}" for family in FAMILIES]
    for at, row in run.table.iterrows():
        probabilities = run.reading.identification.probabilities[at]
        first, second = np.argsort(-probabilities)[:2]
        assert (row["answer"], row["against"]) == (model.classes[first], model.classes[second])
        assert row["space_group"] == row["answer"]
        assert row["probability"] == pytest.approx(probabilities[first], abs=1e-4)
        weights = model.weight_of_families(run.reading.profiles[[at]], first, second)
        assert row[columns].to_numpy(dtype=float) == pytest.approx(weights, abs=1e-3)


def test_the_summary_pools_patterns_with_the_same_two_answers(run):
    counted = 0
    for one in run.summary["weights"]:
        same = run.table[
            (run.table["space_group"] == one["space_group"]) & (run.table["against"] == one["against"])
        ]
        assert one["patterns"] == len(same)
        assert one["families"]["{331}"] == pytest.approx(same["weight_331"].mean(), abs=1e-3)
        counted += len(same)
    assert counted == 3
    assert "evidence for" in run.printed


def test_the_group_that_is_asked_for_is_held_against_the_likeliest_other(run, model):
    (first, *_) = explanations(model, run.images, run.reading, run.detector, space_group=229)
    likeliest = model.classes[int(run.reading.identification.probabilities[0].argmax())]
    assert (first.space_group, first.against) == (229, likeliest)


def test_lines_are_drawn_where_the_planes_of_the_orientation_are(run, model):
    """Another road to the same place: planes of nickel's lattice in the same orientation."""
    (one, *_) = explanations(model, run.images, run.reading, run.detector)
    center = tuple(run.reading.orientations.pattern_centers[0])
    detector = type(run.detector)(
        one.prepared.shape,
        center,
        tilt_deg=run.detector.tilt_deg,
        sample_tilt_deg=run.detector.sample_tilt_deg,
    )
    nickel = crystals["Ni"]
    rotation = Rotation(run.reading.orientations.quaternions[0])
    angles = PatternFeatures.of(nickel, rotation, detector, 20.0).angles_to_planes()
    hkl = find_bands(nickel).hkl.astype(float)
    normals = hkl / np.linalg.norm(hkl, axis=1, keepdims=True)
    np.testing.assert_allclose(sines_to_planes(one, normals), np.sin(angles), atol=2e-3)


def _made_up(weights: dict[tuple[int, int, int], float]) -> BandExplanation:
    rng = np.random.default_rng(0)
    rays = np.array([[-0.5, -0.5, 0.6], [1 / 40, 0.0, 0.0], [0.0, 1 / 40, 0.0]], dtype=np.float32)
    return BandExplanation(
        rng.normal(size=(40, 40)).astype(np.float32),
        rays,
        rng.random((len(CHANNELS), len(FAMILIES), BINS), dtype=np.float32),
        225,
        221,
        np.array([weights.get(family, -0.5) for family in FAMILIES]),
    )


def test_the_heaviest_families_are_drawn_in_the_colours_of_their_profiles():
    one = _made_up({(1, 1, 1): 0.7, (1, 0, 0): 2.0, (3, 1, 1): 0.2, (2, 1, 0): 0.1})
    assert [FAMILIES[k] for k in one.speaking(3)] == [(1, 0, 0), (1, 1, 1), (3, 1, 1)]
    figure = draw_band_explanation(one, (221, 225), "title")
    plain, drawn, *profiles, weights = figure.get_axes()
    assert not plain.collections
    entries = {
        text.get_text(): to_hex(line.get_color())
        for text, line in zip(drawn.get_legend().get_texts(), drawn.get_legend().get_lines(), strict=True)
    }
    assert list(entries) == ["{100}", "{111}", "{311}"]
    assert len(profiles) == len(FAMILIES)
    for ax, family in zip(profiles, FAMILIES, strict=True):
        name = "{" + "".join(map(str, family)) + "}"
        assert ax.get_title().split() == [name, f"{one.weights[FAMILIES.index(family)]:+.2f}"]
        assert (to_hex(ax.lines[0].get_color()) == entries.get(name)) == (name in entries)
    assert [bar.get_width() for bar in weights.patches] == one.weights.tolist()
    # The middle line of (100) is where the first direction cosine is nought: the column in the middle.
    (upright, *_) = (
        path
        for lines in drawn.collections
        if to_hex(lines.get_edgecolor()[0]) == entries["{100}"]
        for path in lines.get_paths()
        if np.ptp(path.vertices[:, 0]) < 0.01
    )
    assert upright.vertices[:, 0] == pytest.approx(20.0, abs=0.01)


def test_where_no_family_speaks_the_picture_says_so():
    figure = draw_band_explanation(_made_up({}), (221, 225))
    assert "no band speaks for\n225" in figure.get_axes()[1].get_title()
    assert not figure.get_axes()[1].collections


def test_words_name_families_by_weight():
    families = {"{111}": 1.5, "{100}": 2.0, "{110}": -0.7, "{210}": 0.05, "{311}": -3.0}
    summary = {"weights": [{"space_group": 225, "against": 0, "patterns": 4, "families": families}]}
    (line,) = weight_lines(summary, (0, *range(221, 231)))
    assert line == (
        "225 Fm-3m", "outside m-3m", "4", "{100} +2.00, {111} +1.50", "{311} -3.00, {110} -0.70",
    )  # fmt: skip


def test_a_blank_pattern_has_no_answer_and_one_line_says_so(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.full((60, 60), 90, dtype=np.uint8)).save(images / "blank.png")
    Image.fromarray(np.asarray(example_patterns()[4]).astype(np.uint8)).save(images / "nickel.png")
    out = tmp_path / "out"
    result = invoke("--out", out, images, "--pattern-center", "0.42,0.21,0.50")
    assert result.exit_code == 0, result.output + result.stderr
    assert "No answer on 1 of 2 patterns (pattern_00000.png: no contrast)." in result.stdout
    table = pd.read_csv(out / "explanation.csv")
    assert table["answer"].isna().tolist() == [True, False]
    assert table["qa"].isna().tolist() == [True, False]
    summary = json.loads((out / "explanation.json").read_text())
    assert summary["without_bands"] == ["pattern_00000.png"]
    assert sum(one["patterns"] for one in summary["weights"]) == 1
    assert summary["inputs"][0]["pattern_center_from"] == "given"
    assert unread_sentence({"without_bands": [], "patterns": 2}) == ""


def test_what_was_refused_says_why(tmp_path):
    images = tmp_path / "images"
    images.mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (60, 60), dtype=np.uint8)
    Image.fromarray(noise).save(images / "noise.png")
    out = tmp_path / "out"
    result = invoke("--out", out, images, "--pattern-center", "0.42,0.21,0.50")
    assert result.exit_code == 0, result.output + result.stderr
    (reason,) = pd.read_csv(out / "explanation.csv")["reason"]
    assert reason.startswith("no Kikuchi bands found (correlation")
    assert f"pattern_00000.png: {reason}" in " ".join(result.stdout.split())


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        ((), "no pattern centre is known"),
        (("--pattern-center", "0.5,0.5,0.6", "--crystal", "Ni"), "reads bands without a crystal"),
        (("--pattern-center", "0.5,0.5,0.6", "--orientation", "none"), "finds orientations itself"),
        (("--pattern-center", "0.5,0.5,0.6", "--space-group", "2"), "does not know it"),
        (("--pattern-center", "0.5,0.5,0.6", "--device", "cuda"), "runs on the processor"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_leaves_results_alone(words, cause, tmp_path: Path):
    image, folder = tmp_path / "one.png", tmp_path / "out"
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(image)
    folder.mkdir()
    (folder / "explanation.csv").write_text("earlier")
    result = invoke("--out", folder, image, *words)
    assert result.exit_code == 2, result.output
    assert cause in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert (folder / "explanation.csv").read_text() == "earlier"


def test_patterns_of_different_sizes_are_refused(tmp_path: Path):
    images = tmp_path / "images"
    images.mkdir()
    for k, side in enumerate((60, 64)):
        Image.fromarray(np.arange(side * side, dtype=np.uint16).reshape(side, side)).save(images / f"{k}.png")
    result = invoke("--out", tmp_path / "out", images, "--pattern-center", "0.5,0.5,0.6")
    assert result.exit_code == 2
    assert "different sizes" in result.stderr
