"""The page for a model that may answer "none of my groups": said in words, never as a space group with the number 0."""

from __future__ import annotations

import base64
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from markupsafe import Markup

from kikuchinet.errors import InputError
from kikuchinet.identification import Grains, IdentificationResult, SourceAnswer, write_results
from kikuchinet.models import Identification, ModelCard, load_model
from kikuchinet.patterns import PatternSource, example_patterns
from kikuchinet.report import _words as words
from kikuchinet.report import write_report
from kikuchinet.report._grids import NOTHING
from kikuchinet.report._symbols import hermann_mauguin, outside

TEN = (0, *range(221, 231))


def result(probabilities, classes=TEN, threshold=0.5) -> IdentificationResult:
    values = np.asarray(probabilities, dtype=float)
    n = len(values)
    sure = values.max(axis=1) >= threshold
    groups = np.where(sure, np.asarray(classes)[values.argmax(axis=1)], 0)
    reasons = tuple("" if one else "not sure" for one in sure)
    source = PatternSource("input", ["input"] * n, lambda first, last: [np.eye(16)] * (last - first))
    answers = Identification(classes, values, groups, reasons)
    card = ModelCard("m", "1", "test_resnet", classes, (64, 64), "visible", "0" * 64)
    return IdentificationResult((SourceAnswer(source, answers, np.zeros(n)),), card)


OUTSIDE_ROW = [0.93, *[0.007] * 10]


def plain(html: str) -> str:
    return re.sub(r"<[^>]*>", "", str(html))


def test_the_answer_in_words():
    answer = result([OUTSIDE_ROW] * 9)
    said = words.verdict(answer)
    assert said.answers
    text = plain(said.sentence)
    assert "outside m3m (none of the ten groups this model knows), with probability" in text
    reasons = plain(Markup(" ").join(words.reasons(answer)))
    assert "This is an answer, not a want of one" in reasons
    assert "9 patterns that were answered say outside m3m; none got no answer" in reasons
    limits = plain(Markup(" ").join(words.limits(answer)))
    assert "tells 10 space groups apart" in limits
    assert "no others" not in limits


def test_one_pattern_and_a_hint():
    assert "The pattern says outside" in plain(words.verdict(result([[0.99, *[0.001] * 10]])).sentence)
    hint = words.verdict(result([[0.4, *[0.06] * 10]]))
    assert not hint.answers
    assert "not decide between answers. The first among them is outside" in plain(hint.sentence)
    # Where a group leads, outside may be the runner-up.
    second = words.reasons(result([[0.3, 0.0, 0.0, 0.0, 0.0, 0.7, 0, 0, 0, 0, 0]] * 2))
    assert "The runner-up is outside" in plain(second[-1])


def test_symbols():
    assert outside((0, 221, 225)) == "none of the model&#39;s groups"
    assert 'class="bar"' in outside(TEN)
    with pytest.raises(InputError, match="no symbol"):
        hermann_mauguin(0)


def test_the_page_of_a_real_scan(tmp_path, outside_model):
    model = load_model(outside_model, device="cpu")
    from kikuchinet.identification import identify

    found = identify(example_patterns(), model)
    (answer,) = found.answers
    said = answer.identification.answers
    grains = Grains(np.unique(said, return_inverse=True)[1].astype(np.int64))
    found = replace(found, answers=(replace(answer, grains=grains),))
    write_results(found, tmp_path)
    page = write_report(found, tmp_path, model).read_text(encoding="utf-8")
    assert 'id="group-0"' in page
    assert "none of the model&#39;s groups" in page
    assert "No. 0" not in page
    assert '<span class="muted">0</span>' not in page
    assert "<td>out</td>" in page
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)[1])
    assert data["classes"][0] == {
        "number": 0,
        "symbol": "none of the model's groups",
        "colour": "#000000",
    }
    (grid,) = data["grids"]
    codes = np.frombuffer(base64.b64decode(grid["group"]), dtype=np.uint8)
    np.testing.assert_array_equal(codes == 0, said == 0)
    np.testing.assert_array_equal(codes == NOTHING, said < 0)
    heats = re.findall(r'<span class="small muted">for (.*?)</span>', page)
    assert "none of the model&#39;s groups" in heats
