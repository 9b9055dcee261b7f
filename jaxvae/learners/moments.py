"""Means and variances of codes that stay right in float32, for a handful of rows or for all of a large data set."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

BLOCK = 1024


def variance(codes: jax.Array, *, ddof: int = 0) -> jax.Array:
    """Return f32[D], Σ_n (codes_nd - mean_d)² / (N - ddof) of codes f32[N, D]; exactly 0 for a constant column.

    For codes of the size of 1: squares of 10⁻²³ vanish and those of 10²⁰ are infinite. See `deviation` and
    `relative_variance` for what is right in all of float32's range.

    Args:
        codes: f32[N, D], N > ddof.
        ddof: 0 for the population's variance, 1 for the unbiased estimate.
    """
    # The mean of equal numbers need not be that number in float32; differences to the first row are exact zeros.
    shifted = codes - codes[0]
    mean = _sum_rows(shifted) / len(codes)
    return _sum_rows(jnp.square(shifted - mean)) / (len(codes) - ddof)


def deviation(codes: jax.Array, *, ddof: int = 0) -> jax.Array:
    """Return f32[D], the root of `variance`, whatever the size of codes f32[N, D]: nothing is squared in their units.

    Args:
        codes: f32[N, D], N > ddof.
        ddof: 0 for the population's variance, 1 for the unbiased estimate.
    """
    half = _half_differences(codes, codes[0])
    spread = jnp.abs(half).max(0)
    return 2 * jnp.sqrt(variance(half / jnp.where(spread > 0, spread, 1.0), ddof=ddof)) * spread


def relative_variance(codes: jax.Array, unit: jax.Array) -> jax.Array:
    """Return f32[D], the unbiased variance of codes f32[N, D], N >= 2, in units of (2 unit)², unit f32[D] positive."""
    return variance(_half_differences(codes, codes[0]) / unit, ddof=1)


class Scaling(NamedTuple):
    """How to standardise codes: by the mean and standard deviation of some, told in steps that lose no digits."""

    first: jax.Array  # f32[D], one of the rows
    spread: jax.Array  # f32[D], half the largest distance to it; 1 where the column is constant
    mean: jax.Array  # f32[D], of (codes - first) / 2 / spread
    deviation: jax.Array  # f32[D], likewise; 1 where the column is constant
    alive: jax.Array  # bool[D], the columns that are not constant


def scaling_of(codes: jax.Array) -> Scaling:
    """Return the scaling that gives codes f32[N, D] mean 0 and variance 1 (divisor N)."""
    # Halves cannot overflow, units of the spread neither overflow nor vanish when squared, and differences to a row
    # keep the digits of codes that lie far from zero.
    half = _half_differences(codes, codes[0])
    spread = jnp.abs(half).max(0)
    alive = spread > 0
    spread = jnp.where(alive, spread, 1.0)
    unit = half / spread
    return Scaling(
        codes[0], spread, _sum_rows(unit) / len(codes), jnp.where(alive, jnp.sqrt(variance(unit)), 1.0), alive
    )


def standardise(codes: jax.Array, scaling: Scaling) -> jax.Array:
    """Return codes f32[N, D] as the scaling says; 0 in columns that were constant where it was made."""
    centred = _half_differences(codes, scaling.first) / scaling.spread - scaling.mean
    return jnp.where(scaling.alive, centred / scaling.deviation, 0.0)


def _half_differences(codes, first):
    return 0.5 * codes - 0.5 * first


def _sum_rows(values: jax.Array) -> jax.Array:
    """Return the sum over axis 0, of blocks first: one long float32 accumulator would lose the small addends."""
    num_rows = len(values)
    if num_rows <= BLOCK:
        return values.sum(0)
    padded = jnp.pad(values, ((0, -num_rows % BLOCK), (0, 0)))
    return padded.reshape(-1, BLOCK, values.shape[1]).sum(1).sum(0)
