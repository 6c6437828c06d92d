"""``kikuchinet crystals``: the library of named crystals."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kikuchinet.cli._crystal_argument import find_crystal
from kikuchinet.cli._output import console, table, text
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.crystal import Crystal

_SYSTEMS = ("triclinic", "monoclinic", "orthorhombic", "tetragonal", "trigonal", "hexagonal", "cubic")


def crystals(
    name: Annotated[
        str | None,
        typer.Argument(
            help="Show this one: a name of the library, a formula, a part of a name, or a CIF file.",
            metavar="[NAME]",
        ),
    ] = None,
    space_group: Annotated[
        int | None, typer.Option("--space-group", min=1, max=230, help="Only crystals of this space group.")
    ] = None,
    system: Annotated[
        str | None, typer.Option("--system", help="Only crystals of this crystal system, such as cubic.")
    ] = None,
    prototype: Annotated[
        str | None, typer.Option("--prototype", help="Only crystals of this structure type, such as L1_2.")
    ] = None,
    elements: Annotated[
        str | None, typer.Option("--elements", help="Only crystals made of these elements, such as Al,Ni.")
    ] = None,
    cif: Annotated[bool, typer.Option("--cif", help="Print the one crystal as CIF.")] = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the list as a Markdown table, with structure types.")
    ] = False,
) -> None:
    """List the library of crystals, or show one crystal.

    "verified" says whether positions and lattice parameters were both read in the named source.

    For example:

    - `kikuchinet crystals`
    - `kikuchinet crystals --space-group 221 --elements Al,Ni,Fe`
    - `kikuchinet crystals --system hexagonal`
    - `kikuchinet crystals --prototype L1_2`
    - `kikuchinet crystals Ni3Al`
    - `kikuchinet crystals Ni3Al --cif > Ni3Al.cif`
    """
    if name is not None:
        meant = _meant(name)
        if len(meant) > 1 and not cif:
            _table(meant)
        elif cif:
            print(find_crystal(name).to_cif() if len(meant) != 1 else meant[0].to_cif(), end="")
        else:
            _show(meant[0] if meant else find_crystal(name))
        return
    if cif:
        raise typer.BadParameter("name the crystal to print", param_hint="--cif")
    if system is not None and system not in _SYSTEMS:
        raise typer.BadParameter(f"one of {', '.join(_SYSTEMS)}", param_hint="--system")
    chosen = _list(space_group, system, prototype, elements)
    if markdown:
        _markdown(chosen)
    else:
        _table(chosen)


def _meant(name: str) -> list[Crystal]:
    """Crystals of the library that a name may mean; none if it is a file."""
    from kikuchinet.crystal import crystals as library

    if name in library:
        return [library[name]]
    if Path(name).exists() or name.lower().endswith(".cif"):
        return []
    return [library[one] for one in library.search(name)]


def _list(
    space_group: int | None, system: str | None, prototype: str | None, elements: str | None
) -> list[Crystal]:
    from kikuchinet.crystal import crystals as library
    from kikuchinet.identification import parse_elements

    allowed = set(parse_elements(elements)) if elements is not None else None
    chosen = [
        crystal
        for crystal in library(space_group=space_group, crystal_system=system, prototype=prototype)
        if allowed is None or {site.element for site in crystal.sites} <= allowed
    ]
    if not chosen:
        raise InputError("crystals", "the library holds none that meets these conditions")
    return chosen


def _markdown(chosen: list[Crystal]) -> None:
    print(
        "| group | name | formula | structure type | a, b, c / nm; angles other than 90° | source | not verified |"
    )
    print("| --- | --- | --- | --- | --- | --- | --- |")
    for crystal in sorted(chosen, key=lambda c: (c.space_group, c.name)):
        a, b, c, *angles = crystal.cell
        lengths = f"{a:.5g}" if a == b == c else f"{a:.5g}, {b:.5g}, {c:.5g}"
        oblique = ", ".join(f"{x:.5g}" for x in angles if x != 90.0)
        missing = [
            word
            for word, verified in (
                ("positions", crystal.structure_verified),
                ("cell", crystal.lattice_verified),
            )
            if not verified
        ]
        cells = (
            f"{crystal.space_group} {crystal.symmetry.symbol}",
            crystal.name,
            crystal.formula,
            crystal.prototype,
            lengths + (f"; {oblique}" if oblique else ""),
            crystal.source.rpartition("; B: ")[0] or crystal.source,
            ", ".join(missing),
        )
        print("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")


def _table(chosen: list[Crystal]) -> None:
    rows = table(
        "name",
        "formula",
        "space group",
        "symbol",
        "a / nm",
        "verified",
        "source",
        right=("space group", "a / nm"),
    )
    for crystal in sorted(chosen, key=lambda c: (c.space_group, c.name)):
        rows.add_row(
            text(crystal.name),
            text(crystal.formula),
            str(crystal.space_group),
            crystal.symmetry.symbol,
            f"{crystal.a_nm:.4f}",
            "yes" if crystal.verified else "no",
            text(crystal.source),
        )
    console().print(rows)
    console().print(f"{len(chosen)} crystals" if len(chosen) != 1 else "1 crystal")


def _show(crystal: Crystal) -> None:
    from kikuchinet.crystal import ladder, prototype_label
    from kikuchinet.diffraction import visible_group, visible_groups

    steps = crystal.symmetry
    seen = visible_group(crystal)
    facts = table("", "")
    facts.show_header = False
    for key, value in (
        ("name", crystal.name),
        ("formula", crystal.formula),
        ("space group", f"{crystal.space_group}, {steps.symbol} (setting {crystal.setting})"),
        (
            "visible group",
            f"{seen}, {ladder(seen).symbol}"
            + ("" if seen == crystal.space_group else ": its order is too weak to see"),
        ),
        ("not told apart", ", ".join(map(str, visible_groups(crystal)))),
        ("superlattice ratio", _superlattices(crystal)),
        ("1 - NCC of patterns", _distances(crystal)),
        ("point group", steps.point_group),
        ("Laue class", steps.laue_class),
        ("Bravais lattice", steps.bravais_lattice),
        ("crystal system", steps.crystal_system),
        ("same reflections", steps.extinction_class),
        ("cell / nm", f"{crystal.a_nm:.5f}  {crystal.b_nm:.5f}  {crystal.c_nm:.5f}"),
        ("cell / degrees", f"{crystal.alpha_deg:g}  {crystal.beta_deg:g}  {crystal.gamma_deg:g}"),
        ("atoms in the cell", f"{crystal.n_atoms:g}"),
        ("density", f"{crystal.density_g_cm3:.3f} g/cm³"),
        ("mean atomic number", f"{crystal.mean_atomic_number:.2f}"),
        ("prototype", crystal.prototype or "-"),
        ("prototype label", prototype_label(crystal) or "-"),
        ("source", crystal.source or "-"),
        ("positions verified", "yes" if crystal.structure_verified else "no"),
        ("lattice verified", "yes" if crystal.lattice_verified else "no"),
        ("note", crystal.note or "-"),
    ):
        facts.add_row(key, text(value))
    console().print(facts)
    sites = table(
        "site",
        "element",
        "x",
        "y",
        "z",
        "occupancy",
        "B / nm²",
        right=("x", "y", "z", "occupancy", "B / nm²"),
    )
    for site in crystal.sites:
        x, y, z = site.position
        sites.add_row(
            text(site.label),
            site.element,
            f"{x:.5f}",
            f"{y:.5f}",
            f"{z:.5f}",
            f"{site.occupancy:g}",
            f"{site.b_iso_nm2:.5f}",
        )
    console().print(sites)


def _superlattices(crystal: Crystal) -> str:
    """How strong the reflections are that tell the crystal from its parents, where it has any."""
    from kikuchinet.diffraction import orderings

    return ", ".join(f"{one.ratio:.3f} against {one.space_group}" for one in orderings(crystal)) or "-"


def _distances(crystal: Crystal) -> str:
    """How much the crystal's master pattern differs from those of its parents."""
    from kikuchinet.diffraction import orderings

    return ", ".join(f"{one.distance:.4f} from {one.space_group}" for one in orderings(crystal)) or "-"
