"""A network that reads band profiles, and the model around it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kikuchinet.errors import InputError
from kikuchinet.indexing.bands import BINS, CHANNELS, FAMILIES, band_profiles, pooled_profiles
from kikuchinet.indexing.unnamed import CubicFinder, CubicOrientations
from kikuchinet.microscope import Detector
from kikuchinet.models.card import CARD_FILE, ModelCard
from kikuchinet.models.identification import Identification
from kikuchinet.models.registry import BAND_PROFILES, model_folder
from kikuchinet.models.space_group_model import answers
from kikuchinet.models.weights_file import WEIGHTS_FILE, load_weights
from kikuchinet.patterns import preprocess

DEFAULT_BAND_MODEL = "bands-m3m-10"

LEAST_CORRELATION = 0.18
"""A pattern that correlates less with the best template in the best orientation is taken for none. Noise reaches 0.07 to
0.11, text and micrographs of other kinds 0.13 to 0.21, a noisy measured pattern whose background was left on 0.196, crystals
that are not cubic 0.20 to 0.41, good cubic ones 0.34 to 0.88."""
INVERTED = -0.02
"""A pattern whose polarity (`CubicOrientations.polarity`) is lower is taken for one with black and white exchanged, and so
are all of at least four that are read together if their median is. Of 72 simulated good patterns of the 18 materials of
Kaufmann et al. the lowest was 0.04 and the median 0.23; their negatives have the same below 0."""
JUDGED_TOGETHER = 4
INVERTED_CONTRAST = "the contrast seems inverted: the negative looks more like a pattern"
_SCALE = 3.0
"""Brings the intensities of profiles, some tenths of a pattern's standard deviation, to the order of 1."""


class BandNetwork(nn.Module):
    """Networks of two hidden layers over the profiles of all families, whose logits are averaged.

    Parameters
    ----------
    classes
        Number of outputs.
    templates
        (k, side, side), how many templates of which size the model's file holds.
    width
        Units of a hidden layer.
    members
        How many networks; they differ in where they start and in what they leave out while learning.
    dropout
        Share of the hidden units, and half that of the inputs, that is left out while learning.
    """

    templates: Tensor
    scale: Tensor

    def __init__(
        self,
        classes: int,
        templates: tuple[int, int, int],
        *,
        width: int = 512,
        members: int = 1,
        dropout: float = 0.3,
    ) -> None:
        super().__init__()
        points = len(CHANNELS) * len(FAMILIES) * BINS
        self.members = nn.ModuleList(
            nn.Sequential(
                nn.Flatten(),
                nn.LayerNorm(points),
                nn.Dropout(0.5 * dropout),
                nn.Linear(points, width),
                nn.BatchNorm1d(width),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(width, width),
                nn.BatchNorm1d(width),
                nn.GELU(),
                nn.Dropout(dropout),
                nn.Linear(width, classes),
            )
            for _ in range(members)
        )
        # Orientations of patterns are found with them: a model is no use without, so they are in its file.
        self.register_buffer("templates", torch.zeros(templates))
        self.register_buffer(
            "scale",
            torch.tensor([1.0 if channel == "coverage" else _SCALE for channel in CHANNELS]).reshape(
                1, -1, 1, 1
            ),
        )

    def each(self, profiles: Tensor) -> Tensor:
        """Return the logits of each member, (members, n, classes), of profiles (n, 4, families, bins)."""
        scaled = profiles * self.scale
        return torch.stack([member(scaled) for member in self.members])

    def forward(self, profiles: Tensor) -> Tensor:
        """Return logits (n, classes) of profiles (n, 4, families, bins)."""
        return self.each(profiles).mean(dim=0)


@dataclass(frozen=True, eq=False)
class BandReading:
    """What the bands of patterns say.

    Parameters
    ----------
    identification
        Probabilities and answers, pattern by pattern.
    profiles
        float32 (n, 4, families, bins).
    orientations
        How the crystal lies, if it is cubic.
    """

    identification: Identification
    profiles: NDArray[np.float32]
    orientations: CubicOrientations

    def __len__(self) -> int:
        return len(self.profiles)

    @property
    def pooled_profiles(self) -> NDArray[np.float32]:
        """float32 (4, families, bins), of all patterns together."""
        return pooled_profiles(self.profiles)


