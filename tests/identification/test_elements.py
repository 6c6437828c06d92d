"""Elements as people type them."""

from __future__ import annotations

import pytest

from kikuchinet.errors import InputError
from kikuchinet.identification import library_candidates, parse_elements


@pytest.mark.parametrize("text", ["Al,Ni", "al ni", " AL , NI,al", ["Al", "Ni"]])
def test_ways_of_writing(text):
    assert parse_elements(text) == ("Al", "Ni")


def test_nothing_is_nothing():
    assert parse_elements("") == ()


@pytest.mark.parametrize("text", ["Xx", "Al,Stuff", "12", "Al;Ni"])
def test_what_is_no_element(text):
    with pytest.raises(InputError, match="not a chemical element"):
        parse_elements(text)


def test_candidates_hold_these_elements_only_and_look_like_the_answer():
    names = {candidate.name for candidate in library_candidates(("Fe", "Ni"), 225)}
    # Ordered FeNi3 is fcc to a camera; bcc Fe is not.
    assert {"Ni", "FeNi3"} <= names
    assert "Fe" not in names
    assert "Al" not in names


def test_no_candidate():
    assert library_candidates(("H",), 230) == ()
