"""Networks, the models that ship, and their cards."""

from kikuchinet.models.adaptation import Adaptation, adapt
from kikuchinet.models.card import ModelCard
from kikuchinet.models.identification import NO_ANSWER, Identification, Pooled
from kikuchinet.models.networks import count_parameters, create_model
from kikuchinet.models.registry import (
    DEFAULT_MODEL,
    list_models,
    load_model,
    model_bytes,
    model_from_bytes,
    repack,
    save_model,
)
from kikuchinet.models.space_group_model import SpaceGroupModel

__all__ = [
    "DEFAULT_MODEL",
    "NO_ANSWER",
    "Adaptation",
    "Identification",
    "ModelCard",
    "Pooled",
    "SpaceGroupModel",
    "adapt",
    "count_parameters",
    "create_model",
    "list_models",
    "load_model",
    "model_bytes",
    "model_from_bytes",
    "repack",
    "save_model",
]
