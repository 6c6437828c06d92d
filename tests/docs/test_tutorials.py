"""The tutorials run, and the site's reference names all that the package offers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import kikuchinet as kn

DOCS = Path(__file__).resolve().parents[2] / "docs"


def executed(name: str, folder: Path) -> list[str]:
    """Run a notebook in a folder and return what its cells print."""
    nbformat = pytest.importorskip("nbformat", reason="the extra docs is not installed")
    from nbclient import NotebookClient

    notebook = nbformat.read(DOCS / "tutorials" / name, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), (
        "outputs are made by make docs, not committed"
    )
    NotebookClient(notebook, timeout=900, resources={"metadata": {"path": str(folder)}}).execute()
    return [
        output.get("text", "") + str(output.get("data", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    ]


def test_a_scan_from_start_to_finish(tmp_path):
    assert "report.html" in executed("scan.ipynb", tmp_path)[-1]


@pytest.mark.slow
def test_training_from_cifs(tmp_path):
    """The network that the tutorial trains is as good as its text needs it to be."""
    texts = executed("train.ipynb", tmp_path)
    right = next(re.search(r"right: (0\.\d+|1\.0+) of (\d+)", text) for text in texts if "right: " in text)
    assert right is not None
    assert float(right[1]) > 0.85
    assert int(right[2]) == 12 * 16


def test_every_public_name_is_in_the_reference():
    listed = (DOCS / "api.md").read_text(encoding="utf-8").split()
    assert set(kn.__all__) - {"__version__"} <= set(listed)
