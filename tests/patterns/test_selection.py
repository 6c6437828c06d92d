"""Parts of scans: the right patterns, and nothing else is read."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.patterns import Geometry, PatternSource, Region, example_patterns, select

SHAPE = (7, 9)


@pytest.fixture
def scan():
    """Return a scan whose pattern k is filled with k, and the list of what was read of it."""
    n = SHAPE[0] * SHAPE[1]
    asked = []

    def read(first, last):
        asked.extend(range(first, last))
        return [np.full((4, 5), k, dtype=np.uint8) for k in range(first, last)]

    rows, columns = np.divmod(np.arange(n), SHAPE[1])
    centers = np.stack([rows, columns, np.ones(n)], axis=1)
    source = PatternSource(
        "scan", ["scan"] * n, read, SHAPE, rows, columns, step=(0.5, 0.25), geometry=Geometry(centers)
    )
    return source, asked


@pytest.mark.parametrize(
    ("text", "stride", "expected"),
    [
        ("2:5,3:8", 1, np.s_[2:5, 3:8]),
        ("2:,:8", 2, np.s_[2::2, :8:2]),
        (":4", 3, np.s_[:4:3, ::3]),
        (":", 4, np.s_[::4, ::4]),
    ],
)
def test_same_patterns_as_numpy_slices(scan, text, stride, expected):
    source, asked = scan
    whole = np.arange(63).reshape(SHAPE)[expected]
    view = select(source, Region.parse(text), stride)
    assert view.navigation_shape == whole.shape
    assert view.indices.tolist() == whole.ravel().tolist()
    seen = np.concatenate([np.asarray(batch) for batch in view.batches(4)])
    assert seen[:, 0, 0].tolist() == whole.ravel().tolist()
    assert sorted(asked) == whole.ravel().tolist()
    np.testing.assert_array_equal(view.rows * SHAPE[1] + view.columns, whole.ravel())
    np.testing.assert_array_equal(view.geometry.pattern_centers[:, 1], view.columns)
    assert view.step == (0.5 * stride, 0.25 * stride)


def test_a_view_of_a_view(scan):
    source, asked = scan
    view = select(select(source, Region.parse("1:,2:")), Region.parse("1:3,1:3"))
    assert view.indices.tolist() == [21, 22, 30, 31]
    assert view[-1][0, 0] == 31
    assert asked == [31]


@pytest.mark.parametrize(
    ("text", "cause"), [("5:8", "7 rows"), (":,9:", "9 columns"), ("7:", "7 rows"), (":,3:10", "9 columns")]
)
def test_outside_the_scan(scan, text, cause):
    with pytest.raises(InputError, match=cause):
        select(scan[0], Region.parse(text))


@pytest.mark.parametrize("text", ["", "3", "5:5", "6:5", "a:b", "1:2,3:4,5:6", "-3:", "1:2;3:4", "2:3,4:4"])
def test_no_region(text):
    with pytest.raises(InputError, match="--roi"):
        Region.parse(text)


def test_pictures_have_no_region_but_a_stride():
    images = [np.full((4, 4), k) for k in range(5)]
    source = PatternSource("folder", [f"{k}.png" for k in range(5)], lambda a, b: images[a:b])
    with pytest.raises(InputError, match="no scan"):
        select(source, Region.parse("1:2"))
    view = select(source, stride=2)
    assert list(view.names) == ["0.png", "2.png", "4.png"]
    assert view.navigation_shape is None
    with pytest.raises(InputError, match="stride"):
        select(source, stride=0)


def test_the_vendors_indexing_comes_along():
    source = example_patterns()
    view = select(source, Region.parse("1:3,1:2"))
    assert view.reference.size == 2
    np.testing.assert_allclose(view.reference.rotations.data, source.reference.rotations.data[[4, 7]])
    np.testing.assert_array_equal(view[0], source[4])


def test_reading_some_patterns_does_not_count_all_of_them(monkeypatch):
    # Of a million patterns that took a millisecond for each that was read.
    def counted(self):
        raise AssertionError("all patterns of the source were numbered")

    monkeypatch.setattr(PatternSource, "indices", property(counted))
    images = [np.full((4, 4), k, dtype=np.uint8) for k in range(5)]
    images[3] = np.zeros(4, dtype=np.uint8)
    source = PatternSource("scan", ["scan"] * 5, lambda a, b: images[a:b])
    assert source[2].max() == 2
    assert len(source.patterns(0, 3)) == 3
    with pytest.raises(InputError, match="scan, pattern 3: has 1 dimensions"):
        source[3]
