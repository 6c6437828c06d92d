"""How the command ends: status, one line on stderr, nothing half-written."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kikuchinet import __version__
from kikuchinet.cli import app

COMMANDS = ("identify", "crystals", "simulate", "generate", "train", "evaluate", "models", "benchmark")


def run(*words: object) -> subprocess.CompletedProcess[str]:
    """Run the real command in a process of its own."""
    command = [sys.executable, "-c", "from kikuchinet.cli import main; main()", *map(str, words)]
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)


def invoke(*words: object):
    return CliRunner().invoke(app, [str(word) for word in words])


def assert_one_line(result, *parts: str) -> None:
    stderr = result.stderr
    assert stderr.count("\n") == 1, stderr
    assert stderr.startswith("kikuchinet: error: "), stderr
    for part in parts:
        assert part in stderr


def test_version():
    result = invoke("--version")
    assert result.exit_code == 0
    assert result.stdout.strip() == f"kikuchinet {__version__}"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command):
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert f"kikuchinet {command}" in result.stdout  # an example


def test_help_names_every_command():
    result = invoke("--help")
    for command in COMMANDS:
        assert command in result.stdout


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["frobnicate"], "frobnicate"),
        (["identify", "--example"], "--out"),
        (["identify", "--out", "nowhere"], "--example"),
        (["crystals", "--space-group", "231"], "--space-group"),
        (["crystals", "Unobtainium"], "Unobtainium"),
        (["crystals", "--elements", "Xx"], "Xx"),
        (["crystals", "missing.cif"], "missing.cif"),
        (["simulate", "Unobtainium", "--out", "nowhere"], "Unobtainium"),
        (["simulate", "Ni", "--out", "nowhere", "--preset", "sloppy"], "sloppy"),
        (["simulate", "Ni", "Ni", "--out", "nowhere"], "twice"),
        (["generate", "--crystals", "Unobtainium", "--count", "1", "--out", "n.h5"], "Unobtainium"),
        (["generate", "--crystals", "Ni", "--count", "0", "--out", "n.h5"], "--count"),
        (["generate", "--crystals", "Ni", "--count", "1", "--out", "n.png"], "n.png"),
        (
            ["generate", "--crystals", "Ni", "--scan", "3x3", "--same-cameras", "--out", "n.h5"],
            "--same-cameras",
        ),
        (["train", "missing.toml", "--out", "nowhere"], "missing.toml"),
        (["evaluate", "no-such-model", "missing.csv", "--out", "nowhere"], "no-such-model"),
        (["models", "no-such-model"], "no-such-model"),
        (["benchmark", "frobnicate"], "frobnicate"),
    ],
)
def test_bad_usage_is_one_line_and_status_2(words, part, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = invoke(*words)
    assert result.exit_code == 2
    assert_one_line(result, part)
    assert list(tmp_path.iterdir()) == []


def _truncated_tiff(folder: Path) -> Path:
    whole = folder / "whole.tif"
    Image.fromarray(np.arange(64 * 64, dtype=np.uint16).reshape(64, 64)).save(whole)
    path = folder / "truncated.tif"
    path.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return path


def _nan_array(folder: Path) -> Path:
    path = folder / "nan.tif"
    Image.fromarray(np.full((64, 64), np.nan, dtype=np.float32)).save(path)
    return path


def _written(name: str, content: bytes):
    def make(folder: Path) -> Path:
        path = folder / name
        path.write_bytes(content)
        return path

    return make


def _empty_folder(folder: Path) -> Path:
    path = folder / "patterns"
    path.mkdir()
    return path


@pytest.mark.parametrize(
    "make",
    [
        lambda folder: folder / "missing.h5",
        _written("empty.tif", b""),
        _written("text.h5", b"These are no patterns.\n"),
        _written("text.txt", b"These are no patterns.\n"),
        _written("text.png", b"These are no patterns.\n"),
        _written("two\nlines.h5", b"\x1b[31mno"),
        _truncated_tiff,
        _nan_array,
        _empty_folder,
    ],
)
def test_bad_input_names_the_file_and_leaves_no_results(make, tmp_path, tiny_model):
    path = make(tmp_path)
    out = tmp_path / "out"
    result = invoke("identify", path, "--out", out, "--model", tiny_model)
    assert result.exit_code == 2
    assert_one_line(result, path.name.replace("\n", " "))
    assert "\x1b" not in result.stderr
    assert not out.exists()


def test_no_traceback_in_a_real_process(tmp_path):
    result = run("identify", tmp_path / "missing.h5", "--out", tmp_path / "out")
    assert result.returncode == 2
    assert_one_line(result, "missing.h5")
    assert result.stdout == ""


def test_out_is_a_file(tmp_path):
    out = tmp_path / "out"
    out.write_text("mine")
    result = invoke("identify", "--example", "--out", out)
    assert result.exit_code == 2
    assert_one_line(result, str(out))
    assert out.read_text() == "mine"


def test_unknown_device(tmp_path, tiny_model):
    result = invoke(
        "identify", "--example", "--out", tmp_path / "out", "--model", tiny_model, "--device", "abacus"
    )
    assert result.exit_code == 2
    assert_one_line(result, "abacus")


def test_a_damaged_model_is_not_used(tmp_path, tiny_model):
    folder = tmp_path / "model"
    folder.mkdir()
    for file in tiny_model.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    weights = bytearray((folder / "weights.safetensors").read_bytes())
    weights[-1] ^= 0xFF
    (folder / "weights.safetensors").write_bytes(bytes(weights))
    result = invoke("identify", "--example", "--out", tmp_path / "out", "--model", folder)
    assert result.exit_code == 2
    assert_one_line(result, "weights.safetensors")


def test_a_closed_pipe_is_met_with_silence():
    code = "from kikuchinet.cli import main; main()"
    process = subprocess.Popen(
        [sys.executable, "-c", code, "crystals"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == ""
    process.wait(60)
    process.stderr.close()


@pytest.mark.skipif(os.name == "nt", reason="signals as POSIX has them")
def test_ctrl_c_leaves_old_results_as_they_were(tmp_path, tiny_model):
    out = tmp_path / "out"
    out.mkdir()
    (out / "summary.json").write_text("old")
    folder = tmp_path / "patterns"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(300):
        Image.fromarray(rng.integers(0, 256, (40, 40), dtype=np.uint8)).save(folder / f"{number:04d}.png")
    # Nothing is answered before the signal has been sent.
    sent = tmp_path / "sent"
    code = (
        "import pathlib, time\n"
        "import kikuchinet.models.space_group_model as m\n"
        "own = m.SpaceGroupModel.outputs\n"
        "def outputs(self, images, **options):\n"
        "    print('working', flush=True)\n"
        f"    while not pathlib.Path({str(sent)!r}).exists():\n"
        "        time.sleep(0.02)\n"
        "    return own(self, images, **options)\n"
        "m.SpaceGroupModel.outputs = outputs\n"
        "from kikuchinet.cli import main\n"
        "main()\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, "identify", str(folder), "--out", str(out), "--model", str(tiny_model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "working\n"
    process.send_signal(signal.SIGINT)
    sent.touch()
    _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert stderr == "kikuchinet: interrupted\n"
    assert sorted(path.name for path in out.iterdir()) == ["summary.json"]
    assert (out / "summary.json").read_text() == "old"
