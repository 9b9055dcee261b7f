"""Prior terms: identities, floors, structured priors, VaDE's mixture, and that they do what they are for on digits."""

import dataclasses
import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
import scipy.stats

from jaxvae import data as datasets
from jaxvae import models, objectives
from jaxvae.asked import spec
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.metrics import cluster_accuracy
from jaxvae.models.vae import standard_normal_kl
from jaxvae.objectives import mixture, structured
from jaxvae.types import Factors, InputError, ModelOutput, Posterior, Program

SHAPE = (8, 8, 1)
LATENTS, BATCH = 3, 16
PRIORS = [name for name, term in objectives.TERMS.items() if term.is_prior_term]


def program(objective="vade", num_clusters=10, **changed):
    sizes = {"critic_width": 8, "critic_depth": 2, "num_clusters": num_clusters}
    return Program("mlp", objective, SHAPE, latent_dim=LATENTS, batch_size=BATCH, sizes=sizes, **changed)


def posterior(mean, logvar, noise):
    z = mean + jnp.exp(0.5 * logvar) * noise
    return ModelOutput(jnp.zeros(()), Posterior(mean, logvar, z, standard_normal_kl(mean, logvar)))


def arrays(seed=0, batch=BATCH):
    """Return means, log-variances and noise [B, D]."""
    rng = np.random.default_rng(seed)
    return (
        rng.normal(size=(batch, LATENTS)),
        rng.normal(-1, 1, size=(batch, LATENTS)),
        rng.normal(size=(batch, LATENTS)),
    )


def context(now=10**6, labels=None):
    labels = np.zeros((BATCH, 0), np.int32) if labels is None else labels
    return objectives.Context(program(), jnp.int32(now), 100, jax.random.key(0), jnp.asarray(labels), lambda: None)


def extra_of(term, **changed):
    start = term.init_extra(jax.random.key(1), program(**changed))
    return jax.tree.map(lambda leaf: leaf + 0.03 * jax.random.normal(jax.random.key(2), leaf.shape), start)


@functools.partial(jax.jit, static_argnums=0)
def _penalty(name, out, extra, now, labels, hypers):
    return objectives.TERMS[name].penalty(out, extra, {}, hypers, context(now, labels))


def penalty(name, out, extra=None, now=10**6, labels=None, **changed):
    term = objectives.TERMS[name]
    extra = extra_of(term) if extra is None else extra
    return _penalty(name, out, extra, now, labels, {**term.hypers, **changed})


def random_output(**given):
    return posterior(*(jnp.asarray(a, jnp.float32) for a in arrays(**given)))


@pytest.mark.parametrize("name", PRIORS)
def test_gradients_equal_finite_differences_in_float64(name):
    with jax.enable_x64(True):
        term = objectives.TERMS[name]
        mean, logvar, noise = (jnp.asarray(a) for a in arrays())
        extra = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), extra_of(term))
        # Numbers away from limits, so that each of them plays its part.
        hypers = {"log_ratio": 1.5, "learned": 0.7, "scale": 2.0, "df": 5.0, "spike": 0.3, "spike_scale": 0.4}
        hypers = {n: jnp.float64(hypers.get(n, v)) for n, v in term.hypers.items()}

        @jax.jit
        def value(at):
            return term.penalty(posterior(at["mean"], at["logvar"], noise), at["extra"], {}, hypers, context())[0]

        at = {"mean": mean, "logvar": logvar, "extra": extra}
        gradient = jax.jit(jax.grad(value))(at)
        for leaf, direction in enumerate(("mean", "logvar", *extra)):
            where = at if direction in at else extra
            move = np.random.default_rng(leaf).normal(size=where[direction].shape)

            def moved(size, direction=direction, move=move, where=where):
                new = {**where, direction: where[direction] + size * move}
                return value(new if where is at else {**at, "extra": new})

            slope = (moved(3e-6) - moved(-3e-6)) / 6e-6
            found = gradient if where is at else gradient["extra"]
            assert float(jnp.vdot(found[direction], move)) == pytest.approx(float(slope), rel=1e-6, abs=1e-8)


