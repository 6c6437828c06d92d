"""The card beside a set of weights: what the model is, what it was taught, what it is worth."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from kikuchinet._files import atomic_path
from kikuchinet.crystal import OUTSIDE
from kikuchinet.errors import InputError

CARD_FILE = "card.json"


def check_classes(classes: tuple[int, ...], subject: str) -> None:
    """See that classes are what a model can have.

    Parameters
    ----------
    classes
        Space-group numbers, and `kikuchinet.crystal.OUTSIDE` where the model has that class.
    subject
        Whose they are, for the error.

    Raises
    ------
    kikuchinet.errors.InputError
        There are fewer than two, one stands there twice, or a number is neither a space group's nor 0, "none of the others".
    """
    if len(classes) < 2 or len(set(classes)) != len(classes):
        raise InputError(subject, "at least two different space groups are needed")
    for number in classes:
        if number != OUTSIDE and not 1 <= number <= 230:
            raise InputError(
                subject, f"{number} is neither a space group (1 to 230) nor 0 (none of the others)"
            )


@dataclass(frozen=True)
class ModelCard:
    """Everything about a trained model but its weights.

    Parameters
    ----------
    name, version
        What the model is called.
    architecture
        timm's name of the network.
    classes
        Space-group numbers, in the order of the network's outputs. `kikuchinet.crystal.OUTSIDE`, 0, is the class of crystals
        of all other groups.
    size
        Rows and columns of the patterns that the network takes.
    labels
        Whether the classes are ``visible`` or ``literal`` space groups.
    sha256
        Digest of the weights file.
    temperature
        Logits are divided by it; fitted on fresh simulated patterns.
    abstain_below
        No answer is given where the highest probability is below this.
    pool_correlation
        Share of a pattern's error that all patterns of one scan have in common, in 0 to 1; see
        `kikuchinet.models.Identification.pooled`.
    details
        Data, materials, seed, commit, hours, figures, licence, limits: anything JSON can hold.
    """

    name: str
    version: str
    architecture: str
    classes: tuple[int, ...]
    size: tuple[int, int]
    labels: str
    sha256: str
    temperature: float = 1.0
    abstain_below: float = 0.5
    pool_correlation: float = 0.1
    details: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_classes(self.classes, f"card of {self.name}")

    def save(self, path: str | Path) -> None:
        """Write the card as JSON."""
        text = json.dumps(asdict(self), indent=1, sort_keys=False, ensure_ascii=False)
        with atomic_path(path) as temporary:
            temporary.write_text(text + "\n", encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> ModelCard:
        """Read a card.

        Raises
        ------
        kikuchinet.errors.InputError
            The file is missing, is not JSON, or lacks something.
        """
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise InputError(path, "no such file") from error
        except (OSError, ValueError) as error:
            raise InputError(path, f"cannot be read as JSON ({error})") from error
        if not isinstance(content, dict):
            raise InputError(path, "not a model card")
        known = {f.name for f in fields(cls)}
        if unknown := sorted(set(content) - known):
            raise InputError(path, f"not a model card: unknown entries {', '.join(unknown)}")
        try:
            content["classes"] = tuple(int(c) for c in content["classes"])
            rows, columns = content["size"]
            content["size"] = (int(rows), int(columns))
            return cls(**content)
        except InputError as error:
            raise InputError(path, error.cause) from error
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(path, f"not a model card ({error})") from error
