"""Every random stream of a run. A key is a function of (seed, stream, step), so nothing random is ever saved."""

import enum

import jax


class Stream(enum.IntEnum):
    """What a key is for. Numbers are part of every result: append, never renumber."""

    INIT = 0
    BATCH = 1
    NOISE = 2
    OTHER_BATCH = 3
    OTHER_NOISE = 4
    PENALTY = 5
    EVALUATE = 6
    SCORE = 7
    SEEN = 8


def key_for(seed: jax.Array | int, stream: Stream, step: jax.Array | int = 0) -> jax.Array:
    """Return the key of one stream at one step of the run with this seed; all three may be traced."""
    return jax.random.fold_in(jax.random.fold_in(jax.random.key(seed), stream), step)
