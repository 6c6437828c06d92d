"""What a reader of master patterns is asked for and what it gives back, and what all readers need."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.sphere import other_hemisphere
from kikuchinet.errors import InputError


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds: the arguments of a `MasterPattern`."""

    upper: NDArray[np.float32]
    lower: NDArray[np.float32]
    energy_kev: float
    name: str
    space_group: int
    crystal: Crystal | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Request:
    """What a reader is asked for, and what it is told where a file does not say it.

    Attributes
    ----------
    energy_kev
        Take the one energy nearest to this; all of them summed if None.
    energy_weights
        Weights of the energies in that sum, one each.
    projection, hemisphere, space_group
        Of a file of kikuchipy's, which need not hold them.
    """

    energy_kev: float | None = None
    energy_weights: tuple[float, ...] | None = None
    projection: str | None = None
    hemisphere: str | None = None
    space_group: int | None = None


def sum_energies(
    patterns: NDArray[np.floating], energies: NDArray[np.float64], path: str | Path, request: Request
) -> tuple[NDArray[np.float32], float]:
    """Sum over energies, or choose one.

    Parameters
    ----------
    patterns
        (..., n, rows, columns), the energies third from the end.
    energies
        (n,) in keV, in any order.
    path
        To be named in an error.
    request
        Which energy, or which weights.

    Returns
    -------
    patterns : numpy.ndarray
        float32 (..., rows, columns).
    energy_kev : float
        The energy chosen, or the highest, which is the beam's.
    """
    if patterns.shape[-3] != len(energies):
        raise InputError(path, f"{patterns.shape[-3]} patterns for {len(energies)} energies")
    if request.energy_kev is not None:
        nearest = int(np.argmin(np.abs(energies - request.energy_kev)))
        # Half a bin to either side; one energy alone has no bin's width to go by, and EMsoft's default is 1 keV.
        bins = np.abs(np.diff(np.sort(energies)))
        if abs(energies[nearest] - request.energy_kev) > 0.5 * (bins.max() if len(bins) else 1.0) + 1e-6:
            held = ", ".join(f"{e:g}" for e in energies)
            raise InputError(path, f"has no energy of {request.energy_kev:g} keV; it has {held}")
        return patterns[..., nearest, :, :].astype(np.float32), float(energies[nearest])
    weights = np.ones(len(energies))
    if request.energy_weights is not None:
        weights = np.asarray(request.energy_weights, dtype=np.float64)
        if weights.shape != energies.shape or not np.isfinite(weights).all() or weights.sum() <= 0.0:
            raise InputError(
                path, f"needs {len(energies)} finite energy weights with a positive sum, got {weights.shape}"
            )
    summed = np.einsum("...eij,e->...ij", patterns, weights, dtype=np.float64, casting="unsafe")
    return summed.astype(np.float32), float(energies.max())


def complete(
    upper: NDArray[np.float32] | None, lower: NDArray[np.float32] | None, space_group: int, path: str | Path
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Both hemispheres, one concluded from the other by symmetry where it is missing.

    Raises
    ------
    kikuchinet.errors.InputError
        The point group has no operation that turns one hemisphere into the other.
    """
    if upper is not None and lower is not None:
        return upper, lower
    given = upper if upper is not None else lower
    if given is None:
        raise InputError(path, "holds no hemisphere")
    other = other_hemisphere(given, space_group)
    if other is None:
        missing = "lower" if lower is None else "upper"
        raise InputError(
            path,
            f"the {missing} hemisphere is missing, and nothing in space group {space_group} turns one into the other",
        )
    return (given, other) if lower is None else (other, given)
