"""Candidates held against simulated patterns: the right one is found, an absent one is missed, alike ones stay alike."""

from __future__ import annotations

from dataclasses import replace

import kikuchipy as kp
import numpy as np
import pytest
from orix.quaternion import Rotation
from orix.quaternion.symmetry import O

import kikuchinet as kn
from kikuchinet.crystal import Crystal, Site
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.identification import (
    CandidateFit,
    Grains,
    PhaseFit,
    Physics,
    SourceAnswer,
    fit_phases,
    gather_crystals,
)
from kikuchinet.identification.bands import where_screen_stood
from kikuchinet.identification.contenders import rank_by_network
from kikuchinet.identification.extras import fit_summary
from kikuchinet.identification.physics import at_boundary, choose_patterns, index_patterns
from kikuchinet.identification.result import IdentificationResult
from kikuchinet.microscope import project_batch
from kikuchinet.models import Identification, load_model
from kikuchinet.patterns import Geometry, PatternSource

CLASSES = (221, 223, 225, 227, 229, 230)
CENTER = np.array([0.48, 0.31, 0.58])


@pytest.fixture(scope="module")
def masters():
    """Return nickel's pattern, and iron's at the simulator's lowest cost."""
    nickel = MasterPattern.from_kikuchipy(
        kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    )
    iron = kn.simulate(kn.crystals["Fe"], half_width=40, preset="fast")
    return {
        "library: Ni": replace(nickel, crystal=kn.crystals["Ni"]),
        "library: Fe": iron,
        "here: Ni again": nickel,
    }


@pytest.fixture(scope="module")
def result(masters, tiny_model):
    """Return a scan of two grains of nickel, 4 x 6, whose network says 225 for one and 221 for the other."""
    rng = np.random.default_rng(8)
    two = rng.normal(size=(2, 4))
    two /= np.linalg.norm(two, axis=1, keepdims=True)
    labels = np.tile([0, 0, 0, 1, 1, 1], 4)
    master = masters["library: Ni"]
    images = project_batch(master.upper, master.lower, two[labels], CENTER, (60, 60))
    images = images + 0.7 * images.std() * rng.normal(size=images.shape)
    rows, columns = np.divmod(np.arange(24), 6)
    source = PatternSource(
        "scan",
        ["scan"] * 24,
        lambda a, b: list(images[a:b]),
        (4, 6),
        rows,
        columns,
        step=(0.5, 0.5),
        geometry=Geometry(CENTER[None], energy_kev=20.0),
    )
    probabilities = np.full((24, 6), 0.02)
    probabilities[labels == 0, 2] = probabilities[labels == 1, 0] = 0.9
    said = Identification(CLASSES, probabilities, np.array([225, 221])[labels], ("",) * 24)
    answer = SourceAnswer(source, said, rng.uniform(size=24), Grains(labels))
    card = load_model(tiny_model).card
    return IdentificationResult((answer,), card, {}, ("Ni", "Fe")), Rotation(two), labels


def alone(run):
    """Return a run without grains: one fit for all patterns."""
    return replace(run, answers=(replace(run.answers[0], grains=None),))


def again():
    return replace(kn.crystals["Ni"], name="Ni again")


def test_the_right_crystal_at_the_right_orientation(result, masters):
    run, truth, labels = result
    found = [(kn.crystals["Fe"], "library"), (kn.crystals["Ni"], "library")]
    fitted = fit_phases(run, found, Physics(patterns=3, everywhere=True, spacing_deg=5.0), masters=masters)
    assert len(fitted.fits) == 2
    for fit in fitted.fits:
        assert fit.best.crystal.name == "Ni"
        assert fit.verdict == "one"
        assert fit.geometry == "file"
        assert len(fit.patterns) == 3
        margin, error = fit.margin(fit.candidates[1])
        assert margin > 0.1
        assert error < margin / 3
    orientations = fitted.orientations(0)
    assert orientations.indexed.all()
    operations = Rotation(O.data)
    for k in range(24):
        turn = Rotation(orientations.quaternions[k]) * ~truth[int(labels[k])]
        assert np.degrees(operations.outer(turn).angle.min()) < 1.0
    frame = fitted.patterns
    assert set(frame["candidate"]) == {"Ni"}
    assert frame["correlation"].min() > 0.5
    summary = fitted.summary()["fits"][0]
    assert [row["name"] for row in summary["candidates"]] == ["Ni", "Fe"]
    assert summary["candidates"][1]["behind_best"] > 0.1


def test_alike_candidates_cannot_be_told_apart(result, masters):
    run, _, _ = result
    found = [(again(), "here"), (kn.crystals["Ni"], "library"), (kn.crystals["Fe"], "library")]
    fitted = fit_phases(alone(run), found, Physics(patterns=2, spacing_deg=5.0), masters=masters)
    for fit in fitted.fits:
        assert fit.verdict == "several"
        assert len(fit.rivals) == 1
        assert "cannot be told apart" in fit.statement


