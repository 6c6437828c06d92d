"""Which ordering a pattern can show, against the ratios of structure factors in the literature of each alloy."""

from __future__ import annotations

import pytest

from kikuchinet.crystal import PAPER_MATERIALS, crystals
from kikuchinet.diffraction import superlattice_ratio, visible_group


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
