"""What the pages promise: they open, they draw what was asked for, a bad link is answered in a sentence."""

import json
import subprocess
import sys

import pytest
from streamlit import config as streamlit_config
from streamlit.runtime.pages_manager import PagesManager
from streamlit.testing.v1 import AppTest

from core import engine, verdict
from core.config import Config
from core.datasets import DATASETS
from core.optimizers import OPTIMIZERS
from core.presets import OPENING, PRESETS
from pages import _controls as controls
from tests.seen import (
    ROOT,
    calm,
    charts,
    complaints,
    drawn,
    ended,
    job_of,
    link_of,
    opened,
    said,
    until,
    widget,
    widgets,
)

BAR = "w_learning_rate"


def test_the_page_opens_on_a_run_with_its_curve() -> None:
    at = ended(opened())
    assert calm(at)
    assert widget(at, "w_preset").value == OPENING.name
    loss = drawn(charts(at)[0])
    alone = engine.run([OPENING.config])
    for part in ("train", "valid"):
        shown = loss[["epoch", part]].dropna()
        assert shown[part].tolist() == alone[f"{part}_loss"].astype("float32").tolist()
        assert shown["epoch"].tolist() == alone["epoch"].tolist()
    assert loss["raw"].notna().sum() >= 300
    assert "Validation loss" in said(at)


@pytest.mark.parametrize("name", list(PRESETS))
def test_every_preset_opens(name: str) -> None:
    at = opened()
    widget(at, "w_preset").set_value(name).run()
    assert calm(at)
    assert PRESETS[name].config == Config.read({k: v for k, v in link_of(at).items() if k != "job"})[0]
    job = job_of(at)
    assert job.configs == (PRESETS[name].config,)
    job.set_pace(None)
    until(lambda: job.done > 3 or job.over)
    at.run()
    assert calm(at)
    assert len(charts(at)) == 2
    assert all(len(drawn(chart)) > 2 for chart in charts(at))
    assert widget(at, "w_preset").value == name
    assert any(PRESETS[name].look in caption.value for caption in at.caption)


@pytest.mark.parametrize("dataset", list(DATASETS))
def test_every_dataset_trains(dataset: str) -> None:
    at = opened(dataset=dataset, epochs="2", speed="fast", run="1")
    job = job_of(at)
    until(lambda: job.over)
    at.run()
    assert calm(at)
    assert all(len(drawn(chart)) > 2 for chart in charts(at))


@pytest.mark.parametrize("optimizer", list(OPTIMIZERS))
def test_every_rule_has_its_controls_and_its_equation(optimizer: str) -> None:
    at = opened(optimizer=optimizer)
    assert calm(at)
    kind = OPTIMIZERS[optimizer]
    assert {f"w_{word}" for word in kind.settings()} <= set(widgets(at))
    assert kind().equation in [latex.value.strip("$\n ") for latex in at.latex]


def test_a_chart_is_never_embedded_anew_while_a_run_goes_on() -> None:
    at = opened(dataset="moons", model="mlp", speed="slow", run="1")
    job = job_of(at)
    specs, rows = set(), set()
    for done in (0, 5, 20, 40, 60):
        until(lambda done=done: job.done >= done)
        at.run()
        specs.add(tuple(chart.spec for chart in charts(at)))
        rows.add(len(drawn(charts(at)[0])))
    job.stop()
    specs.add(tuple(chart.spec for chart in charts(at.run())))
    assert len(specs) == 1
    assert len(rows) > 2
    assert calm(at)


@pytest.mark.parametrize(
    ("link", "sentences"),
    [
        ({"zz": "1"}, ["There is no setting named 'zz'"]),
        ({"axis": "q"}, ["No axis named 'q'"]),
        ({"job": "a b"}, ["job must be a word"]),
        ({"model": "cnn"}, ["image dataset"]),
        (
            {"dataset": "bostn", "learning_rate": "<b>x</b>", "epochs": "0", "optimizer": "foo"},
            ["No dataset named 'bostn'", "learning_rate must be", "epochs must be", "No optimizer named"],
        ),
    ],
    ids=str,
)
def test_a_bad_link_is_answered_with_a_sentence_for_each_and_the_page_goes_on(
    link: dict[str, str], sentences: list[str]
) -> None:
    at = opened(**link)
    assert not at.exception
    lines = complaints(at)
    assert len(lines) == len(sentences)
    for words in sentences:
        assert sum(words.lower() in line.lower() for line in lines) == 1, lines
    at.button(key="start").click().run()
    until(lambda: job_of(at).done)
    assert not at.exception


