"""Training of a network of band profiles."""

from __future__ import annotations

import json
import time
import tomllib
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kikuchinet._cluster import cores
from kikuchinet._files import atomic_path
from kikuchinet.crystal import OUTSIDE
from kikuchinet.datasets import MasterSet, StreamConfig, prepare
from kikuchinet.datasets.labels import check_labels
from kikuchinet.datasets.masters_config import MastersConfig
from kikuchinet.datasets.profiles import ProfileMaker, Profiles, ProfilesConfig, finder_of
from kikuchinet.errors import InputError
from kikuchinet.indexing.bands import CHANNELS
from kikuchinet.indexing.unnamed import CubicFinder
from kikuchinet.models.band_network import BandModel, BandNetwork, load_band_model
from kikuchinet.models.card import CARD_FILE, ModelCard, check_classes
from kikuchinet.models.registry import BAND_PROFILES
from kikuchinet.models.weights_file import WEIGHTS_FILE, save_weights
from kikuchinet.training.config import TrainingConfig, read_config
from kikuchinet.training.export import code_commit
from kikuchinet.training.recalibration import calibrated
from kikuchinet.training.tables import read_table

CONFIG_FILE = "config.json"
_LARGEST_POOL = 4
_MIXED_STRETCH = 0.5
_PATTERNS_A_SCREEN = 200


@dataclass(frozen=True)
class LearningConfig:
    """How a network of band profiles learns.

    Parameters
    ----------
    epochs
        Times that every profile is shown.
    batch_size
        Profiles of a step.
    learning_rate, weight_decay
        Of AdamW; the rate is the highest of one cycle (L. N. Smith, N. Topin, arXiv:1708.07120).
    label_smoothing
        Share of the target that is spread over all classes.
    width, members, dropout
        Of the network.
    weight_bits
        Per weight of a kernel in the model's file: 16 or 8.
    dilation
        Profiles are stretched by a factor between exp(-dilation) and exp(dilation), all families alike: a larger
        lattice parameter has narrower bands, and changes nothing of the reflection conditions.
    noise
        Standard deviation of noise that is added to the intensities.
    pooled
        Share of profiles that are averages of two or four patterns of the same crystal.
    mixed
        Share of profiles that are averages of two crystals of the same group, the second one's stretched to the first
        one's lattice parameter. Where both have no band, the average has none: it keeps the reflection conditions of
        the group and has intensities of no crystal that was simulated. It made no difference beyond chance.
    """

    epochs: int = 10
    batch_size: int = 128
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    label_smoothing: float = 0.03
    width: int = 512
    members: int = 1
    weight_bits: int = 16
    dropout: float = 0.3
    dilation: float = 0.15
    noise: float = 0.0
    pooled: float = 0.5
    mixed: float = 0.0
    misorientation_deg: float = 1.5

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size, self.width, self.members) < 1 or self.learning_rate <= 0.0:
            raise InputError(
                "learning", "epochs, batch_size, width, members and learning_rate must be positive"
            )
        if min(self.weight_decay, self.dilation, self.noise) < 0.0:
            raise InputError("learning", "weight_decay, dilation and noise cannot be negative")
        shares = (self.label_smoothing, self.dropout, self.pooled, self.mixed)
        if not all(0.0 <= share <= 1.0 for share in shares) or self.dropout == 1.0:
            raise InputError("learning", "label_smoothing, dropout, pooled and mixed are shares, 0 to 1")


@dataclass(frozen=True)
class BandTrainingConfig:
    """A training run of a network of band profiles.

    Parameters
    ----------
    name, version
        What the model is called.
    classes
        Space groups of m-3m, in the order of the network's outputs; 0 for all other crystals.
    masters, stream, profiles, learning
        The crystals, what is photographed how, how profiles are made of it, and how the network learns.
    seed
        Of the network's start and of the order of profiles.
    labels
        ``visible`` or ``literal`` space groups.
    size
        Rows and columns of the simulated patterns.
    abstain_below
        No answer is given where the highest probability is below this.
    """

    name: str
    classes: tuple[int, ...]
    masters: MastersConfig
    stream: StreamConfig
    profiles: ProfilesConfig = field(default_factory=ProfilesConfig)
    learning: LearningConfig = field(default_factory=LearningConfig)
    version: str = "1"
    seed: int = 0
    labels: str = "visible"
    size: tuple[int, int] = (96, 96)
    abstain_below: float = 0.5

    def __post_init__(self) -> None:
        check_classes(self.classes, "classes")
        check_labels(self.labels)
        if min(self.size) < 48:
            raise InputError(
                "size", f"{self.size}: patterns of 48 px and more have bands that can be measured"
            )


