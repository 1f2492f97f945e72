"""Which learning rate and momentum for this data, model and batch size, and what runs say to that."""

from core.recommend.card import NoCard, batch_card, batch_sentence
from core.recommend.expected import expected_loss
from core.recommend.setting import MOMENTA, SHRINK, Recommendation, recommend, target
from core.recommend.trial import (
    CHECKED,
    FACTORS,
    SEEDS,
    checks,
    good_region,
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
    "Recommendation",
    "batch_card",
    "batch_sentence",
    "checks",
    "expected_loss",
    "good_region",
    "recommend",
    "target",
    "validate",
    "validation_sentence",
]
