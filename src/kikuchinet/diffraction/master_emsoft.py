"""EMsoft's HDF5 layout of master patterns, read and written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.master_contents import Contents, Request, complete, sum_energies
from kikuchinet.diffraction.sphere import from_stereographic, to_stereographic
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.diffraction.master_pattern import MasterPattern

_PROGRAM = "EMEBSDmaster.f90"
"""kikuchipy recognises EMsoft's layout by this program name; the true maker is in ``kikuchinet``."""


def read_emsoft(path: Path, request: Request) -> Contents:
    """Read a file in EMsoft's layout, of EMsoft itself or of :func:`write_emsoft`.

    Raises
    ------
    kikuchinet.errors.InputError
        The calculation was not finished, or a hemisphere is missing that does not follow from the other.
    """
    with h5py.File(path, "r") as file:
        return _read(file, path, request)


def _read(file: h5py.File, path: Path, request: Request) -> Contents:
    """Read  ``mLPNH[site, energy, y, x]``, or ``[energy, y, x]`` of older files.

    All sums are plain ones. EMsoft divides the histogram of every energy and depth by the number of electrons of the
    whole Monte Carlo run, so a bin's pattern carries its bin's weight; and it divides the signal of each atom set by the
    number of atoms of all sets, so sets add up (``EMEBSDmaster.f90``, ``lambdaE`` and ``svals``). With ``combinesites``
    the sets were added before. A run of one energy (``Esel``) leaves the other bins zero and stores ``selE``.
    """
    if "EMData/EBSDmaster" not in file:
        raise InputError(path, "an EMsoft file without an EBSD master pattern")
    data = file["EMData/EBSDmaster"]
    space_group = int(np.asarray(file["CrystalData/SpaceGroupNumber"]).ravel()[0])
    lambert = "mLPNH" in data or "mLPSH" in data
    names = ("mLPNH", "mLPSH") if lambert else ("masterSPNH", "masterSPSH")
    sides: list[NDArray[np.float32] | None] = []
    energy_kev = 0.0
    for name in names:
        if name not in data:
            sides.append(None)
            continue
        patterns = np.asarray(data[name])
        if patterns.ndim not in (3, 4):
            raise InputError(path, f"{name} has {patterns.ndim} dimensions, not 3 or 4")
        if patterns.ndim == 4:
            patterns = patterns.sum(axis=0, dtype=np.float64)
        energies = _emsoft_energies(data, len(patterns), path)
        side, energy_kev = sum_energies(patterns, energies, path, request)
        if not side.any():
            raise InputError(path, f"{name} is zero everywhere: the calculation was not finished")
        sides.append(side if lambert else from_stereographic(side))
    upper, lower = complete(sides[0], sides[1], space_group, path)
    return Contents(upper, lower, energy_kev, space_group=space_group, **_ours(file, path))


def _emsoft_energies(data: h5py.Group, count: int, path: Path) -> NDArray[np.float64]:
    if "EkeVs" in data:
        energies = np.asarray(data["EkeVs"], dtype=np.float64).ravel()
    else:
        energies = np.full(count, float(np.asarray(data["selE"]).ravel()[0]))
    last = int(np.asarray(data["lastEnergy"]).ravel()[0]) if "lastEnergy" in data else 1
    # EMsoft goes from the highest energy down to the first; -1 marks a file that was set up and never filled.
    if "EkeVs" in data and last != 1 and count > 1:
        raise InputError(path, f"the calculation was not finished: it stopped at energy {last} of {count}")
    return energies


def _ours(file: h5py.File, path: Path) -> dict[str, Any]:
    """Name, crystal and settings, where :func:`write_emsoft` left them."""
    ours = file.get("kikuchinet")
    if ours is None:
        return {"name": path.stem, "settings": {"program": "EMsoft"}}
    name = str(ours.attrs["name"])
    crystal = None
    if "crystal_cif" in ours.attrs:
        crystal = Crystal.from_cif_string(ours.attrs["crystal_cif"], name=name)
        crystal = crystal.replace(source=str(ours.attrs["crystal_source"]))
    return {"name": name, "settings": json.loads(ours.attrs["settings"]), "crystal": crystal}


