"""Which learning rate and momentum for this data, model and batch size, and what runs say to that."""

from core.recommend.card import NoCard, batch_card, batch_sentence
from core.recommend.expected import expected_loss
from core.recommend.setting import (
    MOMENTA,
    SHRINK,
    NoRecommendation,
    Recommendation,
    recommend,
    target,
)
from core.recommend.trial import (
    CHECKED,
    FACTORS,
    SEEDS,
    checks,
    faster,
    good_region,
    settled,
    validate,
    validation_sentence,
)

__all__ = [
    "CHECKED",
    "FACTORS",
    "MOMENTA",
    "SEEDS",
    "SHRINK",
    "NoCard",
    "NoRecommendation",
    "Recommendation",
    "batch_card",
    "batch_sentence",
    "checks",
    "expected_loss",
    "faster",
    "good_region",
    "recommend",
    "settled",
    "target",
    "validate",
    "validation_sentence",
]
