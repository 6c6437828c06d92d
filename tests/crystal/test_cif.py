"""CIF in and out, the good and the bad."""

from __future__ import annotations

import contextlib
from pathlib import Path

import gemmi
import numpy as np
import pytest
import spglib

from kikuchinet.crystal import Crystal, Site, crystals, find_setting, ladder
from kikuchinet.crystal.standard import hall_number_of_reference
from kikuchinet.crystal.symmetry import cell_from_metric, symmetrised_metric
from kikuchinet.errors import InputError

EIGHT_PI_SQUARED = 8 * np.pi**2


def cif(
    *,
    cell: tuple[float, ...] = (5.43, 5.43, 5.43, 90, 90, 90),
    symbol: str = "",
    operations: str = "",
    extra: str = "",
    columns: str = "label fract_x fract_y fract_z",
    atoms: str = "Si1 0.125 0.125 0.125",
) -> str:
    names = ("length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma")
    lines = ["data_test", *(f"_cell_{name} {value}" for name, value in zip(names, cell, strict=True))]
    if symbol:
        lines.append(f"_symmetry_space_group_name_H-M '{symbol}'")
    if operations:
        lines += ["loop_", "_symmetry_equiv_pos_as_xyz", *(f"'{op}'" for op in operations.split(";"))]
    lines += [extra, "loop_", *(f"_atom_site_{name}" for name in columns.split()), atoms, ""]
    return "\n".join(lines)


@pytest.mark.parametrize(
    "name", [*crystals.names[::4], "titanite", "kyanite", "calcite", "quartz", "forsterite"]
)
def test_round_trip_of_the_library(name: str) -> None:
    crystal = crystals[name]
    again = Crystal.from_cif_string(crystal.to_cif())
    np.testing.assert_allclose(again.cell, crystal.cell, rtol=1e-11)
    for attribute in ("name", "space_group", "setting", "source", "prototype", "note", "verified", "formula"):
        assert getattr(again, attribute) == getattr(crystal, attribute)
    for ours, theirs in zip(again.sites, crystal.sites, strict=True):
        assert (ours.element, ours.label) == (theirs.element, theirs.label)
        assert ours.occupancy == pytest.approx(theirs.occupancy, abs=1e-11)
        assert ours.b_iso_nm2 == pytest.approx(theirs.b_iso_nm2, abs=1e-11)
    atoms, expected = again.atoms(), crystal.atoms()
    np.testing.assert_array_equal(np.sort(atoms.z), np.sort(expected.z))
    for z, position in zip(atoms.z, atoms.positions, strict=True):
        away = expected.positions[expected.z == z] - position
        assert np.abs(away - np.rint(away)).max(axis=1).min() < 1e-9


@pytest.mark.parametrize("b_iso_nm2", [0.0, 0.0047, 0.5])
def test_our_own_files_keep_any_b(b_iso_nm2: float) -> None:
    crystal = Crystal("X", 0.4, 0.4, 0.4, 90, 90, 90, 221, "", (Site("Fe", (0, 0, 0), 1.0, b_iso_nm2),))
    again = Crystal.from_cif_string(crystal.to_cif())
    assert again.sites[0].b_iso_nm2 == pytest.approx(b_iso_nm2, abs=1e-12)
    assert not again.note


def test_every_tabulated_setting_is_kept() -> None:
    raw = 100 * (np.diag([0.49, 0.64, 0.81]) + 0.02)
    for group in gemmi.spacegroup_table():
        found = gemmi.find_spacegroup_by_name(group.xhm())
        if found.xhm() != group.xhm():
            continue
        setting = find_setting(group.xhm())
        start = raw
        if ladder(setting.number).crystal_system in {"trigonal", "hexagonal"} and ":R" not in group.xhm():
            start = 100 * np.array([[0.49, -0.245, 0], [-0.245, 0.49, 0], [0, 0, 0.81]])
        cell = cell_from_metric(symmetrised_metric(start, setting))
        crystal = Crystal("X", *cell, setting.number, setting.symbol, (Site("Fe", (0.07, 0.19, 0.36)),))
        text = crystal.to_cif()
        # A few settings have two names in gemmi's table; the operations are what counts.
        again = Crystal.from_cif_string(text)
        assert again.space_group == crystal.space_group
        assert set(again.setting_operations.triplets) == set(setting.triplets)
        assert len(again.atoms()) == len(crystal.atoms())
        # Without the operations the symbols must lead to the same setting.
        block = gemmi.cif.read_string(text).sole_block()
        block.find_mmcif_category("_space_group_symop_").erase()
        bare = Crystal.from_cif_string(block.as_string())
        assert set(bare.setting_operations.triplets) == set(setting.triplets), group.xhm()


