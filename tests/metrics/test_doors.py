"""The three doors to scores: on codes of one's own, while lanes train, and on a sweep that was trained before."""

import contextlib
import csv
import json
import math
import re
import shutil

import jax
import numpy as np
import pytest
import scipy.stats

import jaxvae
from jaxvae import evaluate, metrics
from jaxvae.evaluate import parts
from jaxvae.metrics import listing, scoring
from jaxvae.metrics.__main__ import main as score_file
from jaxvae.report import PLOTS, agreement
from jaxvae.training import loop
from jaxvae.types import InputError
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.records import read_json
from jaxvae.workdir.tables import Table, read_table
from tiny_sweep import run_in_process

QUICK = ("mig", "active_units")  # quickest to compile, one of those with factors and one without


@pytest.fixture(scope="module", autouse=True)
def few_plots():
    """Draw only what these tests look at: every figure is drawn in the tests of the report."""
    with pytest.MonkeyPatch.context() as patched:
        for name in set(PLOTS) - {"score_curves", "information_maps"}:
            patched.delitem(PLOTS.data, name)
        yield


# ---- codes of one's own


@pytest.fixture(scope="module")
def codes():
    rng = np.random.default_rng(0)
    factors = rng.integers(0, (3, 5), (300, 2))
    return {"codes": np.c_[factors + rng.normal(0, 0.1, factors.shape), rng.normal(size=300)], "factors": factors}


def test_a_file_of_codes_is_scored_as_the_function_scores(codes, tmp_path, capsys):
    np.savez(tmp_path / "codes.npz", **codes, factor_names=["a", "b"])
    assert score_file([str(tmp_path / "codes.npz"), f"--names={','.join(QUICK)}", "--seed=3"]) == 0
    expected = metrics.score(codes["codes"], codes["factors"], names=QUICK, seed=3)
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "codes.scores.json").read_text())
    assert found["scores"] == expected and found["seed"] == 3 and list(expected) == list(QUICK)
    (row,) = csv.DictReader((tmp_path / "codes.scores.csv").open())
    assert {key: float(row[key]) for key in expected} == expected
    for key, value in expected.items():
        assert re.search(rf"^{key} +{value:.4f}  ", printed, re.M)


def test_files_are_written_where_asked_and_replaced_only_when_asked(codes, tmp_path, capsys, monkeypatch):
    np.savez(tmp_path / "codes.npz", **codes)
    given = [str(tmp_path / "codes.npz"), "--names=active_units", f"--json={tmp_path / 'mine.json'}"]
    monkeypatch.setattr(metrics, "score", lambda **_: {"active_units": 3.0})
    assert score_file(given) == 0
    assert sorted(p.name for p in tmp_path.iterdir()) == ["codes.npz", "mine.json"]
    (tmp_path / "mine.json").write_text("precious")
    assert score_file(given) == 2
    assert "add --overwrite" in capsys.readouterr().err and (tmp_path / "mine.json").read_text() == "precious"
    assert score_file([*given, "--overwrite"]) == 0
    assert json.loads((tmp_path / "mine.json").read_text())["scores"] == {"active_units": 3.0}
    monkeypatch.setattr(metrics, "score", lambda **_: {"active_units": math.nan})
    assert score_file([*given, "--overwrite"]) == 0
    assert json.loads((tmp_path / "mine.json").read_text())["scores"] == {"active_units": None}


BAD = [
    ({}, ["--names=migg"], "did you mean 'mig'"),
    ({}, ["--names="], "names no metric"),
    ({}, ["--names=udr"], "score_siblings"),
    ({}, ["--names=mig_sampled"], "log-variances"),
    ({}, ["--seed=x"], "--seed"),
    ({}, ["--seed=-1"], "--seed"),
    ({}, ["--nmaes=mig"], "--nmaes"),
    ({}, ["--csv=/nowhere/x.csv"], "/nowhere"),
    ({"codes": None}, [], "no 'codes'"),
    ({"factors": None}, ["--names=mig"], "needs factors"),
    ({"codes": np.array([{}, {}], object)}, [], "cannot be read"),
    ({"codes": np.full((300, 2), np.nan)}, [], "must be finite"),
    ({"factors": np.zeros((7, 2), int)}, [], "7 rows"),
    ({"test_codes": np.zeros((9, 3))}, [], "held-out"),
    ({"factor_names": ["one"]}, [], "factor_names"),
    ({"logvar": np.zeros((3, 3))}, [], "logvar"),
]


