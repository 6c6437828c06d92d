"""How robust the answers are: a table of accuracy against size, pattern centre, energy, grey scale, processing and screen.

    python benchmarks/robustness.py [--bands MODEL] [--model NAME] [--count 216] [--only ROW...] --out robustness.md

Simulated patterns of the 18 materials of Kaufmann et al. (2020), camera `good`, are given to `kikuchinet.identify` as a
user gives them, and answered twice: by band profiles and by a network of whole patterns. Every row has the crystals,
orientations, screens and cameras of `REFERENCE` but for what its name says. Groups that a pattern does not tell apart are
all right answers (docs/crystals.md). "Outside" is an answer, and wrong here. Patterns of inverted contrast have no right
answer: all but "no answer" is wrong.

OUT is the table, and beside it a CSV file holds a line a row; rows that are there with the same settings are not done again.
"""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from skimage import io

import kikuchinet as kn
from kikuchinet._files import atomic_path
from kikuchinet.crystal import OUTSIDE
from kikuchinet.crystal.library import PAPER_MATERIALS
from kikuchinet.datasets import GeometryRange, MastersConfig, MasterSet, prepare
from kikuchinet.datasets.labels import among
from kikuchinet.datasets.recording import draw, record_scene
from kikuchinet.microscope import Camera, CameraRange
from kikuchinet.models import Identification, SpaceGroupModel
from kikuchinet.models.band_network import DEFAULT_BAND_MODEL, BandModel, load_band_model
from kikuchinet.patterns import Geometry, PatternSource

MATERIALS = tuple(name for names in PAPER_MATERIALS.values() for name in names)
BLOCK = 4
"""Patterns of a material on a screen; they share a camera."""
SCREENS = GeometryRange(pc_y=(0.1, 0.6))
"""Where screens stand: as in configs/paper-18.toml."""
QUALITY = 0.5
NOT_GIVEN = -1.0
WAYS = ("bands", "network")
SHARES = ("right", "none", "wrong")


@dataclass(frozen=True)
class Recipe:
    """How patterns of a row are made and given.

    Parameters
    ----------
    shape
        Rows and columns.
    energy_kev
        Of the beam.
    center_error
        How far the pattern centre that is given lies from the true one, in any direction; `NOT_GIVEN` where none is.
    camera
        Fields of `kikuchinet.microscope.Camera` and their values.
    file
        ``png`` or ``tif``: patterns are given as a folder of such files; else as arrays.
    real
        Whether grey levels are real numbers of mean 0.
    inverted
        Whether black and white are exchanged.
    """

    shape: tuple[int, int] = (120, 160)
    energy_kev: float = 20.0
    center_error: float = 0.0
    camera: tuple[tuple[str, Any], ...] = ()
    file: str = ""
    real: bool = False
    inverted: bool = False


REFERENCE = Recipe()
_PLAIN = {
    "flat_fielded": True,
    "dynamic_background": False,
    "dynamic_operation": "subtract",
    "local_contrast": 0.0,
    "screen_radius": 0.0,
}
"""The camera of the reference: background divided out or subtracted, nothing else done, a screen that fills the image."""
_RAW = (("flat_fielded", False),)
_ROUND = (("screen_radius", 0.5), ("screen_center", (0.5, 0.5)))
_HIGH_PASS = (("dynamic_background", True), ("dynamic_operation", "subtract"), ("dynamic_width", 0.06))

