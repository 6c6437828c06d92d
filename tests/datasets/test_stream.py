"""The stream is the same whoever makes it, balanced, uniform in orientation, and right in its labels."""

from __future__ import annotations

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from scipy.stats import kstest

from kikuchinet.crystal import OUTSIDE
from kikuchinet.datasets import (
    GeometryRange,
    MasterSet,
    PatternStream,
    QualityRange,
    StreamConfig,
    random_quaternions,
    windows,
)
from kikuchinet.datasets import stream as stream_module
from kikuchinet.errors import InputError
from kikuchinet.microscope import CameraRange

CLASSES = (225, 227, 229)
CONFIG = StreamConfig(seed=11, block=4, blocks_per_window=9, quality=QualityRange(start=1.0, images=60))


def make(masters: MasterSet, config: StreamConfig = CONFIG) -> PatternStream:
    return PatternStream(masters, CLASSES, config, size=(40, 40))


def content(stream: PatternStream, n: int, workers: int) -> list[bytes]:
    taken = islice(windows(stream, workers=workers), n)
    return [w.images.tobytes() + w.labels.tobytes() + w.masters.tobytes() for w in taken]


def test_same_seed_same_bytes(masters):
    first, second = content(make(masters), 3, 0), content(make(masters), 3, 0)
    assert first == second
    other = content(make(masters, replace(CONFIG, seed=12)), 1, 0)
    assert other[0] != first[0]
    assert len(set(first)) == 3


@pytest.mark.slow
def test_workers_change_nothing(masters):
    alone = content(make(masters), 5, 0)
    assert content(make(masters), 5, 2) == alone


def test_a_window_does_not_depend_on_what_came_before(masters):
    stream = make(masters)
    late = PatternStream(masters, CLASSES, CONFIG, size=(40, 40), first_window=2)
    np.testing.assert_array_equal(next(windows(late)).images, stream.window(2).images)


def test_groups_materials_and_masters_come_equally_often(masters):
    found = [make(masters, replace(CONFIG, blocks_per_window=30)).window(i) for i in range(4)]
    labels = np.concatenate([w.labels for w in found])
    chosen = np.concatenate([w.masters for w in found])
    np.testing.assert_array_equal(np.bincount(labels), [160, 160, 160])
    # 40 blocks a class on two variants: fewer than 8 of either has a probability of 1e-4.
    assert np.bincount(chosen, minlength=6).min() >= 8 * 4
    for label, index in zip(labels, chosen, strict=True):
        assert masters[int(index)].visible_group == CLASSES[label]
    # Shuffled: a batch is no run of one block.
    assert len(set(found[0].masters[:16].tolist())) >= 4


def test_others_have_a_share_of_their_groups_blocks(masters):
    # Fe stands for a further crystal of the groups' first one: two entries of six are others.
    entries = [replace(e, visible_group=225, other=True) if e.material == "Fe" else e for e in masters]
    config = replace(CONFIG, block=1, blocks_per_window=200, others_share=0.25)
    stream = PatternStream(MasterSet(entries), (225, 227), config, size=(40, 40))
    window = stream.window(0)
    other = np.array([entry.other for entry in entries])[window.masters]
    assert not other[window.labels == 1].any()
    assert 0.1 < other[window.labels == 0].mean() < 0.4
    with pytest.raises(InputError, match="others_share"):
        replace(CONFIG, others_share=1.0)


def test_every_block_draws_one_of_the_cameras(masters, monkeypatch):
    drawn = []
    monkeypatch.setattr(stream_module, "draw", lambda *_, cameras, **__: drawn.append(cameras))
    several = make(masters, replace(CONFIG, cameras=("good", "poor", "poor")))
    for number in range(300):
        several.scene(0, number, 0)
    assert set(drawn) == {CameraRange.good(), CameraRange.poor()}
    assert 0.25 < drawn.count(CameraRange.good()) / 300 < 0.42
    monkeypatch.undo()
    # One name is the preset itself.
    alone = make(masters, replace(CONFIG, cameras=("good",))).window(0)
    good = make(masters, replace(CONFIG, camera="good")).window(0)
    np.testing.assert_array_equal(alone.images, good.images)
    with pytest.raises(InputError, match="'best' is none of good"):
        replace(CONFIG, cameras=("good", "best"))


def test_patterns_are_prepared(masters):
    window = make(masters).window(7)
    assert window.images.shape == (36, 40, 40)
    assert window.images.dtype == np.float32
    assert np.isfinite(window.images).all()
    assert (window.images.std(axis=(1, 2)) > 0.5).all()


def test_curriculum_goes_from_clean_to_the_whole_range():
    quality = QualityRange(lowest=0.2, highest=0.6, start=1.0, images=100)
    assert quality.at(0) == (1.0, 1.0)
    assert quality.at(50) == pytest.approx((0.6, 0.6))
    assert quality.at(10**6) == pytest.approx((0.2, 0.6))
    with pytest.raises(InputError):
        QualityRange(lowest=0.5, highest=0.4)


def test_classes_must_fit_the_materials(masters):
    with pytest.raises(InputError, match="without any material"):
        PatternStream(masters, (*CLASSES, 230), CONFIG)
    with pytest.raises(InputError, match="not among the classes"):
        PatternStream(masters, CLASSES[:2], CONFIG)


def test_orientations_are_uniform():
    q = random_quaternions(20000, np.random.default_rng(2))
    np.testing.assert_allclose(np.linalg.norm(q, axis=1), 1.0)
    assert (q[:, 0] >= 0).all()
    # Haar measure: the rotation angle w has the distribution (w - sin w) / pi, and any axis goes anywhere evenly.
    angles = 2.0 * np.arccos(np.clip(q[:, 0], 0.0, 1.0))
    assert kstest(angles, lambda w: (w - np.sin(w)) / np.pi).pvalue > 1e-3
    a, b, c, d = q.T
    image_of_z = np.stack([2 * (b * d + a * c), 2 * (c * d - a * b), a**2 - b**2 - c**2 + d**2])
    for component in image_of_z:
        assert kstest(component, "uniform", args=(-1.0, 2.0)).pvalue > 1e-3


def test_geometry_stays_inside_its_ranges():
    geometry = GeometryRange(pc_x=(0.4, 0.5), pc_y=(0.1, 0.2), pc_z=(0.6, 0.6), sample_tilt_deg=(69.0, 71.0))
    centers = geometry.pattern_centers(500, np.random.default_rng(0))
    assert (centers >= [0.4, 0.1, 0.6]).all()
    assert (centers <= [0.5, 0.2, 0.6]).all()
    assert centers[:, 0].std() > 0.02
    sample_tilt, _, _ = geometry.tilts_deg(np.random.default_rng(0))
    assert 69.0 <= sample_tilt <= 71.0
    with pytest.raises(InputError, match="rising order"):
        GeometryRange(pc_x=(0.5, 0.4))


def test_what_is_in_no_class_is_outside_where_there_is_such_a_class(masters):
    stream = PatternStream(masters, (OUTSIDE, 225, 227), CONFIG, size=(40, 40))
    window = stream.window(0)
    names = np.array([masters[i].material for i in window.masters])
    assert set(names[window.labels == 0]) == {"Fe"}
    assert set(names[window.labels != 0]) == {"Al", "Si"}
    with pytest.raises(InputError, match="Fe: its space group 229 is not among the classes"):
        PatternStream(masters, (225, 227), CONFIG, size=(40, 40))
