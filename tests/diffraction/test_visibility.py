"""Which ordering a pattern can show, against the ratios of structure factors in the literature of each alloy."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.crystal import PAPER_MATERIALS, Crystal, Site, crystals
from kikuchinet.crystal.standard import in_found_group
from kikuchinet.crystal.symmetry import reference_setting
from kikuchinet.diffraction import (
    ElectronTransport,
    orderings,
    possible_groups,
    simulate,
    superlattice_ratio,
    visible_group,
    visible_groups,
    weakest_ordering,
)
from kikuchinet.diffraction.visibility import LEAST_DISTANCE, orderings_key, simulated_orderings


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
    sites = tuple(
        Site(name, position, 0.1 if name == "H" else 1.0, 0.005, name) for name, position in elements.items()
    )
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
    assert visible_group(crystal) == group
    assert visible_group(crystal, least_distance=0.0) == space_group
    assert {group, space_group} <= set(visible_groups(crystal))


def test_distance_is_that_to_the_crystal_without_order() -> None:
    # Another road to the same number: Ni and Al at random on one site, simulated as a crystal of its own.
    ordered = crystals["Ni3Al"]
    random = ordered.replace(
        space_group=225,
        setting=reference_setting(225).symbol,
        sites=tuple(
            Site(site.element, (0.0, 0.0, 0.0), share, site.b_iso_nm2, site.element)
            for site, share in zip(
                sorted(ordered.sites, key=lambda site: site.element), (0.25, 0.75), strict=True
            )
        ),
    )
    transport = ElectronTransport.simulate(ordered, 20.0, energies=1, electrons=5_000)
    patterns = [
        simulate(one, half_width=40, preset="fast", transport=transport).upper.ravel()
        for one in (ordered, random)
    ]
    (ordering,) = simulated_orderings(ordered)
    assert (ordering.space_group, ordering.divisor, ordering.centring) == (225, 1, "F")
    assert ordering.distance == pytest.approx(1.0 - np.corrcoef(*patterns)[0, 1], rel=0.25)


def test_light_atoms_make_strong_reflections_and_faint_bands() -> None:
    nitride, aluminide = crystals["Fe4N"], crystals["Ni3Al"]
    assert superlattice_ratio(nitride, 225) > superlattice_ratio(aluminide, 225)
    (weaker,), (stronger,) = orderings(nitride), orderings(aluminide)
    assert LEAST_DISTANCE < weaker.distance < stronger.distance


def test_groups_that_are_not_told_apart() -> None:
    assert visible_groups(crystals["FeNi3"]) == (221, 225)
    assert visible_groups(crystals["Ni3Al"]) == (221,)
    # Potassium and chlorine scatter alike: a primitive lattice of half the edge.
    assert (visible_group(crystals["KCl"]), visible_groups(crystals["KCl"])) == (221, (221, 225))
    assert visible_groups(crystals["GaAs"]) == (216,)
    assert orderings(crystals["Ni"]) == ()


def test_groups_that_may_be_seen_hold_those_that_are_not_told_apart() -> None:
    for crystal in crystals.values():
        assert set(visible_groups(crystal)) <= set(possible_groups(crystal)), crystal.name
    assert possible_groups(crystals["NaCl"]) == (225,)
    assert possible_groups(crystals["Ni3Al"]) == (221, 225)


def test_the_librarys_table_is_what_is_simulated() -> None:
    from kikuchinet.diffraction.visibility import _library_orderings

    table = _library_orderings()
    own = [crystal for crystal in crystals.values() if crystal.space_group in range(221, 231)]
    assert {orderings_key(crystal) for crystal in own} == set(table)
    for name in ("Ni3Al", "KCl", "Fe3Si", "Cu2O"):
        found = simulated_orderings(crystals[name])
        known = orderings(crystals[name])
        assert [(one.space_group, one.divisor, one.centring) for one in found] == [
            (one.space_group, one.divisor, one.centring) for one in known
        ]
        for one, other in zip(found, known, strict=True):
            assert one.distance == pytest.approx(other.distance, rel=1e-3, abs=1e-5)


def test_only_weak_reflections_hide_a_group() -> None:
    # (100) of perovskite is faint, (111) is not: its lattice stays what it is.
    assert visible_group(crystals["SrTiO3"]) == 221
    assert visible_group(crystals["GaAs"]) == 216
