"""The points that scores look at: rows drawn with replacement, together with their factors."""

import jax

from jaxvae.metrics.rows import draw_rows
from jaxvae.types import Factors

NUM_TRAIN = 10_000  # as in disentanglement_lib's configurations, like the next
NUM_TEST = 5_000


def draw_points(codes: jax.Array, factors: Factors, key: jax.Array, num_points: int) -> tuple[jax.Array, Factors]:
    """Return codes f32[P, D] and their factors, of P = num_points uniform rows; more than there are is no matter."""
    rows = draw_rows(jax.random.bits(key, (num_points,)), factors)
    return codes[rows], Factors(factors.values[rows], factors.sizes)


def draw_train_and_test(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    test: tuple[jax.Array, Factors] | None,
    num_train: int,
    num_test: int,
) -> tuple[tuple[jax.Array, Factors], tuple[jax.Array, Factors]]:
    """Return points to fit and points to report, the latter from the held-out data `test` where there is some.

    Without it both come from the same rows, as in disentanglement_lib, whose generators know no split.
    """
    key_train, key_test = jax.random.split(key)
    train = draw_points(codes, factors, key_train, num_train)
    return train, draw_points(*((codes, factors) if test is None else test), key_test, num_test)
