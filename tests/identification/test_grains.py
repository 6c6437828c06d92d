"""Grains from patterns alone, held to the maps that scans were simulated from, and to pooling done grain by grain."""

from __future__ import annotations

import h5py
import kikuchipy as kp
import numpy as np
import pandas as pd
import pytest
from orix.quaternion import Rotation
from sklearn.metrics import adjusted_rand_score

from kikuchinet.datasets.grains import draw_grains
from kikuchinet.diffraction import MasterPattern
from kikuchinet.errors import InputError
from kikuchinet.identification import find_grains, read_grain_map
from kikuchinet.identification.grains import Grains, pool_grains
from kikuchinet.identification.maps import crystal_map
from kikuchinet.identification.phases import find_phases
from kikuchinet.identification.result import IdentificationResult, SourceAnswer
from kikuchinet.microscope import project_batch
from kikuchinet.models import Identification, load_model
from kikuchinet.patterns import PatternSource, Region, select

SHAPE = (14, 18)


@pytest.fixture(scope="module")
def master():
    return MasterPattern.from_kikuchipy(
        kp.data.nickel_ebsd_master_pattern_small(projection="lambert", hemisphere="both")
    )


def scan(master, quaternions, noise, mark=0.0, seed=0):
    """Return a source of noisy patterns, with marks of the camera that are `mark` times as strong as the signal."""
    rng = np.random.default_rng(seed)
    images = project_batch(master.upper, master.lower, quaternions, np.array([0.5, 0.3, 0.6]), (48, 48))
    images = (images - images.mean()) / images.std()
    images += mark * rng.normal(size=(48, 48)) + noise * rng.normal(size=images.shape)
    stored = np.clip(128 + 25 * images, 0, 255).astype(np.uint8)
    rows, columns = np.divmod(np.arange(len(stored)), SHAPE[1])
    return PatternSource("scan", ["scan"] * len(stored), lambda a, b: list(stored[a:b]), SHAPE, rows, columns)


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(5)
    grains = draw_grains(SHAPE, step_um=1.0, grain_um=6.0, fractions=[1.0], rng=rng, spread_deg=0.2)
    return grains.grain.ravel(), grains.quaternions.reshape(-1, 4)


@pytest.mark.parametrize(("noise", "mark"), [(0.3, 0.0), (1.5, 0.0), (0.5, 4.0)])
def test_grains_are_those_that_were_simulated(master, truth, noise, mark):
    labels, quaternions = truth
    found = find_grains(scan(master, quaternions, noise, mark))
    assert adjusted_rand_score(labels, found.labels) > 0.95
    assert found.sizes.sum() == len(labels)
    assert (found.details["shared_part_removed"] == 1.0) == (mark > 0)


def test_a_single_crystal_is_one_grain(master):
    one = np.tile([0.8, 0.4, 0.4, 0.2], (SHAPE[0] * SHAPE[1], 1))
    assert find_grains(scan(master, one, 1.0)).count == 1


def test_noise_alone_is_no_grain(master):
    rng = np.random.default_rng(2)
    quaternions = rng.normal(size=(SHAPE[0] * SHAPE[1], 4))
    quaternions /= np.linalg.norm(quaternions, axis=1, keepdims=True)
    # Every point has an orientation of its own.
    assert find_grains(scan(master, quaternions, 0.3)).count > 0.9 * len(quaternions)


def test_batches_do_not_matter(master, truth):
    from kikuchinet.identification.similarity import neighbour_similarity

    source = scan(master, truth[1], 0.5)
    whole = neighbour_similarity(source, batch_size=300)
    parts = neighbour_similarity(source, batch_size=7)
    np.testing.assert_allclose(parts.neighbours, whole.neighbours, atol=1e-5)
    assert np.isnan(whole.neighbours[0, :, -1]).all()
    assert np.isfinite(whole.neighbours[3, :-1, 1:]).all()


def test_pooling_is_the_models_own_grain_by_grain():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.ones(3), size=40)
    probabilities[5] = 1 / 3  # shows nothing
    labels = rng.integers(-1, 4, 40)
    answers = np.array([221, 225, 229])[probabilities.argmax(axis=1)]
    said = Identification((221, 225, 229), probabilities, answers, ("",) * 40)
    pooled = pool_grains(said, Grains(labels))
    for grain in range(4):
        members = (labels == grain) & (np.arange(40) != 5)
        alone = said.pooled(where=members)
        np.testing.assert_allclose(pooled.probabilities[grain], alone.probabilities, atol=1e-12)
        assert pooled.space_groups[grain] == alone.space_group
        assert pooled.patterns[grain] == members.sum()
    phases = find_phases(pooled, Grains(labels))
    assert sum(phase.fraction for phase in phases) == pytest.approx((labels >= 0).mean())


