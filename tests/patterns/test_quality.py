"""Image quality, held to kikuchipy's."""

from __future__ import annotations

import kikuchipy as kp
import numpy as np
import pytest

from kikuchinet.errors import InputError
from kikuchinet.patterns import quality


def test_equals_kikuchipy():
    signal = kp.data.nickel_ebsd_small()
    expected = signal.get_image_quality(show_progressbar=False).ravel()
    np.testing.assert_allclose(quality(signal.data.reshape(-1, 60, 60)), expected, atol=1e-5)
    signal.remove_static_background(show_progressbar=False)
    signal.remove_dynamic_background(show_progressbar=False)
    expected = signal.get_image_quality(show_progressbar=False).ravel()
    np.testing.assert_allclose(quality(signal.data.reshape(-1, 60, 60)), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(31, 44), (40, 40), (33, 33)])
def test_equals_kikuchipy_for_odd_shapes(shape):
    image = np.random.default_rng(0).random(shape).astype(np.float32)
    assert quality(image)[0] == pytest.approx(kp.pattern.get_image_quality(image), abs=1e-5)


def test_order_and_blank():
    rng = np.random.default_rng(0)
    smooth = np.add.outer(np.sin(np.arange(64) / 8), np.cos(np.arange(64) / 9))
    values = quality([rng.normal(size=(50, 60)), smooth, np.full((20, 20), 3.0)])
    assert abs(values[0]) < 0.05
    assert values[1] > 0.8
    assert values[2] == 0


def test_wrong_shape_is_refused():
    with pytest.raises(InputError):
        quality(np.zeros((2, 3, 4, 5)))
