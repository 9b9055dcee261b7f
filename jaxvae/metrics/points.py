"""The points that scores look at: rows of the data, none of them twice, together with their factors."""

import jax
import jax.numpy as jnp

from jaxvae.metrics.rows import draw_distinct, shuffle, take_rows
from jaxvae.types import Factors

NUM_TRAIN = 10_000  # as in disentanglement_lib's configurations, like the next
NUM_TEST = 5_000
NUM_HELD_OUT = 5_000  # to fit, and as many to report: half of the usual ten thousand test images each


def draw_points(codes: jax.Array, factors: Factors, key: jax.Array, num_points: int) -> tuple[jax.Array, Factors]:
    """Return codes f32[P, D] and their factors, of num_points uniform rows, each at most once; or of all rows in order.

    disentanglement_lib's generators give as many points as are asked for, and the same image may be among them twice.
    Of rows that are given, repeating some and leaving out others would only make the score less certain: so every row
    counts once where there are num_points or fewer.
    """
    if len(codes) <= num_points:
        return codes, factors
    rows = draw_distinct(key, len(codes), num_points)
    return codes[rows], take_rows(factors, rows)


def draw_train_and_test(
    codes: jax.Array,
    factors: Factors,
    key: jax.Array,
    test: tuple[jax.Array, Factors] | None,
    num_train: int,
    num_test: int,
) -> tuple[tuple[jax.Array, Factors], tuple[jax.Array, Factors]]:
    """Return points to fit and points to report, the latter from the held-out data `test` where there is some.

    Without it both come from the same rows: no row is in both where there are num_train + num_test or more. Where there
    are fewer, all that are not fitted are reported, and as many of the fitted ones as are still missing; with num_train
    rows or fewer every row is fitted and the report is of fitted rows alone, as for disentanglement_lib on a grid of
    factors so small that its generators give the same images to fit and to report. Held-out data is the remedy.
    """
    if test is not None:
        key_train, key_test = jax.random.split(key)
        return draw_points(codes, factors, key_train, num_train), draw_points(*test, key_test, num_test)
    num_rows, num_points = len(codes), num_train + num_test
    if num_rows <= num_train:
        return (codes, factors), draw_points(codes, factors, key, num_test)
    rows = shuffle(key, num_rows) if num_rows <= num_points else draw_distinct(key, num_rows, num_points)
    fitted, reported = rows[:num_train], rows[-num_test:]
    return (codes[fitted], take_rows(factors, fitted)), (codes[reported], take_rows(factors, reported))


def draw_held_out(
    codes: jax.Array, factors: Factors, key: jax.Array, test: tuple[jax.Array, Factors] | None, num_points: int
) -> tuple[tuple[jax.Array, Factors], tuple[jax.Array, Factors]]:
    """Return num_points to fit and as many to report, from `test` where there is some; never a row in both.

    Without it, and with fewer than twice num_points rows, half of the rows are fitted and the others reported: what
    remembers its points, as neighbours do, would tell those it has seen without knowing anything.
    """
    if test is not None:
        return draw_train_and_test(codes, factors, key, test, num_points, num_points)
    half = len(codes) // 2
    return draw_train_and_test(codes, factors, key, None, min(num_points, half), min(num_points, len(codes) - half))


def mean_over_varying(scores: jax.Array, values: jax.Array) -> jax.Array:
    """Return f32[], the mean of scores f32[K] over the columns of values i32[N, K] that vary; 0 when none does."""
    varies = (values != values[0]).any(0)
    return jnp.where(varies, scores, 0.0).sum() / jnp.maximum(varies.sum(dtype=jnp.float32), 1.0)
