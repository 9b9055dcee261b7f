"""The parts that scores are made of, each against NumPy, scikit-learn or arithmetic."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import mutual_info_score

from jaxvae.learners import grouping, logistic, moments
from jaxvae.metrics import information, rows
from jaxvae.types import Factors


def awkward_columns(num_rows=300, num_columns=600):
    """Return f32[N, D] of many scales and offsets, half of them with codes exactly on and next to the bins' edges."""
    random = np.random.default_rng(1)
    columns = []
    for number in range(num_columns):
        shapes = (
            random.normal(size=num_rows),
            random.integers(0, 21, size=num_rows),
            random.integers(0, random.integers(2, 400), size=num_rows),
            np.round(random.normal(size=num_rows), 1),
            np.linspace(0, 1, num_rows),
        )
        scale, offset = 10.0 ** random.uniform(-6, 6), random.choice([0, 1, -3, 100]) * random.normal()
        column = ((shapes[number % 5] + offset) * scale).astype(np.float32)
        if random.random() < 0.5:
            edges = np.histogram(column, 20)[1]
            edges = edges[np.abs(edges) > 1e-30]  # the neighbours of zero are denormal
            column[:150] = random.choice(edges, 150)
            column[150:180] = np.nextafter(random.choice(edges, 30), np.float32(np.inf))
            column[180:210] = np.nextafter(random.choice(edges, 30), np.float32(-np.inf))
        columns.append(column)
    return np.stack(columns, axis=1)


@pytest.mark.parametrize("compile_it", [False, True])
def test_bins_are_numpys_to_the_last_bit(compile_it):
    codes = awkward_columns()
    expected = np.stack([np.digitize(c, np.histogram(c, 20)[1][:-1]) - 1 for c in codes.T], axis=1)
    discretise = jax.jit(information.discretise) if compile_it else information.discretise
    np.testing.assert_array_equal(discretise(codes), expected)


def test_a_constant_column_falls_into_one_bin():
    codes = np.full((50, 4), [0.0, 0.1, -7.0, 1e9], np.float32)
    assert (np.ptp(np.asarray(information.discretise(codes)), axis=0) == 0).all()


def test_bins_stay_in_range_where_the_width_overflows():
    codes = np.array([[-3e38], [0.0], [3e38]], np.float32)
    bins = np.asarray(information.discretise(codes))
    assert bins.min() >= 0 and bins.max() < 20


def draw(num_rows, sizes, num_latents=3):
    random = np.random.default_rng(0)
    values = random.integers(sizes, size=(num_rows, len(sizes))).astype(np.int32)
    # the first latents lean on the factors, the last one does not
    bins = random.integers(20, size=(num_rows, num_latents)).astype(np.int32)
    bins[:, 0] = np.where(random.random(num_rows) < 0.7, values[:, 0] * 3, bins[:, 0])
    bins[:, 1] = values[:, 1]
    return bins, values


@pytest.mark.parametrize("num_rows", [100, 5_000, 10_000])
def test_contingency_counts_every_pair(num_rows):
    sizes = (3, 7)
    bins, values = draw(num_rows, sizes)
    expected = np.zeros((3, 20, 10))
    for latent in range(3):
        np.add.at(expected[latent], (bins[:, latent], values[:, 0]), 1)
        np.add.at(expected[latent], (bins[:, latent], 3 + values[:, 1]), 1)
    np.testing.assert_array_equal(
        jax.jit(information.contingency, static_argnums=(1, 3))(bins, 20, values, sizes), expected
    )


def test_information_and_entropy_match_scikit_learn():
    sizes = (3, 7, 2, 9)  # the last size is larger than what occurs
    bins, values = draw(10_000, (3, 7, 1, 5))
    found = jax.jit(information.mutual_information, static_argnums=(1, 3))(bins, 20, values, sizes)
    expected = [[mutual_info_score(v, b) for v in values.T] for b in bins.T]
    np.testing.assert_allclose(found, expected, atol=2e-6)
    entropies = information.entropy(values, sizes)
    np.testing.assert_allclose(entropies, [mutual_info_score(v, v) for v in values.T], atol=2e-6)
    assert entropies[2] == 0.0
    assert (np.asarray(found) >= 0).all()


def test_variance_of_many_rows_keeps_its_digits():
    codes = (1000 + np.random.default_rng(0).normal(size=(300_000, 2))).astype(np.float32)
    np.testing.assert_allclose(moments.variance(codes, ddof=1), codes.astype(np.float64).var(0, ddof=1), rtol=1e-5)


@pytest.mark.parametrize("num_rows", [3, 64, 5_000])
def test_variance_of_a_constant_is_exactly_zero(num_rows):
    assert moments.variance(jnp.full((num_rows, 1), 0.1)) == 0.0


# Rows that are no grid: factor 1 goes along with factor 0, factor 2 is constant, value 3 of factor 0 never occurs.
VALUES = np.array([[0, 0, 1], [1, 1, 1], [0, 0, 1], [4, 0, 1], [1, 1, 1], [2, 0, 1], [0, 1, 1]], np.int32)
FACTORS = Factors(jnp.asarray(VALUES), (5, 2, 2))


def test_groups_hold_every_row_once():
    groups = grouping.group_rows(FACTORS).groups
    start = 0
    for factor, size in enumerate(FACTORS.sizes):
        for value in range(size):
            begin, count = int(groups.starts[start + value]), int(groups.counts[start + value])
            found = np.sort(np.asarray(groups.order[begin : begin + count]))
            np.testing.assert_array_equal(found, np.flatnonzero(VALUES[:, factor] == value))
        start += size


