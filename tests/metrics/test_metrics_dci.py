"""DCI: boosted trees and scores against scikit-learn, and behaviour at the edges."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import spearmanr

from jaxvae.learners import boosting
from jaxvae.metrics import dci
from jaxvae.types import Factors
from reference import dci as reference
from reference.kinds import codes_of_every_kind

KEYS = ("dci_disentanglement", "dci_completeness", "dci_informativeness")
KEY = jax.random.key(0)
SIZES = (3, 4, 2)
TRAIN, TEST = 300, 150  # points, of one shape nearly everywhere: it is compiling that takes time


def draw(sizes, num_points):
    random = np.random.default_rng(3)
    return np.stack([random.integers(size, size=num_points) for size in sizes], axis=1).astype(np.int32)


VALUES = draw(SIZES, TRAIN + TEST)
CODES = codes_of_every_kind(VALUES, SIZES, 6, np.random.default_rng(4))


@functools.partial(jax.jit, static_argnums=2)
def quick(codes, values, sizes):
    """Return the scores of 300 points to fit and the rest to test."""
    fit = Factors(values[:TRAIN], sizes)
    return dci.dci_of_points(codes[:TRAIN], fit, codes[TRAIN:], values[TRAIN:], KEY, num_rounds=20, num_bins=32)


def found(codes, values=VALUES, sizes=(4, 5, 3)):
    """Return the three scores; one more value of each factor is declared than occurs."""
    scores = quick(jnp.asarray(codes, jnp.float32), jnp.asarray(values, jnp.int32), sizes)
    assert set(scores) == set(KEYS)
    scores = [float(scores[key]) for key in KEYS]
    assert all(0 <= value <= 1 for value in scores)
    return scores


# Against scikit-learn.


def test_trees_of_one_latent_are_scikit_learns():
    """With one latent, every split tried and exact gradients next to nothing is left to chance."""
    sizes = (2, 3)
    values = draw(sizes, 200 + 400)
    codes = (values.sum(1, keepdims=True) + np.random.default_rng(1).normal(size=(600, 1))).astype(np.float32)
    exact = {"num_rounds": 30, "num_bins": 200, "dtype": "float32"}
    ours = boosting.boost(codes[:200], values[:200], sizes, codes[200:], KEY, **exact)
    np.testing.assert_allclose(ours.importances, 1.0, rtol=1e-6)
    for column in range(len(sizes)):
        model = reference.GradientBoostingClassifier(n_estimators=30).fit(codes[:200], values[:200, column])
        same = np.asarray(ours.predicted[:, column]) == model.predict(codes[200:])
        assert same.mean() > 0.99, column


def test_importances_are_scikit_learns():
    codes = CODES["noise 0.3"]
    ours = boosting.boost(codes[:TRAIN], VALUES[:TRAIN], SIZES, codes[TRAIN:], KEY, num_rounds=20, num_bins=TRAIN)
    expected, accuracy = reference.boosted(
        codes[:TRAIN], VALUES[:TRAIN], codes[TRAIN:], VALUES[TRAIN:], n_estimators=20
    )
    np.testing.assert_allclose(ours.importances, expected, atol=0.02)  # lots are drawn between equal splits
    np.testing.assert_allclose((np.asarray(ours.predicted) == VALUES[TRAIN:]).mean(0), accuracy, atol=0.03)


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_importances(seed):
    random = np.random.default_rng(seed)
    table = random.random((5, 3)) ** 4
    table[1], table[2, 1:] = 0.0, 0.0
    table /= table.sum(0)
    expected = reference.scores(table, np.ones(3))
    concentration = jax.jit(dci.concentration)
    ours = concentration(table, np.ones(3, bool)), concentration(table.T, np.ones(5, bool))
    np.testing.assert_allclose(ours, [expected[key] for key in KEYS[:2]], atol=1e-6)
    nothing = reference.scores(np.zeros((5, 3)), np.ones(3))
    assert concentration(np.zeros((5, 3)), np.ones(3, bool)) == 0.0
    assert nothing[KEYS[0]] == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_every_kind_of_codes():
    """As the reference does to 0.03, with fewer points and values than its defaults, which take it minutes a code."""
    sizes, num_train = (3, 6, 10, 8), 3_000
    values = draw(sizes, num_train + 1_500)
    kinds = codes_of_every_kind(values, sizes, 8, np.random.default_rng(7))
    assert len(kinds) >= 12
    ours, expected = [], []
    for codes in kinds.values():
        points = codes[:num_train], values[:num_train], codes[num_train:], values[num_train:]
        scores = dci.dci_of_points(points[0], Factors(jnp.asarray(points[1]), sizes), *points[2:], KEY)
        ours.append([float(scores[key]) for key in KEYS])
        scores = reference.dci_of_points(*points)
        expected.append([scores[key] for key in KEYS])
    for index, key in enumerate(KEYS):
        one, other = (np.array(scores)[:, index] for scores in (ours, expected))
        worst = int(np.argmax(np.abs(one - other)))
        assert abs(one[worst] - other[worst]) < 0.03, (key, list(kinds)[worst], one[worst], other[worst])
        assert spearmanr(one, other).statistic >= 0.95, key


# What must not matter, and what must.


def test_codes_from_perfect_to_worthless():
    perfect, noisy, random = (found(CODES[kind]) for kind in ("a little noise", "noise 1", "random"))
    assert min(perfect) > 0.9
    assert np.all(np.array(perfect) > noisy) and np.all(np.array(noisy) > random)
    assert max(random[:2]) < 0.1


def test_only_the_order_of_codes_matters():
    """Trees see no scale and no curve."""
    base = found(CODES["noise 0.3"])
    assert found(CODES["noise 0.3"] * np.array([1, 2, 4, 1024, 2**-20, 2**-60])) == base
    np.testing.assert_allclose(found(np.exp(CODES["noise 0.3"])), base, atol=0.02)  # other points halfway
    np.testing.assert_allclose(found(-CODES["noise 0.3"][:, ::-1]), base, atol=0.03)


def test_copies_share_what_they_tell():
    """Were one of two equal latents always taken, completeness would not see the other."""
    codes = CODES["noise 0.3"].copy()
    alone = found(codes)
    codes[:, 3:] = 5 * codes[:, :3]
    shared = found(codes)
    assert shared[0] == pytest.approx(alone[0], abs=0.1)
    # Half of 1 each, of six: the entropy of a factor's row rises by log 2.
    assert shared[1] == pytest.approx(alone[1] - np.log(2) / np.log(6), abs=0.1)


def test_lanes_and_trees_in_turn_score_as_one(monkeypatch):
    codes = jnp.stack([jnp.asarray(CODES[kind]) for kind in ("noise 0.3", "noise 1")])
    alone = [found(lane) for lane in codes]
    monkeypatch.setattr(boosting, "TREES_AT_ONCE", 4)  # of 9 or more
    trees = functools.partial(boosting.boost.__wrapped__, num_rounds=20, num_bins=32)
    monkeypatch.setattr(dci, "boost", lambda *arguments, **_: trees(*arguments))
    beside = jax.jit(jax.vmap(functools.partial(quick.__wrapped__, sizes=(4, 5, 3)), in_axes=(0, None)))(codes, VALUES)
    for index, key in enumerate(KEYS):
        np.testing.assert_allclose(beside[key], [scores[index] for scores in alone], atol=0.02)


# At the edges.


def test_values_that_never_occur_change_nothing():
    base = found(CODES["noise 0.3"])
    np.testing.assert_allclose(found(CODES["noise 0.3"], VALUES + np.array([1, 0, 1])), base, atol=0.02)
    two = jax.jit(quick.__wrapped__, static_argnums=2)(CODES["noise 0.3"], VALUES, SIZES)  # one tree for two classes
    np.testing.assert_allclose([two[key] for key in KEYS], base, atol=0.02)


def test_a_constant_factor_is_no_factor():
    values = VALUES * [1, 1, 0]
    scores = found(CODES["perfect"], values)
    assert min(scores) > 0.95
    assert found(CODES["noise 1"], VALUES * 0 + 1) == [0, 0, 0]
    # Of two factors that vary, a latent that tells both evenly is not disentangled at all.
    twice = VALUES[:, [0, 0, 2]] * [1, 1, 0]
    disentanglement, completeness, informativeness = found(CODES["perfect"], twice)
    assert disentanglement < 0.05 and completeness > 0.95 and informativeness > 0.95


@pytest.mark.parametrize("codes", [np.zeros((450, 6)), np.full((450, 6), 0.1)])
def test_constant_codes_tell_nothing(codes):
    usual = [np.bincount(column[:TRAIN]).argmax() for column in VALUES.T]
    scores = found(codes)
    assert scores[:2] == [0, 0]
    assert scores[2] == pytest.approx((VALUES[TRAIN:] == usual).mean(), abs=1e-6)


def test_a_value_only_among_test_points_is_never_right():
    values = VALUES.copy()
    values[:TRAIN, 1] %= 3
    codes = codes_of_every_kind(VALUES, SIZES, 6, np.random.default_rng(4))["perfect"]
    expected = (1 + (VALUES[TRAIN:, 1] < 3).mean() + 1) / 3
    codes[:TRAIN, 1] = values[:TRAIN, 1]
    codes[TRAIN:, 1] = values[TRAIN:, 1]
    assert found(codes, values)[2] == pytest.approx(expected, abs=1e-6)


def test_one_latent_and_one_factor():
    codes, values = jnp.asarray(CODES["perfect"]), jnp.asarray(VALUES)
    scores = quick(codes[:, :1], values[:, :1], (3,))
    assert [float(scores[key]) for key in KEYS] == [1, 1, 1]
    scores = quick(jnp.zeros((450, 1)), values[:, :1], (3,))
    assert [float(scores[key]) for key in KEYS[:2]] == [0, 0]


def test_two_rows_are_enough():
    factors = Factors(jnp.array([[0, 1], [1, 1]], jnp.int32), (2, 3))
    few = {"num_train": 20, "num_test": 10, "num_rounds": 5}
    scores = jax.jit(functools.partial(dci.dci_scores, **few))(jnp.array([[0.0, 1.0], [1.0, 1.0]]), factors, KEY)
    assert [float(scores[key]) for key in KEYS] == [1, 1, 1]


@pytest.mark.parametrize("num_points", [2, 100, 10_000])
def test_splits_lie_between_values(num_points):
    random = np.random.default_rng(0)
    distinct = np.float32(random.normal(size=7))
    columns = [random.normal(size=num_points), random.choice(distinct, num_points), np.ones(num_points)]
    features = np.stack(columns, axis=1).astype(np.float32)
    thresholds = np.asarray(jax.jit(boosting.candidate_splits, static_argnums=1)(features, 64))
    assert thresholds.shape == (63, 3) and (np.diff(thresholds[np.isfinite(thresholds).all(1)], axis=0) >= 0).all()
    for column, found_ in zip(features.T, thresholds.T, strict=True):
        values = np.unique(column)
        finite = np.unique(found_[np.isfinite(found_)])
        if len(values) <= 64:
            assert len(finite) == len(values) - 1
            assert ((values[:-1] <= finite) & (finite < values[1:])).all()
        else:
            assert len(finite) == 63
            counts = np.histogram(column, [-np.inf, *finite, np.inf])[0]
            assert counts.min() >= 1 and counts.max() < 2 * num_points / 40  # fewer in the tails, more between them


def test_splits_keep_clusters_whole():
    random = np.random.default_rng(0)
    clusters = random.integers(40, size=5_000)
    features = (clusters + 0.1 * random.uniform(-1, 1, size=5_000)).astype(np.float32)[:, None]
    thresholds = np.asarray(boosting.candidate_splits(jnp.asarray(features), 64))
    bins = (features > thresholds.T).sum(1)
    owners = [set(clusters[bins == number]) for number in np.unique(bins)]
    assert sum(len(found) == 1 for found in owners) >= 0.9 * len(owners)
