"""Precision, recall and counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import answer_symbol
from kikuchinet.errors import InputError
from kikuchinet.models import NO_ANSWER

if TYPE_CHECKING:
    import pandas as pd


def wilson_interval(
    successes: ArrayLike, trials: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the 95 % confidence interval of a share.

    Parameters
    ----------
    successes, trials
        Counts of equal shape.

    Returns
    -------
    tuple of numpy.ndarray
        Lower and upper ends; 0 and 1 where there are no trials.

    References
    ----------
    E. B. Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212.
    """
    k, n = np.asarray(successes, dtype=float), np.asarray(trials, dtype=float)
    z = 1.959963984540054  # 97.5 % quantile of the normal distribution
    safe = np.maximum(n, 1.0)
    share = k / safe
    centre = (share + z**2 / (2.0 * safe)) / (1.0 + z**2 / safe)
    half = z / (1.0 + z**2 / safe) * np.sqrt(share * (1.0 - share) / safe + z**2 / (4.0 * safe**2))
    # Exactly 0 without successes and 1 without failures, but for rounding.
    low, high = np.minimum(centre - half, share), np.maximum(centre + half, share)
    return np.where(n > 0, np.maximum(low, 0.0), 0.0), np.where(n > 0, np.minimum(high, 1.0), 1.0)


def clustered_interval(
    hits: ArrayLike, clusters: ArrayLike, strata: ArrayLike | None = None
) -> tuple[float, float]:
    """Return the 95 % confidence interval of a share of patterns that come in clusters: scans, say, or cameras.

    Patterns of a cluster are right or wrong together, so they count for fewer than they are: Wilson's interval for their
    number over the design effect, which is the variance of the share between clusters (Taylor's linearisation of the ratio)
    over that of as many independent patterns, 1 at least. Where all are right, or none, or there is one cluster, nothing
    shows how much the clusters differ, and the interval is Wilson's.

    Parameters
    ----------
    hits
        bool (n,): what counts.
    clusters
        (n,): the cluster of each.
    strata
        (n,): what is the same whoever repeats the experiment, the material, say; clusters lie within, and only differences
        of clusters of one stratum count. All are one stratum if not given.

    Returns
    -------
    tuple of float
        Lower and upper end.

    Raises
    ------
    kikuchinet.errors.InputError
        They are of different lengths.

    References
    ----------
    L. Kish, Survey Sampling (Wiley, 1965): the design effect. E. L. Korn, B. I. Graubard, Survey Methodology 24 (1998)
    193-201: intervals from the effective number.
    """
    hit = np.asarray(hits, dtype=float)
    kinds = np.zeros(hit.size) if strata is None else np.asarray(strata)
    _, first, place = np.unique(np.asarray(clusters), return_index=True, return_inverse=True)
    if place.shape != hit.shape or kinds.shape != hit.shape:
        raise InputError("clusters", f"there are {place.size} of them for {hit.size} patterns")
    n = hit.size
    share = hit.mean() if n else 0.0
    effect = 1.0
    if 0.0 < share < 1.0:
        excess = np.bincount(place, hit) - share * np.bincount(place)
        _, kind = np.unique(kinds[first], return_inverse=True)
        m = np.bincount(kind)
        among = excess - (np.bincount(kind, excess) / m)[kind]
        variance = (m / np.maximum(m - 1, 1) * np.bincount(kind, among**2)).sum() / n**2
        effect = max(1.0, variance * n / (share * (1.0 - share)))
    low, high = wilson_interval(hit.sum() / effect, n / effect)
    return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Scores:
    """How well patterns were identified, against one kind of truth.

    Parameters
    ----------
    kind
        ``visible`` or ``literal``.
    groups
        Per true group: ``space_group, symbol, patterns, right, recall, recall_low, recall_high, answered, precision,
        precision_low, precision_high``. Group 0 holds all that are none of the model's, where it has a class for them.
    materials
        Per material: ``material, space_group, patterns, right, recall, recall_low, recall_high``.
    counts
        Materials by answers; column 0 counts abstentions. Of models with a class 0 that column counts answers of outside,
        and ``no answer`` the abstentions.
    accuracy
        Share of all patterns that were answered rightly.
    macro_recall
        Mean of the groups' recalls.
    """

    kind: str
    groups: pd.DataFrame
    materials: pd.DataFrame
    counts: pd.DataFrame
    accuracy: float
    macro_recall: float


def score(
    kind: str,
    truths: NDArray[np.int64],
    answers: NDArray[np.int64],
    materials: ArrayLike,
    classes: Sequence[int] = (),
) -> Scores:
    """Score answers against the truth.

    Parameters
    ----------
    kind
        Name of this kind of truth.
    truths
        (n,) true space groups; `kikuchinet.crystal.OUTSIDE` for those that are none of the model's, if it is among these.
    answers
        (n,) answers, 0 or `kikuchinet.models.NO_ANSWER` where the model abstained; an abstention counts as not found. With
        `kikuchinet.crystal.OUTSIDE` among the model's classes 0 is an answer, and only the latter an abstention.
    materials
        (n,) names.
    classes
        The model's; needed only if `kikuchinet.crystal.OUTSIDE` is among them.

    Returns
    -------
    Scores
        Tables with 95 % Wilson intervals.

    Raises
    ------
    kikuchinet.errors.InputError
        There are no patterns.
    """
    import pandas as pd
    from sklearn.metrics import precision_recall_fscore_support

    if len(truths) == 0:
        raise InputError("evaluation", "no patterns to score")
    names = np.asarray(materials).astype(str)
    has_outside = OUTSIDE in classes
    answers = np.where(answers == OUTSIDE, OUTSIDE if has_outside else NO_ANSWER, answers)
    labels = np.unique(np.concatenate([truths, answers[answers != NO_ANSWER]]))
    precision, recall, _, support = precision_recall_fscore_support(
        truths, answers, labels=labels, zero_division=0.0
    )
    right = np.array([int(((truths == g) & (answers == g)).sum()) for g in labels])
    answered = np.array([int((answers == g).sum()) for g in labels])
    recall_low, recall_high = wilson_interval(right, support)
    precision_low, precision_high = wilson_interval(right, answered)
    groups = pd.DataFrame(
        {
            "space_group": labels,
            "symbol": [answer_symbol(int(g), classes) for g in labels],
            "patterns": support,
            "right": right,
            "recall": recall,
            "recall_low": recall_low,
            "recall_high": recall_high,
            "answered": answered,
            "precision": precision,
            "precision_low": precision_low,
            "precision_high": precision_high,
        }
    )
    table = pd.DataFrame(
        {"material": names, "space_group": truths, "right": (truths == answers).astype(int), "patterns": 1}
    )
    per_material = table.groupby(["space_group", "material"], as_index=False)[["patterns", "right"]].sum()
    low, high = wilson_interval(per_material["right"], per_material["patterns"])
    per_material = per_material.assign(
        recall=per_material["right"] / per_material["patterns"], recall_low=low, recall_high=high
    )[["material", "space_group", "patterns", "right", "recall", "recall_low", "recall_high"]]
    counts = pd.crosstab(names, answers, rownames=["material"], colnames=["answer"])
    counts = counts.rename(columns={NO_ANSWER: "no answer" if has_outside else 0})
    return Scores(
        kind=kind,
        groups=groups,
        materials=per_material,
        counts=counts.loc[per_material["material"]],
        accuracy=float((truths == answers).mean()),
        macro_recall=float(recall[support > 0].mean()),
    )
