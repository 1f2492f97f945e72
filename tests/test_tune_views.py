"""What the views of the Tune page say beside their pictures, drawn alone for a search that has ended."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import streamlit as st
from optuna.trial import create_trial
from streamlit.testing.v1 import AppTest

from core import jobs
from core.config import Config
from core.labels import spoken
from core.search import Plan, Space
from core.search.study import Search
from core.search.truth import Truth
from pages import _live, _study
from tests.seen import read, widget

BOSTON = Config.from_query({"dataset": "boston", "optimizer": "momentum", "epochs": "2"})
PAIR = "learning_rate", "batch_size"
EXACT = "The white-edged line is the largest stable learning rate, from the data alone."
LOCAL = "The white-edged line is a local estimate of the largest stable learning rate"


def ended(config: Config, **more: Any) -> Search:
    search = Search(Plan(config, trials=6, seeds=2, **more))
    while search.active:
        search.advance()
    return search


@pytest.fixture(scope="module")
def found() -> Search:
    return ended(BOSTON)


def drawn(view: str, found: Search, **shown: Any) -> AppTest:
    """A view of the page, and nothing else."""

    def page(view, found, shown):
        from pages import _views

        getattr(_views, view)(found, found.table(), shown)

    at = AppTest.from_function(page, args=(view, found, shown), default_timeout=60).run()
    assert not at.exception, at.exception
    return at


def captions(at: AppTest) -> str:
    return " ".join(read(caption.value) for caption in at.caption)


def truth(at: AppTest) -> pd.DataFrame:
    """The cells of the map of real runs."""
    proto = at.get("vega_lite_chart")[3].proto
    data = proto.data.data if proto.data.data else proto.datasets[0].data.data
    return pa.ipc.open_stream(data).read_pandas().dropna(subset=["x1"])


def trained(found: Search, **elsewhere: float) -> Any:
    """A job that has trained the truth, around the best setting or elsewhere."""
    assert found.checks
    made = Truth(found.plan, found.values(found.checks[0].number) | elsewhere, *PAIR)
    made.scores = np.arange(made.scores.size, dtype=float).reshape(made.scores.shape) / 1000
    return SimpleNamespace(training=made, subject=(found, PAIR), reason="")


def test_the_truth_is_drawn_while_it_was_trained_where_the_other_maps_are_held(found: Search) -> None:
    job = trained(found, learning_rate=0.05, batch_size=3)
    at = drawn("maps", found, truth=job)
    assert truth(at)["value"].to_numpy() == pytest.approx(job.training.scores.ravel())
    assert "measured at" not in captions(at)


def test_a_truth_of_another_momentum_than_the_maps_is_not_drawn_and_the_caption_says_so(
    found: Search,
) -> None:
    job = trained(found, momentum=0.123)
    at = drawn("maps", found, truth=job)
    cells = truth(at)
    assert len(cells) > 0
    assert cells["value"].isna().all()
    assert "The true loss was measured at momentum 0.123; measure it again for" in captions(at)


def test_a_truth_over_all_numbers_there_are_is_drawn_wherever_the_best_is() -> None:
    both = ended(BOSTON, space=Space(learning_rate=(1e-3, 0.1), batch_size=(8, 64)))
    job = trained(both, learning_rate=0.05, batch_size=9)
    at = drawn("maps", both, truth=job)
    assert truth(at)["value"].notna().all()
    assert "The other parameters" not in captions(at)


def test_the_grid_of_the_truth_is_promised_no_larger_than_it_may_be(found: Search) -> None:
    assert "up to 25 by 15 settings" in widget(drawn("maps", found), "truth").help


WIDE = Space(learning_rate=(1e-3, 50.0), batch_size=(1, 100))


@pytest.mark.parametrize(
    ("words", "said", "unsaid"),
    [
        ({"dataset": "boston"}, EXACT, LOCAL),
        ({"dataset": "boston", "model": "mlp", "hidden": "8"}, LOCAL, EXACT),
        ({"dataset": "iris", "model": "linear"}, LOCAL, EXACT),
        ({"dataset": "boston", "dampening": "0.5"}, "", "white-edged"),
    ],
)
def test_the_line_of_the_limit_is_said_to_be_exact_only_where_it_is(
    words: dict[str, str], said: str, unsaid: str
) -> None:
    config = Config.from_query({"optimizer": "momentum", "momentum": "0.5", "epochs": "1"} | words)
    told = captions(drawn("maps", ended(config, space=WIDE)))
    assert said in told
    assert unsaid not in told
    assert ("training is often stable above it." in told) is (said == LOCAL)


def test_the_error_bars_of_importances_are_said_to_be_the_model_s_own_and_too_narrow_at_first(
    found: Search,
) -> None:
    told = captions(drawn("importances", found))
    assert "The error bar is the surrogate's own uncertainty; it is too narrow while trials are few." in told


@pytest.fixture
def owned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., jobs.Job]]:
    """Makes a job of this visitor that has a search in hand; paused unless it is told otherwise."""
    monkeypatch.setattr(_live, "owner", lambda: "me")
    made: list[jobs.Job] = []

    def job(found: Search, **more: Any) -> jobs.Job:
        given = {"paused": True, "training": found, "updates": 1} | more
        made.append(_live.manager().submit([found.plan.config], "me", **given))
        made[-1].wait()
        return made[-1]

    yield job
    for each in made:
        each.stop()


def going(trials: int = 12, told: int = 4, **more: Any) -> Search:
    """A search in the midst of a round, with so many trials told."""
    search = Search(Plan(BOSTON, trials=trials, seeds=1, batch=2, **more))
    on_to(search, lambda: search.ended >= told)
    search.advance(1)
    return search


def on_to(search: Search, there: Callable[[], bool]) -> None:
    """Lets a search go on to the next turn after which something is true."""
    for _ in range(1000):
        if there():
            return
        search.advance()
    raise AssertionError("It never was.")


def best(search: Search) -> int | None:
    return _study.best(search, search.table())


def better(search: Search) -> None:
    """Another trial becomes the best, of another setting than all before."""
    frame, space = search.table(), search.plan.space
    score = float(frame["score"].min()) - 0.1
    search.study.add_trial(
        create_trial(
            params=space.at([1 / (len(frame) + 1)] * len(space.words)),
            distributions=space.distributions(),
            value=score,
            user_attrs={"scores": [score], "losses": [10**score], "kind": "before"},
        )
    )
    assert best(search) == len(frame)


def view(name: str, found: Search, job: jobs.Job | None = None, **more: Any) -> AppTest:
    """A view as `drawn`, but of a job, and with the table as it is by now whenever it is drawn again."""

    def page(found):
        import streamlit as st

        from pages import _views

        st.session_state.pop("touched", None)
        if st.session_state["view"]:
            getattr(_views, st.session_state["view"])(found, found.table(), {})

    at = AppTest.from_function(page, args=(found,), default_timeout=60)
    at.session_state["view"] = name
    at.session_state["words"] = {"tune": job.id} if job else {}
    for key, value in more.items():
        at.session_state[key] = value
    return again(at)


def again(at: AppTest) -> AppTest:
    at.run()
    assert not at.exception, at.exception
    return at


def look(at: AppTest) -> int:
    """The trial that the Trials view shows."""
    return int(widget(at, "w_trial").value)


def notes(search: Search) -> dict[int, str]:
    frame = search.table()
    return {int(n): note for n, note in zip(frame["number"], frame["note"], strict=True) if note}


def form(at: AppTest) -> dict[str, float]:
    """What the form for a setting of one's own shows."""
    return {field.label: float(field.value) for field in by_hand(at)}


