"""Patterns to answers in batches: the size of a batch changes nothing, and memory stays small."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import kikuchinet as kn
from kikuchinet.errors import InputError
from kikuchinet.identification import crystal_map
from kikuchinet.identification.maps import save_map
from kikuchinet.identification.result import SourceAnswer
from kikuchinet.models import Identification
from kikuchinet.patterns import PatternSource


@pytest.fixture(scope="module")
def model(tiny_model):
    return kn.load_model(tiny_model)


def test_batches_do_not_matter(model):
    whole = kn.identify(kn.example_patterns(), model)
    parts = kn.identify(kn.example_patterns(), model, batch_size=2)
    np.testing.assert_allclose(
        parts.identification.probabilities, whole.identification.probabilities, atol=1e-4
    )
    assert parts.patterns["index"].tolist() == list(range(9))


def test_it_says_what_the_model_says(model):
    images = np.stack(list(kn.example_patterns()))
    direct = model.identify(images)
    result = kn.identify(kn.example_patterns(), model)
    # The tiny model's last layer is 600 times as steep as a trained one: it shows float32's rounding.
    np.testing.assert_allclose(result.identification.probabilities, direct.probabilities, atol=1e-4)
    assert result.pooled.space_group == direct.pooled().space_group


def test_never_more_than_a_batch_is_read(model):
    rng = np.random.default_rng(0)
    asked = []

    def read(first, last):
        asked.append(last - first)
        return list(rng.integers(0, 255, (last - first, 40, 40), dtype=np.uint8))

    steps = []
    source = PatternSource("scan", ["scan"] * 300, read, (20, 15), *np.divmod(np.arange(300), 15))
    result = kn.identify(
        source, model, batch_size=32, progress=lambda done, total: steps.append((done, total))
    )
    assert max(asked) == 32
    assert steps[-1] == (300, 300)
    assert len(result.patterns) == 300
    assert crystal_map(result.answers[0]).shape == (20, 15)


def test_several_inputs_are_pooled_in_order(model):
    example = kn.example_patterns()
    result = kn.identify([example, example], model)
    assert result.pooled.n_patterns == 18
    assert result.patterns["index"].tolist() == [*range(9), *range(9)]


def test_nothing_given(model):
    with pytest.raises(InputError, match="no patterns"):
        kn.identify([], model)


def test_elements_are_checked_before_any_work(model):
    with pytest.raises(InputError, match="Xx"):
        kn.identify("missing.h5", model, elements="Xx")


def test_steps_and_their_unit_reach_the_crystal_map(model):
    def read(first, last):
        return [
            np.random.default_rng(i).integers(0, 255, (40, 40), dtype=np.uint8) for i in range(first, last)
        ]

    rows, columns = np.divmod(np.arange(6), 3)
    source = PatternSource(
        "scan", ["scan"] * 6, read, (2, 3), rows, columns, step=(0.5, 0.25), step_unit="um"
    )
    made = crystal_map(kn.identify(source, model).answers[0])
    assert made.scan_unit == "um"
    np.testing.assert_allclose(made.x, columns * 0.25)
    np.testing.assert_allclose(made.y, rows * 0.5)


@pytest.mark.parametrize("shape", [(1000, 3), (3, 1000), (40, 40), (60, 10)])
def test_the_map_of_a_long_scan_is_bounded_and_seen(tmp_path, shape):
    n = shape[0] * shape[1]
    groups = np.where(np.arange(n) < n // 2, 225, 229)
    values = np.where(groups[:, None] == [225, 229], 0.9, 0.1)
    source = PatternSource("scan", ["scan"] * n, lambda a, b: [np.eye(16)] * (b - a), shape)
    answer = SourceAnswer(source, Identification((225, 229), values, groups, ("",) * n), np.zeros(n))
    save_map(answer, tmp_path / "map.png", {225: "#ff0000", 229: "#0000ff"})
    picture = np.asarray(Image.open(tmp_path / "map.png").convert("RGB")).astype(int)
    assert max(picture.shape) < 2000
    red = (picture == [255, 0, 0]).all(axis=2)
    # The legend's red patch is smaller than this.
    assert red.sum(axis=0).max() > 60
    assert red.sum(axis=1).max() > 55
