"""Linear support vector machines on one number at a time, all of them at once: the optimum that LinearSVC seeks."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.grouping import group_rows
from jaxvae.learners.moments import Scaling, scaling_of, standardise
from jaxvae.types import Factors

NUM_STEPS = 20
STEP_LENGTHS = np.array([0.0, 1.0, 0.5, 0.25, 0.125, 1 / 32, 1 / 256], np.float32)
FAVOUR = np.where(STEP_LENGTHS == 1, 1 - 2e-6, 1.0).astype(np.float32)  # where rounding hides which loss is least


class Machines(NamedTuple):
    """decision[d, v] = slope[d, v] * unit_d + height[d, v] for the V classes of all factors, factor 0's first."""

    scaling: Scaling  # gives unit from codes
    slope: jax.Array  # f32[D, V]
    height: jax.Array  # f32[D, V], -inf for classes that had no example


class _Sums(NamedTuple):
    """Over some points: how many, Σ u, Σ u². Each f32[...]."""

    count: jax.Array
    first: jax.Array
    second: jax.Array


class _Sorted(NamedTuple):
    """One latent's numbers in K + 1 rows: by class of factor k and then by size, and in the last row by size alone."""

    numbers: jax.Array  # f32[K + 1, N]
    firsts: jax.Array  # f32[K + 1, N + 1], running sums of the numbers
    seconds: jax.Array  # f32[K + 1, N + 1], of their squares


class _Penalty(NamedTuple):
    """The penalty ½ (w² + b²) as ½ (slope² ss + 2 slope height sh + height² hh), f32[] each."""

    ss: jax.Array
    sh: jax.Array
    hh: jax.Array


