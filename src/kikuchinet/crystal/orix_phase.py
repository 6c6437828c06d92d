"""A crystal as orix's ``Phase``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kikuchinet.crystal.crystal import Crystal

if TYPE_CHECKING:
    from orix.crystal_map import Phase


def orix_phase(crystal: Crystal, name: str = "") -> Phase:
    """Return a crystal's space group and cell (in ångström, as orix has it) as an orix phase, without its atoms."""
    from diffpy.structure import Lattice, Structure
    from orix.crystal_map import Phase

    a, b, c, *angles = crystal.cell
    lattice = Lattice(10.0 * a, 10.0 * b, 10.0 * c, *angles)
    return Phase(
        name=name or crystal.name, space_group=crystal.space_group, structure=Structure(lattice=lattice)
    )
