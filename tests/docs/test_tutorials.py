"""The tutorial runs, and the site's reference names all that the package offers."""

from __future__ import annotations

from pathlib import Path

import pytest

import kikuchinet as kn

DOCS = Path(__file__).resolve().parents[2] / "docs"


def test_the_tutorial_runs(tmp_path):
    nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "tutorials" / "scan.ipynb", as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), (
        "outputs are made by make docs, not committed"
    )
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    texts = [
        output.get("text", "") + str(output.get("data", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    ]
    assert "report.html" in texts[-1]


def test_every_public_name_is_in_the_reference():
    listed = (DOCS / "api.md").read_text(encoding="utf-8").split()
    assert set(kn.__all__) - {"__version__"} <= set(listed)
