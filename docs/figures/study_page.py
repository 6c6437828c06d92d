"""Put a study into the documentation, or take what is there out again to go on with it.

    .venv/bin/python docs/figures/study_page.py STUDY
    .venv/bin/python docs/figures/study_page.py STUDY --restore

STUDY is the folder of `kikuchinet study`. Nothing is typed in: what stands between the two marks of docs/study.md is the
study's own study.md and its figures; docs/study/ gets its settings and every test pattern's answer, docs/images/study/ the
pictures. With --restore a new folder STUDY is made from these: `kikuchinet study --size cpu --out STUDY` teaches the
networks that are missing there and asks no others again.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import pandas as pd
from PIL import Image

from kikuchinet.study.gallery import FOLDER, TABLE_FILE
from kikuchinet.study.page import MARKDOWN_FILE
from kikuchinet.study.protocol import EXPERIMENTS
from kikuchinet.study.run import PREDICTIONS
from kikuchinet.study.study import SETTINGS_FILE

DOCS = Path(__file__).parents[1]
PAGE = DOCS / "study.md"
DATA = DOCS / "study"
IMAGES = DOCS / "images" / "study"
BEGIN = "<!-- study.md of the last run, put here by docs/figures/study_page.py -->"
END = "<!-- end of study.md -->"


def publish(study: Path) -> None:
    """Write the page, the answers and the pictures."""
    DATA.mkdir(exist_ok=True)
    IMAGES.mkdir(exist_ok=True)
    settings = (study / SETTINGS_FILE).read_bytes()
    if (DATA / SETTINGS_FILE).is_file() and (DATA / SETTINGS_FILE).read_bytes() != settings:
        for old in (*DATA.iterdir(), *IMAGES.iterdir()):
            old.unlink()
    (DATA / SETTINGS_FILE).write_bytes(settings)
    bars = []
    for name, experiment in EXPERIMENTS.items():
        path = study / name / PREDICTIONS
        if not path.is_file():
            continue
        text = pd.read_csv(path).to_csv(index=False, float_format="%.4f")
        # Without name and time, so that the same answers make the same file.
        (DATA / f"{name}.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
        title = f"Recall of each material, space groups as they are ({experiment.accuracy} in the paper)"
        bars.append(
            (name.removeprefix("fig"), study / name / "recall_literal.png", f"recall_{name}.png", title)
        )
    table = pd.read_csv(study / FOLDER / TABLE_FILE, keep_default_na=False, dtype=str)
    rows = bars + [
        (one.name_, study / one.file, Path(one.file).name, one.title)
        for one in table.rename(columns={"name": "name_"}).itertuples()
        if one.file
    ]
    known = DATA / TABLE_FILE
    listed = (
        {one.figure: (one.picture, one.title) for one in pd.read_csv(known, dtype=str).itertuples()}
        if known.is_file()
        else {}
    )
    for name, source, file, title in rows:
        # Few colours: a third of the bytes.
        Image.open(source).convert("RGB").quantize(128).save(IMAGES / file, optimize=True)
        listed[name] = (file, title)
    ordered = sorted(listed.items(), key=lambda one: (one[0].startswith("A"), _number(one[0]), one[0]))
    pd.DataFrame([(name, *rest) for name, rest in ordered], columns=["figure", "picture", "title"]).to_csv(
        known, index=False
    )
    pictures = "\n\n".join(
        f"**After Figure {name}.** {title}.\n\n![{title}](images/study/{file})"
        for name, (file, title) in ordered
    )
    before, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    _, after = rest.split(END)
    text = (study / MARKDOWN_FILE).read_text(encoding="utf-8").strip()
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n\n### Figures\n\n{pictures}\n{END}{after}", encoding="utf-8")


def restore(study: Path) -> None:
    """Make a study's folder from what is published."""
    study.mkdir(parents=True)
    (study / SETTINGS_FILE).write_bytes((DATA / SETTINGS_FILE).read_bytes())
    for path in DATA.glob("*.csv.gz"):
        folder = study / path.name.removesuffix(".csv.gz")
        folder.mkdir()
        (folder / PREDICTIONS).write_bytes(gzip.decompress(path.read_bytes()))


def _number(name: str) -> int:
    return int("".join(c for c in name.split(" ", maxsplit=1)[0] if c.isdigit()))


def main() -> None:
    """Do the one or the other."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path)
    parser.add_argument("--restore", action="store_true", help="make the folder from what is published")
    options = parser.parse_args()
    if options.restore:
        restore(options.study)
    else:
        publish(options.study)


if __name__ == "__main__":
    main()