@pytest.mark.parametrize(
    ("symbol", "position", "setting"),
    [
        ("F d -3 m:2", "0.125 0.125 0.125", "F d -3 m:2"),
        ("F d -3 m :1", "0 0 0", "F d -3 m:1"),
        ("F d -3 m S", "0 0 0", "F d -3 m:1"),
        ("F d -3 m Z", "0.125 0.125 0.125", "F d -3 m:2"),
        ("Fd-3m", "0 0 0", "F d -3 m:1"),  # the atoms say which origin is meant
        ("Fd3m", "1/8 1/8 1/8", "F d -3 m:2"),
        ("F 41/d -3 2/m", "0 0 0", "F d -3 m:1"),
        ("F 41/d -3 2/m", "0.875 0.875 0.875", "F d -3 m:2"),
    ],
)
def test_silicon_has_eight_atoms_whatever_the_origin(symbol: str, position: str, setting: str) -> None:
    crystal = Crystal.from_cif_string(cif(symbol=symbol, atoms=f"Si1 {position}"))
    assert crystal.setting == setting
    assert len(crystal.atoms()) == 8
    crystal.check()


@pytest.mark.parametrize(
    ("symbol", "number", "cell"),
    [
        ("P n m a", 62, (5, 6, 7, 90, 90, 90)),
        ("Pbnm", 62, (5, 6, 7, 90, 90, 90)),
        ("P 21/n", 14, (5, 6, 7, 90, 100, 90)),
        ("P2(1)/c", 14, (5, 6, 7, 90, 100, 90)),
        ("P 6(3)/m m c", 194, (20, 20, 40, 90, 90, 120)),
        ("P6_3/mmc", 194, (20, 20, 40, 90, 90, 120)),
        ("R -3 m H", 166, (20, 20, 40, 90, 90, 120)),
        ("R -3 m", 166, (9, 9, 9, 70, 70, 70)),
        ("R -3 m R", 166, (9, 9, 9, 70, 70, 70)),
        ("C m c e", 64, (5, 6, 7, 90, 90, 90)),
    ],
)
def test_symbols_as_people_write_them(symbol: str, number: int, cell: tuple[float, ...]) -> None:
    crystal = Crystal.from_cif_string(cif(cell=cell, symbol=symbol, atoms="Fe1 0.07 0.19 0.36"))
    assert crystal.space_group == number


def test_number_alone_is_enough_but_said() -> None:
    crystal = Crystal.from_cif_string(cif(extra="_symmetry_Int_Tables_number 227"))
    assert crystal.setting == "F d -3 m:2"
    assert "only the number" in crystal.note


def test_hall_symbol() -> None:
    crystal = Crystal.from_cif_string(cif(extra="_space_group_name_Hall 'F 4d 2 3 -1d'", atoms="Si 0 0 0"))
    assert crystal.setting == "F d -3 m:1"
    assert crystal.n_atoms == 8


def test_operations_rule_over_the_symbol() -> None:
    crystal = Crystal.from_cif_string(
        cif(
            cell=(5, 6, 7, 90, 100, 90),
            symbol="P 1 c 1",
            operations="x,y,z;-x,-y,-z",
            atoms="Fe1 0.1 0.2 0.3",
        )
    )
    assert crystal.space_group == 2
    assert "not the symbol" in crystal.note