def test_doubling_the_image_doubles_the_reconstruction_and_doubling_the_batch_leaves_the_penalties():
    rng = np.random.default_rng(0)
    logits, images = rng.normal(size=(4, 6, 6, 1)), rng.random((4, 6, 6, 1))
    for likelihood in models.LIKELIHOODS.values():
        small, large = (
            likelihood.nll(
                *(jnp.asarray(np.tile(a, (1, n, 1, 1)), jnp.float32) for a in (logits, images)),
                likelihood.hypers | {"sigma": jnp.float32(0.5)},
            )
            for n in (1, 2)
        )
        np.testing.assert_allclose(large, 2 * small, rtol=1e-5)
    one = random_output()
    two = ModelOutput(one.logits, Posterior(*(jnp.tile(a, (2, 1)) for a in one.q)))
    extras = {name: extra_of(objectives.TERMS[name]) for name in PRIORS}
    every = jax.jit(lambda out: {name: penalty(name, out, extras[name])[0] for name in PRIORS})
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5), every(two), every(one))


# --- floors and |mean| ------------------------------------------------------------------------------------------------


def test_free_bits_has_no_gradient_below_the_floor_and_the_kls_above_it():
    mean, logvar, noise = (jnp.asarray(a, jnp.float32) for a in arrays())
    mean = mean * jnp.array([0.1, 1.0, 3.0])
    logvar = logvar * jnp.array([0.1, 1.0, 1.0])
    kl = standard_normal_kl(mean, logvar).mean(0)
    floor = float(kl[0] + kl[1]) / 2  # the first latent is under it

    def of(name):
        return jax.grad(
            lambda mean, logvar: penalty(name, posterior(mean, logvar, noise), floor=floor, beta=2.0)[0], (0, 1)
        )

    free, plain = (
        of("free_bits")(mean, logvar),
        jax.grad(lambda mean, logvar: 2 * standard_normal_kl(mean, logvar).sum(-1).mean(), (0, 1))(mean, logvar),
    )
    for found, expected in zip(free, plain, strict=True):
        assert (found[:, 0] == 0).all() and (expected[:, 0] != 0).any()
        np.testing.assert_allclose(found[:, 1:], expected[:, 1:], rtol=1e-6)
    # Clipping decides image by image.
    under = standard_normal_kl(mean, logvar) < floor
    assert under[:, 1:].any() and not under.all(0)[1:].any()
    for found, expected in zip(of("kl_clip")(mean, logvar), plain, strict=True):
        np.testing.assert_array_equal(np.asarray(found)[under], 0)
        np.testing.assert_allclose(np.asarray(found)[~under], np.asarray(expected)[~under], rtol=1e-6)


def test_the_mean_is_inside_the_maximum_of_free_bits_and_outside_that_of_clipping():
    kl = jnp.asarray([[0.0, 4.0, 0.0], [2.0, 0.0, 0.0]])
    out = ModelOutput(jnp.zeros(()), Posterior(kl, kl, kl, kl))
    # Means of the latents: 1, 2 and 0; floor 1.5.
    value, logs = penalty("free_bits", out, floor=1.5, beta=3.0)
    assert float(value) == pytest.approx(3 * (1.5 + 2.0 + 1.5)) and float(logs["above_floor"]) == 1
    value, logs = penalty("kl_clip", out, floor=1.5, beta=3.0)
    assert float(value) == pytest.approx(3 * ((1.5 + 4) + (2 + 1.5) + 3) / 2)
    assert float(logs["above_floor"]) == pytest.approx(1 / 3)
    for name in ("free_bits", "kl_clip"):
        assert float(penalty(name, out, floor=0.0)[0]) == pytest.approx(float(kl.sum(-1).mean()))


def test_kl_l1_by_hand():
    mean, logvar = jnp.asarray([[3.0, -1.0], [0.0, 0.5]]), jnp.log(jnp.asarray([[1.0, 2.0], [0.5, 1.0]]))
    value, logs = penalty("kl_l1", posterior(mean, logvar, jnp.zeros((2, 2))), beta=10.0)
    by_hand = 0.5 * np.mean([3 + 1 - 0 - 1, 1 + 2 - np.log(2) - 1, 0 + 0.5 + np.log(2) - 1, 0.5 + 1 - 0 - 1])
    assert float(logs["kl_l1"]) == pytest.approx(by_hand, rel=1e-6)
    assert float(value) == pytest.approx(10 * by_hand, rel=1e-6)


# --- structured priors ------------------------------------------------------------------------------------------------


