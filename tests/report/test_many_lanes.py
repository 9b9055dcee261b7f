"""Sweeps of thousands of lanes: work that grows no faster than they do, and figures and tables that say what is left.

Calls are counted, not seconds: of four times as many lanes about four times as many.
"""

import pathlib
import re
import sys

import numpy as np
import pytest

from jaxvae import report
from jaxvae.evaluate.encoding import LATENT_STATISTICS
from jaxvae.report import curves, latents, notebook, reading, tables, terminal
from jaxvae.types import Results
from pages import Page

ROOM = str(pathlib.Path(report.__file__).parent)
SEEDS, FEW = 4, 100
OBJECTIVES = ("beta_vae", "factor_vae", "dip_vae_i")
DRAWN = [name for name in report.PLOTS if name not in ("information_maps", "codes", "manifold", "responses")]


def sweep_of(num_lanes, *, seeds=SEEDS, losing=7):
    """Return scores of a sweep: a grid of beta and gamma, a family without either, one lane in `losing` diverged."""
    rng = np.random.default_rng(0)
    lanes = []
    for lane in range(num_lanes):
        setting = lane // seeds
        row = {"lane": lane, "objective": OBJECTIVES[setting % 3], "architecture": "conv", "seed": lane % seeds}
        row |= {"beta": float(1 + setting // 3 % 16) if setting % 3 < 2 else None, "lr": 1e-4 * (1 + setting)}
        row |= {"status": "diverged at step 2" if lane % losing == 1 else "ok", "step": 4}
        lost = row["status"] != "ok"
        scores = dict(zip(("mig", "dci_disentanglement", "udr_lasso"), rng.random(3).tolist(), strict=True))
        scores |= {"reconstruction": 30 + rng.random(), "kl": 5.0 + rng.random(), "elbo": -36.0}
        scores |= {"generalisation_gap": rng.random()}
        lanes.append(row | (dict.fromkeys(scores) if lost else scores))
    steps = np.tile([1, 2, 3, 4], num_lanes)
    names = ("loss", "nll", "kl", "reconstruction", "eval_kl", "eval_loss")
    history = {name: rng.random(len(steps)) for name in names}
    healthy = [row for row in lanes if row["status"] == "ok"]
    return Results(
        spec={"objectives": list(OBJECTIVES), "dataset": "shapes", "steps": 4},
        environment={},
        lanes=lanes,
        hyper_names=("beta", "lr", "seed"),
        swept=("beta", "lr", "seed"),
        score_names=tuple(scores),
        omitted={},
        history={"lane": np.repeat(np.arange(num_lanes), 4), "step": steps, **history},
        kl_per_latent=rng.random((num_lanes, 3)),
        showcases=[],
        latent_statistics={name: rng.random((num_lanes, 3)) for name in LATENT_STATISTICS},
        main_score="mig",
        ranked=tuple(row["lane"] for row in sorted(healthy, key=lambda row: -row["mig"])),
    )


def calls_of(work):
    """Return how many calls the code of the report makes, of its own functions and of what they call."""
    made = 0

    def count(frame, event, _):
        nonlocal made
        made += event in ("call", "c_call") and frame.f_code.co_filename.startswith(ROOM)

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return made


@pytest.fixture(scope="module")
def few():
    return sweep_of(FEW)


@pytest.fixture(scope="module")
def many():
    return sweep_of(4 * FEW)


@pytest.mark.parametrize("name", DRAWN)
def test_figures_cost_in_proportion_to_lanes(name, few, many):
    plot = report.PLOTS[name]
    assert calls_of(lambda: plot(many)) < 6 * calls_of(lambda: plot(few))


@pytest.mark.parametrize("what", [report.terminal_table, report.summary, tables.lanes, tables.settings, tables.methods])
def test_words_and_tables_cost_in_proportion_to_lanes(what, few, many):
    assert calls_of(lambda: what(many)) < 6 * calls_of(lambda: what(few))


def test_a_notebook_and_a_page_cost_in_proportion_to_lanes(few, many, tmp_path):
    for work in (
        lambda results: notebook.notebook_table(results, "a sweep"),
        lambda results: report.write_report(results, tmp_path / "report.html", {}),
    ):
        assert calls_of(lambda work=work: work(many)) < 6 * calls_of(lambda work=work: work(few))


def test_the_counts_would_show_a_search_of_all_lanes_for_each(few, many):
    def search(results):
        return [reading.family_sweeps(results, reading.family(lane)) for lane in results.lanes[::40]]

    assert calls_of(lambda: search(many)) > 12 * calls_of(lambda: search(few))


def test_the_history_is_gone_through_once_for_each_panel(many, monkeypatch):
    gone_through = []
    once = curves.curves
    monkeypatch.setattr(curves, "curves", lambda *given: gone_through.append(given[2]) or once(*given))
    made = report.PLOTS["training_curves"](many)
    assert len(gone_through) == len(set(gone_through)) == len([axes for axes in made.axes if axes.get_title("left")])


def test_curves_are_those_of_each_lane_up_to_where_it_was_frozen(few):
    found = curves.curves(few, few.lanes, "loss")
    for lane in (0, 1, 99):
        rows = few.history["lane"] == lane
        steps, values = few.history["step"][rows], few.history["loss"][rows]
        kept = steps <= 2 if few.lanes[lane]["status"] != "ok" else steps <= 4
        np.testing.assert_array_equal(found[lane], (steps[kept], values[kept]))
    few.history["nll"][few.history["lane"] == 5] = np.nan
    assert 5 not in curves.curves(few, few.lanes, "nll") and 6 in curves.curves(few, few.lanes, "nll")


def words_of(figure):
    return " ".join(text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text")))


def test_figures_draw_some_of_many_lanes_and_say_so(many, monkeypatch):
    lines = report.PLOTS["training_curves"](many)
    panel = lines.axes[0]
    assert 0 < len(panel.lines) <= curves.MAX_LINES
    assert "200 of 400 lanes, evenly through the sweep; all in history.csv" in words_of(lines)
    monkeypatch.setattr(latents, "MAX_ROWS", 150)
    kl = report.PLOTS["kl_map"](many)
    assert kl.axes[0].images[0].get_array().shape[0] == 150
    assert "150 of 400 lanes" in words_of(kl)
    slots = report.PLOTS["scores"](many)  # the family without beta has a slot for each of its settings
    assert slots.get_figwidth() < 20


def test_tables_list_the_best_and_say_so(many, tmp_path, monkeypatch):
    monkeypatch.setattr(tables, "MAX_ROWS", 50)
    page = Page(report.write_report(many, tmp_path / "report.html", {}).read_text(encoding="utf-8"))
    assert "50 of 400 lanes, the best by MIG; all in results.csv." in page.text
    assert "50 of 100 settings, the best by MIG; all in results.csv." in page.text
    listed = re.findall(r"<tr[^>]*><td data-value=\"(\d+)\.0\">", tables.lanes(many))
    assert {int(number) for number in listed} == set(many.ranked[: tables.MAX_ROWS])
    assert page.tags.count("tr") < 130

    text = report.terminal_table(many)
    assert "60 of 100 settings, the best by MIG; all in results.csv." in text
    assert len(text.splitlines()) < terminal.MAX_ROWS + 40
    assert "60 of 100 settings, the best by MIG" in notebook.notebook_table(many, "a sweep")


def test_lanes_that_are_settings_of_their_own_are_not_all_listed_in_a_terminal():
    results = sweep_of(80, seeds=1, losing=10**9)
    text = report.terminal_table(results)
    assert "60 of 80 lanes, the best by MIG; all in results.csv." in text
    listed = [int(line.split()[0]) for line in text.splitlines() if re.match(r" *\d+ .* ok$", line)]
    assert sorted(listed) == sorted(results.ranked[:60])


def test_few_lanes_are_all_there_and_nothing_is_said():
    results = sweep_of(20)
    assert "all in results.csv" not in report.terminal_table(results) + tables.lanes(results)
    assert tables.lanes(results).count("<tr") == 21
    assert "evenly" not in words_of(report.PLOTS["training_curves"](results))


@pytest.mark.parametrize("most", [2, 3, 7, 10, 11])
def test_what_is_spread_out_has_both_ends_and_no_thing_twice(most):
    found = reading.spread_out(list(range(10)), most)
    assert found == sorted(set(found)) and len(found) == min(most, 10) and {0, 9} <= set(found)
