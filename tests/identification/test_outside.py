"""A model with a class 0 from its patterns to every file: outside is an answer and a phase, in all of them alike."""

from __future__ import annotations

import csv
import json
import warnings
from dataclasses import replace

import numpy as np
import pytest
from orix import io
from orix.quaternion import Rotation

import kikuchinet as kn
from kikuchinet.crystal import OUTSIDE
from kikuchinet.errors import InputError
from kikuchinet.identification import (
    CandidateFit,
    Grains,
    PhaseFit,
    identify,
    library_candidates,
    look_alikes,
    write_results,
)
from kikuchinet.identification.contenders import rank_by_network
from kikuchinet.identification.maps import coloured, crystal_map, group_colours, legend
from kikuchinet.microscope import Detector
from kikuchinet.models import NO_ANSWER, load_model
from kikuchinet.patterns import example_patterns

NAME = "none of the model's groups"
FITTED, UNFITTED = 0, 1
"""Place among the outside patterns of one that nickel fits, and of one that it does not."""


@pytest.fixture(scope="module")
def result(outside_model):
    """Return answers for the nine example patterns, a grain for each answer, and nickel fitted to the outside ones."""
    found = identify(example_patterns(), load_model(outside_model, device="cpu"), elements="Al,In,Ni,P")
    (answer,) = found.answers
    said = answer.identification.answers
    # Patterns without an answer stand with those of 221: a grain's patterns need not all be answered.
    kinds = np.where(said == NO_ANSWER, 221, said)
    answer = replace(answer, grains=Grains(np.unique(kinds, return_inverse=True)[1].astype(np.int64)))
    places = np.flatnonzero(said == OUTSIDE)
    standing = np.full(len(places), 20.0)
    standing[UNFITTED] = 3.0
    turns = Rotation.from_euler(np.tile([[30.0, 40.0, 50.0]], (len(places), 1)), degrees=True)
    fit = CandidateFit(
        kn.crystals["Ni"],
        "library",
        0.5,
        turns,
        np.tile([0.5, 0.5, 0.6], (len(places), 1)),
        np.full(len(places), 0.4),
        standing,
    )
    phase = PhaseFit(0, OUTSIDE, places, (fit,), Detector((60, 60), (0.5, 0.5, 0.6)), "given")
    return replace(found, answers=(answer,), fits=(phase,))


@pytest.fixture(scope="module")
def said(result):
    return result.answers[0].identification.answers


