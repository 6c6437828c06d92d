"""How much of a heat map falls on a crystal's features, against the same crystal turned at random."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from orix.quaternion import Rotation

from kikuchinet.crystal import Crystal
from kikuchinet.errors import InputError
from kikuchinet.explanation.features import PatternFeatures
from kikuchinet.microscope import Detector

Masks = dict[str, NDArray[np.bool_]]

FEATURES: Mapping[str, Callable[[PatternFeatures], NDArray[np.bool_]]] = MappingProxyType(
    {
        "zone_axes": PatternFeatures.zone_axis_mask,
        "bands": PatternFeatures.band_mask,
        "holz_rings": PatternFeatures.holz_mask,
    }
)
"""What of a crystal may lie under heat, by name: a mask of (rows, columns)."""

LABELS = MappingProxyType({"zone_axes": "zone axes", "bands": "bands", "holz_rings": "HOLZ rings"})


def feature_masks(features: PatternFeatures) -> Masks:
    """Return where each of `FEATURES` lies on a pattern, (rows, columns) each."""
    return {name: mask(features) for name, mask in FEATURES.items()}


def random_masks(
    crystal: Crystal, detector: Detector, energy_kev: float, *, count: int = 100, seed: int = 0
) -> Masks:
    """Return where the features lie when the crystal is turned at random, (count, rows, columns) each.

    Parameters
    ----------
    crystal, detector, energy_kev
        As in `PatternFeatures`.
    count
        Number of orientations, uniform on SO(3).
    seed
        Of the orientations.
    """
    if count < 20:
        raise InputError("chance", f"{count} random orientations give no 95 % range")
    rng = np.random.default_rng(seed)
    normal = rng.standard_normal((count, 4))
    quaternions = normal / np.linalg.norm(normal, axis=1, keepdims=True)
    drawn = [
        feature_masks(PatternFeatures.of(crystal, Rotation(quaternion), detector, energy_kev))
        for quaternion in quaternions
    ]
    return {name: np.stack([one[name] for one in drawn]) for name in FEATURES}


def shares(heat: NDArray[np.floating], masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the share of one map's heat (rows, columns) on each of (k, rows, columns) masks; NaN without heat."""
    flat = heat.reshape(-1).astype(np.float64)
    total = flat.sum()
    if total <= 0.0:
        return np.full(len(masks), np.nan)
    result: NDArray[np.float64] = masks.reshape(len(masks), -1) @ flat / total
    return result


@dataclass(frozen=True)
class AgainstChance:
    """How much heat of several patterns falls on a feature, and what chance gives.

    Parameters
    ----------
    share
        Mean share of the heat.
    low, high
        95 % interval of `share`, from resampling patterns; NaN for a single one.
    chance, chance_low, chance_high
        Mean share with the crystal turned at random, and its 95 % range. All patterns are turned at once: patterns of one
        grain are no independent witnesses, and this does not take them for such.
    area
        Mean share of the pixels.
    n_patterns
        How many patterns.
    """

    share: float
    low: float
    high: float
    chance: float
    chance_low: float
    chance_high: float
    area: float
    n_patterns: int

    @property
    def verdict(self) -> str:
        """What the figures say, in words."""
        if self.share > self.chance_high:
            return f"{self.share / self.chance:.2f} times as much heat as chance"
        if self.share < self.chance_low:
            return f"less heat than chance ({self.share / self.chance:.2f} times)"
        return "no more heat than chance"


def against_chance(
    own: NDArray[np.float64],
    turned: NDArray[np.float64],
    area: NDArray[np.float64],
    *,
    seed: int = 0,
    resamples: int = 1000,
) -> AgainstChance:
    """Pool the shares of several patterns.

    Parameters
    ----------
    own
        (n,) share of each pattern's heat; patterns without heat are NaN and left out.
    turned
        (n, k) the same with the crystal turned at random.
    area
        (n,) share of the pixels.
    seed, resamples
        Of the interval.

    Raises
    ------
    kikuchinet.errors.InputError
        No pattern has any heat.
    """
    hot = np.isfinite(own)
    if not hot.any():
        raise InputError("heat maps", "hold no heat")
    own, turned, area = own[hot], turned[hot], area[hot]
    n = len(own)
    low = high = float("nan")
    if n > 1:
        drawn = own[np.random.default_rng(seed).integers(n, size=(resamples, n))].mean(axis=1)
        low, high = (float(value) for value in np.quantile(drawn, (0.025, 0.975)))
    together = turned.mean(axis=0)
    return AgainstChance(
        share=float(own.mean()),
        low=low,
        high=high,
        chance=float(together.mean()),
        chance_low=float(np.quantile(together, 0.025)),
        chance_high=float(np.quantile(together, 0.975)),
        area=float(area.mean()),
        n_patterns=n,
    )
