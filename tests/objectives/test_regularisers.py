"""Regularisers: identities, restatements in NumPy, gradients in float64, and what is refused at the door."""

import dataclasses
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import models, objectives
from jaxvae.asked import spec
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.models.vae import reparameterise, standard_normal_kl
from jaxvae.objectives import estimators
from jaxvae.objectives.base import Context, Objective
from jaxvae.objectives.hfvae import assign_groups
from jaxvae.objectives.label import cosine_decay, sigmoid_decay
from jaxvae.types import InputError, ModelOutput, Posterior, Program

BATCH, LATENTS, IMAGES = 12, 4, 500
WEIGHTS = (
    estimators.uniform_log_weights,
    estimators.stratified_log_weights,
    estimators.own_and_others_log_weights,
)
# Those of codes, not of networks.
REGULARISERS = [n for n, term in objectives.TERMS.items() if not (term.is_prior_term or term.needs_roughness)]
PRESETS = ("beta_tcvae", "dip_vae_i", "dip_vae_ii", "hfvae", "label_guided_vae")

# What is compiled here runs once or twice: optimising costs more than it saves. (Not for what runs inside another.)
jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)


def numbers(batch=BATCH, latents=LATENTS, seed=0):
    """Means, log-variances and noise [B, D] of a batch, float64."""
    rng = np.random.default_rng(seed)
    return rng.normal(0, 1, (batch, latents)), rng.normal(-1, 0.7, (batch, latents)), rng.normal(size=(batch, latents))


@jax.jit
def output(mean, logvar, noise):
    mean, logvar, noise = (jnp.asarray(a) for a in (mean, logvar, noise))
    q = Posterior(mean, logvar, mean + jnp.exp(0.5 * logvar) * noise, standard_normal_kl(mean, logvar))
    return ModelOutput(jnp.zeros((len(mean), 1, 1, 1)), q)


def context(batch=BATCH, latents=LATENTS, images=IMAGES, sizes=(), dtype="float32", now=0):
    program = Program(
        "mlp",
        "vae",
        (8, 8, 1),
        latent_dim=latents,
        batch_size=batch,
        dtype=dtype,
        sizes={"critic_width": 6, "critic_depth": 2},
        label_sizes=sizes,
    )
    rng = np.random.default_rng(9)
    labels = jnp.asarray(np.stack([rng.integers(0, s, batch) for s in sizes], -1) if sizes else np.zeros((batch, 0)))
    other = jnp.asarray(rng.normal(size=(batch, latents)))
    prior = lambda: jnp.roll(other, 1, 0)  # noqa: E731
    return Context(program, jnp.int32(now), images, jax.random.key(3), labels.astype(jnp.int32), lambda: other, prior)


def penalty(name, out, ctx, **changed):
    """Return the loss but for the likelihood, and the logs, of a whole objective without networks of its own."""
    hypers = {n: jnp.float32(v) for n, v in (objectives.objective(name).hypers() | changed).items()}
    return _penalty(name, out, hypers, len(out.q.z), ctx.num_images)


@functools.partial(jax.jit, static_argnums=(0, 3, 4))
def _penalty(name, out, hypers, batch, images):
    return objectives.objective(name).penalty(out, {}, {}, hypers, context(batch, images=images))


decompose = jit(estimators.decompose)


def log_density(z, mean, logvar):
    return -0.5 * (np.log(2 * np.pi) + logvar + (z - mean) ** 2 / np.exp(logvar))


def log_sum_exp(a):
    top = a.max()
    return top + np.log(np.exp(a - top).sum())


# Weights.


