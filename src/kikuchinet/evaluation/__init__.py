"""How good a model is: precision, recall, counts, on stored and on fresh patterns."""

from kikuchinet.evaluation.evaluation import (
    Evaluation,
    add_to_card,
    evaluate,
    evaluate_bands,
    evaluate_fresh,
    score_card,
    score_profiles,
)
from kikuchinet.evaluation.pooling import calibration_error, score_pools
from kikuchinet.evaluation.scores import Scores, clustered_interval, score, wilson_interval

__all__ = [
    "Evaluation",
    "Scores",
    "add_to_card",
    "calibration_error",
    "clustered_interval",
    "evaluate",
    "evaluate_bands",
    "evaluate_fresh",
    "score",
    "score_card",
    "score_pools",
    "score_profiles",
    "wilson_interval",
]
