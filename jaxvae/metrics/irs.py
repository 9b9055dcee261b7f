"""IRS, the interventional robustness score: how little a latent moves while its factor is held and others change."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.grouping import count_values
from jaxvae.learners.moments import scaling_of, standardise
from jaxvae.metrics.information import NUM_BINS, discretise
from jaxvae.metrics.points import NUM_TRAIN, draw_points
from jaxvae.types import Factors

QUANTILE = 0.99


def interventional_robustness(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    *,
    test: tuple[jax.Array, Factors] | None = None,
    num_points: int = NUM_TRAIN,
    quantile: float = QUANTILE,
    num_bins: int = NUM_BINS,
) -> dict[str, jax.Array]:
    """Score how firmly each latent stays put while one factor is held, on points drawn.

    For latent d and factor k, P_dk = mean_v Q(|z_d - E[z_d | v_k = v]| given v_k = v), Q the 0.99 quantile: how far the
    latent strays while factor k is held. With the largest deviation m_d = max |z_d - E[z_d]|,
    IRS = Σ_d m_d max_k (1 - P_dk / m_d) / Σ_d m_d.

    Range 0 … 1, below 0 in contrived cases only; 1 when every latent is a function of one factor. Chance level not 0,
    as a quantile lies below the maximum: ten latents of Gaussian noise score 0.37, of uniform noise 0.015. Latents
    weigh as their deviations do, so their scale matters, and a dead latent hardly counts. 0 when all latents are
    constant or no factor varies.

    Args:
        codes: f32[N, D].
        factors: N rows of K factors; those that do not vary among the points drawn are left out.
        key: draws the points.
        test: not looked at; nothing is fitted.
        num_points: 10,000 as in disentanglement_lib, no row twice; every row once where there are no more.
        quantile: 0.99 as in disentanglement_lib, interpolated between order statistics as NumPy does.
        num_bins: a factor of more than 20 values, or a continuous one, is held in 20 bins of equal width between the
            least and the largest of its values as given, as in disentanglement_lib; one as large as the largest factor,
            or larger, holds every value by itself.

    Differs from: Suter et al. take the maximum for Q and hold factors at a value. This follows disentanglement_lib in
    the quantile and in the bins, which lower the score of perfect codes for factors of many values. There a factor of
    one value takes part; the quantile's distance to the maximum is then counted for it.

    References:
        Suter, Miladinović, Schölkopf, Bauer, "Robustly Disentangled Causal Mechanisms: Validating Deep Representations
        for Interventional Robustness", ICML 2019, https://arxiv.org/abs/1811.00007
        https://github.com/google-research/disentanglement_lib (evaluation/metrics/irs.py)
    """
    del test
    points = draw_points(codes, factors, key, num_points)
    return {"irs": robustness(*points, quantile=quantile, num_bins=num_bins)}


@functools.partial(jax.jit, static_argnames=("quantile", "num_bins"))
def robustness(
    codes: jax.Array, factors: Factors, *, quantile: float = QUANTILE, num_bins: int = NUM_BINS
) -> jax.Array:
    """Return IRS f32[] of exactly the points given, codes f32[N, D] with their factors."""
    scaling = scaling_of(codes)
    unit = standardise(codes, scaling)  # [N, D]
    largest = jnp.where(scaling.alive, jnp.abs(unit).max(0), 1.0)
    unit = unit / largest  # -1 … 1

    sizes = tuple(min(size, num_bins) for size in factors.sizes)
    if factors.numbers is None:
        binned = [_bin(column, num_bins) for column in factors.values.T]
    else:
        binned = list(discretise(factors.numbers, num_bins).T)
    held = jnp.stack(
        [
            bins if size > num_bins else column
            for bins, column, size in zip(binned, factors.values.T, factors.sizes, strict=True)
        ]
    )  # [K, N]
    counts = count_values(held.T, sizes)
    most = max(sizes)
    offsets = np.cumsum((0, *sizes[:-1]))
    inside = np.arange(most) < np.array(sizes)[:, None]  # [K, G]
    counts = jnp.where(inside, counts[np.where(inside, offsets[:, None] + np.arange(most), 0)], 0)

    def strayed(one):
        """Return f32[D], P_dk / m_d of one factor."""
        held, counts = one
        sums = jax.ops.segment_sum(unit, held, num_segments=most)
        means = sums / jnp.maximum(counts, 1)[:, None]
        found = quantiles(jnp.abs(unit - means[held]).T / 2, held, counts, quantile)  # [D, G]
        return 2 * jnp.where(counts > 0, found, 0.0).sum(1) / (counts > 0).sum()

    varies = (counts > 0).sum(1) >= 2
    robust = jnp.where(varies[:, None], 1.0 - jax.lax.map(strayed, (held, counts)), -jnp.inf).max(0)  # [D]
    weights = jnp.where(scaling.alive, largest * scaling.deviation * scaling.spread / scaling.spread.max(), 0.0)
    score = (jnp.where(scaling.alive, robust, 0.0) * weights).sum() / jnp.where(weights.any(), weights.sum(), 1.0)
    return jnp.where(varies.any() & scaling.alive.any(), score, 0.0)


def quantiles(values: jax.Array, groups: jax.Array, counts: jax.Array, quantile: float) -> jax.Array:
    """Return f32[D, G], the quantile of every row of values within every group, as np.quantile interpolates.

    Args:
        values: f32[D, N] in 0 … 1.
        groups: i32[N] in 0 … G-1.
        counts: i32[G], how many of the N are in each group; what is returned for an empty one means nothing.
        quantile: 0 … 1.
    """
    # Group and value go into one unsigned number each: sorting those is four times as fast as sorting pairs. At 20
    # groups 27 bits are left for the value, more than float32 has.
    bits = 32 - max(1, (len(counts) - 1).bit_length())
    largest = np.uint32(2**bits - 1)
    digits = jnp.minimum((values * np.float32(2**bits)).astype(jnp.uint32), largest)
    ordered = jnp.sort((groups.astype(jnp.uint32) << bits) | digits, axis=1)
    place = quantile * jnp.maximum(counts - 1, 0)
    below = jnp.floor(place).astype(jnp.int32)
    starts = jnp.cumsum(counts) - counts

    def at(index):
        index = starts + jnp.minimum(index, jnp.maximum(counts - 1, 0))
        return (ordered[:, jnp.minimum(index, ordered.shape[1] - 1)] & largest).astype(jnp.float32) / np.float32(
            2**bits
        )

    lower, upper = at(below), at(below + 1)
    return lower + (upper - lower) * (place - below)


def _bin(column: jax.Array, num_bins: int) -> jax.Array:
    """Return i32[N] in 0 … num_bins-1: `discretise` of integers in whole numbers, where no edge can be missed."""
    low = column.min()
    return jnp.minimum(num_bins * (column - low) // jnp.maximum(column.max() - low, 1), num_bins - 1)
