"""How latents answer factors: hand-made codes, analysis of variance by hand, bad input; what a showcase is given."""

import numpy as np
import pytest

from jaxvae.evaluate import respond
from jaxvae.types import InputError

SIZES = (3, 4)


@pytest.fixture(scope="module")
def factors():
    return np.array([(a, b) for a in range(3) for b in range(4) for _ in range(50)])


def test_a_latent_that_is_a_factor_is_explained_by_it_whatever_its_form(factors):
    a, b = factors.T
    codes = np.column_stack([a, np.array([3.0, -1.0, -1.0, 3.5])[b], a - 1.0 + 10_000.0])
    found = respond(codes, factors, SIZES)
    np.testing.assert_allclose(found.explained, [[1, 0], [0, 1], [1, 0]], atol=1e-6)
    np.testing.assert_allclose(found.means[0], [0, 1, 2, 1, 1, 1, 1], atol=1e-6)
    np.testing.assert_allclose(found.means[1, 3:], [3, -1, -1, 3.5], atol=1e-6)
    np.testing.assert_allclose(found.spread[0], [0, 0, 0, *[np.sqrt(2 / 3)] * 4], atol=1e-6)
    assert found.sizes == SIZES and found.means.dtype == found.explained.dtype == np.float32


def test_shares_of_a_sum_and_of_a_product_of_factors(factors):
    a, b = factors.T - np.array([[1.0], [1.5]])
    both = respond(np.column_stack([a + b, a * b]), factors, SIZES).explained
    share = a.var() / (a.var() + b.var())
    np.testing.assert_allclose(both[0], [share, 1 - share], atol=1e-6)
    np.testing.assert_allclose(both[1], [0, 0], atol=1e-6), "neither alone says anything of a product"


def test_numbers_are_those_of_an_analysis_of_variance(factors):
    rng = np.random.default_rng(0)
    kept = rng.permutation(len(factors))[:211]
    some = factors[kept]
    codes = rng.normal(size=(len(some), 3)).astype(np.float32) + some[:, :1] * 0.3
    found = respond(codes, some, SIZES)
    for d, z in enumerate(codes.T.astype(float)):
        for k, (start, size) in enumerate(((0, 3), (3, 4))):
            groups = [z[some[:, k] == v] for v in range(size)]
            np.testing.assert_allclose(found.means[d, start : start + size], [g.mean() for g in groups], rtol=1e-4)
            np.testing.assert_allclose(found.spread[d, start : start + size], [g.std() for g in groups], rtol=1e-4)
            between = sum(len(g) * (g.mean() - z.mean()) ** 2 for g in groups)
            assert found.explained[d, k] == pytest.approx(between / ((z - z.mean()) ** 2).sum(), rel=1e-4)


def test_what_carries_nothing(factors):
    codes = np.column_stack([np.full(len(factors), 0.1), np.random.default_rng(0).normal(size=len(factors))])
    found = respond(codes, factors, SIZES)
    assert (found.explained[0] == 0).all(), "a constant latent"
    assert (found.explained[1] < 0.02).all(), "a latent of noise"
    one = respond(codes, np.column_stack([factors[:, 0], np.full(len(factors), 2)]), (5, 4))
    assert np.isnan(one.explained[:, 1]).all() and np.isfinite(one.explained[:, 0]).all(), "a factor of one value"
    assert np.isnan(one.means[:, [3, 4, 5, 6, 8]]).all() and np.isnan(one.spread[:, 3]).all(), (
        "values that do not occur"
    )
    assert np.isfinite(one.means[:, [0, 1, 2, 7]]).all()


@pytest.mark.parametrize(
    ("codes", "factors", "words"),
    [
        (np.zeros((4, 2)), np.zeros((3, 2), int), r"got \(4, 2\) and \(3, 2\)"),
        (np.zeros((4, 2)), np.zeros((4, 1), int), r"factors \[N, 2\]"),
        (np.zeros((0, 2)), np.zeros((0, 2), int), r"got \(0, 2\)"),
        (np.zeros((1, 2)), np.array([[0, 4]]), "allow 0 to one less"),
        (np.zeros((1, 2)), np.array([[-1, 0]]), "allow 0 to one less"),
    ],
)
def test_what_does_not_fit_is_refused(codes, factors, words):
    with pytest.raises(InputError, match=words):
        respond(codes, factors, SIZES)