def is_band_config(path: str | Path) -> bool:
    """Whether a TOML file describes a network of band profiles: it has a table ``[profiles]``."""
    try:
        return "profiles" in tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return False  # whoever reads the file next says what is wrong


def read_band_config(path: str | Path) -> BandTrainingConfig:
    """Read a training run of a network of band profiles from a TOML file.

    Raises
    ------
    kikuchinet.errors.InputError
        The file is missing, is not TOML, or holds an entry that is unknown or wrong.
    """
    return read_table(BandTrainingConfig, Path(path))


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
    start = time.monotonic()
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
    network = fit_bands(profiles, config, finder, progress=progress)
    card = _export(out / "model", network, config, masters, profiles, (time.monotonic() - start) / 3600.0)
    return card


def make_profiles(
    maker: ProfileMaker,
    *,
    folder: Path | None = None,
    workers: int | None = None,
    progress: bool = True,
) -> list[Profiles]:
    """Make all parts of a set of band profiles.

    Parameters
    ----------
    maker
        Makes each of them.
    folder
        Where parts are kept, each whole or not at all, and taken from; nowhere if not given.
    workers
        Processes; one a core if not given, 1 for none besides this one.
    progress
        Show a progress bar.

    Returns
    -------
    list of Profiles
        In the order of their numbers, whoever made them.
    """
    from rich.progress import Progress

    total = len(maker)
    found: dict[int, Profiles] = {}
    if folder is not None:
        for number in range(total):
            if _part(folder, number).is_file():
                found[number] = Profiles.load(_part(folder, number))
    left = [number for number in range(total) if number not in found]
    with Progress(disable=not progress, transient=True) as bar:
        task = bar.add_task("band profiles", total=total, completed=len(found))
        for number, part in _made(left, maker, workers or cores()):
            if folder is not None:
                part.save(_part(folder, number))
            found[number] = part
            bar.advance(task)
    return [found[number] for number in range(total)]


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:04d}.npz"


def _made(numbers: list[int], maker: ProfileMaker, workers: int) -> Iterator[tuple[int, Profiles]]:
    if min(workers, len(numbers)) <= 1:
        yield from ((number, maker.part(number)) for number in numbers)
        return
    with ProcessPoolExecutor(
        min(workers, len(numbers)), get_context("spawn"), initializer=_begin, initargs=(maker,)
    ) as pool:
        futures = [pool.submit(_make, number) for number in numbers]
        try:
            for future in as_completed(futures):
                yield future.result()
        finally:
            pool.shutdown(cancel_futures=True)


_maker: ProfileMaker


def _begin(maker: ProfileMaker) -> None:
    global _maker  # noqa: PLW0603 - a process has one
    _maker = maker


def _make(number: int) -> tuple[int, Profiles]:
    return number, _maker.part(number)


