"""A training run from start to end."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import lightning
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import CSVLogger

from kikuchinet._files import atomic_path
from kikuchinet.datasets import MasterSet, pattern_stream, prepare
from kikuchinet.errors import InputError
from kikuchinet.models import ModelCard, load_model
from kikuchinet.training.callbacks import Checkpoints, ProgressInImages, RunningMean
from kikuchinet.training.config import TrainingConfig, read_config
from kikuchinet.training.data import StreamBatches
from kikuchinet.training.export import export, fresh_from_stream
from kikuchinet.training.hours import counted, spent
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.tables import build

PAPER = TrainingConfig(name="paper", labels="literal", workers=0)
"""The settings of Kaufmann et al. (2020), as in configs/paper.toml."""

LAST = "last.ckpt"
MODEL_FOLDER = "model"
EARLIER_PHASES = "earlier_phases.json"
FRESH_SEED = 1_000_003
"""Added to a stream's seed for the patterns that calibrate and score a model."""


@dataclass(frozen=True)
class TrainingResult:
    """What a call of `train` has reached.

    Parameters
    ----------
    folder
        The run's folder; the model is in its subfolder ``model``.
    finished
        False if it was interrupted; ``resume=True`` goes on.
    images_seen
        Patterns so far.
    hours
        Time so far, over all resumptions.
    card
        The model's card, if it finished.
    """

    folder: Path
    finished: bool
    images_seen: int
    hours: float
    card: ModelCard | None


def train(
    source: str | Path | TrainingConfig,
    out: str | Path,
    *,
    config: str | Path | TrainingConfig | None = None,
    resume: bool = False,
    cache_dir: str | Path = "cache",
    progress: bool = True,
) -> TrainingResult:
    """Train a network from a stream (a configuration) or from a stored set (a manifest).

    Ctrl-C saves the state and returns; a second one stops at once.

    Parameters
    ----------
    source
        A TOML file or a configuration that describes a stream, or a manifest (CSV or Parquet) of stored patterns,
        which is trained on as the paper does.
    out
        The run's folder: checkpoint, log, and in the end the model.
    config
        How to train on a manifest; the paper's settings if not given.
    resume
        Go on from the folder's checkpoint. The phases may be others than the run was begun with, and nothing else.
    cache_dir
        Where simulated master patterns are kept.
    progress
        Show progress bars.

    Returns
    -------
    TrainingResult
        How far it got.

    Raises
    ------
    kikuchinet.errors.InputError
        The configuration or manifest is wrong, the folder holds another run, or there is nothing to resume.
    """
    out = Path(out)
    if isinstance(source, str | Path) and Path(source).suffix.lower() in {".csv", ".parquet"}:
        from kikuchinet.training.stored import train_stored

        settings = PAPER
        if config is not None:
            settings = config if isinstance(config, TrainingConfig) else read_config(config)
        return train_stored(source, settings, out, resume=resume, progress=progress)
    if config is not None:
        raise InputError(str(source), "a configuration for it was given, but it is no manifest")
    stream = source if isinstance(source, TrainingConfig) else read_config(source)
    if stream.masters is None or stream.stream is None:
        raise InputError(
            str(source), "describes no stream; a stored set is trained from its manifest (CSV or Parquet)"
        )
    claim(out, stream, resume=resume)
    masters = prepare(stream.masters, cache_dir, progress=progress)
    return train_stream(stream, masters, out, resume=resume, progress=progress)


def train_stream(
    config: TrainingConfig, masters: MasterSet, out: Path, *, resume: bool = False, progress: bool = True
) -> TrainingResult:
    """Train on a stream of patterns of the given master patterns; see `train`."""
    if config.stream is None:
        raise InputError(config.name, "the configuration describes no stream")
    classes, size = config.model.classes, config.model.size
    stream = pattern_stream(masters, classes, config.stream, size=size, labels=config.labels)
    with controlled(config):
        module = SpaceGroupModule(config)
        start_from(module, config)
        batches = StreamBatches(
            stream,
            batch_size=config.optimiser.batch_size,
            total=config.total_images,
            workers=config.workers,
            position=lambda: module.images_seen,
        )
        checkpoints = Checkpoints(out / LAST, config.checkpoint_minutes)
        bar = ProgressInImages(config.total_images, disable=not progress)
        trainer = make_trainer(config, out, [checkpoints, bar], max_epochs=1, enable_checkpointing=False)
        hours = fit(trainer, module, batches, None, out, resume=resume)
    if checkpoints.interrupted:
        return TrainingResult(out, False, module.images_seen, hours, None)
    fresh_config = replace(config.stream, seed=config.stream.seed + FRESH_SEED)
    fresh_config = replace(fresh_config, quality=replace(fresh_config.quality, images=0))
    fresh = pattern_stream(masters, classes, fresh_config, size=size, labels=config.labels)
    card = export(
        out / MODEL_FOLDER,
        module.network,
        config,
        fresh_from_stream(fresh, config.calibration_images),
        data={
            "source": "patterns simulated by kikuchinet, made during training; no measured pattern was used",
            "master_patterns": len(masters),
            "materials": describe_materials(masters),
            "figures_on": "fresh patterns of the same stream, other seed, all qualities",
            **({"phases_meant_before": changed} if (changed := earlier_phases(out)) else {}),
        },
        images_seen=module.images_seen,
        hours=hours,
    )
    return TrainingResult(out, True, module.images_seen, hours, card)


