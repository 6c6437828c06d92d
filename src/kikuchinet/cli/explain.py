"""``kikuchinet explain``: where in its patterns a model sees what it answers, or which bands speak for it."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kikuchinet.cli._group import complain
from kikuchinet.cli._output import console, table, text
from kikuchinet.cli._pattern_center import NAMES, Convention, parse_center
from kikuchinet.cli._pattern_options import DeviceName, Example, ModelName, PatternInputs
from kikuchinet.cli._progress import progress
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    from kikuchinet.patterns import Geometry


class Origin(StrEnum):
    """Where orientations come from."""

    AUTO = "auto"
    FILE = "file"
    HOUGH = "hough"
    NONE = "none"


def explain(
    out: Annotated[
        Path, typer.Option("--out", help="Folder for pictures and tables; made if it does not exist.")
    ],
    inputs: PatternInputs = None,
    model: ModelName = None,
    crystal: Annotated[
        list[str] | None,
        typer.Option(
            "--crystal",
            help="Crystal that is there: a library name or a CIF; may be given several times. Without the file's own "
            "indexing, patterns are indexed with it (Hough).",
            show_default=False,
        ),
    ] = None,
    orientation: Annotated[
        Origin,
        typer.Option(
            "--orientation",
            help="auto: the file's own indexing, else Hough indexing with --crystal, else no overlay.",
        ),
    ] = Origin.AUTO,
    space_group: Annotated[
        int | None,
        typer.Option(
            "--space-group",
            help="Group whose evidence is shown, 0 for outside the model's groups; each pattern's answer if not given.",
            show_default=False,
        ),
    ] = None,
    pattern_center: Annotated[
        str,
        typer.Option(*NAMES, help="Such as 0.5,0.3,0.7, where the files do not say or are wrong."),
    ] = "",
    convention: Annotated[
        Convention, typer.Option("--convention", help="Of --pattern-center.")
    ] = Convention.BRUKER,
    sample_tilt: Annotated[
        float, typer.Option("--sample-tilt", help="Degrees; with --pattern-center.")
    ] = 70.0,
    detector_tilt: Annotated[
        float, typer.Option("--detector-tilt", help="Degrees; with --pattern-center.")
    ] = 0.0,
    energy: Annotated[float, typer.Option("--energy-kev", help="Of the beam; with --pattern-center.")] = 20.0,
    count: Annotated[
        int,
        typer.Option(
            "--count", min=0, help="Patterns of each input at most, evenly spread over it; 0 for all."
        ),
    ] = 64,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of the random orientations of chance.")] = 0,
    device: DeviceName = "auto",
    example: Example = False,
) -> None:
    """Show why a model answers as it does: where it sees it (Grad-CAM), or which bands speak for it.

    Of a model of whole patterns, writes a picture of each pattern (pattern, Hough transform, Grad-CAM and guided Grad-CAM of
    the last convolution; bands, zone axes and HOLZ rings over them where the orientation is known), explanation.csv and
    explanation.json: how much of the heat falls on zone axes, bands and HOLZ rings, and how much would if the crystal were
    turned at random. Whether heat maps are to be believed at all is the subject of docs/explanation.md.

    Of a model of band profiles (bands-m3m-10), the same files: each picture shows the bands that speak most for the answer,
    in the orientation that the model found, and the profile and weight of each family of planes. It needs a pattern
    centre, and takes no --crystal and no --orientation.

    For example:

    - `kikuchinet explain --example --out explained`
    - `kikuchinet explain scan.h5oina --crystal Ni --out explained`
    - `kikuchinet explain scan.h5oina --model bands-m3m-10 --out explained`
    - `kikuchinet explain pattern.tif --crystal phase.cif --pattern-center 0.5,0.3,0.7 --out explained`
    """
    if example == bool(inputs):
        raise typer.BadParameter("give pattern files, or --example in place of them", param_hint="INPUT")
    if out.exists() and not out.is_dir():
        raise InputError(out, "is a file, not a folder for pictures")
    for path in inputs or ():
        if not path.exists():
            raise InputError(path, "does not exist")

    from kikuchinet.cli._crystal_argument import find_crystal
    from kikuchinet.explanation import ExplanationSettings, explain_band_sources, explain_sources, is_ours
    from kikuchinet.identification import whole_folder
    from kikuchinet.models import ModelCard, load_model
    from kikuchinet.models.band_network import load_band_model
    from kikuchinet.models.card import CARD_FILE
    from kikuchinet.models.registry import BAND_PROFILES, model_folder
    from kikuchinet.patterns import example_patterns, read_patterns

    # The model first: a mistyped name must not wait for files to be read.
    folder_of_model = model_folder(model)
    reads_bands = ModelCard.load(folder_of_model / CARD_FILE).architecture == BAND_PROFILES
    if reads_bands and device not in ("auto", "cpu"):
        raise InputError(f"--device {device}", "a model of band profiles runs on the processor")
    crystals = tuple(find_crystal(word) for word in crystal or ())
    sources = [example_patterns()] if example else read_patterns(list(inputs or ()))
    shapes = {(int(side[0]), int(side[1])) for side in (source[0].shape for source in sources)}
    center = parse_center(pattern_center)
    geometry = (
        None
        if center is None
        else _geometry(center, convention.value, shapes, sample_tilt, detector_tilt, energy)
    )
    settings = ExplanationSettings(
        crystals=crystals,
        orientation=orientation.value,
        geometry=geometry,
        space_group=space_group,
        count=count,
        seed=seed,
    )
    if reads_bands:
        bands = load_band_model(folder_of_model)
        with whole_folder(out, is_ours) as folder, progress("Explaining", "patterns") as advance:
            _, summary = explain_band_sources(sources, bands, folder, settings, progress=advance)
        _print_bands(summary, bands.classes, out)
        return
    loaded = load_model(folder_of_model, device=device)
    with whole_folder(out, is_ours) as folder, progress("Explaining", "patterns") as advance:
        _, summary = explain_sources(sources, loaded, folder, settings, progress=advance)
    _print(summary, out)


def _geometry(
    center: tuple[float, float, float],
    convention: str,
    shapes: set[tuple[int, int]],
    sample_tilt: float,
    detector_tilt: float,
    energy: float,
) -> Geometry:
    import numpy as np

    from kikuchinet.microscope import Detector
    from kikuchinet.patterns import Geometry

    if convention != "bruker" and len({rows / columns for rows, columns in shapes}) > 1:
        raise InputError(
            "--pattern-center", f"{convention}'s depends on the shape, and the inputs have several"
        )
    if not energy > 0:
        raise InputError("--energy-kev", f"{energy:g} is not positive")
    # A detector checks what it is given, and turns the pattern centre into Bruker's.
    shape = next(iter(shapes))
    detector = Detector(
        shape, center, convention=convention, tilt_deg=detector_tilt, sample_tilt_deg=sample_tilt
    )
    return Geometry(
        pattern_centers=np.array([detector.pattern_center]),
        sample_tilt_deg=sample_tilt,
        detector_tilt_deg=detector_tilt,
        energy_kev=energy,
    )


def _print(summary: dict[str, Any], out: Path) -> None:
    from kikuchinet.explanation.run import cold_sentence, heat_lines

    if lines := heat_lines(summary):
        rows = table("map", "on", "patterns with heat", "share of the heat (95 %)", "chance (95 %)", "so")
        for line in lines:
            rows.add_row(*line)
        console().print(rows)
    if cold := cold_sentence(summary):
        console().print(text(cold), soft_wrap=True)
    console().print(text(summary["overlay"]), soft_wrap=True)
    if summary["overlays_that_do_not_fit"]:
        complain(
            f"{summary['overlays_that_do_not_fit']} of {summary['with_overlay']} overlays do not fit their patterns",
            "warning",
        )
    _print_pictures(summary, out)


def _print_bands(summary: dict[str, Any], classes: tuple[int, ...], out: Path) -> None:
    from kikuchinet.explanation.bands import unread_sentence, weight_lines

    if lines := weight_lines(summary, classes):
        rows = table(
            "evidence for", "against", "patterns", "speak for it", "speak against it", right=("patterns",)
        )
        for line in lines:
            rows.add_row(*line)
        console().print(rows)
        console().print(
            "Behind each family stands how far the logarithm of the odds falls when its bands are taken away (mean of the "
            "patterns).",
            soft_wrap=True,
        )
    if unread := unread_sentence(summary):
        console().print(text(unread), soft_wrap=True)
    _print_pictures(summary, out)


def _print_pictures(summary: dict[str, Any], out: Path) -> None:
    left = sum(one["patterns"] for one in summary["inputs"]) - summary["patterns"]
    more = f", {left:,} left out (--count)" if left else ""
    console().print(f"Pictures of {summary['patterns']:,} patterns{more}: {text(out)}", soft_wrap=True)