def by_hand(at: AppTest) -> list[Any]:
    return [field for field in at.text_input if field.key.startswith("hand_")]


def named(values: dict[str, float]) -> dict[str, float]:
    return {spoken(word): value for word, value in values.items()}


def click(at: AppTest, map_: int, x: float, y: float) -> AppTest:
    """A click on the cell of one of the four maps, as the browser reports it."""
    states = at._tree.get_widget_states()
    states.widgets.add(
        id=at.get("vega_lite_chart")[map_].proto.id,
        string_value=json.dumps({"selection": {"cell": [{"cx": x, "cy": y}]}}),
    )
    at._run(states)
    assert not at.exception, at.exception
    return at


def test_the_trial_that_is_looked_at_stays_while_another_becomes_the_best() -> None:
    search = going()
    at, first = view("trials", search), best(search)
    assert look(at) == first
    better(search)
    assert look(again(at)) == first


def test_who_comes_back_to_the_trials_sees_the_best_of_by_then() -> None:
    search = going()
    at = view("trials", search)
    better(search)
    at.session_state["view"] = "parallel"
    again(at).session_state["view"] = "trials"
    assert look(again(at)) == best(search)


def test_another_search_is_begun_at_its_own_best(found: Search) -> None:
    search = going()
    better(search)

    def page(*searches):
        import streamlit as st

        from pages import _views

        now = searches[st.session_state.get("which", 0)]
        _views.trials(now, now.table(), {})

    at = again(AppTest.from_function(page, args=(found, search), default_timeout=60))
    assert look(at) == best(found)
    at.session_state["which"] = 1
    assert look(again(at)) == best(search) != best(found)


