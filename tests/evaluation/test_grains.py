"""Scores of scans, counted by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kikuchinet.datasets import Manifest
from kikuchinet.errors import InputError
from kikuchinet.evaluation.grains import score_scan
from kikuchinet.models import Identification

CLASSES = (225, 229)


def answers(first: list[float]) -> Identification:
    """Return answers with the given probabilities of 225."""
    probabilities = np.stack([first, 1 - np.array(first)], axis=1)
    return Identification(
        classes=CLASSES,
        probabilities=probabilities,
        space_groups=np.array(CLASSES)[probabilities.argmax(axis=1)],
        reasons=("",) * len(first),
        pool_correlation=0.1,
    )


@pytest.fixture
def manifest() -> Manifest:
    frame = pd.DataFrame(
        {
            "file": "scan.h5",
            "index": range(6),
            "material": ["Ni", "Ni", "Ni", "Fe", "Fe", "Ni"],
            "space_group": [225, 225, 225, 229, 229, 225],
            "map": ["a", "a", "a", "a", "a", "b"],
            "grain": [1, 1, 1, 2, 2, 1],
            "overlap": [0.0, 0.0, 0.4, 0.1, 0.3, 0.0],
        }
    )
    return Manifest(frame, Path())


def test_grains_and_places_are_counted(manifest: Manifest) -> None:
    scores = score_scan(manifest, answers([0.9, 0.8, 0.3, 0.2, 0.9, 0.4]))
    grains = scores.grains
    assert grains[["map", "grain", "patterns", "right"]].to_numpy().tolist() == [
        ["a", 1, 3, 2],
        ["a", 2, 2, 1],
        ["b", 1, 1, 0],
    ]
    # Two patterns of 0.8 and 0.1 for 229 speak against it: log 0.8 + log 0.1 < log 0.2 + log 0.9.
    assert grains["pooled_group"].tolist() == [225, 225, 229]
    assert grains["pooled_right"].tolist() == [True, False, False]
    places = scores.places.set_index("place")
    assert places["patterns"].tolist() == [3, 1, 2]
    assert places["right"].tolist() == [2, 1, 0]
    assert scores.summary()["grains_right"] == 1
    assert places.loc["inside", "recall_low"] < 2 / 3 < places.loc["inside", "recall_high"]


def test_groups_that_are_not_told_apart_are_right(manifest: Manifest) -> None:
    said = answers([0.9, 0.8, 0.3, 0.2, 0.9, 0.4])
    either = Manifest(manifest.frame.assign(visible_groups="225 229"), Path())
    assert score_scan(either, said).grains["right"].tolist() == [3, 2, 1]
    assert score_scan(either, said).grains["pooled_right"].all()
    single = Manifest(manifest.frame.assign(visible_groups=manifest.frame["space_group"]), Path())
    pd.testing.assert_frame_equal(score_scan(single, said).grains, score_scan(manifest, said).grains)
    for wrong in ("", "225, 229", "0", "225 231", np.nan):
        with pytest.raises(InputError, match="visible_groups"):
            Manifest(manifest.frame.assign(visible_groups=wrong), Path())


def test_a_manifest_without_grains_is_refused(manifest: Manifest) -> None:
    with pytest.raises(InputError, match="no column 'grain'"):
        score_scan(Manifest(manifest.frame.drop(columns="grain"), Path()), answers([0.5] * 6))
    with pytest.raises(InputError, match="5 answers"):
        score_scan(manifest, answers([0.5] * 5))