ROWS: dict[str, dict[str, Recipe]] = {
    "size (rows x columns)": {
        f"{rows} x {columns}": Recipe(shape=(rows, columns))
        for rows, columns in (
            (60, 60), (96, 96), (120, 160), (246, 299), (480, 640), (1024, 1244), (60, 120), (120, 60),
        )
    },
    "pattern centre": {
        "exact": REFERENCE,
        "off by 0.01": Recipe(center_error=0.01),
        "off by 0.02": Recipe(center_error=0.02),
        "off by 0.05": Recipe(center_error=0.05),
        "not given": Recipe(center_error=NOT_GIVEN),
    },
    "energy": {f"{kev} kV": Recipe(energy_kev=float(kev)) for kev in (10, 15, 20, 25, 30)},
    "grey scale": {
        "8 bit": REFERENCE,
        "8 bit, PNG files": Recipe(file="png"),
        "16 bit": Recipe(camera=(("bits", 16),)),
        "12 of 16 bit, TIFF files": Recipe(camera=(("bits", 12),), file="tif"),
        "real numbers, TIFF files": Recipe(camera=(("bits", 16),), file="tif", real=True),
    },
    "processing": {
        "static background removed": REFERENCE,
        "raw": Recipe(camera=_RAW),
        "dynamic background removed as well": Recipe(camera=(*_HIGH_PASS[:2], ("dynamic_width", 0.125))),
        "high-pass filter": Recipe(camera=_HIGH_PASS),
        "local contrast (CLAHE)": Recipe(camera=(("local_contrast", 3.0),)),
    },
    "screen": {
        "fills the image": REFERENCE,
        "round, dark around it": Recipe(camera=(*_ROUND, ("surround", "dark"))),
        "round, grey around it": Recipe(camera=(*_ROUND, ("surround", "grey"))),
        "round, raw": Recipe(camera=(*_ROUND, *_RAW, ("surround", "dark"))),
    },
    "contrast inverted": {
        "inverted": Recipe(inverted=True),
        "inverted, raw": Recipe(inverted=True, camera=_RAW),
        "inverted, 60 x 60": Recipe(inverted=True, shape=(60, 60)),
        "inverted, pattern centre not given": Recipe(inverted=True, center_error=NOT_GIVEN),
    },
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Screen:
    """Patterns that share a screen.

    Parameters
    ----------
    images
        (n, rows, columns), the grey levels that are given.
    masters
        (n,) indices into the `MasterSet`.
    geometry
        What is said of where the screen stood, if anything.
    """

    images: NDArray[Any]
    masters: NDArray[np.int64]
    geometry: Geometry | None


def screens(masters: MasterSet, recipe: Recipe, count: int, seed: int) -> Iterator[Screen]:
    """Yield at least so many patterns, screen by screen; all that is drawn depends on the seed alone.

    Parameters
    ----------
    masters
        One of each material.
    recipe
        What is done to them.
    count, seed
        How many patterns, and which.
    """
    for number in range(-(-count // (len(masters) * BLOCK))):
        rng = np.random.default_rng([seed, number])
        (center,) = SCREENS.pattern_centers(1, rng)
        sample_tilt, tilt, azimuthal = SCREENS.tilts_deg(rng)
        direction = rng.standard_normal(3)
        fixed = GeometryRange(
            *((value, value) for value in (*center.tolist(), sample_tilt, tilt, azimuthal)),
        )
        blocks = []
        for master in range(len(masters)):
            drawn = np.random.default_rng([seed, number, master])
            scene = draw(
                master, BLOCK, recipe.shape, geometry=fixed, cameras=CameraRange.good(), quality=QUALITY, rng=drawn
            )  # fmt: skip
            scene = replace(scene, camera=_camera(scene.camera, recipe))
            blocks.append(record_scene(masters, scene, recipe.shape, drawn))
        images = as_given(np.concatenate([block.images for block in blocks]), recipe)
        geometry = None
        if recipe.center_error != NOT_GIVEN:
            given = center + recipe.center_error * direction / np.linalg.norm(direction)
            geometry = Geometry(given[None], sample_tilt, tilt, azimuthal)
        yield Screen(images, np.concatenate([block.masters for block in blocks]), geometry)


def _camera(camera: Camera, recipe: Recipe) -> Camera:
    changes: dict[str, Any] = {**_PLAIN, **dict(recipe.camera)}
    return replace(camera, **changes)


def as_given(levels: NDArray[np.floating[Any]], recipe: Recipe) -> NDArray[Any]:
    """Return grey levels, whole numbers in float32, as a file would hold them."""
    bits = int(dict(recipe.camera).get("bits", 8))
    if recipe.inverted:
        levels = (2**bits - 1) - levels
    if recipe.real:
        return ((levels - levels.mean()) / levels.std()).astype(np.float32)
    return levels.astype(np.uint8 if bits <= 8 else np.uint16)


def source_of(screen: Screen, recipe: Recipe, folder: Path) -> PatternSource:
    """Return the patterns of a screen as `kikuchinet.identify` takes them; files are written into `folder`."""
    if not recipe.file:
        names = ["simulated"] * len(screen.images)
        return PatternSource(
            "simulated", names, lambda first, last: list(screen.images[first:last]), geometry=screen.geometry
        )
    for number, image in enumerate(screen.images):
        io.imsave(folder / f"pattern_{number}.{recipe.file}", image, check_contrast=False)
    (source,) = kn.read_patterns(folder)
    return replace(source, geometry=screen.geometry)


def answered(source: PatternSource, bands: BandModel, model: SpaceGroupModel) -> dict[str, Identification]:
    """Return what both ways say about the patterns."""
    result = kn.identify(source, model, bands=bands)
    # Without a pattern that the network takes for one there is nothing to read.
    whole = result if result.whole is None else result.whole
    return {"bands": result.identification, "network": whole.identification}


def counted(
    said: Identification, masters: MasterSet, which: NDArray[np.int64], *, answerable: bool = True
) -> Counter[str]:
    """Count answers that are right, wrong or none, and among the wrong ones those that say "outside".

    Parameters
    ----------
    said
        The answers.
    masters, which
        The crystals, and which of them each pattern is of.
    answerable
        Whether there is a right answer at all.
    """
    found: Counter[str] = Counter()
    for answer, none, master in zip(said.answers.tolist(), said.abstained, which, strict=True):
        right = answerable and answer in among(list(masters[int(master)].visible_groups), said.classes)
        found["none" if none else "right" if right else "wrong"] += 1
        found["outside"] += int(not none and answer == OUTSIDE)
    return found


def why(reasons: Sequence[str]) -> str:
    """Return the most frequent reason of those that there are, without its numbers."""
    kinds = Counter(reason.split(" (")[0].split(" 0.")[0] for reason in reasons if reason)
    return kinds.most_common(1)[0][0] if kinds else ""


def measured(
    masters: MasterSet, recipe: Recipe, bands: BandModel, model: SpaceGroupModel, count: int, seed: int
) -> dict[str, Any]:
    """Make the patterns of a recipe, have them answered and count: what a line of the CSV file says besides its settings."""
    found = {way: Counter[str]() for way in WAYS}
    reasons: dict[str, list[str]] = {way: [] for way in WAYS}
    for screen in screens(masters, recipe, count, seed):
        with tempfile.TemporaryDirectory() as folder:
            said = answered(source_of(screen, recipe, Path(folder)), bands, model)
        for way in WAYS:
            found[way] += counted(said[way], masters, screen.masters, answerable=not recipe.inverted)
            reasons[way] += said[way].reasons
    n = found["bands"].total() - found["bands"]["outside"]
    line: dict[str, Any] = {"patterns": n}
    for way in WAYS:
        line |= {f"{way} {share}": round(found[way][share] / n, 4) for share in (*SHARES, "outside")}
        line[f"{way} why"] = why(reasons[way])
    return line


class Lines:
    """The lines that are done, in a CSV file; those of other settings stay in it and do not count.

    Parameters
    ----------
    path
        The file, which need not be there yet.
    settings
        What must be the same for a line to count.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path, self.settings = path, {name: str(value) for name, value in settings.items()}

    def _all(self) -> list[dict[str, str]]:
        if not self.path.is_file():
            return []
        return pd.read_csv(self.path, dtype=str, keep_default_na=False).to_dict("records")

    def find(self, recipe: Recipe) -> dict[str, str] | None:
        """Return the line of a recipe, or None."""
        wanted = {**self.settings, "recipe": repr(recipe)}
        return next((line for line in self._all() if wanted.items() <= line.items()), None)

    def keep(self, recipe: Recipe, line: dict[str, Any]) -> None:
        """Add a line; the file is read again before, for another process may have added some."""
        lines = [*self._all(), {**self.settings, "recipe": repr(recipe), **line}]
        with atomic_path(self.path) as temporary:
            pd.DataFrame(lines).to_csv(temporary, index=False, lineterminator="\n")


def table(lines: Lines, title: str) -> str:
    """Return the table of all rows that are done, in Markdown."""
    head = [f"{way}: {share}" for way in WAYS for share in ("right", "no answer", "wrong")]
    text = [title, "", "| | | patterns | " + " | ".join(head) + " |", "|" + " --- |" * (3 + len(head))]
    for what, rows in ROWS.items():
        label = what
        for name, recipe in rows.items():
            if (line := lines.find(recipe)) is None:
                continue
            shares = [
                "-" if recipe.inverted and share == "right" else f"{float(line[f'{way} {share}']):.3f}"
                for way in WAYS
                for share in SHARES
            ]
            text.append(f"| {label} | {name} | {line['patterns']} | " + " | ".join(shares) + " |")
            label = ""
    return "\n".join(text) + "\n"


def masters_at(energy_kev: float, cache: Path) -> MasterSet:
    """Return a master pattern of each material as it stands in the library, at an energy."""
    config = MastersConfig(
        materials=MATERIALS,
        half_width=80,
        preset="fast",
        energies=1,
        variants=1,
        energy_typical_kev=energy_kev,
    )
    return prepare(config, cache, progress=False)


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = list(dict.fromkeys(name for rows in ROWS.values() for name in rows))
    parser.add_argument("--bands", default=DEFAULT_BAND_MODEL, help="a model of band profiles, or its folder")
    parser.add_argument("--model", default=None, help="a model of whole patterns, or its folder")
    parser.add_argument("--count", type=int, default=216, help="patterns of a row, at least")
    parser.add_argument("--only", nargs="*", choices=names, metavar="ROW", default=names)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="of master patterns")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    bands, model = load_band_model(given.bands), kn.load_model(given.model)
    lines = Lines(
        given.out.with_suffix(".csv"),
        {
            "count": given.count,
            "seed": given.seed,
            "bands": f"{bands.card.name} {bands.card.version} {bands.card.sha256[:12]}",
            "network": f"{model.name} {model.version} {model.card.sha256[:12]}",
        },
    )
    title = f"bands: {bands.card.name} {bands.card.version}; network: {model.name} {model.version}; seed {given.seed}"
    for rows in ROWS.values():
        for name, recipe in rows.items():
            if name not in given.only or lines.find(recipe) is not None:
                continue
            masters = masters_at(recipe.energy_kev, given.cache)
            lines.keep(
                recipe, {"row": name, **measured(masters, recipe, bands, model, given.count, given.seed)}
            )
            print(f"{name} is done", flush=True)
    text = table(lines, title)
    print(text)
    with atomic_path(given.out) as temporary:
        temporary.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
