"""Networks, weights files, cards, and what a model answers."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kikuchinet.errors import InputError
from kikuchinet.models import (
    ModelCard,
    SpaceGroupModel,
    count_parameters,
    create_model,
    list_models,
    load_model,
    registry,
    repack,
    save_model,
)
from kikuchinet.models.band_network import load_band_model
from kikuchinet.models.registry import BAND_PROFILES, model_folder

CLASSES = (221, 225, 229)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(1)
    save_model(
        tmp_path / "model",
        create_model("test_resnet", len(CLASSES)),
        name="small",
        version="7",
        architecture="test_resnet",
        classes=CLASSES,
        size=(48, 64),
        labels="visible",
        details={"seed": 1},
        abstain_below=0.0,
    )
    return tmp_path / "model"


def test_xception_is_the_papers():
    network = create_model()
    # Kaufmann et al. (2020): 20,873,198 parameters with six classes and a grey input.
    assert count_parameters(network) == 20_873_198
    with torch.inference_mode():
        assert network.eval()(torch.zeros(1, 1, 71, 87)).shape == (1, 6)


def test_unknown_architecture_is_refused():
    with pytest.raises(InputError, match="no architecture"):
        create_model("no_such_net")


def test_weights_come_back_rounded_to_half_precision(folder):
    torch.manual_seed(1)
    network = create_model("test_resnet", len(CLASSES)).eval()
    model = load_model(folder, device="cpu")
    for (name, ours), theirs in zip(
        model.network.state_dict().items(), network.state_dict().values(), strict=True
    ):
        wanted = theirs.half().to(theirs.dtype) if theirs.ndim >= 2 else theirs
        torch.testing.assert_close(ours, wanted, rtol=0, atol=0, msg=name)
    assert (model.name, model.version, model.classes) == ("small", "7", CLASSES)
    assert (folder / "weights.safetensors").stat().st_size < 1.2e6


def test_eight_bits_are_what_pytorch_makes_of_them(folder, tmp_path):
    card = repack(folder, tmp_path / "small", bits=8)
    assert card.details == {"seed": 1, "weight_bits": 8}
    before, after = load_model(folder, device="cpu"), load_model(tmp_path / "small", device="cpu")
    assert after.name == before.name
    for (name, ours), was in zip(
        after.network.state_dict().items(), before.network.state_dict().values(), strict=True
    ):
        if was.ndim < 2:
            assert torch.equal(ours, was), name
            continue
        scale = was.flatten(1).abs().amax(dim=1) / 127.0
        zero = torch.zeros(len(scale), dtype=torch.int32)
        wanted = torch.fake_quantize_per_channel_affine(was, scale, zero, 0, -127, 127)
        # PyTorch multiplies by the reciprocal of the scale: what lies halfway between two steps may go to either.
        steps = (ours - wanted).flatten(1).abs() / scale[:, None]
        assert steps.max() < 1.001, name
        assert (steps > 1e-3).float().mean() < 2e-3, name
    sizes = [(where / "weights.safetensors").stat().st_size for where in (folder, tmp_path / "small")]
    assert sizes[1] < 0.6 * sizes[0]
    with pytest.raises(InputError, match="holds a model already"):
        repack(folder, tmp_path / "small")
    with pytest.raises(InputError, match="16 or 8 bits, not 4"):
        repack(folder, tmp_path / "smaller", bits=4)


def test_damaged_or_foreign_weights_are_refused(folder, tmp_path):
    weights = folder / "weights.safetensors"
    good = weights.read_bytes()
    weights.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    with pytest.raises(InputError, match="SHA-256"):
        load_model(folder)
    weights.unlink()
    with pytest.raises(InputError, match="no such file"):
        load_model(folder)
    weights.write_bytes(good)
    card = ModelCard.load(folder / "card.json")
    replace(card, architecture="test_vit").save(folder / "card.json")
    with pytest.raises(InputError, match="another network"):
        load_model(folder)
    replace(card, classes=(*CLASSES, 230)).save(folder / "card.json")
    with pytest.raises(InputError, match="shape"):
        load_model(folder)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        ("{", "JSON"),
        ("[]", "not a model card"),
        ('{"name": "x"}', "not a model card"),
        ('{"colour": 1}', "colour"),
    ],
)
def test_wrong_cards_are_refused(tmp_path, content, cause):
    (tmp_path / "card.json").write_text(content)
    with pytest.raises(InputError, match=cause):
        load_model(tmp_path)


def test_unknown_models_are_refused(tmp_path):
    with pytest.raises(InputError, match="no such model"):
        load_model("no-such-model")
    with pytest.raises(InputError, match=r"has no card\.json"):
        load_model(tmp_path)


def test_identify_takes_whatever_cameras_give(folder):
    rng = np.random.default_rng(0)
    model = load_model(folder, device="cpu")
    images = rng.integers(0, 255, (5, 60, 80), dtype=np.uint8)
    result = model.identify(images, batch_size=2)
    assert result.probabilities.shape == (5, 3)
    np.testing.assert_allclose(result.probabilities.sum(axis=1), 1.0, rtol=1e-12)
    np.testing.assert_array_equal(result.space_groups, np.array(CLASSES)[result.probabilities.argmax(axis=1)])
    # The grey scale's offset and gain, the batch size and the container change nothing.
    same = model.identify([image.astype(np.uint16) * 100 + 7 for image in images])
    np.testing.assert_allclose(same.probabilities, result.probabilities, atol=1e-4)
    mixed = model.identify([images[0], rng.normal(size=(240, 320))])
    np.testing.assert_allclose(mixed.probabilities[0], result.probabilities[0], atol=1e-5)
    assert len(model.identify(images[0])) == 1
    with pytest.raises(InputError, match="no patterns"):
        model.identify(images[:0])


def test_blank_and_unsure_patterns_get_no_answer(folder):
    card = ModelCard.load(folder / "card.json")
    replace(card, abstain_below=0.999).save(folder / "card.json")
    model = load_model(folder, device="cpu")
    images = np.random.default_rng(0).normal(size=(2, 48, 64))
    images[0] = 3.0
    result = model.identify(images)
    assert result.space_groups.tolist() == [0, 0]
    assert result.reasons[0] == "no contrast"
    assert result.reasons[1].endswith("is below 1.00")
    np.testing.assert_allclose(result.probabilities[0], 1.0 / 3.0)


def test_temperature_flattens_but_keeps_the_order(folder):
    model = load_model(folder, device="cpu")
    logits = np.array([[2.0, 0.0, -1.0]])
    prepared = np.random.default_rng(0).normal(size=(1, 48, 64)).astype(np.float32)
    sharp = model.answer(logits, prepared).probabilities[0]
    warm = SpaceGroupModel(model.network, replace(model.card, temperature=2.0), device="cpu")
    flat = warm.answer(logits, prepared).probabilities[0]
    expected = np.exp(logits[0] / 2.0)
    np.testing.assert_allclose(flat, expected / expected.sum())
    assert sharp.max() > flat.max()


def test_shipped_models_are_whole():
    for name, card in list_models().items():
        bands = card.architecture == BAND_PROFILES
        model = load_band_model(name) if bands else load_model(name, device="cpu")
        assert model.card == card
        assert {"data", "seed", "commit", "hours", "images_seen", "figures", "config", "licence"} <= set(
            card.details
        )
        json.dumps(card.details)


def test_only_a_bare_text_names_a_shipped_model(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(registry, "_SHIPPED", folder.parent)
    here = folder.parent / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert model_folder("model") == folder
    with pytest.raises(InputError, match="no such model"):
        model_folder(Path("model"))
    shutil.copytree(folder, "model")
    assert model_folder(Path("model")).resolve() == here / "model"
    assert model_folder("./model").resolve() == here / "model"
    assert model_folder("model") == folder
