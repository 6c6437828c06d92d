"""Symbols as the International Tables print them."""

from __future__ import annotations

import re

import pytest

from kikuchinet.report._symbols import hermann_mauguin, point_group, subscripts

THIN = '<span class="thin"></span>'


@pytest.mark.parametrize(
    ("number", "html"),
    [
        (225, '<i>F</i><i>m</i><span class="bar">3</span><i>m</i>'),
        (230, '<i>I</i><i>a</i><span class="bar">3</span><i>d</i>'),
        (194, "<i>P</i>6<sub>3</sub>/<i>m</i><i>m</i><i>c</i>"),
        (136, "<i>P</i>4<sub>2</sub>/<i>m</i><i>n</i><i>m</i>"),
        (14, "<i>P</i>2<sub>1</sub>/<i>c</i>"),
        (145, "<i>P</i>3<sub>2</sub>"),
        (2, '<i>P</i><span class="bar">1</span>'),
    ],
)
def test_known_symbols(number, html):
    assert str(hermann_mauguin(number)).replace(THIN, "") == html


def test_three_separate_axes_are_no_screw_axis():
    assert "sub" not in str(hermann_mauguin(150))  # P321


def test_all_groups_and_all_different():
    texts = [re.sub(r"\s", "", str(hermann_mauguin(number))) for number in range(1, 231)]
    assert len(set(texts)) == 230


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("FeNi3", "FeNi<sub>3</sub>"),
        ("L1_2 order, as in FeNi3", "L1<sub>2</sub> order, as in FeNi<sub>3</sub>"),
        ("D0_3", "D0<sub>3</sub>"),
        ("B2", "B2"),
        ("Al4CoNi2", "Al<sub>4</sub>CoNi<sub>2</sub>"),
        ("<b>&", "&lt;b&gt;&amp;"),
    ],
)
def test_subscripts(text, html):
    assert str(subscripts(text)) == html


def test_point_group():
    assert str(point_group("-43m")) == '<span class="bar">4</span>3<i>m</i>'
