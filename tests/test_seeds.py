"""Seeds that are counted from another: all of them are there, or a sentence says which would be."""

import pytest

from core.config import Config
from core.registry import OutOfRange
from core.search.objective import baseline
from core.seeds import seeds_from

LAST = 1_000_000_000


@pytest.mark.parametrize(("first", "count", "apart"), [(0, 1, 0), (7, 3, 0), (0, 8, 5000), (LAST, 1, 0)])
def test_seeds_are_counted_from_the_one_that_was_set(first: int, count: int, apart: int) -> None:
    assert list(seeds_from(first, count, apart)) == [first + apart + k for k in range(count)]


@pytest.mark.parametrize(("count", "apart"), [(1, 1), (2, 0), (32, 0), (8, 5000)])
def test_the_last_seed_that_there_is_may_be_among_them_and_none_behind_it(count: int, apart: int) -> None:
    most = LAST - apart - count + 1
    assert seeds_from(most, count, apart)[-1] == LAST
    with pytest.raises(OutOfRange, match=f"^seed must be at most {most:,} so that .*, got {most + 1:,}.$"):
        seeds_from(most + 1, count, apart)


def test_every_seed_that_is_counted_is_one_that_a_config_takes() -> None:
    assert [Config(seed=seed).seed for seed in seeds_from(LAST - 2, 3)] == [LAST - 2, LAST - 1, LAST]


def test_the_sentence_says_what_they_are_for() -> None:
    with pytest.raises(OutOfRange) as caught:
        seeds_from(999_999_997, 32)
    assert str(caught.value) == (
        "seed must be at most 999,999,969 so that there are 32 seeds from it on, got 999,999,997."
    )
    with pytest.raises(OutOfRange, match="so that the best can be tried again, got"):
        seeds_from(LAST, 8, 5000, "the best can be tried again")


def test_the_loss_of_predicting_the_mean_is_of_seeds_that_there_are() -> None:
    assert baseline(Config(seed=LAST - 2), 3) > 0
    with pytest.raises(OutOfRange, match="seed must be at most 999,999,998 so that there are 3 seeds"):
        baseline(Config(seed=LAST - 1), 3)
