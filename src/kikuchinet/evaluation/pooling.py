"""What several patterns of one crystal are worth together, and whether probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.models import Identification
from kikuchinet.models.identification import FLOOR
from kikuchinet.training.calibration import expected_calibration_error
from kikuchinet.training.recalibration import right_or_label

if TYPE_CHECKING:
    import pandas as pd

POOL_SIZES = (1, 2, 5, 10, 20, 50, 100)
"""Patterns that are pooled."""

DRAWS = 200
"""Pools of each size that are drawn of each material."""

BINS = 15
"""Of the calibration error, as C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger (2017, arXiv:1706.04599) take them."""


def score_pools(
    identification: Identification,
    truths: NDArray[np.int64],
    materials: ArrayLike,
    *,
    right: NDArray[np.bool_] | None = None,
    sizes: Sequence[int] = POOL_SIZES,
    seed: int = 0,
) -> pd.DataFrame:
    """Score answers pooled over patterns of one material, `Identification.pooled`.

    Every pattern has a camera and an orientation of its own, as if it came from another scan.

    Parameters
    ----------
    identification
        Answers for n patterns.
    truths
        (n,) true space groups.
    materials
        (n,) names.
    right
        (n, classes) True where a class is a right answer, `kikuchinet.datasets.labels.accepted`; the truth alone if not
        given.
    sizes
        How many patterns to pool. A material with fewer patterns than a size is left out of it.
    seed
        Draws the pools.

    Returns
    -------
    pandas.DataFrame
        Per size: ``pooled`` (the size), ``materials`` and ``groups`` (how many took part), ``accuracy`` (mean over
        materials of the share of right pools), ``macro_recall`` (the same, materials averaged within their group first),
        ``materials_right`` (those with more than half of their pools right).
    """
    import pandas as pd

    names = np.asarray(materials).astype(str)
    evidence = np.log(np.maximum(identification.probabilities, FLOOR))
    classes = np.asarray(identification.classes)
    rng = np.random.default_rng(seed)
    rows = []
    for size in sizes:
        shares: dict[str, tuple[int, float]] = {}
        for name in sorted(set(names)):
            own = np.flatnonzero(names == name)
            if len(own) < size:
                continue
            drawn = rng.permuted(np.tile(own, (DRAWS, 1)), axis=1)[:, :size] if size > 1 else own[:, None]
            # The winner of a pool: its sum of logarithms is the highest, whatever the correlation between its patterns.
            found = evidence[drawn].sum(axis=1).argmax(axis=1)
            truth = int(truths[own[0]])
            also = np.zeros(len(classes), dtype=bool) if right is None else right[own[0]]
            shares[name] = truth, float(((classes == truth) | also)[found].mean())
        if not shares:
            continue
        frame = pd.DataFrame(shares.values(), columns=["group", "share"])
        rows.append(
            {
                "pooled": size,
                "materials": len(frame),
                "groups": frame["group"].nunique(),
                "accuracy": frame["share"].mean(),
                "macro_recall": frame.groupby("group")["share"].mean().mean(),
                "materials_right": int((frame["share"] > 0.5).sum()),
            }
        )
    return pd.DataFrame(rows)


def calibration_error(
    identification: Identification, truths: NDArray[np.int64], right: NDArray[np.bool_] | None = None
) -> float | None:
    """Return the expected calibration error of the likeliest class, abstentions disregarded.

    Parameters
    ----------
    identification
        Answers for n patterns.
    truths
        (n,) true space groups. Patterns of a group that is none of the model's are left out.
    right
        As for `score_pools`.

    Returns
    -------
    float or None
        Mean distance between the probability and the share that is right, over `BINS` bins; None if no pattern is of a group
        of the model's.
    """
    classes = list(identification.classes)
    known = np.isin(truths, classes)
    if not known.any():
        return None
    labels = np.array([classes.index(truth) for truth in truths[known]])
    if right is not None:
        labels = right_or_label(identification.probabilities[known], right[known], labels)
    return expected_calibration_error(identification.probabilities[known], labels, bins=BINS)
