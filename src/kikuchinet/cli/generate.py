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
    from kikuchinet.microscope import Detector


class CameraPreset(StrEnum):
    """Which cameras the patterns are recorded with."""

    GOOD = "good"
    MIXED = "mixed"
    POOR = "poor"
    BINNED = "binned"
    FAST_SCAN = "fast_scan"


def generate(
    crystals: Annotated[
        str,
        typer.Option(
            "--crystals",
            help="Names of library crystals, or master-pattern files (.h5), separated by commas.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", help="HDF5 file to write; the manifest goes beside it as .csv.")
    ],
    count: Annotated[
        int | None, typer.Option("--count", min=1, help="Patterns of each crystal.", show_default=False)
    ] = None,
    scan: Annotated[
        str,
        typer.Option(
            "--scan",
            metavar="ROWSxCOLUMNS",
            help="In place of --count: a scan of grains of all crystals, such as 40x60.",
            show_default=False,
        ),
    ] = "",
    step: Annotated[float, typer.Option("--step", help="Step of the scan in µm.")] = 1.0,
    grain: Annotated[float, typer.Option("--grain", help="Mean diameter of the scan's grains in µm.")] = 10.0,
    fractions: Annotated[
        str,
        typer.Option(
            "--fractions",
            help="Shares of the crystals in a scan, such as 0.7,0.3; equal ones if not given.",
            show_default=False,
        ),
    ] = "",
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
    instrument: Annotated[
        str,
        typer.Option(
            "--instrument",
            help="A detector that is sold, such as oxford_symmetry: patterns are recorded around its place, with its tilt.",
        ),
    ] = "",
    texture: Annotated[
        float,
        typer.Option(
            "--texture",
            min=1.0,
            help="Maximum of the inverse pole figures, multiples of random; 1 for no texture.",
        ),
    ] = 1.0,
    same_cameras: Annotated[
        bool,
        typer.Option(
            "--same-cameras",
            help="Record all crystals with the same cameras, so that a network cannot tell them by the camera.",
        ),
    ] = False,
    measure: Annotated[
        bool,
        typer.Option(
            "--measure",
            help="Add image quality, band contrast and mean angular deviation (PyEBSDIndex) to the manifest.",
        ),
    ] = False,
    seed: Annotated[int, typer.Option("--seed", min=0, help="The same seed gives the same patterns.")] = 0,
    cache: Annotated[
        Path, typer.Option("--cache", help="Folder where simulated master patterns are kept.")
    ] = Path("cache"),
) -> None:
    """Generate labelled detector patterns, with random orientations and random cameras.

    Of each crystal by itself, or of a scan of grains. Writes an HDF5 file that kikuchipy.load reads, and a manifest (CSV)
    with the material, space group, orientation, pattern centre and quality of every pattern.

    For example:

    - `kikuchinet generate --crystals Ni,Fe,Si --count 100 --out patterns.h5`
    - `kikuchinet generate --crystals masters/Ni.h5 --count 1000 --camera good --out nickel.h5`
    - `kikuchinet generate --crystals Ni,Si --scan 40x60 --step 0.5 --grain 5 --out scan.h5`
    - `kikuchinet generate --crystals Ni --count 500 --instrument oxford_symmetry --texture 2.5 --out nickel.h5`
    """
    words = [word.strip() for word in crystals.split(",") if word.strip()]
    if not words:
        raise typer.BadParameter("name at least one crystal", param_hint="--crystals")
    if (count is None) == (not scan):
        raise typer.BadParameter("give either --count or --scan", param_hint="--count")
    if lowest_quality > highest_quality:
        raise typer.BadParameter("is above --highest-quality", param_hint="--lowest-quality")
    if out.suffix.lower() not in {".h5", ".hdf5"}:
        raise InputError(out, "patterns go into an HDF5 file: give a name that ends in .h5")
    if instrument and detector_tilt != 0.0:
        raise typer.BadParameter("is the instrument's own", param_hint="--detector-tilt")
    if same_cameras and scan:
        raise typer.BadParameter("a scan has one camera anyway", param_hint="--same-cameras")
    screen = _screen((rows, columns), instrument, detector_tilt)
    points = _scan_shape(scan) if scan else None
    shares = _numbers(fractions, "--fractions")
    masters = _masters(words, half_width, variants, preset, seed, cache)
    progress = sys.stderr.isatty()
    if points is not None:
        from kikuchinet.datasets.scans import ScanSettings, simulate_scan

        settings = ScanSettings(
            points,
            step_um=step,
            grain_um=grain,
            fractions=shares,
            texture=texture,
            camera=camera.value,
            quality=0.5 * (lowest_quality + highest_quality),
            seed=seed,
        )
        manifest, _ = simulate_scan(masters, out, settings, screen, progress=progress)
    else:
        from kikuchinet.datasets import generate as run

        assert count is not None
        manifest = run(
            masters,
            out,
            count=count,
            same_cameras=same_cameras,
            shape=(rows, columns),
            camera=camera.value,
            quality=(lowest_quality, highest_quality),
            detector_tilt_deg=detector_tilt,
            instrument=instrument,
            texture=texture,
            seed=seed,
            progress=progress,
        )
    if measure:
        from kikuchinet.datasets.measuring import measure_quality

        manifest = measure_quality(
            manifest, phases=masters.crystals(), detector_tilt_deg=screen.tilt_deg, progress=progress
        )
        manifest.write(out.with_suffix(".csv"))
    console().print(
        f"Wrote {len(manifest):,} patterns to {text(out)}, manifest {text(out.with_suffix('.csv'))}",
        soft_wrap=True,
    )


def _screen(shape: tuple[int, int], instrument: str, detector_tilt_deg: float) -> Detector:
    from kikuchinet.microscope import Detector
    from kikuchinet.microscope import instrument as find_instrument

    if instrument:
        return find_instrument(instrument).detector.binned(shape)
    return Detector(shape, (0.5, 0.4, 0.6), tilt_deg=detector_tilt_deg)


def _scan_shape(scan: str) -> tuple[int, int]:
    rows, _, columns = scan.lower().partition("x")
    if not (rows.isdecimal() and columns.isdecimal() and int(rows) and int(columns)):
        raise typer.BadParameter(f"{scan!r} is not ROWSxCOLUMNS, such as 40x60", param_hint="--scan")
    return int(rows), int(columns)


def _numbers(words: str, option: str) -> tuple[float, ...]:
    try:
        return tuple(float(word) for word in words.split(",") if word.strip())
    except ValueError as error:
        raise typer.BadParameter(f"{words!r} is not a list of numbers", param_hint=option) from error


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
