"""Distances between codes, and the points nearest to each: blocks of a matrix that is never whole. Knows no class."""

import jax
import jax.numpy as jnp
import numpy as np

HIGHEST = jax.lax.Precision.HIGHEST  # some accelerators would otherwise round the factors of a matmul to 10 bits
BLOCK = 256  # rows of the matrix at a time
ROUNDING = 4 * np.finfo(np.float32).eps  # of a squared distance, as a part of both points' squared distances to 0


def in_one_unit(codes: jax.Array, others: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return codes f32[N, D] and others f32[M, D] about the mean of codes and in one unit, the largest spread there is.

    So no distance overflows, vanishes, or loses digits far from zero. The unit is the same for all latents: one that
    hardly varies stays one that hardly counts.
    """
    both = [0.5 * part - 0.5 * codes[0] for part in (codes, others)]  # halves cannot overflow
    spread = jnp.maximum(*(jnp.abs(half).max() for half in both))
    fitted, asked = (half / jnp.where(spread > 0, spread, 1.0) for half in both)
    centre = fitted.mean(0)
    return fitted - centre, asked - centre


def squared_distances(left: jax.Array, right: jax.Array) -> jax.Array:
    """Return f32[N, M], |left_n - right_m|² of f32[N, D] and f32[M, D], from a matmul; what is mere rounding is 0."""
    sizes = jnp.square(left).sum(1)[:, None] + jnp.square(right).sum(1)
    found = sizes - 2.0 * jnp.matmul(left, right.T, precision=HIGHEST)
    return jnp.where(found > ROUNDING * sizes, found, 0.0)


def over_blocks(function, rows):
    """Return function(rows) of a pytree of arrays [N, …] that all have N rows, worked out BLOCK rows at a time."""
    leaves = jax.tree.leaves(rows)
    number = len(leaves[0])
    blocks = -(-number // BLOCK)
    size = -(-number // blocks)  # equal blocks: a remainder would compile everything a second time

    def cut(leaf):
        padded = jnp.pad(leaf, ((0, blocks * size - number), *((0, 0),) * (leaf.ndim - 1)))
        return padded.reshape(blocks, size, *leaf.shape[1:])

    found = jax.lax.map(function, jax.tree.map(cut, rows))
    return jax.tree.map(lambda leaf: leaf.reshape(blocks * size, *leaf.shape[2:])[:number], found)


def nearest(points: jax.Array, queries: jax.Array, number: int) -> jax.Array:
    """Return i32[M, number], for each of queries f32[M, D] the rows of points f32[N, D] nearest to it, nearest first.

    Of points as far the earlier one. At most N; in the sense of Euclid.
    """
    points, queries = in_one_unit(points, queries)
    return over_blocks(lambda block: jax.lax.top_k(-squared_distances(block, points), number)[1], queries)
