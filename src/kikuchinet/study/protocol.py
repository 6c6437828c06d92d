"""What Kaufmann et al. (2020) did: which materials taught the network in each experiment, and what came out.

Microsc. Microanal. 26 (2020) 447-457, doi 10.1017/S1431927620001506.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from kikuchinet.crystal import crystals
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets.manifest import Manifest
from kikuchinet.diffraction import visible_group
from kikuchinet.errors import InputError

TRAINING_PATTERNS, VALIDATION_PATTERNS = 400, 100
"""Per space group, shared evenly by the materials that teach it."""


@dataclass(frozen=True)
class Experiment:
    """One of the paper's experiments.

    Parameters
    ----------
    name
        The paper's figure, such as ``fig2``.
    table
        The paper's table of counts.
    training
        Space group to the materials that teach it.
    accuracy
        Overall accuracy in the paper, as it is stated there.
    finding
        What the paper says it showed.
    """

    name: str
    table: str
    training: Mapping[int, tuple[str, ...]]
    accuracy: str
    finding: str

    @property
    def taught(self) -> tuple[str, ...]:
        """All materials that teach the network."""
        return tuple(material for materials in self.training.values() for material in materials)

    def taught_visible(self, group: int) -> tuple[int, ...]:
        """Return the groups that a camera sees in the materials that teach `group`."""
        return tuple(dict.fromkeys(visible_group(crystals[name]) for name in self.training.get(group, ())))

    def taught_types(self, group: int) -> tuple[str, ...]:
        """Return the structure types of the materials that teach `group`."""
        return tuple(dict.fromkeys(structure_type(name) for name in self.training.get(group, ())))


def _experiments() -> dict[str, Experiment]:
    first = {221: ("FeNi3",), 223: ("Mo3Si",), 225: ("TaC",), 227: ("Ge",), 229: ("Ta",), 230: ("Al4CoNi2",)}
    two = {
        221: ("FeNi3", "NiAl"),
        223: ("Mo3Si",),
        225: ("TaC", "Ni"),
        227: ("Ge", "Si"),
        229: ("Ta", "Fe"),
        230: ("Al4CoNi2",),
    }
    rows: list[tuple[str, str, Mapping[int, tuple[str, ...]], str, str]] = [
        (
            "fig2",
            "A1",
            first,
            "51.2 %",
            "better than chance on 6 of 12 unseen materials; FeAl and NiAl go to 229 and 230",
        ),
        (
            "fig4",
            "A2",
            first | {225: ("Al",)},
            "40-65 %",
            "light 225 materials are now best; others' errors go to 225",
        ),
        ("fig5", "A3", first | {227: ("Si",)}, "40-65 %", "225, 227 and Fe go to 221; 221 gains"),
        (
            "fig6",
            "A4",
            first | {229: ("Fe",)},
            "40-65 %",
            "light 229 better; nearly half of NiAl goes to 229",
        ),
        ("fig7", "A5", two, "80 %", "only Al and W below chance"),
        ("fig10", "A6", dict(PAPER_MATERIALS), "93 %", "with all materials seen"),
    ]
    return {
        name: Experiment(name, table, MappingProxyType(training), accuracy, finding)
        for name, table, training, accuracy, finding in rows
    }


EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType(_experiments())
"""The six experiments by the name of their figure, in the paper's order."""


def find_experiment(name: str) -> Experiment:
    """Return an experiment by name.

    Raises
    ------
    kikuchinet.errors.InputError
        There is none of this name.
    """
    if name not in EXPERIMENTS:
        raise InputError(f"experiment {name!r}", f"is none of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def structure_type(material: str) -> str:
    """Return a library material's structure type: its prototype's short name, such as ``L1_2`` or ``A15``."""
    return crystals[material].prototype.split(" ")[0].rstrip(",")


def divide(
    manifest: Manifest,
    experiment: Experiment,
    *,
    training: int = TRAINING_PATTERNS,
    validation: int = VALIDATION_PATTERNS,
    seed: int = 0,
) -> Manifest:
    """Say which patterns an experiment learns from, stops by, and is tested on.

    Parameters
    ----------
    manifest
        Patterns of the paper's materials, simulated or measured. Where it has a column ``map``, scans stay together as
        far as they can: those that training and validation were drawn from are not tested on if the material has others.
    experiment
        Which materials teach.
    training, validation
        Patterns per space group.
    seed
        Same seed, same division; a material's patterns come in the same order in every experiment.

    Returns
    -------
    Manifest
        With the column ``split``: ``train``, ``validation``, ``test``, or ``unused`` for what lies in a scan that was
        trained on.

    Raises
    ------
    kikuchinet.errors.InputError
        A material that teaches has too few patterns, or its space group differs from the paper's.
    """
    frame = manifest.frame.copy()
    names = frame["material"].astype(str).to_numpy()
    split = np.full(len(frame), "test", dtype=object)
    for group, materials in experiment.training.items():
        for place, material in enumerate(materials):
            rows = _ordered(manifest, np.flatnonzero(names == material), material, seed)
            if len(rows) and (frame["space_group"].to_numpy()[rows] != group).any():
                raise InputError(material, f"the manifest gives it another space group than {group}")
            learn, check = (_share(total, len(materials), place) for total in (training, validation))
            if len(rows) <= learn + check:
                raise InputError(
                    material, f"has {len(rows)} patterns; {experiment.name} needs more than {learn + check}"
                )
            split[rows[:learn]] = "train"
            split[rows[learn : learn + check]] = "validation"
            if "map" in frame.columns:
                maps = frame["map"].astype(str).to_numpy()
                used = np.isin(maps[rows], np.unique(maps[rows[: learn + check]]))
                if not used.all():
                    rest = rows[learn + check :]
                    split[rest[used[learn + check :]]] = "unused"
    frame["split"] = split
    return Manifest(frame, manifest.folder)


def _share(total: int, parts: int, place: int) -> int:
    """Return how much of a total one of several nearly even parts gets."""
    return total // parts + (place < total % parts)


def _ordered(manifest: Manifest, rows: NDArray[np.int64], material: str, seed: int) -> NDArray[np.int64]:
    """Return a material's rows in random order, scan by scan where scans are known."""
    rng = np.random.default_rng([seed, *material.encode()])
    rows = rng.permutation(rows)
    if "map" not in manifest.frame.columns:
        return rows
    maps = manifest.frame["map"].astype(str).to_numpy()[rows]
    place = {name: i for i, name in enumerate(rng.permutation(np.unique(maps)).tolist())}
    return rows[np.argsort([place[name] for name in maps.tolist()], kind="stable")]
