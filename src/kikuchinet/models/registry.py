"""Models by name: those that ship inside the package, and those in a folder of their own."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from kikuchinet.errors import InputError
from kikuchinet.models.card import CARD_FILE, ModelCard
from kikuchinet.models.networks import create_model
from kikuchinet.models.space_group_model import SpaceGroupModel
from kikuchinet.models.weights_file import WEIGHTS_FILE, load_weights, save_weights

DEFAULT_MODEL = "xception-m3m-6"
FAST_MODEL = "m3m-10"
"""Of those that ship, the one of whole patterns that answers most of them a second."""
BAND_PROFILES = "band_profiles"
"""On the card of a model of band profiles, in place of the name of a network of whole patterns."""
_SHIPPED = Path(__file__).parent / "weights"


def list_models() -> dict[str, ModelCard]:
    """Return the cards of the models that ship with the package, by name."""
    cards = (ModelCard.load(path) for path in sorted(_SHIPPED.glob(f"*/{CARD_FILE}")))
    return {card.name: card for card in cards}


def load_model(
    name: str | Path | None = None, *, device: str = "auto", precision: str = "fp32", runtime: str = "auto"
) -> SpaceGroupModel:
    """Load a trained model.

    Parameters
    ----------
    name
        Name of a model that ships with the package, or the folder of one; the default model if not given.
    device
        ``auto`` takes a GPU where there is one; else PyTorch's name of a device.
    precision
        ``fp32``, ``bf16`` or ``auto``, which is bf16 where the hardware has it.
    runtime
        What computes: ``torch``; ``openvino``, which ``pip install kikuchinet[openvino]`` brings; or ``auto``: OpenVINO for
        large runs of `kikuchinet.identify` where it is faster, PyTorch for all else.

    Returns
    -------
    SpaceGroupModel
        Ready to identify patterns.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such model, its files are damaged, or the runtime is not to be had.
    """
    folder = model_folder(name)
    card = ModelCard.load(folder / CARD_FILE)
    if card.architecture == BAND_PROFILES:
        raise InputError(
            folder,
            "is a model of band profiles: --bands takes it, and kikuchinet.models.band_network.load_band_model",
        )
    network = create_model(card.architecture, len(card.classes))
    load_weights(network, folder / WEIGHTS_FILE, sha256=card.sha256)
    return SpaceGroupModel(network, card, device=device, precision=precision, runtime=runtime)


def model_bytes(model: SpaceGroupModel) -> bytes:
    """Return a model's weights as they are, to be sent to another process; see `model_from_bytes`."""
    from safetensors.torch import save

    state = model.network.state_dict()
    return save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})


def model_from_bytes(
    card: ModelCard, weights: bytes, *, device: str = "auto", precision: str = "fp32", runtime: str = "auto"
) -> SpaceGroupModel:
    """Return the model of which another process has sent the card and the `model_bytes`."""
    from safetensors.torch import load

    network = create_model(card.architecture, len(card.classes))
    network.load_state_dict(load(weights))
    return SpaceGroupModel(network, card, device=device, precision=precision, runtime=runtime)


def model_folder(name: str | Path | None) -> Path:
    """Return the folder of a model that `load_model` takes the name of.

    Parameters
    ----------
    name
        A text without separators of folders names a model that ships, if there is one of that name. All else, and every
        `pathlib.Path`, is the path of a folder or of the card in it. The default model if None.

    Returns
    -------
    pathlib.Path
        The folder.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such model.
    """
    wanted = DEFAULT_MODEL if name is None else name
    if isinstance(wanted, str) and wanted == Path(wanted).name and (_SHIPPED / wanted / CARD_FILE).is_file():
        return _SHIPPED / wanted
    folder = Path(wanted)
    if folder.name == CARD_FILE:
        folder = folder.parent
    if (folder / CARD_FILE).is_file():
        return folder
    known = ", ".join(sorted(path.parent.name for path in _SHIPPED.glob(f"*/{CARD_FILE}"))) or "none"
    cause = f"has no {CARD_FILE}" if folder.is_dir() else f"no such model; those that ship: {known}"
    raise InputError(wanted, cause)


def save_model(
    folder: str | Path,
    network: nn.Module,
    *,
    name: str,
    version: str,
    architecture: str,
    classes: tuple[int, ...],
    size: tuple[int, int],
    labels: str,
    details: Mapping[str, Any],
    abstain_below: float = 0.5,
    bits: int = 16,
) -> ModelCard:
    """Write a network's weights and a first card into a folder.

    Parameters
    ----------
    folder
        Where ``weights.safetensors`` and ``card.json`` go.
    network
        The network.
    name, version, architecture, classes, size, labels, details, abstain_below
        As in `ModelCard`.
    bits
        Per weight of a kernel: 16 or 8.

    Returns
    -------
    ModelCard
        With temperature 1, until the model is calibrated.
    """
    folder = Path(folder)
    digest = save_weights(network, folder / WEIGHTS_FILE, bits=bits)
    card = ModelCard(
        name=name,
        version=version,
        architecture=architecture,
        classes=classes,
        size=size,
        labels=labels,
        sha256=digest,
        abstain_below=abstain_below,
        details=details,
    )
    card.save(folder / CARD_FILE)
    return card


def repack(name: str | Path, out: str | Path, *, bits: int = 8) -> ModelCard:
    """Write a copy of a model whose kernels take fewer bits; its card says so.

    Parameters
    ----------
    name
        As in `load_model`; models of band profiles too.
    out
        Folder of the copy; it must hold no model yet.
    bits
        16 or 8, see `kikuchinet.models.weights_file.save_weights`.

    Returns
    -------
    ModelCard
        Of the copy: as it was, but for the digest and ``details["weight_bits"]``. Temperature and figures are the
        original's.

    Raises
    ------
    kikuchinet.errors.InputError
        There is no such model, or a model is in `out`.
    """
    folder = model_folder(name)
    card = ModelCard.load(folder / CARD_FILE)
    network: nn.Module
    if card.architecture == BAND_PROFILES:
        # That module takes the paths of models from here.
        from kikuchinet.models.band_network import load_band_model

        network = load_band_model(folder).network
    else:
        network = load_model(folder, device="cpu").network
    out = Path(out)
    if (out / CARD_FILE).exists() or (out / WEIGHTS_FILE).exists():
        raise InputError(out, "holds a model already")
    digest = save_weights(network, out / WEIGHTS_FILE, bits=bits)
    card = replace(card, sha256=digest, details={**card.details, "weight_bits": bits})
    card.save(out / CARD_FILE)
    return card
