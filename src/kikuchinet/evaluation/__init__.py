"""How good a model is: precision, recall, counts, on stored and on fresh patterns."""

from kikuchinet.evaluation.evaluation import Evaluation, add_to_card, evaluate, evaluate_fresh, score_card
from kikuchinet.evaluation.scores import Scores, score, wilson_interval

__all__ = [
    "Evaluation",
    "Scores",
    "add_to_card",
    "evaluate",
    "evaluate_fresh",
    "score",
    "score_card",
    "wilson_interval",
]
