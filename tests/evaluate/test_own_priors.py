"""KL, ELBO and traversals of a sweep against the prior that each lane was trained with, restated in NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

import jaxvae
from jaxvae import objectives
from jaxvae.evaluate.encoding import Encoded
from jaxvae.evaluate.ranking import rank
from jaxvae.evaluate.scoring import losses
from jaxvae.objectives import mixture, structured
from jaxvae.saved.model import Model
from jaxvae.types import Networks, Program
from jaxvae.workdir import logged
from jaxvae.workdir.tables import read_table
from tiny_sweep import run_in_process

SIZE, LATENTS = 8, 3
OWN = ("vade", "kl_sparse", "kl_student", "kl_anisotropic")


@pytest.fixture(scope="module")
def finished(tmp_path_factory, no_figures):
    folder, rng = tmp_path_factory.mktemp("priors"), np.random.default_rng(0)
    images = (rng.random((1500, SIZE, SIZE)) * 60).astype(np.uint8)
    for image, place in zip(images, rng.integers(0, 3, len(images)), strict=True):
        image[2 * place + 1 : 2 * place + 3] = 250
    np.savez(folder / "bars.npz", images=images)
    status = run_in_process(
        "--dataset=npz", f"--data_dir={folder / 'bars.npz'}", f"--objective=vae,{','.join(OWN)}",
        "--architecture=mlp", "--sweep=vade:pretrain_steps=100", "--sweep=kl_anisotropic:log_ratio=2,3",
        "--sweep=kl_anisotropic:learned=1", "--sweep=kl_student:df=3", "--latent_dim=3", "--batch_size=32",
        "--num_clusters=4", "--lr=3e-3", "--steps=200", "--eval_every=100", "--log_every=10", "--lanes=map",
        "--metrics=active_units", f"--workdir={folder / 'run'}",
    )  # fmt: skip
    assert status == 0
    return folder / "run", images[..., None].astype(np.float32) / 255


def log_prior(model, z):
    """log p(z) of codes [..., D], nats, of the prior that a model was trained with."""
    about, extra = model.about, model.networks.extra
    if about["objective"] == "vade":
        found = mixture.mixture_of(extra["kl_mixture"])
        parts = scipy.stats.norm.logpdf(z[..., None, :], found.means, np.exp(0.5 * np.asarray(found.logvars))).sum(-1)
        return np.logaddexp.reduce(found.log_weights + parts, axis=-1)
    if about["objective"] == "kl_sparse":
        share, scale = about["spike"], about["spike_scale"]
        slab, spike = (scipy.stats.norm.logpdf(z, 0, s) + np.log(p) for s, p in ((1, 1 - share), (scale, share)))
        return np.logaddexp(slab, spike).sum(-1)
    if about["objective"] == "kl_student":
        return scipy.stats.t.logpdf(z, about["df"]).sum(-1)
    if about["objective"] == "kl_anisotropic":
        hypers = {name: about[name] for name in ("log_ratio", "learned", "scale")}
        logvar = np.asarray(structured.anisotropic_logvar(extra["kl_anisotropic"], hypers))
        return scipy.stats.norm.logpdf(z, 0, np.exp(0.5 * logvar)).sum(-1)
    return scipy.stats.norm.logpdf(z).sum(-1)


def by_sampling(model, images, samples=400):
    """KL to the lane's own prior in nats, mean over images, with many samples of each posterior."""
    mean, logvar = (np.asarray(part, float) for part in model.encode(images))
    z = mean + np.exp(0.5 * logvar) * np.random.default_rng(1).normal(size=(samples, *mean.shape))
    return float((scipy.stats.norm.logpdf(z, mean, np.exp(0.5 * logvar)).sum(-1) - log_prior(model, z)).mean())


def test_the_kl_and_the_elbo_are_to_the_prior_that_a_lane_was_trained_with(finished):
    path, images = finished
    sweep = jaxvae.load_sweep(path)
    assert [row["objective"] for row in sweep.results] == ["vae", *OWN, OWN[-1]]
    for row in sweep.results:
        model = sweep.model(row["lane"])
        mean, logvar = (np.asarray(part, float) for part in model.encode(images))
        standard = float(0.5 * (mean**2 + np.exp(logvar) - logvar - 1).sum(-1).mean())
        assert row["elbo"] == pytest.approx(-row["reconstruction"] - row["kl"])
        assert row["kl_standard"] == pytest.approx(standard, rel=1e-3)
        own = by_sampling(model, images)
        if row["objective"] == "vade":  # of code and cluster together: a little more than that of the code
            assert own - 0.2 < row["kl"] < own + 0.7
        else:
            assert row["kl"] == pytest.approx(own, rel=0.03)
        if row["objective"] == "vae":
            assert row["kl"] == row["kl_standard"]
        else:
            assert abs(row["kl"] - standard) > 0.2, "this test tells nothing"
    # The ranking goes by it.
    _, ranked = rank(sweep.results)
    assert list(ranked) == sorted(range(6), key=lambda lane: -sweep.results[lane]["elbo"])