def test_the_anisotropic_prior_with_unit_scales_is_the_standard_normal():
    out = random_output()
    flat = {"logits": jnp.zeros(LATENTS)}
    value, logs = penalty("kl_anisotropic", out, flat, log_ratio=0.0, beta=1.0)
    assert float(value) == pytest.approx(float(out.q.kl.sum(-1).mean()), rel=1e-6)
    assert float(logs["variance_ratio"]) == pytest.approx(1.0)
    # Elsewhere the closed form is that of scipy-checked densities: KL = -H(q) - E_q log p, by quadrature in one latent.
    variances = np.exp(structured.anisotropic_logvar(flat, {"log_ratio": 1.2, "learned": 0.0, "scale": 0.5}))
    assert variances.mean() == pytest.approx(0.5, rel=1e-6)
    assert variances[0] / variances[-1] == pytest.approx(np.exp(1.2), rel=1e-5)
    value, _ = penalty("kl_anisotropic", out, flat, log_ratio=1.2, scale=0.5)
    assert float(value) == pytest.approx(
        by_quadrature(out, lambda z, d: scipy.stats.norm.logpdf(z, 0, np.sqrt(variances[d]))), rel=1e-4
    )
    # Only where it is asked for are the variances trained.
    for learned in (0.0, 1.0):
        slope = jax.grad(lambda extra, w=learned: penalty("kl_anisotropic", out, extra, learned=w)[0])(flat)["logits"]
        assert (jnp.abs(slope).max() > 0) == bool(learned)


def by_quadrature(out, log_prior, width=9.0, points=4001):
    """Return mean_b sum_d KL(N(mean, var) || prior) by the trapezium rule in float64."""
    mean, scale = np.asarray(out.q.mean, float)[..., None], np.exp(0.5 * np.asarray(out.q.logvar, float))[..., None]
    z = mean + scale * np.linspace(-width, width, points)
    log_q = scipy.stats.norm.logpdf(z, mean, scale)
    log_p = np.stack([log_prior(z[:, d], d) for d in range(z.shape[1])], axis=1)
    return np.trapezoid(np.exp(log_q) * (log_q - log_p), z, axis=-1).sum(-1).mean()


@pytest.mark.parametrize(
    ("name", "hypers", "density"),
    [
        ("kl_sparse", {"spike": 0.0}, lambda z: scipy.stats.norm.logpdf(z)),
        ("kl_sparse", {"spike": 1.0, "spike_scale": 0.5}, lambda z: scipy.stats.norm.logpdf(z, 0, 0.5)),
        (
            "kl_sparse",
            {"spike": 0.8, "spike_scale": 0.05},
            lambda z: np.logaddexp(
                np.log(0.2) + scipy.stats.norm.logpdf(z), np.log(0.8) + scipy.stats.norm.logpdf(z, 0, 0.05)
            ),
        ),
        ("kl_student", {"df": 2.5}, lambda z: scipy.stats.t.logpdf(z, 2.5)),
        ("kl_student", {"df": 1e8}, lambda z: scipy.stats.norm.logpdf(z)),
    ],
)
def test_sampled_kls_agree_with_quadrature_and_have_finite_gradients(name, hypers, density):
    samples = 4000
    mean, logvar, _ = arrays(batch=4)
    noise = np.random.default_rng(5).normal(size=(samples, 4, LATENTS))
    given = tuple(jnp.asarray(a, jnp.float32) for a in (mean, logvar))

    @jax.jit
    def estimates(mean, logvar):
        return jax.vmap(lambda eps: penalty(name, posterior(mean, logvar, eps), **hypers)[0])(
            jnp.asarray(noise, jnp.float32)
        )

    found = np.asarray(estimates(*given))
    exact = by_quadrature(posterior(*given, 0.0), lambda z, d: density(z))
    assert found.mean() == pytest.approx(exact, abs=4 * found.std() / np.sqrt(samples))
    slopes = jax.grad(lambda *a: estimates(*a).mean(), (0, 1))(*given)
    assert all(jnp.isfinite(s).all() and (s != 0).any() for s in slopes)


