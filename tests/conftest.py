"""What all tests share: the root of the repository on the path, strict warnings, one thread of torch."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import core  # noqa: F401  (before torch multiplies: it says how)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("filterwarnings", "error")
    torch.set_num_threads(1)