def test_a_grain_that_shows_nothing_has_no_probability_in_any_table(tiny_model):
    values = np.array([[0.9, 0.05, 0.05]] * 2 + [[1 / 3] * 3] * 2)
    said = Identification(
        (221, 225, 229), values, np.array([221, 221, 0, 0]), ("", "", "no contrast", "no contrast")
    )
    rows, columns = np.divmod(np.arange(4), 2)
    source = PatternSource("scan", ["scan"] * 4, lambda a, b: [np.eye(16)] * (b - a), (2, 2), rows, columns)
    answer = SourceAnswer(source, said, np.zeros(4), Grains(np.array([0, 0, 1, 1])))
    table = answer.grain_table
    of_grains = ["probability", *(name for name in table if name.endswith("_probability"))]
    assert "crystal_system_probability" in of_grains
    assert table[of_grains].notna().to_numpy().tolist() == [[True] * len(of_grains), [False] * len(of_grains)]
    patterns = IdentificationResult((answer,), load_model(tiny_model, device="cpu").card).patterns
    assert patterns["grain_probability"].notna().tolist() == [True, True, False, False]
    assert crystal_map(answer).prop["grain_probability"].tolist()[2:] == [0.0, 0.0]


def test_a_given_grain_map(tmp_path, master, truth):
    import tifffile
    from orix import io
    from orix.crystal_map import CrystalMap

    labels, quaternions = truth
    source = scan(master, quaternions, 0.3)
    part = select(source, Region.parse("2:10,3:15"), 2)
    array = labels.reshape(SHAPE) * 7 + 3
    rows, columns = np.divmod(np.arange(labels.size), SHAPE[1])
    np.save(tmp_path / "map.npy", array)
    tifffile.imwrite(tmp_path / "map.tif", array.astype(np.uint16))
    pd.DataFrame({"column": columns, "row": rows, "Grain_ID": array.ravel()}).to_csv(tmp_path / "map.csv")
    xmap = CrystalMap(Rotation(quaternions), x=columns, y=rows, prop={"grains": array.ravel()})
    io.save(str(tmp_path / "map.h5"), xmap)
    inside = labels.reshape(SHAPE)[2:10:2, 3:15:2].ravel()
    for name in ("map.npy", "map.tif", "map.csv", "map.h5"):
        whole = read_grain_map(tmp_path / name, source)
        assert adjusted_rand_score(whole.labels, labels) == 1.0
        assert whole.count == len(np.unique(labels))
        assert adjusted_rand_score(read_grain_map(tmp_path / name, part).labels, inside) == 1.0
    np.save(tmp_path / "wrong.npy", array[:5])
    np.save(tmp_path / "real.npy", array + 0.5)
    (tmp_path / "empty.csv").write_text("a,b\n1,2\n")
    (tmp_path / "broken.tif").write_bytes(b"II*\0nothing")
    for name, cause in (
        ("wrong.npy", "does not fit"),
        ("real.npy", "whole numbers"),
        ("empty.csv", "needs columns"),
        ("broken.tif", "holds no numbers"),
        ("map.txt", "does not exist"),
    ):
        with pytest.raises(InputError, match=cause) as caught:
            read_grain_map(tmp_path / name, source)
        # Once, not again in what the reader said.
        assert str(caught.value).count(name) == 1


def test_files_that_are_no_grain_map_are_named(tmp_path):
    blank = np.zeros((6, 20, 20), np.uint8)
    rows, columns = np.divmod(np.arange(6), 3)
    source = PatternSource("scan", ["scan"] * 6, lambda a, b: list(blank[a:b]), (2, 3), rows, columns)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["numbers"] = np.arange(5)
    (tmp_path / "text.h5").write_text("no HDF5")
    (tmp_path / "empty.ang").write_text("")
    (tmp_path / "header.ang").write_text("# TEM_PIXperUM 1.0\n# x-star 0.4\n")
    (tmp_path / "cut.ctf").write_text("Channel Text File\nPrj\tmap\nXCells\t3\n")
    (tmp_path / "nothing.csv").write_text("")
    (tmp_path / "grains.txt").write_text("1 2 3\n")
    for name in ("other.h5", "text.h5", "empty.ang", "header.ang", "cut.ctf", "nothing.csv"):
        with pytest.raises(InputError, match="cannot be read as a grain map"):
            read_grain_map(tmp_path / name, source)
    with pytest.raises(InputError, match="no kind of grain map"):
        read_grain_map(tmp_path / "grains.txt", source)
    for text in ("row,column,grain\n", "row,column,grain\n0,1,\n"):
        (tmp_path / "unfilled.csv").write_text(text)
        with pytest.raises(InputError, match="holds no rows"):
            read_grain_map(tmp_path / "unfilled.csv", source)