@pytest.mark.parametrize(("batch", "images"), [(2, 2), (2, 60), (16, 16), (16, 60), (64, 737_280)])
def test_stratified_weights_are_on_the_diagonal_and_rows_sum_to_one(batch, images):
    others = batch - 1
    stratified = np.exp(np.asarray(estimators.stratified_log_weights(batch, images), np.float64))
    np.testing.assert_allclose(stratified.sum(1), 1, rtol=2e-6)
    np.testing.assert_allclose(np.diagonal(stratified), 1 / images, rtol=2e-6)
    expected = np.sort([(images - others) / (images * others)] + [1 / others] * (batch - 2))
    for j, row in enumerate(stratified):
        np.testing.assert_allclose(np.sort(np.delete(row, j)), expected, rtol=3e-6)
    np.testing.assert_allclose(stratified.sum(0), 1, rtol=2e-6)  # no column is favoured either

    averaged = np.exp(np.asarray(estimators.own_and_others_log_weights(batch, images), np.float64))
    np.testing.assert_allclose(averaged.sum(1), 1, rtol=2e-6)
    np.testing.assert_allclose(np.diagonal(averaged), 1 / images, rtol=2e-6)
    # The same estimate in expectation: the others weigh as much in all.
    off = ~np.eye(batch, dtype=bool)
    np.testing.assert_allclose(averaged[off], stratified[off].mean(), rtol=3e-6)


# Decompositions of the KL.


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("groups", [None, (0, 1, 2, 3), (0, 0, 1, 1), (2, 0, 2, 2), (0, 0, 0, 0)])
def test_a_decomposition_is_its_restatement_and_sums_to_the_monte_carlo_kl(weights, groups):
    mean, logvar, noise = numbers()
    z = mean + np.exp(0.5 * logvar) * noise
    log_weights = np.asarray(weights(BATCH, IMAGES), np.float64)
    pairs = np.array([[log_density(z[j], mean[i], logvar[i]) for i in range(BATCH)] for j in range(BATCH)])
    of = groups or range(LATENTS)
    joint, by_group, by_latent = np.zeros((3, BATCH))
    for j in range(BATCH):
        joint[j] = log_sum_exp(log_weights[j] + pairs[j].sum(-1))
        for g in set(of):
            inside = [d for d in range(LATENTS) if of[d] == g]
            by_group[j] += log_sum_exp(log_weights[j] + pairs[j][:, inside].sum(-1))
        by_latent[j] = sum(log_sum_exp(log_weights[j] + pairs[j][:, d]) for d in range(LATENTS))
    own, prior = log_density(z, mean, logvar).sum(-1), log_density(z, 0.0, 0.0).sum(-1)
    expected = [(a - b).mean() for a, b in ((own, joint), (joint, by_group), (by_group, by_latent), (by_latent, prior))]

    with jax.enable_x64(True):
        q = output(mean, logvar, noise).q
        parts = decompose(q, jnp.asarray(log_weights), None if groups is None else jnp.asarray(groups))
        np.testing.assert_allclose(parts, expected, rtol=1e-12, atol=1e-12)
        assert float(sum(parts)) == pytest.approx((own - prior).mean(), rel=1e-12)
    single = decompose(output(*(a.astype(np.float32) for a in (mean, logvar, noise))).q, weights(BATCH, IMAGES))
    assert float(sum(single)) == pytest.approx((own - prior).mean(), rel=1e-5)


def test_total_correlation_does_not_depend_on_the_order_of_latents_or_images():
    mean, logvar, noise = numbers()
    rng = np.random.default_rng(1)
    latents, images = rng.permutation(LATENTS), rng.permutation(BATCH)
    for weights in WEIGHTS:
        given = decompose(output(mean, logvar, noise).q, weights(BATCH, IMAGES)).between
        moved = decompose(output(*(a[:, latents] for a in (mean, logvar, noise))).q, weights(BATCH, IMAGES))
        assert float(moved.between) == pytest.approx(float(given), abs=1e-5)
        if weights is not estimators.stratified_log_weights:  # which of the others is the odd one is by chance
            moved = decompose(output(*(a[images] for a in (mean, logvar, noise))).q, weights(BATCH, IMAGES))
            assert float(moved.between) == pytest.approx(float(given), abs=1e-5)


