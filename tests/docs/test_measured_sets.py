"""The measured patterns that may be looked at, and those that are only scored, have none in common."""

from __future__ import annotations

import fnmatch
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SETS = tomllib.loads((ROOT / "benchmarks" / "measured_sets.toml").read_text(encoding="utf-8"))


def test_no_pattern_is_in_both():
    files = [f"steel_ferrite/x{x:03d}_y{y:03d}.jpg" for x in range(0, 100, 10) for y in range(0, 100, 10)]
    files += [f"si_nordif/si_{where}.h5" for where in ("in", "out5mm", "out10mm")]
    sizes = {"ni": (3, 6), "si": (1, 2), "steel": (10, 90)}
    assert set(SETS) == set(sizes)
    for name, entry in SETS.items():
        if entry["from"] == "kikuchipy":
            look, held = set(entry["look"]), set(entry["held"])
            assert look | held == set(range(9))
        else:
            look, held = (
                {file for file in files if any(fnmatch.fnmatch(file, glob) for glob in entry[split])}
                for split in ("look", "held")
            )
        assert not look & held
        assert (len(look), len(held)) == sizes[name]


def test_every_set_of_files_says_where_its_screen_stood():
    sizes = {"si": {"look": 1, "held": 2}, "steel": {"look": 1, "held": 1}}
    for name, numbers in sizes.items():
        assert {split: len(centers) for split, centers in SETS[name]["pattern_centers"].items()} == numbers
        assert SETS[name]["convention"] in {"bruker", "edax"}
