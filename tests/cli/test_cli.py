"""The command line: bad input at the door, a whole small sweep, kill and resume, opening what was kept."""

import json
import os
import pathlib
import re
import signal
import subprocess
import sys
import time

import jax
import numpy as np
import pytest
from absl.testing import flagsaver

import jaxvae
from conftest import ROOT, xla_flags
from jaxvae import cli, evaluate, report
from jaxvae.evaluate import parts
from jaxvae.types import InputError
from jaxvae.workdir.checkpoint import Checkpoints
from jaxvae.workdir.tables import read_table
from tiny_data import write_idx
from tiny_sweep import SIZE, run_in_process, start


def parameters(workdir):
    sweep = jaxvae.load_sweep(workdir)
    return [sweep.wave(number)[2] for number in range(sweep.num_waves)]


@pytest.fixture(scope="module")
def finished(command, tmp_path_factory):
    """A sweep that ran without a break."""
    workdir = tmp_path_factory.mktemp("runs") / "whole"
    assert run_in_process(*command, f"--workdir={workdir}") == 0
    return workdir


BAD = [
    (["--stpes=3"], "Unknown command line flag 'stpes'. Did you mean: steps"),
    (["surplus"], "'surplus' is not a flag"),
    (["--objective=beta_va"], "did you mean 'beta_vae'"),
    (["--objective="], "names nothing"),
    (["--objective=beta_vae,beta_vae"], "twice"),
    (["--objective=kl+capacity"], "exactly one term"),
    (["--architecture=konv"], "did you mean 'conv'"),
    (["--dataset=mini_sprite"], "did you mean 'mini_sprites'"),
    (["--dataset=npz", "--data_dir=/nowhere/x.npz"], "/nowhere/x.npz"),
    (["--likelihood=gausian"], "did you mean 'gaussian'"),
    (["--metrics=migg"], "did you mean 'mig'"),
    (["--dtype=float16"], "float32"),
    (["--lanes=fast"], "auto"),
    (["--max_lanes=0"], "--max_lanes must be a whole number from 1, or auto"),
    (["--max_lanes=-3"], "--max_lanes must be"),
    (["--max_lanes=2.5"], "--max_lanes must be"),
    (["--max_lanes=all"], "--max_lanes must be"),
    (["--sweep=beta=abc"], "'abc' is neither a number nor a range"),
    (["--sweep=beta="], "the grid is empty"),
    (["--sweep=seed=5:5"], "the grid is empty"),
    (["--sweep=beta"], "expected NAME=VALUES"),
    (["--sweep=betta=1,2"], "did you mean 'beta'"),
    (["--sweep=gamma=1,2"], "unknown swept number"),
    (["--sweep=factor_vae:gamma=1"], "factor_vae"),
    (["--sweep=beta=1,1"], "given twice"),
    (["--sweep=beta=1,nan"], "finite"),
    (["--sweep=seed=0.5"], "whole numbers"),
    (["--sweep=lr=0,1e-3"], "above 0"),
    (["--steps=-5"], "--steps must be at least 1"),
    (["--steps=many"], "steps"),
    (["--batch_size=33"], "more than the 32 images"),
    (["--latent_dim=0"], "--latent_dim must be at least 1"),
    (["--lr=-1"], "--lr must be"),
    (["--groups_per_scale=2,x"], "expected whole numbers"),
    (["--architecture=nvae", "--groups_per_scale=1,1,1,1,1"], "5 scales"),
    (["--architecture=nvae", "--stem_width=5"], "multiples of 4, got 5"),
    (["--seed=-1"], "--seed must be"),
    (["--flagfile=/nowhere.flags"], "/nowhere.flags"),
]