def test_total_correlation_is_that_of_a_correlated_gaussian():
    """Means N(0, S - s^2 I) under posteriors of variance s^2: q(z) = N(0, S), whose total correlation is known."""
    covariance = np.array([[1.0, 0.8, 0.3], [0.8, 1.0, 0.4], [0.3, 0.4, 1.0]])
    noise_variance, size = 0.15, 1500
    truth = -0.5 * np.linalg.slogdet(covariance)[1]
    pairs = -0.5 * math.log(1 - 0.8**2)  # between the first two latents
    rng = np.random.default_rng(0)
    mean = rng.multivariate_normal(np.zeros(3), covariance - noise_variance * np.eye(3), size)
    q = output(mean, np.full_like(mean, math.log(noise_variance)), rng.normal(size=mean.shape)).q

    whole = decompose(q, estimators.own_and_others_log_weights(size, size), jnp.array([0, 0, 1]))
    assert float(whole.within) == pytest.approx(pairs, abs=0.04)
    assert float(whole.between) == pytest.approx(truth - pairs, abs=0.04)
    # A batch out of many images, which the stratified weights are made for; its noise adds to the estimate's.
    batch = decompose(q, estimators.stratified_log_weights(size, 100 * size))
    assert float(batch.between) == pytest.approx(truth, abs=0.08)
    # Minibatch weights have the offset that their docstring states: with posteriors that overlap, (D-1) log N.
    offset = 2 * math.log(size)
    uniform = decompose(q, estimators.uniform_log_weights(size, size))
    assert float(uniform.between) - offset == pytest.approx(float(whole.between + whole.within), abs=1e-3)


def test_unit_weights_are_the_elbo_and_others_weigh_the_parts():
    out, ctx = output(*numbers()), context()
    kl = float(out.q.kl.sum(-1).mean())
    for name in ("beta_tcvae", "vae+tc_mss"):
        total, logs = penalty(name, out, ctx, alpha=1.0, beta=1.0, gamma=1.0)
        assert float(total) == pytest.approx(kl, rel=1e-6)
        monte_carlo = float(logs["mi"] + logs["tc"] + logs["dwkl"])
        total, logs = penalty(name, out, ctx, alpha=0.5, beta=6.0, gamma=2.0)
        # The paper's objective, with the closed-form KL in place of its estimate.
        weighed = float(0.5 * logs["mi"] + 6.0 * logs["tc"] + 2.0 * logs["dwkl"])
        assert float(total) == pytest.approx(weighed + kl - monte_carlo, rel=1e-5)
    total, logs = penalty("hfvae", out, ctx, alpha=1.0, beta=1.0, gamma=1.0, delta=1.0)
    assert float(total) == pytest.approx(kl, rel=1e-6)
    total, logs = penalty("hfvae", out, ctx, alpha=0.5, beta=6.0, gamma=3.0, delta=2.0)
    parts = [float(logs[name]) for name in ("mi", "tc_between", "tc_within", "dwkl")]
    assert float(total) == pytest.approx(np.dot([0.5, 6.0, 3.0, 2.0], parts) + kl - sum(parts), rel=1e-5)


def test_minibatch_weights_give_disentanglement_libs_objective():
    """Exact KL + (beta - 1) TC, whose log q(z) and log q(z_d) there lack log(B N)."""
    mean, logvar, noise = numbers()
    z = mean + np.exp(0.5 * logvar) * noise
    pairs = log_density(z[:, None], mean[None], logvar[None])
    joint = np.array([log_sum_exp(row) for row in pairs.sum(-1)])
    latents = np.array([sum(log_sum_exp(row[:, d]) for d in range(LATENTS)) for row in pairs])
    total, logs = penalty("beta_tcvae", output(mean, logvar, noise), context(), beta=4.0)
    constant = (LATENTS - 1) * math.log(BATCH * IMAGES)
    assert float(logs["tc"]) == pytest.approx((joint - latents).mean() + constant, rel=1e-5)
    kl = standard_normal_kl(mean, logvar).sum(-1).mean()
    assert float(total) == pytest.approx(float(kl) + 3.0 * ((joint - latents).mean() + constant), rel=1e-5)


def test_the_parts_are_the_closed_form_kl_in_expectation():
    mean, logvar, _ = numbers()

    def difference(key):
        q = output(mean, logvar, jax.random.normal(key, mean.shape)).q
        return q.kl.sum(-1).mean() - sum(estimators.decompose(q, estimators.stratified_log_weights(BATCH, IMAGES)))

    found = np.asarray(jax.jit(jax.vmap(difference))(jax.random.split(jax.random.key(0), 4000)))
    assert abs(found.mean()) < 4 * found.std() / 4000**0.5 and found.std() > 0.1


