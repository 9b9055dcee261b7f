"""Linear support vector machines on several numbers at once, of many yes-or-no labels: the optimum of LinearSVC."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.moments import scaling_of, standardise

HIGHEST = jax.lax.Precision.HIGHEST  # some accelerators would otherwise round the factors of a matmul to 10 bits
NUM_STEPS = 30
STEP_LENGTHS = np.array([0.0, 1.0, 0.5, 0.25, 0.125, 1 / 32, 1 / 256], np.float32)
FAVOUR = np.where(STEP_LENGTHS == 1, 1 - 2e-6, 1.0).astype(np.float32)  # where rounding hides which loss is least
STANDSTILL = 1e-5  # a step that changes no decision by more than this was the last
LEAST_PIVOT = 1e-6
PRODUCTS_AT_ONCE = 2**21


class Hyperplanes(NamedTuple):
    """codes @ weights[a] + bias[a] is above 0 where label a is likely, and below it elsewhere."""

    weights: jax.Array  # f32[..., D]
    bias: jax.Array  # f32[...]


class _Penalty(NamedTuple):
    """½ (Σ_d curvature_d slope_d² + share (height - Σ_d away_d slope_d)²), half the squares of weights and bias."""

    curvature: jax.Array  # f32[D]
    away: jax.Array  # f32[D]
    share: jax.Array  # f32[]


@jax.jit
def fit(
    codes: jax.Array, labels: jax.Array, *, cost: float | jax.Array = 1.0, weights: jax.Array | None = None
) -> Hyperplanes:
    """Return the optima of `LinearSVC(C=cost, class_weight="balanced")`, one for each label.

    Label a minimises ½ (|w|² + b²) + cost Σ_n r_n (R / (2 R_(y_n))) max(0, 1 - y_n (w z_n + b))², y_n = ±1, r_n how
    often row n counts, R = Σ_n r_n and R_y the sum over the rows of one side. Every side weighs R / 2.

    Newton's method with a line search over fixed lengths, 0 among them, that keeps the loss from rising. The loss is
    quadratic between the places where points begin or cease to count, so some ten steps reach the optimum; no more are
    taken once decisions stand still.

    Args:
        codes: f32[N, D]. The scale of a column matters, because weights and bias are penalised. A column of zeros gets
            weight 0 exactly.
        labels: bool[N, A]. A label that is the same in all rows that count has no hyperplane: weights 0 and bias 1
            where it is true, -1 where it is false, and 0 where no row counts.
        cost: C of LinearSVC.
        weights: f32[N], how often each row counts: resamples as counts, 0 for a row that is left out. None for once.

    Returns:
        weights f32[A, D] and bias f32[A].
    """
    num_rows, num_latents = codes.shape
    scaling = scaling_of(codes)
    inputs = jnp.concatenate([standardise(codes, scaling).T, jnp.ones((1, num_rows))])  # [D + 1, N]
    mean = scaling.first + 2 * scaling.spread * scaling.mean
    # A smaller deviation would overflow when squared; the penalty leaves no slope there anyway.
    deviation = jnp.maximum(2 * scaling.spread * scaling.deviation, 1e-15)
    # Columns that are constant share the height with the bias as suits the penalty best.
    fixed = jnp.where(scaling.alive, 0.0, mean)
    penalty = _Penalty(
        jnp.where(scaling.alive, deviation**-2, 1.0),
        jnp.where(scaling.alive, mean / deviation, 0.0),
        1.0 / (1.0 + jnp.square(fixed).sum()),
    )

    signs = jnp.where(labels, 1.0, -1.0).T  # [A, N]
    counts = jnp.ones(num_rows) if weights is None else weights.astype(jnp.float32)
    true, false = (jnp.where(side, counts, 0.0).sum(1, keepdims=True) for side in (signs > 0, signs < 0))  # [A, 1]
    both = (true > 0) & (false > 0)
    share = 0.5 * (true + false) / jnp.where(both, jnp.where(signs > 0, true, false), 1.0)
    strength = jnp.where(both, cost * counts * share, 0.0)  # [A, N]
    lengths = jnp.asarray(STEP_LENGTHS)

    def missing(decisions):
        """Return f32[A, N], how far each point is from the right side of its margin."""
        return jnp.maximum(0.0, 1.0 - signs * decisions)

    def step(state):
        """Find the direction to where the loss would be least if it stayed as quadratic as it is, and go along it."""
        number, planes, decisions, _ = state
        missed = missing(decisions)
        downhill = jnp.matmul(2 * strength * missed * signs, inputs.T, precision=HIGHEST)
        downhill -= _slopes_of_penalty(penalty, planes)
        direction = _solve(
            _second_moments(jnp.where(missed > 0, 2 * strength, 0.0), inputs) + _curvature_of_penalty(penalty), downhill
        )
        change = jnp.matmul(direction, inputs, precision=HIGHEST)

        def loss(length):
            ahead = planes + length * direction
            return (strength * jnp.square(missing(decisions + length * change))).sum(1) + _penalty_of(penalty, ahead)

        # One length after the other: side by side they would need as many times the memory.
        losses = jax.lax.map(loss, lengths)  # [L, A]
        length = lengths[jnp.argmin(losses * FAVOUR[:, None], axis=0)][:, None]
        planes = planes + length * direction
        moving = (jnp.abs(length * change) > STANDSTILL).any()
        return number + 1, planes, jnp.matmul(planes, inputs, precision=HIGHEST), moving

    def goes_on(state):
        return (state[0] < NUM_STEPS) & state[-1]

    planes = jnp.zeros((len(signs), num_latents + 1))  # of `inputs`: slopes, and heights in the last column
    start = (0, planes, jnp.zeros(signs.shape), True)
    planes = jax.lax.while_loop(goes_on, step, start)[1]
    slopes, heights = planes[:, :-1], planes[:, -1]
    bias = (heights - jnp.matmul(slopes, penalty.away, precision=HIGHEST)) * penalty.share
    found = jnp.where(scaling.alive, slopes / deviation, bias[:, None] * fixed)
    sole = (true > 0).astype(jnp.float32) - (false > 0)
    return Hyperplanes(jnp.where(both, found, 0.0), jnp.where(both[:, 0], bias, sole[:, 0]))


def _off_centre(penalty: _Penalty, planes: jax.Array) -> jax.Array:
    """Return f32[A], the decision at codes of zero that planes f32[A, D + 1] come to."""
    return planes[:, -1] - jnp.matmul(planes[:, :-1], penalty.away, precision=HIGHEST)


def _penalty_of(penalty: _Penalty, planes: jax.Array) -> jax.Array:
    """Return f32[A]."""
    slopes = (penalty.curvature * jnp.square(planes[:, :-1])).sum(1)
    return 0.5 * (slopes + penalty.share * jnp.square(_off_centre(penalty, planes)))


def _slopes_of_penalty(penalty: _Penalty, planes: jax.Array) -> jax.Array:
    """Return f32[A, D + 1]."""
    along = jnp.append(-penalty.away, 1.0) * penalty.share
    return jnp.append(penalty.curvature, 0.0) * planes + _off_centre(penalty, planes)[:, None] * along


def _curvature_of_penalty(penalty: _Penalty) -> jax.Array:
    """Return f32[D + 1, D + 1]."""
    along = jnp.append(-penalty.away, 1.0)
    return jnp.diag(jnp.append(penalty.curvature, 0.0)) + penalty.share * jnp.outer(along, along)


def _second_moments(strength: jax.Array, inputs: jax.Array) -> jax.Array:
    """Return f32[A, P, P], Σ_n strength_an x_n x_nᵀ of strength f32[A, N] and inputs x f32[P, N].

    One matmul with all products of two inputs, which labels and resamples share, some rows at a time.
    """
    num_inputs, num_rows = inputs.shape
    left, right = np.tril_indices(num_inputs)
    batches = -(-num_rows * len(left) // PRODUCTS_AT_ONCE)
    padding = -num_rows % batches  # in equal batches: a rest would compile again

    def cut(rows):
        return jnp.moveaxis(jnp.pad(rows, ((0, 0), (0, padding))).reshape(len(rows), batches, -1), 1, 0)

    def add(sums, batch):
        strength, inputs = batch
        return sums + jnp.matmul(strength, (inputs[left] * inputs[right]).T, precision=HIGHEST), None

    start = jnp.zeros((len(strength), len(left)))
    sums = jax.lax.scan(add, start, (cut(strength), cut(inputs)))[0]
    place = np.zeros((num_inputs, num_inputs), np.int32)
    place[left, right] = place[right, left] = np.arange(len(left))
    return sums[:, place]


def _solve(matrices: jax.Array, targets: jax.Array) -> jax.Array:
    """Return x f32[A, P] with matrix x = target, for symmetric positive matrices f32[A, P, P] and targets f32[A, P].

    Elimination without exchanges, every unknown in units that make the diagonal 1. A pivot that rounding has left
    nothing of is taken as LEAST_PIVOT, so that columns of codes that are the same to float32 give no NaN.
    """
    unit = jax.lax.rsqrt(jnp.diagonal(matrices, axis1=1, axis2=2))
    rows = jnp.concatenate([matrices * unit[:, :, None] * unit[:, None], (targets * unit)[:, :, None]], axis=2)

    def eliminate(number, rows):
        pivot_row = jax.lax.dynamic_index_in_dim(rows, number, 1)  # [A, 1, P + 1]
        pivot = jax.lax.dynamic_index_in_dim(pivot_row, number, 2)
        pivot_row = pivot_row / jnp.maximum(pivot, LEAST_PIVOT)
        others = rows - jax.lax.dynamic_index_in_dim(rows, number, 2) * pivot_row
        return jax.lax.dynamic_update_slice_in_dim(others, pivot_row, number, 1)

    return jax.lax.fori_loop(0, rows.shape[1], eliminate, rows)[:, :, -1] * unit
