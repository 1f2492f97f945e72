"""The editor of what is searched on the Tune page, drawn alone in a page that only keeps its words."""

from __future__ import annotations

from typing import Any

import pytest
from streamlit.testing.v1 import AppTest

from tests.seen import complaints, widget


def page(words: dict[str, str]) -> None:
    import streamlit as st

    from pages import _controls as controls
    from pages import _say as say
    from pages import _space

    controls.read_link({"space": _space.RANGES}, {}, dict)
    controls.words().update({k: v for k, v in words.items() if k not in controls.words()})
    say.complain(say.refused())
    st.button("Else", key="else", on_click=controls.touch)
    with st.container(key="popover"):
        if st.session_state.get("open", True):
            _space.editor(controls.config())


def opened(**words: str) -> AppTest:
    at = AppTest.from_function(page, args=(words,), default_timeout=30).run()
    assert not at.exception, at.exception
    return at


def field(at: AppTest, word: str, end: str) -> Any:
    return widget(at, f"w_space_{word}_{end}")


def tick(at: AppTest, word: str) -> Any:
    return widget(at, f"w_space_{word}_on")


def leaves(block: Any) -> list[Any]:
    """What stands in a block, in the order of reading."""
    if not hasattr(block, "children"):
        return [block]
    return [leaf for child in block.children.values() for leaf in leaves(child)]


def place(at: AppTest, kind: str, key: str = "") -> int:
    """Where the first of a kind, or the widget of a name, stands; a refusal is of the kind "error"."""

    def fits(one: Any) -> bool:
        if kind == "error":
            return one.type == "markdown" and one.value.startswith(":red[")
        return one.type == kind and (not key or one.key.rsplit("--", 1)[0] == key)

    return next(k for k, one in enumerate(leaves(at.main)) if fits(one))


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
            "Logarithmic scale: learning rate, batch size. Logarithm of 1 - value, finer near 1: β₁.",
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
    field(at, "batch_size", "low").set_value("500").run()
    (said,) = complaints(at)
    assert said == "batch size: its range must go from the smaller to the larger, got 500 to 100."
    assert place(at, "text_input", "w_space_batch_size_high") + 1 == place(at, "error")
    assert place(at, "error") < place(at, "checkbox", "w_space_weight_decay_on")
    assert field(at, "batch_size", "low").value == "1"


def test_the_last_tick_is_refused_below_its_own_row() -> None:
    at = opened(optimizer="sgd", space="learning_rate:0.001:0.1")
    tick(at, "learning_rate").uncheck().run()
    (said,) = complaints(at)
    assert said == "A search needs at least one parameter: tick one."
    assert place(at, "error") < place(at, "checkbox", "w_space_batch_size_on")


def test_a_refusal_moves_no_other_row_to_another_place() -> None:
    at = opened(optimizer="sgd")
    rows = list(at.main.children[max(at.main.children)].children)
    field(at, "learning_rate", "low").set_value("0.5").run()
    assert len(complaints(at)) == 1
    assert list(at.main.children[max(at.main.children)].children) == rows


def test_a_refusal_stays_while_a_job_draws_the_page_and_goes_once_a_hand_does_something_else() -> None:
    at = opened(optimizer="sgd")
    field(at, "learning_rate", "low").set_value("0.5").run()
    at.run()
    assert len(complaints(at)) == 1, "nobody has done anything"
    at.button(key="else").click().run()
    assert not complaints(at)
    field(at, "learning_rate", "low").set_value("0.4").run()
    assert len(complaints(at)) == 1
    field(at, "learning_rate", "high").set_value("0.05").run()
    assert not complaints(at)
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.05,batch_size:1:100"


def test_a_refusal_that_was_overtaken_by_a_good_change_is_never_said() -> None:
    at = opened(optimizer="sgd")
    field(at, "learning_rate", "low").set_value("0.5")
    field(at, "batch_size", "high").set_value("50")
    at.run()
    assert not complaints(at)
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.1,batch_size:1:50"


def test_a_refusal_is_not_there_when_the_editor_is_opened_again() -> None:
    at = opened(optimizer="sgd")
    field(at, "learning_rate", "low").set_value("0.5").run()
    at.session_state["open"] = False
    at.button(key="else").click().run()
    at.session_state["open"], at.session_state["touched"] = True, True
    at.run()
    assert not complaints(at)
    assert field(at, "learning_rate", "low").value == "0.0001"


def test_a_space_that_the_rule_does_not_take_is_edited_from_the_usual_one() -> None:
    at = opened(optimizer="sgd", space="batch_size:0.5:7.5")
    assert field(at, "batch_size", "low").value == "1"
    field(at, "batch_size", "high").set_value("64").run()
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.1,batch_size:1:64"
