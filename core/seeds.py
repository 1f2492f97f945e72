"""Seeds that are counted from another: those of a comparison, a search, a check."""

from __future__ import annotations

from core.config import Config
from core.registry import Interval, OutOfRange


def seeds_from(first: int, count: int, apart: int = 0, purpose: str = "") -> range:
    """`count` seeds, the first of them `apart` behind `first`.

    Args:
        first: The seed that was set.
        count: How many there are to be.
        apart: How far behind `first` they begin.
        purpose: What the sentence says that they are there for; their number by default.

    Raises:
        OutOfRange: The last of them would be larger than a seed may be.
    """
    record = Config.settings()["seed"]
    assert isinstance(record, Interval)
    most = int(record.high) - apart - count + 1
    if first > most:
        purpose = purpose or f"there {'is 1 seed' if count == 1 else f'are {count} seeds'} from it on"
        raise OutOfRange(f"seed must be at most {most:,} so that {purpose}, got {first:,}.")
    return range(first + apart, first + apart + count)
