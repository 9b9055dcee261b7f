"""jaxvae.train: what it takes, what it gives back, and the places it is called from."""

import gc
import os
import pathlib
import signal
import subprocess
import sys
import threading

import jax
import jax.numpy as jnp
import matplotlib.figure
import numpy as np
import pytest

import jaxvae
from conftest import ROOT, xla_flags
from jaxvae.report import saving
from jaxvae.training import loop
from jaxvae.types import InputError
from tiny_sweep import run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")

SMALL = {
    "architecture": "mlp",
    "lanes": "map",
    "latent_dim": 3,
    "batch_size": 8,
    "lr": 1e-3,
    "steps": 60,
    "log_every": 20,
}
CRITIC = {"critic_width": 8, "critic_depth": 2}
GRID = {"beta_vae:beta": [1, 4], "seed": range(2)}
BOTH = {"objective": ["beta_vae", "factor_vae"], "sweep": GRID, "metrics": ["beta_vae", "factor_vae", "mig", "udr"]}


@pytest.fixture(scope="module")
def squares(images):
    with np.load(images) as held:
        return {name: held[name] for name in held.files}


@pytest.fixture(scope="module")
def trained(squares, tmp_path_factory):
    return jaxvae.train(squares["images"], factors=squares["factors"], factor_names=squares["factor_names"], **SMALL,
                        **BOTH, **CRITIC, workdir=tmp_path_factory.mktemp("runs") / "python",
                        say=None)  # fmt: skip


def test_python_and_the_command_line_train_the_same(trained, command, tmp_path):
    assert run_in_process(*command, f"--workdir={tmp_path}") == 0
    told = jaxvae.load_sweep(tmp_path)
    assert trained.results == told.results and trained.lanes == told.lanes
    for number in range(trained.num_waves):
        ours, theirs = (jax.tree.leaves(sweep.wave(number)[2]) for sweep in (trained, told))
        assert all(a.tobytes() == b.tobytes() for a, b in zip(ours, theirs, strict=True))
    for name, column in trained.history.items():
        np.testing.assert_array_equal(column, told.history[name])
    changed = {name for name in trained.spec if trained.spec[name] != told.spec[name]}
    assert changed == {"dataset", "data_dir"}


def test_a_sweep_is_a_value(trained, tmp_path):
    assert len(trained.results) == len(trained.lanes) == 6 and {"mig", "elbo"} <= trained.results[0].keys()
    assert set(trained.history) >= {"lane", "step", "loss", "tc"}
    assert "beta_vae" in trained.table() and "No room" not in trained.table().split("\n")[0]
    html = trained._repr_html_()
    assert html.count("<tr>") == 7 and "factor_vae" in html and "MIG" in html and "<script" not in html
    for name in jaxvae.report.PLOTS:
        try:
            figure = trained.plot(name)
        except InputError as error:
            assert "does not apply" in str(error)
            continue
        assert isinstance(figure, matplotlib.figure.Figure) and figure._repr_png_().startswith(b"\x89PNG")
    assert trained.plot("traversals_worst") is not None
    with pytest.raises(InputError, match="unknown plot 'scors'; did you mean 'scores'"):
        trained.plot("scors")
    with pytest.raises(InputError, match="does not apply to this sweep"):
        trained.plot("label_swaps")


def test_the_report_is_written_anew(trained, monkeypatch):
    monkeypatch.setattr(saving, "PLOTS", {"losses": jaxvae.report.PLOTS["losses"]})
    path = trained.report()
    assert path == trained.path / "report.html" and (trained.path / "figures" / "losses.png").exists()
    assert "data:image/png" in path.read_text()


def test_rows_are_what_pandas_takes(trained):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(trained.results)
    assert len(frame) == 6 and frame["mig"].dtype == float and set(frame["objective"]) == {"beta_vae", "factor_vae"}


def test_a_sweep_opened_again_shows_what_it_showed(trained, squares):
    opened = jaxvae.load_sweep(trained.path)
    assert opened.table() == trained.table() and opened._repr_html_() == trained._repr_html_()
    assert opened.plot("scores")._repr_png_() == trained.plot("scores")._repr_png_()
    with pytest.raises(InputError, match=r"trained on images in memory .'arrays'.*data="):
        opened.plot("traversals")
    data = jaxvae.data.from_arrays(squares["images"], factors=squares["factors"], factor_names=squares["factor_names"])
    assert opened.plot("kl_map", data=data)._repr_png_() == trained.plot("kl_map")._repr_png_()
    assert opened.plot("traversals")._repr_png_() == trained.plot("traversals")._repr_png_()