def fit_bands(
    profiles: Profiles, config: BandTrainingConfig, finder: CubicFinder, *, progress: bool = True
) -> BandNetwork:
    """Fit a network to band profiles.

    Parameters
    ----------
    profiles
        With their labels.
    config
        Its `learning`, `classes` and `seed` count.
    finder
        Whose templates the network is to hold.
    progress
        Show a progress bar.

    Returns
    -------
    BandNetwork
        In evaluation mode.
    """
    from rich.progress import Progress

    learning = config.learning
    profiles = profiles.chosen(~(profiles.misorientations_deg > learning.misorientation_deg))
    devices: list[int] = []
    with torch.random.fork_rng(devices):
        torch.manual_seed(config.seed)
        count, rows, columns = finder.templates.shape
        network = BandNetwork(
            len(config.classes),
            (count, rows, columns),
            width=learning.width,
            members=learning.members,
            dropout=learning.dropout,
        )
        network.templates.copy_(torch.from_numpy(finder.templates))
        values, labels = torch.from_numpy(profiles.values), torch.from_numpy(profiles.labels)
        members = _members(profiles.blocks)
        scales = torch.from_numpy(profiles.scales).float()
        alike = [torch.nonzero(labels == label).ravel() for label in range(len(config.classes))]
        # What lies outside is no one group, and its lattice parameter is not all that stretches its bands.
        mixable = torch.tensor([group != OUTSIDE for group in config.classes])
        # Every class weighs the same, however many of its profiles there are.
        per_class = torch.bincount(labels, minlength=len(config.classes)).clamp(min=1)
        loss = nn.CrossEntropyLoss(
            weight=(len(labels) / len(config.classes)) / per_class, label_smoothing=learning.label_smoothing
        )
        optimiser = torch.optim.AdamW(
            network.parameters(), learning.learning_rate, weight_decay=learning.weight_decay
        )
        size = min(learning.batch_size, len(labels))
        steps = learning.epochs * (len(labels) // size)
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, learning.learning_rate, total_steps=max(2, steps)
        )
        network.train()
        with Progress(disable=not progress, transient=True) as bar:
            task = bar.add_task("learning", total=steps)
            for _ in range(learning.epochs):
                order = torch.randperm(len(labels))
                for first in range(0, len(labels) - size + 1, size):
                    chosen = order[first : first + size]
                    shown = _pooled(values, members, chosen, learning.pooled)
                    partners = _partners(labels[chosen], alike, mixable, learning.mixed)
                    shown = _mixed(shown, values, scales, chosen, partners)
                    shown = _varied(shown, learning)
                    outputs = network.each(shown)
                    error = loss(outputs.flatten(0, 1), labels[chosen].repeat(learning.members))
                    optimiser.zero_grad(set_to_none=True)
                    error.backward()
                    optimiser.step()
                    schedule.step()
                    bar.advance(task)
    return network.eval()


def _members(blocks: NDArray[np.int64]) -> Tensor:
    """Return first place and size of each profile's block, (n, 2); blocks lie together."""
    _, first, sizes = np.unique(blocks, return_index=True, return_counts=True)
    which = np.repeat(np.arange(len(sizes)), sizes)
    return torch.from_numpy(np.stack([first[which], sizes[which]], axis=1))


def _pooled(values: Tensor, members: Tensor, chosen: Tensor, share: float) -> Tensor:
    """Return profiles, some of them averaged with others of their blocks, weighted with the coverage."""
    own = values[chosen].float()
    n = len(chosen)
    many = torch.where(
        torch.rand(n) < share, torch.where(torch.rand(n) < 0.5, 2, _LARGEST_POOL), torch.ones(())
    )
    first, size = members[chosen].unbind(1)
    coverage = CHANNELS.index("coverage")
    total = own[:, coverage, None].clone()
    sums = own * total
    for rank in range(1, _LARGEST_POOL):
        (mine,) = torch.nonzero(many > rank, as_tuple=True)
        if len(mine) == 0:
            continue
        partner = first[mine] + (torch.rand(len(mine)) * size[mine]).long()
        other = values[partner].float()
        sums[mine] += other * other[:, coverage, None]
        total[mine] += other[:, coverage, None]
    mean = sums / torch.where(total > 0, total, 1.0)
    mean[:, coverage] = total[:, 0] / many.reshape(-1, 1, 1)
    return mean


def _partners(labels: Tensor, alike: list[Tensor], mixable: Tensor, share: float) -> Tensor:
    """Return (n,) the profile of the same class that each is mixed with, -1 for none."""
    n = len(labels)
    wanted = (torch.rand(n) < share) & mixable[labels]
    draws = torch.rand(n)
    partners = torch.full((n,), -1)
    for label in labels[wanted].unique():
        mine = wanted & (labels == label)
        places = alike[int(label)]
        partners[mine] = places[(draws[mine] * len(places)).long()]
    return partners


