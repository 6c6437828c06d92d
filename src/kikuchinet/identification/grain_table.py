"""The table of a scan's grains."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from kikuchinet.crystal.outside import answer_symbol
from kikuchinet.identification.extras import answered_by, surest_levels
from kikuchinet.identification.levels import LEVELS, level_probabilities
from kikuchinet.models import NO_ANSWER

if TYPE_CHECKING:
    import pandas as pd

    from kikuchinet.identification.result import SourceAnswer


def grain_table(answer: SourceAnswer) -> pd.DataFrame:
    """Return one row a grain.

    Parameters
    ----------
    answer
        Of a source with grains.

    Returns
    -------
    pandas.DataFrame
        Columns ``source, grain, patterns, row, column`` (the grain's centre of mass in the whole scan), ``quality`` (mean),
        ``space_group, symbol, probability`` (pooled over the grain; empty where no pattern shows anything, 0 and its name
        for outside), the deepest sure step as ``sure_level, sure_value``, who answered as ``answered_by`` (bands or whole
        pattern), and ``LEVEL, LEVEL_probability`` for each further step of the ladder, empty where ``probability`` is.
    """
    import pandas as pd

    grains, found = answer.grains, answer.grain_answers
    if grains is None or found is None:
        raise ValueError(f"{answer.source.name} has no grains")
    belongs = grains.labels >= 0
    labels = grains.labels[belongs]
    sizes = grains.sizes

    def mean(values: np.ndarray | None) -> np.ndarray:
        if values is None:
            return np.full(grains.count, np.nan)
        sums = np.bincount(labels, weights=np.asarray(values, dtype=float)[belongs], minlength=grains.count)
        return np.asarray(sums / sizes)

    groups = found.answers
    seen = groups != NO_ANSWER
    names, values = surest_levels(found)
    columns: dict[str, object] = {
        "source": answer.source.name,
        "grain": np.arange(grains.count),
        "patterns": sizes,
        "row": mean(answer.source.rows).round(2),
        "column": mean(answer.source.columns).round(2),
        "quality": mean(answer.quality).round(4),
        "space_group": pd.Series(groups, dtype="Int64").mask(~seen),
        "symbol": [
            "" if group == NO_ANSWER else answer_symbol(group, found.classes) for group in groups.tolist()
        ],
        "probability": pd.Series(found.best.round(6)).mask(~seen),
        "sure_level": names,
        "sure_value": values,
        "answered_by": answered_by(found.by_bands, grains.count),
    }
    for level in LEVELS[1:]:
        options, sums = level_probabilities(found.probabilities, found.classes, level)
        best = sums.argmax(axis=1)
        columns[level] = np.where(seen, np.asarray(options, dtype=object)[best], "")
        highest = np.minimum(sums[np.arange(len(sums)), best], 1.0)
        columns[f"{level}_probability"] = pd.Series(highest.round(6)).mask(~seen)
    return pd.DataFrame(columns)
