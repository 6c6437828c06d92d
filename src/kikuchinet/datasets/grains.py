"""Maps of grains: what lies under each point of a scan, before any pattern is made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import Crystal
from kikuchinet.crystal.orix_phase import orix_phase
from kikuchinet.datasets.geometry import random_quaternions
from kikuchinet.datasets.orientations import FibreTexture
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from orix.crystal_map import CrystalMap

RESOLUTION_NM = 50.0
"""Full width at half maximum of the region that a pattern comes from, along the tilt axis. Some tens of nm at 20 kV, more
for light elements: F. J. Humphreys, J. Mater. Sci. 36 (2001) 3833-3854 (recalled)."""
_SAMPLE_TILT = np.deg2rad(70.0)
_FWHM = 2.0 * np.sqrt(2.0 * np.log(2.0))


@dataclass(frozen=True, eq=False)
class GrainMap:
    """The grains of a scan.

    Parameters
    ----------
    step_um
        Step of the scan.
    grain, neighbour
        (rows, columns) number of the grain under each point, and of the nearest other one.
    share
        (rows, columns) part of the neighbour in the pattern, 0 to 0.5.
    phase
        (grains,) index of each grain's phase.
    quaternions
        (rows, columns, 4) orientation of the grain at each point, sample to crystal, scalar first.
    neighbour_quaternions
        (rows, columns, 4) orientation of the neighbour.
    """

    step_um: float
    grain: NDArray[np.int64]
    neighbour: NDArray[np.int64]
    share: NDArray[np.float64]
    phase: NDArray[np.int64]
    quaternions: NDArray[np.float64]
    neighbour_quaternions: NDArray[np.float64]

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the scan."""
        return self.grain.shape[0], self.grain.shape[1]

    @property
    def phases(self) -> NDArray[np.int64]:
        """(rows, columns) index of the phase under each point."""
        return np.asarray(self.phase[self.grain])

    def to_crystal_map(self, crystals: Sequence[Crystal]) -> CrystalMap:
        """Return the truth as an orix map, with the properties ``grain`` and ``share``; lengths in µm."""
        from orix.crystal_map import CrystalMap, PhaseList
        from orix.quaternion import Rotation

        rows, columns = self.shape
        row, column = np.divmod(np.arange(rows * columns), columns)
        names = [crystal.name for crystal in crystals]
        listed = [
            orix_phase(
                crystal, crystal.name if names.count(crystal.name) == 1 else f"{crystal.name} {number}"
            )
            for number, crystal in enumerate(crystals)
        ]
        return CrystalMap(
            rotations=Rotation(self.quaternions.reshape(-1, 4)),
            phase_id=self.phases.ravel(),
            x=column * self.step_um,
            y=row * self.step_um,
            phase_list=PhaseList(listed),
            prop={"grain": self.grain.ravel(), "share": self.share.ravel()},
            scan_unit="um",
        )


def draw_grains(
    shape: tuple[int, int],
    *,
    step_um: float,
    grain_um: float,
    fractions: Sequence[float],
    rng: np.random.Generator,
    textures: Sequence[FibreTexture | None] | None = None,
    spread_deg: float = 0.3,
    resolution_nm: float = RESOLUTION_NM,
) -> GrainMap:
    """Draw grains as the Voronoi cells of random points.

    Parameters
    ----------
    shape
        Rows and columns of the scan.
    step_um
        Its step.
    grain_um
        Mean diameter of a grain: that of the circle of the mean grain's area.
    fractions
        Share of each phase; they need not add up to 1.
    rng
        Source of randomness.
    textures
        Of each phase; orientations are uniform on SO(3) where None.
    spread_deg
        How far, in degrees about each axis, orientations within a grain scatter.
    resolution_nm
        Full width at half maximum of the region that a pattern comes from, along the tilt axis; down the sample it is
        1/cos 70° as wide.

    Returns
    -------
    GrainMap
        The grains.

    Raises
    ------
    kikuchinet.errors.InputError
        A number makes no sense.

    Notes
    -----
    The neighbour's part in a pattern at the distance d from the boundary, the perpendicular bisector of the cells' points,
    is that of a Gaussian region beyond the boundary, erfc(d/√2σ)/2. Where three grains meet the third is left out.
    """
    from scipy.spatial import cKDTree
    from scipy.special import erfc

    rows, columns = shape
    if rows < 1 or columns < 1:
        raise InputError("scan", f"{rows} x {columns} points")
    if not (step_um > 0 and grain_um > 0 and resolution_nm >= 0 and spread_deg >= 0):
        raise InputError(
            "scan", "step and grain size must be larger than zero, resolution and spread not negative"
        )
    weights = np.asarray(fractions, dtype=np.float64)
    if not len(weights) or not (np.isfinite(weights).all() and weights.min() > 0):
        raise InputError("scan", "fractions of phases must be larger than zero")
    kinds = list(textures) if textures is not None else [None] * len(weights)
    height, width = rows * step_um, columns * step_um
    # Grains go on beyond the scan, or those at its edge would be larger.
    margin = 2.0 * grain_um
    count = max(2, round((height + 2 * margin) * (width + 2 * margin) / (np.pi / 4 * grain_um**2)))
    points = rng.uniform((-margin, -margin), (height + margin, width + margin), (count, 2))
    phase = rng.choice(len(weights), size=count, p=weights / weights.sum())
    orientation = np.empty((count, 4))
    for number, texture in enumerate(kinds):
        (mine,) = np.nonzero(phase == number)
        drawn = random_quaternions(len(mine), rng) if texture is None else texture.sample(len(mine), rng)
        orientation[mine] = drawn
    y, x = (np.indices(shape).reshape(2, -1) + 0.5) * step_um
    distance, nearest = cKDTree(points).query(np.stack([y, x], axis=1), k=2)
    first, second = nearest.T
    apart = points[second] - points[first]
    length = np.linalg.norm(apart, axis=1)
    depth = (distance[:, 1] ** 2 - distance[:, 0] ** 2) / (2.0 * length)
    sigma_um = (
        resolution_nm * 1e-3 / _FWHM * np.hypot(apart[:, 0] / np.cos(_SAMPLE_TILT), apart[:, 1]) / length
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(sigma_um > 0, 0.5 * erfc(depth / (np.sqrt(2.0) * sigma_um)), 0.0)
    used, numbers = np.unique(np.concatenate([first, second]), return_inverse=True)
    first, second = numbers[: len(first)], numbers[len(first) :]
    return GrainMap(
        step_um=float(step_um),
        grain=first.reshape(shape),
        neighbour=second.reshape(shape),
        share=share.reshape(shape),
        phase=phase[used],
        quaternions=_scattered(orientation[used][first], spread_deg, rng).reshape(rows, columns, 4),
        neighbour_quaternions=_scattered(orientation[used][second], spread_deg, rng).reshape(
            rows, columns, 4
        ),
    )


def _scattered(
    quaternions: NDArray[np.float64], spread_deg: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Turn orientations (n, 4) a little, each about an axis of its own."""
    from scipy.spatial.transform import Rotation

    turns = Rotation.from_rotvec(np.deg2rad(spread_deg) * rng.standard_normal((len(quaternions), 3)))
    turned = np.roll((turns * Rotation.from_quat(np.roll(quaternions, -1, axis=1))).as_quat(), 1, axis=1)
    upright: NDArray[np.float64] = np.where(turned[:, :1] < 0.0, -turned, turned)
    return upright