def test_students_density_in_float32_at_few_and_many_degrees_of_freedom():
    z = np.linspace(-6, 6, 41)
    for df in (0.5, 1.0, 9.0, 59.9, 60.1, 1e3, 1e5, 1e7):
        found = structured.student_log_density(jnp.asarray(z, jnp.float32), jnp.float32(df))
        np.testing.assert_allclose(found, scipy.stats.t.logpdf(z, np.float32(df)), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("kl", 1.0),
        ("kl_sparse", 0.2 + 0.8 * 0.05**2),
        ("kl_student", 9 / 7),
        ("kl_anisotropic", None),
        ("kl_mixture", None),
    ],
)
def test_codes_drawn_from_a_prior_have_its_variance(name, variance):
    term = objectives.TERMS[name]
    extra = extra_of(term)
    z = np.asarray(term.sample_prior(jax.random.key(3), (40_000, LATENTS), extra, term.hypers))
    if name == "kl_anisotropic":
        variance = np.exp(structured.anisotropic_logvar(extra, term.hypers))
    if name == "kl_mixture":
        found = mixture.mixture_of(extra)
        weights = np.exp(found.log_weights)[:, None]
        centre = (weights * found.means).sum(0)
        variance = (weights * (np.exp(found.logvars) + found.means**2)).sum(0) - centre**2
        np.testing.assert_allclose(z.mean(0), centre, atol=5 * np.sqrt(variance.max() / len(z)))
    np.testing.assert_allclose(z.var(0), np.broadcast_to(variance, LATENTS), rtol=0.05)


def test_every_term_is_handed_codes_of_the_objectives_own_prior():
    seen = {}

    def look(out, extra, critic, hypers, ctx):
        seen["codes"] = ctx.prior_codes()
        return jnp.float32(0.0), {}

    other = objectives.Term("other", {}, look, "none")
    objective = objectives.Objective((objectives.TERMS["kl_anisotropic"], other), defaults={"log_ratio": 20.0})
    extra = {"kl_anisotropic": {"logits": jnp.zeros(LATENTS)}}
    objective.penalty(random_output(), extra, {}, objective.hypers(), context())
    spread = np.asarray(seen["codes"]).std(0)
    assert seen["codes"].shape == (BATCH, LATENTS) and spread[0] > 100 * spread[1] > 1000 * spread[2] * 0.9


@pytest.mark.parametrize("name", ["kl_mixture", "kl_anisotropic"])
def test_a_learned_prior_is_trained_by_its_own_term_alone(name):
    """MMD draws codes to samples of the prior; the samples are constants."""
    out, extra = random_output(), {name: extra_of(objectives.TERMS[name])}

    def slope(chosen, wanted):
        objective = objectives.objective(chosen)
        hypers = {n: jnp.float32(v) for n, v in (objective.hypers() | {"learned": 1.0, "mmd_weight": 100.0}).items()}

        def value(mean, extra):
            moved = posterior(mean, out.q.logvar, (out.q.z - out.q.mean) * jnp.exp(-0.5 * out.q.logvar))
            return objective.penalty(moved, extra, {}, hypers, context(now=0))[0]

        return jax.jit(jax.grad(value, wanted))(out.q.mean, extra)

    alone, beside = (slope(chosen, 1) for chosen in (name, f"{name}+mmd"))
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7), beside, alone)
    assert float(jnp.abs(slope(f"{name}+mmd", 0) - slope(name, 0)).max()) > 0.1  # codes are drawn


# --- VaDE -------------------------------------------------------------------------------------------------------------