def test_a_pattern_of_another_phase_is_named():
    rng = np.random.default_rng(0)

    def fit(name, correlations, standing=20.0):
        m = len(correlations)
        return CandidateFit(
            kn.crystals[name], "library", 0.5, Rotation.identity((m,)), np.zeros((m, 3)),
            np.asarray(correlations), np.full(m, standing),
        )  # fmt: skip

    good = 0.7 + 0.002 * rng.normal(size=4)
    nickel, iron = fit("Ni", [*good[:3], 0.3]), fit("Fe", [0.2, 0.25, 0.2, 0.68])
    phase = PhaseFit(0, 225, np.array([3, 5, 8, 13]), (nickel, iron), kn.Detector((60, 60)), "file")
    ((place, other, lead),) = phase.dissenting
    assert (place, other.crystal.name, round(lead, 2)) == (13, "Fe", 0.38)
    assert "Pattern 13 is fitted better by Fe" in phase.statement
    # In a part of a scan, it is named as in the file and in patterns.csv.
    part = replace(phase, numbers=np.array([12, 20, 32, 52]))
    assert part.dissenting[0][0] == 13
    assert "Pattern 52 is fitted better by Fe" in part.statement
    said = fit_summary(part, "scan")
    assert said["patterns"] == [12, 20, 32, 52]
    assert [one["pattern"] for one in said["dissenting"]] == [52]
    # What does not fit at all is no rival, however wide the spread is.
    assert len(phase.rivals) == 1
    poor = fit("Fe", [0.2, 0.25, 0.2, 0.68], standing=5.0)
    assert PhaseFit(0, 225, phase.patterns, (nickel, poor), phase.detector, "file").rivals == ()
    one, two = fit("Ni", [0.7]), fit("Al", [0.68])
    single = PhaseFit(0, None, np.array([0]), (one, two), phase.detector, "file")
    assert single.verdict == "several"
    # Two patterns that agree by chance settle nothing: Student's t has one degree of freedom.
    pair = PhaseFit(
        0, None, np.array([0, 1]), (fit("Ni", [0.7, 0.72]), fit("Al", [0.68, 0.69])), phase.detector, "file"
    )
    assert pair.verdict == "several"


def test_fits_to_a_part_of_a_scan_name_patterns_as_the_table_does(result, masters):
    run, _, _ = result
    (answer,) = run.answers
    part = replace(answer, source=replace(answer.source, numbers=np.arange(24) * 4 + 2), grains=None)
    fitted = fit_phases(
        replace(run, answers=(part,)),
        [(kn.crystals["Ni"], "library")],
        Physics(patterns=2, spacing_deg=8.0),
        masters=masters,
    )
    (fit,) = fitted.fits
    (said,) = fitted.summary()["fits"]
    assert said["patterns"] == (fit.patterns * 4 + 2).tolist()
    assert set(said["patterns"]) <= set(fitted.patterns["index"])


def test_an_unknown_stays_unknown(result, masters):
    run, _, _ = result
    fitted = fit_phases(
        alone(run), [(kn.crystals["Fe"], "library")], Physics(patterns=3, spacing_deg=5.0), masters=masters
    )
    for fit in fitted.fits:
        assert fit.verdict == "none"
        assert "stays unknown" in fit.statement
    assert not fitted.orientations(0).indexed.any()
    assert (fitted.patterns["candidate"] == "").all()


@pytest.mark.slow
def test_a_pattern_centre_that_nobody_knows_is_found(result, masters):
    run, _, _ = result
    (answer,) = run.answers
    blind = replace(answer, source=replace(answer.source, geometry=None), grains=None)
    fitted = fit_phases(
        replace(run, answers=(blind,)),
        [(kn.crystals["Ni"], "library")],
        Physics(patterns=1, spacing_deg=5.0),
        masters=masters,
    )
    (fit,) = fitted.fits
    assert fit.geometry == "fitted"
    np.testing.assert_allclose(fit.detector.pattern_center, CENTER, atol=0.02)
    given = Physics(patterns=1, pattern_center=(0.48, 0.69, 0.58), convention="edax", spacing_deg=5.0)
    fitted = fit_phases(
        replace(run, answers=(blind,)), [(kn.crystals["Ni"], "library")], given, masters=masters
    )
    assert fitted.fits[0].geometry == "given"
    np.testing.assert_allclose(fitted.fits[0].detector.pattern_center, CENTER, atol=1e-6)


