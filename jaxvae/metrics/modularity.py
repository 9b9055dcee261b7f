"""Modularity: whether each latent tells of one factor only."""

import functools

import jax
import jax.numpy as jnp

from jaxvae.metrics.information import NUM_BINS, discretise, entropy, mutual_information
from jaxvae.metrics.points import NUM_TRAIN, draw_points
from jaxvae.types import Factors


def modularity_score(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_TRAIN,
    num_bins: int = NUM_BINS,
) -> dict[str, jax.Array]:
    """Score how far each latent has information on one factor alone, on points drawn.

    With I_dk = I(z_d; v_k) and the factor c(d) = argmax_k I_dk that latent d tells most about,
    modularity = mean_d [1 - Σ_(k ≠ c(d)) I_dk² / (I_d,c(d)² (K - 1))], 0 for a latent without any information.

    Range 0 … 1; 1 when every latent tells of one factor, however many share it and whether or not all factors are told.
    Chance level not 0: a latent of noise has small, unequal estimates of information, the larger the more values a
    factor has, and scores 0.67 on dSprites' factors. A constant latent counts as 0, a dead one that still trembles as
    noise.

    Args:
        codes: f32[N, D].
        factors: N rows of K factors; a continuous one is cut into 20 bins of equal width, as the codes are. K counts
            those that vary among the points drawn; with one alone a latent scores 1 if it tells anything of it, with
            none 0.
        key: draws the points.
        test: not looked at; nothing is fitted.
        num_points: 10,000 as in disentanglement_lib, no row twice; every row once where there are no more.
        num_bins: 20 as in disentanglement_lib.

    Differs from: disentanglement_lib, which follows the paper, counts factors of one value in K and divides by zero
    with a single factor.

    References:
        Ridgeway, Mozer, "Learning Deep Disentangled Embeddings With the F-Statistic Loss", NeurIPS 2018, section 3,
        https://arxiv.org/abs/1802.05312
        https://github.com/google-research/disentanglement_lib (evaluation/metrics/modularity_explicitness.py)
    """
    del test
    return {"modularity": modularity(*draw_points(codes, factors, key, num_points), num_bins=num_bins)}


@functools.partial(jax.jit, static_argnames="num_bins")
def modularity(codes: jax.Array, factors: Factors, *, num_bins: int = NUM_BINS) -> jax.Array:
    """Return modularity f32[] of exactly the points given, codes f32[N, D] with their factors."""
    information = mutual_information(discretise(codes, num_bins), num_bins, factors.values, factors.sizes)  # [D, K]
    squared = jnp.square(information)
    best = squared.max(1)
    others = jnp.maximum((entropy(factors.values, factors.sizes) > 0).sum() - 1, 1)
    shared = (squared.sum(1) - best) / (jnp.where(best > 0, best, 1.0) * others)
    return jnp.where(best > 0, 1.0 - shared, 0.0).mean()