def test_vade_with_one_standard_normal_cluster_is_the_vae():
    extra = jax.tree.map(
        jnp.zeros_like, objectives.TERMS["kl_mixture"].init_extra(jax.random.key(0), program(num_clusters=1))
    )
    mean, logvar, noise = (jnp.asarray(a, jnp.float32) for a in arrays())

    def of(name, **given):
        return lambda mean, logvar: penalty(name, posterior(mean, logvar, noise), beta=1.0, **given)[0]

    found, expected = of("kl_mixture", extra=extra), of("kl")
    np.testing.assert_allclose(found(mean, logvar), expected(mean, logvar), rtol=1e-6)
    for a, b in zip(*(jax.grad(f, (0, 1))(mean, logvar) for f in (found, expected)), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


def test_vades_kl_is_that_of_joint_densities():
    """E[log q(z|x) + log q(c|z) - log p(z, c)] with q(c|z) held at its value at one z, by summing over clusters."""
    out, extra = random_output(), extra_of(objectives.TERMS["kl_mixture"])
    found = mixture.mixture_of(extra)
    weights, means, scales = np.exp(found.log_weights), np.asarray(found.means), np.exp(0.5 * np.asarray(found.logvars))
    assert weights.sum() == pytest.approx(1.0, rel=1e-6)
    z, mean, scale = (np.asarray(a, float) for a in (out.q.z, out.q.mean, np.exp(0.5 * out.q.logvar)))
    joint = weights * np.prod(scipy.stats.norm.pdf(z[:, None], means, scales), axis=-1)
    r = joint / joint.sum(1, keepdims=True)
    apart = (
        np.log(scales / scale[:, None]) + (scale[:, None] ** 2 + (mean[:, None] - means) ** 2) / (2 * scales**2) - 0.5
    ).sum(-1)
    expected = (r * (apart + np.log(r) - np.log(weights))).sum(-1)
    kl, responsibilities = mixture.mixture_kl(found, out)
    np.testing.assert_allclose(responsibilities, r, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(kl, expected, rtol=1e-4)


def test_pretraining_trains_the_vae_alone_and_fits_the_mixture_to_its_codes():
    term = objectives.TERMS["kl_mixture"]
    mean, logvar, noise = (jnp.asarray(a, jnp.float32) for a in arrays())
    extra = extra_of(term)

    def value(mean, logvar, extra, now):
        return penalty(
            "kl_mixture", posterior(mean, logvar, noise), extra, now, pretrain_steps=100.0, pretrain_beta=0.3
        )[0]

    slope = jax.jit(jax.grad(value, (0, 1, 2)))
    slopes = {now: slope(mean, logvar, extra, now) for now in (99, 100)}
    out = posterior(mean, logvar, noise)
    # Before: the VAE has its own weighted KL, and the value knows nothing of the mixture ...
    assert float(value(mean, logvar, extra, 99)) == pytest.approx(0.3 * float(out.q.kl.sum(-1).mean()), rel=1e-5)
    plain = jax.grad(lambda mean, logvar: 0.3 * standard_normal_kl(mean, logvar).sum(-1).mean(), (0, 1))(mean, logvar)
    for a, b in zip(slopes[99][:2], plain, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)
    # ... which is fitted to the codes, once they are about where they will be.
    fit = jax.grad(lambda extra: mixture.fit_loss(extra, mean, out.q.z, 0.99))(extra)
    jax.tree.map(functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-6), slopes[99][2], fit)
    assert all(float(jnp.abs(leaf).max()) > 1e-3 for leaf in jax.tree.leaves(fit))
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(slope(mean, logvar, extra, 39)[2]))
    # From then on the mixture is the prior.
    assert float(value(mean, logvar, extra, 100)) == pytest.approx(
        float(mixture.mixture_kl(mixture.mixture_of(extra), out)[0].mean()), rel=1e-5
    )
    assert float(jnp.abs(slopes[100][0] - slopes[99][0]).max()) > 1e-3


def test_cold_fits_are_k_means_and_variances_have_no_say_in_which_codes_are_a_clusters():
    codes = jnp.asarray(np.random.default_rng(0).normal(size=(200, LATENTS)) * [30.0, 1.0, 1.0], jnp.float32)
    extra = {"logits": jnp.asarray([3.0, 0.0]) / mixture.RATE, "logvars": jnp.zeros((2, LATENTS)), "means": None}
    extra["means"] = jnp.asarray([[20.0, 0.0, 0.0], [-20.0, 0.0, 0.0]]) / mixture.RATE
    nearest = np.asarray(codes[:, 0] < 0)
    slope = jax.grad(mixture.fit_loss)(extra, codes, codes, 1.0)
    scale = float(codes.var(0).mean())
    placed = mixture.RATE * extra["means"]
    for c, own in enumerate((codes[~nearest], codes[nearest])):
        lloyd = mixture.RATE * (placed[c] - own).sum(0) / len(codes) / scale  # zero where the mean is that of its codes
        np.testing.assert_allclose(slope["means"][c], lloyd, atol=0.03 * float(jnp.abs(lloyd).max()))
    shares = mixture.RATE * (jax.nn.softmax(mixture.RATE * extra["logits"])[1] - nearest.mean())
    assert float(slope["logits"][1]) == pytest.approx(float(shares), abs=0.1)
    other = extra | {"logits": -extra["logits"], "logvars": extra["logvars"] + 1.0}
    np.testing.assert_array_equal(jax.grad(mixture.fit_loss)(other, codes, codes, 1.0)["means"], slope["means"])