def start_from(module: SpaceGroupModule, config: TrainingConfig) -> None:
    """Put the weights of the model that `config.start` names, if any, into the network.

    Where that model has other classes, the last layer's rows of the classes that both have are taken over, and the others
    stay random.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such model, or it has another architecture.
    """
    if not config.start:
        return
    model = load_model(config.start, device="cpu")
    if model.card.architecture != config.model.architecture:
        raise InputError(config.start, "has another architecture than the run that starts from it")
    learnt = model.network.state_dict()
    if model.classes != config.model.classes:
        own = module.network.state_dict()
        shared = [group for group in config.model.classes if group in model.classes]
        there = [model.classes.index(group) for group in shared]
        here = [config.model.classes.index(group) for group in shared]
        for name in learnt:
            # The last layer alone has a row for each class.
            if learnt[name].shape != own[name].shape:
                rows = own[name].clone()
                rows[here] = learnt[name][there]
                learnt[name] = rows
    module.network.load_state_dict(learnt)


def describe_materials(masters: MasterSet) -> dict[str, dict[str, int]]:
    """Return each material's literal and visible space group, for a card."""
    return {
        entry.material: {"space_group": entry.space_group, "visible_group": entry.visible_group}
        for entry in masters
    }


def claim(out: Path, config: TrainingConfig, *, resume: bool) -> None:
    """Make a folder this run's own, or see that it is.

    A run that is resumed may have become longer or shorter: other phases are recorded (`earlier_phases`), and the rest of
    its schedule is that of the new length. Everything else must be as it was.

    Raises
    ------
    kikuchinet.errors.InputError
        It holds another run, or there is nothing to resume.
    """
    described = out / "config.json"
    if resume:
        if not described.is_file():
            raise InputError(out, "holds no training run to resume")
        before = _recorded(described)
        if before == config:
            return
        if before is None or not config.phases or replace(before, phases=config.phases) != config:
            raise InputError(out, "its run was started with another configuration")
        with atomic_path(out / EARLIER_PHASES) as temporary:
            now = [asdict(phase) for phase in before.phases]
            temporary.write_text(json.dumps([*earlier_phases(out), now]), encoding="utf-8")
    elif (out / LAST).exists() or (out / MODEL_FOLDER).exists():
        raise InputError(out, "holds a training run already; resume it or choose another folder")
    with atomic_path(described) as temporary:
        temporary.write_text(json.dumps(asdict(config), indent=1, sort_keys=True), encoding="utf-8")


def earlier_phases(out: Path) -> list[list[dict[str, Any]]]:
    """Return the phases that a run was meant to have, each time before they were changed."""
    file = out / EARLIER_PHASES
    found: list[list[dict[str, Any]]] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else []
    return found


def _recorded(described: Path) -> TrainingConfig | None:
    """Return the configuration of a run's folder; entries that did not exist when it was begun have their defaults."""
    try:
        return build(TrainingConfig, json.loads(described.read_text(encoding="utf-8")), "config")
    except ValueError:
        return None


def make_trainer(
    config: TrainingConfig, out: Path, callbacks: list[Callback], **options: Any
) -> lightning.Trainer:
    """Return a Lightning trainer that logs to CSV files in the run's folder and prints nothing of its own."""
    if config.optimiser.ema_decay > 0.0:
        # First in line, so that a checkpoint holds the mean of the step that it was written after.
        callbacks = [RunningMean(config.optimiser.ema_decay), *callbacks]
    return lightning.Trainer(
        accelerator="auto",
        devices=1,
        precision="bf16-mixed" if config.precision == "bf16" else "32-true",
        logger=CSVLogger(out, name="log", flush_logs_every_n_steps=50),
        log_every_n_steps=20,
        callbacks=callbacks,
        num_sanity_val_steps=0,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=out,
        **options,
    )


def fit(
    trainer: lightning.Trainer,
    module: SpaceGroupModule,
    batches: Any,
    validation: Any,
    out: Path,
    *,
    resume: bool,
) -> float:
    """Run the trainer and return the hours of the whole run so far.

    Raises
    ------
    KeyboardInterrupt
        Ctrl-C was pressed a second time.
    """
    checkpoint = out / LAST
    with counted(out, resume=resume), warnings.catch_warnings():
        # Lightning's advice on workers, missing validation and the like is not addressed to our users.
        warnings.filterwarnings("ignore", module=r"lightning\..*")
        try:
            trainer.fit(
                module, batches, validation, ckpt_path=checkpoint if resume and checkpoint.is_file() else None
            )
        except SystemExit as ended:
            # Lightning makes an exit of it, which says nothing of why.
            if isinstance(ended.__context__, KeyboardInterrupt):
                raise KeyboardInterrupt from ended
            raise
        finally:
            # Lightning does neither after an error.
            module.on_fit_end()
            for callback in trainer.callbacks:  # type: ignore[attr-defined]
                if isinstance(callback, Checkpoints):
                    callback.give_back()
    return spent(out)


@contextmanager
def controlled(config: TrainingConfig) -> Iterator[None]:
    """Seed PyTorch and set its threads inside the block, keep Lightning's messages out of it, and restore all."""
    threads = torch.get_num_threads()
    loggers = [logging.getLogger(name) for name in ("lightning.pytorch", "lightning.fabric")]
    levels = [logger.level for logger in loggers]
    with torch.random.fork_rng():
        torch.manual_seed(config.seed)
        if config.replicas > 1:
            torch.set_num_threads(1)
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            torch.set_num_threads(threads)
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
