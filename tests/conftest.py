"""What all tests share: the root of the repository on the path, strict warnings, one thread of torch."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

import core  # noqa: F401  (before torch and NumPy multiply: it says how)


def pytest_configure(config: pytest.Config) -> None:
    import torch

    config.addinivalue_line("filterwarnings", "error")
    torch.set_num_threads(1)
