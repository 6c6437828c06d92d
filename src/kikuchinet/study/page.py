"""The study as a page: the paper's statements and figures beside ours."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
from markupsafe import Markup

from kikuchinet._files import atomic_path
from kikuchinet._version import __version__
from kikuchinet.study.protocol import EXPERIMENTS
from kikuchinet.study.settings import PAPER_SIZE, StudySettings
from kikuchinet.study.statements import find_statements
from kikuchinet.study.tables import LEVELS

if TYPE_CHECKING:
    from kikuchinet.study.gallery import StudyFigure
    from kikuchinet.study.run import ExperimentResult

HTML_FILE, MARKDOWN_FILE = "study.html", "study.md"

SLIPS = (
    "The discussion of Figure 7 counts Al4CoNi2 among unseen materials; it taught 230, and Al4Ni3 must be meant.",
    "“80 % (Fig. 8)” is Figure 7, and “Table A1” is cited for two different tables.",
    "That the material of largest mean Z taught each group in the first experiment is not so for 230.",
    "Overall accuracy weights materials by their unknown numbers of patterns; a mean over the groups stands beside ours.",
)
"""Slips in the paper's text that are not copied here."""


def write_page(
    results: Sequence[ExperimentResult],
    figures: Sequence[StudyFigure],
    out: Path,
    settings: StudySettings,
    *,
    simulated: bool,
    command: str,
) -> None:
    """Write ``study.html``, which holds everything that it shows, and ``study.md`` into a study's folder.

    Parameters
    ----------
    results
        Finished experiments.
    figures
        Figures that belong to no single experiment.
    out
        The study's folder.
    settings
        Its size.
    simulated
        Whether its patterns are simulated.
    command
        What made it.
    """
    shown = view(results, figures, settings, simulated=simulated, command=command)
    templates = resources.files("kikuchinet.study") / "templates"
    for name, escape in ((HTML_FILE, True), (MARKDOWN_FILE, False)):
        environment = jinja2.Environment(
            autoescape=escape,  # noqa: S701 - Markdown is no HTML
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        environment.filters["picture"] = lambda file: _picture(out / file)
        template = environment.from_string((templates / f"{name}.jinja").read_text(encoding="utf-8"))
        with atomic_path(out / name) as temporary:
            temporary.write_text(template.render(**shown), encoding="utf-8")


def view(
    results: Sequence[ExperimentResult],
    figures: Sequence[StudyFigure],
    settings: StudySettings,
    *,
    simulated: bool,
    command: str,
) -> dict[str, Any]:
    """Return everything that the templates show, by name."""
    finished = [one for one in results if one.predictions is not None]
    return {
        "version": __version__,
        "command": command or "kikuchinet.study.run_study",
        "simulated": simulated,
        "judged": settings.judged,
        "size": "{} × {}".format(*settings.size),
        "paper_size": settings.size == PAPER_SIZE.size,
        "settings": settings,
        "experiments": [_experiment(one) for one in finished],
        "missing": [name for name in EXPERIMENTS if name not in {one.experiment.name for one in finished}],
        "findings": find_statements(finished),
        "figures": figures,
        "slips": SLIPS,
        "verdict": lambda same: _verdict(same, settings.judged),
    }


def _verdict(same: bool | None, judged: bool) -> str:
    if not judged:
        return "not judged"
    return {True: "same", False: "different", None: "open"}[same]


def _experiment(result: ExperimentResult) -> dict[str, Any]:
    assert result.predictions is not None
    scores = {level: result.scores(level) for level in LEVELS}
    literal = scores["literal"]
    return {
        "name": result.experiment.name,
        "table": result.experiment.table,
        "taught": ", ".join(result.experiment.taught),
        "paper": result.experiment.accuracy,
        "patterns": len(result.predictions),
        **{level: _interval(scores[level].accuracy) for level in LEVELS},
        "macro": f"{literal.macro_recall:.1%}",
        "seen": _percent(literal.seen),
        "unseen": _percent(literal.unseen),
        "picture": f"{result.experiment.name}/recall_literal.png",
    }


def _interval(values: tuple[float, float, float]) -> str:
    share, low, high = values
    return f"{share:.1%} ({low:.1%} to {high:.1%})"


def _percent(share: float) -> str:
    return "none" if share != share else f"{share:.1%}"  # noqa: PLR0124 - NaN


def _picture(path: Path) -> Markup:
    return Markup("data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii"))  # noqa: S704 - base64
