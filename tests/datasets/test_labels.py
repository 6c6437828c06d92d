"""Which class of a model a crystal's group belongs to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kikuchinet.datasets import Manifest, StoredPatterns
from kikuchinet.datasets.labels import accepted, among
from kikuchinet.errors import InputError


def test_groups_that_are_no_class_are_outside_where_there_is_such_a_class():
    groups = [225, 216, 221, 1]
    assert among(groups, (0, 221, 225)).tolist() == [225, 0, 221, 0]
    assert among(groups, (221, 225)).tolist() == groups
    assert int(among(227, (0, 225))) == 0


def test_all_groups_that_are_not_told_apart_are_right_answers():
    sets = [(221, 225), (225,), (62,), (216, 229)]
    assert accepted(sets, (0, 221, 225, 229)).tolist() == [
        [False, True, True, False],
        [False, False, True, False],
        [True, False, False, False],
        [True, False, False, True],
    ]
    # Without a class for it, what lies outside has no right answer.
    assert not accepted([(62,)], (221, 225)).any()


def test_stored_patterns_of_other_groups_are_labelled_outside():
    frame = pd.DataFrame(
        {"file": "a.h5", "index": range(4), "material": list("abcd"), "space_group": [225, 216, 221, 194]}
    )
    manifest = Manifest(frame, Path())
    stored = StoredPatterns(manifest, (221, 0, 225), size=(40, 40))
    np.testing.assert_array_equal(stored.labels, [2, 1, 0, 1])
    with pytest.raises(InputError, match="216 is not among the classes"):
        StoredPatterns(manifest, (194, 221, 225), size=(40, 40))