@pytest.mark.parametrize(("arguments", "words"), BAD, ids=lambda v: " ".join(v) if isinstance(v, list) else "")
def test_bad_input_gets_one_line_and_code_2_before_any_compile(arguments, words, images, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(jax, "jit", None)
    defaults = ["--dataset=npz", f"--data_dir={images}", "--objective=beta_vae", "--batch_size=8", "--architecture=mlp"]
    assert run_in_process(*defaults, f"--workdir={tmp_path / 'run'}", *arguments) == 2
    printed = capsys.readouterr().err
    assert words in printed and printed.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_shapes_no_architecture_takes_are_refused(tmp_path, capsys):
    np.savez(tmp_path / "odd.npz", images=np.zeros((20, 9, 9), np.uint8))
    arguments = ["--dataset=npz", f"--data_dir={tmp_path / 'odd.npz'}", "--architecture=conv", "--batch_size=8"]
    assert run_in_process(*arguments, f"--workdir={tmp_path / 'run'}") == 2
    assert "multiples of 4; got 9x9" in capsys.readouterr().err


def test_folders_that_are_not_ours_are_left_alone(command, tmp_path, capsys):
    (tmp_path / "thesis.txt").write_text("years of work")
    for extra in ([], ["--overwrite"]):
        assert run_in_process(*command, f"--workdir={tmp_path}", *extra) == 2
        assert "holds files but no sweep" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["thesis.txt"]
    assert run_in_process(*command, f"--workdir={tmp_path / 'thesis.txt'}") == 2
    assert "cannot be written to" in capsys.readouterr().err
    assert run_in_process(*command, f"--workdir={tmp_path / 'new'}", "--resume") == 2
    assert "no sweep to continue" in capsys.readouterr().err


def test_another_spec_is_refused_with_the_fields_that_differ(command, finished, capsys):
    before = sorted((str(p), p.stat().st_mtime_ns) for p in finished.rglob("*") if p.is_file() and p.name != ".lock")
    assert run_in_process(*command, f"--workdir={finished}", "--steps=80", "--sweep=beta_vae:beta=2") == 2
    printed = capsys.readouterr().err
    assert "steps: 60 there, 80 now" in printed and "beta=2" in printed and "--overwrite" in printed
    assert run_in_process(*command, f"--workdir={finished}", "--noresume") == 2
    after = sorted((str(p), p.stat().st_mtime_ns) for p in finished.rglob("*") if p.is_file() and p.name != ".lock")
    assert before == after


def test_a_finished_sweep_has_all_its_parts(finished):
    rows = read_table(finished / "results.csv")
    assert [row["lane"] for row in rows] == list(range(6))
    assert [(row["objective"], row["beta"], row["seed"]) for row in rows] == [
        ("beta_vae", 1, 0), ("beta_vae", 1, 1), ("beta_vae", 4, 0), ("beta_vae", 4, 1),
        ("factor_vae", 1, 0), ("factor_vae", 1, 1),
    ]  # fmt: skip
    for row in rows:
        assert row["status"] == "ok" and row["elbo"] == pytest.approx(-row["reconstruction"] - row["kl"])
        assert all(0 <= row[name] <= 1 for name in ("beta_vae", "factor_vae", "mig", "udr_spearman", "udr_lasso"))
    # Two seeds of a setting have one score between them, and other settings have others.
    likeness = [row["udr_spearman"] for row in rows]
    assert likeness[::2] == pytest.approx(likeness[1::2], abs=1e-6) and np.ptp(likeness[::2]) > 1e-3
    history = read_table(finished / "history.csv")
    assert {(row["lane"], row["step"]) for row in history} == {(lane, s) for lane in range(6) for s in (20, 40, 60)}
    assert all((row["tc"] is not None) == (row["lane"] >= 4) for row in history)
    page = (finished / "report.html").read_text()
    assert "<html" in page and 'src="http' not in page and "Where the time went" in page
    spent = json.loads((finished / "run.json").read_text())["environment"]["spent"]
    told = (
        "start",
        "data",
        "compile",
        "train",
        "save",
        "encode",
        "score: mig",
        "score: siblings",
        "draw",
        "write",
        "rest",
    )
    assert spent.keys() >= set(told) and all(seconds >= 0 for seconds in spent.values())
    assert list((finished / "figures").glob("*.png"))
    assert json.loads((finished / "spec.json").read_text())["sweep"] == ["beta_vae:beta=1,4", "seed=0,1"]


def test_kept_models_open_and_do_what_they_should(finished, images):
    sweep = jaxvae.load_sweep(finished)
    assert len(sweep.lanes) == len(sweep.results) == 6 and len(sweep.history["step"]) == 18
    model = sweep.select(objective="beta_vae", beta=4.0, seed=1)
    assert model.about["lane"] == 3 and model.about["mig"] == sweep.results[3]["mig"]
    pictures = np.load(images)["images"][..., None]
    mean, logvar = model.encode(pictures)
    assert mean.shape == logvar.shape == (32, 3)
    np.testing.assert_allclose(model.encode(pictures / 255.0)[0], mean, atol=1e-5)
    decoded = model.decode(mean)
    assert decoded.shape == (32, SIZE, SIZE, 1) and decoded.min() >= 0 and decoded.max() <= 1
    np.testing.assert_array_equal(model.reconstruct(pictures), decoded)
    walk = model.traverse(mean[0], [-1.0, float(mean[0, 1])])
    assert walk.shape == (3, 2, SIZE, SIZE, 1)
    np.testing.assert_allclose(walk[1, 1], decoded[0], atol=1e-5)

    with pytest.raises(InputError, match="2 lanes have"):
        sweep.select(objective="factor_vae")
    with pytest.raises(InputError, match="no lanes have"):
        sweep.select(beta=3.0)
    with pytest.raises(InputError, match="no betta"):
        sweep.select(betta=3.0)
    with pytest.raises(InputError, match=r"takes images \[B, 8, 8, 1\]"):
        model.encode(np.zeros((2, 4, 4, 1)))
    with pytest.raises(InputError, match=r"takes codes \[B, 3\]"):
        model.decode(np.zeros((2, 5)))


@pytest.fixture
def scored(finished, images):
    """Return a function of (metrics, what to change in each lane) -> results and encoded codes of the sweep."""
    data = jaxvae.data.load("npz", "train", images)

    def score(names, change=lambda lane: {}):
        sweep = jaxvae.load_sweep(finished)
        sweep.spec["metrics"], wave = names, sweep.wave

        def changed(number):
            program, lanes, params = wave(number)
            return program, [lane | change(lane) for lane in lanes], params

        sweep.wave = changed
        return evaluate.evaluate(sweep, data, {}, say=lambda line: None, keep=False)

    return score


def test_lanes_are_compared_with_their_healthy_siblings(scored, finished):
    compared = scored(["udr"], lambda lane: {"status": "diverged at step 3"} if lane["lane"] == 1 else {})
    keys = ("udr_spearman", "udr_lasso")
    assert [[row[key] is None for key in keys] for row in compared.lanes] == [[True] * 2] * 2 + [[False] * 2] * 4
    before = read_table(finished / "results.csv")
    for row in compared.lanes[2:]:
        assert row["udr_spearman"] == pytest.approx(before[row["lane"]]["udr_spearman"], abs=1e-6)
    assert not compared.omitted and set(keys) < set(compared.score_names)
    assert report.terminal_table(compared).count("–") >= 4


def test_lanes_without_siblings_are_not_compared(scored):
    alone = scored(["active_units", "udr"], lambda lane: {"beta": float(lane["lane"])})
    assert "differ in their seed alone" in alone.omitted["udr"]
    assert not any(name.startswith("udr") for name in alone.score_names)


def test_lanes_scored_in_parts_have_the_scores_of_all_at_once(scored, finished, monkeypatch):
    monkeypatch.setattr(parts, "most_at_once", lambda lanes, code: 3)
    before = read_table(finished / "results.csv")
    for row in scored(["mig", "udr"]).lanes:
        for name in ("lane", "beta", "seed", "reconstruction", "kl", "elbo", "mig", "udr_spearman"):
            assert row.get(name) == pytest.approx(before[row["lane"]][name], rel=1e-4, abs=1e-4), name


def test_log_variances_are_encoded_where_a_metric_needs_them(scored, finished, images):
    found = scored(["mig_sampled"]).lanes[3]["mig_sampled"]
    data = jaxvae.data.load("npz", "train", images)
    mean, logvar = jaxvae.load_sweep(finished).model(3).encode(data.batch(np.arange(len(data))))
    again = jaxvae.metrics.score(mean, np.asarray(data.factors), names="mig_sampled", logvar=logvar)
    assert found == pytest.approx(again["mig_sampled"], abs=1e-3)


def test_the_same_command_again_trains_nothing(command, finished, capsys):
    before = [leaf.tobytes() for wave in parameters(finished) for leaf in jax.tree.leaves(wave)]
    assert run_in_process(*command, f"--workdir={finished}") == 0
    printed = capsys.readouterr().out
    assert "ready in" not in printed and re.search(r"(?s)\d s: .*score \d.*rest", printed)
    assert before == [leaf.tobytes() for wave in parameters(finished) for leaf in jax.tree.leaves(wave)]


def test_waves_give_the_lanes_of_one_wave(command, finished, tmp_path):
    assert run_in_process(*command, f"--workdir={tmp_path / 'waves'}", "--max_lanes=3") == 0
    whole, cut = jaxvae.load_sweep(finished), jaxvae.load_sweep(tmp_path / "waves")
    assert whole.num_waves == 2 and cut.num_waves == 3
    for lane in range(6):
        a, b = whole.model(lane).params, cut.model(lane).params
        jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, atol=1e-5), a, b)


