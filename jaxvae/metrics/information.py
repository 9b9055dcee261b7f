"""Discrete information theory of codes and factors: bins, contingency tables, mutual information, entropy. In nats."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.grouping import count_values

NUM_BINS = 20
BLOCK = 2048


def discretise(codes: jax.Array, num_bins: int = NUM_BINS) -> jax.Array:
    """Return i32[N, D] in 0 … num_bins-1: each column cut into bins of equal width between its minimum and maximum.

    Bin for bin `np.digitize(column, np.histogram(column, num_bins)[1][:-1]) - 1` of NumPy 2 on float32 columns, as
    disentanglement_lib does. Where np.histogram refuses a range too narrow for distinct edges, equal ones count as one;
    denormal numbers may count as 0.

    Args:
        codes: f32[N, D], finite.
        num_bins: at most 4096.
    """
    inside = codes[:, :, None] >= _left_edges(codes, num_bins).T  # [N, D, num_bins]
    # The first edge is the minimum, so one comparison always holds, except where the range overflows to infinity.
    return jnp.maximum(inside.sum(-1, dtype=jnp.int32) - 1, 0)


def _left_edges(codes: jax.Array, num_bins: int) -> jax.Array:
    """Return f32[num_bins, D], bit for bit the edges of np.histogram (without the last) for float32 columns.

    NumPy's edge i is round(round(i * step) + first) with step = round((last - first) / num_bins). Compilers fuse that
    product and sum into one rounding and divide by multiplying with a reciprocal; either moves an edge by a last bit,
    and with it every code that sits on the edge. So the products here are of numbers short enough to be exact.
    """
    first, last = codes.min(0), codes.max(0)
    constant = first == last
    first, last = jnp.where(constant, first - 0.5, first), jnp.where(constant, last + 0.5, last)
    head, tail = _halves(_divide(last - first, num_bins))
    index = jnp.arange(num_bins, dtype=jnp.float32)[:, None]
    return (index * head + index * tail) + first


def _divide(numerator: jax.Array, divisor: int) -> jax.Array:
    """Return numerator / divisor rounded correctly, however the compiler divides: one step of exact long division."""
    quotient = numerator / divisor
    head, tail = _halves(quotient)
    remainder = (numerator - divisor * head) - divisor * tail  # exact: the parts cancel
    return quotient + remainder / divisor


def _halves(values: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Split f32 into two addends of 12 significant bits, whose products with integers up to 4096 are exact."""
    bits = jax.lax.bitcast_convert_type(values, jnp.uint32) & jnp.uint32(0xFFFFF000)
    head = jax.lax.bitcast_convert_type(bits, jnp.float32)
    return head, values - head


def contingency(bins: jax.Array, num_bins: int, values: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return f32[D, num_bins, V], how many rows have bin b of latent d and value v; exact up to 2**24 rows.

    The V = sum(sizes) columns hold the values of factor 0, then those of factor 1, and so on.

    Args:
        bins: i32[N, D] in 0 … num_bins-1.
        num_bins: number of bins of every latent.
        values: i32[N, K], column k in 0 … sizes[k]-1.
        sizes: number of values of each factor.
    """
    num_rows, num_latents = bins.shape
    owner = _owners(sizes)
    value = np.concatenate([np.arange(size, dtype=np.int32) for size in sizes])

    def count(block):
        bins, values = block
        left = jax.nn.one_hot(bins, num_bins, dtype=jnp.float32).reshape(len(bins), num_latents * num_bins)
        right = (values[:, owner] == value).astype(jnp.float32)
        # Zeros and ones are exact in any matmul precision and the accumulator is float32.
        return jnp.matmul(left.T, right, preferred_element_type=jnp.float32)

    if num_rows <= BLOCK:
        counts = count((bins, values))
    else:
        # A bin of -1 is a row of zeros: padding counts nowhere.
        padding = ((0, -num_rows % BLOCK), (0, 0))
        bins = jnp.pad(bins, padding, constant_values=-1).reshape(-1, BLOCK, num_latents)
        values = jnp.pad(values, padding).reshape(-1, BLOCK, len(sizes))
        zero = jnp.zeros((num_latents * num_bins, len(owner)), jnp.float32)
        counts, _ = jax.lax.scan(lambda total, block: (total + count(block), None), zero, (bins, values))
    return counts.reshape(num_latents, num_bins, len(owner))


def mutual_information(bins: jax.Array, num_bins: int, values: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return f32[D, K] in nats, I(d; k) = Σ_bv p(b, v) log(p(b, v) / (p(b) p(v))) of the empirical distribution.

    The plug-in estimate: independent variables score about (num_bins - 1)(sizes[k] - 1) / 2N, not 0.

    Args:
        bins: i32[N, D] in 0 … num_bins-1.
        num_bins: number of bins of every latent.
        values: i32[N, K], column k in 0 … sizes[k]-1.
        sizes: number of values of each factor, at least one factor.
    """
    joint = contingency(bins, num_bins, values, sizes)
    of_bins = joint[:, :, : sizes[0]].sum(-1)[:, :, None]  # [D, num_bins, 1]
    of_values = joint[0].sum(0)  # [V]
    # 0 log 0 = 0; the ratio is kept away from 0 as well, so that nothing infinite is computed and then thrown away.
    seen = joint > 0
    ratio = jnp.where(seen, joint * len(bins), 1.0) / jnp.where(seen, of_bins * of_values, 1.0)
    terms = (joint * jnp.log(ratio)).sum(1) / len(bins)  # [D, V]
    information = jax.ops.segment_sum(terms.T, _owners(sizes), num_segments=len(sizes), indices_are_sorted=True).T
    return jnp.maximum(information, 0.0)  # rounding leaves -1e-8 where the truth is 0


def entropy(values: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return f32[K] in nats, H(k) = -Σ_v p(v) log p(v) of the empirical distribution; exactly 0 for a constant column.

    Args:
        values: i32[N, K], column k in 0 … sizes[k]-1.
        sizes: number of values of each factor.
    """
    probability = count_values(values, sizes) / len(values)
    terms = -probability * jnp.log(jnp.where(probability > 0, probability, 1.0))
    return jax.ops.segment_sum(terms, _owners(sizes), num_segments=len(sizes), indices_are_sorted=True)


@functools.partial(jax.jit, static_argnames=("sizes", "num_bins"))
def normalised_information(
    codes: jax.Array, values: jax.Array, sizes: tuple[int, ...], num_bins: int = NUM_BINS
) -> jax.Array:
    """Return f32[D, K] in 0 … 1, I(d; k) / H(k) of codes f32[N, D] in bins; NaN for factors of one value."""
    entropies = entropy(values, sizes)
    table = mutual_information(discretise(codes, num_bins), num_bins, values, sizes)
    return jnp.where(entropies > 0, table / jnp.where(entropies > 0, entropies, 1.0), jnp.nan)


def _owners(sizes: tuple[int, ...]) -> np.ndarray:
    """Return i32[V], the factor that each of the V columns belongs to."""
    return np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
