"""Damaged files of every format: a line, never a traceback, a crash, a hang, or gigabytes.

Some by default; ``make fuzz`` tries thousands (KIKUCHINET_FUZZ says how many, KIKUCHINET_FUZZ_FIRST the first seed).
"""

from __future__ import annotations

import importlib.util
import json
import os
import selectors
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEEDS = int(os.environ.get("KIKUCHINET_FUZZ", "120"))
FIRST = int(os.environ.get("KIKUCHINET_FUZZ_FIRST", "0"))
MOST_MB = 2048
MOST_S = 60.0
"""For files of a few kB that take some ms; a machine may be busy."""

_READER = """
import json, sys, time
from pathlib import Path
from kikuchinet.errors import InputError
from kikuchinet.identification.blocks import plan
from kikuchinet.patterns import open_patterns, preprocess, quality, read_patterns

def peak(reset=False):
    if reset:
        Path("/proc/self/clear_refs").write_text("5")
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

def look(path):
    sources, failures = open_patterns([path])
    good = 0
    for source in sources:
        for block in plan([source])[:4]:
            images, failed = source.salvage(block.first, block.last)
            preprocess(images, (64, 64)), quality(images)
            good += len(block) - len(failed)
        source.geometry
    for error in failures:
        assert isinstance(error, InputError) and str(path) in error.subject, (error.subject, error.cause)
        assert error.cause and "\\n" not in error.cause, error.cause
    return good, len(failures)

print("ready", flush=True)
for line in sys.stdin:
    before = peak(reset=True)
    start = time.monotonic()
    try:
        good, failures = look(Path(line.rstrip("\\n")))
        said = {"good": good, "failures": failures}
    except BaseException as error:
        import traceback
        said = {"error": traceback.format_exc()}
    print(json.dumps(said | {"mb": peak() - before, "s": time.monotonic() - start}), flush=True)
"""


def _fuzzing():
    place = Path(__file__).with_name("fuzzing.py")
    spec = importlib.util.spec_from_file_location("fuzzing", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Reader:
    """A process that reads files, so that a crash or a hang is told from an error."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _READER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._line(120.0) == "ready"

    def _line(self, seconds: float) -> str:
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            if not selector.select(seconds):
                return "hangs"
        return self.process.stdout.readline().strip() or "crashed"

    def read(self, path: Path) -> dict:
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        line = self._line(MOST_S)
        return json.loads(line) if line.startswith("{") else {"error": line, "mb": 0.0, "s": 0.0}

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="memory is measured as Linux does")
def test_damaged_files_of_every_format(tmp_path):
    fuzzing = _fuzzing()
    good = fuzzing.write_good_files(tmp_path / "good")
    reader = Reader()
    faults, read, refused = [], 0, 0
    start = time.monotonic()
    try:
        for path in good:
            said = reader.read(path)
            assert said.get("good"), (path, said)
            assert not said["failures"], (path, said)
        for seed in range(FIRST, FIRST + SEEDS):
            path, done = fuzzing.damaged(good, seed, tmp_path)
            said = reader.read(path)
            if "error" in said or said["mb"] > MOST_MB:
                faults.append(f"seed {seed}, {done}: {said.get('error', '')} {said['mb']:.0f} MB")
                if said.get("error") in {"crashed", "hangs"}:
                    reader.close()
                    reader = Reader()
            else:
                read += bool(said["good"])
                refused += bool(said["failures"])
    finally:
        reader.close()
    print(f"{SEEDS} files in {time.monotonic() - start:.0f} s: {read} gave patterns, {refused} a line")
    assert not faults, f"{len(faults)} faults\n" + "\n".join(faults[:40])
    assert read
    assert refused
