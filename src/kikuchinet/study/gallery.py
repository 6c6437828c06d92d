"""The figures of a study that belong to no single experiment, each with the command that made it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kikuchinet._files import atomic_path
from kikuchinet._version import __version__
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.errors import InputError
from kikuchinet.study.figures import draw_inverse_pole_figures, draw_quality
from kikuchinet.study.pictures import draw_groups, draw_pair, draw_simulated, draw_two_models
from kikuchinet.study.run import ExperimentResult
from kikuchinet.study.settings import StudySettings

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

FOLDER = "figures"
TABLE_FILE = "figures.csv"
QUALITIES = {"mad_deg": "mean angular deviation (degrees)", "band_contrast": "band contrast"}
_FINE = 100
"""Half-width of master patterns below which their patterns are too coarse to be read."""
_LOOKED_AT = ("NbC", "Al", "W")
"""Materials of the paper's Figures A7 and A8."""


@dataclass(frozen=True)
class StudyFigure:
    """One figure of a study.

    Parameters
    ----------
    name
        The paper's figure, such as ``8`` or ``A2``.
    file
        Its picture, relative to the study's folder; empty where it was not made.
    title
        What it shows.
    command
        What made it.
    reason
        Why it was not made; else empty.
    """

    name: str
    file: str
    title: str
    command: str
    reason: str = ""


def write_gallery(
    results: Sequence[ExperimentResult],
    manifest: Manifest,
    out: Path,
    settings: StudySettings,
    *,
    simulated: bool,
    cache_dir: str | Path,
    command: str,
) -> list[StudyFigure]:
    """Write the paper's Figures 1, 3, 8, 9, A2, A3 and A5 to A9, and a list of them.

    Parameters
    ----------
    results
        Finished experiments.
    manifest
        All patterns.
    out
        The study's folder; pictures go into ``figures``, with ``figures.csv``.
    settings
        Size of the study.
    simulated
        Whether the patterns are simulated.
    cache_dir
        Where master patterns are kept.
    command
        What made the study; goes into every picture.

    Returns
    -------
    list of StudyFigure
        A figure for which something is missing, orientations say, comes with the reason.
    """
    kind = "simulated" if simulated else "given"
    cache = str(cache_dir)
    coarse = (
        f"; coarse, half-width {settings.half_width}, {settings.preset}"
        if settings.half_width < _FINE
        else ""
    )
    patterns = manifest.frame
    finished = [one for one in results if one.predictions is not None]
    jobs: list[tuple[str, str, Callable[[], Figure]]] = [
        (
            "1",
            "Al and Ni, simulated in one orientation",
            lambda: draw_simulated(
                ("Al", "Ni"), settings, cache, title=f"Al and Ni in one orientation{coarse}"
            ),
        ),
        (
            "3",
            "FeAl and Fe, simulated in one orientation",
            lambda: draw_simulated(
                ("FeAl", "Fe"), settings, cache, title=f"FeAl and Fe in one orientation{coarse}"
            ),
        ),
        (
            "9",
            "A simulated pattern of each space group",
            lambda: draw_groups(settings, cache, title=f"One pattern of each space group{coarse}"),
        ),
        (
            "A2",
            f"Inverse pole figures of the normal, all {kind} patterns",
            lambda: draw_inverse_pole_figures(_oriented(patterns)),
        ),
    ]
    jobs += [
        (
            f"A3 {column}",
            f"{label[:1].upper()}{label[1:]}, all {kind} patterns",
            lambda column=column, label=label: draw_quality(patterns, column, label=label),  # type: ignore[misc]
        )
        for column, label in QUALITIES.items()
    ]
    if finished:
        jobs += _by_experiment(finished, manifest, simulated)
    written = []
    for name, title, draw in jobs:
        file = f"{FOLDER}/figure_{name.replace(' ', '_')}.png"
        try:
            figure = draw()
        except InputError as error:
            (out / file).unlink(missing_ok=True)
            written.append(StudyFigure(name, "", title, command, str(error)))
            continue
        save(figure, out / file, title=f"After Figure {name}: {title}", command=command)
        written.append(StudyFigure(name, file, title, command))
    _write_table(written, out / FOLDER / TABLE_FILE)
    return written


def _by_experiment(
    finished: Sequence[ExperimentResult], manifest: Manifest, simulated: bool
) -> list[tuple[str, str, Callable[[], Figure]]]:
    by_name = {one.experiment.name: one for one in finished}
    # The paper discusses right and wrong answers of Figure 7, the first experiment with two materials a group.
    split = by_name.get("fig7", finished[-1])
    last = finished[-1]
    assert split.predictions is not None
    of_split = split.experiment.name
    taught = split.experiment.taught
    training = _training(split)
    predictions = split.predictions
    jobs: list[tuple[str, str, Callable[[], Figure]]] = [
        (
            "8",
            f"NbC and Ni3Al in nearly one orientation: pattern, Hough transform, Grad-CAM of {last.experiment.name}",
            lambda: draw_pair(last, manifest, "NbC", "Ni3Al", simulated=simulated),
        ),
        (
            "A5",
            f"Inverse pole figures of the training patterns of {of_split}",
            lambda: draw_inverse_pole_figures(_oriented(training), taught),
        ),
    ]
    jobs += [
        (
            f"A6 {column}",
            f"{label[:1].upper()}{label[1:]} of the training patterns of {of_split}",
            lambda column=column, label=label: draw_quality(training, column, taught, label=label),  # type: ignore[misc]
        )
        for column, label in QUALITIES.items()
    ]
    shown = [name for name in _LOOKED_AT if name in set(predictions["material"])]
    jobs.append(
        (
            "A7",
            f"Inverse pole figures of right and wrong answers of {of_split}",
            lambda: draw_inverse_pole_figures(_oriented(predictions), shown, split_by_answer=True),
        )
    )
    jobs += [
        (
            f"A8 {column}",
            f"{label[:1].upper()}{label[1:]} of right and wrong answers of {of_split}",
            lambda column=column, label=label: draw_quality(  # type: ignore[misc]
                predictions, column, shown, label=label, split_by_answer=True
            ),
        )
        for column, label in QUALITIES.items()
    ]
    jobs.append(
        (
            "A9",
            "One pattern under two networks, one right, one wrong",
            lambda: draw_two_models(finished, manifest, simulated=simulated)[0],
        )
    )
    return jobs


def save(figure: Figure, path: Path, *, title: str, command: str) -> None:
    """Save a figure as PNG; its title and the command that made it stand in the file."""
    metadata = {"Title": title, "Description": command, "Software": f"kikuchinet {__version__}"}
    with atomic_path(path) as temporary:
        figure.savefig(temporary, format="png", metadata=metadata)


def _oriented(frame: pd.DataFrame) -> pd.DataFrame:
    if "qa" not in frame.columns or frame["qa"].isna().all():
        raise InputError("patterns", "hold no orientations")
    return frame[frame["qa"].notna()]


def _training(result: ExperimentResult) -> pd.DataFrame:
    import pandas as pd

    table = pd.read_csv(result.folder / "patterns.csv")
    return table[table["split"] == "train"]


def _write_table(written: Sequence[StudyFigure], path: Path) -> None:
    import pandas as pd

    with atomic_path(path) as temporary:
        pd.DataFrame([vars(one) for one in written]).to_csv(temporary, index=False)