def write_emsoft(file: h5py.File, master: MasterPattern) -> None:
    """Write EMsoft's layout, complete enough for ``kikuchipy.load``, and what only we know in a group of our own."""
    _write_patterns(file, master)
    _write_parameters(file, master)
    _write_crystal(file, master)
    ours = file.create_group("kikuchinet")
    ours.attrs["name"] = master.name
    ours.attrs["settings"] = json.dumps(dict(master.settings), sort_keys=True)
    if master.crystal is not None:
        ours.attrs["crystal_cif"] = master.crystal.to_cif()
        ours.attrs["crystal_source"] = master.crystal.source


def _write_patterns(file: h5py.File, master: MasterPattern) -> None:
    data = file.create_group("EMData/EBSDmaster")
    options = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
    for side, array in (("NH", master.upper), ("SH", master.lower)):
        data.create_dataset(f"mLP{side}", data=array[None, None], **options)
        data.create_dataset(f"masterSP{side}", data=to_stereographic(array)[None], **options)
    data["EkeVs"] = np.array([master.energy_kev], dtype=np.float32)
    data["numEbins"] = np.array([1], dtype=np.int32)
    data["numset"] = np.array([1], dtype=np.int32)
    data["lastEnergy"] = np.array([1], dtype=np.int32)
    _write_text(data, "xtalname", master.name)
    file.create_group("EMData/MCOpenCL")["numEbins"] = np.array([1], dtype=np.int32)
    _write_text(file.create_group("EMheader/EBSDmaster"), "ProgramName", _PROGRAM)


def _write_parameters(file: h5py.File, master: MasterPattern) -> None:
    settings = master.settings
    names = file.create_group("NMLparameters/EBSDMasterNameList")
    names["npx"] = np.array([master.half_width], dtype=np.int32)
    names["dmin"] = np.array([settings.get("d_min_nm", 0.0)], dtype=np.float32)
    _write_text(names, "latgridtype", "Lambert")
    carlo = file.create_group("NMLparameters/MCCLNameList")
    carlo["EkeV"] = np.array([master.energy_kev])
    carlo["Ehistmin"] = np.array([master.energy_kev])
    carlo["Ebinsize"] = np.array([1.0])
    carlo["sig"] = np.array([float(settings.get("sample_tilt_deg", 70.0))])
    carlo["omega"] = np.array([0.0])
    carlo["numsx"] = np.array([master.half_width], dtype=np.int32)
    carlo["multiplier"] = np.array([1], dtype=np.int32)
    carlo["totnum_el"] = np.array([int(settings.get("electrons", 0))], dtype=np.int64)
    carlo["depthmax"] = np.array([float(settings.get("depth_max_nm", 0.0))])
    carlo["depthstep"] = np.array([float(settings.get("depth_step_nm", 0.0))])
    _write_text(carlo, "MCmode", "CSDA")


def _write_crystal(file: h5py.File, master: MasterPattern) -> None:
    group = file.create_group("CrystalData")
    group["SpaceGroupNumber"] = np.array([master.space_group], dtype=np.int32)
    c = master.crystal
    # EMsoft tells the two origins of a group apart by 1 and 2; all other settings are 1.
    origin = 2 if c is not None and c.setting.endswith(":2") else 1
    group["SpaceGroupSetting"] = np.array([origin], dtype=np.int32)
    # kikuchipy insists on a cell and on atoms: where the crystal is unknown, a cell of 1 nm and none.
    cell = [c.a_nm, c.b_nm, c.c_nm, c.alpha_deg, c.beta_deg, c.gamma_deg] if c else [1.0] * 3 + [90.0] * 3
    sites = c.sites if c else ()
    group["LatticeParameters"] = np.array(cell)
    group["Natomtypes"] = np.array([len(sites)], dtype=np.int32)
    group["Atomtypes"] = np.array(_site_numbers(c) if c else [], dtype=np.int32)
    group["AtomData"] = np.array(
        [[*site.position, site.occupancy, site.b_iso_nm2] for site in sites], dtype=np.float32
    ).reshape(-1, 5).T  # fmt: skip


def _site_numbers(crystal: Crystal) -> list[int]:
    atoms = crystal.atoms()
    return [int(atoms.z[np.argmax(atoms.site_index == i)]) for i in range(len(crystal.sites))]


def _write_text(group: h5py.Group, name: str, text: str) -> None:
    group[name] = np.array([text.encode()])
