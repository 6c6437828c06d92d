"""``kikuchinet models``: the models that ship, with their cards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from kikuchinet.cli._output import console, table, text
from kikuchinet.errors import InputError


def models(
    name: Annotated[
        str | None,
        typer.Argument(help="Show the card of this one: a shipped model, or a folder.", metavar="[NAME]"),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    repack_to: Annotated[
        Path | None,
        typer.Option(
            "--repack", help="Write a copy of the model with smaller weights here.", metavar="FOLDER"
        ),
    ] = None,
    bits: Annotated[int, typer.Option(help="Bits per weight of that copy: 16 or 8.")] = 8,
) -> None:
    """List the models that ship with kikuchinet, or show one model's card.

    For example:

    - `kikuchinet models`
    - `kikuchinet models xception-m3m-6`
    - `kikuchinet models --json`
    - `kikuchinet models runs/mine/model --repack smaller`
    """
    # The registry reads cards without loading a network, but its package imports PyTorch.
    from kikuchinet.crystal.outside import listed_classes
    from kikuchinet.models.band_network import load_band_model
    from kikuchinet.models.card import CARD_FILE, ModelCard
    from kikuchinet.models.registry import (
        BAND_PROFILES,
        DEFAULT_MODEL,
        list_models,
        load_model,
        model_folder,
        repack,
    )

    if repack_to is not None:
        if name is None:
            raise InputError("--repack", "needs the name of a model")
        repack(name, repack_to, bits=bits)
        console().print(text(str(repack_to)))
        return
    cards = list_models()
    if name is not None:
        if name in cards:
            card = cards[name]
        elif ModelCard.load(model_folder(name) / CARD_FILE).architecture == BAND_PROFILES:
            card = load_band_model(name).card
        else:
            card = load_model(name, device="cpu").card
        if as_json:
            _print_json(vars(card))
        else:
            _show(vars(card))
        return
    if as_json:
        _print_json({key: vars(card) for key, card in cards.items()})
        return
    if not cards:
        raise InputError(
            "models", "this installation holds no trained model; train one with 'kikuchinet train'"
        )
    rows = table("name", "version", "network", "space groups", "input", "default")
    for key, card in cards.items():
        rows.add_row(
            text(key),
            text(card.version),
            text(card.architecture),
            listed_classes(card.classes),
            "{} x {}".format(*card.size),
            "yes" if key == DEFAULT_MODEL else "",
        )
    console().print(rows)


def _show(card: Mapping[str, Any]) -> None:
    facts = table("", "")
    facts.show_header = False
    for key, value in _flat(card):
        facts.add_row(text(key), text(value))
    console().print(facts)


def _flat(content: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    from kikuchinet.crystal.outside import listed_classes

    pairs: list[tuple[str, str]] = []
    for key, value in content.items():
        if isinstance(value, Mapping):
            pairs += _flat(value, f"{prefix}{key}: " if key != "details" else prefix)
        elif key == "classes" and not prefix:
            pairs.append((key, listed_classes(value)))
        elif isinstance(value, list | tuple):
            pairs.append((f"{prefix}{key}", ", ".join(str(item) for item in value)))
        else:
            pairs.append((f"{prefix}{key}", str(value)))
    return pairs


def _print_json(content: Mapping[str, Any]) -> None:
    import json

    print(json.dumps(content, indent=1, ensure_ascii=False, default=dict))
