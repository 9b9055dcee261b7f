"""Mutual information of a continuous and a discrete variable from nearest neighbours, as scikit-learn estimates it."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.scipy.special import digamma

STEPS = 2**29  # of the grid that codes are rounded to; differences then fit into 32 bits and are exact
FINE = 2**30  # steps of the tie break inside one step of that grid


class Places(NamedTuple):
    """Exact numbers coarse * FINE + fine, i32 each, 0 <= fine < FINE: 59 bits where float32 has 24."""

    coarse: jax.Array
    fine: jax.Array

    def __getitem__(self, index) -> "Places":
        return Places(self.coarse[index], self.fine[index])

    def minus(self, other: "Places") -> "Places":
        borrow = self.fine < other.fine
        fine = jnp.where(borrow, self.fine + (FINE - other.fine), self.fine - other.fine)
        return Places(self.coarse - other.coarse - borrow, fine)

    def below(self, other: "Places") -> jax.Array:
        return (self.coarse < other.coarse) | ((self.coarse == other.coarse) & (self.fine < other.fine))

    def where(self, condition: jax.Array, other: "Places") -> "Places":
        return Places(jnp.where(condition, self.coarse, other.coarse), jnp.where(condition, self.fine, other.fine))


def neighbour_information(codes: jax.Array, values: jax.Array, key: jax.Array, *, num_neighbours: int) -> jax.Array:
    """Return f32[D, K] in nats, the information I(z_d; v_k) between each latent and each factor, at least 0.

    Ross's estimate ψ(N) + mean ψ(k) - mean ψ(N_v) - mean ψ(m): N_v points share a point's value, the k-th nearest of
    them (k = num_neighbours, or N_v - 1 if that is less) is at a distance r, and m points of any value, itself among
    them, are nearer than r. Points whose value is theirs alone are left out, of N and of m as well.

    `sklearn.feature_selection.mutual_info_classif` in float32. It breaks ties by noise of 1e-10, which float32 does not
    hold; here codes are rounded to 2^-29 of their range and equal ones are set apart by random bits below that, so that
    distances are exact integers.

    Args:
        codes: f32[N, D], finite.
        values: i32[N, K].
        key: breaks ties.
        num_neighbours: k.
    """
    num_rows = len(codes)
    first, last = codes.min(0), codes.max(0)
    span = jnp.where(last > first, 0.5 * last - 0.5 * first, 1.0)  # halves: the range itself may overflow
    # From the median: most codes are near it, and their differences to it keep all their digits.
    middle = jnp.sort(codes, axis=0)[num_rows // 2]
    coarse = jnp.round((0.5 * codes - 0.5 * middle) / span * STEPS).astype(jnp.int32)
    fine = (jax.random.bits(key, codes.shape, jnp.uint32) >> 2).astype(jnp.int32)

    def of_latent(latent):
        coarse, fine = latent
        fine, coarse, order = jax.lax.sort((fine, coarse, jnp.arange(num_rows)), num_keys=1)
        coarse, by_coarse = jax.lax.sort((coarse, jnp.arange(num_rows)), num_keys=1, is_stable=True)
        places, order = Places(coarse, fine[by_coarse]), order[by_coarse]
        return jax.lax.map(lambda column: _information(places, column, num_neighbours), values[order].T)

    return jax.lax.map(of_latent, (coarse.T, fine.T))


def _information(places: Places, values: jax.Array, num_neighbours: int) -> jax.Array:
    """Return f32[], the estimate for one latent, whose places are in ascending order, and one factor i32[N]."""
    num_rows = len(values)
    # Side by side by value, ascending within each. `rank` is where a point stands among all.
    values, rank = jax.lax.sort((values, jnp.arange(num_rows, dtype=jnp.int32)), num_keys=1, is_stable=True)
    own = places[rank]
    begin, end = (jnp.searchsorted(values, values, side=side).astype(jnp.int32) for side in ("left", "right"))
    counts = end - begin
    use = counts > 1
    inside = jnp.append(0, jnp.cumsum(jnp.zeros(num_rows, jnp.int32).at[rank].set(use.astype(jnp.int32))))

    neighbours = jnp.minimum(num_neighbours, counts - 1)
    position = jnp.arange(num_rows, dtype=jnp.int32)

    def nearest(before, radius):  # on a line: a run of k + 1 points, this one among them
        start, stop = position - before, position - before + neighbours
        fits = (before <= neighbours) & (start >= begin) & (stop < end)
        left = own.minus(own[jnp.maximum(start, 0)])
        right = own[jnp.minimum(stop, num_rows - 1)].minus(own)
        farther = left.where(right.below(left), right)
        return farther.where(fits & farther.below(radius), radius)

    farthest = Places(jnp.full(num_rows, jnp.iinfo(jnp.int32).max), jnp.zeros(num_rows, jnp.int32))
    radius = jax.lax.fori_loop(0, num_neighbours + 1, nearest, farthest)
    nearer = _count_nearer(places, inside, rank, own, radius)
    total = jnp.maximum(use.sum(), 1)

    def mean(amounts):
        return jnp.where(use, digamma(jnp.maximum(amounts, 1).astype(jnp.float32)), 0.0).sum() / total

    estimate = digamma(total.astype(jnp.float32)) + mean(neighbours) - mean(counts) - mean(nearer)
    return jnp.maximum(estimate, 0.0)


def _count_nearer(places: Places, inside, rank, own: Places, radius: Places) -> jax.Array:
    """Return i32[N], how many points are nearer than the radius, by halving on both sides of each point's rank."""
    num_rows = len(rank)

    def halve(_, state):
        low, high, first, last = state  # low and last are near, high and first may be; see the bounds below
        middle = (low + high) // 2
        near = own.minus(places[middle]).below(radius)
        low, high = jnp.where(near, low, middle + 1), jnp.where(near, middle, high)
        centre = (first + last + 1) // 2
        near = places[centre].minus(own).below(radius)
        return low, high, jnp.where(near, centre, first), jnp.where(near, last, centre - 1)

    start = (jnp.zeros_like(rank), rank, rank, jnp.full_like(rank, num_rows - 1))
    low, _, first, _ = jax.lax.fori_loop(0, max(1, (num_rows - 1).bit_length()), halve, start)
    return inside[first + 1] - inside[low]
