"""Why a model answers as it does: heat maps, what lies under them, and whether to believe them; bands that speak."""

from kikuchinet.explanation.bands import BandExplanation, explain_band_sources
from kikuchinet.explanation.chance import FEATURES, AgainstChance, against_chance, feature_masks, random_masks
from kikuchinet.explanation.faithfulness import (
    Curves,
    HeatShare,
    deletion_insertion,
    heat_share,
    randomised_similarity,
)
from kikuchinet.explanation.features import (
    PatternFeatures,
    find_bands,
    find_zone_axes,
    prepared_detector,
)
from kikuchinet.explanation.gradcam import Explanation, explain, heat_maps
from kikuchinet.explanation.judgement import Difference, Judgement, Trial, judge, reference_orders
from kikuchinet.explanation.orientation import ORIENTATIONS, Placement, placements
from kikuchinet.explanation.output import ExplanationSettings, is_ours
from kikuchinet.explanation.run import explain_sources

__all__ = [
    "FEATURES",
    "ORIENTATIONS",
    "AgainstChance",
    "BandExplanation",
    "Curves",
    "Difference",
    "Explanation",
    "ExplanationSettings",
    "HeatShare",
    "Judgement",
    "PatternFeatures",
    "Placement",
    "Trial",
    "against_chance",
    "deletion_insertion",
    "explain",
    "explain_band_sources",
    "explain_sources",
    "feature_masks",
    "find_bands",
    "find_zone_axes",
    "heat_maps",
    "heat_share",
    "is_ours",
    "judge",
    "placements",
    "prepared_detector",
    "random_masks",
    "randomised_similarity",
    "reference_orders",
]
