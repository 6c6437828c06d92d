"""``kikuchinet identify``, end to end on measured patterns with a small untrained model."""

from __future__ import annotations

import csv
import json
import sys
import warnings
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kikuchinet.cli import app
from kikuchinet.models.openvino_runtime import installed

# The columns as the design fixes them.
# fmt: off
COLUMNS = [
    "source", "index", "row", "column", "space_group", "symbol", "probability", "point_group", "bravais_lattice",
    "crystal_system", "abstained", "reason", "second_space_group", "second_probability", "quality",
]
# fmt: on
# fmt: off
MORE_COLUMNS = [
    "answered_by", "grain", "grain_space_group", "grain_probability", "grain_sure_level", "grain_sure_value",
    "grain_answered_by", "candidate", "correlation", "phi1_deg", "Phi_deg", "phi2_deg",
]
# fmt: on
FILES = [
    "confidence_map.png",
    "crystal_map.h5",
    "grains.csv",
    "map.png",
    "patterns.csv",
    "phase_map.png",
    "quality_map.png",
    "report.html",
    "summary.json",
]


def identify(*words: object):
    result = CliRunner().invoke(app, ["identify", *map(str, words)])
    assert result.exit_code == 0, result.output
    return result


@pytest.fixture(scope="module")
def example(tmp_path_factory, tiny_model):
    out = tmp_path_factory.mktemp("example") / "out"
    result = identify(
        "--example", "--out", out, "--model", tiny_model, "--elements", "Ni,Al,Fe", "--physics", "0"
    )
    return out, result


