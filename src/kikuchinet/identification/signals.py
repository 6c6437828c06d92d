"""`kikuchinet.identify`: files and sources give a result, a HyperSpy or kikuchipy signal gives an orix CrystalMap."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import OUTSIDE
from kikuchinet.identification.grouping import with_grains
from kikuchinet.identification.levels import LEVELS, level_probabilities
from kikuchinet.identification.pipeline import band_model, with_bands
from kikuchinet.identification.pipeline import identify as identify_sources
from kikuchinet.identification.result import IdentificationResult
from kikuchinet.models import SpaceGroupModel
from kikuchinet.patterns import PatternSource
from kikuchinet.patterns.signals import signal_source

if TYPE_CHECKING:
    from hyperspy.signals import Signal2D
    from orix.crystal_map import CrystalMap
    from orix.quaternion import Rotation

Inputs = str | Path | PatternSource | Iterable[str | Path | PatternSource]


def is_signal(thing: object) -> bool:
    """Return whether something is a HyperSpy signal, without importing HyperSpy."""
    return any(kind.__module__.startswith("hyperspy.") for kind in type(thing).__mro__)


@overload
def identify(
    inputs: Inputs, model: SpaceGroupModel | str | Path | None = None, **settings: Any
) -> IdentificationResult: ...
@overload
def identify(
    inputs: Signal2D, model: SpaceGroupModel | str | Path | None = None, **settings: Any
) -> CrystalMap: ...
def identify(inputs: Any, model: SpaceGroupModel | str | Path | None = None, **settings: Any) -> Any:
    """Identify the space group of every pattern of files, sources or a signal.

    Parameters
    ----------
    inputs
        Files, folders or sources of patterns, one or several; or a signal of HyperSpy or kikuchipy (``EBSD``, ``Signal2D``),
        lazy or not.
    model
        A loaded model, the name of a shipped one or a folder with one; the default model if not given.
    **settings
        As for :func:`kikuchinet.identification.identify`.

    Returns
    -------
    IdentificationResult or orix.crystal_map.CrystalMap
        Of files and sources the result of :func:`kikuchinet.identification.identify`, of a signal the map of
        :func:`identify_signal`.

    Raises
    ------
    kikuchinet.errors.InputError
        An input, the model or a setting cannot be used.

    Examples
    --------
    >>> import kikuchipy, kikuchinet as kn
    >>> xmap = kn.identify(kikuchipy.data.nickel_ebsd_small())  # doctest: +SKIP
    >>> xmap.prop["probability"]  # doctest: +SKIP
    """
    if is_signal(inputs):
        return identify_signal(inputs, model, **settings)
    return identify_sources(inputs, model, **settings)


def identify_signal(
    signal: Signal2D,
    model: SpaceGroupModel | str | Path | None = None,
    *,
    grains: bool = True,
    **settings: Any,
) -> CrystalMap:
    """Identify the space group of every pattern of a signal.

    Parameters
    ----------
    signal
        HyperSpy or kikuchipy signal of patterns, lazy or not, with at most two navigation axes. It is not changed.
    model
        As for :func:`identify`.
    grains
        Whether the points of a two-dimensional scan are grouped into grains and their evidence is pooled.
    **settings
        As for :func:`kikuchinet.identification.identify`.

    Returns
    -------
    orix.crystal_map.CrystalMap
        Of the signal's navigation shape, with its steps and their unit; axes of a single point are left out, as orix has
        none, and steps are counted where the signal has no unit. Phases are space groups; points without an answer are "not
        indexed". Properties: ``probability`` (of the likeliest group), ``probability_N`` of every space group N that the
        model knows, ``probability_outside`` where it has a class for all others, ``crystal_system_probability`` and the like
        for each step of the ladder (of the likeliest value, of which outside is one), ``second_space_group``,
        ``second_probability``, ``quality``, and of grains ``grain``, ``grain_space_group``, ``grain_probability``. Rotations
        are the signal's own (``signal.xmap``), the identity where it has none: the network finds no orientations.
    """
    source = signal_source(signal)
    bands = settings.pop("bands", None)
    reader = band_model(bands, unasked=model is None and not settings.get("adapt"))
    result = identify_sources(source, model, bands=False, **settings)
    if grains and result.answers[0].scan_shape is not None:
        result = with_grains(result)
    if reader is not None:
        result = with_bands(result, reader, asked=bands is not None, store=settings.get("store"))
    return result_map(result, signal)


def result_map(result: IdentificationResult, signal: Any) -> CrystalMap:
    """Return the map of the result of one signal; see `identify_signal`."""
    from kikuchinet.identification.maps import crystal_map

    (answer,) = result.answers
    own = getattr(signal, "xmap", None)
    known = own is not None and own.size == len(answer.identification)
    made = crystal_map(answer, rotations=_first_rotations(own) if known else None)
    for column, group in enumerate(answer.identification.classes):
        made.prop[f"probability_{'outside' if group == OUTSIDE else group}"] = (
            answer.identification.probabilities[:, column]
        )
    for level in LEVELS[1:]:
        _, sums = level_probabilities(
            answer.identification.probabilities, answer.identification.classes, level
        )
        made.prop[f"{level}_probability"] = np.minimum(sums.max(axis=1), 1.0)
    return made


def _first_rotations(xmap: CrystalMap) -> Rotation:
    from orix.quaternion import Rotation

    data: NDArray[np.float64] = xmap.rotations.data.reshape(xmap.size, -1, 4)[:, 0]
    return Rotation(data)