def test_rescoring_changes_the_value_and_not_the_folder(trained, squares):
    data = jaxvae.data.from_arrays(squares["images"], factors=squares["factors"])
    before = (trained.path / "results.csv").read_bytes()
    opened = jaxvae.load_sweep(trained.path)
    found = opened.rescore("active_units", data=data, say=lambda line: None)
    assert found is opened and "active_units" in opened.results[0] and "mig" not in opened.results[0]
    assert (trained.path / "results.csv").read_bytes() == before
    again = jaxvae.train(squares["images"], factors=squares["factors"], factor_names=squares["factor_names"], **SMALL,
                         **BOTH, **CRITIC, workdir=trained.path, say=None)  # fmt: skip
    kept = again.rescore("active_units", say=lambda line: None)
    assert {"active_units", "mig", "udr_lasso"} <= kept.results[0].keys()


def test_without_a_workdir_the_sweep_owns_a_temporary_one(squares):
    sweep = jaxvae.train(squares["images"], **SMALL, metrics="active_units", say=None)
    path, model = sweep.path, sweep.model(0)
    assert (path / "report.html").exists()
    del sweep
    gc.collect()
    assert not path.exists()
    assert model.encode(squares["images"][..., None])[0].shape == (32, 3)


FORMS = {
    "uint8 [N, H, W]": lambda x: x,
    "uint8 [N, H, W, C]": lambda x: x[..., None],
    "floats": lambda x: x / 255,
    "float32": lambda x: (x / 255).astype(np.float32)[..., None],
    "a JAX array": lambda x: jnp.asarray(x),
    "a list": lambda x: x.tolist() and [list(map(list, image)) for image in x / 255],
    "a Dataset": lambda x: jaxvae.data.from_arrays(x),
}


@pytest.mark.parametrize("form", FORMS)
def test_the_same_images_in_any_form_train_the_same_model(form, squares, trained_plain):
    sweep = jaxvae.train(FORMS[form](squares["images"]), **SMALL, metrics=(), say=None)
    for ours, theirs in zip(*(jax.tree.leaves(s.wave(0)[2]) for s in (sweep, trained_plain)), strict=True):
        assert ours.tobytes() == theirs.tobytes()


@pytest.fixture(scope="module")
def trained_plain(squares):
    return jaxvae.train(squares["images"], **SMALL, metrics=(), say=None)


def test_labels_and_other_images_to_score_on(squares):
    labels = squares["factors"][:, 0]
    sweep = jaxvae.train(squares["images"], labels=labels, eval_data=squares["images"][::2], eval_labels=labels[::2],
                         objective="label_guided_vae", **SMALL, metrics="active_units", say=None)  # fmt: skip
    assert "label_accuracy" in sweep.history and "active_units" in sweep.results[0]
    assert "other images" in (sweep.path / "report.html").read_text()


