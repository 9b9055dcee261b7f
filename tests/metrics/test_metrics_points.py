"""Which rows scores look at: every row once where there are few, and none twice where there are many."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.metrics import METRICS, mig_sampled, points, rows, score
from jaxvae.types import Factors
from reference import classic, dci, disentanglement

SIZES = (2, 5, 24)
KEY = jax.random.key(0)


def given(num_rows, seed):
    """Return codes f32[N, 4] under noise and their factors."""
    random = np.random.default_rng(seed)
    values = random.integers(SIZES, size=(num_rows, 3)).astype(np.int32)
    unit = (values - (np.array(SIZES) - 1) / 2) / (np.array(SIZES) / np.sqrt(12))
    noise = random.normal(size=(num_rows, 4))
    return np.concatenate([unit + 0.5 * noise[:, :3], noise[:, 3:]], axis=1).astype(np.float32), values


CODES, VALUES = given(2_000, 0)
TEST, TEST_VALUES = given(1_000, 1)
REFERENCES = {
    "mig": lambda: disentanglement.mig_of_points(CODES, VALUES),
    "modularity": lambda: classic.modularity(CODES, VALUES),
    "mutual_information": lambda: classic.mutual_information(CODES),
    "gaussian_tc": lambda: classic.gaussian_tc(CODES),
    "irs": lambda: classic.irs(CODES, VALUES),
    "sap": lambda: classic.sap(CODES, VALUES, TEST, TEST_VALUES, classic.exact_machine),
    "sap_continuous": lambda: classic.sap_continuous(CODES, VALUES),
    "explicitness": lambda: classic.explicitness(CODES, VALUES, TEST, TEST_VALUES),
}


@pytest.fixture(scope="module")
def of_given_rows():
    names = tuple(name for name in METRICS if set(METRICS[name].keys) & set(REFERENCES))
    return score(CODES, VALUES, names=names, test_codes=TEST, test_factors=TEST_VALUES)


@pytest.mark.parametrize("key", REFERENCES)
def test_rows_that_are_given_score_as_the_references_formula_does(of_given_rows, key):
    assert of_given_rows[key] == pytest.approx(REFERENCES[key](), abs=1e-3)


def test_ten_thousand_rows_are_no_more_than_the_reference_takes():
    codes, values = given(10_000, 2)
    found = score(codes, values, names=("mig", "mutual_information", "modularity"))
    assert found["mig"] == pytest.approx(disentanglement.mig_of_points(codes, values), abs=1e-5)
    assert found["modularity"] == pytest.approx(classic.modularity(codes, values), abs=1e-5)
    assert found["mutual_information"] == pytest.approx(classic.mutual_information(codes), abs=1e-5)


def test_dci_fits_every_row_once(monkeypatch):
    codes, values, test = CODES[:200], np.minimum(VALUES[:200], 3), CODES[200:300]
    few = jax.jit(functools.partial(METRICS["dci"].function, num_rounds=20, num_bins=200))
    factors, test_factors = (Factors(jnp.asarray(v), (2, 4, 4)) for v in (values, np.minimum(VALUES[200:300], 3)))
    found = few(codes, factors, KEY, test=(test, test_factors))
    expected = dci.dci_of_points(codes, values, test, np.asarray(test_factors.values), n_estimators=20)
    assert float(found["dci_informativeness"]) == pytest.approx(expected["dci_informativeness"], abs=0.03)
    assert float(found["dci_disentanglement"]) == pytest.approx(expected["dci_disentanglement"], abs=0.02)


DETERMINISTIC = ("mig", "modularity", "mutual_information", "gaussian_tc", "irs", "sap_continuous")


def test_of_few_rows_no_lot_is_drawn():
    names = tuple(name for name in METRICS if set(METRICS[name].keys) & set(DETERMINISTIC))
    one, other = (score(CODES, VALUES, names=names, seed=seed) for seed in (0, 1))
    for key in DETERMINISTIC:
        assert one[key] == other[key], key


# The draws themselves: shuffled, and with those that came before left out.
DRAWS = [(7, 3), (15_001, 15_000), (65_536, 1_000), (65_537, 10), (70_000, 15_000), (737_280, 15_000)]


@pytest.mark.parametrize(("num_rows", "num_points"), DRAWS)
def test_no_row_is_drawn_twice(num_rows, num_points):
    draw = jax.jit(rows.draw_distinct, static_argnums=(1, 2))
    for seed in range(5):
        drawn = np.asarray(draw(jax.random.key(seed), num_rows, num_points))
        assert len(drawn) == len(np.unique(drawn)) == num_points
        assert drawn.min() >= 0 and drawn.max() < num_rows and drawn.dtype == np.int32


@pytest.mark.parametrize("shuffled", [4, 2**16])
def test_every_row_is_as_likely_at_every_place(monkeypatch, shuffled):
    """Also where those that came before are left out: 40 rows of which 8 are drawn, 20,000 times."""
    monkeypatch.setattr(rows, "SHUFFLED", shuffled)
    draw = jax.jit(jax.vmap(lambda key: rows.draw_distinct(key, 40, 8)))
    drawn = np.asarray(draw(jax.random.split(KEY, 20_000)))
    for place in (0, 3, 7):
        shares = np.bincount(drawn[:, place], minlength=40) / 20_000
        np.testing.assert_allclose(shares, 1 / 40, atol=6 * (1 / 40 / 20_000) ** 0.5)
    pairs = np.zeros((40, 40))
    np.add.at(pairs, (drawn[:, 0], drawn[:, 1]), 1)
    assert (np.diag(pairs) == 0).all() and pairs.max() < 2.5 * 20_000 / (40 * 39)


def numbered(num_rows):
    """Return codes and factors that say which row they are of."""
    number = jnp.arange(num_rows, dtype=jnp.int32)[:, None]
    return number.astype(jnp.float32), Factors(number, (num_rows,))


@pytest.mark.parametrize("num_rows", [8, 10, 13, 15, 16, 400])
def test_what_is_reported_is_fitted_only_where_rows_do_not_suffice(num_rows):
    train, test = points.draw_train_and_test(*numbered(num_rows), KEY, None, 10, 5)
    for codes, factors in (train, test):
        np.testing.assert_array_equal(codes, factors.values)
        assert len(np.unique(codes)) == len(codes)
    fitted, reported = (set(np.asarray(drawn[1].values).ravel().tolist()) for drawn in (train, test))
    assert len(fitted) == min(num_rows, 10) and len(reported) == min(num_rows, 5)
    assert len(fitted & reported) == max(0, min(num_rows, 10) + min(num_rows, 5) - num_rows)
    if num_rows >= 15:  # not the first ten rows of a file that may be in order
        assert sorted(fitted) != list(range(10))


def test_held_out_points_are_as_distinct():
    train, test = points.draw_train_and_test(*numbered(100), KEY, numbered(4), 10, 5)
    assert len(np.unique(train[0])) == 10 and test[0].ravel().tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("count", [20, 150, 4_000])
def test_samples_of_q_go_through_the_rows_before_any_comes_again(count):
    """150 samples, in three parts of 50."""
    draw = jax.vmap(lambda part: mig_sampled.draw_part(jax.random.fold_in(KEY, part), count, 10, 2, (part, 3))["rows"])
    times = np.bincount(np.asarray(draw(jnp.arange(3))).ravel(), minlength=count)
    assert times.sum() == 150
    if count == 150:
        assert (times == 1).all()
    elif count < 150:
        assert times.min() >= 150 // count - 1 and times.max() <= 150 // count + 2
    else:
        assert times.max() <= 2 and (times == 2).sum() < 10