def test_a_list_of_operations_cut_short_is_noticed() -> None:
    crystal = Crystal.from_cif_string(cif(symbol="F d -3 m:2", operations="x,y,z"))
    assert crystal.space_group == 227
    assert crystal.n_atoms == 8
    assert "incomplete" in crystal.note
    half = cif(symbol="F m -3 m", operations="x,y,z;-x,-y,-z;-x,-y,z", atoms="Fe 0 0 0")
    assert Crystal.from_cif_string(half).n_atoms == 4


def test_untabulated_setting_is_transformed_and_said() -> None:
    # Caesium chloride's structure in a cell of doubled edges: Pm-3m with seven centring translations.
    reference = find_setting("P m -3 m")
    triplets = []
    for rotation in reference.rotations:
        for shift in np.ndindex(2, 2, 2):
            op = gemmi.Op()
            op.rot = (rotation * gemmi.Op.DEN).tolist()
            op.tran = [12 * step for step in shift]
            triplets.append(op.triplet())
    assert len(set(triplets)) == 384
    text = cif(
        cell=(5.8, 5.8, 5.8, 90, 90, 90),
        operations=";".join(triplets),
        atoms="Fe1 0 0 0\nAl1 0.25 0.25 0.25",
    )
    crystal = Crystal.from_cif_string(text)
    assert crystal.setting == "P m -3 m"
    assert "transformed" in crystal.note
    # An eighth of the cell, an eighth of the atoms, the same density.
    assert crystal.a_nm == pytest.approx(0.29)
    assert crystal.formula == "AlFe"
    assert crystal.n_atoms == 2
    crystal.check()


def test_many_untabulated_settings_keep_density_and_group() -> None:
    for number in (5, 15, 43, 62, 88, 122, 146, 161, 205, 220, 227):
        setting = find_setting(gemmi.get_spacegroup_reference_setting(number).xhm())
        raw = 100 * (np.diag([0.49, 0.64, 0.81]) + 0.02)
        if ladder(number).bravais_lattice[0] == "h":
            raw = 100 * np.array([[0.49, -0.245, 0], [-0.245, 0.49, 0], [0, 0, 0.81]])
        metric = symmetrised_metric(raw, setting)
        shift = np.array([1, 5, 9]) / 24  # an origin that nobody uses
        operations = []
        for rotation, translation in zip(setting.rotations, setting.translations, strict=True):
            op = gemmi.Op()
            op.rot = (rotation * gemmi.Op.DEN).tolist()
            moved = translation + rotation @ shift - shift
            op.tran = [round(v * 24) % 24 for v in moved]
            operations.append(op.triplet())
        cell = np.array(cell_from_metric(metric)) * [10, 10, 10, 1, 1, 1]
        atoms = "Fe1 0.07 0.19 0.36\nO1 0.31 0.05 0.44"
        text = cif(cell=tuple(cell), operations=";".join(operations), atoms=atoms)
        crystal = Crystal.from_cif_string(text)
        assert crystal.space_group == number
        assert crystal.setting == setting.symbol
        assert crystal.n_atoms == 2 * len(setting.rotations)
        assert crystal.volume_nm3 == pytest.approx(np.sqrt(np.linalg.det(metric)), rel=1e-6)
        assert crystal.spglib_number() == number
        assert hall_number_of_reference(number) in range(1, 531)


