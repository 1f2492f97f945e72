"""A run's settings as a file of JSON, and the name of its program's file."""

from __future__ import annotations

import json

from core.config import BadConfig, Config
from core.export.text import word
from core.versions import versions

APP = "momentum-lab"


def filename(config: Config) -> str:
    """A name for the program's file, such as "boston-linear-momentum.py": letters, digits, - and _."""
    return f"{word(config.dataset.name)}-{config.model.name}-{config.optimizer.name}.py"


def settings(config: Config) -> str:
    """All words of the config's link as JSON, defaults too, and the versions of what trained it.

    A user's table is there by the name that is made from its contents; the table itself is not.
    """
    return json.dumps({"app": APP, **versions(), **config.words()}, indent=2) + "\n"


def from_settings(text: str) -> Config:
    """The config that `settings` wrote, in this version or an earlier one.

    Raises:
        BadConfig: The text is nothing that `settings` writes, or names what does not exist.
    """
    try:
        words = json.loads(text)
    except (ValueError, RecursionError):
        words = None
    texts = isinstance(words, dict) and all(isinstance(value, str) for value in words.values())
    if not texts or words.pop("app", "") != APP:
        raise BadConfig(f'Settings must be JSON of words with texts, one of them "app": "{APP}".')
    return Config.from_query({word: text for word, text in words.items() if word not in versions()})