def test_the_fit_finds_clusters():
    rng = np.random.default_rng(0)
    centres = np.array([[3, 0, 0], [-3, 0, 0], [0, 3, 0], [0, -3, 0]])
    labels = rng.integers(0, 4, 2000)
    codes = jnp.asarray(centres[labels] + 0.5 * rng.normal(size=(2000, 3)), jnp.float32)
    extra = mixture.init_mixture(jax.random.key(0), program(num_clusters=4))

    @jax.jit
    def fitted(extra):
        optimiser = step.optimisers({"lr": 3e-3})["vae"]

        def body(i, carry):
            extra, opt = carry
            slope = jax.grad(mixture.fit_loss)(extra, codes, codes, i / 1000)
            updates, opt = optimiser.update(slope, opt)
            return jax.tree.map(jnp.add, extra, updates), opt

        return jax.lax.fori_loop(0, 1000, body, (extra, optimiser.init(extra)))[0]

    extra = fitted(extra)
    found = mixture.mixture_of(extra)
    assert accuracy(mixture.cluster_of(extra, codes), labels, 4, 4) > 0.99
    np.testing.assert_allclose(np.exp(found.log_weights), 0.25, atol=0.05)
    np.testing.assert_allclose(np.exp(0.5 * found.logvars), 0.5, atol=0.1)


def test_the_mixture_stays_finite_whatever_its_parameters():
    extra = extra_of(objectives.TERMS["kl_mixture"])

    @jax.jit
    def slopes(extra, code, now):
        out = posterior(*(jnp.full((BATCH, LATENTS), v, jnp.float32) for v in (code, -60.0, 1.0)))
        return jax.value_and_grad(lambda e: penalty("kl_mixture", out, e, now)[0])(extra)

    for size, code, now in itertools.product((1e-3, 1.0, 1e4), (0.0, 1.0, 1e3), (0, 10**6)):
        wild = jax.tree.map(lambda leaf, s=size: s * leaf, extra)
        assert all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(slopes(wild, code, now)))


def accuracy(clusters, labels, num_clusters, num_classes):
    known = Factors(jnp.asarray(labels)[:, None], (num_classes,))
    return float(cluster_accuracy(jnp.asarray(clusters), known, num_clusters)["cluster_accuracy"])


def test_cluster_accuracy_is_the_best_match_and_purity_the_majority():
    rng = np.random.default_rng(0)
    clusters, labels = rng.integers(0, 6, 300), rng.integers(0, 4, 300)
    table = np.zeros((6, 4))
    np.add.at(table, (clusters, labels), 1)
    rows, columns = scipy.optimize.linear_sum_assignment(-table)
    found = accuracy(clusters, labels, 6, 4)
    assert found == pytest.approx(table[rows, columns].sum() / 300)
    assert accuracy(labels, clusters, 4, 6) == pytest.approx(found)  # more classes than clusters
    r = jax.nn.one_hot(jnp.asarray(clusters), 6)
    assert float(mixture.purity(r, jnp.asarray(labels))) == pytest.approx(table.max(1).sum() / 300)
    assert accuracy((labels + 1) % 4, labels, 6, 4) == 1.0


def test_vades_logs_say_how_many_clusters_are_in_use():
    labels = np.arange(BATCH)[:, None] % 2
    one = {"logits": jnp.asarray([100.0, 0.0]), "means": jnp.zeros((2, LATENTS)), "logvars": jnp.zeros((2, LATENTS))}
    even = one | {"logits": jnp.zeros(2)}
    _, logs = penalty("kl_mixture", random_output(), one, labels=labels)
    assert float(logs["clusters"]) == pytest.approx(1.0) and float(logs["purity"]) == 0.5
    _, logs = penalty("kl_mixture", random_output(), even, 0)
    assert float(logs["clusters"]) == pytest.approx(2.0, rel=1e-4) and float(logs["pretraining"]) == 1
    assert "purity" not in logs  # where images have no label


# --- in sweeps --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def noise():
    images = (np.random.default_rng(0).random((60, *SHAPE)) < 0.3).astype(np.uint8) * 255
    return assemble("random", images, annotation="none")


