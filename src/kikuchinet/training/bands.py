"""Training of a network of band profiles."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.datasets import MasterSet, StreamConfig, prepare
from kikuchinet.datasets.labels import accepted
from kikuchinet.datasets.profile_parts import make_profiles
from kikuchinet.datasets.profiles import ProfileMaker, Profiles, ProfilesConfig, finder_of
from kikuchinet.errors import InputError
from kikuchinet.models.band_network import BandModel, BandNetwork, load_band_model
from kikuchinet.models.card import CARD_FILE, ModelCard
from kikuchinet.models.registry import BAND_PROFILES
from kikuchinet.models.weights_file import WEIGHTS_FILE, save_weights
from kikuchinet.training.band_config import BandTrainingConfig, read_band_config
from kikuchinet.training.band_learning import fit_bands
from kikuchinet.training.config import TrainingConfig, read_config
from kikuchinet.training.export import code_commit
from kikuchinet.training.hours import counted, spent
from kikuchinet.training.recalibration import calibrated, right_or_label

CONFIG_FILE = "config.json"
_PATTERNS_A_SCREEN = 200


def train_bands(
    source: str | Path | BandTrainingConfig,
    out: str | Path,
    *,
    resume: bool = False,
    cache_dir: str | Path = "cache",
    workers: int | None = None,
    progress: bool = True,
) -> ModelCard:
    """Train a network of band profiles.

    Parameters
    ----------
    source
        A TOML file, or what it describes.
    out
        Folder of the run: the profiles, part by part, and in the end the model.
    resume
        Go on with the parts that are there. Learning itself, minutes, starts anew, so `learning` may be another.
    cache_dir
        Where simulated master patterns are kept.
    workers
        Processes that make profiles; one a core if not given.
    progress
        Show progress bars.

    Returns
    -------
    ModelCard
        Of the model in the folder's subfolder ``model``, with temperature 1: it is calibrated on crystals that it was
        not shown, `kikuchinet.training.calibrate`.

    Raises
    ------
    kikuchinet.errors.InputError
        The configuration is wrong, or the folder holds another run or one that is to be resumed.
    """
    config = source if isinstance(source, BandTrainingConfig) else read_band_config(source)
    out = Path(out)
    _claim(out, config, resume=resume)
    with counted(out, resume=resume):
        masters = prepare(config.masters, cache_dir, progress=progress)
        finder = finder_of(masters, config.profiles.templates)
        maker = ProfileMaker(
            masters,
            config.classes,
            config.stream,
            config.profiles,
            finder,
            size=config.size,
            labels=config.labels,
        )
        parts = make_profiles(maker, folder=out / "profiles", workers=workers, progress=progress)
        profiles = Profiles.concatenate(parts)
        right = accepted_of(masters, config.classes, config.labels)
        network = fit_bands(profiles, config, finder, accepted=right, progress=progress)
    return _export(out / "model", network, config, masters, profiles, spent(out))


def _claim(out: Path, config: BandTrainingConfig, *, resume: bool) -> None:
    path = out / CONFIG_FILE
    if path.is_file():
        if _of_profiles(json.loads(path.read_text(encoding="utf-8"))) != _of_profiles(asdict(config)):
            raise InputError(out, "holds the run of another configuration")
        if not resume:
            raise InputError(out, "holds this run already; --resume goes on with it")
    elif resume:
        raise InputError(out, "holds no run to go on with")
    elif out.exists() and any(out.iterdir()):
        raise InputError(out, "is not empty")
    text = json.dumps(asdict(config), indent=1)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _of_profiles(settings: dict[str, Any]) -> str:
    """Return what decides the profiles of a run, as text in which tuples are lists."""
    others = {"learning", "version", "abstain_below"}
    return json.dumps({name: value for name, value in settings.items() if name not in others})


def _export(
    folder: Path,
    network: BandNetwork,
    config: BandTrainingConfig,
    masters: MasterSet,
    profiles: Profiles,
    hours: float,
) -> ModelCard:
    digest = save_weights(network, folder / WEIGHTS_FILE, bits=config.learning.weight_bits)
    errors = profiles.misorientations_deg[: config.profiles.searched * config.profiles.patterns]
    errors = errors[np.isfinite(errors)]
    card = ModelCard(
        name=config.name,
        version=config.version,
        architecture=BAND_PROFILES,
        classes=config.classes,
        size=config.size,
        labels=config.labels,
        sha256=digest,
        abstain_below=config.abstain_below,
        details={
            "data": "simulated patterns only, made by kikuchinet's own dynamical simulator and camera",
            "network": {
                "templates": list(network.templates.shape),
                "width": config.learning.width,
                "members": config.learning.members,
            },
            "images_seen": len(profiles),
            "master_patterns": len(masters),
            "materials": list(masters.materials),
            "orientations_within_1.5_deg": float((errors < 1.5).mean()) if len(errors) else None,
            "hours": round(hours, 3),
            "seed": config.seed,
            "commit": code_commit(),
            "figures": {},
            "config": asdict(config),
            "licence": "GPL-3.0-or-later",
        },
    )
    card.save(folder / CARD_FILE)
    return card


def accepted_of(masters: MasterSet, classes: tuple[int, ...], labels: str) -> NDArray[np.bool_]:
    """Return which classes (masters, classes) are right answers for the patterns of each master pattern."""
    sets = [entry.visible_groups if labels == "visible" else (entry.space_group,) for entry in masters]
    return accepted(sets, classes)


def fresh_profiles(
    model: BandModel,
    masters: MasterSet,
    stream: StreamConfig,
    count: int,
    *,
    progress: bool = True,
) -> Profiles:
    """Return band profiles of fresh patterns, their orientations found as in measured ones.

    Parameters
    ----------
    model
        The model, which finds the orientations with its own templates.
    masters, stream
        The crystals, and what is photographed how. Patterns share a screen a hundred or more at a time.
    count
        Patterns, at least. The share of outside is that of one of all the model's classes, however few have a crystal
        among the masters; those that have share the rest evenly.
    progress
        Show a progress bar.

    Returns
    -------
    Profiles
        Labelled with indices into the model's classes.
    """
    screens = max(4, -(-count // _PATTERNS_A_SCREEN))
    config = ProfilesConfig(
        searched=screens,
        known=0,
        patterns=-(-count // screens),
        outside_share=1.0 / len(model.classes),
    )
    card = model.card
    present = masters.classes_shown(card.classes, card.labels)
    maker = ProfileMaker(masters, present, stream, config, model.finder, size=card.size, labels=card.labels)
    profiles = Profiles.concatenate(make_profiles(maker, progress=progress))
    columns = np.array([card.classes.index(group) for group in present])
    return replace(profiles, labels=columns[profiles.labels])


def calibrate_bands(
    model: str | Path,
    config: str | Path | TrainingConfig,
    *,
    count: int = 6000,
    cache_dir: str | Path = "cache",
    progress: bool = True,
) -> ModelCard:
    """Do what `kikuchinet.training.calibrate` does for a model of band profiles; the parameters are its own."""
    folder = Path(model).resolve()
    settings = config if isinstance(config, TrainingConfig) else read_config(config)
    if settings.masters is None or settings.stream is None:
        raise InputError(str(config), "describes no stream of simulated patterns")
    network = load_band_model(folder)
    masters = prepare(settings.masters, cache_dir, progress=progress)
    profiles = fresh_profiles(network, masters, settings.stream, count, progress=progress)
    logits = network.logits(profiles.values)
    right = accepted_of(masters, network.card.classes, network.card.labels)[profiles.masters]
    card = calibrated(network.card, logits, right_or_label(logits, right, profiles.labels), settings.name)
    card.save(folder / CARD_FILE)
    return card
