"""Pictures of master patterns: the Lambert squares, stereographic discs, or a ball."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal.symmetry import reference_setting
from kikuchinet.diffraction.lambert import direction_to_square
from kikuchinet.diffraction.sphere import sample, stereographic_grid
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from kikuchinet.diffraction.master_pattern import MasterPattern

Projection = Literal["lambert", "stereographic", "sphere"]
Hemisphere = Literal["upper", "lower", "both"]
Directions = Literal["zone axes"] | Sequence[tuple[int, int, int]]

_ZONE_AXES = {
    "cubic": ((0, 0, 1), (0, 1, 1), (1, 1, 1), (1, 1, 2)),
    "hexagonal": ((0, 0, 1), (1, 0, 0), (2, 1, 0), (1, 0, 1)),
    "trigonal": ((0, 0, 1), (1, 0, 0), (2, 1, 0), (1, 0, 1)),
}
_OTHER_ZONE_AXES = ((0, 0, 1), (0, 1, 0), (1, 0, 0), (1, 1, 0), (1, 0, 1), (0, 1, 1), (1, 1, 1))
_MARKERS = "sd^ohvpP*X<>"
_GAP = 0.15
"""Between two hemispheres side by side, in half-widths of one."""


def plot_master(
    master: MasterPattern,
    projection: Projection = "lambert",
    hemisphere: Hemisphere | None = None,
    ax: Axes | None = None,
    directions: Directions | None = None,
    percentiles: tuple[float, float] = (0.5, 99.5),
    view: Sequence[float] = (1.0, 2.0, 3.0),
) -> Axes:
    """Draw a master pattern in grey; nothing is shown on a screen.

    Parameters
    ----------
    master
        The pattern.
    projection
        ``"lambert"``: the square map, as stored. ``"stereographic"``: discs. Both have x to the right and y up, and the
        lower hemisphere is seen through the upper one, with the same x and y. ``"sphere"``: a ball from far away
        (orthographic), shaded towards its rim.
    hemisphere
        ``"upper"`` (the default), ``"lower"`` or ``"both"``, side by side. Not for the ball.
    ax
        Axes to draw into; new ones if not given.
    directions
        Families of crystal directions [uvw] to mark, each with all its equivalents under the point group:
        ``"zone axes"`` for the usual ones, or any list of triples.
    percentiles
        Of the intensities drawn, to be shown as black and white; one pair of limits for both hemispheres.
    view
        From where the ball is seen, Cartesian (e1 ∥ a, e3 ∥ c*). e3 points up in the picture; e2 where one looks along e3.

    Returns
    -------
    matplotlib.axes.Axes
        With one image for each hemisphere or ball.

    Raises
    ------
    kikuchinet.errors.InputError
        An unknown projection or hemisphere, limits or a view that make no picture, or directions of a crystal whose cell
        is not known.
    """
    if projection not in ("lambert", "stereographic", "sphere"):
        raise InputError("projection", f"{projection!r} is not lambert, stereographic or sphere")
    if hemisphere not in (None, "upper", "lower", "both"):
        raise InputError("hemisphere", f"{hemisphere!r} is not upper, lower or both")
    if not 0.0 <= percentiles[0] < percentiles[1] <= 100.0:
        raise InputError("percentiles", f"{percentiles} are not two numbers between 0 and 100, in order")
    families = _families(master, directions)
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(layout="constrained")[1]
    ax.set_aspect("equal")
    ax.set_axis_off()
    if projection == "sphere":
        if hemisphere is not None:
            raise InputError("hemisphere", "a ball has both; turn it with view")
        _draw_ball(ax, master, families, percentiles, view_frame(view))
    else:
        _draw_maps(ax, master, projection, hemisphere or "upper", families, percentiles)
    if families:
        ax.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=len(families),
            frameon=False,
            handletextpad=0.1,
            columnspacing=1.0,
        )
    return ax


def family_label(uvw: Sequence[int]) -> str:
    """Return ``⟨11̄2⟩`` and the like, with bars over negative indices, for matplotlib."""
    inside = "".join(rf"\bar{{{-i}}}" if i < 0 else str(i) for i in uvw)
    return rf"$\langle {inside} \rangle$"


def equivalent_directions(master: MasterPattern, uvw: Sequence[int]) -> NDArray[np.float64]:
    """Unit vectors, Cartesian, of a direction and all that the point group makes of it, (n, 3), each once.

    The operations act on the indices themselves, in the crystal's own setting; so this holds for every unique axis. Where
    the crystal is not known its group must be cubic: then no lattice parameter is needed.

    Raises
    ------
    kikuchinet.errors.InputError
        Not three integers, all zero, or the cell is needed and not known.
    """
    index = np.asarray(uvw)
    if index.shape != (3,) or not np.array_equal(index, np.rint(index)) or not index.any():
        raise InputError("directions", f"{uvw!r} is not three integers, not all zero")
    if master.crystal is not None:
        operations = master.crystal.point_group_operations
        axes = master.crystal.direct_matrix
    else:
        setting = reference_setting(master.space_group)
        if setting.crystal_system != "cubic":
            raise InputError(
                master.name, "its cell is not known, so directions cannot be marked: give the crystal"
            )
        operations, axes = setting.point_group_operations, np.eye(3)
    family = np.unique(np.rint(operations @ index).astype(int), axis=0)
    vectors = family @ axes
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _families(
    master: MasterPattern, directions: Directions | None
) -> list[tuple[str, str, NDArray[np.float64]]]:
    """Label, marker and unit vectors of each family."""
    if directions is None:
        return []
    triples: Sequence[tuple[int, int, int]]
    if directions == "zone axes":
        system = reference_setting(master.space_group).crystal_system
        triples = _ZONE_AXES.get(system, _OTHER_ZONE_AXES)
    elif isinstance(directions, str):
        raise InputError("directions", f"{directions!r} is neither 'zone axes' nor a list of triples")
    else:
        triples = directions
    found: list[tuple[str, str, NDArray[np.float64]]] = []
    for uvw in triples:
        vectors = equivalent_directions(master, uvw)
        if any(np.abs(vectors[0] - known).max(axis=1).min() < 1e-9 for _, _, known in found):
            continue
        found.append((family_label(uvw), _MARKERS[len(found) % len(_MARKERS)], vectors))
    return found


def _draw_maps(
    ax: Axes,
    master: MasterPattern,
    projection: Projection,
    hemisphere: Hemisphere,
    families: list[tuple[str, str, NDArray[np.float64]]],
    percentiles: tuple[float, float],
) -> None:
    names = ("upper", "lower") if hemisphere == "both" else (hemisphere,)
    images = [_map(master, projection, name) for name in names]
    low, high = np.nanpercentile(np.stack(images), percentiles)
    for i, (name, image) in enumerate(zip(names, images, strict=True)):
        middle = i * (2.0 + _GAP)
        # Pixels lie on the map's edge, so half of each is outside.
        edge = 1.0 + 0.5 / master.half_width
        extent = (middle - edge, middle + edge, -edge, edge)
        ax.imshow(image, cmap="gray", vmin=low, vmax=high, origin="lower", extent=extent)
        if projection == "stereographic":
            _draw_circle(ax, middle)
        if len(names) > 1:
            ax.text(middle, 1.06, name, ha="center", va="bottom")
        for label, marker, vectors in families:
            side = vectors[vectors[:, 2] * (1.0 if name == "upper" else -1.0) >= -1e-9]
            places = _places(side, projection)
            _mark(ax, places[:, 0] + middle, places[:, 1], marker, label if i == 0 else None)
    ax.set_xlim(-1.06, 1.06 + (len(names) - 1) * (2.0 + _GAP))
    ax.set_ylim(-1.06, 1.06)


def _map(master: MasterPattern, projection: Projection, name: str) -> NDArray[np.float32]:
    """Image of one hemisphere, row along +y; NaN outside a disc."""
    if projection == "lambert":
        return master.upper if name == "upper" else master.lower
    directions, inside = stereographic_grid(master.half_width)
    if name == "lower":
        directions = directions * np.array([1.0, 1.0, -1.0])
    image = np.full(inside.shape, np.nan, dtype=np.float32)
    image[inside] = sample(master.upper, master.lower, directions[inside])
    return image


def _places(directions: NDArray[np.float64], projection: Projection) -> NDArray[np.float64]:
    """Where unit vectors fall on the map of their hemisphere, (n, 2) in [-1, 1]."""
    if projection == "lambert":
        return direction_to_square(directions).reshape(-1, 2)
    return directions[:, :2] / (1.0 + np.abs(directions[:, 2:]))


def _draw_ball(
    ax: Axes,
    master: MasterPattern,
    families: list[tuple[str, str, NDArray[np.float64]]],
    percentiles: tuple[float, float],
    frame: NDArray[np.float64],
) -> None:
    n = max(master.half_width, 50)
    u, v, depth = _ball_grid(n)
    inside = depth > 0.0
    directions = np.stack([u, v, depth], axis=-1)[inside] @ frame
    values = sample(master.upper, master.lower, directions)
    low, high = np.percentile(values, percentiles)
    grey = np.clip((values - low) / max(high - low, np.finfo(np.float32).tiny), 0.0, 1.0)
    image = np.full(inside.shape, np.nan, dtype=np.float32)
    # Light from the viewer: half of it diffuse, so that the rim stays readable.
    image[inside] = grey * (0.5 + 0.5 * depth[inside])
    edge = 1.0 + 0.5 / n
    ax.imshow(image, cmap="gray", vmin=0.0, vmax=1.0, origin="lower", extent=(-edge, edge, -edge, edge))
    _draw_circle(ax, 0.0)
    for label, marker, vectors in families:
        turned = vectors @ frame.T
        facing = turned[turned[:, 2] > 0.02]
        _mark(ax, facing[:, 0], facing[:, 1], marker, label)
    ax.set_xlim(-1.06, 1.06)
    ax.set_ylim(-1.06, 1.06)


def _ball_grid(n: int) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Right, up and towards the viewer, on a ball of radius 1; the last is 0 outside."""
    steps = np.arange(-n, n + 1) / n
    v, u = np.meshgrid(steps, steps, indexing="ij")
    return u, v, np.sqrt(np.maximum(1.0 - u**2 - v**2, 0.0))


def view_frame(view: Sequence[float]) -> NDArray[np.float64]:
    """Rows: what points right, up and at the viewer in a picture seen from `view`, Cartesian crystal coordinates."""
    towards = np.asarray(view, dtype=np.float64)
    if towards.shape != (3,) or not np.isfinite(towards).all() or not towards.any():
        raise InputError("view", f"{view!r} is not a direction of three finite numbers")
    towards = towards / np.linalg.norm(towards)
    vertical = np.array([0.0, 0.0, 1.0]) if abs(towards[2]) < 1.0 - 1e-9 else np.array([0.0, 1.0, 0.0])
    up = vertical - (vertical @ towards) * towards
    up /= np.linalg.norm(up)
    return np.stack([np.cross(up, towards), up, towards])


def _mark(ax: Axes, x: NDArray[np.float64], y: NDArray[np.float64], marker: str, label: str | None) -> None:
    ax.plot(x, y, marker, mfc="white", mec="black", mew=0.8, ms=5, ls="none", label=label, clip_on=False)


def _draw_circle(ax: Axes, middle: float) -> None:
    angle = np.linspace(0.0, 2.0 * np.pi, 361)
    ax.plot(middle + np.cos(angle), np.sin(angle), color="black", lw=0.8)
