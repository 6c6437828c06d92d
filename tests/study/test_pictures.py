"""Pairs of patterns in nearly one orientation, and one pattern under two networks."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from orix.quaternion import Orientation, Rotation
from orix.quaternion.symmetry import Oh

from kikuchinet.errors import InputError
from kikuchinet.study import pictures
from kikuchinet.study.pictures import disorientations_deg, draw_two_models, nearest_pair
from kikuchinet.study.protocol import EXPERIMENTS


def quaternions(n: int, seed: int) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((n, 4))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_disorientations_are_those_of_orix() -> None:
    first, second = quaternions(5, 0), quaternions(4, 1)
    ours = disorientations_deg(first, second)
    for i, j in np.ndindex(ours.shape):
        one, other = (Orientation(Rotation(q), symmetry=Oh) for q in (first[i], second[j]))
        assert ours[i, j] == pytest.approx(np.rad2deg(one.angle_with(other))[0], abs=1e-4)


def table() -> pd.DataFrame:
    values = quaternions(6, 2)
    close = (Rotation.from_axes_angles([0, 0, 1], np.deg2rad(2.0)) * Rotation(values[0])).data[0]
    frame = pd.DataFrame(np.vstack([values, close]), columns=["qa", "qb", "qc", "qd"])
    frame["material"] = ["NbC"] * 3 + ["Ni3Al"] * 4
    frame["overlap"] = 0.0
    frame["band_contrast"] = 0.5
    return frame


def test_the_nearest_pair_is_found_and_grain_boundaries_are_left_out() -> None:
    pair = nearest_pair(table(), "NbC", "Ni3Al")
    assert (pair.first, pair.second) == (0, 6)
    assert pair.angle_deg == pytest.approx(2.0)
    boundary = table()
    boundary.loc[6, "overlap"] = 0.4
    assert nearest_pair(boundary, "NbC", "Ni3Al").second != 6
    with pytest.raises(InputError, match="W: has no test pattern"):
        nearest_pair(table(), "NbC", "W")
    with pytest.raises(InputError, match="no orientations"):
        nearest_pair(table().drop(columns=["qa", "qb", "qc", "qd"]), "NbC", "Ni3Al")


def test_two_models_disagree_on_the_surest_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    def result(name: str, right: list[bool], probability: list[float]):
        frame = pd.DataFrame(
            {"file": "a.h5", "index": range(3), "material": "Al", "right": right, "probability": probability}
        )
        return SimpleNamespace(experiment=EXPERIMENTS[name], predictions=frame, folder=Path())

    shown = []
    monkeypatch.setattr(
        pictures, "_explained", lambda model, row, *_: shown.append((model.experiment.name, row["index"]))
    )
    monkeypatch.setattr(
        pictures, "draw_explanations", lambda items: SimpleNamespace(suptitle=lambda *a, **k: None)
    )
    one, other = (
        result("fig2", [True, False, True], [0.9, 0.9, 0.6]),
        result("fig7", [False, True, False], [0.5, 0.9, 0.6]),
    )
    _, names = draw_two_models([one, other], None, simulated=True)
    assert names == "fig7 (right) and fig2 (wrong)"
    assert shown == [("fig7", 1), ("fig2", 1)]
    with pytest.raises(InputError, match="no pattern is answered"):
        draw_two_models([one, one], None, simulated=True)
