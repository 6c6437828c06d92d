"""Can simulated patterns be told from measured ones? A classifier that tries, on patches, and what it goes by."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage, stats

from kikuchinet.errors import InputError

Images = NDArray[np.floating]
Mask = NDArray[np.bool_]

_FREQUENCY_BINS = 8
_LAGS = ((0, 1), (1, 0), (1, 1), (0, 2), (2, 0), (0, 4), (4, 0))


@dataclass(frozen=True)
class Discrimination:
    """How well simulated patterns are told from measured ones that the classifier has not seen.

    Parameters
    ----------
    auc
        {classifier: area under the ROC curve} of single patches; 0.5 for not at all, 1 for always.
    accuracy
        {classifier: share of patches called right}.
    pattern_auc
        {classifier: area under the curve of whole patterns}, by the mean over their patches.
    giveaways
        (name, area under the curve of this one feature) of the three features that tell them apart best by themselves;
        above 0.5 the simulated patterns have more of it.
    patches, patterns
        Numbers of each kind, simulated and measured ones alike.
    """

    auc: dict[str, float]
    accuracy: dict[str, float]
    pattern_auc: dict[str, float]
    giveaways: tuple[tuple[str, float], ...]
    patches: int
    patterns: int


def discriminate(
    measured: Images,
    simulated: Images,
    masks: Mask | None = None,
    *,
    side: int = 32,
    folds: int = 5,
    trees: int = 200,
    seed: int = 0,
) -> Discrimination:
    """Train and test classifiers of patches, measured against simulated.

    Parameters
    ----------
    measured, simulated
        (n, rows, columns) as a network gets them; simulated pattern k is the twin of measured pattern k.
    masks
        bool (n, rows, columns), True where both are screen.
    side
        Side of a patch in pixels; patches overlap by half.
    folds
        Largest number of folds. A pattern, its twin and all their patches are in one fold.
    trees
        Of the random forest.
    seed
        Of the classifiers.

    Returns
    -------
    Discrimination
        From answers about patterns that were left out of training.

    Raises
    ------
    InputError
        If shapes disagree, there are fewer than two patterns, or a pattern has no patch that lies on the screen.

    Notes
    -----
    Two classifiers of scikit-learn over the features of `patch_features`: a random forest and a logistic regression.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    if measured.shape != simulated.shape or measured.ndim != 3:
        raise InputError("discriminator", f"shapes {measured.shape} and {simulated.shape}; pairs are needed")
    if len(measured) < 2:
        raise InputError("discriminator", "one pattern cannot be both learnt from and tested on")
    inside = np.ones(measured.shape, bool) if masks is None else masks
    cut = [
        patches_of(pair, mask, side) for pair, mask in zip(_pairs(measured, simulated), inside, strict=True)
    ]
    if not all(len(part) for part in cut):
        raise InputError("discriminator", f"a pattern has no patch of {side} px on its screen")
    # (patches, 2, side, side) each: measured and simulated of the same place.
    group = np.repeat(np.arange(len(cut)), [2 * len(part) for part in cut])
    label = np.concatenate([np.tile([0, 1], len(part)) for part in cut])
    features, names = patch_features(np.concatenate([part.reshape(-1, side, side) for part in cut]))

    single = np.array([roc_auc_score(label, column) for column in features.T])
    best = np.argsort(-np.abs(single - 0.5), kind="stable")[:3]
    classifiers = {
        "random forest": RandomForestClassifier(trees, min_samples_leaf=2, random_state=seed, n_jobs=1),
        "logistic": make_pipeline(StandardScaler(), LogisticRegression(C=0.3, max_iter=2000)),
    }
    auc, accuracy, pattern_auc = {}, {}, {}
    for name, classifier in classifiers.items():
        score = cross_val_predict(
            classifier,
            features,
            label,
            groups=group,
            cv=GroupKFold(min(folds, len(cut))),
            method="predict_proba",
        )[:, 1]
        auc[name] = float(roc_auc_score(label, score))
        accuracy[name] = float(((score > 0.5) == label).mean())
        means = np.array(
            [[score[(group == k) & (label == kind)].mean() for k in range(len(cut))] for kind in (0, 1)]
        )
        pattern_auc[name] = float(roc_auc_score(np.repeat([0, 1], len(cut)), means.ravel()))
    giveaways = tuple((names[k], float(single[k])) for k in best)
    return Discrimination(auc, accuracy, pattern_auc, giveaways, len(label) // 2, len(cut))


def _pairs(measured: Images, simulated: Images) -> NDArray[np.float32]:
    return np.stack([measured, simulated], axis=1).astype(np.float32)


def patches_of(images: Images, mask: Mask, side: int) -> NDArray[np.float32]:
    """Cut patches that lie on the screen, half overlapping.

    Parameters
    ----------
    images
        (k, rows, columns), cut alike.
    mask
        bool (rows, columns).
    side
        Side of a patch in pixels.

    Returns
    -------
    numpy.ndarray
        float32 (patches, k, side, side).
    """
    rows, columns = mask.shape
    corners = [
        (i, j)
        for i in range(0, rows - side + 1, side // 2)
        for j in range(0, columns - side + 1, side // 2)
        if mask[i : i + side, j : j + side].all()
    ]
    found = [images[:, i : i + side, j : j + side] for i, j in corners]
    return np.array(found, dtype=np.float32).reshape(-1, len(images), side, side)


def patch_features(patches: NDArray[np.floating]) -> tuple[NDArray[np.float64], list[str]]:
    """Describe patches by numbers that know nothing of orientation.

    Parameters
    ----------
    patches
        (n, side, side).

    Returns
    -------
    features : numpy.ndarray
        (n, features).
    names : list of str
        Of each feature.

    Notes
    -----
    Spread, skewness, kurtosis and percentiles of the grey levels; power in eight bands of frequency; how power differs
    between rows and columns; autocorrelation; spread and kurtosis of the second derivative and of the gradient.
    """
    n, side = len(patches), patches.shape[-1]
    values = np.asarray(patches, dtype=np.float64)
    flat = values.reshape(n, -1)
    spread = np.maximum(flat.std(axis=1), 1e-12)
    centred = (values - flat.mean(axis=1)[:, None, None]) / spread[:, None, None]
    columns: dict[str, NDArray[np.float64]] = {
        "spread": spread,
        "mean": flat.mean(axis=1),
        "skewness": np.nan_to_num(stats.skew(flat, axis=1)),
        "kurtosis": np.nan_to_num(stats.kurtosis(flat, axis=1)),
    }
    for level in (1, 10, 25, 50, 75, 90, 99):
        columns[f"percentile {level}"] = np.percentile(centred.reshape(n, -1), level, axis=1)
    window = np.hanning(side + 2)[1:-1]
    power = np.abs(np.fft.fft2(centred * window[:, None] * window)) ** 2
    fy, fx = np.fft.fftfreq(side)[:, None], np.fft.fftfreq(side)[None]
    radius = np.hypot(fy, fx)
    edges = np.geomspace(1.5 / side, 0.5, _FREQUENCY_BINS + 1)
    for low, high in pairwise(edges):
        ring = (radius >= low) & (radius < high)
        if ring.any():
            columns[f"power {side * low:.0f}-{side * high:.0f} per patch"] = np.log(
                power[:, ring].mean(axis=1) + 1e-9
            )
    upright, flat_lying = (np.abs(fy) > 2 * np.abs(fx)), (np.abs(fx) > 2 * np.abs(fy))
    for name, band in (("coarse", radius < 0.2), ("fine", radius >= 0.2)):
        first, second = (power[:, band & part].mean(axis=1) + 1e-9 for part in (upright, flat_lying))
        columns[f"rows against columns, {name}"] = np.log(first / second)
    for i, j in _LAGS:
        product = centred[:, i:, j:] * centred[:, : side - i, : side - j]
        columns[f"autocorrelation ({i}, {j})"] = product.mean(axis=(1, 2))
    second_derivative = ndimage.laplace(centred, axes=(1, 2))[:, 1:-1, 1:-1].reshape(n, -1)
    gradient = np.hypot(ndimage.sobel(centred, axis=1), ndimage.sobel(centred, axis=2))
    gradient = gradient[:, 1:-1, 1:-1].reshape(n, -1)
    for name, part in (("second derivative", second_derivative), ("gradient", gradient)):
        columns[f"{name}, spread"] = np.log(part.std(axis=1) + 1e-9)
        columns[f"{name}, kurtosis"] = np.nan_to_num(stats.kurtosis(part, axis=1))
        columns[f"{name}, skewness"] = np.nan_to_num(stats.skew(part, axis=1))
    return np.stack(list(columns.values()), axis=1), list(columns)
