"""How `make docs` builds the site."""

from __future__ import annotations

import os
import re
from pathlib import Path

# Before anything is imported: a page must not open windows, and notebooks keep the user's cache out of the build.
os.environ.setdefault("MPLBACKEND", "agg")
ROOT = Path(__file__).resolve().parents[1]
VERSION = ROOT / "src" / "kikuchinet" / "_version.py"

project = "kikuchinet"
author = "The kikuchinet developers"
project_copyright = author
release = re.search(r'__version__ = "(.+?)"', VERSION.read_text(encoding="utf-8"))[1]

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "numpydoc",
    "myst_nb",
    "sphinxcontrib.mermaid",
]
exclude_patterns = ["figures", "images"]

autosummary_generate = True
autodoc_typehints = "none"
numpydoc_show_class_members = False
numpydoc_xref_param_type = False

myst_enable_extensions = ["dollarmath", "html_image"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
# Run anew with every build: what the pages show is what this code does.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 600
nb_merge_streams = True

html_theme = "pydata_sphinx_theme"
html_title = f"kikuchinet {release}"
html_show_sourcelink = False
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_theme_options = {"navigation_with_keys": False, "show_toc_level": 2, "header_links_before_dropdown": 5}


_NO_GUIDE = {"index", "guide", "api", "changelog", "contributing"}


def _fill(app: object, docname: str, source: list[str]) -> None:
    """Make the front page of README, whose links are right on a code host, and the guide of all pages that there are."""
    if docname == "guide":
        pages = sorted(page.stem for page in Path(__file__).parent.glob("*.md") if page.stem not in _NO_GUIDE)
        source[0] = source[0].replace("PAGES", "\n".join(pages))
    if docname != "index":
        return
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    for old, new in (("](docs/", "]("), ("(CHANGELOG.md)", "(changelog.md)"), ("(CONTRIBUTING.md)", "(contributing.md)")):
        text = text.replace(old, new)
    source[0] = text + source[0]


def setup(app: object) -> None:
    """Register what is above."""
    app.connect("source-read", _fill)  # type: ignore[attr-defined]