@pytest.mark.parametrize(("arrays", "arguments", "words"), BAD, ids=lambda v: "" if isinstance(v, str) else str(v)[:30])
def test_bad_codes_get_one_line_and_code_2_before_any_compile(
    arrays, arguments, words, codes, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(scoring, "_score_each", None)
    held = {name: array for name, array in (codes | arrays).items() if array is not None}
    np.savez(tmp_path / "codes.npz", **held)
    assert score_file([str(tmp_path / "codes.npz"), *arguments]) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir()] == ["codes.npz"]


def test_what_is_no_npz_is_refused(tmp_path, capsys):
    (tmp_path / "a.npz").write_text("text")
    (tmp_path / "torn.npz").write_bytes(b"PK\x03\x04 torn")
    np.save(tmp_path / "b.npy", np.zeros((3, 3)))
    for given, words in (
        (["a.npz"], "cannot be read"),
        (["torn.npz"], "cannot be read"),
        (["b.npy"], "a single array"),
        (["c.npz"], "is not there"),
        ([], "no file"),
    ):
        assert score_file([str(tmp_path / name) for name in given]) == 2
        printed = capsys.readouterr().err
        assert words in printed and printed.count("\n") == 1


def test_the_list_tells_all_of_every_metric(capsys):
    assert score_file(["--list"]) == 0
    printed = capsys.readouterr().out
    assert max(map(len, printed.splitlines())) <= 120
    for name, metric in metrics.METRICS.items():
        entry = listing.entry(name, metric)
        assert entry.range and entry.chance and entry.what, f"the docstring of {name} lacks a range or a chance level"
        assert "References:" in metric.function.__doc__
        assert all(re.search(rf"\b{word}\b", printed) for word in (name, *metric.keys))


# ---- while lanes train

EVERY, LOG, STEPS = 25, 20, 60


@pytest.fixture(scope="module")
def watching(command):
    """A command of two objectives; scores every 25 steps, loss terms every 20."""
    own = [a for a in command if not a.startswith(("--steps", "--log_every"))]
    return [*own, f"--steps={STEPS}", f"--log_every={LOG}", f"--eval_every={EVERY}", f"--metrics={','.join(QUICK)}"]


