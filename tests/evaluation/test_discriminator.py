"""The discriminator finds a difference that is there, and none that is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from kikuchinet.errors import InputError
from kikuchinet.evaluation.discriminator import discriminate, patch_features, patches_of


def stack(seed, n=6, sigma=1.5):
    rng = np.random.default_rng(seed)
    images = [ndimage.gaussian_filter(rng.normal(size=(96, 96)), sigma) for _ in range(n)]
    return np.array([image / image.std() for image in images], dtype=np.float32)


def test_alike_is_chance():
    found = discriminate(stack(0), stack(1), folds=3, trees=30)
    for name in ("random forest", "logistic"):
        assert 0.3 < found.auc[name] < 0.7
        assert 0.35 < found.accuracy[name] < 0.65
    assert (found.patches, found.patterns) == (6 * 25, 6)


def test_a_little_more_blur_is_found():
    found = discriminate(stack(0), stack(1, sigma=1.9), folds=3, trees=30)
    assert min(found.auc.values()) > 0.95
    assert min(found.pattern_auc.values()) == 1.0
    names = [name for name, _value in found.giveaways]
    assert any(name.startswith(("autocorrelation", "power", "gradient", "second")) for name in names)


def test_what_marks_one_pattern_is_no_help():
    """Each pattern has a blur of its own, simulated and measured alike: only a classifier that has seen the pattern's
    other patches could use it.
    """
    blurs = np.linspace(1.0, 2.5, 8)
    first, second = (
        np.concatenate([stack(10 * k + kind, n=1, sigma=blur) for k, blur in enumerate(blurs)])
        for kind in (0, 5)
    )
    # Twins differ in blur by a pattern's number: up in even ones, down in odd ones.
    second[::2] = first[::2][:, ::-1] * 1.3
    second[1::2] = first[1::2][:, ::-1] / 1.3
    found = discriminate(first, second, folds=4, trees=30)
    assert max(found.accuracy.values()) < 0.75


def test_masked_pixels_are_in_no_patch():
    image = np.zeros((1, 96, 96), np.float32)
    image[0, :, :40] = 7
    mask = np.ones((96, 96), bool)
    mask[:, :40] = False
    cut = patches_of(image, mask, 32)
    assert cut.shape == (5 * 2, 1, 32, 32)
    assert not cut.any()


def test_features_are_finite_and_know_no_scale():
    images = np.concatenate([stack(3, n=2)[:, :32, :32], np.zeros((1, 32, 32))])
    features, names = patch_features(images)
    assert np.isfinite(features).all()
    assert features.shape == (3, len(names))
    scaled, _ = patch_features(3 * images)
    same = [name not in ("spread", "mean") for name in names]
    np.testing.assert_allclose(scaled[:2][:, same], features[:2][:, same], rtol=1e-4, atol=1e-6)


def test_bad_input():
    with pytest.raises(InputError, match="one pattern"):
        discriminate(stack(0, n=1), stack(1, n=1))
    with pytest.raises(InputError, match="pairs"):
        discriminate(stack(0, n=2), stack(1, n=3))
    with pytest.raises(InputError, match="no patch"):
        discriminate(stack(0, n=2), stack(1, n=2), np.zeros((2, 96, 96), bool))