def decide(machines: Machines, codes: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return i32[N, D, K], the class of each factor that each latent of codes f32[N, D] speaks for."""
    ends = np.cumsum(sizes)
    decisions = machines.slope * standardise(codes, machines.scaling)[:, :, None] + machines.height
    named = [jnp.argmax(decisions[:, :, end - size : end], axis=2) for size, end in zip(sizes, ends, strict=True)]
    return jnp.stack(named, axis=2).astype(jnp.int32)


def fit(codes: jax.Array, factors: Factors, *, cost: float) -> Machines:
    """Return the optima of `LinearSVC(C=cost, class_weight="balanced")` for every latent, factor and class.

    Class c against the rest minimises ½ (w² + b²) + cost [Σ_(n in c) N / (C N_c) max(0, 1 - w z_n - b)²
    + Σ_(n not in c) max(0, 1 + w z_n + b)²], C the number of classes that occur. With two of them both sides are
    weighed, as in liblinear, and the machines mirror each other.

    Newton's method with a fixed number of steps and a line search over fixed lengths. The loss is quadratic between the
    places where points begin or cease to count, and on a line those that count lie on one side of a number: their sums
    are differences of running sums, so that a step costs a few binary searches whatever the number of points.

    Args:
        codes: f32[N, D].
        factors: of the N rows.
        cost: C of LinearSVC.
    """
    num_rows = len(codes)
    scaling = scaling_of(codes)
    unit = standardise(codes, scaling).T  # [D, N]
    starts, counts = group_rows(factors).groups[1:]  # i32[V], starts in rows of N
    owner = np.repeat(np.arange(len(factors.sizes)), factors.sizes)
    starts = starts - owner * num_rows

    classes = jax.ops.segment_sum((counts > 0).astype(jnp.float32), owner, num_segments=len(factors.sizes))[owner]
    balanced = cost * num_rows / classes  # times the share of a class, which is divided by below
    inside = balanced / jnp.maximum(counts, 1)
    outside = jnp.where(classes == 2, balanced / jnp.maximum(num_rows - counts, 1), cost)

    # Stretches of sorted numbers to look into: twice each class, once all rows.
    every = (np.full_like(owner, len(factors.sizes)), jnp.zeros_like(starts), jnp.full_like(counts, num_rows))
    among = tuple(
        jnp.stack([own, own, all_rows])[:, None] for own, all_rows in zip((owner, starts, counts), every, strict=True)
    )
    lengths = jnp.asarray(STEP_LENGTHS)[:, None]

    def fit_latent(one):
        unit, penalty = one
        arranged = _arrange(unit, factors)

        def sums(slope, height):
            """Return the sums over what counts inside the class and outside it, f32[L, V] each."""
            slopes, bounds = jnp.stack([-slope, slope, slope]), jnp.stack([height, -height, -height]) - 1.0
            found = _above(arranged, among, slopes, bounds)
            return _Sums(*(part[0] for part in found)), _Sums(*(part[2] - part[1] for part in found))

        def step(_, state):
            """Go along the direction to where the loss is least, and find the direction from there."""
            slope, height, along_slope, along_height = state
            slopes, heights = slope + lengths * along_slope, height + lengths * along_height  # [L, V]
            missed, wrong = sums(slopes, heights)
            losses = 0.5 * (penalty.ss * slopes**2 + 2 * penalty.sh * slopes * heights + penalty.hh * heights**2)
            losses += inside * _squares(missed, -slopes, 1.0 - heights)
            losses += outside * _squares(wrong, slopes, 1.0 + heights)
            best = jnp.argmin(losses * FAVOUR[:, None], axis=0)[None]
            slope, height, missed, wrong = jax.tree.map(
                lambda values: jnp.take_along_axis(values, best, axis=0)[0], (slopes, heights, missed, wrong)
            )
            ss = penalty.ss + 2 * (inside * missed.second + outside * wrong.second)
            sh = penalty.sh + 2 * (inside * missed.first + outside * wrong.first)
            hh = penalty.hh + 2 * (inside * missed.count + outside * wrong.count)
            # Where the loss is this quadratic, its minimum solves these equations for the way to go.
            by_slope = 2 * (inside * missed.first - outside * wrong.first) - ss * slope - sh * height
            by_height = 2 * (inside * missed.count - outside * wrong.count) - sh * slope - hh * height
            ratio = sh / ss
            rest = hh - ratio * sh
            along_height = jnp.where(rest > 0, (by_height - ratio * by_slope) / jnp.where(rest > 0, rest, 1.0), 0.0)
            return slope, height, by_slope / ss - ratio * along_height, along_height

        return jax.lax.fori_loop(0, NUM_STEPS, step, (jnp.zeros(len(owner)),) * 4)[:2]

    slope, height = jax.vmap(fit_latent)((unit, _penalties(scaling)))
    return Machines(scaling, slope, jnp.where(counts > 0, height, -jnp.inf))


def _penalties(scaling: Scaling) -> _Penalty:
    """Return the penalties of D latents: with z = m + s u, slope = w s and height = w m + b."""
    mean = scaling.first + 2 * scaling.spread * scaling.mean
    # A smaller deviation would overflow when squared; the penalty leaves no slope there anyway.
    deviation = jnp.maximum(2 * scaling.spread * scaling.deviation, 1e-15)
    away = mean / deviation
    # Of a constant, u = 0, only the height matters, and w and b share it as suits them best.
    return _Penalty(
        jnp.where(scaling.alive, deviation**-2 + away**2, 1.0),
        jnp.where(scaling.alive, -away, 0.0),
        jnp.where(scaling.alive, 1.0, 1.0 / (1.0 + mean**2)),
    )


def _arrange(unit: jax.Array, factors: Factors) -> _Sorted:
    """Return one latent's numbers unit f32[N] sorted within every class of every factor, and altogether."""
    order = jnp.argsort(unit)
    numbers = unit[order]
    # Class and rank as one unsigned number, below 2³² as size * N is: sorting those is four times as fast as pairs.
    keys = factors.values[order].T.astype(jnp.uint32) * np.uint32(len(unit)) + jnp.arange(len(unit), dtype=jnp.uint32)
    ranks = jnp.sort(keys, axis=1) % np.uint32(len(unit))  # [K, N]
    numbers = jnp.concatenate([numbers[ranks], numbers[None]])
    return _Sorted(
        numbers,
        jnp.pad(jnp.cumsum(numbers, axis=1), ((0, 0), (1, 0))),
        jnp.pad(jnp.cumsum(jnp.square(numbers), axis=1), ((0, 0), (1, 0))),
    )


def _above(
    arranged: _Sorted, among: tuple[jax.Array, jax.Array, jax.Array], slope: jax.Array, bound: jax.Array
) -> _Sums:
    """Return the sums over the numbers u among some with slope * u > bound.

    Args:
        arranged: of one latent.
        among: row, start and count of stretches of sorted numbers, i32 that broadcast to the shape of slope.
        slope: f32[...].
        bound: f32 of the same shape.
    """
    row, start, count = (jnp.broadcast_to(part, slope.shape) for part in among)
    rising = slope >= 0

    def halve(_, state):
        low, high = state
        middle = (low + high) // 2
        beyond = (slope * arranged.numbers[row, jnp.minimum(middle, arranged.numbers.shape[1] - 1)] > bound) == rising
        searching = low < high
        return jnp.where(searching & ~beyond, middle + 1, low), jnp.where(searching & beyond, middle, high)

    # The first number on the far side: past the bound where the line rises, no longer past it where it falls.
    place, _ = jax.lax.fori_loop(0, arranged.numbers.shape[1].bit_length(), halve, (start, start + count))
    low, high = jnp.where(rising, place, start), jnp.where(rising, start + count, place)
    return _Sums(
        (high - low).astype(jnp.float32),
        arranged.firsts[row, high] - arranged.firsts[row, low],
        arranged.seconds[row, high] - arranged.seconds[row, low],
    )


def _squares(sums: _Sums, slope: jax.Array, height: jax.Array) -> jax.Array:
    """Return Σ (slope u + height)² over the points summed."""
    return slope**2 * sums.second + 2 * slope * height * sums.first + height**2 * sums.count
