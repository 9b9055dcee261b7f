"""Codes in other units: scores are those of the same codes unscaled, or what their definition says of such units."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.learners import logistic, moments
from jaxvae.metrics import METRICS, score_siblings
from jaxvae.types import Factors

SIZES = (3, 4, 5, 6)
GRID = np.stack(np.unravel_index(np.arange(360), SIZES), axis=1).astype(np.int32)
FACTORS = Factors(jnp.asarray(GRID), SIZES)
RANDOM = np.random.default_rng(0)
UNIT = (GRID - GRID.mean(0)) / GRID.std(0)
CODES = np.concatenate([UNIT + 0.4 * RANDOM.normal(size=UNIT.shape), RANDOM.normal(size=(360, 1))], axis=1)
CODES = CODES.astype(np.float32)

FEW = {
    "beta_vae": {"num_train": 600, "num_eval": 600},
    "factor_vae": {"num_train": 600, "num_eval": 600},
    "dci": {"num_rounds": 10, "num_bins": 32},
    "mig_sampled": {"num_samples": 1_000},
}
SCALES = {
    "one": np.ones(5),
    "1e-18": np.full(5, 1e-18),
    "1e18": np.full(5, 1e18),
    "1e-30": np.full(5, 1e-30),
    "1e30": np.full(5, 1e30),
    "mixed": np.array([1e-18, 1e18, 1.0, 1e9, 1e-9]),
}
# What a score looks at besides the shape of the codes; a lane in such units has another score by definition.
ABSOLUTE = {
    "beta_vae": "a penalty on weights",
    "factor_vae": "a threshold of 0.05",
    "active_units": "a threshold of 0.01",
    "sap": "a penalty on weights",
    "sap_continuous": "a variance of 1e-12",
}
RELATIVE = {"irs": "weighs latents by their deviation", "infom": "active by its range beside the widest", "infoc": "so"}
RELATIVE |= {key: "distances are those of the widest latents" for key in ("knn_accuracy", "silhouette")}
SMALL = {  # what those definitions say of codes far below 1: nothing is active, all weights are 0
    "factor_vae": 0.0,
    "active_units": 0.0,
    "sap_continuous": 0.0,
    "beta_vae": 0.25,
    "sap": 0.0,
}
TOLERANCE = {"dci_informativeness": 0.02, "dci_disentanglement": 0.02, "dci_completeness": 0.02, "infoe": 5e-3}


@functools.cache
def scores_of(name):
    """Return {scale: {key: score}}, all scales side by side in one compile."""
    function = functools.partial(METRICS[name].function, **FEW.get(name, {}))
    codes = jnp.asarray(np.stack([(CODES * scale).astype(np.float32) for scale in SCALES.values()]))
    if METRICS[name].needs_logvar:  # as wide in units of the codes
        width = np.stack([np.full(CODES.shape, -4 + 2 * np.log(scale)) for scale in SCALES.values()])
        run = lambda lane: function(lane[0], FACTORS, jax.random.key(0), logvar=lane[1])  # noqa: E731
        found = jax.jit(lambda lanes: jax.lax.map(run, lanes))((codes, jnp.asarray(width, jnp.float32)))
    else:
        found = jax.jit(lambda lanes: jax.lax.map(lambda lane: function(lane, FACTORS, jax.random.key(0)), lanes))(
            codes
        )
    return {scale: {key: float(v[i]) for key, v in found.items()} for i, scale in enumerate(SCALES)}


@pytest.mark.parametrize("scale", [scale for scale in SCALES if scale != "one"])
@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.of_codes])
def test_units_of_the_codes(name, scale):
    scores = scores_of(name)
    for key, value in scores[scale].items():
        if key in SMALL and SCALES[scale].max() < 1e-9:
            assert value == pytest.approx(SMALL[key], abs=0.1 if key == "beta_vae" else 0.0), key
        elif scale == "mixed" and key in ABSOLUTE | RELATIVE:
            assert np.isfinite(value), key
        elif key in ("sap", "beta_vae"):  # as without the penalty, which is hardly less
            assert value >= scores["one"][key] - 0.03, key
        else:
            assert value == pytest.approx(scores["one"][key], abs=TOLERANCE.get(key, 2e-3)), key


@pytest.mark.parametrize("scale", [scale for scale in SCALES if scale != "one"])
def test_units_of_siblings_codes(scale):
    codes = np.stack([CODES, CODES @ np.linalg.qr(RANDOM.normal(size=(5, 5)))[0], CODES[:, ::-1]]).astype(np.float32)
    expected = score_siblings(codes)
    found = score_siblings((codes * SCALES[scale]).astype(np.float32))
    for key, values in expected.items():
        np.testing.assert_allclose(found[key], values, atol=1e-4)


@pytest.mark.parametrize("scale", [1e-30, 1e-18, 1e18, 1e30])
def test_spreads_in_all_of_float32s_range(scale):
    codes = (CODES * scale).astype(np.float32)
    exact = codes.astype(np.float64).std(axis=0, ddof=1)
    np.testing.assert_allclose(moments.deviation(codes, ddof=1), exact, rtol=1e-5)
    found = moments.relative_variance(jnp.asarray(codes), jnp.asarray(exact, jnp.float32))
    np.testing.assert_allclose(found, 0.25, rtol=1e-5)
    assert moments.deviation(np.full((7, 1), 0.1 * scale, np.float32)) == 0.0


@pytest.mark.parametrize("scale", [1e4, 1e18, 1e30])
def test_a_logistic_regression_of_large_features_is_the_one_without_a_penalty(scale):
    """Its predictions no longer depend on the unit."""
    expected = logistic.predict(logistic.fit(1e3 * CODES, GRID[:, 1], 4), 1e3 * CODES)
    found = logistic.predict(logistic.fit(CODES * np.float32(scale), GRID[:, 1], 4), CODES * np.float32(scale))
    assert (np.asarray(found) == np.asarray(expected)).mean() > 0.99
