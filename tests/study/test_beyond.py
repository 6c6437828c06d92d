"""Networks beyond the paper: which materials teach, which are asked about, and what is made of the rows."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.errors import InputError
from kikuchinet.models import ModelCard, SpaceGroupModel, create_model
from kikuchinet.study import QUICK
from kikuchinet.study import beyond as beyond_module
from kikuchinet.study.beyond import Point, axis_angles_deg, choose, plan, run_beyond, z_range
from kikuchinet.study.beyond_figures import draw_trend, draw_z_range, find_trend

SMALL = replace(
    QUICK,
    half_width=8,
    variants=1,
    size=(32, 39),
    training=16,
    validation=6,
    test=6,
    max_epochs=1,
    architecture="test_resnet",
)
POOL = {225: ("Al", "Ni"), 229: ("Fe", "Cr")}


def test_one_material_of_each_group_is_never_taught_and_choices_are_nested() -> None:
    for draw in range(4):
        chosen = [choose(PAPER_MATERIALS, Point("materials", n, 400, draw=draw)) for n in (1, 2, 3, 4)]
        for fewer, more in pairwise(chosen):
            for group, names in PAPER_MATERIALS.items():
                assert set(fewer[group]) <= set(more[group]) < set(names)
        assert z_range(chosen[0]) == 0.0
    assert len({choose(PAPER_MATERIALS, Point("materials", 1, 400, draw=d))[225] for d in range(8)}) > 1


def test_plan_names_every_network_once_per_question() -> None:
    points = plan(QUICK, 2)
    assert len({(point.question, point.key) for point in points}) == len(points)
    assert {point.question for point in points} == {"baseline", "materials", "patterns", "synthetic"}
    # The same network answers several questions.
    assert len({point.key for point in points}) < len(points)


def test_angles_to_axes() -> None:
    from orix.quaternion import Rotation

    turns = Rotation.from_axes_angles([1, 0, 0], np.deg2rad([0.0, 10.0, 45.0])).data
    assert axis_angles_deg(turns) == pytest.approx([0.0, 10.0, 0.0], abs=1e-4)
    assert axis_angles_deg(Rotation.random(50).data).max() < 30.0


@pytest.mark.slow
def test_runs_resumes_and_accumulates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    points = [Point("baseline", 1, 16), Point("patterns", 1, 16), Point("synthetic", 1, 16, synthetic=1)]
    options = {"pool": POOL, "cache_dir": tmp_path / "cache", "progress": False}
    table = run_beyond(tmp_path / "out", SMALL, points=points[:2], **options)
    assert {"dose", "orientation", "band contrast", "patterns"} == set(table["question"])
    asked = set(table["material"].unique())
    taught = {names[0] for names in choose(POOL, points[0]).values()}
    assert asked == {name for names in POOL.values() for name in names} - taught
    by_pattern = table[table["question"] == "patterns"].set_index("material")
    by_angle = table[table["question"] == "orientation"].groupby("material")[["n", "right"]].sum()
    # The same network and the same patterns, counted twice.
    assert (by_pattern.loc[by_angle.index, ["n", "right"]].to_numpy() == by_angle.to_numpy()).all()
    assert (by_pattern["n"] == SMALL.pool).all()

    trained = []
    real = beyond_module.train_stored

    def remember(manifest, *rest, **options):
        trained.append(manifest)
        return real(manifest, *rest, **options)

    monkeypatch.setattr(beyond_module, "train_stored", remember)
    again = run_beyond(tmp_path / "out", SMALL, points=points, **options)
    # What is done is not done again; synthetic crystals take half of the training patterns.
    (manifest,) = trained
    learn = manifest.frame[manifest.frame["split"] == "train"]
    assert learn["material"].str.startswith("synthetic").mean() == 0.5
    pd.testing.assert_frame_equal(again.iloc[: len(table)], table, check_dtype=False)
    assert set(again["question"]) == set(table["question"]) | {"synthetic"}
    with pytest.raises(InputError, match="one material"):
        run_beyond(tmp_path / "other", SMALL, points=points, pool={225: ("Al",)}, progress=False)


def rows(question: str, column: str, shares: dict[float, float], **more: object) -> pd.DataFrame:
    lines = [
        {
            "question": question,
            column: value,
            "n": 100,
            "right": round(100 * share) + shift,
            "key": f"{value}-{i}",
        }
        for value, share in shares.items()
        for i, shift in enumerate((-2, 0, 2))
    ]
    frame = pd.concat(
        [pd.DataFrame(lines).assign(space_group=group, material=str(group)) for group in (225, 227, 229)]
    )
    return frame.assign(**more)


def test_sentences_follow_from_the_rows() -> None:
    rises = find_trend(rows("patterns", "patterns", {25: 0.3, 400: 0.8}), "patterns")
    assert "rises with training patterns per group: 30%" in rises.sentence
    assert rises.table["accuracy"].tolist() == pytest.approx([0.3, 0.8])
    assert (rises.table["low"] < rises.table["accuracy"]).all()
    assert "falls with noise" in find_trend(rows("dose", "bin", {0.1: 0.9, 1.6: 0.2}), "dose").sentence
    flat = find_trend(rows("synthetic", "synthetic", {0: 0.5, 16: 0.51}), "synthetic")
    assert "does not clearly change" in flat.sentence
    (ax,) = draw_trend(rises).axes
    assert ax.get_xscale() == "log"
    assert any(
        list(line.get_ydata()) == pytest.approx([1 / 3, 1 / 3])
        for line in ax.lines
        if len(line.get_ydata()) == 2
    )
    with pytest.raises(InputError, match="no results"):
        find_trend(rows("dose", "bin", {0.1: 0.9}), "orientation")


def test_a_material_of_several_master_patterns_weighs_as_one() -> None:
    # Older tables: Al has three master patterns, and is always right.
    lines = [("Al", 225, 10)] * 3 + [("Fe", 229, 0)]
    table = pd.DataFrame(
        [
            {
                "question": "dose",
                "key": "m1",
                "bin": noise,
                "material": material,
                "space_group": group,
                "n": 10,
                "right": right,
            }
            for noise in (0.1, 1.6)
            for material, group, right in lines
        ]
    )
    trend = find_trend(table, "dose").table
    assert trend["accuracy"].tolist() == [0.5, 0.5]
    assert trend["n"].tolist() == [40, 40]
    assert trend["low"].tolist() == [0.0, 0.0]


def test_dose_has_a_row_for_each_material(tmp_path: Path) -> None:
    settings = replace(SMALL, variants=2)
    network = create_model("test_resnet", 2)
    card = ModelCard(
        name="x", version="1", architecture="test_resnet", classes=(225, 229), size=(32, 39), labels="literal",
        sha256="",
    )  # fmt: skip
    model = SpaceGroupModel(network, card, device="cpu")
    cache = tmp_path / "cache"
    patterns = beyond_module._pool_patterns(tmp_path, replace(settings, test=2), POOL, cache, False)
    point = Point("baseline", 1, 16)
    taught = choose(POOL, point)
    asked = pd.DataFrame(beyond_module._ask(point, taught, model, patterns, POOL, settings, cache))
    dose = asked[asked["question"] == "dose"]
    assert not dose.duplicated(["bin", "material"]).any()
    assert (dose["n"] == 2 * 8).all()


def test_a_folder_of_other_settings_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beyond_module, "_pool_patterns", lambda *_: None)
    options = {"points": [], "progress": False}
    for _ in range(2):
        assert run_beyond(tmp_path, SMALL, pool=POOL, **options).empty
    with pytest.raises(InputError, match="other settings"):
        run_beyond(tmp_path, replace(SMALL, seed=1), pool=POOL, **options)
    with pytest.raises(InputError, match="other settings"):
        run_beyond(tmp_path, SMALL, pool={225: ("Al", "Ni")}, **options)


def test_range_is_told_from_number() -> None:
    rng = np.random.default_rng(0)
    lines = [
        {
            "question": "materials",
            "materials": n,
            "z_range": z,
            "space_group": 225,
            "n": 100,
            "right": int(20 + z),
            "key": f"{n}-{i}",
        }
        for n in (2, 3)
        for i, z in enumerate(rng.uniform(5, 50, 8) + 10 * n)
    ]
    assert "goes with better recall" in draw_z_range(pd.DataFrame(lines))[1]
    assert "too few" in draw_z_range(pd.DataFrame(lines[:4]))[1]
