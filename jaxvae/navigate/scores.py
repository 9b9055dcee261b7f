"""How cleanly an attribute can be moved: scores of what edits do, with intervals. Pure functions of responses.

Responses are in standard deviations that an attribute's score has over real images, one unit for all models. R_ij is
what happens to attribute j when a code is moved along the direction of i by that step at which R_ii is TARGET
(matched effect): a blurrier model needs a longer step, and would look more selective at equal steps.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.types import in_32_bits

TARGET = 1.0
NUM_BOOTSTRAPS = 500


class Effects(NamedTuple):
    """What moving does; leaves [...] for each direction that was meant to move an attribute.

    Attributes:
        step: standard deviations of the codes at which the attribute has moved by the target; the longest step tried
            where it never does.
        steerable: whether it does.
        row: f32[..., A], R_ij at that step, standard deviations of scores.
        selectivity: |R_ii| / Σ_j |R_ij|, the attribute's share of all that moves. 0 … 1, chance 1/A.
        gap: (|R_ii| - max_(j≠i) |R_ij|) / |R_ii|, how far the attribute is ahead of what moves next most; below 0
            where another moves more. At most 1, which is nothing else moving; -∞ where the attribute does not move.
        leakage: root of the mean of R_ij² over j ≠ i, standard deviations of scores. From 0, which is best.
    """

    step: jax.Array
    steerable: jax.Array
    row: jax.Array
    selectivity: jax.Array
    gap: jax.Array
    leakage: jax.Array


class Interval(NamedTuple):
    """A score with its 95% bootstrap interval over images; equal shapes."""

    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@functools.partial(jax.jit, static_argnames=("target",))
def effects(responses: jax.Array, own: jax.Array, steps: jax.Array, target: float = TARGET) -> Effects:
    """Return what a direction does, at matched effect.

    Args:
        responses: f32[T, A], mean over images at each step, standard deviations of scores.
        own: i32[], the attribute that it was meant to move.
        steps: f32[T], ascending; responses are taken to go in straight lines from 0 at step 0.
        target: what its own response is to be, standard deviations.
    """
    curve = jnp.concatenate([jnp.zeros((1, responses.shape[1])), responses])
    at = jnp.concatenate([jnp.zeros(1), steps])
    moved = curve[:, own]
    past = moved[1:] >= target
    steerable = past.any()
    high = jnp.where(steerable, jnp.argmax(past) + 1, len(steps))
    low = high - 1
    rise = moved[high] - moved[low]
    share = jnp.where(steerable, (target - moved[low]) / jnp.where(rise > 0, rise, 1.0), 1.0)
    row = curve[low] + share * (curve[high] - curve[low])
    return score_row(row, own, at[low] + share * (at[high] - at[low]), steerable)


def score_row(row: jax.Array, own: jax.Array, step: jax.Array, steerable: jax.Array) -> Effects:
    """Return the scores of one row f32[A] of R, whose own attribute is `own`."""
    size = jnp.abs(row)
    others = jnp.arange(len(row)) != own
    total = size.sum()
    most = jnp.where(others, size, 0.0).max()
    count = jnp.maximum(len(row) - 1, 1)
    return Effects(
        step=step,
        steerable=steerable,
        row=row,
        selectivity=jnp.where(total > 0, size[own] / jnp.where(total > 0, total, 1.0), 0.0),
        gap=jnp.where(size[own] > 0, 1.0 - most / jnp.where(size[own] > 0, size[own], 1.0), -jnp.inf),
        leakage=jnp.sqrt(jnp.where(others, jnp.square(row), 0.0).sum() / count),
    )


def resamples_of(images: int, num: int, seed: int) -> np.ndarray:
    """Return f64[num, images], the weight of each image in bootstrap resamples; those of a resample sum to 1."""
    return np.random.default_rng(seed).multinomial(images, np.full(images, 1 / images), size=num) / images


@in_32_bits
def bootstrapped(
    responses: np.ndarray,
    own: np.ndarray,
    steps: tuple[float, ...],
    *,
    target: float = TARGET,
    num: int = NUM_BOOTSTRAPS,
    seed: int = 0,
) -> tuple[Effects, Effects]:
    """Return the effects of directions, and those of bootstrap resamples of the images.

    Every model and direction sees the same resamples, so that differences between them are paired.

    Args:
        responses: f32[U, T, n, A] of single images, in standard deviations of scores; NaN for a direction that is none.
        own: i32[U], the attribute that each direction was meant to move.
        steps: T.
        target: see `effects`.
        num: of resamples.
        seed: of resamples.

    Returns:
        Effects with leaves [U, …], and with leaves [num, U, …].
    """
    images = responses.shape[2]
    drawn = resamples_of(images, num, seed)
    weights = np.concatenate([np.full((1, images), 1 / images), drawn]).astype(np.float32)
    made = jax.tree.map(np.asarray, _bootstrapped(responses, own, jnp.asarray(steps), weights, target))
    return jax.tree.map(lambda leaf: leaf[0], made), jax.tree.map(lambda leaf: leaf[1:], made)


@functools.partial(jax.jit, static_argnames="target")
def _bootstrapped(responses, own, steps, weights, target) -> Effects:
    def one_direction(per_image, attribute):
        means = jnp.einsum("bn,tna->bta", weights, per_image, precision=jax.lax.Precision.HIGHEST)
        return jax.vmap(lambda mean: effects(mean, attribute, steps, target))(means)

    made = jax.lax.map(lambda pair: one_direction(*pair), (responses, own))  # leaves [U, 1 + num, …]
    return jax.tree.map(lambda leaf: jnp.moveaxis(leaf, 0, 1), made)


def interval(value: np.ndarray, resampled: np.ndarray) -> Interval:
    """Return a score [...] with the 2.5% and 97.5% quantiles of its resamples [num, ...]; NaN where it is NaN."""
    finite = np.where(np.isfinite(resampled), resampled, -1e30)
    low, high = np.quantile(finite, (0.025, 0.975), axis=0)
    known = np.isfinite(value)
    bounds = (np.where(known, np.where(bound < -1e29, -np.inf, bound), np.nan) for bound in (low, high))
    return Interval(value, *(bound.astype(np.float32) for bound in bounds))


def expected_by_labels(values: np.ndarray) -> np.ndarray:
    """Return f32[A, A], |ρ_ij| between labels bool[N, A], each row divided by its sum.

    Its diagonal is the selectivity of an edit that moves everything as far as it goes with the attribute in the data: a
    direction that knows more than the correlations of the labels is above it. 1/A … 1.
    """
    rho = np.abs(np.corrcoef(values.T.astype(np.float64)).reshape(values.shape[1], -1))
    rho = np.nan_to_num(rho)
    np.fill_diagonal(rho, 1.0)
    return (rho / rho.sum(1, keepdims=True)).astype(np.float32)