def test_hfvae_with_groups_of_one_is_beta_tcvae():
    mean, logvar, noise = numbers()
    q = output(mean, logvar, noise).q
    weights = estimators.stratified_log_weights(BATCH, IMAGES)
    ungrouped = decompose(q, weights)
    grouped = decompose(q, weights, assign_groups(LATENTS, 0.0, 1.0))
    np.testing.assert_allclose(grouped, ungrouped, atol=1e-5)
    assert float(grouped.within) == pytest.approx(0, abs=1e-5)
    # Of the terms too, up to which of the others is odd: with two images there is only one other.
    pair, small = output(*(a[:2] for a in (mean, logvar, noise))), context(batch=2)
    weighed = {"alpha": 0.5, "beta": 6.0}
    ours, _ = penalty("hfvae", pair, small, **weighed, gamma=9.0, delta=2.0, group_size=1.0)
    theirs, _ = penalty("vae+tc_mss", pair, small, **weighed, gamma=2.0)
    assert float(ours) == pytest.approx(float(theirs), rel=1e-5)


@pytest.mark.parametrize(
    ("first", "size", "groups"),
    [
        (0, 1, [0, 1, 2, 3, 4]),
        (0, 2, [0, 0, 1, 1, 2]),
        (0, 5, [0] * 5),
        (0, 9, [0] * 5),
        (3, 1, [0, 0, 0, 1, 2]),
        (1, 2, [0, 1, 1, 2, 2]),
        (9, 1, [0] * 5),
    ],
)
def test_groups_are_blocks_of_latents(first, size, groups):
    assert jax.jit(assign_groups, static_argnums=0)(5, jnp.float32(first), jnp.float32(size)).tolist() == groups


def test_groups_are_swept_in_one_program():
    out, ctx = output(*numbers()), context()
    sizes = jnp.array([1.0, 2.0, 3.0, 4.0])
    together = jax.jit(jax.vmap(lambda size: penalty("hfvae", out, ctx, gamma=3.0, group_size=size)[0]))(sizes)
    alone = [float(penalty("hfvae", out, ctx, gamma=3.0, group_size=float(size))[0]) for size in sizes]
    np.testing.assert_allclose(together, alone, rtol=1e-5)
    assert len(set(np.round(alone, 3))) == 4


# Covariance and kernels.


def test_dip_is_its_restatement():
    mean, logvar, noise = numbers()
    covariance = np.cov(mean.T, ddof=0)
    for name, matrix in (("dip_vae_i", covariance), ("dip_vae_ii", covariance + np.diag(np.exp(logvar).mean(0)))):
        expected = 0.0
        for i in range(LATENTS):
            for j in range(LATENTS):
                expected += 3.0 * matrix[i, j] ** 2 if i != j else 3.0 * 7.0 * (matrix[i, i] - 1.0) ** 2
        out = output(mean, logvar, noise)
        total, _ = penalty(name, out, context(), lambda_od=3.0, lambda_d_factor=7.0)
        assert float(total - out.q.kl.sum(-1).mean()) == pytest.approx(expected, rel=1e-5)


def test_mmd_is_its_restatement():
    rng = np.random.default_rng(0)
    z, p = rng.normal(0.3, 1.4, (BATCH, 2)), rng.normal(size=(BATCH, 2))
    expected = 0.0
    for d in range(2):
        for scale in (0.1, 0.2, 0.5, 1.0, 2.0, 5.0):
            for i in range(BATCH):
                for j in range(BATCH):
                    squared = ((a[i, d] - b[j, d]) ** 2 for a, b in ((z, z), (p, p), (z, p)))
                    zz, pp, zp = (2 * scale / (2 * scale + s) for s in squared)
                    expected += (zz + pp) / (BATCH * (BATCH - 1)) * (i != j) - 2 * zp / BATCH**2
    ours = jit(estimators.per_latent_mmd)
    with jax.enable_x64(True):
        assert float(ours(jnp.asarray(z), jnp.asarray(p))) == pytest.approx(expected, rel=1e-12)
    assert float(ours(jnp.asarray(z), jnp.asarray(p))) == pytest.approx(expected, rel=1e-4)


