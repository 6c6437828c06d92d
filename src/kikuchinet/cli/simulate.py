"""``kikuchinet simulate``: crystals in, master patterns out."""

from __future__ import annotations

import time
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kikuchinet.cli._crystal_argument import find_crystal
from kikuchinet.cli._output import console, text
from kikuchinet.cli._progress import progress
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.crystal import Crystal


class Preset(StrEnum):
    """Numerical settings of the simulator."""

    ACCURATE = "accurate"
    PARITY = "parity"


def simulate(
    crystals: Annotated[
        list[str],
        typer.Argument(
            help="Names of library crystals, or CIF files.", metavar="CRYSTAL...", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="Folder for the master patterns; made if it does not exist.")
    ],
    energy_kev: Annotated[
        float, typer.Option("--energy-kev", min=1.0, max=100.0, help="Energy of the beam in keV.")
    ] = 20.0,
    half_width: Annotated[
        int,
        typer.Option("--half-width", min=10, max=2000, help="Pixels from the centre of the map to its edge."),
    ] = 250,
    preset: Annotated[
        Preset,
        typer.Option(
            "--preset", help="accurate: converged; parity: the settings of EMsoft, for comparisons."
        ),
    ] = Preset.ACCURATE,
    force: Annotated[bool, typer.Option("--force", help="Simulate again what is there already.")] = False,
) -> None:
    """Simulate dynamical master patterns.

    Writes one HDF5 file a crystal, NAME.h5, in EMsoft's layout, which kikuchipy.load reads. A finished file of the
    same crystal, settings and version is kept, so an interrupted run goes on where it was.

    For example:

    - `kikuchinet simulate Ni --out masters`
    - `kikuchinet simulate Ni3Al NiAl phase.cif --out masters --energy-kev 15 --half-width 300`
    """
    chosen = [find_crystal(word) for word in crystals]
    targets = _targets(chosen, out)
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for master patterns")
    for number, (crystal, path) in enumerate(zip(chosen, targets, strict=True), start=1):
        request = _request(crystal, energy_kev, half_width, preset)
        name = f"{text(crystal.name)} ({number} of {len(chosen)})"
        if not force and _is_done(path, request):
            console().print(f"{name}: kept {text(path)}", soft_wrap=True)
            continue
        start = time.perf_counter()
        _simulate(crystal, path, request, f"Simulating {name}")
        console().print(f"{name}: wrote {text(path)} in {time.perf_counter() - start:.1f} s", soft_wrap=True)


def _targets(crystals: list[Crystal], out: Path) -> list[Path]:
    paths: list[Path] = []
    for crystal in crystals:
        # A CIF may call its phase anything; a name must not lead out of the folder.
        stem = (
            "".join(c if c.isalnum() or c in "-_.()" else "_" for c in crystal.name).strip(".") or "crystal"
        )
        path = out / f"{stem}.h5"
        if path in paths:
            raise InputError(crystal.name, f"given twice, and both would be written to {path}")
        paths.append(path)
    return paths


def _request(crystal: Crystal, energy_kev: float, half_width: int, preset: Preset) -> dict[str, Any]:
    """Everything that decides the pattern: what a kept file must have been made from."""
    from kikuchinet._version import __version__

    return {
        "version": __version__,
        "crystal": crystal.to_cif(),
        "energy_kev": energy_kev,
        "half_width": half_width,
        "preset": preset.value,
    }


def _is_done(path: Path, request: dict[str, Any]) -> bool:
    from kikuchinet.diffraction import MasterPattern

    if not path.is_file():
        return False
    try:
        master = MasterPattern.load(path)
    except InputError:
        # Not a master pattern, or a damaged one: it is made anew.
        return False
    return master.settings.get("request") == request


def _simulate(crystal: Crystal, path: Path, request: dict[str, Any], description: str) -> None:
    from dataclasses import replace

    from kikuchinet.diffraction import simulate as run

    with progress(description) as advance:
        master = run(
            crystal,
            energy_kev=request["energy_kev"],
            half_width=request["half_width"],
            preset=request["preset"],
            progress=lambda share: advance(share, 1.0),
        )
    replace(master, settings={**master.settings, "request": request}).save(path)