@pytest.fixture(scope="module")
def longer(command, tmp_path_factory):
    """A command that trains for some seconds, and the folder where it ran without a break."""
    longer = [*command[:2], *command[4:], "--objective=factor_vae", "--architecture=mlp", "--steps=2000"]
    longer = [*(a for a in longer if "beta_vae:" not in a), "--log_every=100"]
    workdir = tmp_path_factory.mktemp("runs") / "longer"
    process = start(*longer, f"--workdir={workdir}")
    printed, _ = process.communicate(timeout=300)
    assert process.returncode == 0, printed
    return longer, workdir


@pytest.mark.parametrize(
    "how", [signal.SIGKILL, *(pytest.param(s, marks=pytest.mark.slow) for s in (signal.SIGTERM, signal.SIGINT))]
)
def test_stopped_anywhere_it_goes_on_to_the_same_parameters(longer, tmp_path, how):
    long, whole = longer
    cut = start(*long, f"--workdir={tmp_path / 'cut'}", "--save_seconds=0.01")
    try:
        deadline = time.monotonic() + 120
        while not any(p.name.isdigit() for p in (tmp_path / "cut").glob("checkpoints/*/*/*")):
            assert time.monotonic() < deadline and cut.poll() is None, cut.communicate()[0]
            time.sleep(0.02)
        cut.send_signal(how)
        printed, _ = cut.communicate(timeout=120)
        if how == signal.SIGKILL:
            assert cut.returncode == -how
        else:
            assert cut.returncode == 128 + how and "the same command goes on from there" in printed
        assert not (tmp_path / "cut" / "report.html").exists(), "it had finished before it was stopped"
        cut = start(*long, f"--workdir={tmp_path / 'cut'}")
        printed, _ = cut.communicate(timeout=300)
        assert cut.returncode == 0 and "going on from step" in printed, printed
    finally:
        cut.kill()
        cut.communicate()
    for a, b in zip(parameters(whole), parameters(tmp_path / "cut"), strict=True):
        jax.tree.map(np.testing.assert_array_equal, a, b)
    assert (tmp_path / "cut" / "history.csv").read_text() == (whole / "history.csv").read_text()


