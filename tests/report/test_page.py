"""The page in a browser: chosen points, keys, names that would be code, no network, accessibility."""

from __future__ import annotations

import base64
import io
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from orix.quaternion import Rotation
from PIL import Image
from typer.testing import CliRunner

import kikuchinet as kn
from kikuchinet.cli import app
from kikuchinet.identification import (
    CandidateFit,
    IdentificationResult,
    PhaseFit,
    SourceAnswer,
    identify,
    write_results,
)
from kikuchinet.identification.band_grains import BandShare
from kikuchinet.identification.grains import Grains
from kikuchinet.microscope import Detector
from kikuchinet.models import Identification, load_model
from kikuchinet.patterns import PatternSource, example_patterns
from kikuchinet.report import write_report
from kikuchinet.report._grids import POINTS, page_data, thinning
from kikuchinet.report._samples import MOST, chosen
from kikuchinet.report._text import shown
from kikuchinet.report.page import view

CLASSES = (221, 223, 225, 227, 229, 230)
ROWS, COLUMNS = 12, 17
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&\u202egnp.h5\u2066"


def scan(card, rows=ROWS, columns=COLUMNS) -> IdentificationResult:
    """Return answers for a scan whose left part is 225, the right 229, with one point without an answer."""
    n = rows * columns
    rng = np.random.default_rng(0)
    images = (rng.random((n, 40, 40)) * 255).astype(np.uint8)
    probabilities = np.full((n, 6), 0.01)
    column = np.arange(n) % columns
    leading = np.where(column < columns // 2, 2, 4)
    probabilities[np.arange(n), leading] = rng.uniform(0.6, 0.99, n)
    probabilities[columns + 3] = 1 / 6
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    groups = np.asarray(CLASSES)[leading]
    groups[columns + 3] = 0
    reasons = ["" if group else "probability 0.17 is below 0.50" for group in groups]
    source = PatternSource(
        EVIL,
        [EVIL] * n,
        lambda first, last: list(images[first:last]),
        (rows, columns),
        rows=np.arange(n) // columns + 100,
        columns=column + 200,
        step=(1.0, 1.0),
    )
    answers = Identification(CLASSES, probabilities, groups, tuple(reasons))
    grains = Grains((column >= columns // 2).astype(np.int64))
    return IdentificationResult((SourceAnswer(source, answers, rng.random(n), grains),), card, {"note": EVIL})


@pytest.fixture(scope="module")
def model(tiny_model):
    return load_model(tiny_model, device="cpu")


@pytest.fixture(scope="module")
def written(tmp_path_factory, model) -> tuple[Path, IdentificationResult]:
    folder = tmp_path_factory.mktemp("page")
    result = scan(model.card)
    write_results(result, folder)
    return write_report(result, folder, model), result


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if program is None:
        pytest.skip("no Chromium on this machine: install Debian's package chromium to test the page in it")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture
def page(browser, written):
    context = browser.new_context(viewport={"width": 1200, "height": 900})
    opened = context.new_page()
    trouble: list[str] = []
    opened.on("console", lambda message: trouble.append(message.text))
    opened.on("pageerror", lambda error: trouble.append(str(error)))
    opened.on("dialog", lambda dialog: (trouble.append("a dialog: code ran"), dialog.dismiss()))
    opened.on(
        "request", lambda request: request.url.startswith(("file:", "data:")) or trouble.append(request.url)
    )
    opened.goto(written[0].as_uri())
    yield opened
    context.close()
    assert trouble == []


def test_a_click_shows_the_point(page, written):
    box = page.locator("#stage").bounding_box()
    row, column = 5, 11
    page.locator("#stage").click(
        position={"x": (column + 0.5) * box["width"] / COLUMNS, "y": (row + 0.5) * box["height"] / ROWS}
    )
    assert page.locator("#chosen-title").inner_text() == f"Row {100 + row}, column {200 + column}"
    truth = written[1].identification.probabilities[row * COLUMNS + column]
    values = page.locator("#chosen-bars .value").all_inner_texts()
    shares = [float(re.sub(r"[^\d.]", "", text)) / 100 for text in values]
    assert shares == pytest.approx(sorted(truth, reverse=True), abs=6e-4)
    assert "229" in page.locator("#chosen-answer").inner_text()
    # As patterns.csv and grains.csv count them.
    row_of_table = written[1].patterns.iloc[row * COLUMNS + column]
    assert (row_of_table["row"], row_of_table["column"], row_of_table["grain"]) == (
        100 + row,
        200 + column,
        1,
    )
    assert page.locator("#chosen-facts dt").all_inner_texts() == ["Quality", "Grain 1"]
    page.evaluate("choose(0)")
    assert page.locator("#chosen-facts dt").all_inner_texts() == ["Quality", "Grain 0"]


def test_the_table_of_a_map_counts_as_patterns_csv_does(written):
    (table,) = view(written[1], written[0].parent)["tables"]
    assert [name for name, _ in table["rows"]] == [str(100 + row) for row in range(ROWS)]
    assert table["columns"] == [str(200 + column) for column in range(COLUMNS)]


def test_orientations_are_called_unknown_only_where_they_are(written):
    path, result = written

    def caption(fits):
        (shown_map,) = view(replace(result, fits=fits), path.parent)["maps"]
        return shown_map["caption"]

    def fitted(places):
        n = len(places)
        fit = CandidateFit(
            kn.crystals["Ni"],
            "library",
            0.5,
            Rotation.from_euler(np.tile([[30.0, 40.0, 50.0]], (n, 1)), degrees=True),
            np.tile([0.5, 0.5, 0.6], (n, 1)),
            np.full(n, 0.4),
            np.full(n, 20.0),
        )
        return (PhaseFit(0, 225, places, (fit,), Detector((40, 40)), "given"),)

    assert "Orientations are not known and stand there as identity." in caption(())
    some = caption(fitted(np.arange(3)))
    assert "not known" not in some
    assert "known for the 3 patterns to which a crystal was fitted" in some
    assert "identity" not in caption(fitted(np.arange(ROWS * COLUMNS)))


def test_keys_move_the_focus_and_a_reader_hears_the_point(page):
    cell = page.locator("#grid [role=gridcell]")
    cell.focus()
    page.keyboard.press("Control+Home")
    for key in ("ArrowDown", "ArrowRight", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    assert cell.count() == 1
    assert cell.get_attribute("aria-label") == "Row 101, column 203"
    assert page.evaluate("document.activeElement.getAttribute('role')") == "gridcell"
    assert page.locator("#grid [role=row]").get_attribute("aria-rowindex") == "2"
    page.locator(
        "#live", has_text="Row 101, column 203: no answer (probability 0.17 is below 0.50)"
    ).wait_for(state="attached")
    page.keyboard.press("End")
    assert cell.get_attribute("aria-label") == f"Row 101, column {200 + COLUMNS - 1}"
    page.keyboard.press("ArrowRight")
    assert cell.get_attribute("aria-label") == f"Row 101, column {200 + COLUMNS - 1}"


def test_pictures_where_there_are_some_and_the_command_where_not(page, written):
    pictured = page.evaluate("data.grids[0].pictures")
    assert 0 < len(pictured) <= MOST < ROWS * COLUMNS
    page.locator("#next").click()
    assert page.locator("#chosen-pictures img[data-kind=recorded]").count() == 1
    assert page.locator("#chosen-none").is_hidden()
    hot = page.locator("tr:has(img[data-kind=heat])").first.get_attribute("data-pattern")
    page.evaluate(f"choose({hot})")
    assert page.locator("#chosen-pictures img[data-kind=heat]").count() == 1
    bare = next(i for i in range(ROWS * COLUMNS) if str(i) not in pictured)
    page.evaluate(f"choose({bare})")
    assert page.locator("#chosen-pictures img").count() == 0
    row, column = divmod(bare, COLUMNS)
    command = page.locator("#chosen-command").inner_text()
    assert f"--roi {100 + row}:{101 + row},{200 + column}:{201 + column}" in command


@pytest.mark.parametrize(
    "options", [(), ("--bands", "off"), ("--pc", "0.42,0.78,0.5", "--convention", "tsl")]
)
def test_the_command_of_a_point_runs_and_asks_the_same_model(browser, tmp_path, options):
    run = CliRunner()
    out = tmp_path / "whole"
    words = ["identify", "--example", "--out", str(out), "--physics", "0", *options]
    assert run.invoke(app, words).exit_code == 0
    context = browser.new_context()
    opened = context.new_page()
    opened.goto((out / "report.html").as_uri())
    program, *words = shlex.split(opened.evaluate("command(4)"))
    context.close()
    assert program == "kikuchinet"
    words[words.index("point")] = str(tmp_path / "point")
    result = run.invoke(app, words)
    assert result.exit_code == 0, result.output
    whole, point = (pd.read_csv(folder / "patterns.csv") for folder in (out, tmp_path / "point"))
    assert point[["index", "row", "column"]].to_numpy().tolist() == [[4, 1, 1]]
    assert point["answered_by"][0] == whole["answered_by"][4]
    # The bands of a pattern that is read alone give a slightly different number.
    if point["answered_by"][0] == "whole pattern":
        assert point["probability"][0] == pytest.approx(whole["probability"][4], abs=1e-3)


def test_the_command_names_what_the_run_named(model, tmp_path):
    result = scan(model.card)
    (answer,) = result.answers
    n = len(answer.source)
    read = np.arange(n) < 2
    detector = Detector((40, 40), (0.4, 0.3, 0.6))
    named = {"model": "my models/tiny", "read_bands": "my bands"}

    def commands(settings, geometry="file", speaks=read):
        found = replace(answer, bands=BandShare(speaks, speaks, None))
        bands = SimpleNamespace(source=0, detector=detector, geometry=geometry)
        (grid,) = page_data(replace(result, answers=(found,), bands=(bands,), settings=settings), {})["grids"]
        return [grid.get(name, "").partition(" --")[2] for name in ("command", "band_command")]

    assert commands(named) == [
        "model 'my models/tiny' --out point",
        "model 'my models/tiny' --bands 'my bands' --out point",
    ]
    assert commands(named, speaks=np.zeros(n, dtype=bool))[1] == ""
    # What was sought in many patterns is not found in one.
    assert "--pc 0.4,0.3,0.6 --out" in commands(named, "sought")[1]
    given = commands({**named, "pattern_center": "0.4,0.7,0.6", "convention": "edax"}, "given")
    assert all("--pc 0.4,0.7,0.6 --convention edax" in command for command in given)
    file = tmp_path / "two.h5"
    file.touch()
    two = replace(answer, source=replace(answer.source, name=f"{file}, scan 2"))
    (grid,) = page_data(replace(result, answers=(two,)), {})["grids"]
    assert grid["command"].startswith(f"kikuchinet identify {file} --")


def test_the_map_has_the_colours_of_its_legend(page):
    def pixel(column: int, row: int) -> tuple[int, ...]:
        png = page.evaluate("element('canvas').toDataURL()").partition(",")[2]
        return Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA").getpixel((column, row))

    colours = {item["number"]: item["colour"] for item in page.evaluate("data.classes")}
    rgb = lambda text: (*(int(text[at : at + 2], 16) for at in (1, 3, 5)), 255)  # noqa: E731
    assert pixel(0, 0) == rgb(colours[225])
    assert pixel(COLUMNS - 1, 0) == rgb(colours[229])
    assert pixel(3, 1) == (0, 0, 0, 0)
    page.get_by_label("Quality", exact=True).check()
    red, green, blue, _ = pixel(0, 0)
    assert red == green == blue


def test_names_are_text(page):
    assert page.locator("script").count() == 2
    assert "\u202e" not in page.content()
    assert "⟨U+202E⟩gnp.h5" in page.locator("body").inner_text()


def test_no_violation_of_axe(browser, written):
    import axe_playwright_python

    (script,) = Path(axe_playwright_python.__file__).parent.rglob("axe.min.js")
    for scheme in ("light", "dark"):
        context = browser.new_context(color_scheme=scheme)
        opened = context.new_page()
        opened.goto(written[0].as_uri())
        found = opened.evaluate(script.read_text(encoding="utf-8") + "; axe.run()")
        assert [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]] == []
        assert len(found["passes"]) > 20
        context.close()


def test_narrow_and_printed(browser, written):
    context = browser.new_context(viewport={"width": 340, "height": 700})
    opened = context.new_page()
    opened.goto(written[0].as_uri())
    assert opened.evaluate("document.documentElement.scrollWidth") <= 340
    opened.emulate_media(media="print", color_scheme="dark")
    assert opened.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert opened.locator("#choices").is_hidden()
    context.close()


def test_patterns_that_are_no_scan_stand_in_order(browser, model, tmp_path):
    images = list(example_patterns())[:5]
    names = [f"{i}.png" for i in range(5)]
    source = PatternSource("folder", names, lambda first, last: images[first:last])
    answer = SourceAnswer(source, model.identify(images), np.zeros(5))
    path = write_report(IdentificationResult((answer,), model.card), tmp_path, model)
    context = browser.new_context()
    opened = context.new_page()
    opened.goto(path.as_uri())
    opened.locator("#grid [role=gridcell]").focus()
    opened.keyboard.press("Control+End")
    assert opened.locator("#chosen-title").inner_text() == "Pattern 4: 4.png"
    assert "pattern 4" in opened.locator('tr[data-pattern="4"] th').inner_text()
    context.close()


def test_a_pattern_that_cannot_be_read_has_its_reason_and_no_picture(model, tmp_path):
    rng = np.random.default_rng(4)
    for i in range(3):
        picture = (rng.random((60, 80)) * 255).astype(np.uint8)
        Image.fromarray(picture).save(tmp_path / f"{i}.png")
    cut = (tmp_path / "0.png").read_bytes()
    (tmp_path / "0.png").write_bytes(cut[: len(cut) // 2])
    result = identify(tmp_path, model, on_error="skip")
    assert np.asarray(result.answers[0].source[0]).shape == (60, 80)
    shown_of = view(result, tmp_path, model)
    (source,) = shown_of["inputs"]
    assert source["pixels"] == "60 × 80"
    first, second, _ = shown_of["samples"]
    assert first["recorded"] == first["heat"] == ""
    assert first["unread"]
    assert first["reason"] == f"cannot be read: {first['unread']}"
    assert second["recorded"]
    assert second["unread"] == ""
    page = write_report(result, tmp_path, model).read_text(encoding="utf-8")
    assert page.count('data-kind="recorded"') == 2


def test_the_page_of_a_large_scan_is_bounded(written, model, tmp_path):
    path, result = written
    rows, columns = 600, 800
    n = rows * columns
    (answer,) = result.answers
    repeated = np.resize(np.arange(ROWS * COLUMNS), n)
    many = Identification(
        CLASSES,
        answer.identification.probabilities[repeated],
        answer.identification.space_groups[repeated],
        ("",) * n,
    )
    source = replace(
        answer.source,
        names=[EVIL] * n,
        read=lambda first, last: [np.random.default_rng(first).random((40, 40))] * (last - first),
        navigation_shape=(rows, columns),
        rows=np.arange(n) // columns,
        columns=np.arange(n) % columns,
    )
    large = IdentificationResult((SourceAnswer(source, many, answer.quality[repeated]),), model.card)
    shutil.copy(path.parent / "map.png", tmp_path)
    size = write_report(large, tmp_path).stat().st_size
    assert thinning([(rows, columns)]) == 2
    # 31 bytes a point, as base64, and pictures of no more patterns than any page has.
    assert size < path.stat().st_size + 4 / 3 * 31 * POINTS


def test_what_is_chosen_holds_best_worst_and_borderline_of_every_answer():
    rng = np.random.default_rng(1)
    values = rng.dirichlet(np.ones(6), size=3000)
    groups = np.asarray(CLASSES)[values.argmax(axis=1)]
    answers = Identification(CLASSES, values, groups, ("",) * 3000)
    picked = chosen(answers, [(0, (50, 60))], always=[17])
    assert len(picked) <= MOST
    assert 17 in picked
    ordered = np.sort(values, axis=1)
    for group in CLASSES:
        members = np.flatnonzero(groups == group)
        for figure in (ordered[:, -1], -ordered[:, -1], ordered[:, -2] - ordered[:, -1]):
            assert members[figure[members].argmax()] in picked
    assert {row * 60 + column for row in (5, 25, 45) for column in (6, 30, 54)} <= set(picked.tolist())


def test_unseen_characters_are_shown():
    assert shown("a\u202eb\x00\udc80\u2028") == "a⟨U+202E⟩b⟨U+0000⟩⟨U+DC80⟩⟨U+2028⟩"
    assert shown("Überstrukturen 鉄 שלום") == "Überstrukturen 鉄 שלום"