class BandModel:
    """A network of band profiles and its card.

    Parameters
    ----------
    network
        The network.
    card
        The card; its `size` is the height at which profiles are taken, and a width that does not count.
    """

    def __init__(self, network: BandNetwork, card: ModelCard) -> None:
        self.network = network.eval()
        self.card = card
        self.finder = CubicFinder(network.templates.numpy())

    def __repr__(self) -> str:
        return (
            f"BandModel({self.card.name!r}, version {self.card.version}, space groups {list(self.classes)})"
        )

    @property
    def classes(self) -> tuple[int, ...]:
        """Space-group numbers that the model can answer with; 0, where it is there, for none of the others."""
        return self.card.classes

    @torch.inference_mode()
    def logits(self, profiles: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Return the raw outputs (n, classes) for band profiles (n, 4, families, bins)."""
        values = torch.from_numpy(np.ascontiguousarray(profiles, dtype=np.float32))
        return np.asarray(self.network(values).double().numpy())

    def weight_of_families(
        self, profiles: NDArray[np.floating[Any]], column: int, other: int
    ) -> NDArray[np.float64]:
        """Say how much the bands of each family speak for one answer and against another.

        Parameters
        ----------
        profiles
            (n, 4, families, bins).
        column, other
            Of the two answers among the classes.

        Returns
        -------
        numpy.ndarray
            (families,) fall of the logarithm of the odds between the two, mean of the patterns, when a family's profile is
            taken away (occlusion; M. D. Zeiler, R. Fergus, ECCV 2014). Negative where the family speaks for the other.
        """

        def odds(values: NDArray[np.floating[Any]]) -> float:
            scaled = self.logits(values) / self.card.temperature
            return float((scaled[:, column] - scaled[:, other]).mean())

        told = [place for place, channel in enumerate(CHANNELS) if channel != "coverage"]
        whole, falls = odds(profiles), []
        for family in range(profiles.shape[2]):
            without = np.array(profiles, dtype=np.float32)
            without[:, told, family] = 0.0
            falls.append(whole - odds(without))
        return np.asarray(falls)

    def identify(
        self, images: NDArray[Any] | Sequence[NDArray[Any]], detector: Detector, *, fit_center: bool = True
    ) -> BandReading:
        """Say which space group each pattern belongs to.

        Parameters
        ----------
        images
            (n, rows, columns), or as many images of one shape, of any real type, as the camera or the vendor's program left
            them.
        detector
            Where the screen stands, of that shape. The pattern centre should be right within 0.03.
        fit_center
            Whether the pattern centre is refined for each pattern.

        Returns
        -------
        BandReading
            In the order of the patterns.

        Raises
        ------
        kikuchinet.errors.InputError
            There are no patterns, they are no images, or of another shape than the detector.
        """
        prepared, mask, screen = self._prepared(images, detector)
        orientations = self.finder.find(prepared, screen, mask=mask, fit_center=fit_center)
        profiles = band_profiles(prepared, orientations.rays(screen), mask)
        blank = np.ptp(prepared.reshape(len(prepared), -1), axis=1) == 0
        said = answers(self.card, self.logits(profiles), blank, _refused(orientations, ~blank))
        return BandReading(said, profiles, orientations)

    def seek_center(self, images: NDArray[Any] | Sequence[NDArray[Any]], detector: Detector) -> Detector:
        """Find the pattern centre of images that share it, where it is not known; see `CubicFinder.seek_center`.

        Parameters
        ----------
        images
            As for `identify`; eight good ones are plenty.
        detector
            Of their shape; its tilts count.
        """
        prepared, mask, screen = self._prepared(images, detector)
        found = self.finder.seek_center(prepared, screen, mask=mask)
        return replace(detector, pattern_center=found.pattern_center)

    def _prepared(
        self, images: NDArray[Any] | Sequence[NDArray[Any]], detector: Detector
    ) -> tuple[NDArray[np.float32], NDArray[np.bool_], Detector]:
        """Return patterns made ready, (n, rows, columns), where the screen is, and the detector of their shape."""
        stack = np.stack([np.asarray(image) for image in images]) if len(images) else np.empty((0, 0, 0))
        if stack.ndim != 3 or len(stack) == 0:
            raise InputError("images", f"of shape {stack.shape}; some patterns (n, rows, columns) are needed")
        if stack.shape[1:] != detector.shape:
            raise InputError("images", f"of shape {stack.shape[1:]} on a detector of {detector.shape}")
        rows = self.card.size[0]
        shape = (rows, max(32, round(rows * stack.shape[2] / stack.shape[1])))
        prepared = preprocess(stack, size=shape)
        mask = (prepared != 0).mean(axis=0) > 0.5
        if not mask.any():
            mask[:] = True
        return prepared, mask, detector.binned(shape)


def _refused(orientations: CubicOrientations, shown: NDArray[np.bool_]) -> list[str]:
    """Return why nothing can be said of patterns, empty where something can; (n,) `shown` where there is any contrast."""
    inverted = orientations.polarity < INVERTED
    if shown.sum() >= JUDGED_TOGETHER and np.median(orientations.polarity[shown]) < INVERTED:
        inverted[:] = True
    return [
        INVERTED_CONTRAST
        if negative
        else f"no Kikuchi bands found (correlation {value:.2f})"
        if value < LEAST_CORRELATION
        else ""
        for value, negative in zip(orientations.correlations, inverted, strict=True)
    ]


def load_band_model(name: str | Path) -> BandModel:
    """Load a model of band profiles.

    Parameters
    ----------
    name
        As for `kikuchinet.models.load_model`.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such model, its files are damaged, or it is one of whole patterns.
    """
    folder = model_folder(name)
    card = ModelCard.load(folder / CARD_FILE)
    if card.architecture != BAND_PROFILES:
        raise InputError(name, "is a model of whole patterns, not of band profiles")
    network = network_of(card)
    load_weights(network, folder / WEIGHTS_FILE, sha256=card.sha256)
    return BandModel(network, card)


def network_of(card: ModelCard) -> BandNetwork:
    """Return an untrained network of the shape that a card describes."""
    shape = card.details.get("network", {})
    try:
        templates = tuple(int(n) for n in shape["templates"])
        width, members = int(shape["width"]), int(shape["members"])
        count, rows, columns = templates
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"card of {card.name}", f"does not say how the network is built ({error})"
        ) from error
    return BandNetwork(len(card.classes), (count, rows, columns), width=width, members=members)
