"""Linear support vector machines against scikit-learn's, and what their optimum must be."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.svm import LinearSVC

from jaxvae.learners import hyperplanes, svm
from jaxvae.types import Factors

NUM_ROWS, NUM_LATENTS = 1_500, 5
RANDOM = np.random.default_rng(0)
PLAIN = RANDOM.normal(size=(NUM_ROWS, NUM_LATENTS))
LOGITS = PLAIN @ RANDOM.normal(size=(NUM_LATENTS, 3))
THRESHOLDS = LOGITS.std(0) * [0, 1, 2]  # the last label is rare
LABELS = LOGITS + 2 * RANDOM.normal(size=(NUM_ROWS, 3)) > THRESHOLDS
MASK = np.array([1, 0, 1, 1, 0])


def turned(noise):
    """Return codes the last two columns of which are the first two and a little noise."""
    codes = PLAIN.copy()
    codes[:, 3:] = codes[:, :2] + noise * codes[:, 3:]
    return codes


CASES = {  # codes, labels, cost, and by how much the weights may differ in units of the largest
    "random": (PLAIN, LABELS, 1.0, 1e-5),
    "little cost": (PLAIN, LABELS, 0.01, 1e-5),
    "much cost": (PLAIN, LABELS, 100.0, 1e-5),
    "separable": (PLAIN, LOGITS > THRESHOLDS, 1.0, 1e-5),
    "separable at much cost": (PLAIN, LOGITS > THRESHOLDS, 1_000.0, 1e-4),
    "correlated": (turned(0.01), LABELS, 1.0, 1e-4),
    "duplicated": (turned(0.0), LABELS, 1.0, 1e-5),
    "of many scales": (PLAIN * np.logspace(-3, 3, NUM_LATENTS), LABELS, 1.0, 1e-3),
    "far from zero": (30 + 0.1 * PLAIN, LABELS, 1.0, 1e-3),
    "masked": (PLAIN * MASK, LABELS, 1.0, 1e-5),
    "some columns constant": (PLAIN * MASK + 2 * (1 - MASK), LABELS, 1.0, 1e-5),
    "one latent": (PLAIN[:, :1], LABELS, 1.0, 1e-5),
}


def scikit_learns(codes, labels, cost, counts=None):
    """Return weights [A, D] and bias [A]."""
    machines = [
        LinearSVC(C=cost, class_weight="balanced", dual=False, tol=1e-8, max_iter=100_000).fit(
            *((codes, own) if counts is None else (np.repeat(codes, counts, 0), np.repeat(own, counts)))
        )
        for own in labels.T
    ]
    return np.stack([machine.coef_[0] for machine in machines]), np.stack([m.intercept_[0] for m in machines])


def assert_alike(found, expected, tolerance):
    for own, weights, bias in zip(np.column_stack([found.weights, found.bias]), *expected, strict=True):
        wanted = np.append(weights, bias)
        np.testing.assert_allclose(own, wanted, rtol=0, atol=tolerance * np.abs(wanted).max())


@pytest.mark.parametrize("kind", CASES)
def test_hyperplanes_are_scikit_learns(kind):
    codes, labels, cost, tolerance = CASES[kind]
    codes = codes.astype(np.float32)
    found = hyperplanes.fit(jnp.asarray(codes), jnp.asarray(labels), cost=cost)
    assert found.weights.shape == (labels.shape[1], codes.shape[1]) and found.bias.shape == (labels.shape[1],)
    assert_alike(found, scikit_learns(codes.astype(np.float64), labels, cost), tolerance)


def test_a_row_that_counts_twice_is_two_rows_and_one_that_counts_0_times_is_none():
    counts = np.random.default_rng(1).poisson(1.0, NUM_ROWS)
    assert (counts == 0).any()
    codes = PLAIN.astype(np.float32)
    found = hyperplanes.fit(codes, LABELS, weights=jnp.asarray(counts, jnp.float32))
    assert_alike(found, scikit_learns(codes.astype(np.float64), LABELS, 1.0, counts), 1e-5)
    repeated = hyperplanes.fit(np.repeat(codes, counts, 0), np.repeat(LABELS, counts, 0))
    assert_alike(found, repeated, 1e-5)


def test_models_and_resamples_are_fitted_side_by_side():
    models = jnp.asarray(np.stack([PLAIN, turned(0.1), PLAIN * MASK]), jnp.float32)
    resamples = jnp.asarray(np.random.default_rng(2).poisson(1.0, (2, NUM_ROWS)), jnp.float32)
    labels = jnp.asarray(LABELS)

    def fit(codes, weights):
        return hyperplanes.fit(codes, labels, weights=weights)

    both = jax.jit(jax.vmap(jax.vmap(fit, (None, 0)), (0, None)))(models, resamples)
    assert both.weights.shape == (3, 2, 3, NUM_LATENTS) and both.bias.shape == (3, 2, 3)
    for model in range(3):
        for resample in range(2):
            alone = fit(models[model], resamples[resample])
            assert_alike(jax.tree.map(lambda leaf, at=(model, resample): leaf[at], both), alone, 1e-5)


def test_a_masked_column_has_weight_0_exactly_and_the_others_are_those_without_it():
    found = hyperplanes.fit(jnp.asarray(PLAIN * MASK, jnp.float32), LABELS)
    np.testing.assert_array_equal(found.weights[:, MASK == 0], 0.0)
    without = hyperplanes.fit(jnp.asarray(PLAIN[:, MASK == 1], jnp.float32), LABELS)
    np.testing.assert_allclose(found.weights[:, MASK == 1], without.weights, rtol=1e-5)
    np.testing.assert_allclose(found.bias, without.bias, rtol=1e-5, atol=1e-6)
    nothing = hyperplanes.fit(jnp.zeros((NUM_ROWS, 2)), LABELS)
    np.testing.assert_array_equal(nothing.weights, 0.0)
    np.testing.assert_allclose(nothing.bias, 0.0, atol=1e-5)  # both sides weigh the same


def test_a_label_of_one_value_has_no_hyperplane():
    labels = np.stack([np.ones(NUM_ROWS, bool), np.zeros(NUM_ROWS, bool), LABELS[:, 0]], axis=1)
    found = hyperplanes.fit(PLAIN.astype(np.float32), labels)
    np.testing.assert_array_equal(found.weights[:2], 0.0)
    np.testing.assert_array_equal(found.bias[:2], [1.0, -1.0])
    alone = hyperplanes.fit(PLAIN.astype(np.float32), labels[:, 2:])
    np.testing.assert_allclose(found.weights[2:], alone.weights, rtol=1e-5)
    # What counts are the rows that count.
    among = hyperplanes.fit(PLAIN.astype(np.float32), LABELS[:, :1], weights=LABELS[:, 0])
    np.testing.assert_array_equal(np.append(among.weights, among.bias), [0.0] * NUM_LATENTS + [1.0])
    none = hyperplanes.fit(PLAIN.astype(np.float32), LABELS, weights=jnp.zeros(NUM_ROWS))
    np.testing.assert_array_equal(np.append(none.weights, none.bias), 0.0)


@pytest.mark.parametrize("size", [1e-25, 1e-12, 1e-4, 1e4, 1e12])
def test_codes_of_any_size_give_finite_planes_that_are_right_about_what_they_can_be(size):
    codes = (size * PLAIN).astype(np.float32)
    labels = LOGITS > 0
    found = hyperplanes.fit(codes, labels)
    assert np.isfinite(found.weights).all() and np.isfinite(found.bias).all()
    if size >= 1e4:  # where the penalty no longer holds weights back
        right = (codes.astype(np.float64) @ np.asarray(found.weights, np.float64).T + found.bias > 0) == labels
        assert right.mean() > 0.99


def test_one_latent_is_as_the_machines_of_one_number_have_it():
    codes, labels = jnp.asarray(PLAIN[:, :1] + 0.3, jnp.float32), LABELS[:, :1]
    plane = hyperplanes.fit(codes, labels, cost=0.01)
    machines = svm.fit(codes, Factors(jnp.asarray(labels, jnp.int32), (2,)), cost=0.01)
    named = svm.decide(machines, codes, (2,))[:, 0, 0]
    np.testing.assert_array_equal(codes[:, 0] * plane.weights[0, 0] + plane.bias[0] > 0, named == 1)


def test_shuffling_rows_columns_or_labels_changes_nothing_and_a_flipped_label_flips_its_plane():
    codes = jnp.asarray(PLAIN, jnp.float32)
    found = hyperplanes.fit(codes, LABELS)
    random = np.random.default_rng(3)
    rows, columns = random.permutation(NUM_ROWS), random.permutation(NUM_LATENTS)
    moved = hyperplanes.fit(codes[rows][:, columns], LABELS[rows][:, ::-1])
    np.testing.assert_allclose(moved.weights, found.weights[::-1][:, columns], rtol=1e-4, atol=1e-6)
    flipped = hyperplanes.fit(codes, ~LABELS)
    np.testing.assert_allclose(flipped.weights, -found.weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(flipped.bias, -found.bias, rtol=1e-4, atol=1e-6)


def test_many_rows_are_summed_in_batches(monkeypatch):
    codes, labels = jnp.asarray(PLAIN, jnp.float32), jnp.asarray(LABELS)
    whole = hyperplanes.fit(codes, labels)
    monkeypatch.setattr(hyperplanes, "PRODUCTS_AT_ONCE", 7_000)
    assert_alike(jax.jit(hyperplanes.fit.__wrapped__)(codes, labels), whole, 1e-5)
