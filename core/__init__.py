"""Everything of Momentum Lab that works without a screen: data, models, rules, training, theory, charts.

The public names (`from core import Config, run`) are loaded when they are used: importing `core` is free.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.config import Config
    from core.datasets import DATASETS, from_table
    from core.engine import run, train
    from core.export import script
    from core.models import MODELS
    from core.optimizers import OPTIMIZERS
    from core.search import Space, search
    from core.stability import learning_rate_limit

__version__ = "1.0.0"
__all__ = [
    "DATASETS",
    "MODELS",
    "OPTIMIZERS",
    "Config",
    "Space",
    "from_table",
    "learning_rate_limit",
    "run",
    "script",
    "search",
    "train",
]

_MODULES = {
    "Config": "config",
    "DATASETS": "datasets",
    "from_table": "datasets",
    "run": "engine",
    "train": "engine",
    "script": "export",
    "MODELS": "models",
    "OPTIMIZERS": "optimizers",
    "Space": "search",
    "search": "search",
    "learning_rate_limit": "stability",
}

# Intel's library otherwise adds in an order that depends on where a matrix lies in memory, and a run's last
# digits on its neighbours. It is read once, before the first product, and costs nothing measurable.
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

# NumPy's own: with two threads on two busy cores a fit of twenty trials took 100 times as long as with one.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'core' has no attribute {name!r}; it has {', '.join(__all__)}.")
    module = import_module(f"core.{_MODULES[name]}")
    return module if name == _MODULES[name] else getattr(module, name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
