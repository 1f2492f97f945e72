"""The versions that a number which leaves the app is told with."""

from __future__ import annotations

from functools import cache
from importlib.metadata import version

import core


@cache
def versions() -> dict[str, str]:
    """Of the app, of torch and of Optuna."""
    return {"momentum_lab": core.__version__, "torch": version("torch"), "optuna": version("optuna")}
