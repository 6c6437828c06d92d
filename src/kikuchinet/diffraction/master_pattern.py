"""Master patterns: the intensity in every direction, on the square Lambert map of both hemispheres."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchipy.signals import EBSDMasterPattern

_PROGRAM = "EMEBSDmaster.f90"
"""kikuchipy recognises EMsoft's layout by this program name; the true maker is in ``kikuchinet``."""


@dataclass(frozen=True, eq=False)
class MasterPattern:
    """Intensity of backscattered electrons over all directions of a crystal.

    Parameters
    ----------
    upper, lower
        float32 (2h+1, 2h+1), hemispheres z >= 0 and z <= 0 on the square Lambert map, ``[row, column]`` as
        kikuchipy lays them out. The raw intensity, not rescaled.
    energy_kev
        Energy of the beam, or the mean where several energies were summed.
    name
        The phase.
    space_group
        Its number.
    crystal
        The crystal, where it is known.
    settings
        How the pattern was made; anything JSON can hold.

    Raises
    ------
    kikuchinet.errors.InputError
        Shapes differ or are not odd squares, or an intensity is not finite.
    """

    upper: NDArray[np.float32]
    lower: NDArray[np.float32]
    energy_kev: float
    name: str
    space_group: int
    crystal: Crystal | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for which in ("upper", "lower"):
            array = np.ascontiguousarray(getattr(self, which), dtype=np.float32)
            if array.ndim != 2 or array.shape[0] != array.shape[1] or array.shape[0] % 2 != 1:
                raise InputError(self.name, f"{which} hemisphere has shape {array.shape}, not an odd square")
            if not np.isfinite(array).all():
                raise InputError(self.name, f"{which} hemisphere holds intensities that are not finite")
            object.__setattr__(self, which, array)
        if self.upper.shape != self.lower.shape:
            raise InputError(self.name, f"hemispheres differ: {self.upper.shape} and {self.lower.shape}")

    def __repr__(self) -> str:
        return (
            f"MasterPattern({self.name!r}, space group {self.space_group}, {self.energy_kev:g} keV, "
            f"{self.upper.shape[0]} x {self.upper.shape[1]})"
        )

    @property
    def half_width(self) -> int:
        """Pixels from the centre of a hemisphere's square to its edge."""
        return self.upper.shape[0] // 2

    def save(self, path: str | Path) -> None:
        """Write an HDF5 file in EMsoft's layout, readable by ``kikuchipy.load`` and by :meth:`load`."""
        with atomic_path(path) as temporary, h5py.File(temporary, "w") as file:
            self._write(file)

    def _write(self, file: h5py.File) -> None:
        n = self.half_width
        data = file.create_group("EMData/EBSDmaster")
        options = {"compression": "gzip", "compression_opts": 4, "shuffle": True}
        data.create_dataset("mLPNH", data=self.upper[None, None], **options)
        data.create_dataset("mLPSH", data=self.lower[None, None], **options)
        data.create_dataset("masterSPNH", data=_stereographic(self.upper)[None], **options)
        data.create_dataset("masterSPSH", data=_stereographic(self.lower)[None], **options)
        data["EkeVs"] = np.array([self.energy_kev], dtype=np.float32)
        data["numEbins"] = np.array([1], dtype=np.int32)
        data["numset"] = np.array([1], dtype=np.int32)
        data["lastEnergy"] = np.array([1], dtype=np.int32)
        _write_text(data, "xtalname", self.name)
        names = file.create_group("NMLparameters/EBSDMasterNameList")
        names["npx"] = np.array([n], dtype=np.int32)
        names["dmin"] = np.array([self.settings.get("d_min_nm", 0.0)], dtype=np.float32)
        _write_text(names, "latgridtype", "Lambert")
        carlo = file.create_group("NMLparameters/MCCLNameList")
        carlo["EkeV"] = np.array([self.energy_kev])
        carlo["Ehistmin"] = np.array([self.energy_kev])
        carlo["Ebinsize"] = np.array([1.0])
        carlo["sig"] = np.array([float(self.settings.get("sample_tilt_deg", 70.0))])
        carlo["omega"] = np.array([0.0])
        carlo["numsx"] = np.array([n], dtype=np.int32)
        carlo["multiplier"] = np.array([1], dtype=np.int32)
        carlo["totnum_el"] = np.array([int(self.settings.get("electrons", 0))], dtype=np.int64)
        carlo["depthmax"] = np.array([float(self.settings.get("depth_max_nm", 0.0))])
        carlo["depthstep"] = np.array([float(self.settings.get("depth_step_nm", 0.0))])
        _write_text(carlo, "MCmode", "CSDA")
        energies = file.create_group("EMData/MCOpenCL")
        energies["numEbins"] = np.array([1], dtype=np.int32)
        header = file.create_group("EMheader/EBSDmaster")
        _write_text(header, "ProgramName", _PROGRAM)
        crystal = file.create_group("CrystalData")
        crystal["SpaceGroupNumber"] = np.array([self.space_group], dtype=np.int32)
        crystal["SpaceGroupSetting"] = np.array([1], dtype=np.int32)
        if self.crystal is not None:
            c = self.crystal
            crystal["LatticeParameters"] = np.array(
                [c.a_nm, c.b_nm, c.c_nm, c.alpha_deg, c.beta_deg, c.gamma_deg]
            )
            numbers = {site.element: z for site, z in zip(c.sites, _site_numbers(c), strict=True)}
            crystal["Natomtypes"] = np.array([len(c.sites)], dtype=np.int32)
            crystal["Atomtypes"] = np.array([numbers[site.element] for site in c.sites], dtype=np.int32)
            crystal["AtomData"] = np.array(
                [[*site.position, site.occupancy, site.b_iso_nm2] for site in c.sites], dtype=np.float32
            ).T
        ours = file.create_group("kikuchinet")
        ours.attrs["name"] = self.name
        ours.attrs["settings"] = json.dumps(dict(self.settings), sort_keys=True)
        if self.crystal is not None:
            ours.attrs["crystal_cif"] = self.crystal.to_cif()
            ours.attrs["crystal_source"] = self.crystal.source

    @classmethod
    def load(cls, path: str | Path) -> MasterPattern:
        """Read a master pattern written by :meth:`save` or by EMsoft.

        EMsoft's energy bins are summed as they are (its patterns carry their weights), atom sets likewise.

        Raises
        ------
        kikuchinet.errors.InputError
            The file is missing, damaged, or no master pattern.
        """
        path = Path(path)
        if not path.is_file():
            raise InputError(path, "no such file")
        try:
            with h5py.File(path, "r") as file:
                return cls._read(file, path)
        except InputError as error:
            raise InputError(path, error.cause) from error
        except (OSError, KeyError, ValueError, RuntimeError) as error:
            raise InputError(
                path, f"not a master pattern in EMsoft's layout, or damaged ({error})"
            ) from error

    @classmethod
    def _read(cls, file: h5py.File, path: Path) -> MasterPattern:
        data = file["EMData/EBSDmaster"]
        upper = np.asarray(data["mLPNH"], dtype=np.float32)
        lower = np.asarray(data["mLPSH"], dtype=np.float32)
        if upper.ndim not in (3, 4):
            raise InputError(path, f"Lambert patterns have {upper.ndim} dimensions, not 3 or 4")
        axes = tuple(range(upper.ndim - 2))
        energies = np.asarray(data["EkeVs"], dtype=float)
        ours = file.get("kikuchinet")
        crystal = None
        name = path.stem
        settings: dict[str, Any] = {"program": "EMsoft"}
        if ours is not None:
            name = str(ours.attrs["name"])
            settings = json.loads(ours.attrs["settings"])
            if "crystal_cif" in ours.attrs:
                crystal = Crystal.from_cif_string(ours.attrs["crystal_cif"], name=name).replace(
                    source=str(ours.attrs["crystal_source"])
                )
        return cls(
            upper=upper.sum(axis=axes),
            lower=lower.sum(axis=axes),
            energy_kev=float(energies.max()),
            name=name,
            space_group=int(np.asarray(file["CrystalData/SpaceGroupNumber"]).ravel()[0]),
            crystal=crystal,
            settings=settings,
        )

    def to_kikuchipy(self) -> EBSDMasterPattern:
        """Return the pattern as kikuchipy's ``EBSDMasterPattern``, both hemispheres, Lambert projection."""
        from kikuchipy.signals import EBSDMasterPattern
        from orix.crystal_map import Phase

        signal = EBSDMasterPattern(
            np.stack([self.upper, self.lower]),
            projection="lambert",
            hemisphere="both",
            phase=Phase(name=self.name, space_group=self.space_group),
        )
        names = ("hemisphere", "height", "width")
        for axis, name in zip(signal.axes_manager._axes, names, strict=True):
            axis.name = name
        return signal


def _site_numbers(crystal: Crystal) -> list[int]:
    atoms = crystal.atoms()
    return [int(atoms.z[np.argmax(atoms.site_index == i)]) for i in range(len(crystal.sites))]


def _write_text(group: h5py.Group, name: str, text: str) -> None:
    group[name] = np.array([text.encode()])


def _stereographic(lambert: NDArray[np.float32]) -> NDArray[np.float32]:
    """Stereographic projection of a hemisphere, zero outside the unit circle (EMsoft's masterSP arrays)."""
    from scipy.ndimage import map_coordinates

    from kikuchinet.diffraction.lambert import direction_to_square

    n = lambert.shape[0] // 2
    steps = np.arange(-n, n + 1) / n
    y, x = np.meshgrid(steps, steps, indexing="ij")
    r2 = x**2 + y**2
    inside = r2 <= 1.0
    directions = np.stack([2.0 * x, 2.0 * y, 1.0 - r2], axis=-1)[inside] / (1.0 + r2[inside])[:, None]
    square = direction_to_square(directions) * n + n
    image = np.zeros_like(lambert)
    image[inside] = map_coordinates(lambert, [square[:, 1], square[:, 0]], order=1, mode="nearest")
    return image
