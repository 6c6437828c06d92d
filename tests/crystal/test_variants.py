"""Variants of known crystals."""

from __future__ import annotations

import numpy as np
import pytest

from kikuchinet.crystal import Crystal, crystals, prototype_variant
from kikuchinet.crystal.standard import in_found_group, spglib_cell, spglib_dataset
from kikuchinet.crystal.variants import similar_elements


@pytest.mark.parametrize("name", crystals.names[::7])
def test_same_type_other_elements(name: str) -> None:
    crystal = crystals[name]
    variant = prototype_variant(crystal, np.random.default_rng(5), order=1.0)
    variant.check()
    assert variant.space_group == crystal.space_group
    assert variant.prototype == crystal.prototype
    assert len(variant.atoms()) == len(crystal.atoms())
    assert [site.position for site in variant.sites] == [site.position for site in crystal.sites]
    assert len(variant.composition) == len(crystal.composition)
    assert 0.75 < variant.a_nm / crystal.a_nm < 1.35
    assert not variant.verified
    dataset = spglib_dataset(spglib_cell(variant), 1e-4)
    assert dataset is not None
    assert dataset.number == crystal.space_group


def test_same_seed_same_variant() -> None:
    drawn = [
        [prototype_variant(crystals["Ni3Al"], np.random.default_rng(s)) for s in (1, 1, 2)] for _ in range(2)
    ]
    assert drawn[0] == drawn[1]
    assert drawn[0][0] == drawn[0][1] != drawn[0][2]


def test_variants_are_diverse() -> None:
    rng = np.random.default_rng(0)
    drawn = [prototype_variant(crystals["Ni3Al"], rng) for _ in range(30)]
    assert len({v.formula for v in drawn}) > 15
    assert {v.space_group for v in drawn} == {221, 225}
    assert len({v.name for v in drawn}) == 30


@pytest.mark.parametrize(
    ("name", "group"), [("Ni3Al", 225), ("NiAl", 229), ("CuAu", 139), ("MoSi2", 139), ("Fe3Al (D0_3)", 229)]
)
def test_broken_order_makes_the_solution(name: str, group: int) -> None:
    """L1_2 is ordered fcc, B2 and D0_3 are ordered bcc; L1_0 keeps its axial ratio, MoSi2 is bct."""
    crystal = crystals[name]
    for seed in range(4):
        variant = prototype_variant(crystal, np.random.default_rng(seed), order=0.0)
        if len({site.position for site in variant.sites}) == len(variant.sites):
            continue  # no two of its elements replace one another
        assert variant.space_group == group
        ratio = {e: n / variant.n_atoms for e, n in variant.composition.items()}
        assert sorted(ratio.values()) == pytest.approx(
            sorted(n / crystal.n_atoms for n in crystal.composition.values()), abs=1e-3
        )


def test_partial_order_keeps_group_and_composition() -> None:
    variant = prototype_variant(crystals["Ni3Al"], np.random.default_rng(3), order=0.5)
    assert variant.space_group == 221
    assert sorted(variant.composition.values()) == pytest.approx([1.0, 3.0], abs=1e-3)
    assert len(variant.sites) == 4


def test_similar_elements() -> None:
    assert set(similar_elements("Ni")) >= {"Co", "Pd", "Pt"}
    assert set(similar_elements("O")) == {"N", "F"}
    assert not {"O", "N", "Cl"} & set(similar_elements("B"))
    assert similar_elements("H") == ()


def test_the_group_that_is_found() -> None:
    crystal = crystals["NaCl"]
    lower = Crystal(
        name="NaCl in P1",
        a_nm=crystal.a_nm, b_nm=crystal.a_nm, c_nm=crystal.a_nm,
        alpha_deg=90.0, beta_deg=90.0, gamma_deg=90.0,
        space_group=1,
        setting="",
        sites=tuple(
            type(crystal.sites[0])(crystal.sites[int(i)].element, tuple((p + 0.1) % 1.0))
            for i, p in zip(crystal.atoms().site_index, crystal.atoms().positions, strict=True)
        ),
    )  # fmt: skip
    found = in_found_group(lower)
    assert found is not None
    assert (found.space_group, found.n_atoms, len(found.sites)) == (225, 8, 2)
    assert found.density_g_cm3 == pytest.approx(crystal.density_g_cm3)
    found.check()
    assert in_found_group(crystal) is crystal
