"""How often a model gives no answer where there is nothing to answer, and what that costs of good patterns.

    python benchmarks/abstention.py [--model NAME] [--bands NAME] [--count 200] --out abstention.md

Images that are no Kikuchi patterns: blank and saturated ones, noise, the background of a screen without diffraction, pages
of text, photographs and micrographs of other kinds (crops of the images inside scikit-image, 60 x 60 to 256 x 256). Good
patterns: simulated here, the materials of `GOOD`, camera `good`; crystals that are not cubic: those of `NOT_CUBIC`.
Answering "outside" is counted apart: it is an answer about a crystal, and wrong for a page of text. Bands are read as if the
pattern centre were known.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from skimage import data
from skimage.color import rgb2gray

import kikuchinet as kn
from kikuchinet._files import atomic_path
from kikuchinet.datasets import GeometryRange, MastersConfig, MasterSet, prepare
from kikuchinet.datasets.recording import record
from kikuchinet.microscope import CameraRange
from kikuchinet.models.band_network import load_band_model
from kikuchinet.models.identification import Identification

Image = NDArray[np.uint8]
GOOD = ("Al", "Ni", "Fe", "Si", "NiAl")
NOT_CUBIC = ("Ti", "Zn", "rutile", "calcite", "quartz")
CENTER = (0.5, 0.3, 0.6)
PHOTOGRAPHS = (
    "astronaut",
    "brick",
    "camera",
    "coffee",
    "coins",
    "grass",
    "gravel",
    "moon",
    "rocket",
    "hubble_deep_field",
)
MICROGRAPHS = ("cell", "immunohistochemistry", "microaneurysms", "retina")
TEXTS = ("page", "text")
SHAPES = ((60, 60), (96, 96), (120, 160), (192, 192), (256, 256))


def blank(rng: np.random.Generator) -> Image:
    """One grey level."""
    return np.full(_shape(rng), rng.integers(256), dtype=np.uint8)


def saturated(rng: np.random.Generator) -> Image:
    """White, but for a few pixels."""
    shape = _shape(rng)
    return np.where(rng.random(shape) < 0.001, 254, 255).astype(np.uint8)


def noise(rng: np.random.Generator) -> Image:
    """Counts of one mean, and readout noise."""
    mean = rng.uniform(5, 200)
    return _grey(rng.poisson(mean, _shape(rng)) + rng.normal(0, rng.uniform(0, 5)))


def background(rng: np.random.Generator) -> Image:
    """A screen lit by electrons that were not diffracted: a broad hump, vignetting, counting noise."""
    rows, columns = shape = _shape(rng)
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    centre, width = rng.uniform(0.2, 0.8, 2), rng.uniform(0.3, 0.8)
    hump = np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / (2 * width**2))
    return _grey(rng.poisson(rng.uniform(20, 500) * (0.2 + hump), shape))


def crop(names: tuple[str, ...], rng: np.random.Generator) -> Image:
    """Part of one of scikit-image's images."""
    image = np.asarray(getattr(data, str(rng.choice(names)))())
    grey = image if image.ndim == 2 else rgb2gray(image)
    rows, columns = (min(a, b) for a, b in zip(_shape(rng), grey.shape, strict=True))
    top, left = rng.integers(grey.shape[0] - rows + 1), rng.integers(grey.shape[1] - columns + 1)
    return _grey(grey[top : top + rows, left : left + columns])


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    return SHAPES[rng.integers(len(SHAPES))]


def _grey(image: NDArray[np.generic]) -> Image:
    values = np.asarray(image, dtype=float)
    low, high = values.min(), values.max()
    return np.round(255 * (values - low) / max(high - low, 1e-9)).astype(np.uint8)


KINDS: dict[str, Callable[[np.random.Generator], Image]] = {
    "blank": blank,
    "saturated": saturated,
    "noise": noise,
    "background alone": background,
    "text": partial(crop, TEXTS),
    "photographs": partial(crop, PHOTOGRAPHS),
    "other microscopy": partial(crop, MICROGRAPHS),
}


def patterns(masters: MasterSet, count: int, size: tuple[int, int], rng: np.random.Generator) -> list[Image]:
    """Simulated patterns of camera `good`, as grey levels."""
    x, y, z = CENTER
    geometry = GeometryRange(pc_x=(x, x), pc_y=(y, y), pc_z=(z, z))
    cameras = CameraRange.good()
    images: list[Image] = []
    while len(images) < count:
        number = len(images) // 8 % len(masters)
        drawn = record(masters, number, 8, size, geometry=geometry, cameras=cameras, quality=0.5, rng=rng)
        images += [_grey(image) for image in drawn.images]
    return images[:count]


def row(identify: Callable[[NDArray[np.uint8]], Identification], kind: str, images: list[Image]) -> str:
    """Return a row of the table."""
    # By shape, as a model takes them.
    abstained = outside = 0
    reasons: Counter[str] = Counter()
    highest: list[float] = []
    for shape in {image.shape for image in images}:
        result = identify(np.stack([image for image in images if image.shape == shape]))
        abstained += int(result.abstained.sum())
        outside += int(result.outside.sum())
        reasons.update(reason.split(" 0.")[0].split(" (")[0] for reason in result.reasons if reason)
        highest += result.probabilities.max(axis=1)[~result.abstained].tolist()
    n = len(images)
    reason = ", ".join(f"{text} ({count})" for text, count in reasons.most_common(2))
    sure = f"{np.median(highest):.2f}" if highest else ""
    shares = " | ".join(f"{k / n:.3f}" for k in (abstained, outside, n - abstained - outside))
    return f"| {kind} | {n} | {shares} | {sure} | {reason} |"


def main() -> None:
    """Measure and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default=None)
    parser.add_argument("--bands", default=None, help="a model of band profiles instead")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--cache", type=Path, default=Path("cache"))
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    identify: Callable[[NDArray[np.uint8]], Identification]
    if arguments.bands:
        bands = load_band_model(arguments.bands)
        card = bands.card

        def identify(images: NDArray[np.uint8]) -> Identification:
            return bands.identify(images, kn.Detector(images.shape[1:], CENTER)).identification

    else:
        model = kn.load_model(arguments.model)
        card, identify = model.card, model.identify
    lines = [
        f"{card.name} {card.version}, seed {arguments.seed}",
        "",
        "| images | n | no answer | outside | a space group | its median probability | why no answer |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for number, (kind, make) in enumerate(KINDS.items()):
        rng = np.random.default_rng([arguments.seed, number])
        lines.append(row(identify, kind, [make(rng) for _ in range(arguments.count)]))
    for number, (kind, materials) in enumerate(
        {"good patterns": GOOD, "not cubic": NOT_CUBIC}.items(), len(KINDS)
    ):
        config = MastersConfig(materials=materials, half_width=80, preset="fast", energies=1, variants=1)
        masters = prepare(config, arguments.cache, progress=False)
        rng = np.random.default_rng([arguments.seed, number])
        lines.append(row(identify, kind, patterns(masters, arguments.count, (120, 120), rng)))
    print("\n".join(lines))
    with atomic_path(arguments.out) as temporary:
        temporary.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
