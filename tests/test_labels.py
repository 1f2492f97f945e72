"""What a setting is called: the standard term, the same on a widget and in a sentence."""

import pytest

from core.config import CHOICES, Config
from core.labels import LABELS, label, spoken


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("beta1", "β₁"),
        ("beta2", "β₂"),
        ("alpha", "α"),
        ("epsilon", "ε"),
        ("valid_fraction", "Validation split"),
        ("learning_rate", "Learning rate"),
        ("condition", "Condition number κ"),
        ("amsgrad", "AMSGrad"),
    ],
)
def test_a_setting_has_the_name_that_the_field_gives_it(word: str, name: str) -> None:
    assert label(word) == name


def test_a_sentence_begins_no_word_with_a_capital_but_keeps_those_of_a_name() -> None:
    assert spoken("learning_rate") == "learning rate"
    assert spoken("condition") == "condition number κ"
    assert (spoken("beta1"), spoken("amsgrad")) == ("β₁", "AMSGrad")


def test_no_two_settings_of_one_thing_have_the_same_label() -> None:
    entries = [entry for registry in CHOICES.values() for entry in registry.values()]
    for entry in [*entries, Config]:
        names = [label(word) for word in entry.settings()]
        assert len(set(names)) == len(names), entry


def test_every_label_is_short_enough_for_a_widget() -> None:
    assert max(map(len, LABELS.values())) <= 32
