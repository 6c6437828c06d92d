"""Master patterns: the intensity in every direction, on the square Lambert map of both hemispheres."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal
from kikuchinet.diffraction.master_contents import Request
from kikuchinet.diffraction.master_emsoft import write_emsoft
from kikuchinet.diffraction.master_files import read
from kikuchinet.diffraction.master_kikuchipy import from_signal, to_signal
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchipy.signals import EBSDMasterPattern
    from matplotlib.axes import Axes

    from kikuchinet.diffraction.plotting import Directions, Hemisphere, Projection


@dataclass(frozen=True, eq=False)
class MasterPattern:
    """Intensity of backscattered electrons over all directions of a crystal.

    Parameters
    ----------
    upper, lower
        float32 (2h+1, 2h+1), hemispheres z >= 0 and z <= 0 on the square Lambert map, ``[row, column]`` as
        kikuchipy lays them out. The raw intensity, not rescaled.
    energy_kev
        Energy of the beam, or the one of its energies that the pattern is of.
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
            write_emsoft(file, self)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        energy_kev: float | None = None,
        energy_weights: Sequence[float] | None = None,
        projection: str | None = None,
        hemisphere: str | None = None,
        space_group: int | None = None,
    ) -> MasterPattern:
        """Read a master pattern of kikuchinet, EMsoft, kikuchipy or ebsdsim, told apart by what is in the file.

        EMsoft's HDF5; a kikuchipy ``EBSDMasterPattern`` saved by HyperSpy (``.hspy``; ``.zspy`` where zarr is installed);
        ebsdsim's ``.npz``. A stereographic projection is resampled to the Lambert square, bilinear. A hemisphere that is
        not in the file is concluded from the other where the point group allows it.

        Parameters
        ----------
        path
            The file.
        energy_kev
            Take the energy nearest to this one. By default all energies are summed as they are: those of EMsoft carry
            their weights, ebsdsim stores the weighted sum.
        energy_weights
            Other weights for that sum, one per energy. Not for ebsdsim's files.
        projection, hemisphere, space_group
            ``"lambert"`` or ``"stereographic"``; ``"upper"``, ``"lower"`` or ``"both"``; the number. Only for files of
            kikuchipy's, which do not save the first two and not always the third.

        Raises
        ------
        kikuchinet.errors.InputError
            The file is missing, damaged, no master pattern, or does not say what is needed.
        """
        weights = None if energy_weights is None else tuple(float(w) for w in energy_weights)
        request = Request(energy_kev, weights, projection, hemisphere, space_group)
        contents = read(Path(path), request)
        try:
            return cls(**vars(contents))
        except InputError as error:
            raise InputError(path, error.cause) from error

    @classmethod
    def from_kikuchipy(
        cls,
        signal: EBSDMasterPattern,
        *,
        energy_kev: float | None = None,
        energy_weights: Sequence[float] | None = None,
    ) -> MasterPattern:
        """Take over kikuchipy's ``EBSDMasterPattern``; the inverse of :meth:`to_kikuchipy`.

        Parameters
        ----------
        signal
            Its ``projection``, ``hemisphere`` and ``phase`` say what it holds.
        energy_kev, energy_weights
            As for :meth:`load`.

        Raises
        ------
        kikuchinet.errors.InputError
            The signal does not say what is needed.
        """
        weights = None if energy_weights is None else tuple(float(w) for w in energy_weights)
        return cls(**vars(from_signal(signal, "kikuchipy's master pattern", Request(energy_kev, weights))))

    def to_kikuchipy(self) -> EBSDMasterPattern:
        """Return the pattern as kikuchipy's ``EBSDMasterPattern``, both hemispheres, Lambert projection.

        What kikuchipy has no place for goes into the signal's metadata, so that :meth:`load` finds all of it in a file
        that the signal was saved to.
        """
        return to_signal(self)

    def plot(
        self,
        projection: Projection = "lambert",
        hemisphere: Hemisphere | None = None,
        ax: Axes | None = None,
        directions: Directions | None = None,
        percentiles: tuple[float, float] = (0.5, 99.5),
        view: Sequence[float] = (1.0, 2.0, 3.0),
    ) -> Axes:
        """Draw the pattern; see :func:`kikuchinet.diffraction.plotting.plot_master`."""
        from kikuchinet.diffraction.plotting import plot_master

        return plot_master(self, projection, hemisphere, ax, directions, percentiles, view)
