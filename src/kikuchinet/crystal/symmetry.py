"""Space-group settings and their operations, from gemmi's tables.

A *setting* is one of the 560-odd descriptions of the 230 space groups that gemmi tabulates, named by its extended
Hermann-Mauguin symbol: ``"F d -3 m:2"`` is group 227 with the origin at the inversion centre, ``"R -3 m:H"`` is
group 166 on hexagonal axes, ``"P 1 21/n 1"`` is group 14 with the glide along n.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, cached_property

import gemmi
import numpy as np
from numpy.typing import NDArray

from kikuchinet.errors import InputError

_DENOMINATOR = gemmi.Op.DEN


@dataclass(frozen=True)
class Setting:
    """One setting of a space group.

    Parameters
    ----------
    symbol
        Extended Hermann-Mauguin symbol as gemmi writes it, such as ``"F d -3 m:2"``.
    """

    symbol: str

    def __post_init__(self) -> None:
        found = gemmi.find_spacegroup_by_name(self.symbol)
        if found is None or found.xhm() != self.symbol:
            raise InputError(self.symbol, "not a space-group setting that gemmi tabulates")

    @cached_property
    def _gemmi(self) -> gemmi.SpaceGroup:
        return gemmi.find_spacegroup_by_name(self.symbol)

    @property
    def number(self) -> int:
        """Space-group number, 1 to 230."""
        return int(self._gemmi.number)

    @property
    def hall(self) -> str:
        """Hall symbol of the setting."""
        return str(self._gemmi.hall)

    @property
    def crystal_system(self) -> str:
        """One of the seven crystal systems, in lower case."""
        return str(self._gemmi.crystal_system_str())

    @property
    def is_reference(self) -> bool:
        """True for the setting of International Tables that the library uses by default."""
        return bool(self._gemmi.is_reference_setting())

    @property
    def centring(self) -> str:
        """Lattice centring letter: P, A, B, C, I, F or R (obverse hexagonal axes)."""
        return str(self._gemmi.centring_type())

    @cached_property
    def triplets(self) -> tuple[str, ...]:
        """All operations of the cell, centring included, as triplets such as ``"-x,y+1/2,-z"``."""
        return tuple(op.triplet() for op in self._gemmi.operations())

    @cached_property
    def rotations(self) -> NDArray[np.int64]:
        """Rotation parts of all operations of the cell, shape (m, 3, 3): x' = W x + w."""
        rotations = np.array([op.rot for op in self._gemmi.operations()], dtype=np.int64) // _DENOMINATOR
        rotations.setflags(write=False)
        return rotations

    @cached_property
    def translations(self) -> NDArray[np.float64]:
        """Translation parts of all operations of the cell, shape (m, 3), fractions of the cell in [0, 1)."""
        twentyfourths = np.array([op.tran for op in self._gemmi.operations()], dtype=np.int64) % _DENOMINATOR
        translations = twentyfourths / float(_DENOMINATOR)
        translations.setflags(write=False)
        return translations

    @cached_property
    def point_group_operations(self) -> NDArray[np.int64]:
        """The distinct rotation parts, shape (m, 3, 3), identity first."""
        return _distinct(self.rotations)

    @cached_property
    def laue_operations(self) -> NDArray[np.int64]:
        """The distinct rotation parts with the inversion added, shape (m, 3, 3), identity first."""
        return _distinct(np.concatenate([self.rotations, -self.rotations]))


def _distinct(rotations: NDArray[np.int64]) -> NDArray[np.int64]:
    """Distinct matrices in order of first appearance (gemmi lists the identity first)."""
    _, first = np.unique(rotations.reshape(len(rotations), 9), axis=0, return_index=True)
    distinct = rotations[np.sort(first)]
    distinct.setflags(write=False)
    return distinct


@cache
def find_setting(symbol: str) -> Setting:
    """The setting of an extended Hermann-Mauguin symbol; cached, so that its operations are built once."""
    return Setting(symbol)


@cache
def reference_setting(number: int) -> Setting:
    """The setting of International Tables Vol. A that stands for a space group by default.

    Unique axis b and cell choice 1 for monoclinic groups, origin at the inversion centre (choice 2) for the
    24 groups with two origins, hexagonal axes for the rhombohedral groups.

    Parameters
    ----------
    number
        Space-group number, 1 to 230.

    Returns
    -------
    Setting
        The reference setting.

    Raises
    ------
    InputError
        If the number is not in 1 to 230.
    """
    if isinstance(number, bool) or int(number) != number or not 1 <= number <= 230:
        raise InputError(str(number), "not a space-group number (1 to 230)")
    return find_setting(gemmi.get_spacegroup_reference_setting(int(number)).xhm())


def metric_from_cell(cell: tuple[float, float, float, float, float, float]) -> NDArray[np.float64]:
    """Metric tensor of a cell given as three lengths and three angles in degrees; unit: length squared."""
    lengths = np.array(cell[:3])
    cosines = np.cos(np.radians(cell[3:]))
    # Exact zeros for right angles: cos(90 degrees) in floating point is 6e-17, which would spoil exact symmetry.
    cosines[np.abs(cosines) < 1e-15] = 0.0
    angles = np.array(
        [[1.0, cosines[2], cosines[1]], [cosines[2], 1.0, cosines[0]], [cosines[1], cosines[0], 1.0]]
    )
    return np.outer(lengths, lengths) * angles


def cell_from_metric(metric: NDArray[np.float64]) -> tuple[float, float, float, float, float, float]:
    """Three lengths and three angles in degrees of a metric tensor."""
    lengths = np.sqrt(np.diag(metric))
    cosines = metric / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(np.clip([cosines[1, 2], cosines[0, 2], cosines[0, 1]], -1.0, 1.0)))
    values = [float(v) for v in (*lengths, *angles)]
    return values[0], values[1], values[2], values[3], values[4], values[5]


def symmetrised_metric(metric: NDArray[np.float64], setting: Setting) -> NDArray[np.float64]:
    """The metric nearest to `metric` that every operation of the setting leaves unchanged.

    The average of W^T G W over the point group, which is the orthogonal projection on the invariant metrics.
    """
    operations = setting.point_group_operations.astype(np.float64)
    return np.einsum("nji,jk,nkl->il", operations, metric, operations) / len(operations)


def metric_mismatch(metric: NDArray[np.float64], setting: Setting) -> float:
    """How far a cell is from obeying the setting: the largest change of the metric, relative to its trace / 3."""
    change = np.abs(symmetrised_metric(metric, setting) - metric).max()
    return float(change / (np.trace(metric) / 3.0))
