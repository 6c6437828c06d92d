"""Plots of master patterns: known directions land where orix says, in every projection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pytest
from diffpy.structure import Lattice, Structure
from matplotlib.axes import Axes
from numpy.typing import NDArray
from orix.crystal_map import Phase
from orix.projections import StereographicProjection
from orix.vector import Miller, Vector3d

from kikuchinet.crystal import Crystal, crystals
from kikuchinet.diffraction import MasterPattern
from kikuchinet.diffraction.lambert import direction_to_square, lambert_grid
from kikuchinet.diffraction.plotting import equivalent_directions
from kikuchinet.errors import InputError

H = 100


@pytest.fixture(autouse=True)
def close() -> Iterator[None]:
    yield
    plt.close("all")


def spots(directions: NDArray[np.float64], crystal: Crystal | None, group: int) -> MasterPattern:
    """Dark but for a small bright spot at each unit vector."""

    def intensity(v: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(np.exp(2000.0 * ((v @ directions.T).max(axis=-1) - 1.0)))

    grid = lambert_grid(H)
    return MasterPattern(
        intensity(grid), intensity(grid * [1.0, 1.0, -1.0]), 20.0, "spots", group, crystal=crystal
    )


def orix_family(crystal: Crystal, uvw: tuple[int, int, int]) -> NDArray[np.float64]:
    c = crystal
    lattice = Lattice(
        10 * c.a_nm, 10 * c.b_nm, 10 * c.c_nm, c.alpha_deg, c.beta_deg, c.gamma_deg
    )  # diffpy counts in Å
    phase = Phase(space_group=c.space_group, structure=Structure(lattice=lattice))
    return np.asarray(Miller(uvw=uvw, phase=phase).symmetrise(unique=True).unit.data.reshape(-1, 3))


def peaks(ax: Axes, image: int = 0) -> NDArray[np.float64]:
    """Where the spots of a drawn image are, in the coordinates of its axes: brightest pixel of each."""
    drawn = ax.images[image]
    values = np.ma.filled(drawn.get_array(), 0.0).astype(float)
    left, right, bottom, top = drawn.get_extent()
    assert drawn.origin == "lower"
    rows, columns = values.shape
    found = []
    while values.max() > 0.5:
        row, column = np.unravel_index(values.argmax(), values.shape)
        found.append(
            [left + (column + 0.5) / columns * (right - left), bottom + (row + 0.5) / rows * (top - bottom)]
        )
        values[max(0, row - 8) : row + 9, max(0, column - 8) : column + 9] = 0.0
    return np.array(found)


def assert_same_places(found: NDArray[np.float64], expected: NDArray[np.float64], tolerance: float) -> None:
    distances = np.linalg.norm(found[:, None] - expected[None], axis=2)
    assert len(found) == len(expected)
    assert distances.min(axis=0).max() < tolerance
    assert distances.min(axis=1).max() < tolerance


CASES: list[tuple[str, tuple[int, int, int]]] = [
    ("Ni", (1, 2, 3)),
    ("GaAs", (1, 1, 1)),
    ("quartz", (2, 1, 1)),
    ("kyanite", (1, 0, 2)),
]


@pytest.mark.parametrize(("name", "uvw"), CASES)
@pytest.mark.parametrize("hemisphere", ["upper", "lower"])
def test_stereographic_spots_are_where_orix_puts_them(name: str, uvw: Any, hemisphere: Any) -> None:
    crystal = crystals[name]
    family = orix_family(crystal, uvw)
    master = spots(family, crystal, crystal.space_group)
    ax = master.plot("stereographic", hemisphere, directions=[uvw], percentiles=(0.0, 100.0))
    projection = StereographicProjection(pole=-1 if hemisphere == "upper" else 1)
    expected = np.stack(projection.vector2xy(Vector3d(family)), axis=1)
    assert len(expected) > 0
    # One pixel; a spot at the rim may be cut.
    assert_same_places(peaks(ax), expected, 1.5 / H)
    assert_same_places(marked(ax), expected, 1e-6)


def marked(ax: Axes) -> NDArray[np.float64]:
    """All markers of families."""
    lines = [line for line in ax.lines if line.get_marker() not in ("", "None", None)]
    return np.concatenate([line.get_xydata() for line in lines])


def test_lambert_spots_and_markers_agree() -> None:
    family = orix_family(crystals["Ni"], (1, 2, 3))
    ax = spots(family, crystals["Ni"], 225).plot("lambert", "lower", directions=[(1, 2, 3)])
    expected = direction_to_square(family[family[:, 2] < 0])
    assert_same_places(peaks(ax), expected, 1.5 / H)
    assert_same_places(marked(ax), expected, 1e-6)


@pytest.mark.parametrize("view", [(1.0, 2.0, 3.0), (0.0, 0.0, 1.0), (0.0, 0.0, -2.0), (3.0, -1.0, -0.5)])
def test_ball_shows_what_faces_the_viewer(view: Any) -> None:
    crystal = crystals["kyanite"]
    family = np.concatenate([orix_family(crystal, uvw) for uvw in ((1, 0, 2), (0, 1, 1), (1, 1, 0))])
    ax = spots(family, crystal, 2).plot(
        "sphere", view=view, directions=[(1, 0, 2), (0, 1, 1), (1, 1, 0)], percentiles=(0.0, 100.0)
    )
    towards = np.array(view) / np.linalg.norm(view)
    # Written apart: e3 up, unless one looks along it; right is what makes a right-handed frame with the viewer.
    vertical = np.array([0.0, 1.0, 0.0]) if view[:2] == (0.0, 0.0) else np.array([0.0, 0.0, 1.0])
    right = np.cross(vertical, towards)
    right /= np.linalg.norm(right)
    facing = family[family @ towards > 0.25]
    expected = np.stack([facing @ right, facing @ np.cross(towards, right)], axis=1)
    places = peaks(ax)
    assert len(expected) > 0
    assert all(np.linalg.norm(places - place, axis=1).min() < 2.5 / H for place in expected)
    assert all(np.linalg.norm(marked(ax) - place, axis=1).min() < 1e-6 for place in expected)


def test_the_equator_is_not_darkened() -> None:
    """A pattern of one grey stays one grey up to the rim; the two discs meet there."""
    flat = MasterPattern(np.full((41, 41), 7.0), np.full((41, 41), 7.0), 20.0, "flat", 225)
    for name in ("stereographic", "sphere"):
        ax = flat.plot(name)
        image = ax.images[0].get_array()
        values = np.ma.compressed(np.ma.masked_invalid(image))
        if name == "stereographic":
            assert (values == 7.0).all()
        # The disc's area, to the pixels of its rim.
        assert len(values) / image.size == pytest.approx(np.pi / 4.0 * (2.0 * 20 / 41) ** 2, abs=0.03)
    crystal = crystals["kyanite"]
    family = orix_family(crystal, (1, 0, 2))
    ax = spots(family, crystal, 2).plot("stereographic", "both")
    upper, lower = (image.get_array() for image in ax.images)
    for row, column in ((H, 0), (H, 2 * H), (0, H), (2 * H, H), (H + 60, H + 80), (H - 80, H + 60)):
        assert upper[row, column] == pytest.approx(lower[row, column], abs=1e-6)


def test_limits_are_percentiles_of_what_is_drawn() -> None:
    rng = np.random.default_rng(0)
    upper, lower = rng.normal(size=(2, 41, 41)).astype(np.float32)
    master = MasterPattern(upper, lower, 20.0, "noise", 225)
    image = master.plot("lambert", "lower", percentiles=(2.0, 90.0)).images[0]
    assert image.get_clim() == pytest.approx(tuple(np.percentile(lower, (2.0, 90.0))))
    both = master.plot("lambert", "both").images
    expected = pytest.approx(tuple(np.percentile([upper, lower], (0.5, 99.5))))
    assert both[0].get_clim() == expected
    assert both[1].get_clim() == expected


def test_axes_are_used_and_families_named_once() -> None:
    ax = plt.subplots()[1]
    master = spots(orix_family(crystals["Ni"], (0, 0, 1)), None, 225)
    assert master.plot("stereographic", "both", ax=ax, directions="zone axes") is ax
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert len(labels) == len(set(labels)) == 4
    twice = master.plot(directions=[(1, 0, 0), (0, 0, -1), (1, 1, 1)])
    assert len(twice.get_legend().get_texts()) == 2


@pytest.mark.parametrize("name", ["titanite", "forsterite", "calcite", "GaN"])
def test_directions_follow_the_crystals_own_setting(name: str) -> None:
    """Each equivalent has the same length, angle to the axes of symmetry and spot: they come from one orbit."""
    crystal = crystals[name]
    grid = np.zeros((5, 5)) + 1.0
    master = MasterPattern(grid, grid, 20.0, name, crystal.space_group, crystal=crystal)
    found = equivalent_directions(master, (1, 3, 2))
    assert len(found) == len(crystal.point_group_operations)
    axes = crystal.direct_matrix.T
    for w in axes @ crystal.point_group_operations @ np.linalg.inv(axes):
        turned = found @ w.T
        assert np.abs(turned[:, None] - found[None]).max(axis=2).min(axis=1).max() < 1e-9


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"projection": "mercator"}, "mercator"),
        ({"hemisphere": "left"}, "left"),
        ({"projection": "sphere", "hemisphere": "upper"}, "a ball has both"),
        ({"projection": "sphere", "view": (0.0, 0.0, 0.0)}, "view"),
        ({"projection": "sphere", "view": (0.0, float("nan"), 0.0)}, "view"),
        ({"percentiles": (60.0, 40.0)}, "percentiles"),
        ({"directions": "poles"}, "poles"),
        ({"directions": [(0, 0, 0)]}, "not all zero"),
        ({"directions": [(1, 2)]}, "three integers"),
    ],
)
def test_bad_requests(options: dict[str, Any], message: str) -> None:
    master = MasterPattern(np.ones((5, 5)), np.ones((5, 5)), 20.0, "x", 225)
    with pytest.raises(InputError, match=message):
        master.plot(**options)


def test_directions_need_a_cell_where_the_group_does_not_fix_it() -> None:
    master = MasterPattern(np.ones((5, 5)), np.ones((5, 5)), 20.0, "x", 194)
    with pytest.raises(InputError, match="cell is not known"):
        master.plot(directions="zone axes")