def test_the_trial_that_is_picked_is_looked_at_at_once_and_looking_alone_picks_none() -> None:
    search = going()
    at = view("trials", search)
    assert "trial" not in at.session_state
    at.session_state["trial"] = 3
    assert look(again(at)) == 3
    widget(at, "w_trial").set_value(1).run()
    assert (look(at), at.session_state["trial"]) == (1, 1)


def test_a_note_lands_on_the_trial_beside_whose_field_it_was_typed(
    owned: Callable[..., jobs.Job],
) -> None:
    search = going()
    job = owned(search)
    at, first = view("trials", search, job), best(search)
    field = at.text_input[0]
    better(search)
    again(at)
    field.set_value("the best?").run()
    assert notes(search) == {first: "the best?"}


def test_a_note_that_is_still_under_way_when_another_trial_is_picked_lands_on_its_own(
    owned: Callable[..., jobs.Job],
) -> None:
    search = going()
    at = view("trials", search, owned(search), trial=2)
    late = at.text_input[0]
    at.session_state["trial"] = 3
    again(at)
    states = at._tree.get_widget_states()
    states.widgets.add(id=late.id, string_value="of the third")
    at._run(states)
    assert not at.exception, at.exception
    assert notes(search) == {2: "of the third"}


def test_a_note_and_a_star_of_one_moment_are_both_kept(owned: Callable[..., jobs.Job]) -> None:
    search = going()
    at = view("trials", search, owned(search), trial=2)
    at.text_input[0].set_value("typed")
    widget(at, "star").click().run()
    row = search.table().loc[2]
    assert (row["note"], row["star"]) == ("typed", True)


def test_the_form_keeps_its_fields_and_where_it_began_while_another_trial_becomes_the_best(
    owned: Callable[..., jobs.Job],
) -> None:
    """A browser keeps what is typed in a field for as long as that is the same one with the same start."""
    search = going()
    at, began = view("trials", search, owned(search)), best(search)
    assert began is not None
    fields = [(n.proto.id, n.proto.default) for n in by_hand(at)]
    assert form(at) == named(search.values(began))
    better(search)
    again(at)
    assert [(n.proto.id, n.proto.default) for n in by_hand(at)] == fields
    by_hand(at)[0].set_value("0.0123")
    widget(at, "queue").click().run()
    queued = search.table().iloc[-1]
    wanted = search.values(began) | {"learning_rate": 0.0123}
    assert {word: queued[word] for word in wanted} == wanted


def test_the_form_begins_anew_at_a_trial_that_is_picked_and_at_a_copy_which_stays(found: Search) -> None:
    at = view("trials", found)
    for number in (3, 1):
        at.session_state["trial"] = number
        assert form(again(at)) == named(found.values(number))
    for _ in range(2):
        by_hand(at)[0].set_value("0.0123")
        widget(at, "copy").click()
        assert form(again(at)) == named(found.values(1)), "also a copy of what it began at"
    at.session_state["trial"] = 4
    assert form(again(at)) == named(found.values(1))


