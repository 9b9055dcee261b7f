"""A sweep that is given more: what is there stays bit for bit, and the whole equals one that was trained so at once."""

import contextlib
import os
import shutil
import signal

import jax
import numpy as np
import pytest

import jaxvae
from jaxvae.training import loop, placing
from jaxvae.types import InputError
from jaxvae.workdir import records
from jaxvae.workdir.checkpoint import Checkpoints
from tiny_sweep import run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL = {"architecture": "mlp", "lanes": "map", "latent_dim": 2, "batch_size": 4, "lr": 1e-3, "log_every": 4}
SIZES = {"critic_width": 4, "critic_depth": 1}
GRID = {"beta": [1, 4], "seed": range(2)}
MORE = {"beta": [1, 4], "seed": range(3)}
FACTORS = np.array([(y, x) for y in range(4) for x in range(4)])
IMAGES = np.random.default_rng(0).integers(0, 256, (16, 4, 4), np.uint8)


def train(path, **asked):
    given = {**SMALL, "steps": 8, "sweep": GRID, "metrics": ("mig", "udr"), "say": None} | asked
    return jaxvae.train(IMAGES, factors=FACTORS, workdir=path, **given)


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    return train(tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture
def path(first, tmp_path):
    return shutil.copytree(first.path, tmp_path / "run")


def named(lane):
    """Return what a lane is, whatever its number."""
    return tuple((name, value) for name, value in sorted(lane.items()) if name != "lane")


def states(path, by=named):
    """Return {lane: bytes of all that was trained of it}."""
    found = {}
    for wave in records.read_run(path)["waves"]:
        with contextlib.closing(Checkpoints(path / wave["directory"])) as checkpoints:
            state, counters = checkpoints.restore(checkpoints.latest())
        leaves = jax.tree.leaves_with_path(state)
        for place, lane in enumerate(wave["lanes"]):
            own = {jax.tree_util.keystr(name): leaf[place].tobytes() for name, leaf in leaves}
            found[by(lane)] = own | {"step": counters["step"]}
    return found


def history(path, lanes):
    """Return the rows of a history, in any order, with what lanes are for their numbers."""
    head, *lines = (path / "history.csv").read_text().splitlines()
    cells = [line.partition(",") for line in lines]
    return head, sorted((named(lanes[int(lane)]), rest) for lane, _, rest in cells)


def scores(sweep, without=()):
    others = ("lane", *without)
    return {named(lane): {n: v for n, v in row.items() if n not in others} for lane, row in
            zip(sweep.lanes, sweep.results, strict=True)}  # fmt: skip


def same(extended, whole):
    """Say that two sweeps are alike but for the numbers of their lanes."""
    assert states(extended.path) == states(whole.path)
    assert history(extended.path, extended.lanes) == history(whole.path, whole.lanes)
    assert scores(extended) == scores(whole)


def test_more_steps_are_those_of_a_sweep_that_had_them_at_once(path, tmp_path):
    whole = train(tmp_path / "whole", steps=20, eval_every=8)
    before = (path / "history.csv").read_text()
    extended = train(path, steps=20, extend=True)
    assert states(path) == states(whole.path) and scores(extended) == scores(whole)
    plain = train(tmp_path / "plain", steps=20)
    same(extended, plain)
    assert (path / "history.csv").read_text().startswith(before)
    said = []
    again = train(path, steps=20, say=said.append)  # the same call, without the word
    assert not any("wave" in line for line in said) and again.results == extended.results
    assert "spent_again" in again.environment
    with pytest.raises(InputError, match="steps: 20 there, 8 now"):
        train(path)


def test_steps_that_ended_between_two_log_points_leave_a_row_there(tmp_path):
    short = train(tmp_path / "run", steps=6, sweep={})
    rows = (tmp_path / "run" / "history.csv").read_text()
    train(tmp_path / "run", steps=12, sweep={}, extend=True)
    whole = train(tmp_path / "whole", steps=12, sweep={})
    assert states(tmp_path / "run") == states(whole.path)
    extended = jaxvae.load_sweep(tmp_path / "run")
    assert (tmp_path / "run" / "history.csv").read_text().startswith(rows)
    assert extended.history["step"].tolist() == [4, 6, 8, 12] and whole.history["step"].tolist() == [4, 8, 12]
    parts, mean = extended.history["loss"][1:3], whole.history["loss"][1]
    np.testing.assert_allclose(parts.mean(), mean, rtol=1e-6)  # of two steps each
    assert short.history["loss"][1] == parts[0]


def test_more_seeds_leave_lanes_as_they_are(first, path, tmp_path):
    rows, before = (path / "history.csv").read_text(), states(path, by=lambda lane: lane["lane"])
    files = {p: p.read_bytes() for p in (path / "checkpoints").rglob("*") if p.is_file()}
    extended, whole = train(path, sweep=MORE, extend=True), train(tmp_path / "whole", sweep=MORE)
    assert [(lane["beta"], lane["seed"]) for lane in extended.lanes] == [(1, 0), (1, 1), (4, 0), (4, 1), (1, 2), (4, 2)]
    after = states(path, by=lambda lane: lane["lane"])
    assert {lane: after[lane] for lane in before} == before and len(after) == 6
    assert (path / "history.csv").read_text().startswith(rows) and all(p.read_bytes() == files[p] for p in files)
    same(extended, whole)
    of_siblings = [name for name in first.results[0] if name.startswith("udr")]
    kept = scores(extended, without=of_siblings)
    assert all(kept[lane] == own for lane, own in scores(first, without=of_siblings).items())
    assert of_siblings and extended.results[0]["udr_lasso"] != first.results[0]["udr_lasso"]


@pytest.mark.slow
def test_what_lanes_side_by_side_learn_is_what_they_learn_in_other_waves(tmp_path):
    train(tmp_path / "run", lanes="vmap", max_lanes=3)
    extended = train(tmp_path / "run", lanes="vmap", sweep=MORE, extend=True)
    whole = train(tmp_path / "whole", lanes="vmap", sweep=MORE)
    ours, theirs = states(extended.path), states(whole.path)
    assert ours.keys() == theirs.keys()
    for lane, own in ours.items():
        for name, leaf in own.items():
            if "params" in name:
                np.testing.assert_allclose(
                    *(np.frombuffer(x, np.float32) for x in (leaf, theirs[lane][name])), rtol=1e-3, atol=1e-5
                )


@pytest.mark.slow
def test_a_sweep_is_extended_twice_as_a_value(path, tmp_path):
    sweep = jaxvae.load_sweep(path)
    before = states(path, by=lambda lane: lane["lane"])
    with pytest.raises(InputError, match=r"trained on images in memory .'arrays'.*as data="):
        sweep.extend(sweep={"seed": range(3)})
    with pytest.raises(InputError, match="factors go with images in memory"):
        sweep.extend(factors=FACTORS)
    assert sweep.extend(objective="beta_vae,factor_vae", data=IMAGES, factors=FACTORS, say=None, **SIZES) is sweep
    assert [lane["objective"] for lane in sweep.lanes] == ["beta_vae"] * 4 + ["factor_vae"] * 4
    assert all(lane["status"] == "ok" and lane["udr_lasso"] is not None for lane in sweep.results)
    after = states(path, by=lambda lane: lane["lane"])
    assert {lane: after[lane] for lane in before} == before
    # It knows its data now.
    sweep.extend(sweep={"seed": [1, 0, 7]}, steps=12, say=None)
    whole = train(tmp_path / "whole", objective="beta_vae,factor_vae", steps=12, **SIZES,
                  sweep={"beta": [1, 4], "seed": [0, 1, 7]})  # fmt: skip
    same(sweep, whole)
    assert [lane["seed"] for lane in sweep.lanes] == [0, 1] * 4 + [7] * 4
    assert (
        len(records.read_spec(path)["extends"]) == 2
        and sweep.select(seed=7, beta=4.0, objective="factor_vae").about["lane"] == 11
    )
    with pytest.raises(InputError, match="objective beta_vae is left out"):
        sweep.extend(objective="factor_vae")
    with pytest.raises(InputError, match=r"lr: 0\.001 there, 0\.5 now"):
        sweep.extend(lr=0.5)
    with pytest.raises(InputError, match=r"unknown argument of Sweep\.extend 'stepss'"):
        sweep.extend(stepss=3)


def test_lanes_that_are_added_run_in_the_mode_of_those_that_are_there(path, monkeypatch):
    tried, choose = [], placing.choose
    monkeypatch.setattr(placing, "choose", lambda *a: (tried.append(a[3]), choose(*a))[1])
    train(path, sweep=MORE, lanes="auto", extend=True, metrics=())
    assert tried == ["map"] and records.read_run(path)["modes"] == {"beta_vae_mlp": "map", "beta_vae_mlp:4": "map"}


@pytest.mark.slow
def test_a_kill_after_any_save_is_gone_on_from(first, tmp_path, monkeypatch):
    whole = train(tmp_path / "whole", sweep=MORE, steps=16)

    class Killed(BaseException):
        pass

    def dying(left, function):
        def call(*arguments, **options):
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return function(*arguments, **options)

        return call

    moment, killed, stages = 0, True, []
    while killed:
        path = shutil.copytree(first.path, tmp_path / str(moment))
        with monkeypatch.context() as patch:
            left = [moment]
            for owner, name in (
                (loop.tables, "write_text"),
                (Checkpoints, "save"),
                (loop.tables.Table, "append"),
                (jaxvae.evaluate, "evaluate"),
            ):
                patch.setattr(owner, name, dying(left, getattr(owner, name)))
            try:
                train(path, sweep=MORE, steps=16, extend=True, save_seconds=0.0)
                killed = False
            except Killed:
                killed = True
        opened = jaxvae.load_sweep(path)
        stages.append((opened.spec["steps"], len(opened.lanes), len(opened.results)))
        assert len(opened.lanes) in (4, 6)
        if opened.spec["steps"] == 16:
            same(train(path, sweep=MORE, steps=16), whole)
        else:
            same(train(path), first)
        moment += 3  # every third, for time
    assert stages[0] == (8, 4, 4) and (16, 6, 0) in stages and stages[-1] == (16, 6, 6)


def test_an_extension_that_is_interrupted_goes_on(path, tmp_path, monkeypatch):
    asked = []
    with monkeypatch.context() as patch:
        patch.setattr(loop.Progress, "show", lambda *_: asked.append(asked or os.kill(os.getpid(), signal.SIGINT)))
        with pytest.raises(KeyboardInterrupt, match="the same call"):
            train(path, sweep=MORE, steps=16, extend=True)
    opened = jaxvae.load_sweep(path)
    assert len(opened.lanes) == 6 and not opened.results
    same(train(path, sweep=MORE, steps=16, extend=True), train(tmp_path / "whole", sweep=MORE, steps=16))


def test_the_command_line_extends_what_the_workdir_holds(plain, tmp_path, capsys):
    plain = [*plain, "--metrics=mig"]
    flags = [*plain, "--steps=20", f"--workdir={tmp_path / 'run'}"]
    assert run_in_process("--extend", *flags) == 2
    assert "holds no sweep to extend" in capsys.readouterr().err
    assert run_in_process("--extend", "--steps=40", f"--workdir={tmp_path / 'run'}") == 2
    assert "holds no sweep, and no flag says" in capsys.readouterr().err
    assert run_in_process(*flags) == 0
    assert run_in_process(*flags, "--sweep=seed=0:3") == 2
    assert "add --extend to train only what it lacks" in capsys.readouterr().err
    assert run_in_process(*flags, "--sweep=seed=0:1", "--extend") == 2
    assert "(seed=1 is left out of seed=0); ask for all" in capsys.readouterr().err
    more = [f"--workdir={tmp_path / 'run'}", "--extend", "--steps=40", "--sweep=seed=0:3"]
    for _ in range(2):  # the second time there is nothing to do
        assert run_in_process(*more) == 0
        assert "extended: lanes from 4 on" in capsys.readouterr().out
    assert run_in_process(*flags, "--steps=40", "--sweep=seed=0:3") == 0  # all of it, without the word
    assert run_in_process(f"--workdir={tmp_path / 'run'}", "--metrics=mig") == 0
    assert "wave" not in capsys.readouterr().out
    assert run_in_process(*plain, "--steps=40", "--sweep=seed=0:3", f"--workdir={tmp_path / 'whole'}") == 0
    assert states(tmp_path / "run") == states(tmp_path / "whole")