def test_mmd_is_zero_in_expectation_for_prior_samples_and_not_for_others():
    def statistic(key, scale):
        z, p = jax.random.normal(key, (2, 32, 3))
        return estimators.per_latent_mmd(scale * z, p)

    keys = jax.random.split(jax.random.key(0), 500)
    many = jit(jax.vmap(statistic, in_axes=(0, None)))
    same, wider = np.asarray(many(keys, 1.0)), np.asarray(many(keys, 2.0))
    assert abs(same.mean()) < 4 * same.std() / 500**0.5 and same.min() < 0
    assert wider.mean() > 20 * abs(same.mean()) and wider.mean() > 3 * same.std()


def test_mmd_measures_against_the_prior_of_the_prior_term():
    def wide(key, shape, extra, hypers):
        return hypers["beta"] * jax.random.normal(key, shape)

    kl, mmd = objectives.TERMS["kl"], objectives.TERMS["mmd"]
    with_wide_prior = Objective((dataclasses.replace(kl, sample_prior=wide), mmd))
    rng = np.random.default_rng(0)
    out = output(3.0 * rng.normal(size=(200, 3)), np.full((200, 3), -9.0), np.zeros((200, 3)))
    hypers = {"beta": 3.0, "mmd_weight": 1.0}
    near, far = jit(
        lambda: [
            o.penalty(out, {}, {}, hypers, context(200, 3))[1]["mmd"] for o in (with_wide_prior, Objective((kl, mmd)))
        ]
    )()
    assert abs(float(near)) < 0.1 < 1.0 < float(far)


# Labels.


def test_label_weights_fade():
    hypers = objectives.TERMS["label"].hypers
    at = jit(functools.partial(sigmoid_decay, hypers=hypers))
    assert [float(at(t)) for t in (0, 4000, 10**6)] == pytest.approx([20.0, 10.005, 0.01], rel=1e-5)
    steps = np.arange(0, 8000, 10)
    expected = 20 + (0.01 - 20) / (1 + np.exp(-0.1 * (steps - 4000.0)))
    np.testing.assert_allclose(at(jnp.asarray(steps)), expected, rtol=1e-4)
    assert np.isfinite(sigmoid_decay(jnp.int32(10**9), hypers | {"label_sharpness": 1e6}))

    hypers = objectives.TERMS["label_cosine"].hypers
    steps = np.arange(0, 12_000, 7)
    swings = 5 * (np.cos(np.pi * steps / 3000) + 1) * (1 + 0.7 / 3000) ** -steps.astype(float)
    expected = 3 + np.where(steps > 9000, 0, swings)
    np.testing.assert_allclose(cosine_decay(jnp.asarray(steps), hypers), expected, atol=2e-3)
    assert float(cosine_decay(jnp.int32(0), hypers)) == 13.0


def test_label_loss_is_the_cross_entropy_of_every_label_and_reaches_codes_and_classifier():
    sizes, term = (3, 5), objectives.TERMS["label"]
    ctx, out = context(sizes=sizes, now=100), output(*numbers())
    params = jit(lambda key: term.init_extra(key, ctx.program))(jax.random.key(0))

    def loss(params, z, weight):
        hypers = dict(term.hypers) | {"label_initial": weight, "label_final": 0.0}
        return term.penalty(out._replace(q=out.q._replace(z=z)), params, {}, hypers, ctx)

    value_and_grad = jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
    (value, logs), grads = value_and_grad(params, out.q.z, 20.0)
    hidden = np.asarray(out.q.z)
    for name in ("Dense_0", "Dense_1", "Dense_2"):
        before = hidden @ np.asarray(params[name]["kernel"]) + np.asarray(params[name]["bias"])
        hidden = np.where(before > 0, before, 0.2 * before)
    labels, expected, right = np.asarray(ctx.labels), 0.0, []
    for k, block in enumerate((before[:, :3], before[:, 3:])):
        for b in range(BATCH):
            expected += (log_sum_exp(block[b]) - block[b, labels[b, k]]) / BATCH
            right.append(block[b].argmax() == labels[b, k])
    assert float(logs["label_loss"]) == pytest.approx(expected, rel=1e-5)
    assert float(logs["label_accuracy"]) == pytest.approx(np.mean(right))
    assert float(value) == pytest.approx(20.0 * expected, rel=1e-5)

    _, unweighed = value_and_grad(params, out.q.z, 0.0)
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))
    assert all(np.abs(leaf).max() == 0 for leaf in jax.tree.leaves(unweighed))


