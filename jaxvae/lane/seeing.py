"""Which images a lane sees: every s-th value of the ordered factors, a share at random. Knows no model and no loss.

All lanes of a program draw from the same images on the device; what one sees is arithmetic of three of its numbers:
`sparsity` s, `fraction` and `seed`. A lane of the defaults sees all N images, and draws the very numbers that it would
draw if this file did not exist.

Of a complete grid with n_k values of factor k, sparsity leaves the values 0, s, 2s, … of every ordered factor, so m_k =
ceil(n_k / s) of them, and all values of the others (see Dataset.unordered): M = prod_k m_k images, the corners of a
coarser grid. Of these, or of all N without sparsity, `fraction` leaves those that come first in an order that is the
seed's own. The order is never written down: it is a permutation that is computed for the numbers at hand.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.data.grid import Dataset
from jaxvae.lane.keys import Stream, key_for
from jaxvae.types import WHOLE_FROM_1, Hyper, Hypers, InputError, Range

NUMBERS = (
    Hyper("sparsity", 1, WHOLE_FROM_1, "the lane sees every so many-th value of each ordered factor of a grid"),
    Hyper(
        "fraction",
        1.0,
        Range("shares above 0, up to 1", lambda value: 0 < value <= 1),
        "share of the images that the lane sees, chosen by its seed",
    ),
)
"""The numbers that say what a lane sees, beside its seed."""

DEFAULTS = {number.name: number.default for number in NUMBERS}

ROUNDS = 16
"""Of the shuffle. A number is left where it was by all of them with a probability of 2^-16."""


def is_whole(hypers: Hypers) -> bool:
    """Return whether lanes of these numbers (on the host) see all images."""
    return all(np.all(np.asarray(hypers.get(name, default)) == default) for name, default in DEFAULTS.items())


def num_seen(data: Dataset, hypers: Hypers) -> jax.Array:
    """Return i32[], the number of images that a lane sees, from 1; may be traced."""
    whole = jnp.asarray(_num_coarse(data, _step(hypers)), jnp.int32)
    fraction = jnp.asarray(hypers["fraction"], jnp.float32)
    part = jnp.rint(fraction * whole.astype(jnp.float32)).astype(jnp.int32)
    return jnp.where(fraction < 1, jnp.maximum(part, 1), whole)


def draw(key: jax.Array, number: int, data: Dataset, hypers: Hypers) -> jax.Array:
    """Draw the indices i32[number] of images that a lane sees, uniformly with replacement."""
    places = jax.random.randint(key, (number,), 0, num_seen(data, hypers), jnp.int32)
    return _at(places, data, hypers)


def seen(data: Dataset, hypers: Hypers) -> jax.Array:
    """Return bool[N], which images a lane sees: those that `draw` can give, num_seen of them."""
    places = jnp.arange(len(data), dtype=jnp.int32)
    drawn = places < num_seen(data, hypers)
    indices = _at(jnp.where(drawn, places, 0), data, hypers)
    return jnp.zeros(len(data), bool).at[jnp.where(drawn, indices, len(data))].set(True, mode="drop")


def check(data: Dataset, hypers: dict[str, np.ndarray]) -> None:
    """Refuse numbers [R] of lanes that do not fit the data.

    Raises:
        InputError: sparsity where the data is no complete grid of factors, or a fraction that leaves no image.
    """
    sparsity, fraction = (np.asarray(hypers[name], np.float64) for name in ("sparsity", "fraction"))
    if (sparsity > 1).any() and not data.complete_grid:
        raise InputError(
            f"sparsity={sparsity.max():g}: {data.name} is not a complete grid of factors, of whose values every so "
            "many-th could be seen; sweep fraction instead, which takes a share of any images at random"
        )
    coarse = {value: _num_coarse(data, int(value)) for value in np.unique(sparsity)}
    for value, share in zip(sparsity, fraction, strict=True):
        if share * coarse[value] < 1:
            raise InputError(
                f"fraction={share:g} of the {coarse[value]:,} images of {data.name} that sparsity={value:g} leaves is "
                "less than one image; raise it"
            )


def _step(hypers: Hypers) -> jax.Array:
    return jnp.asarray(hypers["sparsity"]).astype(jnp.int32)


def _coarse_sizes(data: Dataset, step: jax.Array | int) -> list[jax.Array | int]:
    """Return m_k, how many values of each factor of a complete grid are seen."""
    columns = zip(data.factor_names, data.factor_sizes, strict=True)
    return [size if name in data.unordered else (size - 1) // step + 1 for name, size in columns]


def _num_coarse(data: Dataset, step: jax.Array | int) -> jax.Array | int:
    """Return M, the number of images that every so many-th value leaves."""
    return math.prod(_coarse_sizes(data, step)) if data.complete_grid else len(data)


def _at(places: jax.Array, data: Dataset, hypers: Hypers) -> jax.Array:
    """Return the indices i32[P] of the images at places i32[P] of a lane's order, 0 … num_seen - 1."""
    step = _step(hypers)

    def in_own_order(places):
        return shuffle(key_for(hypers["seed"], Stream.SEEN), places, _num_coarse(data, step))

    # A branch for lanes in turn, which then pay for what they use; side by side (vmap) it becomes a choice.
    places = jax.lax.cond(jnp.asarray(hypers["fraction"]) < 1, in_own_order, lambda places: places, places)
    if not data.complete_grid:
        return places
    sizes, stride, index = _coarse_sizes(data, step), 1, jnp.zeros_like(places)
    for name, full, size in reversed([*zip(data.factor_names, data.factor_sizes, sizes, strict=True)]):
        value = places % size
        index += (value if name in data.unordered else value * step) * jnp.int32(stride)
        places, stride = places // size, stride * full
    return index


def shuffle(key: jax.Array, places: jax.Array, number: jax.Array | int) -> jax.Array:
    """Return where a pseudo-random permutation of 0 … number - 1 sends some places, i32[P]; number may be traced.

    The swap-or-not shuffle: a round pairs every x with (K - x) mod number, for a random K, and swaps a pair or not as a
    hash of the larger of the two says. Each round is its own inverse, so they are a permutation together, of any number
    of places: unlike a Feistel network, which permutes a power of two, it has no places to walk past, and so does the
    same work for every number.

    Reference: Hoang, Morris, Rogaway, "An Enciphering Scheme Based on a Card Shuffle", CRYPTO 2012, figure 1.
    """
    # One draw for all: what is drawn takes longer to compile than what it is used for.
    totals, salts = jax.random.bits(key, (2, ROUNDS), jnp.uint32)
    totals = (totals % jnp.asarray(number).astype(jnp.uint32)).astype(jnp.int32)
    for total, salt in zip(totals, salts, strict=True):
        other = total - places
        other = jnp.where(other < 0, other + number, other)
        larger = jnp.maximum(places, other).astype(jnp.uint32)
        places = jnp.where(_hash(larger ^ salt) >> 31 == 1, other, places)
    return places


def _hash(word: jax.Array) -> jax.Array:
    """Mix the bits of u32 words: the finaliser of MurmurHash3 (Appleby), whose every bit flips about half of all."""
    word = (word ^ (word >> 16)) * jnp.uint32(0x85EBCA6B)
    word = (word ^ (word >> 13)) * jnp.uint32(0xC2B2AE35)
    return word ^ (word >> 16)
