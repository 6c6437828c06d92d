"""Scores of whole scans: grain by grain, and at boundaries against inside grains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kikuchinet.datasets.labels import accepted, among
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.errors import InputError
from kikuchinet.evaluation.scores import wilson_interval
from kikuchinet.models import Identification

if TYPE_CHECKING:
    import pandas as pd

_PLACES = (("inside", 0.0, 0.0), ("near a boundary", 0.0, 0.25), ("at a boundary", 0.25, 0.5))
"""Name of a place, and the part of the second grain there: more than the first number, up to the second."""


@dataclass(frozen=True, eq=False)
class ScanScores:
    """How well a scan was identified, against the visibility-limited group.

    Parameters
    ----------
    grains
        One row a grain: ``map, grain, material, visible_group, patterns, right`` (number of its patterns that were answered
        rightly), ``pooled_group, pooled_probability, pooled_right``. Groups are 0, `kikuchinet.crystal.OUTSIDE`, for all
        that a model with this class does not tell apart.
    places
        One row a place, inside grains and at their boundaries: ``place, patterns, right, recall, recall_low, recall_high``.
    """

    grains: pd.DataFrame
    places: pd.DataFrame

    def summary(self) -> dict[str, object]:
        """Return the figures that a JSON file holds."""
        return {
            "grains": len(self.grains),
            "grains_right": int(self.grains["pooled_right"].sum()),
            "recall_by_place": {
                row.place: [row.recall, row.recall_low, row.recall_high] for row in self.places.itertuples()
            },
        }


def score_scan(manifest: Manifest, identification: Identification) -> ScanScores:
    """Score answers grain by grain.

    Parameters
    ----------
    manifest
        With the columns ``grain`` and, for places, ``overlap``; ``map`` tells scans apart.
    identification
        Answers, in the manifest's order.

    Returns
    -------
    ScanScores
        The evidence of a grain's patterns is pooled (`Identification.pooled`).

    Raises
    ------
    kikuchinet.errors.InputError
        There is no column ``grain``, or answers and patterns differ in number.
    """
    import pandas as pd

    frame = manifest.frame
    if "grain" not in frame.columns:
        raise InputError("manifest", "has no column 'grain'")
    if len(frame) != len(identification):
        raise InputError("manifest", f"{len(frame)} patterns, but {len(identification)} answers")
    truth = among(manifest.labels("visible"), identification.classes)
    accepts = accepted(manifest.right_groups(), identification.classes)
    classes = np.asarray(identification.classes)
    right = (accepts & (classes == identification.answers[:, None])).any(axis=1)
    maps = frame["map"].astype(str) if "map" in frame.columns else pd.Series("", index=frame.index)
    rows = []
    for (scan, grain), members in frame.groupby([maps, frame["grain"]], sort=True).indices.items():
        mask = np.zeros(len(frame), dtype=bool)
        mask[members] = True
        pooled = identification.pooled(mask)
        rows.append(
            {
                "map": scan,
                "grain": int(grain),
                "material": frame["material"].iloc[members[0]],
                "visible_group": int(truth[members[0]]),
                "patterns": len(members),
                "right": int(right[members].sum()),
                "pooled_group": pooled.space_group,
                "pooled_probability": pooled.probability,
                "pooled_right": bool(accepts[members[0], classes == pooled.space_group].any()),
            }
        )
    places = []
    if "overlap" in frame.columns:
        share = frame["overlap"].to_numpy(dtype=np.float64)
        for name, above, most in _PLACES:
            here = (share > above) & (share <= most) if most else share == 0.0
            n, k = int(here.sum()), int(right[here].sum())
            low, high = wilson_interval(k, n)
            places.append((name, n, k, k / n if n else np.nan, float(low), float(high)))
    columns = ["place", "patterns", "right", "recall", "recall_low", "recall_high"]
    return ScanScores(pd.DataFrame(rows), pd.DataFrame(places, columns=columns))
