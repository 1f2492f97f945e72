"""The editor of what is searched on the Tune page, drawn alone in a page that only keeps its words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from core.config import Config
from core.optimizers import OPTIMIZERS
from core.search.space import Range, Space, numbers, usual_range
from pages import _space


def page(words: dict[str, str]) -> None:
    import streamlit as st

    from pages import _controls as controls
    from pages import _space

    controls.read_link({"space": _space.RANGES})
    controls.words().update({k: v for k, v in words.items() if k not in controls.words()})
    controls.complain(st.session_state.get("wrong", []))
    st.button("Else", key="else", on_click=controls.touch)
    with st.container(key="popover"):
        if st.session_state.get("open", True):
            _space.editor(controls.config())


def opened(**words: str) -> AppTest:
    at = AppTest.from_function(page, args=(words,), default_timeout=30).run()
    assert not at.exception, at.exception
    return at


def field(at: AppTest, word: str, end: str) -> Any:
    return at.number_input(key=f"w_space_{word}_{end}")


def leaves(block: Any) -> list[Any]:
    """What stands in a block, in the order of reading."""
    if not hasattr(block, "children"):
        return [block]
    return [leaf for child in block.children.values() for leaf in leaves(child)]


def place(at: AppTest, kind: str, key: str = "") -> int:
    """Where the first of a kind, or the one with a key, stands on the page."""
    return next(
        k for k, one in enumerate(leaves(at.main)) if one.type == kind and (not key or one.key == key)
    )


def test_the_ends_are_headed_from_and_to_above_the_first_row() -> None:
    at = opened()
    heads = [
        k for k, one in enumerate(leaves(at.main)) if one.type == "caption" and one.value in ("from", "to")
    ]
    assert [leaves(at.main)[k].value for k in heads] == ["from", "to"]
    assert heads[1] < place(at, "checkbox")
    assert field(at, "learning_rate", "low").label == "Learning rate, from"
    assert field(at, "learning_rate", "high").label == "Learning rate, to"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"optimizer": "sgd"}, "Logarithmic scale: learning rate, batch size."),
        ({"space": "momentum:0:0.9"}, "Logarithm of 1 - value, finer near 1: momentum."),
        (
            {"optimizer": "adam"},
            "Logarithmic scale: learning rate, batch size. "
            "Logarithm of 1 - value, finer near 1: β₁.",
        ),
        (
            {"space": "learning_rate:0.001:0.1,dampening:0:0.5"},
            "Logarithmic scale: learning rate. Linear scale: dampening.",
        ),
        ({"exact": "true", "space": "learning_rate:0.001:0.1"}, "Linear scale: learning rate."),
    ],
)
def test_the_caption_names_the_scales_of_what_is_ticked_and_of_nothing_else(
    words: dict[str, str], said: str
) -> None:
    assert opened(**words).caption[-1].value == said


def test_a_range_that_cannot_be_is_refused_below_its_own_row_and_not_above_the_page() -> None:
    at = opened(optimizer="sgd")
    field(at, "batch_size", "low").set_value(500.0).run()
    (error,) = at.error
    assert error.value == "batch size: its range must go from the smaller to the larger, got 500 to 100."
    assert place(at, "number_input", "w_space_batch_size_high") + 1 == place(at, "error")
    assert place(at, "error") < place(at, "checkbox", "w_space_weight_decay_on")
    assert field(at, "batch_size", "low").value == 1


def test_the_last_tick_is_refused_below_its_own_row() -> None:
    at = opened(optimizer="sgd", space="learning_rate:0.001:0.1")
    at.checkbox(key="w_space_learning_rate_on").uncheck().run()
    (error,) = at.error
    assert error.value == "A search needs at least one number: tick one."
    assert place(at, "error") < place(at, "checkbox", "w_space_batch_size_on")


def test_a_refusal_moves_no_other_row_to_another_place() -> None:
    at = opened(optimizer="sgd")
    rows = list(at.main.children[max(at.main.children)].children)
    field(at, "learning_rate", "low").set_value(0.5).run()
    assert len(at.error) == 1
    assert list(at.main.children[max(at.main.children)].children) == rows


def test_a_refusal_stays_while_a_job_draws_the_page_and_goes_once_a_hand_does_something_else() -> None:
    at = opened(optimizer="sgd")
    field(at, "learning_rate", "low").set_value(0.5).run()
    at.run()
    assert len(at.error) == 1, "nobody has done anything"
    at.button(key="else").click().run()
    assert not at.error
    field(at, "learning_rate", "low").set_value(0.4).run()
    assert len(at.error) == 1
    field(at, "learning_rate", "high").set_value(0.05).run()
    assert not at.error
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.05,batch_size:1:100"


def test_a_refusal_that_was_overtaken_by_a_good_change_is_never_said() -> None:
    at = opened(optimizer="sgd")
    field(at, "learning_rate", "low").set_value(0.5)
    field(at, "batch_size", "high").set_value(50.0)
    at.run()
    assert not at.error
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.1,batch_size:1:50"


def test_a_refusal_is_not_there_when_the_editor_is_opened_again() -> None:
    at = opened(optimizer="sgd")
    field(at, "learning_rate", "low").set_value(0.5).run()
    at.session_state["open"] = False
    at.button(key="else").click().run()
    at.session_state["open"], at.session_state["touched"] = True, True
    at.run()
    assert not at.error
    assert field(at, "learning_rate", "low").value == 1e-4


@pytest.mark.parametrize(
    ("given", "low", "high"),
    [
        (Range("learning_rate", 1e-4, 0.1), (5e-5, 1.5e-4), (0.05, 0.15)),
        (Range("learning_rate", 3e-7, 20.0), (2.5e-7, 3.5e-7), (15, 25)),
        (Range("batch_size", 1, 100), (0, 2), (50, 150)),
        (Range("momentum", 0.0, 0.99, "rest"), (-0.5, 0.5), (0.985, 0.995)),
        (Range("beta2", 0.9, 0.9999, "rest"), (0.85, 0.95), (0.99985, 0.99995)),
        (Range("dampening", 0.0, 0.9, "linear"), (-0.05, 0.05), (0.85, 0.95)),
    ],
)
def test_a_click_moves_an_end_by_half_a_unit_of_its_first_digit(
    given: Range, low: tuple[float, float], high: tuple[float, float]
) -> None:
    for end, expected in ((given.low, low), (given.high, high)):
        by = _space.step(given, end)
        assert (end - by, end + by) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_every_field_has_the_step_of_the_end_that_it_shows() -> None:
    at = opened(space="learning_rate:0.0001:0.1")
    assert field(at, "learning_rate", "low").step == 5e-5
    assert field(at, "learning_rate", "high").step == 0.05
    field(at, "learning_rate", "high").set_value(2.0).run()
    assert field(at, "learning_rate", "high").step == 0.5
    assert field(at, "weight_decay", "low").step == 5e-7, "an unticked one has that of its usual range"


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_one_click_on_a_usual_end_makes_a_range_that_can_be_searched_or_passes_what_the_setting_takes(
    name: str,
) -> None:
    config = Config.from_query({"optimizer": name})
    for word, record in numbers(config).items():
        r = usual_range(word)
        low, high = r.low + _space.step(r, r.low), r.high - _space.step(r, r.high)
        wider = {"low": r.low - _space.step(r, r.low), "high": r.high + _space.step(r, r.high)}
        Space(replace(r, high=high)).of(config)
        Space(replace(r, low=low)).of(config)
        for end, moved in wider.items():
            if record.low <= moved <= record.high:
                Space(replace(r, **{end: moved})).of(config)
