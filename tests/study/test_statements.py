"""The paper's statements against tables whose answers are known, and the page that shows them."""

from __future__ import annotations

from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pandas as pd
import pytest

from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.study.gallery import StudyFigure
from kikuchinet.study.page import write_page
from kikuchinet.study.protocol import EXPERIMENTS
from kikuchinet.study.run import ExperimentResult
from kikuchinet.study.settings import CPU_SIZE, PAPER_SIZE, QUICK
from kikuchinet.study.statements import find_statements

GROUP = {name: group for group, names in PAPER_MATERIALS.items() for name in names}


def result(name: str, answers: dict[str, list[int]], folder: Path = Path()) -> ExperimentResult:
    """An experiment in which every material is answered rightly, but for those that are given."""
    rows = [
        (material, group, answer)
        for material, group in GROUP.items()
        for answer in answers.get(material, [group] * 20)
    ]
    frame = pd.DataFrame(rows, columns=["material", "space_group", "answer"])
    frame["right"] = frame["answer"] == frame["space_group"]
    return ExperimentResult(EXPERIMENTS[name], folder, frame)


def found(*results: ExperimentResult) -> dict[tuple[str, str], object]:
    return {(one.experiment, one.states.split(".")[0]): one for one in find_statements(results)}


def test_everything_right_is_told_from_what_the_paper_saw() -> None:
    findings = found(result("fig2", {}), result("fig7", {}), result("fig10", {}))
    accuracy = findings["fig10", "Overall accuracy 93 % with all 18 materials taught"]
    assert accuracy.ours.startswith("100.0% (")
    assert accuracy.same  # within 10 points
    assert findings["fig2", "Overall accuracy 51"].same is False
    assert findings["fig2", "Better than chance on 6 of the 12 unseen materials"].ours == "12 of 12"
    assert findings["fig7", "Only Al and W are below chance"].ours == "none"
    assert not any(key[0] == "fig4" for key in findings)


def test_the_papers_own_outcome_is_the_same() -> None:
    wrong = {name: [225] * 20 for name in ("Al", "W")}
    wrong["Al"] = [221] * 18 + [225] * 2
    finding = found(result("fig7", wrong))["fig7", "Only Al and W are below chance"]
    assert finding.ours == "Al, W"
    assert finding.same
    assert "lighter" in finding.why
    # FeAl and NiAl in fig2, half and half to 229 and 230.
    b2 = {name: [229] * 10 + [230] * 6 + [221] * 4 for name in ("FeAl", "NiAl")}
    finding = found(result("fig2", b2))["fig2", "FeAl and NiAl are taken for 229 and 230"]
    assert finding.ours == "80% of FeAl, 80% of NiAl to 229 or 230"
    assert finding.same
    nearly_half = found(result("fig6", {"NiAl": [229] * 9 + [221] * 11}))
    assert nearly_half["fig6", "Nearly half of NiAl goes to 229"].ours == "45% of NiAl to 229"
    assert nearly_half["fig6", "Nearly half of NiAl goes to 229"].same
    assert nearly_half["fig6", "B2 goes to 229"].ours == "commonest wrong answer 229, 100% of all wrong ones"


def test_comparisons_need_the_first_experiment() -> None:
    better = result("fig6", {})
    alone = found(better)["fig6", "With Fe in place of Ta the light 229 is found better"]
    assert alone.same is None
    assert alone.why == ""
    with_first = found(result("fig2", {"Fe": [221] * 15 + [229] * 5}), better)
    finding = with_first["fig6", "With Fe in place of Ta the light 229 is found better"]
    assert finding.ours == "Fe: 25% in fig2, 100% here"
    assert finding.same


def test_a_material_that_was_not_tested_leaves_a_statement_open() -> None:
    finding = found(result("fig2", {"Al4Ni3": []}))["fig2", "Al4Ni3 is found in 95 % of cases"]
    assert finding.same is None
    assert finding.ours == "no test patterns of Al4Ni3"


def test_errors_are_counted_without_the_right_answers() -> None:
    wrong = {"Fe": [225] * 20, "Ge": [221] * 20, "W": [225] * 12 + [229] * 8}
    finding = found(result("fig4", wrong))["fig4", "Errors of the other groups' materials go to 225"]
    assert finding.ours == "commonest wrong answer 225, 62% of all wrong ones"  # 32 of 52
    assert finding.same


class Sources(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.loaded: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in {"script", "link", "iframe"}:
            self.loaded.append(tag)
        self.loaded += [str(value) for key, value in attrs if key in {"src", "srcset"}]


@pytest.mark.parametrize("settings", [PAPER_SIZE, CPU_SIZE, QUICK])
def test_page(tmp_path: Path, settings) -> None:
    (tmp_path / "fig2").mkdir()
    for name in ("fig2/recall_literal.png", "figure_1.png"):
        (tmp_path / name).write_bytes(b"\x89PNG picture")
    one = result("fig2", {}, tmp_path / "fig2")
    figures = [
        StudyFigure("1", "figure_1.png", "Al <and> Ni", "kikuchinet study", ""),
        StudyFigure("8", "", "NbC and Ni3Al", "kikuchinet study", "NbC: has no test pattern"),
    ]
    write_page([one], figures, tmp_path, settings, simulated=True, command="kikuchinet study <x>")
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    parser = Sources()
    parser.feed(page)
    assert len(parser.loaded) == 2
    assert all(source.startswith("data:image/png;base64,") for source in parser.loaded)
    assert "Al &lt;and&gt; Ni" in page
    assert "kikuchinet study &lt;x&gt;" in page
    assert "NbC: has no test pattern" in page
    assert "Not run yet: fig4, fig5, fig6, fig7, fig10" in page
    text = (tmp_path / "study.md").read_text(encoding="utf-8")
    for words in (page, text):
        assert "reproduction of measured data" in " ".join(words.split())
        assert "100.0% (" in words  # from the table of predictions
        assert ("Quick" in words) == (settings is QUICK)
        assert ("not judged" in words) == (settings is QUICK)
        assert ('<td class="verdict">different' in words or "| different |" in words) == (
            settings is not QUICK
        )
        assert ("where the paper's network saw" in words) == (settings is CPU_SIZE)


def test_what_counts_as_a_study_that_can_be_judged() -> None:
    assert PAPER_SIZE.judged
    assert CPU_SIZE.judged
    assert not QUICK.judged
    assert not replace(PAPER_SIZE, max_epochs=10).judged


def test_a_page_on_given_patterns_claims_nothing_of_simulation(tmp_path: Path) -> None:
    (tmp_path / "fig2").mkdir()
    (tmp_path / "fig2/recall_literal.png").write_bytes(b"\x89PNG picture")
    write_page([result("fig2", {}, tmp_path)], [], tmp_path, PAPER_SIZE, simulated=False, command="")
    page = (tmp_path / "study.html").read_text(encoding="utf-8")
    assert "All patterns here are simulated" not in page
    assert "were given by whoever ran this study" in page
