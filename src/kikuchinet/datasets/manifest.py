"""Manifests: one row per stored pattern, with what is known about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from kikuchinet._files import atomic_path
from kikuchinet.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

REQUIRED = ("file", "index", "material", "space_group")
"""Columns that every manifest has: the pattern's file (relative to the manifest), its number there, its truth."""

OPTIONAL = (
    "visible_group",
    "visible_groups",
    "qa",
    "qb",
    "qc",
    "qd",
    "pc_x",
    "pc_y",
    "pc_z",
    "quality",
    "overlap",
    "image_quality",
    "band_contrast",
    "mad_deg",
    "source",
    "map",
    "split",
)
"""Columns with a fixed meaning: the visibility-limited group, all groups that the pattern does not tell apart (numbers with
spaces between them), the orientation (sample to crystal), the pattern centre
(Bruker), the camera's quality (0: full range of its faults, 1: its best), the part of a second grain, measured quality
figures (`measure_quality`), where the pattern comes from, the scan that it belongs to, and train, validation or test."""


@dataclass(frozen=True, eq=False)
class Manifest:
    """A table of stored patterns.

    Parameters
    ----------
    frame
        One row per pattern.
    folder
        What the column ``file`` is relative to.
    """

    frame: pd.DataFrame
    folder: Path

    def __post_init__(self) -> None:
        import pandas as pd

        if missing := [name for name in REQUIRED if name not in self.frame.columns]:
            raise InputError("manifest", f"has no column {missing[0]!r}")
        if self.frame.empty:
            raise InputError("manifest", "has no patterns")
        for name in ("index", "space_group", "visible_group"):
            if name in self.frame.columns and not pd.api.types.is_integer_dtype(self.frame[name]):
                raise InputError("manifest", f"column {name!r} must hold whole numbers in every row")
        for name in ("space_group", "visible_group"):
            if name in self.frame.columns and not self.frame[name].between(1, 230).all():
                raise InputError("manifest", f"column {name!r} holds a number outside 1 to 230")
        if "visible_groups" in self.frame.columns:
            for text in self.frame["visible_groups"].unique():
                _groups(text)
        if (self.frame["index"] < 0).any():
            raise InputError("manifest", "column 'index' holds a negative number")

    def __len__(self) -> int:
        return len(self.frame)

    @classmethod
    def read(cls, path: str | Path) -> Manifest:
        """Read a manifest from a CSV or Parquet file.

        Raises
        ------
        kikuchinet.errors.InputError
            The file is missing, damaged or no manifest.
        """
        import pandas as pd

        path = Path(path)
        if not path.is_file():
            raise InputError(path, "no such file")
        try:
            if path.suffix.lower() == ".parquet":
                frame = pd.read_parquet(path)
            else:
                # Else pandas takes a column of single groups for numbers.
                frame = pd.read_csv(path, dtype={"visible_groups": str})
        except (OSError, ValueError, ImportError) as error:
            raise InputError(path, f"cannot be read as a table ({error})") from error
        try:
            return cls(frame, path.parent)
        except InputError as error:
            raise InputError(path, error.cause) from error

    def write(self, path: str | Path) -> None:
        """Write the manifest as CSV or Parquet, as the suffix says."""
        path = Path(path)
        if path.suffix.lower() not in {".csv", ".parquet"}:
            raise InputError(path, "a manifest is a .csv or .parquet file")
        with atomic_path(path) as temporary:
            if path.suffix.lower() == ".parquet":
                self.frame.to_parquet(temporary, index=False)
            else:
                self.frame.to_csv(temporary, index=False)

    def labels(self, kind: str) -> np.ndarray:
        """Return the (n,) space groups of a kind, ``visible`` or ``literal``.

        A manifest without visible groups, of measured patterns for instance, answers with the literal ones.
        """
        column = "visible_group" if kind == "visible" and "visible_group" in self.frame else "space_group"
        return self.frame[column].to_numpy(dtype=np.int64)

    def right_groups(self) -> list[tuple[int, ...]]:
        """Return for each pattern all space groups that are a right answer.

        They are those of the column ``visible_groups``; without it the one of `labels` ``visible``.
        """
        if "visible_groups" not in self.frame:
            return [(int(group),) for group in self.labels("visible")]
        known = {text: _groups(text) for text in self.frame["visible_groups"].unique()}
        return [known[text] for text in self.frame["visible_groups"]]

    def where(self, mask: np.ndarray) -> Manifest:
        """Return the rows where `mask` is true."""
        return Manifest(self.frame[mask].reset_index(drop=True), self.folder)

    def split(
        self, shares: Mapping[str, float], *, by: str = "material", seed: int = 0
    ) -> dict[str, Manifest]:
        """Divide the patterns so that no material, or no map, is in two parts.

        Parameters
        ----------
        shares
            Names of the parts and their shares.
        by
            ``material`` or ``map``: what stays together. ``pattern`` divides single patterns, within each
            material; patterns of one scan are near-copies, so it flatters any model.
        seed
            Same seed, same split.

        Returns
        -------
        dict
            The parts by name; a part that got nothing is absent.

        Raises
        ------
        kikuchinet.errors.InputError
            Shares are not positive, or the column is missing.
        """
        if not shares or min(shares.values()) <= 0.0:
            raise InputError("split", "shares must be positive")
        rng = np.random.default_rng(seed)
        names = list(shares)
        edges = np.cumsum([shares[name] for name in names]) / sum(shares.values())
        part = np.zeros(len(self), dtype=np.int64)
        if by == "pattern":
            for _, rows in sorted(self.frame.groupby("material").indices.items()):
                place = (rng.permutation(len(rows)) + 0.5) / len(rows)
                part[rows] = np.searchsorted(edges, place)
        else:
            if by not in {"material", "map"} or by not in self.frame.columns:
                raise InputError("split", f"by {by!r}: the manifest has no such column")
            # Within each space group, so that every part gets some of every group where there are enough.
            for _, rows in sorted(self.frame.groupby("space_group").indices.items()):
                keys = self.frame[by].iloc[rows].astype(str).to_numpy()
                units = rng.permutation(np.unique(keys))
                place = (np.arange(len(units)) + 0.5) / len(units)
                of_unit = dict(zip(units.tolist(), np.searchsorted(edges, place).tolist(), strict=True))
                part[rows] = [of_unit[key] for key in keys.tolist()]
        return {name: self.where(part == i) for i, name in enumerate(names) if (part == i).any()}


def _groups(text: object) -> tuple[int, ...]:
    """Read a field of ``visible_groups``; somebody's table of single groups may hold it as numbers."""
    words = str(text).split()
    if not words or not all(word.isdecimal() and 1 <= int(word) <= 230 for word in words):
        raise InputError(
            "manifest", f"column 'visible_groups' holds {text!r}, no numbers of 1 to 230 with spaces between"
        )
    return tuple(map(int, words))
