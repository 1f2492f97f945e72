"""What a setting is called where a person reads it: on a widget, on an axis, in a sentence."""

from __future__ import annotations

LABELS = {
    "alpha": "Averaging α",
    "beta1": "Averaging β₁",
    "beta2": "Averaging β₂",
    "hidden": "Hidden layers",
    "inputs": "Inputs",
    "condition": "Condition number κ",
    "valid_fraction": "Kept for validation",
    "scale": "Standardise columns",
    "epsilon": "Floor ε",
    "initial_accumulator": "First accumulator",
    "learning_rate_decay": "Decay of the learning rate",
    "decay": "Factor at each cut",
    "every": "Epochs between cuts",
    "final": "Share left at the end",
    "warmup": "Share of the run to warm up",
    "peak": "Share of the run at the peak",
    "ramp": "Share of the run to ramp up",
    "momentum_start": "Momentum at the start",
    "momentum_low": "Momentum at the peak",
    "exact": "Exactly as the tutorial",
    "round": "Settings at once",
}


def label(word: str) -> str:
    """The words on the widget of a setting."""
    return LABELS.get(word, word.replace("_", " ").capitalize())


def spoken(word: str) -> str:
    """The same within a sentence."""
    return label(word).lower()