# Every regulariser.

UNUSUAL = {"alpha": 0.5, "beta": 3.0, "gamma": 2.0, "delta": 1.5, "group_size": 3.0, "mmd_weight": 2.0}


@pytest.mark.parametrize("name", REGULARISERS)
def test_gradients_are_finite_differences_in_float64(name):
    term, (mean, logvar, noise) = objectives.TERMS[name], numbers(batch=6, latents=4)
    with jax.enable_x64(True):
        ctx = context(6, 4, sizes=(3,), dtype="float64")
        as_64 = functools.partial(jax.tree.map, lambda leaf: jnp.asarray(leaf, jnp.float64))
        made = jit(lambda key: [init(key, ctx.program) for init in (term.init_extra, term.init_critic)])
        extra, critic = as_64(made(jax.random.key(1)))
        hypers = {n: jnp.float64(UNUSUAL.get(n, v)) for n, v in term.hypers.items()}

        @jit
        @jax.vmap
        def value_and_grad(given):
            def value(given):
                return term.penalty(output(*given.reshape(2, 6, 4), noise), extra, critic, hypers, ctx)[0]

            return jax.value_and_grad(value)(given)

        point, step_size = np.concatenate([mean.ravel(), logvar.ravel()]), 1e-5
        steps = step_size * np.eye(point.size)
        values, grads = value_and_grad(jnp.asarray(np.concatenate([point + steps, point - steps, point[None]])))
        assert values.dtype == jnp.float64
        numerical = (values[: point.size] - values[point.size : -1]) / (2 * step_size)
        np.testing.assert_allclose(grads[-1], numerical, rtol=1e-6, atol=1e-8)
        assert np.abs(grads[-1]).max() > 1e-3


@pytest.mark.parametrize("name", [n for n in REGULARISERS if n not in ("tc_critic", "label", "label_cosine")])
def test_wild_posteriors_give_finite_losses_and_gradients(name):
    term = objectives.TERMS[name]
    mean, logvar, noise = (a.astype(np.float32) for a in numbers())
    mean[0], mean[1], logvar[2], logvar[3] = 1e4, -1e4, -300.0, 80.0

    def value(mean, logvar):
        return term.penalty(output(mean, logvar, noise), {}, {}, term.hypers, context())[0]

    value, grads = jit(jax.value_and_grad(value, (0, 1)))(mean, logvar)
    assert jnp.isfinite(value) and all(jnp.isfinite(g).all() for g in grads)


SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    templates = (rng.random((10, *SHAPE)) < 0.3).astype(np.uint8) * 255
    labels = np.tile(np.arange(10), 20)[:, None]
    return assemble("templates", np.tile(templates, (20, 1, 1, 1)), labels, ("label",), annotation="labels")


@pytest.mark.parametrize("name", PRESETS)
def test_bfloat16_arithmetic_stays_near_float32(name, in_bfloat16):
    for low in jax.tree.leaves(in_bfloat16[1][name]):
        assert low.dtype == jnp.float32 and jnp.isfinite(low)
    loss, low = (float(of[name][0]) for of in in_bfloat16)
    assert low == pytest.approx(loss, rel=0.02) and low != loss


@pytest.fixture(scope="module")
def in_bfloat16(data):
    """{preset: (penalty, logs)} in float32 and in bfloat16: codes of an mlp, then every preset's penalty of them."""
    program = Program("mlp", "vae", SHAPE, latent_dim=3, batch_size=16, label_sizes=data.factor_sizes)
    params = jit(models.build(program).init)(jax.random.key(0), jnp.zeros((1, *SHAPE)), jax.random.key(1))
    presets = {name: objectives.objective(name) for name in PRESETS}
    extra = jit(lambda key: {name: preset.init_extra(key, program) for name, preset in presets.items()})(
        jax.random.key(2)
    )

    @functools.partial(jit, static_argnums=0)
    def every(program):
        out = models.build(program).apply(params, data.batch(jnp.arange(16)), jax.random.key(3))
        ctx = Context(program, jnp.int32(9), len(data), jax.random.key(4), data.factors[:16], lambda: out.q.z)
        return {name: preset.penalty(out, extra[name], {}, preset.hypers(), ctx) for name, preset in presets.items()}

    return every(program), every(dataclasses.replace(program, dtype="bfloat16"))


