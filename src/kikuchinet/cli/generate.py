"""``kikuchinet generate``: labelled detector patterns."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kikuchinet.cli._output import console, text
from kikuchinet.cli.simulate import Preset
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.datasets import MasterSet


class CameraPreset(StrEnum):
    """Which cameras the patterns are recorded with."""

    GOOD = "good"
    MIXED = "mixed"
    POOR = "poor"
    BINNED = "binned"


def generate(
    crystals: Annotated[
        str,
        typer.Option(
            "--crystals",
            help="Names of library crystals, or master-pattern files (.h5), separated by commas.",
        ),
    ],
    count: Annotated[int, typer.Option("--count", min=1, help="Patterns of each crystal.")],
    out: Annotated[
        Path, typer.Option("--out", help="HDF5 file to write; the manifest goes beside it as .csv.")
    ],
    rows: Annotated[int, typer.Option("--rows", min=16, max=4096, help="Rows of the screen.")] = 128,
    columns: Annotated[int, typer.Option("--columns", min=16, max=4096, help="Columns of the screen.")] = 128,
    camera: Annotated[
        CameraPreset, typer.Option("--camera", help="Ranges that the camera's faults are drawn from.")
    ] = CameraPreset.MIXED,
    lowest_quality: Annotated[
        float, typer.Option("--lowest-quality", min=0.0, max=1.0, help="Worst quality, 0 to 1.")
    ] = 0.0,
    highest_quality: Annotated[
        float, typer.Option("--highest-quality", min=0.0, max=1.0, help="Best quality, 0 to 1.")
    ] = 1.0,
    half_width: Annotated[
        int,
        typer.Option(
            "--half-width", min=10, max=2000, help="Of master patterns that are simulated for this."
        ),
    ] = 125,
    variants: Annotated[
        int,
        typer.Option("--variants", min=1, help="Master patterns of each crystal, slightly different ones."),
    ] = 1,
    preset: Annotated[Preset, typer.Option("--preset", help="Preset of the simulator.")] = Preset.ACCURATE,
    detector_tilt: Annotated[
        float, typer.Option("--detector-tilt", min=-90.0, max=90.0, help="Tilt of the detector in degrees.")
    ] = 0.0,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same patterns.")] = 0,
    cache: Annotated[
        Path, typer.Option("--cache", help="Folder where simulated master patterns are kept.")
    ] = Path("cache"),
) -> None:
    """Generate labelled detector patterns, with uniform random orientations and random cameras.

    Writes an HDF5 file that kikuchipy.load reads, and a manifest (CSV) with the material, space group, orientation,
    pattern centre and quality of every pattern.

    For example:

    - `kikuchinet generate --crystals Ni,Fe,Si --count 100 --out patterns.h5`
    - `kikuchinet generate --crystals masters/Ni.h5 --count 1000 --camera good --out nickel.h5`
    """
    words = [word.strip() for word in crystals.split(",") if word.strip()]
    if not words:
        raise typer.BadParameter("name at least one crystal", param_hint="--crystals")
    if lowest_quality > highest_quality:
        raise typer.BadParameter("is above --highest-quality", param_hint="--lowest-quality")
    if out.suffix.lower() not in {".h5", ".hdf5"}:
        raise InputError(out, "patterns go into an HDF5 file: give a name that ends in .h5")
    masters = _masters(words, half_width, variants, preset, seed, cache)

    from kikuchinet.datasets import generate as run

    manifest = run(
        masters,
        out,
        count=count,
        shape=(rows, columns),
        camera=camera.value,
        quality=(lowest_quality, highest_quality),
        detector_tilt_deg=detector_tilt,
        seed=seed,
        progress=sys.stderr.isatty(),
    )
    console().print(
        f"Wrote {len(manifest):,} patterns to {text(out)}, manifest {text(out.with_suffix('.csv'))}",
        soft_wrap=True,
    )


def _masters(
    words: list[str], half_width: int, variants: int, preset: Preset, seed: int, cache: Path
) -> MasterSet:
    from kikuchinet.datasets import MastersConfig, MasterSet, prepare

    files = [word for word in words if Path(word).suffix.lower() in {".h5", ".hdf5"}]
    if files and len(files) < len(words):
        raise InputError("--crystals", "give library names or master-pattern files, not both")
    if files:
        return MasterSet.from_files(files)
    config = MastersConfig(
        materials=tuple(dict.fromkeys(words)),
        half_width=half_width,
        variants=variants,
        preset=preset.value,
        seed=seed,
    )
    return prepare(config, cache, progress=sys.stderr.isatty())
