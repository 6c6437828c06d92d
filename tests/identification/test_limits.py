"""Groups that an answer leaves open, against the list in the literature."""

from __future__ import annotations

import pytest

from kikuchinet.crystal import crystals
from kikuchinet.diffraction import visible_group
from kikuchinet.identification import kinematic_twins, look_alikes

# Class m-3m by conditions of reflection, International Tables for Crystallography A, table 1.6.4.7 (cubic, Laue class
# m-3m): groups in one line of the table.
TWINS = {
    221: (207, 215),
    222: (),
    223: (218,),
    224: (),
    225: (209, 216),
    226: (219,),
    227: (),
    228: (),
    229: (211, 217),
    230: (),
}


@pytest.mark.parametrize(("group", "twins"), TWINS.items())
def test_twins_in_m3m(group, twins):
    assert kinematic_twins(group) == twins


def test_being_a_twin_is_mutual():
    for group in range(1, 231):
        for twin in kinematic_twins(group):
            assert group in kinematic_twins(twin)


def test_hidden_order_comes_first_with_its_reason():
    first, *others = look_alikes(225)
    assert (first.space_group, first.kind) == (221, "hidden order")
    assert "FeNi3" in first.why
    assert [item.space_group for item in others] == [222, 224, 227, 209, 216]


def test_every_hidden_group_of_the_library_is_left_open():
    for crystal in crystals.values():
        seen = visible_group(crystal)
        if seen != crystal.space_group:
            assert crystal.space_group in {item.space_group for item in look_alikes(seen)}, crystal.name


def test_a_twin_that_the_model_knows_is_not_open():
    assert [item.space_group for item in look_alikes(225, known=(216, 225))] == [221, 222, 224, 227, 209]
