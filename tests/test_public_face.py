"""The public face: quick to import, complete, honest about its version."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kikuchinet as kn

ROOT = Path(__file__).resolve().parents[1]


def test_importing_loads_nothing_heavy():
    code = (
        "import sys, kikuchinet; "
        "print(sorted({'torch', 'numpy', 'numba', 'kikuchipy', 'hyperspy', 'scipy'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize("name", kn.__all__)
def test_every_public_name_is_there(name):
    assert getattr(kn, name) is not None


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="frobnicate"):
        kn.frobnicate  # noqa: B018


def test_dir_lists_what_is_not_loaded_yet():
    assert set(kn.__all__) <= set(dir(kn))


def test_the_lock_pins_every_dependency_and_names_no_host():
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["dev"] + extras["docs"]
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    pinned = set()
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)==[0-9][^\s;]*( ; .+)?", line)
        assert match, line
        pinned.add(re.sub(r"[-_.]+", "-", match[1]).lower())
    for requirement in wanted:
        name = re.match(r"[A-Za-z0-9._-]+", requirement)[0]
        assert re.sub(r"[-_.]+", "-", name).lower() in pinned


def test_version_is_the_packages():
    from importlib.metadata import version

    assert version("kikuchinet") == kn.__version__
