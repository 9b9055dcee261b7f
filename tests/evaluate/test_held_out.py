"""Sweeps with images held out: who is trained on what, scored on what, and what is told of both."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxvae
from jaxvae import evaluate
from jaxvae.evaluate.objective_loss import loss_in_place
from jaxvae.types import InputError, Program
from tiny_sweep import run_in_process

pytestmark = pytest.mark.usefixtures("no_figures")

CHOICES = {
    **{"architecture": "mlp", "latent_dim": 3, "batch_size": 8, "lr": 3e-3, "steps": 60, "log_every": 20},
    **{"eval_every": 30, "metrics": "active_units", "lanes": "map", "sweep": {"beta": [1, 4]}, "say": None},
}


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = (rng.random((150, 8, 8)) * 90).astype(np.uint8)
    labels = rng.integers(0, 3, 150)
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 1 : 2 * label + 3] = 250
    return jaxvae.data.from_arrays(images, labels=labels)


@pytest.fixture(scope="module")
def finished(data, tmp_path_factory):
    return jaxvae.train(data, validation=0.3, seed=5, **CHOICES, workdir=tmp_path_factory.mktemp("runs") / "split")


def test_lanes_are_trained_on_what_is_kept_and_scored_on_what_is_held_out(finished, data):
    kept, held_out = jaxvae.data.split_off(data, 0.3, 5)
    by_hand = jaxvae.train(kept, eval_data=held_out, seed=5, **CHOICES)
    assert [row["seed"] for row in finished.results] == [5, 5]
    assert by_hand.results == finished.results
    for ours, theirs in zip(*(jax.tree.leaves(s.wave(0)[2]) for s in (finished, by_hand)), strict=True):
        assert ours.tobytes() == theirs.tobytes()
    page = (finished.path / "report.html").read_text()
    assert "45 images held out of the images given, 0.3 of it" in page


def test_seeds_of_lanes_leave_the_split_alone(data):
    sweep = jaxvae.train(data, validation=0.3, **CHOICES | {"sweep": {"seed": [0, 7]}, "steps": 2, "eval_every": 0})
    _, held_out = jaxvae.data.split_off(data, 0.3, 0)
    images = held_out.batch(np.arange(len(held_out)))
    for row in sweep.results:
        mean, logvar = (np.asarray(part, float) for part in sweep.model(row["lane"]).encode(images))
        assert row["kl"] == pytest.approx(0.5 * (mean**2 + np.exp(logvar) - logvar - 1).sum(-1).mean(), rel=1e-4)


def test_the_gap_is_the_elbo_of_training_images_less_that_of_the_others(finished, data):
    kept, held_out = jaxvae.data.split_off(data, 0.3, 5)
    there, here = (evaluate.rescore(finished, names=(), data=part, say=str).lanes for part in (kept, held_out))
    for row, trained, other in zip(finished.results, there, here, strict=True):
        assert row["generalisation_gap"] == pytest.approx(trained["elbo"] - other["elbo"], abs=1e-4)
        assert row["elbo"] == pytest.approx(other["elbo"], rel=1e-6)
        assert "generalisation_gap" not in other, "nothing is known of the training set"


def test_the_history_has_the_kl_and_the_weighted_total_of_what_is_held_out(finished):
    history = finished.history
    for row in finished.results:
        end = (history["lane"] == row["lane"]) & (history["step"] == 60)
        last = {name: history[name][end][0] for name in ("reconstruction", "elbo", "eval_kl", "eval_loss")}
        assert last["eval_kl"] == pytest.approx(row["kl"], rel=1e-5)
        assert last["eval_kl"] == pytest.approx(-last["elbo"] - last["reconstruction"], rel=1e-4)
        # 40 of the 45 images, and noise of another draw.
        total = last["reconstruction"] + row["beta"] * last["eval_kl"]
        assert last["eval_loss"] == pytest.approx(total, rel=0.05)
    assert np.isfinite(history["eval_loss"][np.isin(history["step"], [30, 60])]).all()


def test_an_objective_that_is_told_other_labels_has_no_weighted_total(data):
    told = Program("mlp", "label_guided_vae", (8, 8, 1), label_sizes=(3,))
    others = [dataclasses.replace(data, factor_sizes=(2,)), dataclasses.replace(data, factor_values=((3, 5, 7),))]
    for other in others:
        assert np.isnan(loss_in_place(told, {"seed": np.zeros(4)}, None, other, data)).tolist() == [True] * 4


def test_statistics_of_latents_are_numpys(finished, data):
    _, held_out = jaxvae.data.split_off(data, 0.3, 5)
    # Two batches, the second of which is not full.
    shown = evaluate.rescore(finished, names=(), data=data, say=str)
    for lane, kl in enumerate(shown.kl_per_latent):
        mean, logvar = (np.asarray(part, float) for part in finished.model(lane).encode(data.batch(np.arange(150))))
        expected = {
            "mean": mean.mean(0),
            "absolute_mean": np.abs(mean).mean(0),
            "variance_of_mean": mean.var(0),
            "posterior_variance": np.exp(logvar).mean(0),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(shown.latent_statistics[name][lane], values, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(0.5 * (mean**2 + np.exp(logvar) - logvar - 1).mean(0), kl, rtol=1e-4, atol=1e-6)
    rows = jaxvae.load_sweep(finished.path).latents(data=held_out)
    assert [(row["lane"], row["beta"], row["latent"]) for row in rows] == [
        (lane, beta, latent) for lane, beta in enumerate((1.0, 4.0)) for latent in range(3)
    ]
    mean = np.asarray(finished.model(1).encode(held_out.batch(np.arange(45)))[0], float)
    assert rows[5]["variance_of_mean"] == pytest.approx(mean[:, 2].var(), rel=1e-4)


def test_a_named_data_set_is_split_again_where_a_sweep_is_opened(images, tmp_path):
    flags = (
        "--dataset=npz", f"--data_dir={images}", "--architecture=mlp", "--latent_dim=3", "--batch_size=8", "--steps=4",
        "--lanes=map", "--validation=0.25", "--seed=3", "--metrics=active_units", f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert run_in_process(*flags) == 0
    sweep = jaxvae.load_sweep(tmp_path / "run")
    again = evaluate.evaluation_set(sweep)
    assert len(again) == 8 and not again.complete_grid
    before = sweep.results[0]
    assert sweep.rescore("active_units", say=str).results[0] == before and "generalisation_gap" in before
    assert run_in_process(f"--workdir={tmp_path / 'run'}", "--metrics=active_units") == 0
    assert jaxvae.load_sweep(tmp_path / "run").results[0] == before
    assert run_in_process(*flags, "--validation=0.5") == 2, "another split is another sweep"


BAD = {
    "share": ({"validation": 1.0}, r"--validation must be a share of the training images in 0 … 1"),
    "negative": ({"validation": -0.1}, r"--validation must be a share"),
    "nothing left": ({"validation": 0.001}, "holds out 0 and leaves 150"),
    "small": (
        {"validation": 0.9, "batch_size": 16},
        "more than the 15 images of 'arrays' that --validation=0.9 leaves",
    ),
    "two answers": ({"validation": 0.1, "eval_data": np.zeros((9, 8, 8), np.uint8)}, "leave one out"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_input_is_one_line_before_any_compile(case, data, monkeypatch):
    changed, words = BAD[case]
    monkeypatch.setattr(jax, "jit", None)
    with pytest.raises(InputError, match=words) as caught:
        jaxvae.train(data, **CHOICES | changed)
    assert "\n" not in str(caught.value)
