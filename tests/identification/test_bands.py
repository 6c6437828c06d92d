"""Answers from band profiles, with the model that ships, on the measured nickel patterns inside kikuchipy."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import kikuchinet as kn
from kikuchinet.errors import InputError
from kikuchinet.identification import Grains, IdentificationResult, with_bands, write_results
from kikuchinet.identification.bands import obstacle
from kikuchinet.indexing import FAMILIES
from kikuchinet.models.band_network import load_band_model
from kikuchinet.patterns import PatternSource
from kikuchinet.report import write_report


@pytest.fixture(scope="module")
def nickel(tiny_model: Path) -> IdentificationResult:
    return kn.identify(kn.example_patterns(), tiny_model, bands=True)


def test_measured_nickel_is_225(nickel: IdentificationResult) -> None:
    """The nine patterns together; nothing says that the phase is nickel, or that it is cubic."""
    assert nickel.pooled is not None
    assert nickel.pooled.space_group == 225
    assert nickel.card.name == "bands-m3m-10"


def test_the_network_of_whole_patterns_is_kept_beside_it(
    nickel: IdentificationResult, tiny_model: Path
) -> None:
    plain = kn.identify(kn.example_patterns(), tiny_model)
    assert not plain.bands
    assert nickel.whole is not None
    np.testing.assert_array_equal(
        nickel.whole.identification.probabilities, plain.identification.probabilities
    )
    assert nickel.summary()["whole_patterns"]["model"]["name"] == "tiny"


def test_pattern_centres_and_profiles_are_in_the_summary(nickel: IdentificationResult) -> None:
    (bands,) = nickel.summary()["bands"]
    assert bands["pattern_center_from"] == "file"
    assert len(bands["families"]) == len(FAMILIES)
    assert bands["families"][2]["family"] == "{111}"
    # The band is brighter than what lies beside it.
    profile = np.array(bands["families"][2]["intensity"])
    assert profile[:6].mean() > profile[12:20].mean() + 0.2


def test_the_page_draws_what_was_read(nickel: IdentificationResult, tmp_path: Path) -> None:
    write_results(nickel, tmp_path)
    page = write_report(nickel, tmp_path).read_text(encoding="utf-8")
    assert "What was read: the bands" in page
    assert page.count('<polyline class="curve"') == 8
    assert "The network of whole patterns (tiny) says" in page


def test_the_best_patterns_of_a_grain_answer_for_it(
    nickel: IdentificationResult, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Too many patterns, as if the nine were of a large scan: six are read, and those that agree say 225."""
    monkeypatch.setattr("kikuchinet.identification.band_grains.MOST_PATTERNS", 8)
    assert nickel.whole is not None
    (answer,) = nickel.whole.answers
    scan = replace(nickel.whole, answers=(replace(answer, grains=Grains(np.zeros(9, dtype=np.int64))),))
    (found,) = with_bands(scan, load_band_model("bands-m3m-10")).answers
    assert found.bands is not None
    assert found.grain_answers is not None
    assert found.bands.read.sum() == 6
    assert 2 <= found.bands.speaks.sum() <= 6
    assert found.grain_answers.answers.tolist() == [225]
    assert found.by_point[0].tolist() == [225] * 9


def test_an_unknown_pattern_centre_is_found(nickel: IdentificationResult) -> None:
    model = load_band_model("bands-m3m-10")
    source = kn.example_patterns()
    known = nickel.bands[0].detector
    sought = model.seek_center(list(source), kn.Detector((60, 60)))
    np.testing.assert_allclose(sought.pattern_center, known.pattern_center, atol=0.03)


def test_what_stands_against_it_is_said(nickel: IdentificationResult, tiny_model: Path) -> None:
    assert nickel.whole is not None
    assert not obstacle(nickel.whole)
    many = replace(nickel.whole, answers=nickel.whole.answers * 50)
    assert "450 patterns are many" in obstacle(many)
    assert not obstacle(many, asked=True)
    rng = np.random.default_rng(0)
    uneven = PatternSource(
        "uneven", ["a", "b"], lambda first, last: [rng.random((50 + k, 50)) for k in range(first, last)]
    )
    result = kn.identify(uneven, tiny_model)
    assert "no pattern centre" in obstacle(result)
    known = replace(uneven, geometry=kn.example_patterns().geometry)
    told = with_bands(kn.identify(known, tiny_model), load_band_model("bands-m3m-10"))
    assert not told.bands
    assert "uneven: its patterns are of different sizes" in told.settings["bands"]
    with pytest.raises(InputError, match="different sizes"):
        kn.identify(uneven, tiny_model, bands=True)


def test_blank_patterns_have_no_answer(tiny_model: Path) -> None:
    source = kn.example_patterns()
    images = np.stack(list(source))
    images[4] = 7
    blank = replace(source, read=lambda first, last: list(images[first:last]), static_background=None)
    result = kn.identify(blank, tiny_model, bands=True)
    assert result.identification.reasons[4] == "no contrast"
    assert result.pooled is not None
    assert result.pooled.n_patterns == 8


def test_inverted_contrast_is_refused(tiny_model: Path) -> None:
    """The bands of a negative are dark; read as they are, they said something about any crystal."""
    source = kn.example_patterns()
    images = np.stack(list(source))
    negatives = images.max() - images
    inverted = replace(source, read=lambda first, last: list(negatives[first:last]), static_background=None)
    result = kn.identify(inverted, tiny_model, bands=True)
    assert result.identification.abstained.all()
    assert all(reason.startswith("the contrast seems inverted") for reason in result.identification.reasons)
    assert result.pooled is None


def test_a_model_of_whole_patterns_reads_no_bands(tiny_model: Path) -> None:
    with pytest.raises(InputError, match="whole patterns"):
        kn.identify(kn.example_patterns(), tiny_model, bands=tiny_model)
    with pytest.raises(InputError, match="no such model"):
        kn.identify(kn.example_patterns(), tiny_model, bands="nothing")


def test_patterns_that_a_network_is_adapted_to_are_answered_by_it() -> None:
    result = kn.identify(kn.example_patterns(), adapt=True)
    assert not result.bands
    assert result.adaptation is not None
