"""What a person may type for a number, and the sentence that they get for what cannot be read."""

import pytest

from core.config import BadConfig, Config
from core.registry import SHOWN, Choice, Flag, Interval, OutOfRange, UnknownName, Widths, Word, unknown

RATE = Interval("η", 0.01, 1e-8, 1e4, log=True)
COUNT = Interval("E", 50, 1, 10_000, integer=True)
WIDTHS = Widths((16, 16), most=6, low=1, high=256)
NO_NUMBERS = (
    "abc",
    "NaN",
    "inf",
    "-inf",
    "٣",
    "٠.١",
    "０.１",
    "0.1.2",
    "1,234.5",
    "1,2,3",
    "1_000",
    "1e",
    "0x10",
)
LONG = "w" * 100_000


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0,05", 0.05),
        ("0.05", 0.05),
        ("5e-2", 0.05),
        ("1e-3", 1e-3),
        ("1E-3", 1e-3),
        ("  0.5\n", 0.5),
        (".5", 0.5),
        ("+2", 2.0),
        ("0,001", 0.001),
    ],
)
def test_a_number_is_read_with_point_or_comma_with_an_exponent_and_among_blanks(
    text: str, number: float
) -> None:
    assert RATE.parse("learning_rate", text) == number


@pytest.mark.parametrize(
    ("text", "number"), [("32", 32), ("32.0", 32), ("32,0", 32), ("1e3", 1000), (" 7 ", 7)]
)
def test_a_whole_number_may_be_written_as_a_number_that_is_whole(text: str, number: int) -> None:
    read = COUNT.parse("epochs", text)
    assert (read, type(read)) == (number, int)


@pytest.mark.parametrize("text", NO_NUMBERS)
@pytest.mark.parametrize(
    ("record", "good"),
    [(RATE, "a number in [1e-08, 10000]"), (COUNT, "a whole number in [1, 10000]")],
    ids=["number", "whole"],
)
def test_what_is_no_number_is_refused_with_the_name_the_good_values_and_the_text(
    record: Interval, good: str, text: str
) -> None:
    with pytest.raises(OutOfRange) as caught:
        record.parse("size", text)
    assert str(caught.value) == f"size must be {good}, got {text!r}."


@pytest.mark.parametrize("record", [RATE, COUNT, WIDTHS], ids=["number", "whole", "widths"])
@pytest.mark.parametrize("text", ["", " ", "\t\n"])
def test_an_empty_text_is_called_nothing(record: Interval | Widths, text: str) -> None:
    with pytest.raises(OutOfRange, match=r"^size must be .*, got nothing\.$"):
        record.parse("size", text)


@pytest.mark.parametrize("text", ["3.7", "3,7", "1e-3", "0", "1e400", "99999"])
def test_a_whole_number_that_is_not_whole_or_too_large_is_refused_as_it_was_typed(text: str) -> None:
    with pytest.raises(OutOfRange) as caught:
        COUNT.parse("epochs", text)
    assert str(caught.value) == f"epochs must be a whole number in [1, 10000], got {text}."


@pytest.mark.parametrize("record", [RATE, COUNT], ids=["number", "whole"])
@pytest.mark.parametrize("text", ["1,000", "10,500", "-1,234"])
def test_a_comma_that_may_part_thousands_is_not_guessed_at(record: Interval, text: str) -> None:
    with pytest.raises(OutOfRange, match=f"got '{text}'"):
        record.parse("size", text)


@pytest.mark.parametrize(("text", "widths"), [("16, 16", (16, 16)), ("8", (8,)), (" 3 ,2,1 ", (3, 2, 1))])
def test_widths_are_whole_numbers_between_commas(text: str, widths: tuple[int, ...]) -> None:
    assert WIDTHS.parse("hidden", text) == widths


@pytest.mark.parametrize(
    "text", ["16,,16", "16;16", "١٦", "16,", ",16", "16 16", "1_6", "16.0", "-16", "0", "16,300", "a"]
)
def test_other_widths_are_refused_with_an_example(text: str) -> None:
    with pytest.raises(OutOfRange) as caught:
        WIDTHS.parse("hidden", text)
    good = "1 to 6 whole numbers in [1, 256], such as 16,16"
    assert str(caught.value) == f"hidden must be {good}, got {text!r}."


@pytest.mark.parametrize(
    "record", [RATE, COUNT, WIDTHS, Flag(), Word()], ids=["number", "whole", "widths", "flag", "word"]
)
@pytest.mark.parametrize("letter", ["w", "9", ",", "٣"])
def test_a_message_repeats_no_more_than_80_characters_of_what_was_given(record: Flag, letter: str) -> None:
    with pytest.raises(OutOfRange) as caught:
        record.parse("size", letter * 100_000)
    assert len(str(caught.value)) < 200
    assert letter * (SHOWN - 1) + "…" in str(caught.value)
    assert letter * SHOWN not in str(caught.value)


def test_an_unknown_name_is_repeated_in_80_characters_beside_the_names_that_exist() -> None:
    sentence = unknown("sampler", LONG, ["grid", "random"])
    assert sentence == f"No sampler named '{LONG[: SHOWN - 1]}…'. There are: grid, random."
    with pytest.raises(UnknownName, match="There are: grid, random"):
        Choice(("grid", "random"), "grid").parse("sampler", LONG)


def test_an_unknown_word_of_a_link_is_named_and_ignored_without_the_list_of_settings() -> None:
    config, wrong = Config.read({"lerning_rate": "0.5", "seed": "3"})
    assert config == Config(seed=3)
    assert wrong == ["There is no setting named 'lerning_rate'; it is ignored. Did you mean 'learning_rate'?"]
    assert Config.read({"xyzzy": "1"})[1] == ["There is no setting named 'xyzzy'; it is ignored."]


def test_where_an_unknown_word_is_an_error_nobody_says_that_it_is_ignored() -> None:
    said = "There is no setting named 'lerning_rate'. Did you mean 'learning_rate'?"
    for make in (lambda: Config.from_query({"lerning_rate": "1"}), lambda: Config().but(lerning_rate=1)):
        with pytest.raises(BadConfig) as caught:
            make()
        assert str(caught.value) == said


def test_however_many_and_long_the_unknown_words_are_the_sentences_are_few_and_short() -> None:
    wrong = Config.read({f"{k}{LONG}": "1" for k in range(999)})[1]
    assert len(wrong) == 4
    assert all(len(sentence) < 200 for sentence in wrong)
    assert wrong[-1] == "996 more names are no setting."
    assert Config.read(dict.fromkeys("abcd", "1"))[1][-1] == "1 more name is no setting."