def test_two_terms_that_log_the_same_name_are_told_apart():
    _, logs = jax.eval_shape(lambda: penalty("beta_tcvae+hfvae", output(*numbers()), context()))
    assert {"mi", "tc", "dwkl", "hfvae.mi", "hfvae.dwkl", "tc_between", "tc_within"} == set(logs)


def test_noise_is_scaled():
    mean, logvar, _ = numbers()
    none, usual, double = (reparameterise(jax.random.key(2), mean, logvar, scale) for scale in (0.0, 1.0, 2.0))
    np.testing.assert_allclose(none, mean, rtol=1e-6)
    np.testing.assert_allclose(double - mean, 2 * (usual - mean), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(reparameterise(jax.random.key(2), mean, logvar), usual)


# At the door.


def sweep(objective, *axes, batch_size=16):
    axes = tuple(spec.parse_axis(axis) for axis in axes)
    return spec.Spec(objectives=(objective,), architectures=("mlp",), batch_size=batch_size, sweep=axes, dataset="mine")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (sweep("label_guided_vae"), "needs labels for its term 'label', and 'mine' has none"),
        (sweep("kl+label_cosine"), "needs labels for its term 'label_cosine'"),
        (sweep("vae+tc_mss", batch_size=1), "too small for the term 'tc_mss'.*at least 2"),
        (sweep("hfvae", batch_size=1), "too small for the term 'hfvae'"),
        (sweep("hfvae", "group_size=1,1.5"), "group_size takes whole numbers from 1, got 1.5"),
        (sweep("hfvae", "first_group=-1"), "first_group takes whole numbers from 0"),
        (sweep("vae", "noise_scale=-1"), "noise_scale takes numbers from 0"),
        (sweep("label_guided_vae", "kl.beta=2"), "needs labels"),
    ],
)
def test_what_cannot_be_trained_is_refused(given, message):
    with pytest.raises(InputError, match=message):
        spec.expand(given, SHAPE, 200)


def test_label_sizes_reach_the_programs_that_read_them():
    for name, sizes in (("label_guided_vae", (10, 2)), ("beta_vae", ())):
        (group,) = spec.expand(sweep(name), SHAPE, 200, (10, 2))
        assert group.program.label_sizes == sizes
    with pytest.raises(InputError, match="needs labels"):
        objectives.TERMS["label"].init_extra(jax.random.key(0), group.program)
    (group,) = spec.expand(sweep("beta_tcvae", "beta=1,6", "noise_scale=0.5,1"), SHAPE, 200)
    assert group.num_lanes == 4 and set(group.hypers["beta"].tolist()) == {1.0, 6.0}


# Longer.


@pytest.mark.slow
@pytest.mark.parametrize("name", ["beta_tcvae", "vae+tc_mss", "hfvae"])
def test_small_batches_train_for_long(name, data):
    """Batch 16, 2,000 steps, at usual numbers and at a learning rate and a weight where training is rough."""
    program = Program("mlp", name, SHAPE, latent_dim=10, batch_size=16)
    size = 4
    hypers = {n: jnp.full(size, v, jnp.float32) for n, v in step.hyper_defaults(program).items()}
    hypers |= {"seed": jnp.arange(size, dtype=jnp.uint32), "lr": jnp.float32([1e-4, 1e-3, 1e-2, 1e-2])}
    hypers |= {"beta": jnp.float32([6.0, 6.0, 6.0, 100.0])}

    @jax.jit
    @jax.vmap
    def train(hypers):
        def body(state, _):
            state, logs = step.train_step(program, data, hypers, state)
            return state, logs["loss"]

        return jax.lax.scan(body, step.init_state(program, hypers), None, 2000)

    state, losses = train(hypers)
    assert state.status.tolist() == [-1] * size and state.step.tolist() == [2000] * size
    assert np.isfinite(losses).all()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    assert (losses[:2, -100:].mean(1) < losses[:2, :20].mean(1)).all()
