"""Temperature and calibration error on data whose right answers are known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from kikuchinet.errors import InputError
from kikuchinet.training.calibration import expected_calibration_error, fit_temperature


def drawn(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Logits, and labels drawn from exactly the probabilities that they stand for."""
    rng = np.random.default_rng(0)
    logits = rng.normal(scale=2.0, size=(n, 4))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    return logits, (rng.random((n, 1)) > cumulative).sum(axis=1)


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(factor):
    logits, labels = drawn(20000)
    assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.04)


def test_calibration_error_is_nought_for_honest_probabilities_only():
    logits, labels = drawn(20000)
    assert expected_calibration_error(softmax(logits, axis=1), labels) < 0.015
    assert expected_calibration_error(softmax(4.0 * logits, axis=1), labels) > 0.1
    always = np.tile([1.0, 0.0], (10, 1))
    assert expected_calibration_error(always, np.array([0] * 7 + [1] * 3)) == pytest.approx(0.3)


def test_broken_outputs_are_refused():
    with pytest.raises(InputError):
        fit_temperature(np.full((3, 2), np.nan), np.zeros(3, dtype=int))