@pytest.fixture(scope="module")
def watched(watching, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("runs") / "watched"
    assert run_in_process(*watching, f"--workdir={workdir}") == 0
    return workdir


def scores_of(workdir):
    """Return {(lane, step): scores} of history.csv."""
    names = ("reconstruction", "elbo", *QUICK)
    rows = read_table(workdir / "history.csv")
    return {(r["lane"], r["step"]): [r[n] for n in names] for r in rows if r["mig"] is not None}


def test_scores_are_taken_at_their_steps_and_end_where_the_results_are(watched):
    rows = read_table(watched / "history.csv")
    at = [(row["lane"], row["step"]) for row in rows]
    assert len(set(at)) == len(at)
    assert {s for row, (_, s) in zip(rows, at, strict=True) if row["loss"] is not None} == {20, 40, 60}
    assert set(scores_of(watched)) == {(lane, step) for lane in range(6) for step in (25, 50, 60)}
    for row in read_table(watched / "results.csv"):
        for name, value in zip(("reconstruction", "elbo", *QUICK), scores_of(watched)[row["lane"], STEPS], strict=True):
            assert value == pytest.approx(row[name], rel=1e-6), name
    assert {p.stem for p in (watched / "figures").iterdir()} == {"score_curves", "information_maps"}
    assert "Scores while training" in (watched / "report.html").read_text()


def test_watching_changes_nothing_about_the_models(watching, watched, tmp_path):
    blind = [*watching, "--eval_every=0", "--metrics=active_units", f"--workdir={tmp_path / 'blind'}"]
    assert run_in_process(*blind) == 0
    seen, unseen = jaxvae.load_sweep(watched), jaxvae.load_sweep(tmp_path / "blind")
    for number in range(seen.num_waves):
        jax.tree.map(np.testing.assert_array_equal, seen.wave(number)[2], unseen.wave(number)[2])
    assert "mig" not in unseen.history and not (tmp_path / "blind" / "figures" / "score_curves.png").exists()


class Killed(BaseException):
    """Stands in for a signal that cannot be caught."""


@pytest.mark.parametrize("when", ["within the rows", "before the checkpoint", "after the checkpoint"])
def test_killed_and_resumed_it_has_the_rows_of_an_unbroken_run(watching, watched, tmp_path, monkeypatch, when):
    arguments = [*watching, f"--workdir={tmp_path / 'cut'}"]
    save, append = loop.Saver.save, Table.append

    def killed_save(self, step, *given):
        if step == 50 and when == "before the checkpoint":
            raise Killed
        save(self, step, *given)
        if step == 50:
            raise Killed

    def killed_append(self, rows):
        rows = list(rows)
        if rows[0]["step"] == 50:
            append(self, rows[:2])
            with open(self.path, "a") as file:
                file.write(f"{rows[2]['lane']},50,,,0.1")  # the last row is torn
            raise Killed
        append(self, rows)

    with monkeypatch.context() as patched:
        patched.setattr(loop.Saver, "due", lambda self: True)
        if when == "within the rows":
            patched.setattr(Table, "append", killed_append)
        else:
            patched.setattr(loop.Saver, "save", killed_save)
        with pytest.raises(Killed):
            run_in_process(*arguments)
    with contextlib.closing(Checkpoints(next((tmp_path / "cut").glob("checkpoints/beta*/*")))) as checkpoints:
        assert checkpoints.latest() == 50 if when == "after the checkpoint" else 25 <= checkpoints.latest() < 50
    assert run_in_process(*arguments) == 0

    # It was killed between two log points, and after chunks of other lengths: neither shows.
    assert (tmp_path / "cut" / "history.csv").read_text() == (watched / "history.csv").read_text()


def test_waves_are_watched_alike_and_a_resumed_sweep_may_be_watched_otherwise(watching, watched, tmp_path, monkeypatch):
    """Lanes that pad the devices leave no rows, and columns of metrics that are no more asked for stay."""
    arguments = [*watching, f"--workdir={tmp_path / 'waves'}", "--max_lanes=3"]
    train = loop._train_wave

    def killed_train(run, wave, *rest, **options):
        if wave.group.first:
            raise Killed
        return train(run, wave, *rest, **options)

    with monkeypatch.context() as patched:
        patched.setattr(parts, "most_at_once", lambda lanes, code: 1)  # little memory: lanes are watched one by one
        patched.setattr(loop, "_train_wave", killed_train)
        with pytest.raises(Killed):
            run_in_process(*arguments)
    assert run_in_process(*arguments, "--eval_every=30", "--metrics=active_units") == 0
    found, expected = scores_of(tmp_path / "waves"), scores_of(watched)
    assert set(found) == {(lane, step) for lane in range(4) for step in (25, 50, 60)}
    for place, values in found.items():
        np.testing.assert_allclose(values, expected[place], rtol=1e-3, atol=0.02)  # other waves, other rounding
    later = [r for r in read_table(tmp_path / "waves" / "history.csv") if r["lane"] > 3 and r["elbo"] is not None]
    assert {(r["lane"], r["step"]) for r in later} == {(lane, step) for lane in (4, 5) for step in (30, 60)}
    assert all(r["active_units"] is not None and r["mig"] is None for r in later)
    assert read_json(tmp_path / "waves" / "spec.json")["eval_every"] == 30


def test_a_diverged_lane_has_no_scores_after_it_was_frozen(watching, tmp_path):
    watching = [flag for flag in watching if not flag.startswith("--critic_")]
    arguments = [*watching, "--objective=beta_vae", "--sweep=beta_vae:beta=1", "--sweep=lr=1e-3,1e18", "--sweep=seed=0"]
    assert run_in_process(*arguments, f"--workdir={tmp_path / 'run'}", "--metrics=active_units") == 0
    healthy, lost = read_table(tmp_path / "run" / "results.csv")
    assert healthy["status"] == "ok" and lost["status"].startswith("diverged")
    rows = read_table(tmp_path / "run" / "history.csv")
    assert {r["step"] for r in rows if r["lane"] == 0 and r["elbo"] is not None} == {25, 50, 60}
    assert not [r for r in rows if r["lane"] == 1 and r["elbo"] is not None]


def test_no_sense_in_eval_every_is_refused(watching, tmp_path, capsys):
    assert run_in_process(*watching, "--eval_every=-5", f"--workdir={tmp_path / 'run'}") == 2
    assert "--eval_every must be" in capsys.readouterr().err and not (tmp_path / "run").exists()


# ---- a sweep that was trained before


def test_the_folder_alone_is_enough_to_score_a_sweep_anew(watched, tmp_path, capsys):
    shutil.copytree(watched, tmp_path / "old")
    before, history = read_table(tmp_path / "old" / "results.csv"), (tmp_path / "old" / "history.csv").read_text()
    trained = read_json(tmp_path / "old" / "run.json")
    assert run_in_process(f"--workdir={tmp_path / 'old'}", "--metrics=udr") == 0
    assert "ready in" not in capsys.readouterr().out, "something was trained"
    after = read_table(tmp_path / "old" / "results.csv")
    for old, new in zip(before, after, strict=True):
        assert {name: new[name] for name in ("lane", "status", *QUICK)} == {
            name: old[name] for name in ("lane", "status", *QUICK)
        }
        assert new["elbo"] == pytest.approx(old["elbo"]) and 0 <= new["udr_spearman"] <= 1
    assert (tmp_path / "old" / "history.csv").read_text() == history
    told = read_json(tmp_path / "old" / "run.json")["environment"]
    scores, earlier = told.pop("scores"), trained["environment"].pop("scores")
    assert told.pop("spent_again") and told == trained["environment"] and scores["data"] == earlier["data"]
    ((_, names),) = scores["versions"].items()
    assert {"udr_spearman", *QUICK} <= set(names)
    page = (tmp_path / "old" / "report.html").read_text()
    assert "udr_<wbr>spearman" in page and ">mig<" in page and "scored_again" in page


def test_a_folder_is_not_trained_further_by_its_name_alone(watched, tmp_path, capsys):
    assert run_in_process(f"--workdir={watched}", "--steps=80") == 2
    assert f"steps: {STEPS} there, 80 now" in capsys.readouterr().err


def test_scripts_score_a_sweep_without_touching_it(watched):
    before = sorted((str(p), p.stat().st_mtime_ns) for p in watched.rglob("*") if p.name != ".lock")
    sweep = jaxvae.load_sweep(watched)
    results = evaluate.rescore(sweep, names="active_units", say=lambda _: None)
    assert [row["mig"] for row in results.lanes] == [row["mig"] for row in sweep.results]
    assert results.score_names == ("reconstruction", "kl", "elbo", *QUICK)
    assert sorted((str(p), p.stat().st_mtime_ns) for p in watched.rglob("*") if p.name != ".lock") == before
    with pytest.raises(InputError, match="did you mean 'mig'"):
        evaluate.rescore(sweep, names="migg")


def test_scores_of_other_models_are_not_kept(watched):
    sweep = jaxvae.load_sweep(watched)
    sweep.results[2]["step"] = 40
    results = evaluate.rescore(sweep, names="active_units", say=lambda _: None)
    assert "mig" not in results.score_names and "mig" not in results.lanes[0]
    data = jaxvae.data.load(sweep.spec["dataset"], "train", sweep.spec["data_dir"])
    results = evaluate.rescore(jaxvae.load_sweep(watched), names="active_units", data=data, say=lambda _: None)
    assert "mig" not in results.score_names, "whatever is given may be other data"


# ---- what the report is told


def test_the_map_of_information_is_that_of_mig(watched):
    sweep = jaxvae.load_sweep(watched)
    results = evaluate.rescore(sweep, names="active_units", say=lambda _: None)
    assert results.factor_names == ("bright", "y", "x") and len(results.showcases) == 3
    for shown in results.showcases:
        assert shown.information.shape == (3, 3)
        first, second = -np.sort(-shown.information, axis=0)[:2]
        mig = next(row["mig"] for row in results.lanes if row["lane"] == shown.lane)
        assert float(np.mean(first - second)) == pytest.approx(mig, abs=0.01)
        found = shown.responses
        assert found.means.shape == found.spread.shape == (3, 2 + 4 + 4) and found.sizes == (2, 4, 4)
        assert found.explained.shape == (3, 3) and (found.explained.sum(1) <= 1 + 1e-5).all(), "factors are independent"


def test_rank_correlation_is_spearmans():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 5, 30).astype(float), rng.normal(size=30)
    assert agreement.rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a, b).statistic)
    a[3] = b[7] = np.nan
    both = np.isfinite(a) & np.isfinite(b)
    assert agreement.rank_correlation(a, b) == pytest.approx(scipy.stats.spearmanr(a[both], b[both]).statistic)
    assert math.isnan(agreement.rank_correlation(np.ones(30), b)) and math.isnan(
        agreement.rank_correlation(a[:2], b[:2])
    )
