"""Nearest neighbours: whether points of one class lie together, told by how well neighbours give a class away."""

import jax
import jax.numpy as jnp

from jaxvae.learners.distances import nearest
from jaxvae.metrics.points import NUM_HELD_OUT, draw_held_out, mean_over_varying
from jaxvae.types import Factors

NUM_NEIGHBOURS = 10


def neighbour_accuracy(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_neighbours: int = NUM_NEIGHBOURS,
    num_points: int = NUM_HELD_OUT,
) -> dict[str, jax.Array]:
    """Give the part of held-out points whose class is that of most of their ten nearest neighbours.

    The neighbours are the nearest fitted points in the sense of Euclid, codes as they are: a latent that is off varies
    little and counts for little. (Standardised, it would count as much as one that knows the class.)

    Range 0 … 1. Chance level: the largest class's share at best, 1/C for C classes of one size; 1 where classes lie
    apart, in whatever shape. With several labels the mean over those that vary among the points to report; 0 when none
    does.

    Args:
        codes: f32[N, D]. One unit for all latents does not matter; that of one latent beside the others does.
        factors: N rows of K labels or factors.
        key: draws the points.
        test: None, or held-out (codes, factors) that the points to report are drawn from.
        num_neighbours: 10; all fitted points where there are no more. Of classes as frequent the one with the lower
            number wins.
        num_points: 5,000 to fit and 5,000 to report, none of them in both and no row twice; half of the rows each where
            there are fewer than 10,000.

    Differs from: scikit-learn's KNeighborsClassifier(10) in nothing but which of several neighbours as far is taken.
    Papers report other k, and fit the training set's points.

    References:
        Cover, Hart, "Nearest Neighbor Pattern Classification", IEEE Transactions on Information Theory 13, 1967
        Davidson, Falorsi, De Cao, Kipf, Tomczak, "Hyperspherical Variational Auto-Encoders", UAI 2018, table 2, where
        codes of digits are scored so, https://arxiv.org/abs/1804.00891
    """
    train, test = draw_held_out(codes, factors, key, test, num_points)
    return {"knn_accuracy": accuracy_of_neighbours(train, test, num_neighbours)}


def accuracy_of_neighbours(
    train: tuple[jax.Array, Factors], test: tuple[jax.Array, Factors], num_neighbours: int
) -> jax.Array:
    """Return the accuracy f32[] on exactly the points given, codes f32[N, D] and f32[M, D] with their factors."""
    rows = nearest(train[0], test[0], min(num_neighbours, len(train[0])))
    told = majority(train[1].values[rows], sum(train[1].sizes))
    return mean_over_varying((told == test[1].values).mean(0, dtype=jnp.float32), test[1].values)


def majority(votes: jax.Array, num_values: int) -> jax.Array:
    """Return i32[M, K], the most frequent of votes i32[M, k, K] in 0 … num_values-1; the least of several."""
    alike = (votes[:, :, None] == votes[:, None]).sum(2, dtype=jnp.int32)
    best = jnp.argmax(alike * num_values - votes, axis=1)
    return jnp.take_along_axis(votes, best[:, None], axis=1)[:, 0]
