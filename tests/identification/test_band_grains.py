"""Grains of a large scan, answered by the bands of some of their patterns: which are read, which speak, who answers."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import orix.quaternion
import pytest
from orix.quaternion.symmetry import O
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

import kikuchinet as kn
from kikuchinet.cli import app
from kikuchinet.errors import InputError
from kikuchinet.identification import (
    AnswerStore,
    Grains,
    IdentificationResult,
    SourceAnswer,
    with_bands,
    write_results,
)
from kikuchinet.identification.band_grains import (
    LEAST_PER_GRAIN,
    PER_GRAIN,
    agreeing,
    comparable,
    sample_grains,
)
from kikuchinet.indexing.bands import BINS, CHANNELS, FAMILIES
from kikuchinet.indexing.unnamed import CubicOrientations
from kikuchinet.microscope import Detector
from kikuchinet.models import NO_ANSWER, Identification, ModelCard
from kikuchinet.models.band_network import INVERTED_CONTRAST, BandModel, BandNetwork, BandReading
from kikuchinet.models.space_group_model import answers as answers_of
from kikuchinet.patterns import Geometry, PatternSource, Region, select
from kikuchinet.report import write_report

WHOLE, BANDS = (221, 225, 229), (0, 221, 222, 225, 229)
SHAPE = (24, 20)
GRAINS = 8


class ScriptedReader(BandModel):
    """A model of band profiles that knows the answer to each pattern by its first pixel, the number of its grain.

    Parameters
    ----------
    logits
        (grains, classes).
    scatter_deg
        (grains,) by how much the orientations that it finds in a grain differ from one another.
    classes
        Its answers.
    """

    def __init__(self, logits, scatter_deg, classes=BANDS) -> None:
        card = ModelCard(
            "scripted", "1", "band-profiles", classes, (48, 48), "visible", "0" * 64, abstain_below=0.5
        )
        super().__init__(BandNetwork(len(classes), (1, 5, 5), width=4), card)
        self.script, self.scatter_deg = np.asarray(logits, dtype=float), scatter_deg
        self.read: list[int] = []

    def identify(self, images, detector, *, fit_center=True):
        grains = [int(image[0, 0]) for image in images]
        self.read += grains
        turns = Rotation.from_rotvec(
            [[0.3, 0.2, np.deg2rad(self.scatter_deg[g]) * k] for k, g in enumerate(grains)]
        ).as_quat(scalar_first=True)
        n = len(grains)
        orientations = CubicOrientations(
            turns, np.zeros((n, 3)), np.full(n, 0.5), np.zeros(n, dtype=np.int64), np.full(n, 0.2)
        )
        said = answers_of(self.card, self.script[grains], np.zeros(n, dtype=bool))
        profiles = np.random.default_rng(0).random((n, len(CHANNELS), len(FAMILIES), BINS), dtype=np.float32)
        return BandReading(said, profiles, orientations)


def scan() -> IdentificationResult:
    """Return a scan of stripes, three rows a grain, in which a network of three groups calls everything 221."""
    rng = np.random.default_rng(0)
    n = SHAPE[0] * SHAPE[1]
    rows, columns = np.divmod(np.arange(n), SHAPE[1])
    labels = rows // 3
    images = rng.integers(100, 200, (n, 30, 30), dtype=np.uint8)
    images[:, 0, 0] = labels
    source = PatternSource(
        "scan",
        ["scan"] * n,
        lambda first, last: list(images[first:last]),
        SHAPE,
        rows,
        columns,
        geometry=Geometry(np.array([[0.5, 0.3, 0.6]])),
    )
    said = Identification(WHOLE, np.tile([0.4, 0.35, 0.25], (n, 1)), np.full(n, 221), ("",) * n)
    card = ModelCard("whole", "1", "test_resnet", WHOLE, (64, 64), "visible", "0" * 64)
    return IdentificationResult((SourceAnswer(source, said, rng.random(n), Grains(labels)),), card)


def reader() -> ScriptedReader:
    """Return one that calls grains 0 to 4 225, 5 outside, cannot orient 6 and is not sure of 7."""
    logits = np.zeros((GRAINS, len(BANDS)))
    logits[:7, BANDS.index(225)] = 6.0
    logits[5] = [6.0, 0, 0, 0, 0]
    scatter = np.zeros(GRAINS)
    scatter[6] = 11.0
    return ScriptedReader(logits, scatter)


@pytest.fixture(scope="module")
def found() -> IdentificationResult:
    return with_bands(scan(), reader())


def test_the_best_patterns_of_every_grain_are_read():
    answer = scan().answers[0]
    labels = np.full(480, 0)
    labels[300:] = np.arange(180) // 6 + 1
    labels[-9:] = [31, 31, 31, 32, 32, 32, 32, 33, -1]
    answer = replace(answer, grains=Grains(labels))
    flat = answer.identification.probabilities.copy()
    best_of_0 = int(answer.quality[:300].argmax())
    flat[best_of_0] = 1 / 3  # shows nothing
    answer = replace(answer, identification=replace(answer.identification, probabilities=flat))
    (chosen,) = sample_grains([answer])
    counts = np.bincount(labels[chosen], minlength=34)
    np.testing.assert_array_equal(counts[:29], PER_GRAIN)
    assert counts[32] == 4
    assert counts[31] == counts[33] == 0  # three points, and one
    shown = np.delete(np.arange(300), best_of_0)
    assert set(chosen[labels[chosen] == 0]) == set(shown[np.argsort(-answer.quality[shown])[:PER_GRAIN]])
    # Where they are not enough for all, the largest grain has its share, and then others theirs.
    (few,) = sample_grains([answer], most=40)
    counts = np.bincount(labels[few], minlength=34)
    assert len(few) == 40
    assert counts[0] == LEAST_PER_GRAIN + 1
    assert set(counts[counts > 0]) == {LEAST_PER_GRAIN, LEAST_PER_GRAIN + 1}


def test_sources_share_what_is_read():
    answer = scan().answers[0]
    loose = replace(answer, grains=None)
    first, second, third = sample_grains([answer, loose, answer], most=60)
    assert not len(second)
    assert len(first) + len(third) == 60
    assert abs(len(first) - len(third)) <= GRAINS


def test_orientations_that_agree():
    rng = np.random.default_rng(3)
    one = Rotation.random(rng=rng)
    near = [one * Rotation.from_rotvec(np.deg2rad(1.5) * rng.normal(size=3) / 2) for _ in range(4)]
    wrong = list(Rotation.random(8, rng=rng))
    quaternions = np.array([turn.as_quat(scalar_first=True) for turn in near + wrong])
    # The same orientation written with another symmetry operation of the cube, crystal's side.
    quaternions[1] = (O[5] * orix.quaternion.Rotation(quaternions[1])).data.ravel()
    labels = np.array([0] * 4 + [0] * 2 + [1] * 6)
    kept = agreeing(labels, quaternions)
    assert kept[:4].all()
    assert not kept[4:].any()
    # One alone has nobody to agree with, and two of five are too few.
    assert not agreeing(np.zeros(1, dtype=int), quaternions[:1]).any()
    assert not agreeing(np.zeros(5, dtype=int), quaternions[[0, 1, 6, 7, 8]]).any()


def test_bands_answer_the_grains_that_they_could_read(found):
    (answer,) = found.answers
    assert answer.grain_answers is not None
    np.testing.assert_array_equal(answer.grain_answers.answers, [225] * 5 + [0, 221, 221])
    np.testing.assert_array_equal(answer.grain_answers.by_bands, [True] * 6 + [False] * 2)
    np.testing.assert_array_equal(answer.by_point[0][:300], 225)
    assert answer.bands is not None
    assert answer.bands.read.sum() == GRAINS * PER_GRAIN
    assert answer.bands.speaks.sum() == 6 * PER_GRAIN
    # What was not read, or could not be, is what it was.
    np.testing.assert_array_equal(answer.identification.answers[~answer.bands.speaks], 221)
    np.testing.assert_allclose(answer.grain_answers.probabilities[6:, BANDS.index(222)], 0.0)
    assert found.whole is not None
    whole = found.whole.answers[0].grain_answers
    assert whole is not None
    assert answer.grain_answers.best[6] == whole.best[6]


def test_a_scan_of_inverted_contrast_has_no_answer():
    """The network of whole patterns answers negatives as surely as patterns; its answers must not stand."""

    class Refusing(ScriptedReader):
        def identify(self, images, detector, *, fit_center=True):
            reading = super().identify(images, detector, fit_center=fit_center)
            said, n = reading.identification, len(images)
            flat = np.full_like(said.probabilities, 1.0 / len(said.classes))
            refused = replace(
                said,
                probabilities=flat,
                space_groups=np.zeros(n, dtype=np.int64),
                reasons=(INVERTED_CONTRAST,) * n,
            )
            return replace(reading, identification=refused)

    plain, one = scan(), reader()
    assert not plain.identification.abstained.any()
    refused = with_bands(plain, Refusing(one.script, one.scatter_deg))
    assert refused.identification.abstained.all()
    assert set(refused.identification.reasons) == {INVERTED_CONTRAST}
    assert refused.pooled is None
    (answer,) = refused.answers
    assert (answer.by_point[0] == NO_ANSWER).all()


def test_all_together_counts_what_bands_say(found):
    assert found.pooled is not None
    assert found.pooled.n_patterns == 6 * PER_GRAIN
    assert found.pooled.space_group == 225
    assert found.card.name == "scripted"


def test_what_a_network_assumes_is_no_finding_beside_one_that_does_not(found):
    """Whole patterns are called 221, 225 or 229: that these are cubic was assumed. Bands may say outside."""
    table = found.answers[0].grain_table
    assert table["sure_level"][0] == "space_group"
    assert table["sure_level"][6] == ""


def test_the_files_say_who_answered(found, tmp_path):
    write_results(found, tmp_path)
    with (tmp_path / "grains.csv").open(encoding="utf-8", newline="") as file:
        assert [row["answered_by"] for row in csv.DictReader(file)] == ["bands"] * 6 + ["whole pattern"] * 2
    with (tmp_path / "patterns.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert sum(row["answered_by"] == "bands" for row in rows) == 6 * PER_GRAIN
    assert [row["grain_answered_by"] for row in rows] == ["bands"] * 360 + ["whole pattern"] * 120
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    (one,) = summary["scans"]
    assert one["grains_answered_by_bands"] == 6
    assert one["patterns_read_by_bands"] == GRAINS * PER_GRAIN
    assert [(entry["answer"], entry["patterns"], entry["grains"]) for entry in summary["bands"]] == [
        ("225 Fm-3m", 5 * PER_GRAIN, 5),
        ("none of the model's groups", PER_GRAIN, 1),
    ]
    assert "answers 6 of 8 grains" in summary["settings"]["bands"]
    page = write_report(found, tmp_path).read_text(encoding="utf-8")
    assert "6 of 8 grains, with 75.0\u00a0% of the points, are answered by the bands" in page
    assert "30 patterns of 5 grains" in page


def test_of_few_patterns_all_are_read_whatever_their_grains():
    result = scan()
    (answer,) = result.answers
    part = select(answer.source, Region.parse("0:12"))
    said = Identification(WHOLE, answer.identification.probabilities[:240], np.full(240, 221), ("",) * 240)
    small = replace(
        result,
        answers=(
            replace(
                answer,
                source=part,
                identification=said,
                quality=answer.quality[:240],
                grains=Grains(np.arange(240) // 60),
            ),
        ),
    )
    found = with_bands(small, reader())
    assert found.answers[0].bands is not None
    assert found.answers[0].bands.speaks.all()
    assert not found.sampled(0)


def test_asked_for_every_pattern_is_read_once():
    result = scan()
    (answer,) = result.answers
    seen: list[int] = []
    own = answer.source.read

    def read(first, last):
        seen.extend(range(first, last))
        return own(first, last)

    one = reader()
    source = replace(answer.source, read=read)
    found = with_bands(replace(result, answers=(replace(answer, source=source),)), one, asked=True)
    assert len(one.read) == 480
    # And the first once more, for its size.
    assert sorted(seen) == [0, *range(480)]
    assert found.answers[0].bands is not None
    assert found.answers[0].bands.speaks.all()


def test_what_stands_against_it_is_said():
    result = scan()
    (answer,) = result.answers
    alone = replace(result, answers=(replace(answer, grains=None),))
    told = with_bands(alone, reader())
    assert not told.bands
    assert "480 patterns are many" in told.settings["bands"]
    nowhere = replace(answer, source=replace(answer.source, geometry=None))
    assert "no pattern centre" in with_bands(replace(result, answers=(nowhere,)), reader()).settings["bands"]
    scattered = reader()
    scattered.scatter_deg[:] = 11.0
    none = with_bands(result, scattered)
    assert none.settings["bands"] == f"not read: none of {GRAINS * PER_GRAIN} patterns could be"
    assert none.card is result.card
    assert comparable((225, 229), (0, 225, 229))
    assert not comparable((194, 225), (0, 225))
    assert not comparable((0, 225), (0, 225, 229))
    other = replace(result, card=replace(result.card, classes=(194, 221, 225)))
    with pytest.raises(InputError, match="answers that scripted has not"):
        with_bands(other, reader())


def test_readings_are_kept_for_a_run_that_is_taken_up_again(tmp_path: Path):
    first = with_bands(scan(), reader(), store=AnswerStore(tmp_path))
    again = reader()
    # The same weights: only then is a kept reading an answer of this model.
    unlike = with_bands(scan(), again, store=AnswerStore(tmp_path))
    assert again.read
    silent = reader()
    silent.network.load_state_dict(again.network.state_dict())
    silent.identify = None  # type: ignore[assignment,method-assign]
    second = with_bands(scan(), silent, store=AnswerStore(tmp_path))
    np.testing.assert_array_equal(second.identification.probabilities, unlike.identification.probabilities)
    assert second.identification.reasons == first.identification.reasons
    assert second.summary() == unlike.summary()
    moved = scan()
    (answer,) = moved.answers
    source = replace(answer.source, geometry=Geometry(np.array([[0.5, 0.31, 0.6]])))
    with pytest.raises(TypeError):
        with_bands(
            replace(moved, answers=(replace(answer, source=source),)), silent, store=AnswerStore(tmp_path)
        )


def test_a_pattern_that_cannot_be_read_is_skipped(tiny_model):
    example = kn.example_patterns()

    def broken(first, last):
        if first <= 0 < last:
            raise InputError("first.tif", "is cut short")
        return example.patterns(first, last)

    logits = np.zeros((256, len(BANDS)))
    logits[:, 3] = 6.0
    one = ScriptedReader(logits, np.zeros(256))
    source = replace(example, read=broken, static_background=None)
    result = kn.identify(source, tiny_model, bands=one, on_error="skip")
    assert len(one.read) == 8
    assert result.identification.reasons[0] == "cannot be read: is cut short"
    assert result.identification.abstained[0]
    np.testing.assert_array_equal(result.identification.answers[1:], 225)
    assert result.pooled is not None
    assert result.pooled.n_patterns == 8
    with pytest.raises(InputError, match=r"first\.tif: is cut short"):
        kn.identify(source, tiny_model, bands=one)


def test_a_pattern_centre_that_was_sought_is_kept(tmp_path: Path):
    class Seeker(ScriptedReader):
        sought = 0

        def seek_center(self, images, detector):
            Seeker.sought += 1
            return replace(detector, pattern_center=(0.5, 0.25, 0.7))

    result = scan()
    (answer,) = result.answers
    nowhere = replace(result, answers=(replace(answer, source=replace(answer.source, geometry=None)),))
    one = Seeker(reader().script, reader().scatter_deg)
    for _ in range(2):
        found = with_bands(nowhere, one, asked=True, store=AnswerStore(tmp_path))
        assert found.bands[0].geometry == "sought"
        assert found.bands[0].detector.pattern_center == Detector((30, 30), (0.5, 0.25, 0.7)).pattern_center
    assert Seeker.sought == 1
    assert len(one.read) == 480


def test_the_command_reads_bands_of_grains(tmp_path, tiny_model, monkeypatch):
    """The example is a scan of nine patterns: too large, if no more than eight are read as a whole."""
    classes = (0, *range(221, 231))
    logits = np.zeros((256, len(classes)))
    logits[:, classes.index(230)] = 6.0
    one = ScriptedReader(logits, np.zeros(256), classes)
    monkeypatch.setattr(
        "kikuchinet.identification.pipeline.band_model", lambda bands, **_: None if bands is False else one
    )
    monkeypatch.setattr("kikuchinet.identification.band_grains.MOST_PATTERNS", 8)
    np.save(tmp_path / "grains.npy", np.zeros((3, 3), dtype=int))
    words = [
        "identify",
        "--example",
        "--model",
        tiny_model,
        "--grains",
        tmp_path / "grains.npy",
        "--out",
        tmp_path / "out",
    ]
    result = CliRunner().invoke(app, [*map(str, words), "--elements", "Ga,Y,Al,O", "--physics", "0"])
    assert result.exit_code == 0, result.output
    assert len(one.read) == PER_GRAIN
    text = " ".join(result.stdout.split())
    assert "1 of these grains (100.0% of the scan) are answered by the bands of 6 patterns (6 read)" in text
    assert "Read from band profiles of the grains' best patterns (scripted)" in text
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["winner"]["space_group"] == 230
    # Crystals of the library agree with the answer that is given, not with the network's.
    assert summary["candidates"]
    assert all("230" in str(entry) for entry in summary["candidates"])