def test_what_is_too_large_is_refused_in_a_sentence_also_from_a_link() -> None:
    at = opened(dataset="mnist5k", batch_size="1", epochs="10000", run="1")
    assert not at.exception
    (complaint,) = complaints(at)
    assert "the limit is 20,000,000" in complaint
    widget(at, "w_epochs").set_value("1").run()
    assert calm(at)


def test_a_link_may_start_the_run() -> None:
    at = opened(dataset="moons", run="1", epochs="3")
    assert job_of(at).configs == (Config().but(dataset="moons", epochs=3),)
    assert "run" not in link_of(at)
    job = job_of(at)
    at.run()
    assert job_of(at) is job


def test_a_run_that_is_over_before_the_page_is_drawn_is_not_lost() -> None:
    for seed in range(6):
        at = opened(dataset="xor", epochs="1", speed="fast", run="1", seed=str(seed))
        assert job_of(at).configs == (Config().but(dataset="xor", epochs=1, seed=seed),)


def test_a_link_without_run_starts_nothing() -> None:
    at = opened(dataset="moons")
    assert "job" not in link_of(at)
    assert len(charts(at)) == 2
    assert "Press Start to train." in said(at)


def test_a_learning_rate_moved_mid_run_reaches_the_run_and_marks_the_curve() -> None:
    at = opened(speed="slow", run="1")
    job = job_of(at)
    until(lambda: job.done > 5)
    widget(at, BAR).set_value("0.05").run()
    until(lambda: job.training.config(0).learning_rate == 0.05)
    until(lambda: job.done > job.training.stacks[0].history.changes[0].step)
    widget(at, "w_momentum_grid").set_value(0.5).run()
    until(lambda: job.training.config(0).momentum == 0.5)
    at.run()
    assert calm(at)
    marks = drawn(charts(at)[0]).dropna(subset="changed")
    assert marks["learning_rate"].dropna().tolist() == [pytest.approx(0.05)]
    assert marks["momentum"].dropna().tolist() == [0.5]
    assert link_of(at)["learning_rate"] == "0.05"
    assert widget(at, f"{BAR}_grid").value == 0.05
    assert widget(at, "w_momentum").value == "0.5"
    assert job_of(at) is job


def able(at: AppTest, *keys: str) -> list[bool]:
    return [not widget(at, key).disabled for key in keys]


def test_the_buttons_do_what_they_say() -> None:
    at = opened(speed="slow", epochs="500")
    bar = ("start", "pause", "stop", "restart")
    assert able(at, *bar) == [True, False, False, False]
    at.button(key="start").click().run()
    job = job_of(at)
    until(lambda: job.done)
    at.run()
    assert able(at, *bar) == [True, True, True, True]
    at.button(key="start").click().run()
    assert job_of(at) is job, "it goes on already"
    at.button(key="pause").click().run()
    done = job.done
    assert (job.state, at.button(key="start").label) == ("paused", "Resume")
    assert able(at, *bar) == [True, False, True, True]
    at.button(key="step").click().run()
    assert job.done == done + 1
    at.button(key="start").click().run()
    until(lambda: job.done > done + 1)
    at.run()
    assert at.button(key="start").label == "Start"
    at.button(key="stop").click().run()
    assert job.state == "stopped"
    widget(at, "restart").click().run()
    again = job_of(at)
    assert again is not job
    assert again.configs == job.configs


def test_start_trains_the_new_settings_while_a_run_of_the_old_ones_goes_on() -> None:
    at = opened(speed="slow", epochs="500", run="1")
    old = job_of(at)
    widget(at, "w_batch_size").set_value("16").run()
    assert "You changed the settings; these curves are of the old ones" in said(at)
    at.button(key="start").click().run()
    assert (old.state, job_of(at).configs[0].batch_size) == ("stopped", 16)
    assert "You changed the settings" not in said(at)


