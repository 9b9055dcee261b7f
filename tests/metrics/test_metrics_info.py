"""MIG of samples, InfoMEC and UDR: against their restatements, and at the edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from jaxvae.learners import logistic, logistic_unpenalised
from jaxvae.metrics import (
    METRICS,
    infomec,
    mig,
    mig_sampled,
    neighbours,
    rows,
    score,
    score_siblings,
    sibling_points,
)
from jaxvae.types import Factors, InputError
from reference import informed

SIZES = (3, 4, 5, 6)
GRID = np.stack(np.unravel_index(np.arange(360), SIZES), axis=1).astype(np.int32)
UNIT = (GRID - GRID.mean(0)) / GRID.std(0)
FACTORS = Factors(jnp.asarray(GRID), SIZES)
KEY = jax.random.key(0)

# Rows that are no grid, with a factor that goes along with another and unequal counts: 1,200 points of six latents.
RANDOM = np.random.default_rng(0)
DRAWN = np.stack([np.minimum(RANDOM.integers(size + 2, size=1_200), size - 1) for size in SIZES], axis=1)
DRAWN[:600, 1] = DRAWN[:600, 0]
DRAWN = DRAWN.astype(np.int32)


def make_codes(values):
    """Return {kind: codes f32[N, 6]} from perfect to worthless."""
    unit = (values - values.mean(0)) / values.std(0)
    dead = 1e-3 * RANDOM.normal(size=(len(values), 2))
    rotation = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
    noise = RANDOM.normal(size=(len(values), 6))
    kinds = {
        "perfect": np.concatenate([unit, dead], axis=1),
        "noisy": np.concatenate([unit + 0.4 * noise[:, :4], dead], axis=1),
        "rotated": np.concatenate([unit @ rotation + 0.1 * noise[:, :4], dead], axis=1),
        "duplicated": np.concatenate([unit, unit[:, :2]], axis=1) + 0.2 * noise,
        "random": noise,
    }
    return {kind: codes.astype(np.float32) for kind, codes in kinds.items()}


CODES = make_codes(DRAWN)

# MIG of samples.

draw_part = jax.jit(mig_sampled.draw_part, static_argnums=(2, 3))


@pytest.fixture(scope="module")
def information():
    """Return jitted (codes, logvar, factors, key) -> [D, K], with every row in the aggregate unless told otherwise."""
    options = {"num_samples": 4_000, "num_aggregate": None}
    jitted = jax.jit(mig_sampled.sampled_information, static_argnames=tuple(options))
    return lambda *arguments, **other: np.asarray(jitted(*arguments, **(options | other)))


def widths(codes):
    """Return log-variances that differ between rows and latents: standard deviations from 0.08 to 0.6."""
    return (-3 + np.cos(np.arange(codes.size)).reshape(codes.shape) * 2).astype(np.float32)


@pytest.mark.parametrize(("drawn", "num_aggregate"), [(False, 1_200), (True, 150)])
def test_log_density_of_the_same_samples(drawn, num_aggregate):
    codes, logvar = CODES["noisy"], widths(CODES["noisy"])
    draw = draw_part(KEY, jnp.int32(1_200), num_aggregate, 6)
    assert bool(draw["there"].all()) and (len(np.unique(draw["others"])) < 1_200) == drawn
    arguments = (draw["rows"], draw["noise"], draw["others"], draw["there"], 1_200)
    found = np.asarray(jax.jit(mig_sampled.log_aggregate)(codes, logvar, *arguments))
    own = np.asarray(draw["rows"])
    samples = codes[own] + np.exp(0.5 * logvar[own]) * np.asarray(draw["noise"])
    expected = -informed.surprise(samples.astype(np.float64), codes.astype(np.float64), logvar.astype(np.float64))
    np.testing.assert_allclose(found, expected, atol=1.5 if drawn else 1e-3)
    # Few rows of the aggregate add noise to the density and no bias.
    assert np.mean(np.exp(found - expected)) == pytest.approx(1.0, abs=0.05 if drawn else 1e-3)


def test_draws_are_spread_evenly():
    draw = jax.vmap(lambda key: draw_part(key, jnp.int32(1_000), 100, 2))(jax.random.split(KEY, 400))
    for name, number in (("rows", 50), ("others", 100)):
        found = np.asarray(draw[name])
        assert (np.abs(found - (np.arange(number) + 0.5) * 1_000 / number) <= 500 / number + 1).all()
        frequent = np.bincount(found.ravel(), minlength=1_000) / found.size
        np.testing.assert_allclose(frequent, 1e-3, atol=1e-3)
    noise = np.asarray(draw["noise"])
    assert np.abs(noise.mean(1)).max() < 0.05 and noise.var() == pytest.approx(1, abs=0.01)
    assert abs(np.mean(noise[..., 0] * noise[..., 1])) < 0.02


def test_small_groups_are_whole():
    draw = draw_part(KEY, jnp.int32(7), 20, 2)
    assert np.asarray(draw["others"])[np.asarray(draw["there"])].tolist() == list(range(7))
    assert set(np.asarray(draw["rows"]).tolist()) == set(range(7))


@pytest.mark.parametrize("kind", [pytest.param("noisy", marks=pytest.mark.slow), "random"])
def test_information_in_samples(information, kind):
    codes, logvar = CODES[kind], widths(CODES[kind])
    factors = Factors(jnp.asarray(DRAWN), SIZES)
    found = np.mean([information(codes, logvar, factors, jax.random.key(seed)) for seed in (0, 1)], axis=0).T
    draws = [informed.sampled_information(codes, logvar, DRAWN, np.random.default_rng(seed)) for seed in (0, 1)]
    np.testing.assert_allclose(found, np.mean(draws, axis=0), atol=0.05)  # nats; the spread of the reference's draws
    few = information(codes, logvar, factors, KEY, num_aggregate=150).T
    np.testing.assert_allclose(few, found, atol=0.06)  # one draw, the noise in H(z) shared by a latent's numbers


def test_a_posterior_that_is_the_prior_tells_nothing(information):
    zeros = np.zeros((360, 2), np.float32)
    assert information(zeros, zeros, FACTORS, KEY).max() < 1e-5


def test_narrow_posteriors_tell_all(information):
    found = information(GRID.astype(np.float32), np.full((360, 4), -8.0, np.float32), FACTORS, KEY)
    np.testing.assert_allclose(found, np.diag(np.log(SIZES)), atol=5e-3)


@pytest.mark.parametrize("logvar", [-1e4, -60.0, 60.0, 1e4])
@pytest.mark.parametrize("scale", [1e-30, 1.0, 1e30])
def test_extreme_widths_have_a_score(information, logvar, scale):
    found = information(
        UNIT.astype(np.float32) * np.float32(scale), np.full((360, 4), logvar, np.float32), FACTORS, KEY
    )
    assert np.isfinite(found).all() and (found >= 0).all() and (found < np.log(6) + 0.01).all()


def test_the_gap_counts_a_missing_latent_as_one_that_knows_nothing():
    information = jnp.array([[0.9, 0.1, 5.0]])
    assert float(mig.mean_gap(information, jnp.array([1.0, 0.5, 0.0]))) == pytest.approx((0.9 + 0.2) / 2)


def test_log_variances_reach_the_metric_and_are_asked_for():
    codes = UNIT.astype(np.float32)
    few = functools.partial(score, codes, GRID, names="mig_sampled")
    narrow, wide = (few(logvar=np.full((360, 4), logvar))["mig_sampled"] for logvar in (-8.0, 4.0))
    assert narrow > 0.99 and wide < 0.1
    with pytest.raises(InputError, match=r"'mig_sampled' needs log-variances .*logvar="):
        few()
    with pytest.raises(InputError, match=r"'mig_sampled' needs factors"):
        score(codes, logvar=codes, names="mig_sampled")


# InfoMEC.


@pytest.fixture(scope="module")
def scores():
    """Return jitted (codes, factors) -> {key: score}."""
    jitted = jax.jit(infomec.infomec_scores)
    return lambda codes, factors: {k: float(v) for k, v in jitted(codes, factors, KEY).items()}


@pytest.mark.parametrize("kind", CODES)
def test_infomec_is_the_references(scores, kind):
    found = scores(CODES[kind], Factors(jnp.asarray(DRAWN), SIZES))
    expected = informed.infomec(CODES[kind], DRAWN)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=5e-3), name


@pytest.fixture(scope="module")
def estimate():
    return jax.jit(functools.partial(neighbours.neighbour_information, num_neighbours=10))


@pytest.mark.parametrize("kind", ["noise", "leaning", "heavy tails", "far away"])
def test_nearest_neighbours_are_scikit_learns(estimate, kind):
    values = DRAWN[:, :2].copy()
    values[0] = 9  # alone with its value
    values[1:5] = 8  # fewer than ten of a value
    noise = RANDOM.normal(size=(1_200, 2))
    codes = {
        "noise": noise,
        "leaning": noise + values,
        "heavy tails": (noise + values) ** 3,
        "far away": (noise + values) * 1e-2 + 100,
    }[kind].astype(np.float32)
    entropies = [-(p * np.log(p)).sum() for p in (np.unique(v, return_counts=True)[1] / 1_200 for v in values.T)]
    expected = informed.normalised_information(codes, values) * np.array(entropies)[:, None]
    np.testing.assert_allclose(estimate(codes, values, KEY), expected.T, atol=2e-3)


def test_ties_are_broken_as_by_noise(estimate):
    codes = np.stack([DRAWN[:, 2], np.zeros(1_200)], axis=1).astype(np.float32)
    found = np.asarray(estimate(codes, DRAWN[:, 2:], KEY))
    entropies = [-(p * np.log(p)).sum() for p in (np.bincount(v) / 1_200 for v in DRAWN[:, 2:].T)]
    expected = informed.normalised_information(codes, DRAWN[:, 2:]) * np.array(entropies)[:, None]
    np.testing.assert_allclose(found, expected.T, atol=0.04)
    assert found[0, 0] == pytest.approx(entropies[0], abs=0.01)


def test_exact_numbers_of_59_bits():
    random = np.random.default_rng(1)
    first, second = (random.integers(2**40, size=1_000) for _ in range(2))
    second[:300] = first[:300] + random.integers(-3, 4, size=300)

    def places(numbers):
        return neighbours.Places(jnp.asarray(numbers >> 30, jnp.int32), jnp.asarray(numbers % 2**30, jnp.int32))

    larger, smaller = np.maximum(first, second), np.minimum(first, second)
    found = places(larger).minus(places(smaller))
    exact = np.asarray(found.coarse, np.int64) * 2**30 + np.asarray(found.fine)
    np.testing.assert_array_equal(exact, larger - smaller)
    np.testing.assert_array_equal(places(first).below(places(second)), first < second)


@pytest.mark.parametrize("kind", ["overlapping", "separable", "unequal counts", "a class without examples"])
def test_unpenalised_fit_stops_where_scikit_learns_does(kind):
    labels = DRAWN[:, 2].copy()
    if kind == "unequal counts":
        labels[200:] = 0
    if kind == "a class without examples":
        labels[labels == 1] = 2
    noise = RANDOM.normal(size=(1_200, 5))
    features = noise + (4.0 if kind == "separable" else 0.5) * (labels[:, None] == np.arange(5))
    features = ((features - features.mean(0)) / features.std(0)).astype(np.float32)
    fitted = logistic_unpenalised.fit_unpenalised(features, labels, 5)
    found = float(logistic_unpenalised.log_losses(fitted, features, labels).mean())
    model = LogisticRegression(C=np.inf, class_weight="balanced").fit(features.astype(np.float64), labels)
    expected = log_loss(labels, model.predict_proba(features))
    assert found == pytest.approx(expected, abs=5e-3)
    if kind == "a class without examples":
        assert not (np.asarray(logistic.predict(fitted, features)) == 1).any()


BASE = np.concatenate([CODES["noisy"][:, :4], CODES["random"][:, :1], CODES["noisy"][:, 4:5]], axis=1)
VARIANTS = {
    "permuted": BASE[:, [5, 2, 0, 4, 3, 1]],
    "flipped": BASE * np.array([-1, 1, -1, 1, 1, -1], np.float32),
    "moved": BASE + np.array([3, -2, 1, 0, 5, 1], np.float32),
    "scaled as a whole": BASE * np.float32(1e20),
    "scaled one by one": BASE * np.array([4, 1, 2, 0.5, 1, 1], np.float32),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_axes_have_no_order_sign_or_unit(scores, variant):
    factors = Factors(jnp.asarray(DRAWN), SIZES)
    base, other = scores(BASE, factors), scores(VARIANTS[variant], factors)
    for name, value in base.items():
        assert other[name] == pytest.approx(value, abs=3e-3), name


def test_infomec_at_the_edges(scores):
    drawn = Factors(jnp.asarray(DRAWN), SIZES)
    nothing = {"infom": 0.0, "infoe": 0.0, "infoc": 0.0}
    for constant in (0.0, 0.1):
        assert scores(np.full((1_200, 6), constant, np.float32), drawn) == pytest.approx(nothing, abs=1e-6)
    assert scores(BASE, Factors(jnp.full((1_200, 4), 2, jnp.int32), SIZES)) == nothing
    alone = scores(BASE * np.array([0, 0, 1, 0, 0, 0], np.float32), drawn)  # one latent is active
    assert alone["infom"] > 0.9 and alone["infoc"] == 0.0 and 0 < alone["infoe"] < 0.3
    one = DRAWN.copy()
    one[:, [0, 1, 3]] = [1, 2, 0]  # one factor varies
    one = scores(BASE, Factors(jnp.asarray(one), SIZES))
    assert one["infom"] == 0.0 and one["infoc"] > 0.8 and 0.3 < one["infoe"] < 1
    tiny = scores(jnp.array([[0.0, 1.0], [2.0, 1.0]]), Factors(jnp.array([[0], [1]]), (2,)))
    assert all(np.isfinite(value) for value in tiny.values())


def test_a_row_is_never_looked_at_twice():
    """A point beside itself would be its own neighbour, and tell all factors whatever the latent."""
    drawn = np.asarray(rows.draw_distinct(KEY, 100, 90))
    assert len(set(drawn.tolist())) == 90 and set(drawn.tolist()) <= set(range(100))
    assert rows.draw_distinct(KEY, 100, 100).tolist() == list(range(100))


# UDR.


def siblings():
    """Return codes [5, 700, 4]: a model, it permuted and flipped, a noisy, a rotated and an unrelated one."""
    first = RANDOM.uniform(-1, 1, size=(700, 4))
    rotation = np.linalg.qr(RANDOM.normal(size=(4, 4)))[0]
    models = [
        first,
        first[:, [2, 0, 3, 1]] * [1, -2, 3, -1] + 5,
        np.round(first + 0.3 * RANDOM.normal(size=first.shape), 1),  # with ties
        first @ rotation,
        RANDOM.normal(size=first.shape),
    ]
    return np.stack(models).astype(np.float32)


SIBLINGS = siblings()
USED = np.array([[1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 0.009, 1], [1, 1, 1, 0.0], [0.02, 1, 0.01, 1]], np.float32)


@pytest.mark.parametrize("kl", [np.ones((5, 4), np.float32), USED])
@pytest.mark.parametrize("kind", ["spearman", "lasso"])
def test_udr_is_the_references(kind, kl):
    found = score_siblings(SIBLINGS, kl)[f"udr_{kind}"]
    np.testing.assert_allclose(found, informed.udr(SIBLINGS, kl, kind), atol=1e-4)
    if (kl == 1).all():  # with as many latents in use, disentanglement_lib's mean of means is the pooled one
        np.testing.assert_allclose(found, informed.udr(SIBLINGS, kl, kind, pooled=False), atol=1e-4)


def test_udr_of_alike_and_of_unrelated_models():
    alike = score_siblings(SIBLINGS[:2])
    np.testing.assert_allclose(alike["udr_spearman"], 1.0, atol=0.15)  # rank correlations of 700 points
    np.testing.assert_allclose(alike["udr_lasso"], 0.9, atol=0.02)
    unrelated = score_siblings(SIBLINGS[[0, 4]])
    assert unrelated["udr_spearman"].max() < 0.06 and unrelated["udr_lasso"].max() < 0.01


def test_udr_at_the_edges():
    keys = ("udr_spearman", "udr_lasso")
    collapsed = SIBLINGS[:3].copy()
    collapsed[0] = 0.1
    for key, values in score_siblings(collapsed).items():
        assert key in keys and values[0] == 0 and (values[1:] > 0).all()
    assert all((values == 0).all() for values in score_siblings(SIBLINGS, np.zeros((5, 4))).values())
    one = score_siblings(SIBLINGS[:3, :, :1])
    assert all(np.isfinite(one[key]).all() and (one[key] <= 1).all() for key in keys)
    for scale in (1e-30, 1e30):
        for key, values in score_siblings(SIBLINGS * np.float32(scale)).items():
            np.testing.assert_allclose(values, score_siblings(SIBLINGS)[key], atol=1e-3)
    assert all(np.isfinite(values).all() for values in score_siblings(SIBLINGS[:2, :2]).values())


def test_udr_of_correlated_latents_converges():
    common = RANDOM.normal(size=(700, 1))
    codes = (common + 0.1 * RANDOM.normal(size=(3, 700, 4))).astype(np.float32)
    found = score_siblings(codes)["udr_lasso"]
    np.testing.assert_allclose(found, informed.udr(codes, np.ones((3, 4)), "lasso"), atol=1e-3)


def test_siblings_are_compared_on_the_points_said():
    codes = RANDOM.normal(size=(2, 3_000, 3)).astype(np.float32)
    codes[1] += codes[0]
    points = sibling_points(3_000)
    assert len(points) == len(set(points.tolist())) == 1_000
    whole, few = score_siblings(codes), score_siblings(codes[:, points])
    for key, values in whole.items():
        np.testing.assert_allclose(values, few[key], atol=1e-5)


def bad_siblings():
    codes = SIBLINGS.copy()
    codes[2, 7, 1] = np.nan
    return codes


REFUSALS = {
    "one model": ({"codes": SIBLINGS[:1]}, "two siblings or more"),
    "no model": ({"codes": []}, "two siblings or more"),
    "one model's codes": ({"codes": SIBLINGS[0]}, r"codes\[0\] must be \[N, D\]"),
    "other images": (
        {"codes": [SIBLINGS[0], SIBLINGS[1, :9]]},
        r"for the same images, got shapes \(700, 4\), \(9, 4\)",
    ),
    "NaN": ({"codes": bad_siblings()}, r"codes\[2\] must be finite .* row 7, latent 1"),
    "KL of others": ({"kl": np.ones((4, 4))}, r"kl must be \[S, D\], here \(5, 4\), got shape \(4, 4\)"),
    "KL not finite": ({"kl": np.full((5, 4), np.nan)}, "kl must be finite"),
    "of one model": ({"names": "mig"}, "'mig' is of one model"),
    "unknown": ({"names": ("udrr",)}, "did you mean 'udr'"),
}


@pytest.mark.parametrize("case", REFUSALS)
def test_siblings_that_cannot_be_compared_are_refused(case):
    arguments, expected = REFUSALS[case]
    arguments = {"codes": SIBLINGS} | arguments
    with pytest.raises(InputError, match=expected) as error:
        score_siblings(arguments.pop("codes"), **arguments)
    assert "\n" not in str(error.value)


# At the reference's counts and dSprites' factors; minutes.


@pytest.mark.slow
@pytest.mark.parametrize("kind", CODES)
def test_ten_thousand_points_of_dsprites_factors(kind):
    sizes = (3, 6, 40, 32, 32)
    values = np.random.default_rng(5).integers(sizes, size=(10_000, 5)).astype(np.int32)
    base = make_codes(values[:, [1, 2, 3, 4]])[kind]
    logvar = np.full(base.shape, -4.0, np.float32)
    found = score(base, values, names=("infomec", "mig_sampled"), logvar=logvar)
    # Codes that are the factors are full of ties, whose order decides what they seem to know of one that none holds.
    told = values[:, 1:] if kind == "perfect" else values
    ours = score(base, told, names="infomec")
    for name, value in informed.infomec(base, told).items():
        assert ours[name] == pytest.approx(value, abs=5e-3), name
    information = informed.sampled_information(base, logvar, values, np.random.default_rng(0), num_samples=1_000)
    assert found["mig_sampled"] == pytest.approx(informed.mig_of_information(information, values), abs=0.02)
    assert set(METRICS["infomec"].keys) <= found.keys()
