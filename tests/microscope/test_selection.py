"""The ends of a grey scale are those that NumPy's partition finds."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.microscope.selection import both_ends


@pytest.mark.parametrize("k", [0, 1, 7, 80, 349, 350])
@pytest.mark.parametrize("kind", ["normal", "levels", "outlier", "tiny", "denormal", "blank"])
def test_as_numpy_partition(kind, k):
    rng = np.random.default_rng(0)
    images = rng.standard_normal((5, 20, 35)).astype(np.float32)
    if kind == "levels":
        images = np.rint(images * 3)
    elif kind == "outlier":
        images[:, 3, 4], images[:, 7, 8] = 1e6, -1e30
    elif kind == "tiny":
        images = np.float32(1.0) + images * np.float32(1e-7)
    elif kind == "denormal":
        images *= np.float32(1e-44)
    elif kind == "blank":
        images[:] = 4.0
    flat = np.sort(images.reshape(5, -1), axis=1)
    low, high = both_ends(images, k)
    np.testing.assert_array_equal(low, flat[:, k])
    np.testing.assert_array_equal(high, flat[:, -1 - k])
