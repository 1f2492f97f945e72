"""The predicted limit against the engine: shuffled epochs, four tables, momenta, batch sizes, two rules."""

from __future__ import annotations

import math

import numpy as np
import pytest

from core import maps
from core.config import Config
from core.engine import run

MOMENTA = (0.0, 0.5, 0.9, 0.97)
TABLES = {
    "boston": {"dataset": "boston"},
    "diabetes": {"dataset": "diabetes"},
    "ravine": {"dataset": "ravine", "condition": "1000"},
    "plane": {"dataset": "plane"},
}
UPDATES = {4: 3000, 32: 600, 128: 600, 100_000: 600}  # within so many every run at 3 times the limit is lost


@pytest.mark.parametrize("optimizer", ["momentum", "nesterov"])
@pytest.mark.parametrize("batch_size", list(UPDATES))
@pytest.mark.parametrize("table", list(TABLES))
def test_runs_of_the_engine_hold_at_0_7_times_the_limit_and_are_lost_at_3_times(table, batch_size, optimizer):
    base = Config.from_query({**TABLES[table], "optimizer": optimizer, "batch_size": str(batch_size)})
    base = base.but(epochs=math.ceil(UPDATES[batch_size] / base.steps_per_epoch))
    limits = maps.limits(base, np.array(MOMENTA))
    configs, expected = [], []
    for momentum, limit in zip(MOMENTA, limits, strict=True):
        for factor in (0.7, 3.0):
            for seed in range(3):
                rate = factor * float(limit)
                configs.append(maps.with_rule(base, rate, momentum).but(seed=seed))
                expected.append("diverged" if factor > 1 else "finished")
    last = run(configs).groupby("run")["status"].last().tolist()
    assert last == expected
