"""kikuchipy's ``EBSDMasterPattern``, in memory and as HyperSpy saves it.

Of kikuchipy 0.13 and HyperSpy 2.5 a master pattern can be saved as ``.hspy`` (HDF5) and, with zarr, as ``.zspy``. Neither
keeps the attributes ``projection``, ``hemisphere`` and ``phase``; the axes and, of a pattern that came from EMsoft,
``original_metadata`` remain. What cannot be concluded from these has to be given.

Rows of a stereographic pattern run along +y, as kikuchipy's own simulations and ``as_lambert`` have it, except in a signal
that its reader of EMsoft's files made: that reader turns them over (and ``as_lambert`` does not turn them back).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.master_contents import Contents, Request, complete, sum_energies
from kikuchinet.diffraction.sphere import cartesian_operations, from_stereographic, stereographic_grid
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchipy.signals import EBSDMasterPattern

    from kikuchinet.diffraction.master_pattern import MasterPattern

_CHOICES = {
    "projection": ("lambert", "stereographic"),
    "hemisphere": ("upper", "lower", "both"),
}


def read_hyperspy(path: Path, request: Request, reader: str) -> Contents:
    """Read a saved ``EBSDMasterPattern``.

    Parameters
    ----------
    path
        The file, or a zarr folder.
    request
        Which energies, and what the file does not say.
    reader
        HyperSpy's name of the format: ``"HSPY"`` or ``"ZSPY"``.
    """
    import hyperspy.api as hs
    from kikuchipy.signals import EBSDMasterPattern

    try:
        signal = hs.load(str(path), file_format=reader)
    except ModuleNotFoundError as error:
        raise InputError(path, f"reading {reader.lower()} files needs the package {error.name}") from error
    if not isinstance(signal, EBSDMasterPattern):
        raise InputError(path, f"holds {type(signal).__name__}, not an EBSDMasterPattern of kikuchipy's")
    return from_signal(signal, path, request)


def from_signal(signal: EBSDMasterPattern, subject: str | Path, request: Request) -> Contents:
    """Both Lambert hemispheres of a signal, whatever it holds.

    Parameters
    ----------
    signal
        Axes in memory: (hemisphere,) (energy,) row, column.
    subject
        To be named in an error.
    request
        Which energies, and what the signal does not say.
    """
    if signal._lazy:
        signal.compute(show_progressbar=False)
    ours = signal.metadata.get_item("kikuchinet")
    facts: dict[str, Any] = json.loads(ours) if ours else {}
    space_group = _space_group(signal, facts, subject, request)
    patterns, hemisphere = _by_hemisphere(signal, facts, subject, request, space_group)
    projection = _projection(signal, patterns, facts, subject, request)
    summed, energy_kev = _energies(signal, patterns, facts, subject, request)
    if projection == "stereographic":
        if signal.original_metadata.has_item("EBSDMasterNameList"):
            summed = summed[:, ::-1]
        summed = np.stack([from_stereographic(side) for side in summed])
    upper = summed[0] if hemisphere != "lower" else None
    lower = summed[-1] if hemisphere != "upper" else None
    name = facts.get("name") or signal.phase.name or Path(str(subject)).stem
    crystal = None
    if "crystal_cif" in facts:
        crystal = Crystal.from_cif_string(facts["crystal_cif"], name=name)
        crystal = crystal.replace(source=facts["crystal_source"])
    return Contents(
        *complete(upper, lower, space_group, subject),
        energy_kev=energy_kev,
        name=name,
        space_group=space_group,
        crystal=crystal,
        settings=facts.get("settings", {"program": "kikuchipy"}),
    )


def to_signal(master: MasterPattern) -> EBSDMasterPattern:
    """Return kikuchipy's signal of a master pattern: both hemispheres, Lambert."""
    from kikuchipy.signals import EBSDMasterPattern
    from orix.crystal_map import Phase

    signal = EBSDMasterPattern(
        np.stack([master.upper, master.lower]),
        projection="lambert",
        hemisphere="both",
        phase=Phase(name=master.name, space_group=master.space_group),
    )
    names = ("hemisphere", "height", "width")
    for axis, name in zip(signal.axes_manager._axes, names, strict=True):
        axis.name = name
    facts: dict[str, Any] = {
        "name": master.name,
        "space_group": master.space_group,
        "energy_kev": master.energy_kev,
        "projection": "lambert",
        "settings": dict(master.settings),
    }
    if master.crystal is not None:
        facts |= {"crystal_cif": master.crystal.to_cif(), "crystal_source": master.crystal.source}
    signal.metadata.set_item("kikuchinet", json.dumps(facts, sort_keys=True))
    return signal


