"""Folders of results: all of a run or nothing of it."""

from __future__ import annotations

import pytest

from kikuchinet.errors import InputError
from kikuchinet.identification import whole_folder


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_files_arrive_together(tmp_path):
    out = tmp_path / "a" / "out"
    with whole_folder(out) as folder:
        (folder / "patterns.csv").write_text("new")
        assert names(out) == [folder.name]
    assert names(out) == ["patterns.csv"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, ValueError])
def test_an_interrupted_run_changes_nothing(tmp_path, error):
    (tmp_path / "patterns.csv").write_text("old")
    with pytest.raises(error), whole_folder(tmp_path) as folder:
        (folder / "patterns.csv").write_text("new")
        raise error
    assert names(tmp_path) == ["patterns.csv"]
    assert (tmp_path / "patterns.csv").read_text() == "old"


def test_an_interrupted_run_leaves_no_empty_folder(tmp_path):
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out"):
        raise KeyboardInterrupt
    assert names(tmp_path) == []


def test_stale_results_go_and_the_users_files_stay(tmp_path):
    for name in (
        "map.png",
        "map_2.png",
        "crystal_map_12.h5",
        "map_of_grains.png",
        "crystal_map.h5",
        "notes.txt",
    ):
        (tmp_path / name).write_text("old")
    with whole_folder(tmp_path) as folder:
        (folder / "summary.json").write_text("new")
    assert names(tmp_path) == ["map_of_grains.png", "notes.txt", "summary.json"]


def test_a_file_is_no_folder(tmp_path):
    path = tmp_path / "out"
    path.write_text("mine")
    with pytest.raises(InputError, match="is a file"), whole_folder(path):
        pass
