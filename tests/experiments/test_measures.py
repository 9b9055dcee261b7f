"""What studies measure of codes, beside known values and reference implementations."""

import pathlib
import sys

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier

sys.path.append(str(pathlib.Path(__file__).resolve().parents[2] / "experiments"))

import measures

RNG = np.random.default_rng(0)


def test_the_likelihood_is_that_of_coins_and_finite():
    images, decoded = np.array([0.0, 1.0, 1.0, 0.5]), np.array([0.25, 0.5, 0.0, 0.5])
    wanted = -np.log(0.75) - np.log(0.5) - np.log(measures.CLIP) - np.log(0.5)
    assert measures.bernoulli_nll(images.reshape(1, 2, 2, 1), decoded.reshape(1, 2, 2, 1)) == pytest.approx(wanted)


def test_kl_and_samples_are_those_of_the_posterior():
    mean, logvar = np.array([[0.0, 2.0]]), np.log([[1.0, 0.25]])
    assert measures.standard_kl(mean, logvar)[0] == pytest.approx([0, 0.5 * (4 + 0.25 - np.log(0.25) - 1)])
    drawn = measures.sampled(np.repeat(mean, 20_000, 0), np.repeat(logvar, 20_000, 0), scale=2.0)
    assert drawn.mean(0) == pytest.approx([0, 2], abs=0.05) and drawn.std(0) == pytest.approx([2, 1], rel=0.03)


def test_total_correlations_agree_on_a_gaussian():
    matrix = np.array([[1.0, 0.8, 0.0], [0.8, 1.0, 0.0], [0.0, 0.0, 1.0]])
    wanted = -0.5 * np.log(1 - 0.64)
    assert measures.gaussian_total_correlation(matrix, [[0], [1], [2]]) == pytest.approx(wanted)
    assert measures.gaussian_total_correlation(matrix, [[0, 1], [2]]) == pytest.approx(0, abs=1e-12)
    # A sample of N(0, matrix) as means, nearly all of the variance, and the rest as noise.
    means = RNG.multivariate_normal(np.zeros(3), matrix - 0.15 * np.eye(3), size=800)
    logvar = np.full_like(means, np.log(0.15))
    found = measures.mixture_total_correlation(measures.sampled(means, logvar), means, logvar)
    assert found == pytest.approx(wanted, abs=0.12)


def test_a_critic_bounds_the_total_correlation_from_below():
    matrix = np.array([[1.0, 0.8], [0.8, 1.0]])
    known, asked = RNG.multivariate_normal(np.zeros(2), matrix, size=(2, 4000))
    wanted = -0.5 * np.log(1 - 0.64)
    assert 0.8 * wanted < measures.critic_total_correlation(known, asked) < wanted + 0.05
    assert abs(measures.critic_total_correlation(*RNG.normal(size=(2, 4000, 2)))) < 0.02


def test_neighbours_vote_as_in_scikit_learn():
    labels = RNG.integers(0, 10, 600)
    codes = RNG.normal(size=(600, 3)) + 0.4 * labels[:, None]
    reference = KNeighborsClassifier(10).fit(codes[:300], labels[:300]).predict(codes[300:])
    told = measures.nearest_digit(codes[:300], labels[:300], codes[300:], rows=70)
    assert (told == reference).all()  # the least of the commonest digits in both


def test_paths_are_measured_by_their_pixels():
    codes = measures.straight_paths(np.array([[0.0, 0.0]]), np.array([[4.0, 2.0]]), 5)
    assert codes[0].tolist() == [[0, 0], [1, 0.5], [2, 1], [3, 1.5], [4, 2]]
    assert measures.path_measures(codes) == pytest.approx({"length": 1, "largest_step": 1})
    detour = np.array([[[0.0, 0.0], [3.0, 0.0], [3.0, 4.0]]])  # 3 and 4 long, ends 5 apart
    assert measures.path_measures(detour) == pytest.approx({"length": 7 / 5, "largest_step": 4 / 3.5})
    assert measures.path_measures(np.concatenate([detour, 0 * detour])) == measures.path_measures(detour)
    assert np.isnan(measures.path_measures(0 * detour)["length"])