def _said(signal: EBSDMasterPattern, facts: dict[str, Any], what: str, request: Request) -> str | None:
    said = getattr(signal, what) or getattr(request, what) or facts.get(what)
    if said is not None and said not in _CHOICES[what]:
        raise InputError(what, f"{said!r} is not one of {', '.join(_CHOICES[what])}")
    return said


def _space_group(
    signal: EBSDMasterPattern, facts: dict[str, Any], subject: str | Path, request: Request
) -> int:
    group = signal.phase.space_group
    stored = signal.original_metadata.get_item("CrystalData.SpaceGroupNumber")
    if stored is None:
        stored = signal.original_metadata.get_item("cell.space_group")
    for number in (group.number if group else None, request.space_group, facts.get("space_group"), stored):
        if number is not None:
            if not 1 <= int(number) <= 230:
                raise InputError(subject, f"space group {number} is not between 1 and 230")
            return int(number)
    raise InputError(subject, "does not say its space group; give space_group")


def _by_hemisphere(
    signal: EBSDMasterPattern,
    facts: dict[str, Any],
    subject: str | Path,
    request: Request,
    space_group: int,
) -> tuple[NDArray[np.floating], str]:
    """Patterns as (hemispheres, energies, rows, columns), and which hemispheres they are."""
    data = np.asarray(signal.data)
    names = [axis.name for axis in signal.axes_manager._axes]
    if "hemisphere" in names:
        hemisphere = "both"
        data = np.moveaxis(data, names.index("hemisphere"), 0)
    else:
        hemisphere = _said(signal, facts, "hemisphere", request) or _either_hemisphere(space_group, subject)
        if hemisphere != "both":
            data = data[None]
    if data.ndim == 3:
        data = data[:, None]
    if data.ndim != 4 or len(data) != (2 if hemisphere == "both" else 1):
        raise InputError(
            subject, f"has axes {names} of {signal.data.shape}, not hemisphere, energy, row, column"
        )
    return data, hemisphere


def _either_hemisphere(space_group: int, subject: str | Path) -> str:
    """Name a hemisphere where nothing is said and it makes no difference: the group has a mirror across z."""
    off = np.abs(cartesian_operations(space_group) - np.diag([1.0, 1.0, -1.0])).max(axis=(1, 2))
    if off.min() > 1e-9:
        raise InputError(subject, "does not say which hemisphere it holds; give hemisphere")
    return "upper"


def _projection(
    signal: EBSDMasterPattern,
    patterns: NDArray[np.floating],
    facts: dict[str, Any],
    subject: str | Path,
    request: Request,
) -> str:
    said = _said(signal, facts, "projection", request)
    if said is not None:
        return said
    if patterns.shape[-1] == patterns.shape[-2]:
        # A Lambert map fills its square; EMsoft leaves zeros around a stereographic one.
        inside = stereographic_grid(patterns.shape[-1] // 2)[1]
        if inside.shape == patterns.shape[-2:] and not np.nan_to_num(patterns[..., ~inside]).any():
            return "stereographic"
    raise InputError(subject, "does not say its projection; give projection")


def _energies(
    signal: EBSDMasterPattern,
    patterns: NDArray[np.floating],
    facts: dict[str, Any],
    subject: str | Path,
    request: Request,
) -> tuple[NDArray[np.float32], float]:
    """Patterns summed over energies, (hemispheres, rows, columns), and the energy."""
    for axis in signal.axes_manager._axes:
        if axis.name == "energy":
            return sum_energies(patterns, np.asarray(axis.axis, dtype=np.float64), subject, request)
    if patterns.shape[1] != 1:
        raise InputError(subject, f"has {patterns.shape[1]} patterns a hemisphere and no axis named energy")
    original = signal.original_metadata
    for stored in (
        facts.get("energy_kev"),
        original.get_item("MCCLNameList.EkeV"),
        original.get_item("voltage_kv"),
        request.energy_kev,
    ):
        if stored is not None:
            return sum_energies(
                patterns, np.ravel(np.asarray(stored, dtype=np.float64))[:1], subject, request
            )
    raise InputError(subject, "does not say its energy; give energy_kev")
