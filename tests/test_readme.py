"""What README promises can be typed."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.main import get_command

import kikuchinet as kn
from kikuchinet.cli import app

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_command_is_listed_and_every_listed_command_exists():
    listed = set(re.findall(r"^\| `kikuchinet (\w+)", README, flags=re.MULTILINE))
    assert listed == set(get_command(app).commands)  # type: ignore[attr-defined]


def test_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for page in ("README.md", "CONTRIBUTING.md", "docs/architecture.md"):
        for target in re.findall(
            r"(?:^|`)make ([a-z]+)", (ROOT / page).read_text(encoding="utf-8"), re.MULTILINE
        ):
            assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_links_lead_somewhere():
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "docs" / "architecture.md"):
        for link in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            if "://" not in link:
                assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_example_runs(capsys):
    if not kn.list_models():
        pytest.skip("no model ships yet")
    (code,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    names: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["images"].shape == (10, 120, 120)  # type: ignore[attr-defined]
    assert len(names["result"].space_groups) == 10  # type: ignore[attr-defined]
    assert "space_group" in capsys.readouterr().out