@pytest.mark.parametrize("arguments", [["--help"], ["--helpshort", "--objective=vae"]])
def test_help_lists_every_flag_and_declared_size(arguments, capsys):
    assert run_in_process(*arguments) == 0
    printed = capsys.readouterr().out
    for words in (
        "--objective:",
        "--plugins:",
        "--critic_width:",
        "--groups_per_scale:",
        "Default: 2,2.",
        "jaxvae --list",
    ):
        assert words in printed
    assert "whole numbers from 1. Default: 1000." in " ".join(printed.split())


def test_a_workdir_in_use_is_not_touched(command, finished):
    import fcntl

    with open(finished / ".lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = start(*command, f"--workdir={finished}")
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 2 and "in use by another process" in printed


def largest_file(folder: pathlib.Path) -> pathlib.Path:
    return max((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_size)


def test_damaged_checkpoints_are_named(plain, tmp_path, capsys):
    assert run_in_process(*plain, f"--workdir={tmp_path / 'run'}") == 0
    victim = largest_file(tmp_path / "run" / "checkpoints")
    raw = victim.read_bytes()
    flipped = [raw[:at] + bytes([raw[at] ^ 16]) + raw[at + 1 :] for at in (len(raw) // 3, len(raw) // 2)]
    for damaged in (raw[: len(raw) // 2], *flipped, b""):
        victim.write_bytes(damaged)
        with pytest.raises(InputError, match="is damaged"):
            Checkpoints(next((tmp_path / "run").glob("checkpoints/*/*"))).restore(60)
    # Scoring reads the model alone, and which of the files hold it is Orbax's to choose.
    for part in victim.parent.iterdir():
        part.write_bytes(b"")
    capsys.readouterr()
    assert run_in_process(*plain, f"--workdir={tmp_path / 'run'}") == 2
    printed = capsys.readouterr().err
    assert "is damaged" in printed and printed.count("\n") == 1


def test_what_is_no_sweep_is_refused(tmp_path, finished):
    with pytest.raises(InputError, match="does not hold a sweep"):
        jaxvae.load_sweep(tmp_path)
    (tmp_path / "spec.json").write_text("{")
    with pytest.raises(InputError, match=r"spec\.json cannot be read"):
        jaxvae.load_sweep(tmp_path)
    (tmp_path / "spec.json").write_text((finished / "spec.json").read_text())
    with pytest.raises(InputError, match="not started"):
        jaxvae.load_sweep(tmp_path)
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"run\.json is not that of a sweep"):
        jaxvae.load_sweep(tmp_path)


def test_a_sweep_opens_with_other_devices_and_without_its_data(finished):
    code = (
        "import jaxvae, jax, numpy as np\n"
        f"sweep = jaxvae.load_sweep({str(finished)!r})\n"
        "print(jax.device_count(), float(np.asarray(sweep.select(lane=5).decode(np.zeros((1, 3)))).sum()))"
    )
    environment = os.environ | {"XLA_FLAGS": xla_flags(), "JAX_PLATFORMS": "cpu"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, cwd=ROOT, text=True).split()
    here = float(np.asarray(jaxvae.load_sweep(finished).model(5).decode(np.zeros((1, 3)))).sum())
    assert printed[0] == "1" and float(printed[1]) == pytest.approx(here, rel=1e-5)


STUDIES = [*sorted((ROOT / "experiments").glob("*.flags")), cli.QUICKSTART]


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.name)
def test_every_flag_file_reads(path):
    with flagsaver.flagsaver():
        cli.FLAGS.unparse_flags()
        cli.parse(["run_sweep.py", f"--flagfile={path}"])
        chosen = cli.spec_from_flags()
    assert path.read_text().startswith("#") and chosen.sweep


def test_quick_is_a_few_steps_of_a_few_lanes_in_a_folder_of_its_own(finished, command, capsys):
    with flagsaver.flagsaver():
        cli.FLAGS.unparse_flags()
        cli.parse(["run_sweep.py", *command, f"--workdir={finished}", "--sweep=beta_vae:beta=1,2,4,8", "--quick"])
        chosen = cli.spec_from_flags()
        assert cli.folder(chosen) == finished.with_name(finished.name + "_quick")
    assert (chosen.steps, chosen.batch_size, chosen.log_every, chosen.eval_every) == (20, 8, 10, 0)
    assert all(len(axis.values) <= 2 for axis in chosen.sweep) and chosen.sweep[-1].values == (1.0, 2.0)


@pytest.mark.slow
@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.name)
def test_every_flag_file_runs_in_its_quick_size(path, tmp_path):
    with flagsaver.flagsaver():
        cli.FLAGS.unparse_flags()
        cli.parse(["run_sweep.py", f"--flagfile={path}"])
        dataset = cli.FLAGS.dataset
    data = {"mnist": ["--data_dir=" + str(tmp_path / "mnist")]}.get(dataset, ["--dataset=mini_sprites"])
    write_idx(tmp_path / "mnist")
    command = [f"--flagfile={path}", *data, "--quick", f"--workdir={tmp_path / 'study'}"]
    assert run_in_process(*command) == 0
    assert (tmp_path / "study_quick" / "report.html").exists()


def test_a_sweep_does_not_go_on_with_other_data(plain, tmp_path, images, capsys):
    own = tmp_path / "own.npz"
    own.write_bytes(images.read_bytes())
    mine = [*plain, f"--data_dir={own}", f"--workdir={tmp_path / 'run'}"]
    assert run_in_process(*mine) == 0
    with np.load(own) as held:
        arrays = dict(held)
    arrays["images"][:, 0, 0] = 77
    np.savez(own, **arrays)
    assert run_in_process(*mine) == 2
    assert "is not the data that the sweep" in capsys.readouterr().err


def test_a_checkpoint_that_cannot_be_written_is_one_clear_error(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path / "lanes", create=True)

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoints._manager, "save", full)
    with pytest.raises(InputError, match=r"cannot write a checkpoint .*No space left"):
        checkpoints.save(3, {"x": np.zeros(2)}, {})
    checkpoints.close()