def rows_of(out: Path) -> list[dict[str, str]]:
    with (out / "patterns.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_files(example):
    out, _ = example
    assert sorted(path.name for path in out.iterdir()) == FILES


def test_patterns_csv(example):
    out, _ = example
    rows = rows_of(out)
    assert list(rows[0]) == COLUMNS + MORE_COLUMNS
    assert [(row["index"], row["row"], row["column"]) for row in rows] == [
        (str(i), str(i // 3), str(i % 3)) for i in range(9)
    ]
    assert {row["abstained"] for row in rows} == {"true", "false"}
    for row in rows:
        answered = row["abstained"] == "false"
        assert (row["space_group"] != "") == answered
        assert (row["symbol"] != "") == answered
        assert (row["reason"] == "") == answered
        if answered:
            assert row["point_group"] == "m-3m"
            assert row["crystal_system"] == "cubic"
        assert 0.0 < float(row["second_probability"]) <= float(row["probability"]) <= 1.0
        assert 0.0 < float(row["quality"]) < 1.0


def test_summary_agrees_with_the_table(example, tiny_model):
    out, _ = example
    rows = rows_of(out)
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    groups = [row["space_group"] for row in rows if row["space_group"]]
    assert summary["counts"] == {group: groups.count(group) for group in summary["counts"]}
    assert sum(summary["counts"].values()) + summary["abstained"] == 9
    assert summary["winner"]["space_group"] in {221, 223, 225, 227, 229, 230}
    assert summary["winner"]["probability"] == max(item["probability"] for item in summary["pooled"])
    assert sum(item["probability"] for item in summary["pooled"]) == pytest.approx(1.0, abs=1e-5)
    card = json.loads((tiny_model / "card.json").read_text(encoding="utf-8"))
    assert summary["model"]["name"] == "tiny"
    assert summary["model"]["version"] == "0"
    assert summary["model"]["sha256"] == card["sha256"]
    assert summary["settings"]["elements"] == ["Ni", "Al", "Fe"]
    assert summary["inputs"][0]["scan"] == [3, 3]
    for candidate in summary["candidates"]:
        assert candidate["visible_group"] == summary["winner"]["space_group"]


def test_table_and_report_path_are_printed(example):
    out, result = example
    for word in ("pattern", "space group", "probability", "abstained"):
        assert word in result.stdout
    assert str(out / "report.html") in result.stdout.replace("\n", "")
    assert result.stderr == ""


def test_crystal_map_opens_in_orix(example):
    from orix import io

    out, _ = example
    rows = rows_of(out)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = io.load(str(out / "crystal_map.h5"))
    assert loaded.shape == (3, 3)
    for row, phase, probability in zip(rows, loaded.phase_id, loaded.prop["probability"], strict=True):
        assert float(row["probability"]) == pytest.approx(probability, abs=1e-6)
        if row["abstained"] == "true":
            assert phase == -1
        else:
            assert loaded.phases[int(phase)].space_group.number == int(row["space_group"])


def test_a_second_run_gives_the_same_bytes(example, tmp_path, tiny_model):
    out, _ = example
    identify(
        "--example", "--out", tmp_path, "--model", tiny_model, "--elements", "Ni,Al,Fe", "--physics", "0"
    )
    for name in FILES:
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes(), name


class Page(HTMLParser):
    """What a reader needs to know of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text += data


def test_report_is_whole_offline_and_accessible(example):
    out, _ = example
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    names = [tag for tag, _ in page.tags]
    assert names.count("script") == 2
    assert "link" not in names
    assert not any("src" in attributes for tag, attributes in page.tags if tag == "script")
    images = [attributes for tag, attributes in page.tags if tag == "img"]
    assert len([image for image in images if image.get("data-kind") == "seen"]) == 9
    for image in images:
        assert image["src"].startswith("data:image/png;base64,")
        # A picture under a heat map is said by the heat map.
        assert image["alt"] or "data-kind" not in image
    for tag, attributes in page.tags:
        assert "href" not in attributes or attributes["href"].startswith("#")
        if tag == "th":
            assert attributes["scope"] in {"row", "col"}
    assert page.tags[0] == ("html", {"lang": "en"})
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert f"No. {summary['winner']['space_group']}" in page.text
    for item in summary["left_open"]:
        assert str(item["space_group"]) in page.text


@pytest.fixture(scope="module")
def pictures():
    import kikuchipy

    patterns = np.asarray(kikuchipy.data.nickel_ebsd_small().data).reshape(9, 60, 60)
    return [Image.fromarray(pattern) for pattern in patterns]


def test_names_are_escaped(tmp_path, pictures, tiny_model):
    folder = tmp_path / "<img src=x onerror=alert(1)>"
    folder.mkdir()
    hostile = '<script>alert("x")<&.png'
    pictures[0].save(folder / hostile)
    pictures[1].save(folder / "=cmd[red].png")
    out = tmp_path / "out"
    result = identify(folder, "--out", out, "--model", tiny_model)
    page = Page((out / "report.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in page.tags].count("script") == 2
    assert not any("onerror" in attributes for _, attributes in page.tags)
    assert hostile in page.text
    assert "=cmd[red].png" in result.stdout
    assert hostile in rows_of(out)[-1]["source"] + rows_of(out)[0]["source"]


def test_single_patterns_have_no_map(tmp_path, pictures, tiny_model):
    for number in (0, 1):
        pictures[number].save(tmp_path / f"picture{number}.png")
    out = tmp_path / "out"
    identify(tmp_path / "picture0.png", tmp_path / "picture1.png", "--out", out, "--model", tiny_model)
    assert sorted(path.name for path in out.iterdir()) == ["patterns.csv", "report.html", "summary.json"]
    assert len(rows_of(out)) == 2


def test_results_of_an_earlier_run_are_replaced_and_nothing_else(tmp_path, pictures, tiny_model):
    pictures[0].save(tmp_path / "picture.png")
    out = tmp_path / "out"
    identify("--example", "--out", out, "--model", tiny_model)
    (out / "notes.txt").write_text("mine")
    identify(tmp_path / "picture.png", "--out", out, "--model", tiny_model)
    # The map was the earlier run's: left lying, it would pass for this one's.
    assert sorted(path.name for path in out.iterdir()) == [
        "notes.txt",
        "patterns.csv",
        "report.html",
        "summary.json",
    ]


def test_two_scans_get_two_maps(tmp_path, tiny_model):
    import kikuchipy

    data = Path(kikuchipy.__file__).parent / "data"
    # One scan; kikuchipy's own file beside it holds two.
    path = data / "edax_h5ebsd" / "patterns.h5"
    identify(path, path, "--out", tmp_path, "--model", tiny_model)
    assert {"map.png", "map_2.png", "crystal_map.h5", "crystal_map_2.h5"} <= {
        p.name for p in tmp_path.iterdir()
    }
    identify(path, "--out", tmp_path, "--model", tiny_model)
    assert sorted(p.name for p in tmp_path.iterdir()) == FILES
    identify(data / "kikuchipy_h5ebsd" / "patterns.h5", "--out", tmp_path / "two", "--model", tiny_model)
    assert "crystal_map_2.h5" in {p.name for p in (tmp_path / "two").iterdir()}


def test_a_blank_pattern_is_no_evidence(tmp_path, tiny_model):
    Image.fromarray(np.full((60, 60), 128, dtype=np.uint8)).save(tmp_path / "blank.png")
    out = tmp_path / "out"
    result = identify(tmp_path / "blank.png", "--out", out, "--model", tiny_model)
    assert "no answer" in result.stdout
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    assert summary["winner"] is None
    assert summary["abstained"] == 1
    (row,) = rows_of(out)
    assert row["space_group"] == ""
    assert row["reason"]
    assert "No answer" in Page((out / "report.html").read_text(encoding="utf-8")).text


def test_patterns_of_unequal_size(tmp_path, pictures, tiny_model):
    pictures[0].save(tmp_path / "a.png")
    pictures[1].resize((93, 71)).save(tmp_path / "b.png")
    out = tmp_path / "out"
    identify(tmp_path / "a.png", tmp_path / "b.png", "--out", out, "--model", tiny_model)
    assert len(rows_of(out)) == 2


def test_a_model_from_the_library_call_says_the_same(example, tiny_model):
    import kikuchinet as kn

    out, _ = example
    result = kn.identify(kn.example_patterns(), kn.load_model(tiny_model, precision="auto"))
    expected = [row["space_group"] for row in rows_of(out)]
    assert [
        "" if group == 0 else str(group) for group in result.identification.space_groups.tolist()
    ] == expected


def test_the_runtime_is_chosen_and_written_down(tmp_path, example, tiny_model, monkeypatch):
    words = ["--example", "--model", tiny_model, "--bands", "off", "--runtime"]
    summary = json.loads((example[0] / "summary.json").read_text(encoding="utf-8"))
    assert summary["settings"]["runtime"] == "torch"
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "openvino", None)
        result = CliRunner().invoke(app, ["identify", *map(str, words), "openvino", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert result.output.count("\n") == 1
    assert "pip install kikuchinet[openvino]" in result.output
    if not installed():
        pytest.skip("OpenVINO is not installed")
    identify(*words, "openvino", "--precision", "fp32", "--out", tmp_path / "fp32")
    identify(*words, "torch", "--precision", "fp32", "--out", tmp_path / "torch")
    summary = json.loads((tmp_path / "fp32" / "summary.json").read_text(encoding="utf-8"))
    assert summary["settings"]["runtime"] == "openvino"
    for one, other in zip(rows_of(tmp_path / "fp32"), rows_of(tmp_path / "torch"), strict=True):
        assert one["space_group"] == other["space_group"]
        assert float(one["probability"]) == pytest.approx(float(other["probability"]), abs=1e-3)


def test_part_of_a_scan(tmp_path, example, tiny_model):
    identify("--example", "--out", tmp_path, "--model", tiny_model, "--roi", "1:3,0:2", "--grains", "off")
    rows = rows_of(tmp_path)
    whole = {row["index"]: row for row in rows_of(example[0])}
    assert [row["index"] for row in rows] == ["3", "4", "6", "7"]
    for row in rows:
        same = whole[row["index"]]
        assert (row["row"], row["column"]) == (same["row"], same["column"])
        assert float(row["probability"]) == pytest.approx(float(same["probability"]), abs=1e-3)
        assert row["grain"] == ""
    assert not (tmp_path / "grains.csv").exists()
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["inputs"][0]["scan"] == [2, 2]
    assert (summary["settings"]["roi"], summary["settings"]["stride"]) == ("1:3,0:2", 1)


@pytest.mark.parametrize(
    ("words", "cause"),
    [
        (["--roi", "0:4"], "3 rows"),
        (["--roi", "x"], "ROW0:ROW1"),
        (["--grains", "none.npy"], "does not exist"),
        (["--physics", "some"], "neither a number"),
        (["--pc", "1,2"], "X,Y,Z"),
        (["--cifs", "nowhere"], "does not exist"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(tmp_path, tiny_model, words, cause):
    result = CliRunner().invoke(
        app, ["identify", "--example", "--out", str(tmp_path / "out"), "--model", str(tiny_model), *words]
    )
    assert result.exit_code != 0
    assert cause in result.output + str(result.exception)
    assert not (tmp_path / "out").exists()


def test_levels_and_grains_of_the_summary(example):
    out, result = example
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    levels = {level["name"]: level for level in summary["ladder"]["levels"]}
    assert levels["crystal_system"]["premise"]
    assert not levels["bravais_lattice"]["premise"]
    assert "Assumed by the model, not found" in result.stdout
    (scan,) = summary["scans"]
    with (out / "grains.csv").open(encoding="utf-8", newline="") as file:
        grains = list(csv.DictReader(file))
    assert len(grains) == scan["grains"]
    assert sum(int(grain["patterns"]) for grain in grains) == 9
    assert sum(phase["fraction"] for phase in scan["phases"]) == pytest.approx(1.0)


def test_adapted_to_the_scan(tmp_path, example, tiny_model, monkeypatch):
    from dataclasses import replace

    from kikuchinet.identification import adapting

    own = adapting.adapt
    monkeypatch.setattr(
        adapting, "adapt", lambda *words, **options: replace(own(*words, **options), used=True)
    )
    result = identify("--example", "--out", tmp_path, "--model", tiny_model, "--adapt", "--grains", "off")
    assert "adapted to the scan, without labels, on 9 of its own patterns" in result.stdout
    summary = json.loads((tmp_path / "summary.json").read_text(encoding="utf-8"))
    assert summary["adaptation"]["patterns"] == 9
    assert summary["settings"]["adapt"] is True
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "adapted to the scan" in page
    assert "calibrated without that" in page
    assert [row["probability"] for row in rows_of(tmp_path)] != [
        row["probability"] for row in rows_of(example[0])
    ]
    plain = json.loads((example[0] / "summary.json").read_text(encoding="utf-8"))
    assert plain["adaptation"] is None


def test_a_network_that_cannot_be_adapted(tmp_path):
    from kikuchinet.models import create_model, save_model

    folder = tmp_path / "model"
    save_model(
        folder,
        create_model("test_convnext", 2),
        name="plain",
        version="0",
        architecture="test_convnext",
        classes=(221, 225),
        size=(64, 64),
        labels="visible",
        details={},
    )
    result = CliRunner().invoke(
        app, ["identify", "--example", "--out", str(tmp_path / "out"), "--model", str(folder), "--adapt"]
    )
    assert result.exit_code == 2
    (line,) = result.stderr.strip().splitlines()
    assert "plain" in line
    assert "no batch normalisation" in line
    assert not (tmp_path / "out").exists()


def test_outside_is_said_in_words(tmp_path, outside_model):
    out = tmp_path / "out"
    result = identify("--example", "--out", out, "--model", outside_model)
    # The table of a narrow terminal breaks lines.
    text = " ".join(result.output.split())
    counts = json.loads((out / "summary.json").read_text())["counts"]
    assert f"{counts['0']} x outside" in text
    rows = rows_of(out)
    assert {row["abstained"] for row in rows if row["space_group"] == "0"} == {"false"}