def test_the_form_begins_at_the_trial_of_another_search_not_at_a_copy_of_the_one_before(
    found: Search,
) -> None:
    old = {"learning_rate": 0.0321, "batch_size": 9.0, "momentum": 0.5}
    at = view("trials", found, hand=("another", None, old, 3), trial=2)
    assert form(at) == named(found.values(2))


def elements(block: Any) -> list[str]:
    """What is drawn, in its order."""
    found = [block.type]
    for child in getattr(block, "children", {}).values():
        found += elements(child)
    return found


def test_the_button_that_tries_a_setting_is_above_the_maps_and_nothing_comes_or_goes_at_a_click(
    owned: Callable[..., jobs.Job],
) -> None:
    search = ended(BOSTON)
    at = view("maps", search, owned(search))
    before = elements(at.main)
    assert max(k for k, kind in enumerate(before) if kind == "button") < before.index("vega_lite_chart")
    assert widget(at, "try_cell").disabled
    assert elements(click(at, 0, 0.0123, 17.2).main) == before
    assert not widget(at, "try_cell").disabled
    assert read(widget(at, "try_cell").label) == "Try learning rate 0.0123, batch size 17"
    widget(at, "try_cell").click().run()
    assert elements(at.main) == before


def test_the_button_that_tries_a_setting_is_as_wide_before_a_click_as_after(
    found: Search, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_as, button = [], st.button

    def noted(label: str, **more: Any) -> bool:
        if more["key"].startswith("try_cell"):
            drawn_as.append((label, more["width"], more["wrap"]))
        return button(label, **more)

    monkeypatch.setattr(st, "button", noted)
    click(view("maps", found), 0, 0.0123, 17.2)
    (first, wide, wrap), (second, *after) = drawn_as
    assert first != second
    assert after == [wide, wrap] == [int(wide), False]


@pytest.mark.parametrize("map_", range(4))
def test_a_click_on_any_map_is_told_with_all_its_numbers_and_says_as_which_trial_it_is_queued(
    map_: int, owned: Callable[..., jobs.Job]
) -> None:
    search = ended(BOSTON)
    at = view("maps", search, owned(search))
    assert "Click a map to choose a setting to try." in captions(at)
    momentum = search.values(best(search))["momentum"]
    click(at, map_, 0.0123, 17.2)
    setting = f"earning rate 0.0123, batch size 17, momentum {momentum:.4g}."
    assert f"L{setting}" in captions(at)
    widget(at, "try_cell").click().run()
    assert f"Queued as trial 6: l{setting}" in captions(at)
    on_to(search, lambda: search.ended == 7)
    assert f"Completed as trial 6: l{setting}" in captions(again(at))
    last = search.table().iloc[6]
    assert (last["kind"], last["learning_rate"], last["batch_size"]) == ("hand", 0.0123, 17)
    assert last["momentum"] == momentum


def test_what_is_tried_is_what_was_held_at_the_click_whatever_is_the_best_by_then(
    owned: Callable[..., jobs.Job],
) -> None:
    search = going()
    at = view("maps", search, owned(search))
    held = search.values(best(search))
    better(search)
    click(at, 1, 0.0123, 17.2)
    better(search)
    assert search.values(best(search))["momentum"] != held["momentum"]
    widget(again(at), "try_cell").click().run()
    queued = search.table().iloc[-1]
    assert (queued["state"], queued["momentum"]) == ("queued", held["momentum"])


def test_the_same_setting_is_queued_once_until_it_has_been_tried_and_another_at_once(
    owned: Callable[..., jobs.Job],
) -> None:
    search = ended(BOSTON)
    at = view("maps", search, owned(search))
    click(at, 0, 0.0123, 17.2)
    widget(at, "try_cell").click().run()
    assert widget(at, "try_cell").disabled
    assert len(search.table()) == 7
    widget(click(at, 0, 0.0321, 17.2), "try_cell").click().run()
    assert len(search.table()) == 8
    on_to(search, lambda: search.ended == 8)
    assert not widget(again(at), "try_cell").disabled
    widget(at, "try_cell").click().run()
    assert len(search.table()) == 9


def test_a_second_press_before_the_page_is_drawn_anew_queues_nothing(
    owned: Callable[..., jobs.Job],
) -> None:
    search = ended(BOSTON)
    setting = search.values(1) | {"learning_rate": 0.0123}

    def page(found, setting):
        from pages import _trials

        for _ in range(2):
            _trials.enqueue_once(found, setting, 0)

    at = AppTest.from_function(page, args=(search, setting), default_timeout=60)
    at.session_state["words"] = {"tune": owned(search).id}
    again(at)
    assert len(search.table()) == 7


def test_a_setting_that_was_clicked_on_other_axes_or_in_another_search_is_not_offered(
    found: Search, owned: Callable[..., jobs.Job]
) -> None:
    at = view("maps", found, owned(found))
    click(at, 0, 0.0123, 17.2)
    at.session_state["words"]["across"] = "momentum"
    assert widget(again(at), "try_cell").disabled
    other = view("maps", going(), cell=at.session_state["cell"])
    assert read(widget(other, "try_cell").label) == "Try a setting"


def test_who_does_not_own_a_search_is_not_offered_to_try_a_setting_in_it(found: Search) -> None:
    assert widget(click(view("maps", found), 0, 0.0123, 17.2), "try_cell").disabled


def rings(at: AppTest) -> list[tuple[float, float]]:
    """Where the maps have the mark of what is next."""
    proto = at.get("vega_lite_chart")[0].proto
    data = proto.data.data if proto.data.data else proto.datasets[0].data.data
    cells = pa.ipc.open_stream(data).read_pandas()
    next_ = cells[cells["mark"] == 4]
    return list(zip(next_["px"].tolist(), next_["py"].tolist(), strict=True))


def test_while_a_setting_is_queued_it_is_what_comes_next_on_the_maps_and_in_words() -> None:
    search = ended(BOSTON)
    at = view("maps", search)
    assert len(rings(at)) == 1
    assert "The next suggestion is" in captions(at)
    search.enqueue(search.values(1) | {"learning_rate": 0.0123, "batch_size": 17})
    assert rings(again(at)) == [pytest.approx((0.0123, 17))]
    assert "The next suggestion is" not in captions(at)


def states(at: AppTest) -> list[str]:
    return at.dataframe[0].value["State"].tolist()


def test_trials_whose_round_waits_are_said_to_wait(owned: Callable[..., jobs.Job]) -> None:
    search = going()
    assert states(view("trials", search))[:2] == ["waiting", "waiting"]
    job = owned(search)
    at = view("trials", search, job)
    assert states(at)[:2] == ["waiting", "waiting"], "paused"
    job.set_pace(1e-3)
    job.resume()
    on = time.monotonic() + 20
    while job.state != jobs.RUNNING and time.monotonic() < on:
        time.sleep(0.01)
    assert states(again(at))[:2] == ["running", "running"]
    job.stop()
    assert states(again(at))[:2] == ["waiting", "waiting"], "stopped"


def test_trials_of_a_shared_search_run_elsewhere_whatever_the_job_here_does() -> None:
    search = going()
    search.shared = True
    assert states(view("trials", search))[:2] == ["running", "running"]


def test_a_box_across_an_axis_is_what_keeps_some_trials(found: Search) -> None:
    assert (
        captions(drawn("parallel", found))
        == "Draw a box across an axis to keep the trials that pass there; double-click to keep all."
    )


def test_what_the_four_buttons_do_is_said_above_them(found: Search) -> None:
    def page(found):
        from pages import _trials

        _trials.downloads(found, 2, 5003)

    at = again(AppTest.from_function(page, args=(found,), default_timeout=60))
    assert elements(at.main)[1:] == ["caption", *["download_button"] * 4]
    assert captions(at) == "To download; config and code have seed 5003."