def test_displacements() -> None:
    columns = "label fract_x fract_y fract_z U_iso_or_equiv"
    from_u = Crystal.from_cif_string(
        cif(symbol="F d -3 m:2", columns=columns, atoms="Si1 0.125 0.125 0.125 0.006(1)")
    )
    assert from_u.sites[0].b_iso_nm2 == pytest.approx(EIGHT_PI_SQUARED * 0.006 / 100)
    columns = "label fract_x fract_y fract_z B_iso_or_equiv"
    from_b = Crystal.from_cif_string(
        cif(symbol="F d -3 m:2", columns=columns, atoms="Si1 0.125 0.125 0.125 0.47")
    )
    assert from_b.sites[0].b_iso_nm2 == pytest.approx(0.0047)
    loop = "loop_\n_atom_site_aniso_label\n" + "".join(
        f"_atom_site_aniso_U_{ij}\n" for ij in ("11", "22", "33", "12", "13", "23")
    )
    # The isotropic tensor on hexagonal axes: U12 = U11 cos(gamma*) with unit reciprocal lengths = U11 / 2.
    anisotropic = Crystal.from_cif_string(
        cif(
            cell=(3.2, 3.2, 5.2, 90, 90, 120),
            symbol="P 63/m m c",
            atoms="Mg1 0.3333 0.6667 0.25",
            extra=f"{loop}Mg1 0.02 0.02 0.02 0.01 0 0\n",
        )
    )
    assert anisotropic.sites[0].b_iso_nm2 == pytest.approx(EIGHT_PI_SQUARED * 0.02 / 100)
    assumed = Crystal.from_cif_string(cif(symbol="F d -3 m:2"))
    assert assumed.sites[0].b_iso_nm2 == pytest.approx(0.00484, abs=1e-5)
    assert "B of elemental crystals at 293 K assumed for all sites" in assumed.note
    zero = Crystal.from_cif_string(
        cif(symbol="F d -3 m:2", columns=columns, atoms="Si1 0.125 0.125 0.125 0.0")
    )
    assert zero.sites[0].b_iso_nm2 == assumed.sites[0].b_iso_nm2


@pytest.mark.parametrize(
    ("type_symbol", "label", "element"),
    [
        ("Fe3+", "X1", "Fe"),
        ("O2-", "O1", "O"),
        ("D", "D1", "H"),
        ("T", "T1", "H"),
        ("?", "Ca2", "Ca"),
        (".", "CL1", "Cl"),
        ("SI", "whatever", "Si"),
        ("fe", "M1", "Fe"),
        ("?", "OW1", "O"),
        ("?", "Ob", "O"),
        ("?", "NA", "Na"),
        ("Cu1+", "Cu(1)", "Cu"),
    ],
)
def test_elements(type_symbol: str, label: str, element: str) -> None:
    columns = "label type_symbol fract_x fract_y fract_z"
    crystal = Crystal.from_cif_string(
        cif(symbol="P m -3 m", columns=columns, atoms=f"{label} {type_symbol} 0 0 0")
    )
    assert crystal.sites[0].element == element


@pytest.mark.parametrize(
    ("label", "formula", "element"),
    [
        ("Wat1", "?", "O"),
        ("Wat", "'Ca H4 O6 S'", "O"),
        ("WA1", "?", "O"),
        ("OWA", "?", "O"),
        ("Wa", "'W O3'", "W"),
        ("VA1", "'V2 O5'", "V"),
        ("OS1", "'Si O2'", "O"),
        ("Os1", "'Os O2'", "Os"),
        ("HO1", "'Ca (O H)2'", "H"),
        ("FEM1", "'Fe.9 Mg.1 O'", "Fe"),
        ("D1", "'D2 O'", "H"),
        ("SI1", "'SI O2'", "Si"),  # not as CIF writes formulas: not used
    ],
)
def test_labels_without_a_type_symbol(label: str, formula: str, element: str) -> None:
    text = cif(symbol="P m -3 m", extra=f"_chemical_formula_sum {formula}", atoms=f"{label} 0 0 0")
    assert Crystal.from_cif_string(text).sites[0].element == element


@pytest.mark.parametrize("type_symbol", ["Fe/Ni", "Fe0.5Ni0.5", "H2O", "Wat", "REE"])
def test_a_type_symbol_that_is_no_element_is_refused(type_symbol: str) -> None:
    text = cif(
        symbol="P m -3 m",
        columns="label type_symbol fract_x fract_y fract_z",
        atoms=f"M1 {type_symbol} 0 0 0",
    )
    with pytest.raises(InputError, match=f"{type_symbol}' is not a chemical element"):
        Crystal.from_cif_string(text)


