"""``kikuchinet identify`` on bad days: killed in the middle, and given files that cannot be read."""

from __future__ import annotations

import csv
import json
import os
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kikuchinet.cli import app


def invoke(*words: object):
    return CliRunner().invoke(app, ["identify", *map(str, words)])


def write_scan(path: Path, rows: int, columns: int) -> Path:
    images = np.random.default_rng(0).integers(0, 255, (rows * columns, 40, 40), dtype=np.uint8)
    head = struct.pack("<IIIIxIIBdd", 3, 40, 40, 42, columns, rows, 0, 1.0, 1.0)
    path.write_bytes(head + images.tobytes())
    return path


def contents(folder: Path) -> dict[str, bytes]:
    # HDF5 files carry the time at which they were written.
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix != ".h5"}


STUCK = """
import time
from kikuchinet.identification.answer_store import AnswerStore
own, kept = AnswerStore.keep, []
def keep(self, digest, answer):
    own(self, digest, answer)
    kept.append(digest)
    if len(kept) == 4:
        time.sleep(600)
AnswerStore.keep = keep
from kikuchinet.cli import main
main()
"""
"""The command, which goes no further than to its fourth answer."""


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_a_run_that_was_killed_ends_as_if_it_had_not_been(tmp_path, tiny_model):
    scan = write_scan(tmp_path / "scan.up1", 45, 50)
    whole, out = tmp_path / "whole" / "out", tmp_path / "killed" / "out"
    words = [str(scan), "--model", str(tiny_model), "--out"]
    done = invoke(*words, whole)
    assert done.exit_code == 0, done.output
    assert "unfinished" not in done.stdout
    out.mkdir(parents=True)
    (out / "summary.json").write_text("old")
    process = subprocess.Popen([sys.executable, "-c", STUCK, "identify", *words, str(out)])
    deadline = time.monotonic() + 300
    while len(list(out.rglob("[!.]*.npz"))) < 4 and time.monotonic() < deadline:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait(60)
    assert sorted(path.name for path in out.iterdir()) == [".unfinished", "summary.json"]
    assert (out / "summary.json").read_text() == "old"
    assert len(list(out.rglob("*.npz"))) == 4
    result = invoke(*words, out)
    assert result.exit_code == 0, result.output
    assert f"Taken from an unfinished run: {256 * 4:,} patterns" in result.stdout
    assert contents(out) == contents(whole)
    assert len(contents(out)) >= 4
    assert not (out / ".unfinished").exists()


def test_bad_files_among_good_ones_are_named_and_the_good_ones_done(tmp_path, tiny_model):
    rng = np.random.default_rng(0)

    def picture(path: Path) -> Path:
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 255, (50, 50), dtype=np.uint8)).save(path)
        return path

    good = picture(tmp_path / "good.png")
    cut = picture(tmp_path / "cut.tif")
    cut.write_bytes(cut.read_bytes()[:1500])
    text = tmp_path / "[red]no\nscan\x1b[31m.h5"
    text.write_bytes(b"These are no patterns.")
    folder = tmp_path / "map"
    for x in range(3):
        for y in range(2):
            picture(folder / f"x{x}_y{y}.png")
    (folder / "x1_y1.png").write_bytes(b"\x89PNG nothing")
    scan = write_scan(tmp_path / "scan.up1", 4, 5)
    scan.write_bytes(scan.read_bytes()[: 42 + 13 * 1600])
    out = tmp_path / "out"
    result = invoke(cut, good, text, folder, scan, "--out", out, "--model", tiny_model)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert len(lines) == 4, result.stderr
    assert all(line.startswith("kikuchinet: error: ") for line in lines)
    for name in ("cut.tif", "no scan", "x1_y1.png", "7 of 20 patterns"):
        assert sum(name in line for line in lines) == 1
    assert "\x1b" not in result.stderr
    summary = json.loads((out / "summary.json").read_text())
    assert summary["patterns"] == 1 + 6 + 20
    assert [entry["scan"] for entry in summary["inputs"]] == [None, [2, 3], [4, 5]]
    assert len(summary["failed"]) == 4
    with (out / "patterns.csv").open() as file:
        rows = list(csv.DictReader(file))
    unread = [row for row in rows if row["reason"].startswith("cannot be read")]
    assert len(unread) == 1 + 7
    assert all(row["abstained"] == "true" and not row["space_group"] for row in unread)
    assert (out / "map_2.png").exists()
    assert (out / "report.html").exists()


def test_nothing_that_can_be_read_leaves_nothing(tmp_path, tiny_model):
    for name in ("a.tif", "b.png"):
        (tmp_path / name).write_bytes(b"nothing")
    out = tmp_path / "out"
    result = invoke(tmp_path / "a.tif", tmp_path / "b.png", "--out", out, "--model", tiny_model)
    assert result.exit_code == 2
    assert result.stderr.count("\n") == 1
    assert "a.tif" in result.stderr
    assert "1 more" in result.stderr
    assert not out.exists()