def test_the_host_groups_rows_as_xla_does():
    for ours, theirs in zip(
        grouping.group_rows_on_host(FACTORS).groups, grouping.group_rows(FACTORS).groups, strict=True
    ):
        assert np.array_equal(ours, theirs) and ours.dtype == theirs.dtype


def test_grouping_again_changes_nothing():
    once = grouping.group_rows(FACTORS)
    assert grouping.group_rows(once) is once


def test_only_factors_with_two_values_vary():
    np.testing.assert_array_equal(rows.varying(FACTORS), [True, True, False])
    drawn = rows.draw_factors(jax.random.bits(jax.random.key(0), (1_000,)), rows.varying(FACTORS))
    assert set(np.asarray(drawn).tolist()) == {0, 1}


@pytest.mark.parametrize("bound", [1, 2, 7, 360, 65_535, 65_536, 65_537, 737_280, 2**31 - 1])
def test_bits_become_rows_as_in_exact_arithmetic(bound):
    bits = np.append(np.random.default_rng(0).integers(2**32, size=500), [0, 1, 65_535, 65_536, 2**31, 2**32 - 1])
    expected = [int(number) * bound // 2**32 for number in bits]
    np.testing.assert_array_equal(rows._below(jnp.asarray(bits.astype(np.uint32)), bound), expected)


def test_rows_that_share_a_value_are_drawn_evenly():
    first = rows.draw_rows(jax.random.bits(jax.random.key(0), (30_000,)), FACTORS)
    fixed = jnp.arange(30_000) % 3
    second = np.asarray(rows.draw_sharing(jax.random.bits(jax.random.key(1), (30_000,)), FACTORS, first, fixed))
    first, fixed = np.asarray(first), np.asarray(fixed)
    np.testing.assert_array_equal(VALUES[first, fixed], VALUES[second, fixed])
    for factor in range(3):
        for row in range(len(VALUES)):
            mates = VALUES[:, factor] == VALUES[row, factor]
            drawn = np.bincount(second[(fixed == factor) & (first == row)], minlength=len(VALUES))
            np.testing.assert_allclose(drawn / drawn.sum(), mates / mates.sum(), atol=0.06)


def loss(weights, bias, features, labels, penalty=1.0):
    logits = features.astype(np.float64) @ weights + bias
    top = logits.max(1, keepdims=True)
    likelihood = logits[np.arange(len(labels)), labels] - top[:, 0] - np.log(np.exp(logits - top).sum(1))
    return 0.5 * penalty * (weights**2).sum() - likelihood.sum()


def points(kind, num_classes, num_points=4_000, num_features=8):
    """Return features as the β-VAE score makes them: about 1.1 apart, less along the feature of the class."""
    random = np.random.default_rng(0)
    labels = random.integers(num_classes, size=num_points)
    features = 1.1 + 0.1 * random.normal(size=(num_points, num_features))
    shrink = {"noise": 1.0, "separable": 0.02, "overlapping": 0.9, "unequal scales": 0.8}[kind]
    features[np.arange(num_points), labels] *= shrink
    if kind == "unequal scales":
        features *= np.logspace(-1, 1, num_features)
    return features.astype(np.float32), labels.astype(np.int32)


@pytest.mark.parametrize("num_classes", [2, 5])
@pytest.mark.parametrize("kind", ["noise", "separable", "overlapping", "unequal scales"])
def test_logistic_regression_reaches_scikit_learns_optimum(kind, num_classes):
    features, labels = points(kind, num_classes)
    found = logistic.fit(features, labels, num_classes)
    expected = LogisticRegression(solver="newton-cg", tol=1e-8, max_iter=1_000).fit(features.astype(np.float64), labels)
    if num_classes == 2:  # scikit-learn keeps the difference of the two classes' weights
        weights, bias = expected.coef_.T * [-0.5, 0.5], expected.intercept_ * [-0.5, 0.5]
    else:
        weights, bias = expected.coef_.T, expected.intercept_
    ours, our_bias = np.asarray(found.weights, np.float64), np.asarray(found.bias, np.float64)
    our_bias = our_bias - np.asarray(found.centre, np.float64) @ ours
    penalty = 2.0 if num_classes == 2 else 1.0
    optimum = loss(weights, bias, features, labels, penalty)
    assert loss(ours, our_bias, features, labels, penalty) <= optimum * (1 + 1e-5) + 1e-3
    accuracy = (np.asarray(logistic.predict(found, features)) == labels).mean()
    assert accuracy == pytest.approx(expected.score(features.astype(np.float64), labels), abs=0.002)


def test_classes_without_examples_are_left_out():
    features, labels = points("overlapping", 2)
    labels = labels * 3  # classes 0 and 3 of 5
    found = logistic.fit(features, labels, 5)
    expected = LogisticRegression(solver="newton-cg", tol=1e-8, max_iter=1_000).fit(features.astype(np.float64), labels)
    predicted = np.asarray(logistic.predict(found, features))
    assert (predicted == expected.predict(features.astype(np.float64))).mean() > 0.999
    assert np.isfinite(np.asarray(found.weights)).all()


@pytest.mark.parametrize("features", [np.zeros((20, 3)), np.full((20, 3), 1e30), np.eye(20, 3) * 1e30])
def test_features_without_use_do_not_break_the_fit(features):
    labels = np.arange(20, dtype=np.int32) % 4
    features = jnp.asarray(features, jnp.float32)
    predicted = logistic.predict(logistic.fit(features, labels, 4), features)
    assert predicted.min() >= 0 and predicted.max() < 4