def numbers(chosen, **changed):
    defaults = step.hyper_defaults(chosen) | changed
    return {n: jnp.asarray(v, jnp.uint32 if n == "seed" else jnp.float32) for n, v in defaults.items()}


def test_lanes_of_vade_in_different_phases_equal_solo_runs(noise):
    chosen = program("vade", num_clusters=4)
    lanes = [
        numbers(chosen, seed=seed, pretrain_steps=steps, lr=1e-2) for seed, steps in ((0, 0.0), (1, 3.0), (2, 100.0))
    ]

    def run(hypers):
        body = lambda _, state: step.train_step(chosen, noise, hypers, state)[0]  # noqa: E731
        return jax.lax.fori_loop(0, 6, body, step.init_state(chosen, hypers)).params["vae"]

    together = jax.jit(jax.vmap(run))(jax.tree.map(lambda *leaves: jnp.stack(leaves), *lanes))
    alone = jax.jit(run)
    for index, hypers in enumerate(lanes):
        solo = alone(hypers)
        assert solo["extra"]["kl_mixture"]["means"].shape == (4, LATENTS)
        jax.tree.map(lambda a, b, i=index: np.testing.assert_allclose(a[i], b, atol=2e-4), together, solo)


def test_numbers_of_presets():
    assert set(objectives.objective("clipped_factor_vae").hypers()) == {"beta", "floor", "gamma", "critic_lr"}
    assert set(objectives.objective("vade").hypers()) == {"beta", "pretrain_steps", "pretrain_beta"}
    given = spec.Spec(objectives=("vade",), architectures=("mlp",), sizes={"num_clusters": 7})
    (group,) = spec.expand(given, SHAPE, 100)
    assert group.program.sizes == {"num_clusters": 7}
    for axis, legal in (("spike=0.5,1.5", "in 0"), ("spike_scale=0", "above 0"), ("spike=-1", "in 0")):
        wrong = dataclasses.replace(given, objectives=("dd_vae",), sizes={}, sweep=(spec.parse_axis(axis),))
        with pytest.raises(InputError, match=legal):
            spec.expand(wrong, SHAPE, 100)


# --- on real digits ---------------------------------------------------------------------------------------------------


@functools.partial(jax.jit, static_argnums=0)
def trained(chosen, data, hypers, state, num_steps):
    def body(_, carry):
        state, total = carry
        state, logs = step.train_step(chosen, data, hypers, state)
        return state, total + logs["kl"]

    return jax.lax.fori_loop(0, num_steps, body, (state, jnp.float32(0)))


@functools.partial(jax.jit, static_argnums=0)
def encoded(chosen, params, images):
    return models.build(chosen).apply({"params": params}, images, method="encode")


@pytest.fixture(scope="module")
def digits(test_data):
    return [datasets.load("mnist", split, test_data("mnist")) for split in ("train", "test")]


def on_digits(digits, objective, num_steps, architecture="mlp", latents=10, then=0, **changed):
    """Train, and return the state, means and log-variances of the test digits, and the mean KL `then`."""
    train, test = digits
    chosen = Program(architecture, objective, train.shape, latent_dim=latents, batch_size=100)
    hypers = numbers(chosen, lr=1e-3, **changed)
    state, _ = trained(chosen, train, hypers, step.init_state(chosen, hypers), num_steps)
    state, total = trained(chosen, train, hypers, state, then)
    codes = encoded(chosen, state.params["vae"]["model"], test.batch(jnp.arange(len(test))))
    return state, *codes, float(total) / max(then, 1)


@pytest.mark.slow
def test_free_bits_keeps_latents_alive(digits):
    alive = {}
    for objective, changed in (("beta_vae", {"beta": 6.0}), ("free_bits_vae", {"beta": 6.0, "floor": 0.5})):
        _, mean, logvar, _ = on_digits(digits, objective, 3000, latents=20, **changed)
        kl = standard_normal_kl(mean, logvar).mean(0)
        alive[objective] = int((kl > 0.1).sum())
    assert alive["free_bits_vae"] == 20 and alive["beta_vae"] < 15


@pytest.mark.slow
@pytest.mark.parametrize("capacity", [5.0, 15.0])
def test_capacity_lands_on_c(digits, capacity):
    *_, kl = on_digits(digits, "annealed_vae", 2500, then=500, gamma=100.0, capacity=capacity, capacity_steps=2000.0)
    assert kl == pytest.approx(capacity, rel=0.03)