@pytest.mark.parametrize("type_symbol", ["Fe+3", "Fe3+", "Fe2.5+", "Fe++", "Fe(HS)", "Fe1"])
def test_charges_and_remarks_of_type_symbols_are_no_matter(type_symbol: str) -> None:
    text = cif(
        symbol="P m -3 m",
        columns="label type_symbol fract_x fract_y fract_z",
        atoms=f"M1 {type_symbol} 0 0 0",
    )
    assert Crystal.from_cif_string(text).sites[0].element == "Fe"


def test_atoms_and_formula_are_compared() -> None:
    extra = "_chemical_formula_sum 'Mg O'"
    with pytest.raises(InputError, match="atom W1: the formula sum has no W"):
        Crystal.from_cif_string(cif(symbol="P m -3 m", extra=extra, atoms="W1 0 0 0"))
    columns = "label type_symbol fract_x fract_y fract_z"
    traces = cif(symbol="P m -3 m", extra=extra, columns=columns, atoms="Mg1 Mg 0 0 0\nFe1 Fe 0.5 0.5 0.5")
    assert "the formula sum has no Fe" in Crystal.from_cif_string(traces).note
    assert (
        "vacancy"
        in Crystal.from_cif_string(
            cif(symbol="P m -3 m", extra=extra, atoms="Mg1 0 0 0\nVa1 0.5 0.5 0.5")
        ).note
    )


def test_mixed_partial_and_vacant_sites() -> None:
    columns = "label type_symbol fract_x fract_y fract_z occupancy"
    atoms = "M1 Fe2+ 0 0 0 0.4\nM2 Fe3+ 0 0 0 0.2\nM3 Mg2+ 0 0 0 0.4\n"
    atoms += "Va1 Va 0.5 0.5 0.5 0.2\nO1 O2- 0.5 0.5 0.5 0.8\nX O 0 0 0.25 0"
    crystal = Crystal.from_cif_string(
        cif(cell=(4.2, 4.2, 4.2, 90, 90, 90), symbol="F m -3 m", columns=columns, atoms=atoms)
    )
    # Fe2+ and Fe3+ of one position are one iron site.
    assert [(s.element, round(s.occupancy, 6)) for s in crystal.sites] == [
        ("Fe", 0.6),
        ("Mg", 0.4),
        ("O", 0.8),
    ]
    assert crystal.n_atoms == pytest.approx(4 * 1.8)
    assert "without Va1, X" in crystal.note


def test_symmetry_copies_are_taken_out() -> None:
    atoms = "\n".join(f"Ni{i} {x}" for i, x in enumerate(["0 0 0", "0.5 0.5 0", "0.5 0 0.5", "0 0.5 0.5"]))
    crystal = Crystal.from_cif_string(
        cif(cell=(3.52, 3.52, 3.52, 90, 90, 90), symbol="F m -3 m", atoms=atoms)
    )
    assert len(crystal.sites) == 1
    assert crystal.n_atoms == 4
    assert "3 sites that symmetry makes of others" in crystal.note


@pytest.mark.parametrize("second", ["1 1 1", "0.5 0.5 1.5"])
def test_a_partial_atom_that_is_listed_again_a_lattice_translation_away_stays_partial(second: str) -> None:
    columns = "label fract_x fract_y fract_z occupancy"
    atoms = f"Ni1 0 0 0 0.5\nNi2 {second} 0.5"
    text = cif(cell=(3.5, 3.5, 3.5, 90, 90, 90), symbol="I m -3 m", columns=columns, atoms=atoms)
    (site,) = Crystal.from_cif_string(text).sites
    assert site.occupancy == 0.5


@pytest.mark.parametrize(
    ("position", "occupancy", "read"),
    [
        ("0.011 0 0", "0.1667", 1.0),  # six images within 0.01 nm
        ("0.011 0 0", "0.1", 0.6),
        ("0.0003 0 0", "0.1", 0.1),  # printing, not splitting
        ("0.011 0 0", "0.5", 0.5),  # six halves are no atom
        ("0.1 0 0", "0.1667", 0.1667),
    ],
)
def test_images_of_a_split_site_that_become_one_atom_keep_their_sum(
    position: str, occupancy: str, read: float
) -> None:
    columns = "label fract_x fract_y fract_z occupancy"
    atoms = f"Pb1 {position} {occupancy}"
    text = cif(cell=(4, 4, 4, 90, 90, 90), symbol="P m -3 m", columns=columns, atoms=atoms)
    crystal = Crystal.from_cif_string(text)
    assert crystal.sites[0].occupancy == pytest.approx(read, abs=1e-3)
    assert ("images of Pb1" in crystal.note) == (read in (1.0, 0.6))


