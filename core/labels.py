"""What a setting is called where a person reads it: on a widget, on an axis, in a sentence."""

from __future__ import annotations

LABELS = {
    "alpha": "α",
    "beta1": "β₁",
    "beta2": "β₂",
    "epsilon": "ε",
    "amsgrad": "AMSGrad",
    "initial_accumulator": "Initial accumulator",
    "learning_rate_decay": "Learning rate decay",
    "schedule": "Learning rate schedule",
    "decay": "Decay factor γ",
    "every": "Decay interval (epochs)",
    "final": "Final learning rate (fraction)",
    "warmup": "Warm-up (fraction of the run)",
    "peak": "Peak (fraction of the run)",
    "ramp": "Ramp (fraction of the run)",
    "momentum_start": "Initial momentum",
    "momentum_low": "Momentum at the peak",
    "hidden": "Hidden layer sizes",
    "condition": "Condition number κ",
    "noise": "Noise σ",
    "scale": "Standardise columns",
    "valid_fraction": "Validation split",
    "round": "Trials per round",
    "exact": "As in the tutorial",
    "target": "Target loss",
    "across": "x-axis",
    "up": "y-axis",
    "x": "x-axis",
    "axis": "Loss scale",
    "mode": "Comparison mode",
    "kind": "Momentum type",
    "cells": "Grid size",
}


def label(word: str) -> str:
    """The words on the widget of a setting."""
    return LABELS.get(word, word.replace("_", " ").capitalize())


def spoken(word: str) -> str:
    """The same within a sentence."""
    words = label(word)
    return words if words[1:2].isupper() else words[:1].lower() + words[1:]