def test_a_lost_run_says_why_and_the_safe_rate_repairs_it() -> None:
    at = ended(opened(dataset="boston", learning_rate="3", speed="fast", run="1"))
    assert "Diverged in epoch 1" in said(at)
    limit = verdict.ceiling(job_of(at).configs[0]).learning_rate
    assert f"Learning rate 3 is {verdict.digits(3 / limit)} times the largest stable rate" in said(at)
    assert drawn(charts(at)[0])["lost"].notna().sum() == 1
    at.button(key="safe").click().run()
    at = ended(at)
    assert "Diverged" not in said(at)
    assert float(widget(at, BAR).value) == float(link_of(at)["learning_rate"]) < 0.2


def test_of_a_network_pilot_runs_find_the_safe_rate_and_the_cause() -> None:
    at = ended(
        opened(dataset="boston", model="mlp", hidden="7", learning_rate="5", seed="3", speed="fast", run="1")
    )
    assert "Diverged" in said(at)
    assert "pilot runs" not in said(at)
    at.button(key="find").click().run()
    limit = verdict.ceiling(job_of(at).configs[0])
    assert "times the largest rate at which all pilot runs held" in said(at)
    at.button(key="safe").click().run()
    at = ended(at)
    assert "Diverged" not in said(at)
    assert float(link_of(at)["learning_rate"]) == limit.safe


LINKS = [
    {"dataset": "moons", "noise": "0.25", "model": "mlp", "hidden": "8,4", "activation": "relu"},
    {"dataset": "ravine", "inputs": "7", "condition": "30", "noise": "0.5", "scale": "false"},
    {"optimizer": "adam", "learning_rate": "0.0123", "beta1": "0.8", "beta2": "0.9", "epsilon": "1e-06"},
    {"optimizer": "sgd", "weight_decay": "0.02", "seed": "12345", "batch_size": "7", "epochs": "77"},
    {"momentum": "0.123", "dampening": "0.3", "valid_fraction": "0.35"},
    {"optimizer": "rmsprop", "alpha": "0.7", "axis": "linear", "speed": "slow"},
    *({"schedule": name} for name in ("step", "cosine")),
    {"momentum_schedule": "ramp"},
    {"dataset": "digits", "model": "cnn"},
]


@pytest.mark.parametrize("link", LINKS, ids=lambda link: ",".join(link))
def test_every_control_shows_what_the_link_says_and_the_link_what_the_controls_show(
    link: dict[str, str],
) -> None:
    at = opened(**link)
    if at.error:
        pytest.fail(at.error[0].value)
    assert link_of(at) == link
    shown = widgets(at)
    for word, text in link.items():
        assert str(shown[f"w_{word}"]).removesuffix(".0").lower() in (
            text,
            str(float(text)) if text[0].isdigit() and "," not in text else text,
        )
    assert widgets(opened(**link_of(at))) == shown


def test_what_hands_set_is_in_the_link_and_comes_back_from_it() -> None:
    at = opened(dataset="boston", epochs="50", speed="watch", seed="1")
    widget(at, "w_dataset").set_value("moons").run()
    widget(at, "w_model").set_value("mlp").run()
    widget(at, "w_hidden").set_value("8, 4").run()
    widget(at, "w_activation").set_value("relu").run()
    widget(at, "w_noise").set_value(0.2).run()
    widget(at, "w_scale").set_value(False).run()
    widget(at, "w_optimizer").set_value("nesterov").run()
    widget(at, "w_weight_decay").set_value(0.01).run()
    widget(at, "w_batch_size").set_value("64").run()
    widget(at, "w_epochs").set_value("33").run()
    widget(at, "w_seed").set_value("9").run()
    at.button(key="dice").click().run()
    widget(at, "w_schedule").set_value("cosine").run()
    widget(at, "w_valid_fraction").set_value(0.3).run()
    widget(at, f"{BAR}_grid").set_value(0.05).run()
    widget(at, "w_momentum").set_value("0.77").run()
    at.get("button_group")[1].set_value("linear").run()
    assert calm(at)
    link = link_of(at)
    assert link == {
        **{"dataset": "moons", "model": "mlp", "hidden": "8,4", "activation": "relu", "noise": "0.2"},
        **{"scale": "false", "optimizer": "nesterov", "weight_decay": "0.01", "batch_size": "64"},
        **{"epochs": "33", "seed": "10", "schedule": "cosine", "valid_fraction": "0.3"},
        **{"learning_rate": "0.05", "momentum": "0.77", "axis": "linear"},
    }
    assert widgets(opened(**link)) == widgets(at)


