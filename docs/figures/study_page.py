"""Put a study's own comparison with the paper into docs/study.md.

    .venv/bin/python docs/figures/study_page.py STUDY

STUDY is the folder of `kikuchinet study`. Nothing is typed in: what stands between the two marks is its study.md.
"""

from __future__ import annotations

import argparse
from pathlib import Path

PAGE = Path(__file__).parents[1] / "study.md"
BEGIN = "<!-- study.md of the last run, put here by docs/figures/study_page.py -->"
END = "<!-- end of study.md -->"


def main() -> None:
    """Replace what stands between the marks."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", type=Path)
    options = parser.parse_args()
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = (options.study / "study.md").read_text(encoding="utf-8").strip()
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
