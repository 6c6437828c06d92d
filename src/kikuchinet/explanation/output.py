"""What explanations of whole inputs have in common: which patterns, the columns that name them, and the files."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from kikuchinet._version import __version__
from kikuchinet.crystal import Crystal
from kikuchinet.crystal.outside import listed_classes
from kikuchinet.errors import InputError
from kikuchinet.models.card import ModelCard
from kikuchinet.patterns import Geometry, PatternSource

if TYPE_CHECKING:
    import pandas as pd

TABLE_FILE, SUMMARY_FILE = "explanation.csv", "explanation.json"


@dataclass(frozen=True)
class ExplanationSettings:
    """How inputs are explained.

    Parameters
    ----------
    crystals
        Crystals that may be there; see `placements`.
    orientation
        One of `ORIENTATIONS`.
    geometry
        Where the screen stood, in place of what the files say.
    space_group
        The group whose evidence is shown, 0 for outside the model's groups; the likeliest one of each pattern if None.
    count
        Patterns of each source that are explained at most, evenly spread over it; 0 for all.
    turns
        Random orientations that chance is worked out from.
    seed
        Of those.
    """

    crystals: tuple[Crystal, ...] = ()
    orientation: str = "auto"
    geometry: Geometry | None = None
    space_group: int | None = None
    count: int = 64
    turns: int = 100
    seed: int = 0

    def check(self, name: str, classes: tuple[int, ...]) -> None:
        """See that a model knows the space group.

        Raises
        ------
        kikuchinet.errors.InputError
            It does not.
        """
        if self.space_group is not None and self.space_group not in classes:
            raise InputError(
                f"space group {self.space_group}",
                f"the model {name} does not know it; it knows {listed_classes(classes)}",
            )

    @property
    def pattern_center(self) -> list[float] | None:
        """The pattern centre that was given."""
        return None if self.geometry is None else self.geometry.pattern_centers[0].tolist()


def is_ours(name: str) -> bool:
    """Return whether a file of this name was written by an explanation."""
    stem = name.removeprefix("pattern_").removesuffix(".png")
    picture = name.startswith("pattern_") and name.endswith(".png") and stem.replace("_", "").isdigit()
    return picture or name in (TABLE_FILE, SUMMARY_FILE)


def spread(n: int, count: int) -> list[int]:
    """Return which of n patterns are explained: `count` of them, evenly spread; all if it is 0 or more than there are."""
    if count <= 0 or count >= n:
        return list(range(n))
    return sorted({int(i) for i in np.linspace(0, n - 1, count).round()})


@dataclass(frozen=True)
class Part:
    """Some patterns of one source, explained together.

    Parameters
    ----------
    place
        Which of the sources.
    source
        The source.
    numbers
        Its patterns.
    prefix
        Of the names of their pictures, which tells sources apart.
    """

    place: int
    source: PatternSource
    numbers: list[int]
    prefix: str

    def picture(self, number: int) -> str:
        """Return the name of a pattern's picture."""
        return f"pattern_{self.prefix}{number:05d}.png"

    def names(self, number: int) -> dict[str, Any]:
        """Return the columns that say which pattern it is."""
        source = self.source
        return {
            "source": source.names[number],
            "index": number,
            "row": "" if source.rows is None else int(source.rows[number]),
            "column": "" if source.columns is None else int(source.columns[number]),
        }


def explain_parts(
    sources: Sequence[PatternSource],
    count: int,
    size: int,
    explain: Callable[[Part], list[dict[str, Any]]],
    progress: Callable[[int, int], None] | None,
) -> pd.DataFrame:
    """Return one row a pattern of several sources.

    Parameters
    ----------
    sources
        The patterns.
    count
        Patterns of each source at most; 0 for all.
    size
        Patterns that are explained together.
    explain
        Explains a part; returns its rows.
    progress
        Called with the patterns done and the patterns in all.
    """
    import pandas as pd

    chosen = [spread(len(source), count) for source in sources]
    total = sum(map(len, chosen))
    rows: list[dict[str, Any]] = []
    for place, (source, numbers) in enumerate(zip(sources, chosen, strict=True)):
        prefix = f"{place + 1}_" if len(sources) > 1 else ""
        for start in range(0, len(numbers), size):
            rows += explain(Part(place, source, numbers[start : start + size], prefix))
            if progress is not None:
                progress(len(rows), total)
    return pd.DataFrame(rows)


def about(frame: pd.DataFrame, sources: Sequence[PatternSource], card: ModelCard) -> dict[str, Any]:
    """Return what every summary says: program, model, and how many patterns of each source were explained."""
    return {
        "kikuchinet": __version__,
        "model": {"name": card.name, "version": card.version, "sha256": card.sha256},
        "inputs": [
            {
                "name": source.name,
                "patterns": len(source),
                "explained": int(frame["source"].isin(source.names).sum()),
            }
            for source in sources
        ],
    }


def write(frame: pd.DataFrame, summary: dict[str, Any], folder: Path) -> None:
    """Write the table and the summary."""
    frame.to_csv(
        folder / TABLE_FILE, index=False, lineterminator="\n", float_format="%.6g", errors="backslashreplace"
    )
    text = json.dumps(summary, indent=2, ensure_ascii=False) + "\n"
    (folder / SUMMARY_FILE).write_text(text, encoding="utf-8", errors="backslashreplace")
