"""The Tune page: what it draws is what the search has found, and what a hurried person does loses nothing."""

from __future__ import annotations

import io
import re
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from scipy.stats import gmean
from streamlit.testing.v1 import AppTest

from core import worker
from core.config import Config
from core.engine import Training
from core.search import Plan
from core.search import trials as kept
from core.search.file import to_bytes
from core.search.study import Search
from core.searches import SEARCHES
from core.store import default_url
from core.verdict import digits
from pages import _live, _open, _study
from pages._open import _names as opening_names
from tests import seen
from tests.seen import charts, complaints, drawn, progress, read, widget

VIEWS = ("maps", "slices", "parallel", "importances", "trials", "worth", "workers")


@pytest.fixture(autouse=True)
def _own_database(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_DB", f"sqlite:///{tmp_path / 'lab.db'}")


def opened(**link: str) -> AppTest:
    at = seen.opened("tune", **link)
    assert not at.exception, at.exception
    return at


def settled(at: AppTest, true: Callable[[], Any], seconds: float = 90.0) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"It did not happen in time: {progress(at)}"
        time.sleep(0.1)
        at.run()
        assert not at.exception, at.exception


def finished(**link: str) -> AppTest:
    at = opened(**({"epochs": "3", "trials": "6", "seeds": "2", "run": "1"} | link))
    settled(at, lambda: progress(at).startswith("Finished"))
    return at


def table(at: AppTest, place: int = 0) -> pd.DataFrame:
    return drawn(charts(at)[place])


def said(at: AppTest) -> str:
    return " ".join(read(str(m.value)) for m in [*at.markdown, *at.caption, *at.error])


def captions(at: AppTest) -> str:
    return " ".join(read(str(m.value)) for m in at.caption)


def job(at: AppTest, word: str = "tune") -> Any:
    return _live.manager().get(at.session_state["words"][word])


def searched(at: AppTest) -> AppTest:
    """Opens the popover with the ranges."""
    at.session_state["searched"] = True
    return at.run()


def end(at: AppTest, word: str, which: str) -> Any:
    """The field for an end of a range."""
    return widget(at, f"w_space_{word}_{which}")


def note(at: AppTest) -> Any:
    """The field for a note beside the trial that is looked at."""
    return widget(at, f"w_note_{widget(at, 'w_trial').value}")


def hand(at: AppTest) -> list[Any]:
    """The fields of the form for a setting of one's own."""
    return [field for field in at.text_input if field.key.startswith("hand_")]


def choose(at: AppTest, number: int) -> None:
    """Picks a trial."""
    widget(at, "w_trial").set_value(number).run()


def pick(at: AppTest, view: str) -> None:
    """Picks a view."""
    widget(at, "w_view").set_value(view).run()
    assert not at.exception, at.exception


def once_more(at: AppTest, button: Any) -> None:
    """The second click of a double click: on the button as it was drawn before the first."""
    states = at._tree.get_widget_states()
    states.widgets.add(id=button.proto.id, trigger_value=True)
    at._run(states)
    assert not at.exception, at.exception


def double_click(at: AppTest, name: str) -> None:
    button = widget(at, name)
    button.click().run()
    once_more(at, button)


def test_the_page_opens_idle_and_says_what_start_would_do() -> None:
    before = set(_live.manager()._jobs)
    at = opened()
    assert "tune" not in at.session_state["words"]
    assert not set(_live.manager()._jobs) - before
    assert (progress(at), widget(at, "start").label) == ("Ready", "Start")
    ranges = "learning rate 0.0001 to 0.1, batch size 1 to 100, momentum 0 to 0.99"
    assert f"Press Start for 20 trials × 4 seeds over {ranges}." in said(at)
    assert at.session_state["words"]["dataset"] == "diabetes"
    assert SEARCHES[widget(at, "w_search").value].look in said(at)


@pytest.mark.parametrize("word", ["tune", "study"])
def test_a_search_that_is_not_kept_any_more_is_said_to_be_gone(word: str) -> None:
    at = opened(epochs="3", **{word: "gone"})
    if word == "tune":
        assert _study.GONE in said(at)
        assert progress(at) != "Ready"
    else:
        assert "There is no study named 'gone'" in complaints(at)[0]
    widget(at, "start").click().run()
    assert job(at).subject.config.epochs == 3
    assert _study.GONE not in said(at)


def test_a_link_names_a_preset_and_the_link_to_copy_starts_it() -> None:
    at = opened(preset="moons-adam")
    assert widget(at, "w_search").value == "moons-adam"
    assert "tune" not in at.session_state["words"]
    assert any("?preset=moons-adam&amp;run=1" in str(html.proto) for html in at.get("html"))
    other = opened(preset="nothing")
    assert "No search named 'nothing'" in complaints(other)[0]


BAD = ("abc", "", "NaN", "١٢", "0.1.2", "1,2,3", "1e999", "-1", "--", "1_0")
SPACE = ("learning_rate", "batch_size", "momentum")
FIELDS = ("w_trials", "w_seeds", "w_round", *(f"w_space_{w}_{e}" for w in SPACE for e in ("low", "high")))


@pytest.mark.parametrize("text", BAD)
def test_what_cannot_be_read_leaves_the_value_and_says_so_at_the_field(text: str) -> None:
    at = searched(opened())
    at.session_state["budget"] = True
    at.run()
    before = {name: widget(at, name).value for name in FIELDS}
    words = dict(at.session_state["words"])
    for name in FIELDS:
        widget(at, name).set_value(text).run()
        (sentence,) = complaints(at)
        assert "must be" in sentence
        assert (text or "nothing") in sentence
        assert not at.error, "it is said at the field"
        assert {name: widget(at, name).value for name in FIELDS} == before
        assert at.session_state["words"] == words


@pytest.mark.parametrize("text", BAD)
def test_a_setting_of_one_s_own_that_cannot_be_read_is_not_queued(text: str) -> None:
    at = finished(view="trials")
    for place in range(3):
        for field in hand(at):
            field.set_value("0.05" if "rate" in field.key else "20" if "batch" in field.key else "0.5")
        hand(at)[place].set_value(text)
        widget(at, "queue").click().run()
        (sentence,) = complaints(at)
        assert "must be" in sentence
        assert len(job(at).training.table()) == 6


def test_a_double_click_on_start_begins_one_search() -> None:
    at = opened(epochs="30", trials="40", seeds="4")
    double_click(at, "start")
    first = job(at)
    assert [j for j in _live.manager()._jobs.values() if not j.over] == [first]
    settled(at, lambda: first.training is not None and first.training.ended >= 4)
    double_click(at, "pause")
    assert (first.state, widget(at, "start").label) == ("paused", "Resume")
    double_click(at, "start")
    assert (job(at), first.state) == (first, "running")
    double_click(at, "stop")
    ended = first.training.ended
    assert (first.state, widget(at, "start").label) == ("stopped", "Go on")
    double_click(at, "start")
    now = job(at)
    assert now.training is first.training
    settled(at, lambda: now.training.ended > ended)
    assert [j for j in _live.manager()._jobs.values() if not j.over] == [now]


def test_a_double_click_adds_ten_trials_once() -> None:
    at = finished()
    double_click(at, "more")
    settled(at, lambda: progress(at).startswith("Finished"))
    assert progress(at) == "Finished · 16 trials"
    widget(at, "more").click().run()
    assert job(at).training.target == 26


def test_a_slow_second_click_adds_no_more_trials_until_the_next_has_ended() -> None:
    at = opened(epochs="30", trials="40", seeds="4", run="1")
    settled(at, lambda: job(at).training is not None and job(at).training.ended >= 4)
    widget(at, "pause").click().run()
    found = job(at).training
    for _ in range(2):  # the second on the button as it was drawn after the first
        widget(at, "more").click().run()
    assert found.target == 50
    ended = found.ended
    widget(at, "start").click().run()
    settled(at, lambda: found.ended > ended)
    widget(at, "more").click().run()
    assert found.target == 60


def test_a_click_that_was_to_let_a_search_go_on_does_not_begin_it_anew() -> None:
    at = finished()
    at.session_state["budget"] = True
    at.run()
    widget(at, "w_trials").set_value("9").run()
    found = job(at).training
    longer = widget(at, "start")
    assert longer.label == "More trials"
    longer.click().run()
    end = time.monotonic() + 60
    while not job(at).over and time.monotonic() < end:
        time.sleep(0.05)
    once_more(at, longer)
    assert job(at).training is found
    assert found.ended == 9


@pytest.mark.parametrize("name", ["star", "again", "copy", "queue", "beside", "truth", "wider"])
def test_a_double_click_does_what_one_click_does(name: str) -> None:
    view = {"beside": "worth", "truth": "maps"}.get(name, "trials")
    edge = {"space": "learning_rate:0.00001:0.0001,batch_size:8:64"} if name == "wider" else {}
    at = finished(view=view, **edge)
    found, before = job(at).training, dict(_live.manager()._jobs)
    double_click(at, name)
    settled(at, lambda: all(j.over for j in _live.manager()._jobs.values()))
    begun = [j for key, j in _live.manager()._jobs.items() if key not in before]
    assert len(begun) == (name not in ("star", "copy"))
    assert len(found.table()) == 6 + (name in ("again", "queue"))
    if name == "star":
        assert found.table()["star"].sum() == 1
    if name == "wider":
        assert job(at).training.ended == 16


def test_a_double_click_on_a_map_s_offer_queues_one_trial() -> None:
    at = finished()
    found = job(at).training
    setting = found.values(found.checks[0].number) | {"learning_rate": 0.0123, "batch_size": 17}
    at.session_state["cell"] = found.study.study_name, ("learning_rate", "batch_size"), setting
    at.run()
    double_click(at, "try_cell")
    settled(at, lambda: progress(at).startswith("Finished"))
    assert len(found.table()) == 7


def test_workers_are_started_shared_and_stopped_once_by_a_double_click(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from core.search import trials as kept

    begun: list[str] = []
    monkeypatch.setattr(worker, "start", begun.append)
    at = finished(view="workers")
    widget(at, "more").click().run()
    widget(at, "stop").click().run()
    button = widget(at, "share_it")
    button.click().run()
    settled(at, lambda: job(at).training is not None and job(at).training.shared)
    shared = job(at)
    once_more(at, button)
    assert job(at) is shared
    double_click(at, "worker_here")
    assert begun == [shared.training.name]
    double_click(at, "workers_stop")
    assert kept.stopped(shared.training.study)
    settled(at, lambda: not widget(at, "workers_on").disabled)
    double_click(at, "workers_on")
    assert not kept.stopped(shared.training.study)
    widget(at, "worker_here").click().run()
    assert len(begun) == 2


def test_a_link_runs_a_search_and_the_page_draws_what_it_found() -> None:
    at = finished()
    alone = Search(Plan(Config.from_query({"epochs": "3"}), trials=6, seeds=2))
    while alone.active:
        alone.advance()
    rows = table(at).dropna(subset=["loss"])
    expected = alone.table()
    held = expected[expected["state"] == "finished"]
    assert rows["loss"].to_numpy() == pytest.approx(10 ** held["score"].to_numpy())
    assert rows["trial"].tolist() == held["number"].tolist()
    assert "Take trial" in said(at)
    assert "fresh seeds" in said(at)


def test_every_view_draws_before_a_search_while_it_goes_on_and_after() -> None:
    at = opened(epochs="3", trials="8", seeds="2")
    for view in VIEWS:
        pick(at, view)
    widget(at, "start").click().run()
    for view in VIEWS:
        pick(at, view)
    settled(at, lambda: progress(at).startswith("Finished"))
    for view in VIEWS:
        pick(at, view)
        assert at.session_state["words"].get("view", "maps") == view


@pytest.mark.parametrize("name", ["tutorial", "tutorial-grid", "moons-adam"])
def test_a_preset_is_the_search_that_it_says(name: str) -> None:
    at = opened()
    widget(at, "w_search").set_value(name).run()
    plan = SEARCHES[name].plan
    assert job(at).subject == plan
    assert widget(at, "w_search").value == name
    assert SEARCHES[name].look in said(at)


@pytest.mark.parametrize(
    ("link", "sentence"),
    [
        ({"trials": "0"}, "trials must be a whole number in [1, 1000], got 0."),
        ({"trials": "100000"}, "trials must be a whole number in [1, 1000], got 100000."),
        (
            {"space": "learning_rate:0:0.1"},
            "learning rate is searched on a logarithmic scale, which has no 0",
        ),
        ({"space": "learning_rate:0.1:0.1"}, "learning rate: its range is empty, got 0.1 to 0.1"),
        ({"space": "learning_rate:0.1:0.01"}, "must go from the smaller to the larger, got 0.1 to 0.01"),
        ({"space": "nonsense"}, "space must be of ranges such as learning_rate:0.0001:0.1"),
        ({"sampler": "bayesan"}, "Did you mean 'bayesian'"),
    ],
)
def test_a_bad_link_is_answered_in_a_sentence_and_the_rest_stays(link: dict[str, str], sentence: str) -> None:
    at = opened(epochs="3", **link)
    assert sentence in complaints(at)[0]
    assert at.session_state["words"]["epochs"] == "3"
    assert len(complaints(at)) == 1


def test_a_bad_end_typed_by_hand_is_refused_in_a_sentence_and_the_range_stays() -> None:
    at = searched(opened())
    end(at, "learning_rate", "low").set_value("0.5").run()
    assert "must go from the smaller to the larger, got 0.5 to 0.1" in complaints(at)[0]
    assert end(at, "learning_rate", "low").value == "0.0001"
    end(at, "learning_rate", "high").set_value("0.05").run()
    assert not complaints(at)
    assert at.session_state["words"]["space"].startswith("learning_rate:0.0001:0.05,")


def test_any_number_of_the_rule_can_be_ticked_in_and_the_last_one_stays() -> None:
    at = searched(opened())
    widget(at, "w_space_weight_decay_on").check().run()
    assert at.session_state["words"]["space"].endswith("weight_decay:1e-06:0.1")
    for word in ("weight_decay", "momentum", "batch_size"):
        widget(at, f"w_space_{word}_on").uncheck().run()
    widget(at, "w_space_learning_rate_on").uncheck().run()
    assert "needs at least one parameter" in complaints(at)[0]
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.1"


def test_an_end_typed_into_a_row_that_was_just_unticked_changes_nothing() -> None:
    at = searched(opened(epochs="3"))
    widget(at, "w_space_momentum_on").uncheck()
    end(at, "momentum", "high").set_value("0.5")
    at.run()  # one message with both, as a quick hand sends it
    assert not at.exception
    assert at.session_state["words"]["space"] == "learning_rate:0.0001:0.1,batch_size:1:100"


def test_when_all_trials_diverge_the_page_says_so() -> None:
    at = finished(space="learning_rate:100:1000")
    assert "All 6 trials so far diverged on some seed. Search smaller learning rates." in said(at)
    assert set(table(at)["lost"].dropna()) == {1.0}
    for view in VIEWS:
        pick(at, view)


def test_stop_keeps_what_there_is_and_start_goes_on() -> None:
    at = opened(epochs="30", trials="40", seeds="4", run="1")
    settled(at, lambda: job(at).training is not None and job(at).training.ended >= 4)
    widget(at, "stop").click().run()
    ended = job(at).training.ended
    assert progress(at).startswith("Stopped")
    assert widget(at, "start").label == "Go on"
    first = job(at)
    widget(at, "start").click().run()
    settled(at, lambda: job(at).training is not None and job(at).training.ended > ended)
    assert job(at) is not first
    assert job(at).training is first.training


def test_ten_more_trials_go_on_from_those_that_were() -> None:
    at = finished()
    before = job(at).training.table()["score"].tolist()
    widget(at, "more").click().run()
    settled(at, lambda: progress(at) == "Finished · 16 trials")
    assert job(at).training.table()["score"].tolist()[:6] == before


def test_a_search_that_goes_on_already_is_not_begun_again_from_an_older_link() -> None:
    """Two jobs that train the same search would get in each other's way."""
    at = finished()
    old, link = job(at), dict(at.query_params)
    old.training.extend(600)
    at.run()
    widget(at, "start").click().run()
    now = job(at)
    assert (now.training, now.over) == (old.training, False)
    for key in ("more", "start"):
        at.query_params.clear()
        for word, texts in link.items():
            at.query_params[word] = texts
        at.run()
        assert job(at) is old, "back at the link of the job that has ended"
        widget(at, key).click().run()
        assert job(at) is now
    assert [j for j in _live.manager()._jobs.values() if j.training is old.training and not j.over] == [now]
    now.stop()


def test_other_ends_after_a_search_take_its_results_over() -> None:
    at = searched(finished())
    end(at, "learning_rate", "high").set_value("0.05").run()
    assert widget(at, "start").label == "New ranges"
    old = job(at).training
    widget(at, "start").click().run()
    settled(at, lambda: progress(at).startswith("Finished") and job(at).training is not old)
    frame = job(at).training.table()
    inside = old.table()
    inside = inside[inside["learning_rate"] <= 0.05]
    assert (frame["kind"] == "before").sum() == len(inside)
    assert (frame["learning_rate"] <= 0.05).all()


def test_a_best_setting_on_an_end_is_searched_beyond_in_one_click() -> None:
    at = finished(space="learning_rate:0.00001:0.0001", seeds="2")
    assert "at the upper bound of its range (0.0001): extend the range upwards" in said(at)
    old = job(at).training
    widget(at, "wider").click().run()
    settled(at, lambda: progress(at).startswith("Finished") and job(at).training is not old)
    new = job(at).training
    assert [(r.low, r.high) for r in new.plan.space] == [(1e-5, 1e-3)]
    assert (new.table()["kind"] == "before").sum() == old.ended
    assert new.ended == old.ended + 10
    assert not at.error


def test_there_is_nothing_to_search_beyond_while_the_best_lies_inside_or_is_another_s(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    inside = finished(space="learning_rate:0.0001:1")
    assert "bound of its range" not in said(inside)
    assert widget(inside, "wider").disabled
    at = finished(space="learning_rate:0.00001:0.0001")
    assert not widget(at, "wider").disabled
    widget(at, "w_epochs").set_value("4").run()
    assert widget(at, "wider").disabled, "the trials are of other settings than the controls say"
    widget(at, "w_epochs").set_value("3").run()
    monkeypatch.setattr(_live, "owner", lambda: "somebody else")
    assert at.run().button(key="wider").disabled


def test_random_and_grid_beside_it_have_its_budget_and_a_sentence_says_whether_it_helped() -> None:
    at = finished(view="worth")
    widget(at, "beside").click().run()
    settled(at, lambda: job(at, "beside").over)
    at.run()
    assert "Random search" in said(at)
    assert "Grid search" in said(at)
    others = job(at, "beside").training.searches
    drawn = table(at)
    best = 10 ** np.minimum.accumulate(
        np.where(others["random"].table()["state"] == "finished", others["random"].table()["score"], np.inf)
    )
    assert drawn["random_best"].dropna().to_numpy() == pytest.approx(best[np.isfinite(best)])


def test_random_and_grid_stand_beside_the_tutorial_s_own_search_too() -> None:
    at = finished(exact="true", trials="6", epochs="1", view="worth")
    widget(at, "beside").click().run()
    settled(at, lambda: (other := job(at, "beside")) is not None and other.over)
    assert job(at, "beside").reason == ""
    at.run()
    assert "fresh seeds" in said(at)


def test_why_random_and_grid_or_the_truth_ended_early_is_said() -> None:
    at = finished(view="worth")
    widget(at, "beside").click().run()
    pick(at, "maps")
    widget(at, "truth").click().run()
    for word, view in (("truth", "maps"), ("beside", "worth")):
        settled(at, lambda word=word: job(at, word).over)
        job(at, word).reason = f"{word}: stopped after 120 seconds of training, the limit here."
        pick(at, view)
        assert job(at, word).reason in said(at)


def test_the_truth_is_trained_and_drawn_beside_the_belief() -> None:
    at = finished(epochs="2", seeds="1")
    blank, ends = table(at, 5).dropna(subset=["x1"]), ["x1", "x2", "y1", "y2"]
    assert blank["value"].isna().all()
    assert blank[ends].agg(["min", "max"]).equals(table(at, 2)[ends].agg(["min", "max"]))
    widget(at, "truth").click().run()
    settled(at, lambda: job(at, "truth").over)
    at.run()
    made = job(at, "truth").training
    cells = table(at, 5).dropna(subset=["value"])
    assert len(cells) == made.scores.size
    assert cells["value"].to_numpy() == pytest.approx(made.scores.ravel(), rel=1e-5)


def test_a_setting_of_one_s_own_is_queued_and_a_finished_search_goes_on_for_it() -> None:
    at = finished(view="trials")
    hand(at)[0].set_value("0.0123")
    widget(at, "queue").click().run()
    settled(at, lambda: progress(at) == "Finished · 7 trials")
    last = job(at).training.table().iloc[6]
    assert (last["kind"], last["learning_rate"]) == ("hand", 0.0123)


def test_a_setting_outside_the_ranges_is_refused_in_a_sentence() -> None:
    at = finished(view="trials")
    hand(at)[0].set_value("5.0")
    widget(at, "queue").click().run()
    assert "learning rate must be in [0.0001, 0.1], the search range, got 5" in complaints(at)[0]
    assert len(job(at).training.table()) == 6


def test_stars_and_notes_stay_with_their_trial() -> None:
    at = finished(view="trials")
    choose(at, 2)
    widget(at, "star").click().run()
    note(at).set_value("hm *bold*").run()
    choose(at, 1)
    assert note(at).value == ""
    frame = job(at).training.table()
    assert frame["star"].tolist() == [False, False, True, False, False, False]
    assert frame.loc[2, "note"] == "hm *bold*"


def test_queue_again_tries_a_setting_once_more() -> None:
    at = finished(view="trials")
    choose(at, 1)
    widget(at, "again").click().run()
    settled(at, lambda: progress(at) == "Finished · 7 trials")
    frame = job(at).training.table()
    assert frame.loc[6, "learning_rate"] == frame.loc[1, "learning_rate"]
    assert frame.loc[6, "score"] == frame.loc[1, "score"]


@pytest.mark.parametrize(("button", "title"), [("best_to_train", "Train"), ("best_to_compare", "Compare")])
def test_one_click_takes_the_best_to_train_or_compare(button: str, title: str) -> None:
    at = finished()
    found = job(at).training
    number = found.checks[0].number
    config = found.config(number)
    widget(at, button).click().run()
    assert not at.exception
    assert any(str(m.value).startswith(f"**{title}**") for m in at.markdown)
    assert Config.read({k: v for k, v in at.session_state["words"].items() if k in config.to_query()})
    words = at.session_state["words"]
    assert float(words.get("learning_rate", 0.01)) == config.learning_rate
    assert int(words.get("batch_size", 32)) == config.batch_size


def last_losses(training: Training) -> list[float]:
    """The last validation loss of each run of a training that has ended."""
    places = [training.place(run) for run in range(len(training.configs))]
    return [float(stack.history.scores[seat, -1, 1]) for stack, seat in places]


@pytest.mark.parametrize("checked", [True, False])
def test_train_opens_the_seed_nearest_to_the_mean_that_was_told_with_exactly_its_loss(checked: bool) -> None:
    """Also of a trial that was not tried on fresh seeds, whose mean is that of the search's."""
    at = finished(view="trials")
    found = job(at).training
    fresh = {check.number: check.losses for check in found.checks}
    number = found.checks[0].number if checked else next(n for n in range(6) if n not in fresh)
    losses = fresh[number] if checked else found.table()["losses"][number]
    nearest = int(np.abs(losses - gmean(losses)).argmin())
    seed = (found.plan.fresh_seeds if checked else range(2))[nearest]
    choose(at, number)
    name = "best_to_train" if checked else "one_to_train"
    kind = f"{len(losses)} {'fresh seeds' if checked else 'seeds of the search'}"
    told = f"Train opens seed {seed}, whose loss {digits(losses[nearest])} is nearest to the mean "
    told += (
        f"{digits(gmean(losses))}: the {kind} range from {digits(losses.min())} to {digits(losses.max())}."
    )
    assert told in captions(at)
    widget(at, name).click().run()
    settled(at, lambda: job(at, "job").over)
    assert job(at, "job").configs == (replace(found.config(number), seed=seed),)
    assert last_losses(job(at, "job").training) == [losses[nearest]]


def test_compare_opens_the_seeds_that_were_judged_and_states_the_same_mean() -> None:
    at = finished()
    found = job(at).training
    check = found.checks[0]
    widget(at, "best_to_compare").click().run()
    at.switch_page("pages/compare.py").run()
    settled(at, lambda: progress(at).startswith("Finished"))
    race = job(at, "race").training
    assert [config.seed for config in race.configs[8:16]] == list(found.plan.fresh_seeds)
    assert last_losses(race)[8:16] == check.losses.tolist()
    (shown,) = at.dataframe
    stated = shown.value.iloc[1]["Final validation loss"]
    at.switch_page("pages/tune.py").run()
    ends = " to ".join(digits(v) for v in check.loss[1:3])
    assert f"Loss {digits(check.loss.mean)} on 8 fresh seeds, 95 % interval {ends};" in said(at)
    assert stated.startswith(digits(check.loss.mean))
    assert all(digits(v) in stated for v in check.loss[1:3])


@pytest.mark.parametrize("name", ["best_to_train", "best_to_compare"])
def test_who_comes_back_from_another_page_finds_the_search_with_its_own_seeds(name: str) -> None:
    at = finished(seed="3")
    page = f"pages/{name.removeprefix('best_to_')}.py"
    widget(at, name).click().run()
    at.switch_page(page).run()
    assert int(at.session_state["words"]["seed"]) in job(at).training.plan.fresh_seeds
    at.switch_page("pages/tune.py").run()
    assert _study.CHANGED not in said(at)
    assert {word: at.session_state["words"][word] for word in ("seed", "seeds")} == {
        "seed": "3",
        "seeds": "2",
    }
    widget(at, name).click().run()
    at.switch_page(page).run()
    widget(at, "w_seed").set_value("7").run()
    at.switch_page("pages/tune.py").run()
    assert _study.CHANGED in said(at), "a seed that was typed there is meant"


def test_before_the_check_has_ended_the_links_are_of_the_seeds_of_the_search() -> None:
    at = opened(epochs="3", trials="8", seeds="2", run="1", speed="slow")
    settled(at, lambda: job(at).training is not None and job(at).training.ended >= 4)
    widget(at, "pause").click().run()
    assert job(at).training.checks is None
    assert ": the 2 seeds of the search range from " in captions(at)
    assert "Compare opens all 2." in captions(at)


def test_a_search_survives_another_page_and_a_new_session_with_its_link() -> None:
    at = finished()
    link = {k: v if isinstance(v, str) else v[0] for k, v in at.query_params.items()}
    at.switch_page("pages/train.py").run()
    at.switch_page("pages/tune.py").run()
    assert progress(at) == "Finished · 6 trials"
    again = opened(**link)
    assert progress(again) == "Finished · 6 trials"
    assert "Take trial" in said(again)


def test_other_settings_than_those_of_the_trials_are_named() -> None:
    at = finished()
    widget(at, "w_seed").set_value("3").run()
    assert _study.CHANGED in said(at)
    assert progress(at) == "Finished · 6 trials"


def test_where_the_searched_numbers_stand_does_not_make_it_another_search() -> None:
    at = finished()
    words = at.session_state["words"]
    at.session_state["words"] = words | {"learning_rate": "0.05", "momentum": "0.5", "batch_size": "7"}
    at.session_state["touched"] = True  # as a setting that is taken to Train and back
    at.run()
    assert progress(at) == "Finished · 6 trials"
    widget(at, "more").click().run()
    settled(at, lambda: progress(at) == "Finished · 16 trials")


def test_other_settings_in_mid_search_are_named_and_start_begins_with_them() -> None:
    at = opened(epochs="50", trials="60", seeds="4", run="1")
    settled(at, lambda: job(at).training is not None)
    at.run()
    before = job(at)
    widget(at, "start").click().run()
    assert (job(at), before.over) == (before, False), "what goes on already is left alone"
    widget(at, "w_dataset").set_value("diabetes").run()
    assert _study.CHANGED in said(at)
    widget(at, "start").click().run()
    assert before.state == "stopped"
    assert job(at) is not before
    assert job(at).subject.config.dataset.name == "diabetes"


def test_start_leaves_a_search_alone_that_is_prepared() -> None:
    at = opened(epochs="50", trials="60", seeds="4")
    widget(at, "start").click().run()
    first = job(at)
    widget(at, "start").click().run()
    assert (job(at), first.over) == (first, False)


def test_what_is_trained_beside_a_search_has_its_progress_and_can_be_stopped() -> None:
    for key, name, more in (("beside", "Random and grid", {"view": "worth"}), ("truth", "True loss", {})):
        at = finished(**more, epochs="40", trials="8", seeds="4")
        assert widget(at, "stop").disabled
        widget(at, key).click().run()
        assert progress(at).startswith(f"{name} · ")
        widget(at, "pause").click().run()
        assert job(at, key).state == "paused"
        assert "paused at" in progress(at)
        assert widget(at, "start").label == "Resume"
        widget(at, "stop").click().run()
        assert job(at, key).state == "stopped"
        assert progress(at) == "Finished · 8 trials"


def test_the_truth_is_trained_once_however_often_it_is_asked_for() -> None:
    at = finished(epochs="40", trials="8", seeds="4")
    widget(at, "truth").click().run()
    first = job(at, "truth")
    widget(at, "truth").click().run()
    assert not first.over
    assert job(at, "truth") is first
    widget(at, "stop").click().run()


def test_a_trial_that_was_picked_of_one_search_is_not_picked_of_the_next() -> None:
    at = finished(view="trials")
    choose(at, 2)
    assert at.session_state["trial"] == 2
    widget(at, "w_seed").set_value("3").run()
    widget(at, "start").click().run()
    assert "trial" not in at.session_state


def test_downloads_are_made_of_the_search() -> None:
    labels = [button.label for button in finished().get("download_button")]
    assert labels == ["Config", "Code", "Trials", "Study"]


def test_a_search_is_shared_worked_on_elsewhere_and_checked_here() -> None:
    from core.search.shared import open_study, work
    from core.store import default_url, open_storage

    at = opened(epochs="3", trials="8", seeds="2", view="workers", run="1")
    settled(at, lambda: progress(at).startswith("Finished"))
    widget(at, "more").click().run()
    widget(at, "stop").click().run()
    widget(at, "w_study").set_value("class-7").run()
    widget(at, "share_it").click().run()
    assert at.session_state["words"]["study"] == "class-7"
    settled(at, lambda: job(at).training is not None)
    assert at.code[0].value == "python -m core worker --study=class-7"
    ended = job(at).training.ended
    assert progress(at) == f"Waiting for workers · {ended} of 18 trials"
    work(open_study(open_storage(default_url()), "class-7"))
    settled(at, lambda: progress(at) == "Finished · 18 trials")
    assert "Take trial" in said(at)
    assert at.dataframe[0].value[["State", "Seen"]].values.tolist() == [["stopped", "–"]]
    assert widget(at, "workers_stop").disabled
    again = opened(study="class-7", view="workers")
    settled(again, lambda: progress(again) == "Finished · 18 trials")


def test_who_begins_another_search_leaves_the_workers_of_a_shared_one_at_it() -> None:
    from core.search import trials as kept

    at = finished(view="workers")
    widget(at, "more").click().run()
    widget(at, "stop").click().run()
    widget(at, "share_it").click().run()
    settled(at, lambda: job(at).training is not None)
    shared = job(at)
    widget(at, "w_dataset").set_value("diabetes").run()
    widget(at, "start").click().run()
    assert shared.over
    assert job(at) is not shared
    assert not kept.stopped(shared.training.study)


def test_a_search_that_goes_on_is_left_alone_when_the_database_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_DB", "postgresql://me:secret-word@127.0.0.1:9/lab")
    at = opened(epochs="30", trials="40", seeds="4", view="workers", run="1")
    settled(at, lambda: job(at).training is not None and job(at).training.ended >= 4)
    before, ended = job(at), job(at).training.ended
    widget(at, "share_it").click().run()
    assert complaints(at) == ["The server at 127.0.0.1, port 9 does not answer."]
    assert (job(at), before.state) == (before, "running")
    settled(at, lambda: before.training.ended > ended)


@pytest.mark.parametrize("name", ["a b", "<b>", "![x](http://example.com)"])
def test_a_name_that_no_study_can_have_is_refused_at_its_field(name: str) -> None:
    at = finished(view="workers")
    widget(at, "w_study").set_value(name).run()
    widget(at, "share_it").click().run()
    (sentence,) = complaints(at)
    assert sentence.startswith("The name of a study must be a word")
    assert not at.error
    assert progress(at) == "Finished · 6 trials"


def opening(at: AppTest) -> AppTest:
    """Opens the popover with what can be opened."""
    at.session_state["open"] = True
    return at.run()


def test_a_study_that_was_downloaded_is_shown_again_with_its_settings_and_may_go_on() -> None:
    at = finished(view="trials")
    choose(at, 2)
    widget(at, "star").click().run()
    before, words = job(at).training, said(at)
    other = opening(opened(dataset="moons", model="mlp", epochs="100", trials="200", run="1"))
    until_now, file = job(other), to_bytes(before.study)
    other.file_uploader(key="w_file").upload("study.db", file, "application/vnd.sqlite3").run()
    settled(other, lambda: job(other).training.plan == before.plan and progress(other) == progress(at))
    assert until_now.state == "stopped", "what was searched before makes room"
    assert other.session_state["words"]["epochs"] == "3"
    assert "dataset" not in other.session_state["words"]
    assert not other.error
    frame = job(other).training.table()
    assert frame["score"].tolist() == before.table()["score"].tolist()
    assert frame["star"].tolist() == [False, False, True, False, False, False]
    verdict = next(line for line in words.split("  ") if "Take trial" in line)
    assert verdict[:40] in said(other)
    widget(other, "more").click().run()
    settled(other, lambda: progress(other) == "Finished · 16 trials")


def test_a_file_that_is_no_study_is_refused_in_a_sentence_and_the_search_stays() -> None:
    at = opening(finished())
    before = job(at)
    at.file_uploader(key="w_file").upload("study.db", b"hello", "application/vnd.sqlite3").run()
    assert (
        complaints(at)[0]
        == "The file must be a study that was saved here, a SQLite database; it is something else."
    )
    assert job(at) is before


def test_a_study_in_the_database_is_picked_from_those_that_are_there() -> None:
    at = opening(finished())
    assert widget(at, "w_open").disabled
    assert widget(at, "w_open").options == []
    assert not Path(default_url().removeprefix("sqlite:///")).exists(), "looking makes no database"
    pick(at, "workers")
    widget(at, "w_study").set_value("class-7").run()
    widget(at, "share_it").click().run()
    settled(at, lambda: job(at).training is not None and job(at).training.shared)
    opening_names.clear()
    other = opening(opened(dataset="moons", epochs="3"))
    assert widget(other, "w_open").options == ["class-7"]
    widget(other, "w_open").set_value("class-7").run()
    assert other.session_state["words"]["study"] == "class-7"
    settled(other, lambda: progress(other) == "Finished · 6 trials")


def test_the_hosted_demo_opens_files_but_no_database(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_HOSTED", "1")
    at = opening(opened(epochs="3"))
    assert len(at.get("file_uploader")) == 1
    assert "w_open" not in [box.key for box in at.selectbox]


def test_a_link_does_not_open_the_database_of_the_hosted_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    at = finished(view="workers")
    widget(at, "w_study").set_value("private").run()
    widget(at, "share_it").click().run()
    assert at.session_state["words"]["study"] == "private"
    monkeypatch.setenv("MOMENTUM_LAB_HOSTED", "1")
    for name in ("private", "gone"):
        other = opened(study=name, epochs="3")
        assert complaints(other) == [_open.NO_DATABASE]
        assert "tune" not in other.session_state["words"]
        assert "private" not in said(other)


def test_a_run_that_a_panel_caused_does_not_go_back_to_what_the_address_bar_said() -> None:
    """The message of a panel's timer may have left the browser before the address bar was up to date."""
    at = finished()
    before = dict(at.session_state["words"])
    at.query_params["epochs"] = "7"
    at.session_state["own"] = True
    at.run()
    assert at.session_state["words"] == before
    at.query_params["epochs"] = "7"
    at.run()
    assert at.session_state["words"]["epochs"] == "7", "who goes back to a link is heard"


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("postgresql://me:secret-word@127.0.0.1:9/lab", "The server at 127.0.0.1, port 9 does not answer."),
        ("sqlite:////no/such/folder/lab.db", "There is no folder /no/such/folder for the database lab.db."),
        ("nonsense", "The address of the database must be like sqlite:////folder/lab.db"),
    ],
)
def test_a_database_that_cannot_be_used_is_a_sentence_without_its_password(
    url: str, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_DB", url)
    at = finished(view="workers")
    widget(at, "share_it").click().run()
    assert sentence in complaints(at)[0]
    assert "secret-word" not in said(at)
    assert progress(at) == "Finished · 6 trials"


def test_a_study_that_is_not_there_is_named_and_the_page_goes_on() -> None:
    at = opened(study="gone", view="workers")
    assert "There is no study named 'gone'" in complaints(at)[0]
    assert widget(at, "start").label == "Start"


def test_the_hosted_demo_says_that_searches_run_there_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOMENTUM_LAB_HOSTED", "1")
    at = opened(view="workers", epochs="3")
    assert "On this hosted demo a search runs here alone" in said(at)


def test_ends_edited_while_a_search_goes_on_take_over_what_has_ended() -> None:
    at = searched(opened(epochs="30", trials="40", seeds="4", run="1"))
    settled(at, lambda: job(at).training is not None and job(at).training.ended >= 4)
    end(at, "learning_rate", "high").set_value("0.05").run()
    old = job(at)
    assert widget(at, "start").label == "New ranges"
    widget(at, "start").click().run()
    assert old.over
    settled(at, lambda: job(at).training is not None and job(at).training is not old.training)
    frame = job(at).training.table()
    assert (frame["kind"] == "before").sum() > 0


def test_a_larger_budget_after_a_search_makes_it_longer() -> None:
    at = finished()
    before = job(at).training
    at.session_state["budget"] = True
    at.run()
    widget(at, "w_trials").set_value("9").run()
    assert widget(at, "start").label == "More trials"
    widget(at, "start").click().run()
    settled(at, lambda: progress(at) == "Finished · 9 trials")
    assert job(at).training is before


def test_who_follows_a_link_to_another_s_search_cannot_command_it(monkeypatch: pytest.MonkeyPatch) -> None:
    at = finished(view="trials")
    mine = job(at)
    monkeypatch.setattr(_live, "owner", lambda: "somebody else")
    widget(at, "more").click().run()
    assert (mine.training.target, job(at)) == (6, mine)
    assert all(widget(at, key).disabled for key in ("star", "again"))
    assert note(at).disabled
    pick(at, "workers")
    assert widget(at, "share_it").disabled


def test_a_search_is_shared_by_its_owner_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """The click comes from a page that was drawn while the search was this visitor's."""
    at = finished(view="workers")
    mine = job(at)
    monkeypatch.setattr(_live, "owner", lambda: "somebody else")
    widget(at, "share_it").click().run()
    assert (job(at), "study" in at.session_state["words"]) == (mine, False)


@pytest.mark.parametrize("act", ["star", "again", "note"])
def test_a_search_is_starred_added_to_and_annotated_by_its_owner_alone(
    act: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The act comes from a page that was drawn while the search was this visitor's."""
    at = finished(view="trials")
    monkeypatch.setattr(_live, "owner", lambda: "somebody else")
    (note(at).set_value("x") if act == "note" else widget(at, act).click()).run()
    frame = job(at).training.table()
    assert len(frame) == 6
    assert not frame["star"].any()
    assert (frame["note"] == "").all()


def test_before_a_search_the_page_says_what_start_would_do() -> None:
    some = {"space": "learning_rate:0.001:0.1,batch_size:1:64"}
    ranges = "over learning rate 0.001 to 0.1, batch size 1 to 64."
    assert f"Press Start for 7 trials × 1 seed {ranges}" in said(opened(trials="7", seeds="1", **some))
    assert f"Press Start for 1 trial × 3 seeds {ranges}" in said(opened(trials="1", seeds="3", **some))


def test_who_queues_a_setting_is_told_when_it_is_tried() -> None:
    assert "it is evaluated next" in said(finished(view="trials"))
    assert "it is evaluated after those that are queued" in said(finished(view="trials", sampler="sobol"))


@pytest.mark.parametrize("key", ["pause", "stop"])
def test_a_search_that_goes_on_is_commanded_by_its_owner_alone(
    key: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The click comes from a page that was drawn while the search was this visitor's."""
    at = opened(epochs="30", trials="40", seeds="4", run="1")
    settled(at, lambda: job(at).training is not None)
    monkeypatch.setattr(_live, "owner", lambda: "somebody else")
    widget(at, key).click().run()
    assert job(at).state == "running"
    assert widget(at, key).disabled


def test_the_truth_is_held_where_the_best_is_and_is_not_drawn_over_other_numbers() -> None:
    at = finished(epochs="2", seeds="1")
    widget(at, "truth").click().run()
    settled(at, lambda: job(at, "truth").over)
    found, made = job(at).training, job(at, "truth").training
    assert made.held == found.values(found.checks[0].number)
    assert table(at, 5)["value"].notna().any()
    widget(at, "w_across").set_value("momentum").run()
    assert at.session_state["words"]["across"] == "momentum"
    assert table(at, 4)["value"].notna().any()
    assert table(at, 5)["value"].isna().all()


def test_random_and_grid_of_a_shorter_search_are_not_drawn_beside_a_longer_one() -> None:
    at = finished(view="worth")
    widget(at, "beside").click().run()
    settled(at, lambda: job(at, "beside").over)
    at.run()
    random = job(at, "beside").training.searches["random"].table()
    best = table(at).dropna(subset=["random_best"]).set_index("trial")["random_best"]
    oracle = random["loss"].where(random["state"] == "finished").cummin().ffill().dropna()
    assert best.to_dict() == pytest.approx(oracle.to_dict())
    widget(at, "more").click().run()
    settled(at, lambda: progress(at) == "Finished · 16 trials")
    assert "random_best" not in table(at) or table(at)["random_best"].isna().all()
    assert "Random search" not in said(at)


def test_a_trial_is_copied_into_the_form_unstarred_with_its_note_kept_and_its_error_in_per_cent() -> None:
    at = finished(view="trials")
    found = job(at).training
    choose(at, 2)
    widget(at, "copy").click().run()
    note(at).set_value("kept").run()
    for act, star in (("star", True), ("unstar", False)):
        widget(at, act).click().run()
        frame = found.table()
        assert (frame.loc[2, "star"], frame.loc[2, "note"]) == (star, "kept")
    choose(at, 1)
    inputs = [float(field.value) for field in hand(at)]
    assert inputs == pytest.approx(list(found.values(2).values()))
    shown = at.dataframe[0].value
    assert shown["Trial"].tolist() == [5, 4, 3, 2, 1, 0]
    drawn = table(at).dropna(subset=["loss"]).set_index("trial")
    told = shown.set_index("Trial")["± %"]
    for trial, row in drawn.iterrows():
        assert float(told[trial]) == pytest.approx(100 * (row["high"] / row["loss"] - 1), abs=0.51)


def test_a_trial_has_one_number_on_the_page_in_the_table_and_in_optuna(tmp_path: Path) -> None:
    """Oracle: the learning rates of Optuna's own trials, by their numbers there."""
    at = finished(view="trials")
    found = job(at).training
    path = tmp_path / "study.db"
    path.write_bytes(to_bytes(found.study))
    study = optuna.load_study(study_name=None, storage=f"sqlite:///{path}")
    rates = {t.number: t.params["learning_rate"] for t in study.trials}
    shown = at.dataframe[0].value.set_index("Trial")
    assert [float(v) for v in shown["Learning rate"].sort_index()] == pytest.approx(list(rates.values()))
    told = pd.read_csv(io.StringIO(kept.to_csv(found.table(), found.plan))).set_index("number")
    assert told["learning_rate"].to_dict() == pytest.approx(rates)
    drawn = table(at).dropna(subset=["words"]).set_index("trial")["words"]
    assert {n: f"learning rate {rates[n]:.4g}," in words for n, words in drawn.items()} == dict.fromkeys(
        rates, True
    )
    taken = re.search(r"Take trial (\d+): learning rate ([\d.e-]+),", said(at))
    assert f"{rates[int(taken[1])]:.4g}" == taken[2]
    assert widget(at, "w_trial").options == [f"Trial {n}" for n in rates]


def test_a_click_on_a_map_is_tried_with_the_other_numbers_as_in_the_best_one() -> None:
    at = finished()
    found = job(at).training
    best = found.values(found.checks[0].number)
    setting = best | {"learning_rate": 0.0123, "batch_size": 17}
    at.session_state["cell"] = found.study.study_name, ("learning_rate", "batch_size"), setting
    at.run()
    assert read(widget(at, "try_cell").label) == "Try learning rate 0.0123, batch size 17"
    widget(at, "try_cell").click().run()
    settled(at, lambda: progress(at) == "Finished · 7 trials")
    last = found.table().iloc[6]
    assert (last["kind"], last["learning_rate"], last["batch_size"]) == ("hand", 0.0123, 17)
    assert last["momentum"] == best["momentum"]


def test_the_caption_of_the_maps_is_of_the_trial_that_was_picked() -> None:
    at = finished()
    assert "The next suggestion is" in said(at)
    at.session_state["trial"] = 0
    at.run()
    assert "Trial 0 has the settings of the page." in said(at)


def test_a_link_with_a_number_that_the_rule_does_not_have_searches_the_others() -> None:
    at = opened(optimizer="sgd", space="learning_rate:0.001:0.1,momentum:0:0.9")
    assert not at.error
    assert not [box for box in searched(at).checkbox if "momentum" in str(box.key)]
    widget(at, "start").click().run()
    assert job(at).subject.space.words == ("learning_rate",)


def test_sharing_a_search_that_goes_on_stops_it_here() -> None:
    at = opened(epochs="30", trials="40", seeds="4", view="workers", run="1")
    settled(at, lambda: job(at).training is not None and job(at).training.ended >= 4)
    old = job(at)
    widget(at, "share_it").click().run()
    assert old.over
    assert job(at) is not old
    settled(at, lambda: job(at).training is not None)
    assert job(at).training.ended == old.training.ended


def test_the_best_that_is_used_is_the_best_on_fresh_seeds() -> None:
    at = finished()
    found = job(at).training
    found.checks = found.checks[::-1]
    config = found.config(found.checks[0].number)
    at.run()
    widget(at, "best_to_train").click().run()
    words = at.session_state["words"]
    assert float(words.get("learning_rate", 0.01)) == config.learning_rate
    assert int(words.get("batch_size", 32)) == config.batch_size


def test_buttons_that_were_drawn_before_a_search_had_ended_are_drawn_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It may end between the row of buttons and the panel below it, after which nothing draws the page."""
    at = opened(epochs="3", trials="6", seeds="2")
    bar, held = _live.run_bar, []

    def slow(active: Any, *more: Any, **named: Any) -> None:
        bar(active, *more, **named)
        if active and not held:
            held.append(active[0])
            seen.until(lambda: held[0].over)

    monkeypatch.setattr(_live, "run_bar", slow)
    widget(at, "start").click().run()
    assert held
    assert widget(at, "pause").disabled
    assert not widget(at, "more").disabled
