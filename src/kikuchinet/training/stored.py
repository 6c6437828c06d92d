"""Training on a stored set, as the paper does: epochs, validation, early stopping, the best epoch kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from kikuchinet._files import atomic_path
from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.outside import answer_title
from kikuchinet.datasets.labels import among
from kikuchinet.datasets.manifest import REQUIRED, Manifest
from kikuchinet.datasets.stored import StoredPatterns
from kikuchinet.errors import InputError
from kikuchinet.training.callbacks import BestEpoch, Checkpoints, FreshStatistics, Patience, ProgressInImages
from kikuchinet.training.config import TrainingConfig
from kikuchinet.training.data import epoch_order
from kikuchinet.training.export import export
from kikuchinet.training.module import SpaceGroupModule
from kikuchinet.training.run import (
    LAST,
    MODEL_FOLDER,
    TrainingResult,
    claim,
    controlled,
    fit,
    make_trainer,
    start_from,
)

BEST = "best.ckpt"
PATTERNS_FILE = "patterns.sha256"
_TAUGHT = (*REQUIRED, "visible_group", "split")
"""Columns that decide what a run learns."""


def train_stored(
    manifest: str | Path | Manifest,
    config: TrainingConfig,
    out: str | Path,
    *,
    resume: bool = False,
    progress: bool = True,
) -> TrainingResult:
    """Train a network on the patterns of a manifest.

    The classes are the space groups that the manifest holds. With `kikuchinet.crystal.OUTSIDE` among the configuration's
    classes, these stay as they are, and all other groups of the manifest are outside.

    Rows with ``split`` ``validation`` decide when to stop; without that column a random share of each
    material does. Rows with ``split`` ``test`` are not touched.

    Parameters
    ----------
    manifest
        The patterns.
    config
        The run; `TrainingConfig`'s defaults are the paper's. Its classes are replaced, but for the case above.
    out
        The run's folder.
    resume
        Go on after the last whole epoch.
    progress
        Show a progress bar.

    Returns
    -------
    TrainingResult
        How far it got.

    Raises
    ------
    kikuchinet.errors.InputError
        The manifest is wrong or has no training pattern of a class, or the folder holds another run or one of other
        patterns.
    """
    out = Path(out)
    name = str(manifest) if isinstance(manifest, str | Path) else "manifest"
    table = manifest if isinstance(manifest, Manifest) else Manifest.read(manifest)
    training, validation = divide(table, config, name)
    if OUTSIDE in config.model.classes:
        classes = config.model.classes
    else:
        classes = tuple(sorted(set(table.labels(config.labels).tolist())))
        config = replace(config, model=replace(config.model, classes=classes))
    taught = set(among(training.labels(config.labels), classes).tolist())
    if missing := [group for group in classes if group not in taught]:
        raise InputError(name, f"holds no training pattern for {answer_title(missing[0], classes)}")
    claim(out, config, resume=resume)
    _claim_patterns(out, table, resume=resume)
    size = config.model.size
    # Processes that prepare patterns ahead would each keep all of them.
    learn = StoredPatterns(training, classes, size=size, labels=config.labels, keep=not config.workers)
    # In random order: one half calibrates and the other is scored, and a manifest is sorted by material.
    shuffled = np.random.default_rng(config.seed).permutation(len(validation))
    validation = Manifest(validation.frame.iloc[shuffled].reset_index(drop=True), validation.folder)
    check = StoredPatterns(validation, classes, size=size, labels=config.labels, keep=True)
    with controlled(config):
        module = SpaceGroupModule(config)
        start_from(module, config)
        order = EpochSampler(len(learn), config.seed)
        batch = config.optimiser.batch_size
        loader = DataLoader(
            learn,
            batch_size=batch,
            sampler=order,
            num_workers=config.workers,
            # A last batch of one pattern has no variance to normalise with.
            drop_last=len(learn) > batch and len(learn) % batch == 1,
            multiprocessing_context="spawn" if config.workers else None,
        )
        checkpoints = Checkpoints(out / LAST, None)
        best = BestEpoch(out / BEST, checkpoints)
        stop = Patience(config.stopping.min_delta, config.stopping.patience)
        fresh = [FreshStatistics(_batches(learn, config))] if config.optimiser.statistics else []
        trainer = make_trainer(
            config,
            out,
            # The last one but the bar, so that its file holds what the others have made of the epoch.
            [*fresh, stop, best, checkpoints, ProgressInImages(None, disable=not progress)],
            max_epochs=config.stopping.max_epochs,
            enable_checkpointing=False,
        )
        hours = fit(trainer, module, loader, DataLoader(check, batch_size=batch), out, resume=resume)
    if checkpoints.interrupted:
        return TrainingResult(out, False, module.images_seen, hours, None)
    # The file is the one this run has written.
    kept = torch.load(out / BEST, map_location="cpu", weights_only=False)
    module.load_state_dict(kept["state_dict"])
    card = export(
        out / MODEL_FOLDER,
        module.network,
        config,
        check.batches(batch),
        data={
            "source": f"stored patterns of {Path(name).name}",
            "training_patterns": len(learn),
            "validation_patterns": len(check),
            "materials": {
                str(material): int(group)
                for material, group in zip(
                    training.frame["material"], training.frame["space_group"], strict=True
                )
            },
            "figures_on": "half of the validation patterns; they also decided which epoch was kept",
        },
        images_seen=module.images_seen,
        hours=hours,
    )
    return TrainingResult(out, True, module.images_seen, hours, card)


def _batches(learn: StoredPatterns, config: TrainingConfig) -> list[Tensor]:
    """Return training patterns, mixed, for the statistics of batch normalisation; what fills no batch is left out."""
    size, count = config.optimiser.batch_size, config.optimiser.statistics
    rows = np.random.default_rng(config.seed).permutation(len(learn))[:count]
    parts = [rows[start : start + size] for start in range(0, max(len(rows) - size, 0) + 1, size)]
    images = [torch.stack([learn[int(i)][0] for i in part]) for part in parts]
    return [batch[:, None].contiguous(memory_format=torch.channels_last) for batch in images]


def digest(table: Manifest) -> str:
    """Return the SHA-256 of which patterns a manifest names, in which order and as what; its folder may be moved."""
    columns = [name for name in _TAUGHT if name in table.frame.columns]
    text: str = table.frame[columns].astype(str).to_csv(index=False, lineterminator="\n")
    return hashlib.sha256(text.encode()).hexdigest()


def _claim_patterns(out: Path, table: Manifest, *, resume: bool) -> None:
    """Record which patterns a run learns from, or see that they are still those."""
    path, now = out / PATTERNS_FILE, digest(table)
    if not resume:
        with atomic_path(path) as temporary:
            temporary.write_text(now, encoding="utf-8")
    # Runs that were begun before this was recorded have no such file.
    elif path.is_file() and path.read_text(encoding="utf-8") != now:
        raise InputError(out, "its run was started with other patterns")


def divide(table: Manifest, config: TrainingConfig, name: str) -> tuple[Manifest, Manifest]:
    """Return the training and the validation part of a manifest."""
    if "split" in table.frame.columns:
        parts = {part: (table.frame["split"] == part).to_numpy() for part in ("train", "validation")}
        for part, mask in parts.items():
            if not mask.any():
                raise InputError(name, f"column 'split' marks no pattern as {part!r}")
        training, validation = (table.where(parts[part]) for part in ("train", "validation"))
        if len(validation) < 2:
            raise InputError(
                name, "column 'split' marks one pattern as 'validation'; two are needed at least"
            )
        return training, validation
    share = config.stopping.validation_share
    split = table.split({"train": 1.0 - share, "validation": share}, by="pattern", seed=config.seed)
    if len(split) < 2 or len(split["validation"]) < 2:
        raise InputError(name, "holds too few patterns to hold some back for validation")
    return split["train"], split["validation"]


class EpochSampler(Sampler[int]):
    """A random order that depends on the seed and the epoch only.

    Parameters
    ----------
    n
        Number of patterns.
    seed
        Seed.
    """

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._seed = seed
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; Lightning calls this, also after a resumption."""
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        return iter(epoch_order(self._n, self._seed, self._epoch).tolist())
