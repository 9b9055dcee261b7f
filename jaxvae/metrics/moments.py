"""Variances of codes that stay right in float32, for a handful of rows or for all of a large data set."""

import jax
import jax.numpy as jnp

BLOCK = 1024


def variance(codes: jax.Array, *, ddof: int = 0) -> jax.Array:
    """Return f32[D], Σ_n (codes_nd - mean_d)² / (N - ddof) of codes f32[N, D]; exactly 0 for a constant column.

    Args:
        codes: f32[N, D], N > ddof.
        ddof: 0 for the population's variance, 1 for the unbiased estimate.
    """
    # The mean of equal numbers need not be that number in float32; differences to the first row are exact zeros.
    shifted = codes - codes[0]
    mean = _sum_rows(shifted) / len(codes)
    return _sum_rows(jnp.square(shifted - mean)) / (len(codes) - ddof)


def _sum_rows(values: jax.Array) -> jax.Array:
    """Return the sum over axis 0, of blocks first: one long float32 accumulator would lose the small addends."""
    num_rows = len(values)
    if num_rows <= BLOCK:
        return values.sum(0)
    padded = jnp.pad(values, ((0, -num_rows % BLOCK), (0, 0)))
    return padded.reshape(-1, BLOCK, values.shape[1]).sum(1).sum(0)