def test_a_third_as_printed_is_no_split_site() -> None:
    columns = "label fract_x fract_y fract_z occupancy"
    for x, y in (("0.33", "0.67"), ("0.333", "0.667")):
        text = cif(
            cell=(3.2, 3.2, 5.2, 90, 90, 120),
            symbol="P 63/m m c",
            columns=columns,
            atoms=f"Mg {x} {y} 0.25 0.3",
        )
        assert Crystal.from_cif_string(text).sites[0].occupancy == 0.3


def test_hidden_symmetry_is_said() -> None:
    atoms = "\n".join(f"Ni{i} {x}" for i, x in enumerate(["0 0 0", "0.5 0.5 0", "0.5 0 0.5", "0 0.5 0.5"]))
    crystal = Crystal.from_cif_string(cif(cell=(3.52, 3.52, 3.52, 90, 90, 90), symbol="P 1", atoms=atoms))
    assert crystal.space_group == 1
    assert "spglib finds space group 225" in crystal.note


def test_rounded_cell_is_made_exact() -> None:
    crystal = Crystal.from_cif_string(
        cif(cell=(3.209, 3.2091, 5.211, 90, 90, 120.01), symbol="P 63/m m c", atoms="Mg 0.3333 0.6667 0.25")
    )
    assert crystal.a_nm == crystal.b_nm
    assert crystal.gamma_deg == pytest.approx(120, abs=1e-9)
    assert "made to obey" in crystal.note
    assert crystal.n_atoms == 2


def test_first_block_with_atoms_is_read_and_the_name_found(tmp_path: Path) -> None:
    text = "data_global\n_journal_year 1999\n\n" + cif(
        symbol="F d -3 m:2",
        extra="_chemical_name_mineral 'Silicon'\n_journal_name_full 'Z. Krist.'\n_journal_year 1935",
    )
    path = tmp_path / "a file.cif"
    path.write_bytes(text.replace("Silicon", "Silici\u00e9").encode("latin-1"))
    crystal = Crystal.from_cif(path)
    assert crystal.name == "Silici\u00e9"
    assert crystal.source == "Z. Krist. (1935)"
    unnamed = tmp_path / "unnamed.cif"
    unnamed.write_text("\ufeff" + cif(symbol="F d -3 m:2"), encoding="utf-8")
    assert Crystal.from_cif(unnamed).name == "unnamed"


def test_lattice_of_another_program() -> None:
    # gemmi's own writer, and spglib's opinion of what it wrote.
    small = gemmi.SmallStructure()
    small.cell = gemmi.UnitCell(4.593, 4.593, 2.959, 90, 90, 90)
    small.spacegroup_hm = "P 42/m n m"
    for label, x in (("Ti1", (0, 0, 0)), ("O1", (0.305, 0.305, 0))):
        site = gemmi.SmallStructure.Site()
        site.label, site.element = label, gemmi.Element(label[:-1])
        site.fract = gemmi.Fractional(*x)
        site.occ = 1.0
        site.u_iso = 0.005
        small.add_site(site)
    crystal = Crystal.from_cif_string(small.make_cif_block().as_string())
    assert crystal.formula == "O2Ti"
    atoms = crystal.atoms()
    cell = (crystal.direct_matrix.tolist(), atoms.positions.tolist(), atoms.z.tolist())
    assert spglib.get_spacegroup(cell, symprec=1e-4) == "P4_2/mnm (136)"


