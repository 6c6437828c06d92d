"""The page of a study, and a study gone on with from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from PIL import Image

FIGURES = Path(__file__).resolve().parents[2] / "docs" / "figures"


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Return the script, with a documentation of its own."""
    spec = importlib.util.spec_from_file_location("study_page", FIGURES / "study_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    docs = tmp_path / "docs"
    (docs / "images").mkdir(parents=True)
    monkeypatch.setattr(module, "PAGE", docs / "study.md")
    monkeypatch.setattr(module, "DATA", docs / "study")
    monkeypatch.setattr(module, "IMAGES", docs / "images" / "study")
    module.PAGE.write_text(f"before\n{module.BEGIN}\nold\n{module.END}\nafter\n", encoding="utf-8")
    return module


def _study(
    folder: Path, names: tuple[str, ...], figures: tuple[tuple[str, str], ...], settings: str = "{}"
) -> None:
    rng = np.random.default_rng(0)
    (folder / "figures").mkdir(parents=True)
    (folder / "settings.json").write_text(settings, encoding="utf-8")
    (folder / "study.md").write_text("| a | table |\n", encoding="utf-8")
    picture = Image.fromarray(rng.integers(0, 255, (20, 30, 3), dtype=np.uint8))
    for name in names:
        (folder / name).mkdir()
        pd.DataFrame(
            {
                "material": ["Al", "Si"],
                "right": [True, False],
                "p_225": rng.random(2),
                "file": "a.h5",
                "index": [0, 1],
            }
        ).to_csv(folder / name / "predictions.csv", index=False)
        picture.save(folder / name / "recall_literal.png")
    rows = []
    for name, file in figures:
        if file:
            picture.save(folder / file)
        rows.append({"name": name, "file": file, "title": f"Title {name}", "command": "c", "reason": ""})
    pd.DataFrame(rows).to_csv(folder / "figures" / "figures.csv", index=False)


def test_what_is_published_can_be_gone_on_with(page: ModuleType, tmp_path: Path) -> None:
    study = tmp_path / "study"
    _study(
        study,
        ("fig2", "fig10"),
        (("1", "figures/figure_1.png"), ("A8 mad_deg", "figures/figure_A8_mad_deg.png")),
    )
    page.publish(study)
    text = page.PAGE.read_text(encoding="utf-8")
    assert text.startswith("before")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "| a | table |" in text
    order = [text.index(f"**After Figure {name}.**") for name in ("1", "2", "10", "A8 mad_deg")]
    assert order == sorted(order)
    for name in ("figure_1", "recall_fig2", "recall_fig10", "figure_A8_mad_deg"):
        assert f"images/study/{name}.png" in text
        assert Image.open(page.IMAGES / f"{name}.png").size == (30, 20)
    page.restore(tmp_path / "again")
    assert (tmp_path / "again" / "settings.json").read_text(encoding="utf-8") == "{}"
    for name in ("fig2", "fig10"):
        before, after = (pd.read_csv(tmp_path / one / name / "predictions.csv") for one in ("study", "again"))
        pd.testing.assert_frame_equal(before, after, atol=6e-5)


def test_a_later_part_adds_and_another_study_replaces(page: ModuleType, tmp_path: Path) -> None:
    _study(tmp_path / "one", ("fig2",), (("8", "figures/figure_8.png"), ("A9", "")))
    page.publish(tmp_path / "one")
    _study(tmp_path / "two", ("fig2", "fig4"), (("8", ""), ("A9", "figures/figure_A9.png")))
    page.publish(tmp_path / "two")
    text = page.PAGE.read_text(encoding="utf-8")
    # A picture that cannot be made again, for the network is not there, stays.
    assert all(f"**After Figure {name}.**" in text for name in ("2", "4", "8", "A9"))
    _study(tmp_path / "three", ("fig7",), (), settings='{"size": 1}')
    (tmp_path / "three" / "figures" / "figures.csv").write_text(
        "name,file,title,command,reason\n", encoding="utf-8"
    )
    page.publish(tmp_path / "three")
    text = page.PAGE.read_text(encoding="utf-8")
    assert "**After Figure 7.**" in text
    assert "**After Figure 8.**" not in text
    assert {path.name for path in page.DATA.iterdir()} == {"settings.json", "fig7.csv.gz", "figures.csv"}