def test_a_typed_value_that_cannot_be_leaves_the_old_one_and_says_so() -> None:
    at = opened(dataset="moons", model="mlp")
    widget(at, "w_hidden").set_value("16,abc").run()
    assert "Hidden layer sizes must be" in complaints(at)[0]
    assert "hidden" not in link_of(at)
    assert widget(at, "w_hidden").value == "16,16"
    widget(at, "w_hidden").set_value("4").run()
    assert calm(at)
    assert link_of(at)["hidden"] == "4"


def test_a_network_for_pictures_gives_way_when_the_data_are_none() -> None:
    at = opened(dataset="digits", model="cnn")
    widget(at, "w_dataset").set_value("boston").run()
    assert not at.exception
    assert widget(at, "w_model").value == "linear"
    assert "The model is now Linear" in complaints(at)[0]


def test_the_same_problem_is_carried_to_the_next_page_and_back() -> None:
    at = opened(dataset="diabetes", batch_size="16", seed="3", learning_rate="0.02")
    before = widgets(at)
    at.switch_page("pages/compare.py").run()
    assert calm(at)
    assert (widget(at, "w_dataset").value, widget(at, "w_seed").value) == ("diabetes", "3")
    at.switch_page("pages/train.py").run()
    assert calm(at)
    assert widgets(at) == before


def test_every_page_opens_and_has_a_text_for_each_chart() -> None:
    for page in ("train", "compare"):
        at = opened(page)
        assert calm(at)
        assert charts(at)
        assert all(chart.alt for chart in charts(at))