GOOD = cif(symbol="F d -3 m:2")


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("", "is empty"),
        ("   \n\n", "is empty"),
        ("hello, world", "is not a CIF"),
        ("\x00\x01\x02\x03", "is not a CIF"),
        ("data_x\n_cell_length_a 5\n", "has no atoms"),
        (GOOD[: GOOD.index("loop_")], "has no atoms"),
        (GOOD[: GOOD.index("0.125")], "damaged"),
        (GOOD.replace("F d -3 m:2", "Q x y z"), "unknown space group 'Q x y z'"),
        (cif(), "states no space group"),
        (GOOD.replace("_cell_length_b 5.43", "_cell_length_b ?"), "_cell_length_b is missing"),
        (GOOD.replace("_cell_length_b 5.43", "_cell_length_b -1"), "_cell_length_b is missing"),
        (GOOD.replace("_cell_length_b 5.43", "_cell_length_b 6.43"), "does not obey space group"),
        (GOOD.replace("_cell_angle_beta 90", "_cell_angle_beta 179.9999"), "do not close"),
        (GOOD.replace("_cell_length_b 5.43", "_cell_length_b 1e9"), "which no crystal has"),
        (cif(symbol="P 1", atoms="Fe 0 0 0\n" * 6000), "lists 6000 atoms"),
        (
            cif(
                cell=(90, 90, 90, 90, 90, 90),
                symbol="F m -3 m",
                atoms="\n".join(f"Fe 0.0{i} 0.{i + 20} 0.{i + 50}" for i in range(10, 45)),
            ),
            "more than 5000 atoms",
        ),
        (GOOD.replace("Si1 0.125", "Si1 ?"), "position is missing"),
        (GOOD.replace("Si1 0.125", "Si1 abc"), "position is missing"),
        (GOOD.replace("Si1 0.125", "Xx1 0.125"), "is not a chemical element"),
        (GOOD.replace("Si1 0.125", "Vac1 0.125"), "only vacancies"),
        (GOOD.replace("Si1 0.125", "Va1 0.125"), "a vacancy or vanadium"),
        (GOOD.replace("Si1 0.125", "REE 0.125"), "'REE' is not a chemical element"),
        (cif(operations="x,y,z;x,y,zz"), "not understood"),
        (cif(operations="-x,y,z"), "lack x,y,z"),
        (cif(operations="x,y,z;x+1/3,y,z"), "do not form a group"),
        (cif(operations="x,y,z;1/2*x+1/2*y,y,z"), "not whole numbers|not understood"),
        (cif(operations="x,y,z;x+y,2*y,z"), "not understood|changes volume"),
        (cif(symbol="P 1", atoms="Fe1 0 0 0\nAl1 0.02 0 0"), "cannot both be there"),
        (
            cif(symbol="P 1", columns="label fract_x fract_y fract_z occupancy", atoms="Fe1 0 0 0 7"),
            "occupancy 7 is not between 0 and 1",
        ),
    ],
)
def test_bad_files_give_one_clear_line(tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "phase.cif"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=cause) as caught:
        Crystal.from_cif(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message


def test_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        Crystal.from_cif(tmp_path / "missing.cif")
    with pytest.raises(InputError, match="directory"):
        Crystal.from_cif(tmp_path)


def test_truncation_anywhere_is_never_a_traceback() -> None:
    text = crystals["titanite"].to_cif()
    whole = crystals["titanite"].formula
    for cut in range(0, len(text), 37):
        try:
            crystal = Crystal.from_cif_string(text[:cut])
        except InputError:
            continue
        # What can still be read after the loss of the last atoms is a crystal, if a poorer one.
        assert crystal.space_group == 14
        assert {gemmi.Element(s.element).name for s in crystal.sites} <= {"Ca", "O", "Si", "Ti"}
        assert crystal.formula != whole or cut > len(text) - 80


def test_random_bytes_are_never_a_traceback() -> None:
    rng = np.random.default_rng(0)
    original = bytearray(crystals["calcite"].to_cif().encode())
    for _ in range(150):
        damaged = bytearray(original)
        for place in rng.integers(0, len(damaged), 8):
            damaged[place] = int(rng.integers(1, 256))
        with contextlib.suppress(InputError):
            Crystal.from_cif_string(damaged.decode("latin-1")).check()
