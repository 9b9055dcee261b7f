"""Figures drawn by two processes: the same ones, whatever becomes of the other process."""

import logging
import subprocess
import sys

import pytest
from matplotlib.figure import Figure

from jaxvae.report import PLOTS, drawing
from jaxvae.types import Results

NAMES = ["scores", "losses", "rate_distortion", "kl_map", "trade_off", "training_curves", "mine"]


@pytest.fixture
def results():
    import numpy as np

    lanes = [
        {"lane": i, "objective": "beta_vae", "architecture": "mlp", "beta": 2.0**i, "lr": 1e-3, "seed": 0, "step": 9}
        | {"status": "ok", "mig": 0.1 * i, "reconstruction": 9.0 + i, "kl": 5.0 - i, "elbo": -14.0}
        for i in range(3)
    ]
    columns = {"lane": np.repeat([0, 1, 2], 2), "step": np.tile([5, 9], 3)}
    logged = {name: np.linspace(9.0, 5.0, 6) for name in ("loss", "nll", "kl")}
    return Results(
        spec={"steps": 9, "dataset": "squares", "sweep": ["beta=1,2,4"]},
        environment={},
        lanes=lanes,
        hyper_names=("beta", "lr", "seed"),
        swept=("beta",),
        score_names=("reconstruction", "kl", "elbo", "mig"),
        omitted={},
        history=columns | logged,
        kl_per_latent=np.array([[2.0, 1.0, 0.1]] * 3),
        showcases=[],
        main_score="mig",
        ranked=(2, 1, 0),
    )


@pytest.fixture(autouse=True)
def a_plot_of_ones_own(monkeypatch):
    """A plot that no other process knows, and a helper that is always worth its while."""
    monkeypatch.setitem(PLOTS, "mine", lambda results: {"part": Figure()})
    monkeypatch.setattr(drawing, "WORTHWHILE", 1)
    monkeypatch.setattr(drawing, "num_cores", lambda: 2)
    yield
    PLOTS.pop("mine", None)


def drawn_alone(results, folder, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(drawing, "num_cores", lambda: 1)
        return drawing.draw_all(NAMES, results, folder)


def test_two_processes_draw_what_one_draws(results, tmp_path, monkeypatch):
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    alone = drawn_alone(results, tmp_path / "one", monkeypatch)
    here = []
    draw = drawing.draw

    def slowly(name, *rest):  # until the other process has drawn all it can
        here.append(name)
        if len(here) == 1:
            helper.join(60)
        return draw(name, *rest)

    monkeypatch.setattr(drawing, "draw", slowly)
    thread = drawing.threading.Thread

    def starting(*args, **kwargs):
        nonlocal helper
        helper = thread(*args, **kwargs)
        return helper

    helper = None
    monkeypatch.setattr(drawing.threading, "Thread", starting)
    both = drawing.draw_all(NAMES, results, tmp_path / "two")
    assert list(both) == list(alone) and "mine_part" in both
    assert here == ["scores", "mine"]  # all others were drawn over there
    for label, path in both.items():
        assert path.read_bytes() == alone[label].read_bytes(), label


@pytest.mark.parametrize(
    "code", ["raise SystemExit(3)", "print('nonsense', flush=True)", "import sys; sys.stdin.buffer.read()"], ids=str
)
def test_what_the_other_process_cannot_do_is_done_here(results, tmp_path, monkeypatch, code):
    start = subprocess.Popen

    def another(command, **options):
        return start([sys.executable, "-c", code], **options)

    monkeypatch.setattr(drawing.subprocess, "Popen", another)
    monkeypatch.setattr(drawing, "LONGEST", 0.5)
    assert len(drawing.draw_all(NAMES, results, tmp_path)) >= 6


def test_all_is_drawn_here_where_no_process_starts(results, tmp_path, monkeypatch):
    def refused(*_, **__):
        raise PermissionError("no processes here")

    monkeypatch.setattr(drawing.subprocess, "Popen", refused)
    assert len(drawing.draw_all(NAMES, results, tmp_path)) >= 6


def test_a_plot_that_fails_costs_only_itself(results, tmp_path, monkeypatch, caplog):
    def fails(_):
        raise ValueError("no")

    del PLOTS["mine"]
    PLOTS["mine"] = fails
    with caplog.at_level(logging.ERROR):
        found = drawing.draw_all(NAMES, results, tmp_path)
    assert "mine" not in found and len(found) >= 5
    assert "'mine' failed" in caplog.text