def test_patterns_of_another_size_are_not_indexed_with_the_others(result, masters):
    run, _, _ = result
    (answer,) = run.answers
    # 240 and 120 rows, which are both fitted at 96.
    first = np.repeat(np.repeat(answer.source[0], 4, axis=0), 4, axis=1)
    images = [first, first[::2, ::2], first]
    source = PatternSource(
        "two sizes", ["a", "b", "c"], lambda a, b: images[a:b], geometry=Geometry(CENTER[None])
    )
    fit = PhaseFit(0, 225, np.array([0]), (), kn.Detector((96, 96), tuple(CENTER)), "file")
    indexed = index_patterns(source, np.arange(3), masters["library: Ni"], fit, Physics(spacing_deg=8.0))
    assert indexed.patterns.tolist() == [0, 2]
    assert len(indexed.correlations) == 2


def test_a_given_pattern_centre_leaves_the_files_tilts():
    said = Geometry(
        CENTER[None], sample_tilt_deg=65.0, detector_tilt_deg=8.0, azimuthal_deg=2.0, twist_deg=-1.0
    )
    # (0.48, 0.31, 0.58) as Oxford counts it, on a screen of 48 x 60.
    given = Physics(pattern_center=(0.48, 0.552, 0.464), convention="oxford")
    for detector in (
        given.detector(said, (76, 96), (480, 600)),
        where_screen_stood(_of_one_image(said), None, given)[0],
    ):
        np.testing.assert_allclose(detector.pattern_center, CENTER, atol=1e-3)
        assert (detector.tilt_deg, detector.sample_tilt_deg) == (8.0, 65.0)
        assert (detector.azimuthal_deg, detector.twist_deg) == (2.0, -1.0)
    # Tilts that are given go before the file's, as the pattern centre does.
    tilted = Physics(sample_tilt_deg=70.0, detector_tilt_deg=0.0).detector(said, (76, 96))
    assert (tilted.tilt_deg, tilted.sample_tilt_deg, tilted.twist_deg) == (0.0, 70.0, -1.0)
    np.testing.assert_allclose(tilted.pattern_center, CENTER)
    unknown = Physics().detector(None, (76, 96))
    assert (unknown.tilt_deg, unknown.sample_tilt_deg) == (0.0, 70.0)


def _of_one_image(geometry):
    """Return a source's answers, of one image of 48 x 60."""
    image = np.zeros((48, 60), np.uint8)
    source = PatternSource("one", ["one"], lambda a, b: [image][a:b], geometry=geometry)
    said = Identification(CLASSES, np.full((1, 6), 1 / 6), np.array([0]), ("",))
    return SourceAnswer(source, said, np.ones(1), None)


def test_patterns_are_chosen_inside_grains_one_of_each(result):
    run, _, labels = result
    (answer,) = run.answers
    np.testing.assert_array_equal(np.flatnonzero(at_boundary(answer)) % 6 // 2, 1)
    chosen = choose_patterns(answer, np.arange(24), 2)
    assert sorted(labels[chosen]) == [0, 1]
    assert not at_boundary(answer)[chosen].any()
    for k in chosen:
        same = (labels == labels[k]) & ~at_boundary(answer)
        assert answer.quality[k] == answer.quality[same].max()
    assert len(choose_patterns(answer, np.arange(24), 99)) == 24


def test_candidates_of_elements_and_folders(tmp_path):
    strange = Crystal(
        "strange", 0.4, 0.4, 0.5, 90, 90, 90, 99, "", sites=(Site("Ni", (0, 0, 0), 1.0, 0.005),)
    )
    (tmp_path / "strange.cif").write_text(strange.to_cif())
    (tmp_path / "gold.cif").write_text(kn.crystals["Cu"].to_cif())
    (tmp_path / "broken.cif").write_text("data_nothing\n")
    found, unreadable = gather_crystals(("Al", "Ni"), [tmp_path])
    assert len(unreadable) == 1
    assert "broken.cif" in str(unreadable[0])
    names = [crystal.name for crystal, _ in found]
    assert {"Ni", "Al", "NiAl", "Ni3Al", "Al3Ni2", "Al4Ni3", "strange"} == set(names)
    ranked = rank_by_network(found, [0.7, 0.01, 0.25, 0.01, 0.01, 0.02], CLASSES)
    assert {one.crystal.name for one in ranked[:2]} == {"NiAl", "Ni3Al"}
    evidence = {one.crystal.name: one.evidence for one in ranked}
    assert evidence["strange"] is None
    assert evidence["Ni"] == 0.25
    only, _ = gather_crystals((), [tmp_path])
    assert len(only) == 2
    # A candidate cannot be told apart from itself.
    gold = tmp_path / "gold.cif"
    twice, unreadable = gather_crystals((), [gold, tmp_path, tmp_path / ".." / tmp_path.name / "gold.cif"])
    assert [origin for _, origin in twice] == [str(gold), str(tmp_path / "strange.cif")]
    assert len(unreadable) == 1
    with pytest.raises(InputError, match="does not exist"):
        gather_crystals((), [tmp_path / "none"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="without any CIF"):
        gather_crystals((), [tmp_path / "empty"])
