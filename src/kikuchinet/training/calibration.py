"""Temperature: how much less sure than its raw outputs a network ought to be."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError


def fit_temperature(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Fit the temperature that logits are divided by, on patterns the network has not seen.

    Parameters
    ----------
    logits
        (n, classes) raw outputs.
    labels
        (n,) indices of the true classes.

    Returns
    -------
    float
        The temperature of highest likelihood between 0.05 and 20.

    Raises
    ------
    kikuchinet.errors.InputError
        There are no patterns, or the network answers nothing finite.

    References
    ----------
    C. Guo, G. Pleiss, Y. Sun, K. Weinberger, On calibration of modern neural networks, ICML 2017.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if len(logits) == 0 or not np.isfinite(logits).all():
        raise InputError("calibration", "no patterns, or outputs that are not finite")
    rows = np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        scaled = log_softmax(logits / np.exp(log_temperature), axis=1)
        return -float(scaled[rows, labels].mean())

    best = minimize_scalar(loss, bounds=(np.log(0.05), np.log(20.0)), method="bounded")
    return float(np.exp(best.x))


def expected_calibration_error(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], *, bins: int = 15
) -> float:
    """Return the mean gap between how sure a model is and how often it is right.

    Parameters
    ----------
    probabilities
        (n, classes).
    labels
        (n,) indices of the true classes.
    bins
        Equal intervals of the highest probability.

    Returns
    -------
    float
        Weighted with the patterns in each bin; 0 is perfect.
    """
    highest = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    which = np.minimum((highest * bins).astype(int), bins - 1)
    gaps = [
        abs(float(highest[which == b].mean() - right[which == b].mean())) * float((which == b).mean())
        for b in range(bins)
        if (which == b).any()
    ]
    return float(sum(gaps))
