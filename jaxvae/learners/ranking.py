"""How well scores rank the points of a class before others: areas under ROC curves, many at once, nothing fitted."""

import jax
import jax.numpy as jnp

HIGHEST = jax.lax.Precision.HIGHEST  # some accelerators would otherwise round the factors of a matmul to 10 bits


def areas_under_curves(scores: jax.Array, told: jax.Array) -> jax.Array:
    """Return f32[C], the areas under the ROC curves; what is returned for a class of all points or none means nothing.

    Args:
        scores: f32[C, N], not NaN. Scores that differ in their last bit only count as ties.
        told: u32[C, N], 1 for the points of the class and 0 for others.
    """
    # The bits of a float order like the float once the sign is folded in; the last bit makes room for the class.
    bits = jax.lax.bitcast_convert_type(jnp.where(scores == 0, 0.0, scores), jnp.uint32)  # -0 is 0
    bits = jnp.where(bits >> 31 == 1, ~bits, bits | jnp.uint32(1 << 31))
    ordered = jnp.sort((bits & ~jnp.uint32(1)) | told, axis=1)
    inside = (ordered & 1).astype(jnp.float32)
    below = jnp.cumsum(1.0 - inside, axis=1)  # points of other classes up to each, exact
    new = (ordered[:, 1:] >> 1) != (ordered[:, :-1] >> 1)
    edge = jnp.ones((len(scores), 1), bool)
    before = jnp.where(jnp.concatenate([edge, new], 1), below - (1.0 - inside), 0.0)
    up_to = jnp.where(jnp.concatenate([new, edge], 1), below, jnp.inf)
    middle = (jax.lax.cummax(before, axis=1) + jax.lax.cummin(up_to, axis=1, reverse=True)) / 2
    num_inside = inside.sum(1)
    num_outside = inside.shape[1] - num_inside
    return (middle * inside).sum(1) / jnp.maximum(num_inside, 1) / jnp.maximum(num_outside, 1)


def areas_of_columns(scores: jax.Array, told: jax.Array) -> jax.Array:
    """Return f32[D, K], the area under the ROC curve of every column of scores for every class; ties count one half.

    Each column is sorted once, for all classes. A class of all points or none gets 1/2.

    Args:
        scores: f32[N, D], not NaN.
        told: bool[N, K], the points of each class.
    """
    ranks = jax.vmap(shared_ranks, in_axes=1)(scores) - (len(scores) + 1) / 2  # about 0: their sums keep the digits
    inside = told.astype(jnp.float32)
    num_inside = inside.sum(0)
    pairs = num_inside * (len(scores) - num_inside)
    return 0.5 + jnp.matmul(ranks, inside, precision=HIGHEST) / jnp.where(pairs > 0, pairs, jnp.inf)


def shared_ranks(column: jax.Array) -> jax.Array:
    """Return the ranks f32[N] of a column f32[N] from 1, equal numbers sharing the mean of theirs."""
    ordered = jnp.sort(column)
    below, up_to = (jnp.searchsorted(ordered, column, side=side) for side in ("left", "right"))
    return (below + up_to + 1) / 2
