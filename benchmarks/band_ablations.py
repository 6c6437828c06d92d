"""What a network of band profiles owes its skill to: it learns again with something taken away.

    python benchmarks/band_ablations.py configs/m3m-10-bands.toml --run runs/m3m-10-bands --out ablations/ [--only NAME ...]
    python benchmarks/band_ablations.py configs/m3m-10-bands.toml --run runs/m3m-10-bands --out ablations/ --leave-out copies

RUN is the folder of `kikuchinet train`: its profiles are learnt from again, nothing is simulated anew but what the
networks are asked, once. The first form asks every network about the crystals of configs/m3m-10-held-out.toml. The
second leaves each of the 18 materials of Kaufmann et al. (2020) out in turn, with all crystals of its structure type
whose mean atomic number is within a quarter of its own (`copies`) or with all of its structure type (`type`), and asks
about that material (configs/paper-18.toml). The averages that orientations are found with stay those of the run, in
which the material has a small part. The likeliest answer counts, sure or not, and every group that the crystal's
pattern does not tell apart is right. Every network that is finished adds its row to a table in OUT, ablations.csv or
left_out_copies.csv; what is there is not done again.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from kikuchinet._files import atomic_path
from kikuchinet.crystal import Crystal, crystals, near_copies
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import MasterSet, QualityRange, prepare
from kikuchinet.datasets.labels import among
from kikuchinet.datasets.masters_plan import plan, same
from kikuchinet.datasets.profiles import Profiles
from kikuchinet.evaluation import Evaluation, score_profiles
from kikuchinet.evaluation.evaluation import GOOD_SEED
from kikuchinet.indexing.bands import CHANNELS
from kikuchinet.models.band_network import BandModel, load_band_model
from kikuchinet.training import read_config
from kikuchinet.training.band_config import BandTrainingConfig, read_band_config
from kikuchinet.training.band_learning import fit_bands
from kikuchinet.training.bands import accepted_of, fresh_profiles

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
PAPER = tuple(name for names in PAPER_MATERIALS.values() for name in names)
SIMILAR = 0.25
"""Of the mean atomic number of a material: closer crystals of its structure type are its near-copies."""
POOL = 10


@dataclass(frozen=True, eq=False)
class Taught:
    """What a run learnt from: its configuration, master patterns with their crystals, profiles."""

    config: BandTrainingConfig
    masters: MasterSet
    bases: tuple[Crystal, ...]
    profiles: Profiles


@dataclass(frozen=True)
class Case:
    """A network that learns with something taken away.

    Parameters
    ----------
    says
        What is taken away.
    kept
        Which profiles (n,) it learns from; all if not given.
    learning
        Other settings of its learning.
    labels
        ``sets`` as in the run: all groups that a pattern does not tell apart are right; ``one``: the lowest of them alone;
        ``literal``: the space group.
    shown
        Changes profiles, those that are asked as those that are learnt from.
    """

    says: str
    kept: Callable[[Taught], NDArray[np.bool_]] | None = None
    learning: dict[str, Any] = field(default_factory=dict)
    labels: str = "sets"
    shown: Callable[[NDArray[np.float16]], NDArray[np.float16]] | None = None


def of_masters(wanted: Callable[[Crystal], bool]) -> Callable[[Taught], NDArray[np.bool_]]:
    """Return what chooses the profiles of some crystals."""

    def chosen(taught: Taught) -> NDArray[np.bool_]:
        return np.array([wanted(base) for base in taught.bases])[taught.profiles.masters]

    return chosen


def share_of_crystals(share: float) -> Callable[[Taught], NDArray[np.bool_]]:
    """Return what chooses a share of the crystals of each space group, at least one."""

    def chosen(taught: Taught) -> NDArray[np.bool_]:
        rng = np.random.default_rng(0)
        names = np.array([base.name for base in taught.bases])
        groups = {base.name: base.space_group for base in taught.bases}
        kept: list[str] = []
        for group in sorted(set(groups.values())):
            own = sorted(name for name, number in groups.items() if number == group)
            kept += rng.permutation(own)[: max(1, round(share * len(own)))].tolist()
        return np.isin(names, kept)[taught.profiles.masters]

    return chosen


def share_of_patterns(share: float) -> Callable[[Taught], NDArray[np.bool_]]:
    """Return what chooses a share of the blocks of patterns that share crystal and camera."""

    def chosen(taught: Taught) -> NDArray[np.bool_]:
        blocks = np.unique(taught.profiles.blocks)
        kept = np.random.default_rng(0).permutation(blocks)[: round(share * len(blocks))]
        return np.isin(taught.profiles.blocks, kept)

    return chosen


def of_parts(searched: bool) -> Callable[[Taught], NDArray[np.bool_]]:
    """Return what chooses the profiles whose orientations were found, or those whose orientations were known."""

    def chosen(taught: Taught) -> NDArray[np.bool_]:
        profiles = taught.config.profiles
        first = np.arange(len(taught.profiles)) < profiles.searched * profiles.patterns
        return first if searched else ~first

    return chosen


def averages_only(values: NDArray[np.float16]) -> NDArray[np.float16]:
    """Take the separated curves away."""
    left = values.copy()
    left[:, CHANNELS.index("separated")] = 0.0
    return left


def first_families(number: int) -> Callable[[NDArray[np.float16]], NDArray[np.float16]]:
    """Return what takes all but the first families of planes away."""

    def left(values: NDArray[np.float16]) -> NDArray[np.float16]:
        few = values.copy()
        few[:, :, number:] = 0.0
        return few

    return left


def drawn(base: Crystal) -> bool:
    """Whether a crystal is in no library."""
    return base.name not in crystals


CASES: dict[str, Case] = {
    "all": Case("nothing"),
    "one-answer": Case("that several groups may be right", labels="one"),
    "literal": Case("that labels are what a pattern shows", labels="literal"),
    "no-synthetic": Case(
        "crystals of random atoms", of_masters(lambda base: not base.name.startswith("synthetic-"))
    ),
    "no-variants": Case(
        "other elements in known types", of_masters(lambda base: not base.name.startswith("variant-"))
    ),
    "library": Case("all crystals that are in no library", of_masters(lambda base: not drawn(base))),
    "paper-18": Case("all but the 18 materials", of_masters(lambda base: base.name in PAPER)),
    "crystals-1/2": Case("half of the crystals", share_of_crystals(1 / 2)),
    "crystals-1/4": Case("three quarters of the crystals", share_of_crystals(1 / 4)),
    "crystals-1/8": Case("seven eighths of the crystals", share_of_crystals(1 / 8)),
    "patterns-1/2": Case("half of the patterns", share_of_patterns(1 / 2)),
    "patterns-1/4": Case("three quarters of the patterns", share_of_patterns(1 / 4)),
    "patterns-1/8": Case("seven eighths of the patterns", share_of_patterns(1 / 8)),
    "searched": Case("patterns of known orientation", of_parts(searched=True)),
    "known": Case("patterns whose orientation was found", of_parts(searched=False)),
    "wrong-orientations": Case(
        "the bound on wrong orientations", learning={"misorientation_deg": float("inf")}
    ),
    "no-stretching": Case("other lattice parameters while learning", learning={"dilation": 0.0}),
    "no-gain": Case("bands made fainter and stronger while learning", learning={"gain": 0.0}),
    "no-mixing": Case("mixtures of crystals while learning", learning={"mixed": 0.0}),
    "no-noise": Case("noise while learning", learning={"noise": 0.0}),
    "no-pooling": Case("averages of several patterns while learning", learning={"pooled": 0.0}),
    "no-dropout": Case("dropout", learning={"dropout": 0.0}),
    "narrow": Case("three quarters of the hidden units", learning={"width": 128}),
    "one-member": Case("two of three networks", learning={"members": 1}),
    "averages": Case("the separated curves", shown=averages_only),
    "families-8": Case("the last 8 of 16 families of planes", shown=first_families(8)),
    "families-4": Case("the last 12 of 16 families of planes", shown=first_families(4)),
}


def learnt(taught: Taught, case: Case, run: BandModel, progress: bool = True) -> BandModel:
    """Let a network learn what a case leaves."""
    profiles, config = taught.profiles, taught.config
    labels = "literal" if case.labels == "literal" else config.labels
    accepted = accepted_of(taught.masters, config.classes, labels)
    groups = [entry.space_group if labels == "literal" else entry.visible_group for entry in taught.masters]
    columns = np.array([config.classes.index(group) for group in among(groups, config.classes).tolist()])
    profiles = replace(profiles, labels=columns[profiles.masters])
    if case.kept is not None:
        profiles = profiles.chosen(case.kept(taught))
    if case.shown is not None:
        profiles = replace(profiles, values=case.shown(profiles.values))
    config = replace(config, learning=replace(config.learning, **case.learning))
    network = fit_bands(
        profiles, config, run.finder, accepted=None if case.labels == "one" else accepted, progress=progress
    )
    return BandModel(network, run.card)


def asked(path: Path, name: str, run: BandModel, count: int, cache: Path) -> tuple[MasterSet, Profiles]:
    """Return profiles of fresh patterns that networks are asked about; they are kept in a file."""
    config = read_config(CONFIGS / f"{name}.toml")
    assert config.masters is not None
    assert config.stream is not None
    masters = prepare(config.masters, cache)
    if path.is_file():
        return masters, Profiles.load(path)
    stream = replace(config.stream, seed=GOOD_SEED, camera="good", cameras=(), quality=QualityRange())
    profiles = fresh_profiles(run, masters, stream, count)
    profiles.save(path)
    return masters, profiles


def row_of(scores: Evaluation) -> dict[str, float]:
    """Return what a table says of a network."""
    pools = scores.pools.set_index("pooled")
    return {
        "recall": float(pools.loc[1, "macro_recall"]),
        "crystals": float(pools.loc[1, "accuracy"]),
        "of_ten": float(pools.loc[POOL, "accuracy"]),
        "crystals_right": float(pools.loc[1, "materials_right"]),
        "of": float(pools.loc[1, "materials"]),
    }


def left_out(name: str, taught: Taught, how: str) -> NDArray[np.bool_]:
    """Return which profiles (n,) are left when a material is left out.

    Parameters
    ----------
    name
        The material.
    taught
        What there is.
    how
        ``copies`` or ``type``.
    """
    material = crystals[name]
    others = [base for base in dict.fromkeys(taught.bases) if base != material]
    z = material.mean_atomic_number
    gone = {
        base
        for base in near_copies(material, others)
        if how == "type" or abs(base.mean_atomic_number - z) <= SIMILAR * z
    }
    return np.array(
        [not (base == material or base in gone or same(base, material)) for base in taught.bases]
    )[taught.profiles.masters]


def ablate(taught: Taught, run: BandModel, only: list[str], given: argparse.Namespace) -> None:
    """Let the networks of `CASES` learn, and ask them about held-out crystals."""
    masters, held = asked(given.out / "held-out.npz", "m3m-10-held-out", run, given.count, given.cache)
    table = Table(given.out / "ablations.csv", "case")
    for name in only:
        if table.has(name):
            continue
        case = CASES[name]
        model = learnt(taught, case, run)
        shown = held if case.shown is None else replace(held, values=case.shown(held.values))
        scores = score_profiles(model, masters, shown)
        table.add({"case": name, "taken away": case.says, **row_of(scores)})


def leave_out(taught: Taught, run: BandModel, only: list[str], given: argparse.Namespace) -> None:
    """Leave materials out in turn, and ask about each."""
    masters, profiles = asked(given.out / "paper-18.npz", "paper-18", run, given.count, given.cache)
    materials = np.array([entry.material for entry in masters])
    table = Table(given.out / f"left_out_{given.leave_out}.csv", "material")
    for name in only:
        if table.has(name):
            continue
        kept = left_out(name, taught, given.leave_out)
        model = learnt(taught, Case("", kept=lambda _, kept=kept: kept), run)
        own = profiles.chosen(materials[profiles.masters] == name)
        scores = score_profiles(model, masters, own)
        (number,) = set(own.masters.tolist()[:1])
        counts = pd.Series(np.asarray(model.classes)[model.logits(own.values).argmax(axis=1)]).value_counts()
        pools = scores.pools.set_index("pooled")
        table.add(
            {
                "material": name,
                "groups": " ".join(map(str, masters[number].visible_groups)),
                "crystals left out": len(set(taught.profiles.masters[~kept].tolist())),
                "patterns": len(own),
                "right": float(pools.loc[1, "accuracy"]),
                "of_ten": float(pools.loc[POOL, "accuracy"]),
                "answers": " ".join(f"{group}:{count}" for group, count in counts.items()),
            }
        )


class Table:
    """Rows in a file, one a network, written as they come."""

    def __init__(self, path: Path, key: str) -> None:
        self.path, self.key = path, key
        self.rows: list[dict[str, Any]] = (
            pd.read_csv(path).to_dict("records") if path.is_file() else []  # type: ignore[assignment]
        )

    def has(self, name: str) -> bool:
        """Whether there is such a row."""
        return any(row[self.key] == name for row in self.rows)

    def add(self, row: dict[str, Any]) -> None:
        """Add a row, write the file and print the row."""
        self.rows.append(row)
        with atomic_path(self.path) as temporary:
            pd.DataFrame(self.rows).to_csv(temporary, index=False)
        print(" ".join(f"{v:.3f}" if isinstance(v, float) else str(v) for v in row.values()), flush=True)


def main() -> None:
    """Learn again, ask, and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("config", type=Path, help="the run's configuration")
    parser.add_argument("--run", type=Path, required=True, help="folder of the run")
    parser.add_argument(
        "--out", type=Path, required=True, help="folder for tables, and what networks are asked"
    )
    parser.add_argument("--leave-out", choices=("copies", "type"), default=None)
    parser.add_argument(
        "--only", nargs="*", default=None, help="names of cases, or of materials; all if not given"
    )
    parser.add_argument("--epochs", type=int, default=None, help="the configuration's if not given")
    parser.add_argument("--members", type=int, default=None, help="likewise")
    parser.add_argument("--count", type=int, default=3000, help="patterns that networks are asked about")
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    given = parser.parse_args()
    choices = CASES if given.leave_out is None else PAPER
    only = list(choices) if given.only is None else given.only
    if unknown := [name for name in only if name not in choices]:
        parser.error(f"none of {', '.join(choices)}: {', '.join(unknown)}")
    given.out.mkdir(parents=True, exist_ok=True)
    config = read_band_config(given.config)
    asked_for = {
        name: getattr(given, name) for name in ("epochs", "members") if getattr(given, name) is not None
    }
    config = replace(config, learning=replace(config.learning, **asked_for))
    parts = sorted((given.run / "profiles").glob("part-*.npz"))
    if len(parts) != config.profiles.searched + config.profiles.known:
        parser.error(
            f"{given.run} holds {len(parts)} parts of profiles, which is not what the configuration says"
        )
    masters = prepare(config.masters, given.cache)
    bases = tuple(spec.base for spec in plan(config.masters, given.cache))
    taught = Taught(config, masters, bases, Profiles.concatenate([Profiles.load(part) for part in parts]))
    run = load_band_model(given.run / "model")
    (ablate if given.leave_out is None else leave_out)(taught, run, only, given)


if __name__ == "__main__":
    main()