BAD = {
    "argument": (dict(stepss=3), "unknown argument of train 'stepss'; did you mean 'steps'"),
    "size": (dict(critic_width=8), "--critic_width=8 means nothing to objective beta_vae.*factor_vae"),
    "size's kind": (dict(objective="factor_vae", critic_width=8.5), "expected a whole number, such as 1000"),
    "size's range": (dict(objective="factor_vae", critic_width=0), "critic_width takes whole numbers from 1, got 0"),
    "objective": (dict(objective="beta_va"), "did you mean 'beta_vae'"),
    "axis": (dict(sweep={"betta": [1]}), "did you mean 'beta'"),
    "range": (dict(sweep={"beta": [-1]}), "beta takes numbers from 0, got -1"),
    "empty axis": (dict(sweep={"beta": []}), "the grid is empty"),
    "axis twice": (dict(sweep={"beta": [1, 1]}), "given twice"),
    "axis of words": (dict(sweep={"beta": ["many"]}), "must be finite numbers"),
    "list of axes": (dict(sweep=["beta=1"]), "expected a dictionary"),
    "factors of a name": (dict(data="mini_sprites", factors=[[1]]), "go with images in memory"),
    "data": (dict(data="mini_sprite"), "did you mean 'mini_sprites'"),
    "large floats": (dict(data=np.full((9, 8, 8), 255.0)), r"floats must be in \[0, 1\]"),
    "channel first": (dict(data=np.zeros((9, 3, 8, 8), np.uint8)), "channel-first"),
    "one image": (dict(data=np.zeros((8, 8), np.uint8)), r"\[N, H, W\]"),
    "both": (dict(factors=np.zeros((32, 1), int), labels=np.zeros(32, int)), "leave one out"),
    "other shape": (dict(eval_data=np.zeros((9, 4, 4), np.uint8)), "images of one shape"),
    "metric": (dict(metrics="migg"), "did you mean 'mig'"),
    "nowhere to go on": (dict(resume=True), "no sweep to continue"),
    "steps of words": (dict(steps="many"), "steps"),
    "half a step": (dict(steps=2.5), "steps"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_before_any_compile(case, squares, tmp_path, monkeypatch):
    changed, words = BAD[case]
    monkeypatch.setattr(jax, "jit", None)
    given = {"data": squares["images"], **SMALL, "workdir": tmp_path / "run", "say": None} | changed
    with pytest.raises(InputError, match=words) as caught:
        jaxvae.train(given.pop("data"), **given)
    assert "\n" not in str(caught.value)


def test_ctrl_c_saves_and_the_same_call_goes_on(squares, tmp_path, monkeypatch):
    asked = []

    def interrupt(*_):
        if not asked:  # a second one would stop at once
            asked.append(os.kill(os.getpid(), signal.SIGINT))

    call = {"objective": "factor_vae", **SMALL, **CRITIC, "metrics": (), "say": None}
    whole = jaxvae.train(squares["images"], **call, workdir=tmp_path / "whole")
    with monkeypatch.context() as patch:
        patch.setattr(loop.Progress, "show", interrupt)
        with pytest.raises(KeyboardInterrupt, match=r"saved in .*the same call with workdir="):
            jaxvae.train(squares["images"], **call, workdir=tmp_path / "cut")
        asked.clear()
        with pytest.raises(KeyboardInterrupt) as caught:
            jaxvae.train(squares["images"], **call)
    unfinished = jaxvae.load_sweep(tmp_path / "cut")
    assert not unfinished.results and 0 < unfinished.wave(0)[1][0]["step"] < 60
    kept = pathlib.Path(str(caught.value).split("workdir='")[1].split("'")[0])
    for path in (tmp_path / "cut", kept):
        going_on = jaxvae.train(squares["images"], **call, workdir=path)
        for ours, theirs in zip(*(jax.tree.leaves(s.wave(0)[2]) for s in (going_on, whole)), strict=True):
            assert ours.tobytes() == theirs.tobytes()


def test_a_thread_trains_too(squares):
    found = []
    thread = threading.Thread(
        target=lambda: found.append(jaxvae.train(squares["images"], **SMALL, metrics=(), say=None))
    )
    thread.start()
    thread.join()
    assert found[0].results[0]["status"] == "ok"


SCRIPT = """
import jax, jax.numpy as jnp, numpy as np, sys
{before}
import jaxvae
images = np.load({images!r})
jaxvae.report.saving.PLOTS = {{}}
sweep = jaxvae.train(images["images"], factors=images["factors"], objective="factor_vae", architecture="mlp",
                     sweep={{"seed": [0, 1]}}, steps=30, batch_size=8, latent_dim=3, critic_width=8, critic_depth=2,
                     lr=1e-3, metrics="mig,irs,factor_vae", lanes="map", say=None)
model = sweep.select(seed=1)
codes = model.encode(images["images"][..., None])[0]
print(codes.dtype, *sorted(sweep.results[1].items()), float(codes.sum()), float(model.traverse(codes[0]).sum()),
      *sorted(jaxvae.metrics.score(codes, images["factors"], names=("mig", "irs", "sap")).items()),
      *sorted(sweep.rescore("mig", say=str).results[0].items()), *sweep.latents(), *map(float, sweep.history["loss"]),
      sep="\\n")
"""


def script(images, before=""):
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(images=str(images), before=before)],
        env=os.environ | {"XLA_FLAGS": xla_flags(), "PYTHONPATH": str(ROOT)}, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0 and "checkpoint" not in done.stderr, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_script_after_jax_was_used_and_in_64_bits_gets_the_same_numbers(images):
    plain = script(images)
    assert plain[0] == "float32"
    changed = "jax.config.update('jax_enable_x64', True); jnp.ones(3).block_until_ready()"
    talkative = "from absl import logging; logging.set_verbosity(logging.INFO)"
    assert script(images, f"{changed}; {talkative}") == plain


@pytest.mark.slow
def test_a_notebook_cell_trains_and_shows_the_sweep(images, tmp_path):
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    small = "architecture='mlp', lanes='map', batch_size=8, latent_dim=3, lr=1e-3"
    cells = [
        f"import numpy as np, jaxvae\nimages = np.load({str(images)!r})['images']",
        f"sweep = jaxvae.train(images, {small}, sweep={{'beta': [1, 4]}}, steps=40, metrics='active_units')\nsweep",
        "sweep.plot('losses')",
        f"print(jaxvae.train(images, {small}, steps=10, metrics='active_units').table())",
        "import os, signal, threading\n"
        "threading.Timer(3, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        f"jaxvae.train(images, {small}, steps=10_000_000)",
        "print('still here')",
    ]
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    book.cells[4].metadata.tags = ["raises-exception"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "XLA_FLAGS": xla_flags()}
    nbclient.NotebookClient(book, timeout=240, resources={"metadata": {"path": str(tmp_path)}}).execute(env=environment)
    shown = book.cells[1].outputs
    (table,) = [output["data"]["text/html"] for output in shown if "data" in output]
    assert table.count("<tr>") == 3
    said = "".join(output.get("text", "") for output in shown)
    assert "step 40/40" in said and "report:" in said and "\x1b" not in said
    (drawn,) = [output["data"] for output in book.cells[2].outputs if "data" in output]
    assert "image/png" in drawn
    stopped = book.cells[4].outputs[-1]
    assert stopped["ename"] == "KeyboardInterrupt" and "saved in" in stopped["evalue"]
    assert book.cells[5].outputs[0]["text"] == "still here\n"
