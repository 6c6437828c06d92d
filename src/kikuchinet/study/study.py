"""The whole study: patterns, six experiments, tables and figures, in one folder that can be gone on with."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path

from kikuchinet._files import atomic_path
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.errors import InputError
from kikuchinet.study.figures import draw_inverse_pole_figures, draw_quality, draw_recalls
from kikuchinet.study.gallery import save, write_gallery
from kikuchinet.study.page import write_page
from kikuchinet.study.patterns import simulate_patterns
from kikuchinet.study.protocol import EXPERIMENTS, find_experiment
from kikuchinet.study.run import ExperimentResult, load_result, run_experiment
from kikuchinet.study.settings import StudySettings
from kikuchinet.study.tables import LEVELS
from kikuchinet.training.stored import digest

SETTINGS_FILE = "settings.json"
_QUALITIES = {
    "band_contrast": "band contrast",
    "mad_deg": "mean angular deviation (degrees)",
    "image_quality": "image quality",
    "quality": "camera quality (0: full range of faults)",
}


def run_study(
    names: Iterable[str],
    out: str | Path,
    settings: StudySettings,
    *,
    patterns: str | Path | Manifest | None = None,
    cache_dir: str | Path = "cache",
    command: str = "",
    progress: bool = True,
) -> list[ExperimentResult]:
    """Repeat experiments of Kaufmann et al. (2020).

    Parameters
    ----------
    names
        Experiments, by their figures' names; all six if empty.
    out
        The study's folder. What is finished there is kept, what was interrupted goes on.
    settings
        Size of the study.
    patterns
        Manifest of measured patterns of the paper's materials; they are simulated if not given.
    cache_dir
        Where master patterns are kept.
    command
        What is written into the figures as the command that made them.
    progress
        Show progress bars.

    Returns
    -------
    list of ExperimentResult
        Those that were run; the last one has no predictions if it was interrupted.

    Raises
    ------
    kikuchinet.errors.InputError
        An experiment's name is unknown, the manifest will not do, or the folder holds a study of other settings or patterns.
    """
    chosen = [find_experiment(name) for name in dict.fromkeys(names)] or list(EXPERIMENTS.values())
    out = Path(out)
    if isinstance(patterns, Manifest):
        # Folders of before this was told apart say only that it was one.
        _claim(out, settings, f"a manifest, SHA-256 {digest(patterns)}", before="a manifest")
    else:
        _claim(out, settings, "simulated" if patterns is None else str(patterns))
    if patterns is None:
        manifest = simulate_patterns(out / "patterns", settings, cache_dir=cache_dir, progress=progress)
    else:
        manifest = patterns if isinstance(patterns, Manifest) else Manifest.read(patterns)
    results = []
    for experiment in chosen:
        result = run_experiment(experiment, manifest, out / experiment.name, settings, progress=progress)
        results.append(result)
        if result.predictions is None:
            break
        _write_figures(result, command)
    finished = _finished(results, out)
    figures = write_gallery(
        finished,
        manifest,
        out,
        settings,
        simulated=patterns is None,
        cache_dir=cache_dir,
        command=command,
    )
    if finished:
        write_page(finished, figures, out, settings, simulated=patterns is None, command=command)
    return results


def _finished(results: list[ExperimentResult], out: Path) -> list[ExperimentResult]:
    """Return the finished experiments of a folder, those of earlier runs among them, in the paper's order."""
    by_name = {result.experiment.name: result for result in results}
    for name, experiment in EXPERIMENTS.items():
        if name not in by_name and (earlier := load_result(experiment, out / name)) is not None:
            by_name[name] = earlier
    order = [*EXPERIMENTS, *by_name]
    return sorted(
        (one for one in by_name.values() if one.predictions is not None),
        key=lambda one: order.index(one.experiment.name),
    )


def _claim(out: Path, settings: StudySettings, source: str, *, before: str | None = None) -> None:
    """See that a folder is this study's, or make it so; `before` is what older folders say of the same patterns."""
    text, older = (
        json.dumps({"patterns": name, **asdict(settings)}, indent=1) for name in (source, before or source)
    )
    path = out / SETTINGS_FILE
    if path.is_file():
        if path.read_text(encoding="utf-8") not in (text, older):
            raise InputError(out, "holds a study of other settings or patterns; choose another folder")
        return
    if out.is_dir() and any(out.iterdir()):
        raise InputError(out, "is not empty and holds no study")
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _write_figures(result: ExperimentResult, command: str) -> None:
    """Write bars at each level of truth, inverse pole figures and histograms of right and wrong answers."""
    predictions = result.predictions
    assert predictions is not None
    answers = len(result.experiment.training)
    name, accuracy = result.experiment.name, result.experiment.accuracy
    figures = {
        f"recall_{level}": draw_recalls(
            result.scores(level), answers, f"{name} (paper: {accuracy}), {level} level"
        )
        for level in LEVELS
    }
    if "qa" in predictions.columns and predictions["qa"].notna().any():
        known = predictions[predictions["qa"].notna()]
        figures["inverse_pole_figures"] = draw_inverse_pole_figures(known)
        figures["inverse_pole_figures_by_answer"] = draw_inverse_pole_figures(known, split_by_answer=True)
    for column, label in _QUALITIES.items():
        if column in predictions.columns and predictions[column].notna().any():
            figures[f"{column}_by_answer"] = draw_quality(
                predictions, column, label=label, split_by_answer=True
            )
    for title, figure in figures.items():
        save(figure, result.folder / f"{title}.png", title=f"{name}: {title}", command=command)
