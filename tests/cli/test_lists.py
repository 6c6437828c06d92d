"""Commands that list: crystals, models, benchmarks."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from typer.testing import CliRunner

import kikuchinet as kn
from kikuchinet.cli import app
from kikuchinet.models import ModelCard
from kikuchinet.models.band_network import load_band_model, network_of
from kikuchinet.models.card import CARD_FILE
from kikuchinet.models.registry import BAND_PROFILES
from kikuchinet.models.weights_file import WEIGHTS_FILE, save_weights


def ok(*words: object) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + result.stderr
    return result.stdout


def test_all_crystals_are_listed():
    text = ok("crystals")
    assert f"{len(kn.crystals)} crystals" in text
    for name in ("FeNi3", "Al4CoNi2", "W"):
        assert name in text


def test_filters():
    text = ok("crystals", "--space-group", 221, "--elements", "Al,Ni,Fe")
    listed = {line.split()[0] for line in text.splitlines()[3:] if line.startswith(" ") and line.split()}
    assert {"Ni3Al", "NiAl", "FeAl", "FeNi3"} <= listed
    assert "TaC" not in text


def test_one_crystal_tells_what_a_camera_sees():
    text = ok("crystals", "FeNi3")
    assert "221, Pm-3m" in text
    assert "225, Fm-3m: its order is too weak to see" in text
    assert "m-3m: 207+215+221" in text


def test_cif_out_and_in(tmp_path):
    path = tmp_path / "phase.cif"
    path.write_text(ok("crystals", "Cr3Si", "--cif"))
    crystal = kn.Crystal.from_cif(path)
    assert crystal.space_group == 223
    assert crystal.n_atoms == pytest.approx(kn.crystals["Cr3Si"].n_atoms)
    assert "223, Pm-3n" in ok("crystals", path)


def test_model_card(tiny_model):
    assert "test_resnet" in ok("models", tiny_model)
    card = json.loads(ok("models", tiny_model, "--json"))
    assert card["classes"] == [221, 223, 225, 227, 229, 230]


def test_a_model_is_repacked(tiny_model, tmp_path):
    ok("models", tiny_model, "--repack", tmp_path / "small")
    assert json.loads(ok("models", tmp_path / "small", "--json"))["details"]["weight_bits"] == 8
    assert CliRunner().invoke(app, ["models", "--repack", str(tmp_path / "other")]).exception is not None


def test_models_of_band_profiles_are_shown_and_repacked(tmp_path):
    card = ModelCard(
        name="mine",
        version="1",
        architecture=BAND_PROFILES,
        classes=(225, 229),
        size=(60, 60),
        labels="visible",
        sha256="",
        details={"network": {"templates": [3, 21, 21], "width": 8, "members": 1}},
    )
    digest = save_weights(network_of(card), tmp_path / "mine" / WEIGHTS_FILE)
    replace(card, sha256=digest).save(tmp_path / "mine" / CARD_FILE)
    assert json.loads(ok("models", tmp_path / "mine", "--json"))["name"] == "mine"
    assert BAND_PROFILES in ok("models", tmp_path / "mine")
    ok("models", tmp_path / "mine", "--repack", tmp_path / "small")
    assert load_band_model(tmp_path / "small").card.details["weight_bits"] == 8


def test_shipped_models_are_listed_with_their_groups():
    if not kn.list_models():
        pytest.skip("no model ships yet")
    listed = json.loads(ok("models", "--json"))
    assert set(listed) == set(kn.list_models())
    for name in listed:
        assert name in ok("models")


def test_benchmark_agrees_with_its_peer():
    (result,) = json.loads(ok("benchmark", "projection", "--json"))
    assert result["agreement"] > 0.9999
    assert result["ratio"] == pytest.approx(result["ours"] / result["theirs"])