def _mixed(own: Tensor, values: Tensor, scales: Tensor, chosen: Tensor, partners: Tensor) -> Tensor:
    """Return profiles, those with a partner averaged with it as if it had the same lattice parameter."""
    ratio = scales[chosen] / scales[partners.clamp(min=0)]
    # Beyond this a band of the one is a pixel of the other.
    near = (ratio - 1.0).abs() < _MIXED_STRETCH
    (mine,) = torch.nonzero((partners >= 0) & near, as_tuple=True)
    if len(mine) == 0:
        return own
    other = _stretched(values[partners[mine]].float(), 1.0 / ratio[mine])
    weight = torch.rand(len(mine), 1, 1, 1)
    mixed = own.clone()
    mixed[mine] = weight * own[mine] + (1.0 - weight) * other
    return mixed


def _varied(profiles: Tensor, learning: LearningConfig) -> Tensor:
    """Return profiles as other lattice parameters and more noise would have left them."""
    varied = _stretched(profiles, torch.exp((2.0 * torch.rand(len(profiles)) - 1.0) * learning.dilation))
    if learning.noise:
        varied[:, 0] += learning.noise * torch.randn_like(varied[:, 0])
    return varied


def _stretched(profiles: Tensor, factors: Tensor) -> Tensor:
    """Return profiles read at angles larger by (n,) factors: narrower bands for factors above 1."""
    n, channels, families, bins = profiles.shape
    place = (torch.linspace(0.0, 1.0, bins)[None] * factors[:, None] * 2.0 - 1.0).clamp(-1.0, 1.0)
    grid = torch.stack([place, torch.zeros_like(place)], dim=-1)[:, None]
    flat = profiles.reshape(n, channels * families, 1, bins)
    stretched = nn.functional.grid_sample(flat, grid, align_corners=True, padding_mode="border")
    return stretched.reshape(profiles.shape)


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


def band_logits(
    model: BandModel,
    masters: MasterSet,
    stream: StreamConfig,
    count: int,
    *,
    progress: bool = True,
) -> tuple[NDArray[np.float64], Profiles]:
    """Return what a model says about fresh patterns, their orientations found as in measured ones.

    Parameters
    ----------
    model
        The model, which finds the orientations with its own templates.
    masters, stream
        The crystals, and what is photographed how. Patterns share a screen a hundred or more at a time.
    count
        Patterns, at least. As many are of outside as of each group.
    progress
        Show a progress bar.

    Returns
    -------
    logits : numpy.ndarray
        float64 (n, classes).
    profiles : Profiles
        What they are of.
    """
    screens = max(4, -(-count // _PATTERNS_A_SCREEN))
    config = ProfilesConfig(
        searched=screens,
        known=0,
        patterns=-(-count // screens),
        outside_share=1.0 / len(model.classes),
    )
    card = model.card
    maker = ProfileMaker(
        masters, card.classes, stream, config, model.finder, size=card.size, labels=card.labels
    )
    profiles = Profiles.concatenate(make_profiles(maker, progress=progress))
    return model.logits(profiles.values), profiles


def calibrate_bands(
    model: str | Path,
    config: str | Path | TrainingConfig,
    *,
    count: int = 6000,
    cache_dir: str | Path = "cache",
    progress: bool = True,
) -> ModelCard:
    """Do what `kikuchinet.training.calibrate` does for a model of band profiles; the parameters are its own."""
    folder = Path(model)
    settings = config if isinstance(config, TrainingConfig) else read_config(config)
    if settings.masters is None or settings.stream is None:
        raise InputError(str(config), "describes no stream of simulated patterns")
    network = load_band_model(folder)
    masters = prepare(settings.masters, cache_dir, progress=progress)
    logits, profiles = band_logits(network, masters, settings.stream, count, progress=progress)
    card = calibrated(network.card, logits, profiles.labels, settings.name)
    card.save(folder / CARD_FILE)
    return card
