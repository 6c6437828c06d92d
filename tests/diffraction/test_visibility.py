"""Which ordering a pattern can show, against the ratios of structure factors in the literature of each alloy."""

from __future__ import annotations

import pytest

from kikuchinet.crystal import PAPER_MATERIALS, Crystal, Site, crystals
from kikuchinet.crystal.standard import in_found_group
from kikuchinet.crystal.symmetry import reference_setting
from kikuchinet.diffraction import superlattice_ratio, visible_group, weakest_ordering


@pytest.mark.parametrize(
    ("name", "parent", "ratio"),
    [("FeNi3", 225, 0.015), ("Ni3Al", 225, 0.115), ("NiAl", 229, 0.26), ("FeAl", 229, 0.28)],
)
def test_superlattice_ratios(name: str, parent: int, ratio: float) -> None:
    assert superlattice_ratio(crystals[name], parent) == pytest.approx(ratio, rel=0.15)


def test_only_the_ordering_of_feni3_is_invisible_among_the_papers_materials() -> None:
    hidden = {
        name
        for names in PAPER_MATERIALS.values()
        for name in names
        if visible_group(crystals[name]) != crystals[name].space_group
    }
    assert hidden == {"FeNi3"}
    assert visible_group(crystals["FeNi3"]) == 225


def test_unknown_parent() -> None:
    with pytest.raises(ValueError, match="no parent"):
        superlattice_ratio(crystals["Ni"], 230)


def test_weakest_ordering_names_the_nearest_parent() -> None:
    parent, ratio = weakest_ordering(crystals["NiAl"]) or (0, 0.0)
    assert parent == 229
    assert ratio == superlattice_ratio(crystals["NiAl"], 229)
    assert (weakest_ordering(crystals["Ni3Al"]) or (0, 0.0))[0] == 225
    assert weakest_ordering(crystals["W"]) is None


def crystal_of(space_group: int, **elements: tuple[float, float, float]) -> Crystal:
    sites = tuple(Site(name, position, 1.0, 0.005, name) for name, position in elements.items())
    return Crystal(
        name="", a_nm=1.0, b_nm=1.0, c_nm=1.0, alpha_deg=90.0, beta_deg=90.0, gamma_deg=90.0,
        space_group=space_group, setting=reference_setting(space_group).symbol, sites=sites,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("space_group", "heavy", "group"),
    [
        (222, (0.25, 0.25, 0.25), 229),  # 2a
        (222, (0.0, 0.0, 0.0), 221),  # 8c: a primitive lattice of half the edge
        (223, (0.0, 0.0, 0.0), 229),  # 2a
        (224, (0.0, 0.0, 0.0), 225),  # 4b
        (226, (0.0, 0.0, 0.0), 221),  # 8b
        (227, (0.0, 0.0, 0.0), 227),  # 16c has spinel's own lattice
        (228, (0.0, 0.0, 0.0), 225),  # 32c: half the edge
        (230, (0.0, 0.0, 0.0), 229),  # 16a: half the edge
    ],
)
def test_light_atoms_between_heavy_ones_set_no_visible_group(
    space_group: int, heavy: tuple[float, float, float], group: int
) -> None:
    crystal = crystal_of(space_group, Pb=heavy, H=(0.11, 0.17, 0.29))
    alone = in_found_group(crystal.replace(sites=crystal.sites[:1]))
    assert alone is not None
    assert alone.space_group == group  # spglib's
    assert visible_group(crystal, threshold=0.5) == group
    assert visible_group(crystal, threshold=1e-4) == space_group


def test_only_weak_reflections_hide_a_group() -> None:
    # (100) of perovskite is weaker than the threshold, (111) is not: its lattice stays what it is.
    assert visible_group(crystals["SrTiO3"]) == 221
    assert visible_group(crystals["GaAs"]) == 216
