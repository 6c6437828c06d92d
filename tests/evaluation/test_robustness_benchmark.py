"""The rows behind the table of robustness in docs/bands.md: each changes what its name says and nothing else."""

from __future__ import annotations

from dataclasses import replace

import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet.crystal import crystals
from kikuchinet.datasets import MasterSet
from kikuchinet.diffraction import MasterPattern
from kikuchinet.models import Identification


@pytest.fixture(scope="module")
def script(benchmark_script):
    return benchmark_script("robustness")


@pytest.fixture(scope="module")
def masters(tmp_path_factory) -> MasterSet:
    path = tmp_path_factory.mktemp("masters") / "Ni.h5"
    signal = kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    replace(MasterPattern.from_kikuchipy(signal), name="Ni", crystal=crystals["Ni"]).save(path)
    return MasterSet.from_files([path])


@pytest.fixture(scope="module")
def screen(script, masters):
    def made(**changes):
        (one,) = script.screens(masters, script.Recipe(shape=(60, 80), **changes), 4, 3)
        return one

    return made


def test_rows_differ_in_what_they_are_called(script):
    recipes = [recipe for rows in script.ROWS.values() for recipe in rows.values()]
    assert len(set(recipes)) == len(recipes) - 5  # six parts have the reference
    assert all(
        script.REFERENCE in rows.values() for what, rows in script.ROWS.items() if "inverted" not in what
    )
    assert {recipe.energy_kev for recipe in recipes} == {10.0, 15.0, 20.0, 25.0, 30.0}


def test_grey_scales_are_of_the_same_patterns(screen):
    eight = screen()
    assert eight.images.dtype == np.uint8
    np.testing.assert_array_equal(eight.images, screen().images)
    sixteen = screen(camera=(("bits", 16),))
    assert sixteen.images.dtype == np.uint16
    assert np.abs(sixteen.images / 257.0 - eight.images).max() <= 0.51
    np.testing.assert_array_equal(screen(inverted=True).images, 255 - eight.images)
    real = screen(camera=(("bits", 16),), real=True).images
    assert real.dtype == np.float32
    assert np.corrcoef(real.ravel(), sixteen.images.ravel())[0, 1] == pytest.approx(1.0, abs=1e-6)


def test_a_pattern_centre_is_off_by_what_the_row_says(script, screen):
    truth, off = screen().geometry, screen(center_error=0.02).geometry
    distance = np.linalg.norm(off.pattern_centers - truth.pattern_centers)
    assert distance == pytest.approx(0.02)
    assert off.sample_tilt_deg == truth.sample_tilt_deg
    assert screen(center_error=script.NOT_GIVEN).geometry is None


@pytest.mark.parametrize("kind", ["png", "tif"])
def test_files_hold_what_arrays_do(script, screen, tmp_path, kind):
    recipe = script.Recipe(shape=(60, 80), camera=(("bits", 8 if kind == "png" else 12),), file=kind)
    one = screen(camera=recipe.camera)
    source = script.source_of(one, recipe, tmp_path)
    np.testing.assert_array_equal(np.stack(list(source)), one.images)
    assert source.geometry is one.geometry


def test_what_counts_as_right(script, masters):
    (entry,) = masters
    sets = MasterSet([replace(entry, visible_group=225, visible_groups=(221, 225))])
    reasons = ("", "", "", "", "probability 0.31 is below 0.50")
    said = Identification((0, 221, 225, 229), np.full((5, 4), 0.25), np.array([225, 221, 229, 0, 0]), reasons)
    which = np.zeros(5, dtype=np.int64)
    assert script.counted(said, sets, which) == {"right": 2, "wrong": 2, "none": 1, "outside": 1}
    assert script.counted(said, sets, which, answerable=False) == {"wrong": 4, "none": 1, "outside": 1}
    assert script.why(reasons) == "probability"


def test_a_row_is_done_once_for_the_same_settings(script, tmp_path):
    path = tmp_path / "robustness.csv"
    lines = script.Lines(path, {"seed": 0})
    assert lines.find(script.REFERENCE) is None
    shares = {f"{way} {share}": 0.25 for way in script.WAYS for share in script.SHARES}
    lines.keep(script.REFERENCE, {"row": "exact", "patterns": 8, **shares})
    assert lines.find(script.REFERENCE)["patterns"] == "8"
    assert lines.find(replace(script.REFERENCE, energy_kev=10.0)) is None
    assert script.Lines(path, {"seed": 1}).find(script.REFERENCE) is None
    other = script.Lines(path, {"seed": 1})
    other.keep(replace(script.REFERENCE, inverted=True), {"row": "inverted", "patterns": 8, **shares})
    assert lines.find(script.REFERENCE) is not None
    assert script.table(lines, "a").count("| 8 | 0.250 | 0.250 | 0.250 |") == 6
    assert "| contrast inverted | inverted | 8 | - | 0.250 | 0.250 | - | 0.250 | 0.250 |" in script.table(
        other, "b"
    )