@pytest.fixture(scope="module")
def out(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("out")
    write_results(result, folder)
    return folder


def loaded(path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return io.load(str(path))


def test_the_model_answers_in_all_three_ways(said):
    assert {OUTSIDE, NO_ANSWER} < set(said.tolist())
    assert (said == OUTSIDE).sum() >= 3


def test_patterns_csv(out, said):
    with (out / "patterns.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row, group in zip(rows, said.tolist(), strict=True):
        assert row["space_group"] == ("" if group == NO_ANSWER else str(group))
        assert row["abstained"] == ("true" if group == NO_ANSWER else "false")
        assert (row["symbol"] == NAME) == (group == OUTSIDE)
        assert (row["point_group"] != "") == (group > 0)
        assert (row["reason"] != "") == (group == NO_ANSWER)
        if group == OUTSIDE:
            assert row["grain_space_group"] == "0"
            assert row["grain_sure_value"] in ("", NAME)
    grains = list(csv.DictReader((out / "grains.csv").read_text(encoding="utf-8").splitlines()))
    (outside,) = [row for row in grains if row["space_group"] == "0"]
    assert outside["symbol"] == NAME
    assert {outside[step] for step in ("point_group", "laue_class", "bravais_lattice", "crystal_system")} == {
        NAME
    }
    assert outside["crystal_system_probability"] == outside["probability"]


def test_summary_json(out, result, said):
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["counts"]["0"] == (said == OUTSIDE).sum()
    assert summary["abstained"] == (said == NO_ANSWER).sum()
    assert sum(summary["counts"].values()) + summary["abstained"] == 9
    assert result.counts[0] == summary["counts"]["0"]
    assert result.counts[NO_ANSWER] == summary["abstained"]
    assert summary["model"]["classes"] == [0, 221, 225]
    (phase,) = [one for one in summary["scans"][0]["phases"] if one["space_group"] == 0]
    assert phase["symbol"] == NAME
    assert phase["fraction"] == pytest.approx((said == OUTSIDE).mean(), abs=1e-6)
    assert summary["fits"][0]["space_group_of_network"] == 0
    assert {entry["symbol"] for entry in summary["pooled"]} == {NAME, "Pm-3m", "Fm-3m"}


def test_the_winner_says_what_outside_means(result, said):
    (answer,) = result.answers
    both = answer.identification
    sure = np.tile([0.98, 0.01, 0.01], (9, 1))
    outside = replace(both, probabilities=sure, space_groups=np.zeros(9, dtype=np.int64), reasons=("",) * 9)
    summary = replace(result, answers=(replace(answer, identification=outside, grains=None),)).summary()
    winner = summary["winner"]
    assert (winner["space_group"], winner["symbol"], winner["verdict"]) == (0, NAME, "clear")
    assert winner["meaning"] == f"{NAME} (it knows two: 221, 225)"
    assert winner["point_group"] is winner["bravais_lattice"] is winner["crystal_system"] is None
    assert summary["left_open"] == []
    assert summary["ladder"]["deepest_sure"] == "space_group"
    assert "does not tell apart" in summary["candidates_note"]


def test_crystal_map_read_by_orix(out, said):
    xmap = loaded(out / "crystal_map.h5")
    names = [xmap.phases[int(number)].name for number in xmap.phase_id]
    for name, group in zip(names, said.tolist(), strict=True):
        assert (name == NAME) == (group == OUTSIDE)
        assert (name == "not_indexed") == (group == NO_ANSWER)
    # A phase of its own without a space group, behind the others.
    assert xmap.phases[NAME].space_group is None
    assert xmap.phases[NAME].point_group is None
    assert xmap[NAME].size == (said == OUTSIDE).sum()
    assert set(xmap.prop["grain_space_group"][said == OUTSIDE].tolist()) == {0}


def test_orientation_files_hold_no_phase_without_a_crystal(out, said):
    places = np.flatnonzero(said == OUTSIDE)
    xmap = loaded(out / "orientations.ang")
    indexed = xmap.phase_id >= 0
    # Where a crystal fits, a point is that crystal's, whatever the network says of its group; all others are not indexed.
    # orix writes a phase without a group as triclinic, so there must be none.
    assert indexed[places[FITTED]]
    assert not indexed[places[UNFITTED]]
    assert not indexed[said != OUTSIDE].any()
    assert {phase.point_group.name for number, phase in xmap.phases if number >= 0} == {"432"}
    lines = (out / "orientations.ctf").read_text().splitlines()
    assert "Phases\t1" in lines
    table = np.loadtxt(lines[-9:], usecols=0)
    np.testing.assert_array_equal(table == 1, indexed)


def test_outside_has_a_colour_and_a_line_in_the_legend(result, said):
    colours = group_colours(said.tolist())
    assert NO_ANSWER not in colours
    assert colours[OUTSIDE] == "#000000"
    # The colours of groups do not depend on whether some points are outside.
    assert {g: c for g, c in colours.items() if g} == group_colours([g for g in said.tolist() if g > 0])
    picture = coloured(said.reshape(3, 3), colours).reshape(-1, 3)
    assert (picture[said == OUTSIDE] == 0.0).all()
    assert (picture[said == NO_ANSWER] == 1.0).all()
    labels = [patch.get_label() for patch in legend(said, colours, (0, 221, 225))]
    assert labels[-1].startswith("no answer")
    assert labels[-2].startswith(NAME)


def test_a_signals_map_has_the_probability_of_outside(result):
    from kikuchinet.identification.signals import result_map

    (answer,) = result.answers
    xmap = result_map(result, object())
    np.testing.assert_allclose(xmap.prop["probability_outside"], answer.identification.probabilities[:, 0])
    assert "probability_0" not in xmap.prop
    assert crystal_map(answer).size == 9


def test_a_candidate_outside_the_classes_has_the_probability_of_outside():
    found = [(kn.crystals[name], "library") for name in ("Ni", "InP", "Mg")]
    evidence = {
        one.crystal.name: one.evidence for one in rank_by_network(found, [0.7, 0.1, 0.2], (0, 221, 225))
    }
    assert evidence == {"Ni": 0.2, "InP": 0.7, "Mg": 0.7}
    without = rank_by_network(found, [0.4, 0.6], (221, 225))
    assert {one.crystal.name: one.evidence for one in without} == {"Ni": 0.6, "InP": None, "Mg": None}


def test_library_candidates_of_an_outside_answer():
    names = {one.name for one in library_candidates(["In", "P", "Ni"], OUTSIDE, (0, 221, 225))}
    assert "InP" in names
    assert "Ni" not in names
    with pytest.raises(InputError, match="outside of what"):
        library_candidates(["In", "P"], OUTSIDE)


def test_nothing_looks_like_outside():
    with pytest.raises(InputError, match="no one group"):
        look_alikes(OUTSIDE, (0, 225))


def test_a_candidate_has_the_probability_of_what_its_pattern_may_show():
    # KCl is in 225, and its pattern in 221: potassium and chlorine scatter alike.
    found = [(kn.crystals["KCl"], "library"), (kn.crystals["NaCl"], "library")]
    first, second = rank_by_network(found, [0.8, 0.2], (221, 225))
    assert (first.crystal.name, first.evidence) == ("KCl", 0.8)
    assert (second.crystal.name, second.evidence) == ("NaCl", 0.2)