def test_a_page_draws_before_torch_is_there() -> None:
    """With torch out of reach everything but the training itself is drawn."""
    code = """
import sys
sys.modules["torch"] = None
from streamlit.testing.v1 import AppTest
at = AppTest.from_file("app.py", default_timeout=30).run()
print(len(at.exception), len(at.get("vega_lite_chart")), at.button(key="start").label)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.strip() == "0 2 Start", done.stderr[-2000:]


def test_the_options_that_streamlit_must_know_exist() -> None:
    import tomllib

    wanted = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text(encoding="utf-8"))
    flat = {
        f"{section}.{key}"
        for section, keys in wanted.items()
        for key, value in keys.items()
        if not isinstance(value, dict)
    }
    assert flat <= set(streamlit_config.get_config_options())
    assert wanted["runner"]["postScriptGC"] is False
    assert streamlit_config.get_option("runner.postScriptGC") is False
    assert streamlit_config.get_option("client.showErrorDetails") == "none"


def test_the_switch_that_a_deep_link_to_a_fresh_server_needs_exists() -> None:
    assert isinstance(PagesManager.uses_pages_directory, (bool, type(None)))
    source = (ROOT / "pages" / "_frame.py").read_text(encoding="utf-8")
    assert "PagesManager.uses_pages_directory = False" in source
    for page in (ROOT / "pages").glob("[a-z]*.py"):
        assert "from pages import _frame as frame" in page.read_text(encoding="utf-8"), page.name


def test_specs_hold_no_numbers_of_a_run() -> None:
    at = ended(opened())
    for chart in charts(at):
        assert "values" not in json.dumps(json.loads(chart.spec).get("data", {}))


def test_a_hand_that_is_quicker_than_the_optimizers_details_does_no_harm() -> None:
    """A callback may come for an optimizer that was exchanged or left out by the one before it."""
    at = opened("compare", rivals="sgd,momentum,adam:learning_rate=0.01", epochs="2")
    at.session_state["rule_1"] = True
    at.run()
    widget(at, "w_rival1_rule").set_value("adagrad")
    widget(at, "w_rival1_momentum").set_value("0.5")
    at.run()
    assert not at.exception
    assert link_of(at)["rivals"].startswith("sgd,adagrad,adam")
    at.session_state["rule_2"] = True
    at.run()
    widget(at, "w_rival2_out").click()
    widget(at, "w_rival2_rule").set_value("nesterov")
    at.run()
    assert not at.exception
    assert link_of(at)["rivals"] == "sgd,adagrad"


@pytest.mark.parametrize("key", ["start", "safe"])
def test_the_second_click_of_a_double_click_leaves_the_run_of_the_first_alone(key: str) -> None:
    at = opened(learning_rate="0.1", speed="slow")
    at.button(key="start").click().run()
    until(lambda: job_of(at).training is not None)
    at.run()
    widget(at, key).click().run()
    second = job_of(at)
    until(lambda: second.training is not None)
    at.run()
    widget(at, key).click().run()
    assert job_of(at) is second
    assert not second.over


def test_the_least_learning_rate_is_halved_nowhere() -> None:
    at = opened(learning_rate="1e-08", speed="slow", run="1")
    until(lambda: job_of(at).training is not None)
    at.session_state["what_if"] = True
    at.run()
    assert not at.exception
    assert widget(at, "if_learning_rate").value == "1e-08"
    job_of(at).stop()
    seven = "sgd:learning_rate=1e-08,momentum,nesterov,rmsprop,adagrad,adam,adamw"
    at = opened("compare", rivals=seven, epochs="1")
    at.button(key="add").click().run()
    assert not at.exception


def test_rivals_that_cannot_step_alike_are_named_in_a_sentence() -> None:
    at = opened("compare", rivals="sgd:learning_rate=1e-08,momentum", mode="effective", epochs="1", run="1")
    assert not at.exception
    assert "would need the learning rate 1e-09" in complaints(at)[0]


def _hearing() -> None:
    """A widget made anew, one that says what it was made with, one that was moved, and one that is gone."""
    import streamlit as st

    from pages import _controls as controls

    st.session_state["made"] = {"a": (1, 5), "b": (0, 3), "c": (0, 3), "d": (0, 3)}
    st.session_state["a"], st.session_state["b"], st.session_state["c"] = 4, 3, 7
    st.session_state["heard"] = []
    for name in ("a", "b", "c", "d"):
        controls.hand(name, name, lambda said, name=name: st.session_state["heard"].append((name, said)))()
        assert st.session_state.pop("touched")
    st.session_state["keys"] = [controls.key("c", 7), controls.key("c", 7), controls.key("c", 8)]


def test_only_a_hand_is_heard_and_only_what_was_not_set_by_it_makes_a_widget_anew() -> None:
    at = AppTest.from_function(_hearing).run()
    assert not at.exception
    assert at.session_state["heard"] == [("c", 7)]
    assert at.session_state["keys"] == ["c", "c", "c--1"]


def test_the_button_that_restarts_another_job_is_another_widget() -> None:
    at = opened(speed="slow", epochs="500", run="1")
    before = widget(at, "restart").key
    widget(at, "restart").click().run()
    assert widget(at, "restart").key != before


def test_forward_is_heard_also_when_the_page_that_back_asked_for_was_cut_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    at = opened(dataset="moons")
    widget(at, "w_seed").set_value("7").run()
    assert link_of(at) == {"dataset": "moons", "seed": "7"}
    with monkeypatch.context() as cut_short:
        cut_short.setattr(controls, "write_link", lambda page: None)
        del at.query_params["seed"]
        at.run()
        assert widget(at, "w_seed").value == "0"
    at.query_params["seed"] = "7"
    at.run()
    assert widget(at, "w_seed").value == "7"


def test_the_comparison_s_columns_say_at_their_heads_what_they_mean_and_are_wide_enough() -> None:
    at = opened("compare", rivals="sgd,momentum", epochs="2")
    (table,) = at.dataframe
    columns = json.loads(table.proto.columns)
    assert columns.pop("_index")["hidden"]
    assert list(columns) == list(table.value)
    assert [name for name in columns if not columns[name].get("help")] == ["Optimizer", "Diverged"]
    assert "first epoch from which on every epoch" in columns["Epochs to target, for good"]["help"]
    for name, column in columns.items():
        assert column["width"] > 6.5 * max(len(name), *table.value[name].str.len())