def test_the_history_and_the_curves_say_the_same(finished):
    path, _ = finished
    history = logged.as_columns(logged.read(path / "history.csv"))
    for row in read_table(path / "results.csv"):
        end = (history["lane"] == row["lane"]) & (history["step"] == 200)
        (elbo,) = history["elbo"][end][~np.isnan(history["elbo"][end])]
        assert elbo == pytest.approx(row["elbo"], rel=1e-5)
        for name in ("kl", "kl_standard")[: 1 + (row["objective"] != "vae")]:  # of the last batches of training
            (value,) = history[name][end][~np.isnan(history[name][end])]
            assert value == pytest.approx(row[name], rel=0.3)
    assert "prior_kl" not in history


def test_without_another_prior_there_is_one_kl(finished, tmp_path):
    path, _ = finished
    data = next(path.parent.glob("*.npz"))
    status = run_in_process(
        "--dataset=npz", f"--data_dir={data}", "--objective=free_bits_vae", "--architecture=mlp", "--latent_dim=3",
        "--batch_size=32", "--steps=4", "--log_every=2", "--lanes=map", "--metrics=active_units",
        f"--workdir={tmp_path / 'run'}",
    )  # fmt: skip
    assert status == 0
    (row,) = read_table(tmp_path / "run" / "results.csv")
    assert "kl_standard" not in row and "generalisation_gap" not in row
    assert row["elbo"] == pytest.approx(-row["reconstruction"] - row["kl"])


def test_a_hierarchy_has_no_kl_to_a_standard_normal():
    encoded = Encoded(None, None, np.array([5.0]), np.ones((1, 4)), np.array([4.0]), {})
    for architecture, standard in (("mlp", 4.0), ("nvae", None)):
        found = losses(Program(architecture, "vae", (SIZE, SIZE, 1)), encoded)
        assert found["kl_standard"] == standard and found["elbo"] == -9.0


@pytest.mark.parametrize(
    ("name", "hypers"),
    [
        ("kl", {}),
        ("kl_sparse", {"spike": 0.5}),
        ("kl_student", {"df": 8.0}),
        ("kl_anisotropic", {}),
        ("kl_mixture", {}),
    ],
)
def test_moments_are_those_of_samples(name, hypers):
    term = objectives.TERMS[name]
    program = Program("mlp", name, (SIZE, SIZE, 1), latent_dim=LATENTS, sizes={"num_clusters": 4})
    extra = term.init_extra(jax.random.key(1), program)
    extra = jax.tree.map(lambda leaf: leaf + 0.03 * jax.random.normal(jax.random.key(2), leaf.shape), extra)
    mean, deviation = objectives.prior_moments(program, {name: extra} if extra else {}, hypers)
    z = np.asarray(term.sample_prior(jax.random.key(3), (100_000, LATENTS), extra, term.hypers | hypers))
    np.testing.assert_allclose(mean, z.mean(0), atol=5 * z.std(0).max() / np.sqrt(len(z)))
    np.testing.assert_allclose(deviation, z.std(0), rtol=0.02)


def test_traversals_move_in_deviations_from_the_mean_of_the_models_own_prior(finished):
    path, _ = finished
    sweep = jaxvae.load_sweep(path)
    for objective in ("vae", "vade", "kl_sparse"):
        model = sweep.select(objective=objective)
        mean, deviation = objectives.prior_moments(model.program, model.networks.extra, model.about)
        codes = np.array([mean, mean])
        codes[:, 1] += np.array([-1.0, 2.0]) * np.asarray(deviation[1])
        np.testing.assert_allclose(model.traverse(values=(-1, 2))[1], model.decode(codes), atol=1e-6)
        if objective == "vade":
            assert float(jnp.abs(mean).max()) > 0.1, "this test tells nothing"


def test_models_of_which_less_is_known_can_be_traversed(finished):
    path, _ = finished
    model = jaxvae.load_sweep(path).select(objective="kl_sparse")
    forgotten = Model(model.program, model.networks, {})  # hypers at their defaults, as they were
    np.testing.assert_array_equal(forgotten.traverse(), model.traverse())
    unknown = dataclasses.replace(model.program, objective="of_a_plugin_that_is_gone")
    vade = dataclasses.replace(model.program, objective="vade")
    for program in (unknown, vade):  # the second without its mixture
        standard = Model(program, Networks(model.networks.variables, {}), {})
        codes = np.zeros((1, LATENTS), np.float32)
        codes[0, 2] = 1.5
        np.testing.assert_allclose(standard.traverse(values=[1.5])[2], standard.decode(codes), atol=1e-6)
