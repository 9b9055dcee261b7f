"""Silhouette: how far apart classes lie, measured by how wide they are."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.distances import HIGHEST, in_one_unit, over_blocks, squared_distances
from jaxvae.learners.grouping import count_values
from jaxvae.metrics.points import draw_points, mean_over_varying
from jaxvae.types import Factors

NUM_POINTS = 5_000


def mean_silhouette(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_POINTS,
) -> dict[str, jax.Array]:
    """Score classes as clusters of the codes: how much nearer each point is to its own class than to the next one.

    a is the mean distance, in the sense of Euclid, of a point to the others of its class, b the least of its mean
    distances to the points of another class; silhouette = mean of (b - a) / max(a, b), 0 for a point alone in its
    class.

    Range -1 … 1. Chance level 0 or little below, where classes are mixed; 1 where each is a point; below 0 where most
    points are nearer to another class. With several labels the mean over those that vary; 0 when none does.

    Args:
        codes: f32[N, D], as they are: a latent that is off varies little and counts for little. One unit for all
            latents does not matter; that of one latent beside the others does.
        factors: N rows of K labels or factors.
        key: draws the points.
        test: not looked at; nothing is fitted.
        num_points: 5,000, no row twice; every row once where there are no more. Their distances are worked out a few
            rows at a time.

    Differs from: scikit-learn's silhouette_score in nothing but rounding; that has an error where no class has two
    points.

    References:
        Rousseeuw, "Silhouettes: a Graphical Aid to the Interpretation and Validation of Cluster Analysis", Journal of
        Computational and Applied Mathematics 20, 1987
    """
    del test
    codes, factors = draw_points(codes, factors, key, num_points)
    if not factors.sizes:
        return {"silhouette": jnp.float32(0.0)}
    return {"silhouette": mean_over_varying(silhouettes(codes, factors).mean(0), factors.values)}


def silhouettes(codes: jax.Array, factors: Factors) -> jax.Array:
    """Return f32[N, K], the silhouette of every point of codes f32[N, D] among the classes of every factor."""
    points, _ = in_one_unit(codes, codes)
    sizes, ends = factors.sizes, np.cumsum(factors.sizes)
    offsets = np.concatenate([[0], ends[:-1]]).astype(np.int32)
    counts = count_values(factors.values, sizes).astype(jnp.float32)  # [V]
    numbers = factors.values + offsets  # [N, K]
    members = jnp.zeros((len(codes), sum(sizes))).at[jnp.arange(len(codes))[:, None], numbers].set(1.0)

    def of_block(rows):
        block, own = rows
        sums = jnp.matmul(jnp.sqrt(squared_distances(block, points)), members, precision=HIGHEST)  # [B, V]
        there = jnp.take_along_axis(sums, own, axis=1) / jnp.maximum(counts[own] - 1, 1.0)
        others = jnp.where(counts > 0, sums / jnp.maximum(counts, 1.0), jnp.inf)
        others = others.at[jnp.arange(len(block))[:, None], own].set(jnp.inf)
        next_to = jnp.stack([part.min(1) for part in jnp.split(others, ends[:-1], axis=1)], axis=1)
        largest = jnp.maximum(there, next_to)
        known = (counts[own] > 1) & (largest > 0) & jnp.isfinite(largest)
        return jnp.where(known, (next_to - there) / jnp.where(known, largest, 1.0), 0.0)

    return over_blocks(of_block, (points, numbers))
