"""A class 0, "none of the groups that the model tells apart", in answers, tables and cards."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import answer_title, groups_of, listed_classes, outside_name, outside_phrase
from kikuchinet.errors import InputError
from kikuchinet.models import NO_ANSWER, Identification, ModelCard
from kikuchinet.models.space_group_model import answers

TEN = (OUTSIDE, *range(221, 231))
CARD = ModelCard("m", "1", "test_resnet", (OUTSIDE, 221, 225), (64, 64), "visible", "0" * 64)


def test_the_name_says_outside_of_what_only_where_that_is_true():
    assert outside_name(TEN) == "outside m-3m"
    assert outside_phrase(TEN) == "outside m-3m (none of the ten groups this model knows)"
    # A crystal of 227 is none of these two groups and not outside m-3m.
    assert outside_name((0, 221, 225)) == "none of the model's groups"
    assert outside_phrase((0, 221, 225)) == "none of the model's groups (it knows two: 221, 225)"
    assert outside_name((0, 194, 225)) == "none of the model's groups"
    assert answer_title(0, TEN) == "outside m-3m"
    assert answer_title(225, TEN) == "225 Fm-3m"
    assert listed_classes((0, 221, 225)) == "221, 225, outside"
    assert groups_of(TEN) == tuple(range(221, 231))
    with pytest.raises(InputError, match="not a space-group number"):
        answer_title(NO_ANSWER, TEN)


def test_outside_is_an_answer_and_no_abstention():
    logits = np.array([[4.0, 0, 0], [0, 4.0, 0], [0.1, 0, 0], [9.0, 0, 0]])
    found = answers(CARD, logits, np.array([False, False, False, True]))
    assert found.space_groups.tolist() == [0, 221, 0, 0]
    assert found.answers.tolist() == [OUTSIDE, 221, NO_ANSWER, NO_ANSWER]
    assert found.outside.tolist() == [True, False, False, False]
    assert found.abstained.tolist() == [False, False, True, True]
    frame = found.to_frame()
    assert frame["space_group"].tolist()[:2] == [0, 221]
    assert frame["space_group"].isna().tolist() == found.abstained.tolist()
    assert frame["symbol"].tolist() == ["none of the model's groups", "Pm-3m", "", ""]
    for column in ("point_group", "bravais_lattice", "crystal_system"):
        assert frame[column].tolist()[0] == ""
        assert frame[column].tolist()[1] != ""
    assert found.pooled(np.array([True, False, False, False])).space_group == OUTSIDE
    both = Identification.concatenate([found, found])
    assert both.outside.sum() == 2


def test_without_such_a_class_0_is_no_answer():
    card = replace(CARD, classes=(221, 225, 229))
    found = answers(card, np.array([[4.0, 0, 0], [0.1, 0, 0]]), np.zeros(2, dtype=bool))
    assert found.space_groups.tolist() == [221, 0]
    assert found.answers.tolist() == [221, NO_ANSWER]
    assert not found.outside.any()
    # Nobody has to say why.
    silent = Identification((221, 225), np.full((1, 2), 0.5), np.zeros(1, dtype=np.int64), ("",))
    assert silent.abstained.all()


@pytest.mark.parametrize("classes", [(0, 231), (-1, 225), (225, 225), (0,)])
def test_a_card_with_other_numbers_is_refused(classes, tmp_path):
    with pytest.raises(InputError, match="card of m"):
        replace(CARD, classes=classes)
    CARD.save(tmp_path / "card.json")
    text = (tmp_path / "card.json").read_text()
    (tmp_path / "card.json").write_text(text.replace("0,\n  221,\n  225", ", ".join(map(str, classes))))
    with pytest.raises(InputError, match=r"card\.json"):
        ModelCard.load(tmp_path / "card.json")
