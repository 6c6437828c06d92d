"""Which patterns teach, stop and test: as in the paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import Manifest
from kikuchinet.errors import InputError
from kikuchinet.study.protocol import EXPERIMENTS, divide, find_experiment, structure_type

MATERIALS = [(name, group) for group, names in PAPER_MATERIALS.items() for name in names]


def manifest(per_material: int = 600, maps: int = 0) -> Manifest:
    rows = [
        ("patterns.h5", number * per_material + i, name, group, f"{name}-{i % maps}" if maps else "")
        for number, (name, group) in enumerate(MATERIALS)
        for i in range(per_material)
    ]
    frame = pd.DataFrame(rows, columns=["file", "index", "material", "space_group", "map"])
    return Manifest(frame if maps else frame.drop(columns="map"), Path())


def test_experiments_teach_materials_of_their_groups() -> None:
    assert list(EXPERIMENTS) == ["fig2", "fig4", "fig5", "fig6", "fig7", "fig10"]
    truth = dict(MATERIALS)
    for experiment in EXPERIMENTS.values():
        assert set(experiment.training) == {221, 223, 225, 227, 229, 230}
        for group, names in experiment.training.items():
            assert all(truth[name] == group for name in names)
    # Each of the three experiments after the first changes one material.
    first = set(EXPERIMENTS["fig2"].taught)
    for name, new, old in (("fig4", "Al", "TaC"), ("fig5", "Si", "Ge"), ("fig6", "Fe", "Ta")):
        assert set(EXPERIMENTS[name].taught) == (first | {new}) - {old}
    assert len(EXPERIMENTS["fig7"].taught) == 10
    assert len(EXPERIMENTS["fig10"].taught) == 18
    with pytest.raises(InputError, match="none of fig2"):
        find_experiment("fig3")


def test_structure_types() -> None:
    assert structure_type("FeNi3") == structure_type("Ni3Al") != structure_type("NiAl")
    assert structure_type("TaC") == structure_type("TiC") != structure_type("Ni")
    assert len({structure_type(name) for name, _ in MATERIALS}) == 8


@pytest.mark.parametrize("name", list(EXPERIMENTS))
def test_split_has_the_papers_sizes(name: str) -> None:
    experiment = EXPERIMENTS[name]
    table = divide(manifest(), experiment, seed=1).frame
    counts = pd.crosstab(table["space_group"], table["split"])
    assert (counts["train"] == 400).all()
    assert (counts["validation"] == 100).all()
    assert counts["test"].sum() == 600 * 18 - 500 * 6
    per_material = table[table["split"] == "train"].groupby("material").size()
    assert set(per_material.index) == set(experiment.taught)
    for names in experiment.training.values():
        shares = per_material[list(names)]
        assert shares.max() - shares.min() <= 1


def test_same_seed_same_split_and_same_order_in_all_experiments() -> None:
    one, two = (divide(manifest(), EXPERIMENTS["fig2"], seed=3).frame["split"] for _ in range(2))
    pd.testing.assert_series_equal(one, two)
    other = divide(manifest(), EXPERIMENTS["fig2"], seed=4).frame["split"]
    assert (one != other).any()
    many = divide(manifest(), EXPERIMENTS["fig10"], seed=3).frame
    few = divide(manifest(), EXPERIMENTS["fig2"], seed=3).frame
    taught = (many["split"] == "train") & (many["material"] == "TaC")
    assert (few["split"][taught] == "train").all()


def test_scans_that_taught_are_not_tested_on() -> None:
    table = divide(manifest(maps=4), EXPERIMENTS["fig10"], training=40, validation=8, seed=0).frame
    for _, rows in table.groupby("material"):
        learnt = set(rows["map"][rows["split"].isin(["train", "validation"])])
        tested = set(rows["map"][rows["split"] == "test"])
        assert learnt
        assert tested
        assert not learnt & tested
    # A material of one scan is divided by pattern, as in the paper.
    single = divide(manifest(maps=1), EXPERIMENTS["fig10"], training=40, validation=8, seed=0).frame
    assert set(single["split"]) == {"train", "validation", "test"}


def test_too_few_patterns_and_wrong_groups_are_refused() -> None:
    with pytest.raises(InputError, match=r"FeNi3.*needs more than 500"):
        divide(manifest(500), EXPERIMENTS["fig2"])
    wrong = manifest()
    wrong.frame.loc[wrong.frame["material"] == "Ge", "space_group"] = 216
    with pytest.raises(InputError, match=r"Ge.*another space group than 227"):
        divide(wrong, EXPERIMENTS["fig2"])
    assert np.all(wrong.frame.columns == manifest().frame.columns)
