"""Multinomial logistic regression as one compiled function: the optimum that scikit-learn seeks."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae.learners.moments import deviation

HIGHEST = jax.lax.Precision.HIGHEST  # some accelerators would otherwise round the factors of a matmul to 10 bits
STEP_LENGTHS = np.array([0.0, 4.0, 2.0, 1.0, 0.5, 0.25, 0.125, 1 / 32, 1 / 256], np.float32)
STANDSTILL = 1e-6  # a step that lowers the loss by no more than this share of it was the last
FORCING = 0.03  # the Newton equations are solved until this share of the residual is left


class Classifier(NamedTuple):
    """logits = (features - centre) @ weights + bias."""

    centre: jax.Array  # f32[D]
    weights: jax.Array  # f32[D, C]
    bias: jax.Array  # f32[C], -inf for classes that had no example


def predict(classifier: Classifier, features: jax.Array) -> jax.Array:
    """Return i32[N], the likeliest class of each row of features f32[N, D]."""
    return jnp.argmax(logits_of(classifier, features), axis=0).astype(jnp.int32)


def logits_of(classifier: Classifier, features: jax.Array) -> jax.Array:
    """Return f32[C, N], the logits of each row of features f32[N, D]."""
    centred = features - classifier.centre
    return jnp.matmul(classifier.weights.T, centred.T, precision=HIGHEST) + classifier.bias[:, None]


def fit(features: jax.Array, labels: jax.Array, num_classes: int, **steps: int) -> Classifier:
    """Return the classifier of one set of labels, i32[N] in 0 … num_classes-1; the rest as in `fit_each`."""
    return fit_each(features, labels[:, None], (num_classes,), **steps)


@functools.partial(jax.jit, static_argnames=("sizes", "num_steps", "num_inner_steps"))
def fit_each(
    features: jax.Array, labels: jax.Array, sizes: tuple[int, ...], *, num_steps: int = 10, num_inner_steps: int = 20
) -> Classifier:
    """Return K classifiers of the same features, the minima of Σ_n -log softmax(x_n W + b)_{y_n} + ½ |W|².

    That is `LogisticRegression(C=1)`, once for every column of labels. Newton's method. The Newton equations are solved
    by conjugate gradients, so the Hessian of D * C unknowns is never formed, and a line search over fixed lengths, 0
    among them, keeps the loss from rising. With two classes scikit-learn fits one weight vector w = W_1 - W_0 with
    penalty ½ |w|², twice that of the softmax form; so does this. Classes without an example take no part, as there.

    Args:
        features: f32[N, D].
        labels: i32[N, K], column k in 0 … sizes[k]-1.
        sizes: number of classes of each column.
        num_steps: most Newton steps; on features of one scale the loss stands still after about five.
        num_inner_steps: most conjugate gradient steps for each.

    Returns:
        The K classifiers side by side, with C = sum(sizes) classes, those of column 0 first.
    """
    num_rows, num_features = features.shape
    owner = np.repeat(np.arange(len(sizes)), sizes)  # [C], the column of labels that a class belongs to
    value = np.concatenate([np.arange(size) for size in sizes])
    ends = np.cumsum(sizes)
    of_column = (owner == np.arange(len(sizes))[:, None]).astype(np.float32)  # [K, C]
    # Rows lie along the last axis: with a few features and classes this is ten times as fast on CPU as the usual way.
    targets = (labels.T[owner] == value[:, None]).astype(jnp.float32)  # [C, N]
    seen = targets.any(1, keepdims=True)
    several = len(sizes) > 1

    def sum_classes(values):
        """Return [K, …], sums over the classes of each column of values [C, …]."""
        return jnp.matmul(of_column, values, precision=HIGHEST) if several else values.sum(0, keepdims=True)

    def of_owner(values):
        """Return [C, …], for each class what its column has in values [K, …]."""
        return values[owner] if several else values

    # Scaled so that the Hessian at W = 0 has a diagonal near 1, which is all the preconditioning that is needed.
    per_class = num_rows / np.array(sizes, np.float32)[owner][:, None]  # [C, 1]
    # Features in units of their deviation, so that no product of theirs leaves float32's range: see `_per_unit`.
    centre, spread = features.mean(0), deviation(features)
    spread = jnp.where(spread > 0, spread, 1.0)
    shrunk, remaining = _per_unit(spread, per_class)  # [C, D] each
    unit = jnp.concatenate([shrunk, jnp.asarray(per_class**-0.5)], axis=1)  # [C, D + 1]
    inputs = jnp.concatenate([((features - centre) / spread).T, jnp.ones((1, num_rows))])  # [D + 1, N]
    two = of_owner(sum_classes(seen.astype(jnp.float32))) == 2
    free = jnp.zeros((len(owner), 1))  # the bias
    penalty = jnp.concatenate([jnp.where(two, 2.0, 1.0) * remaining, free], axis=1)

    def logits_of(weights):
        return jnp.matmul(weights * unit, inputs, precision=HIGHEST)

    def weights_of(residuals):
        return jnp.matmul(residuals, inputs.T, precision=HIGHEST) * unit

    def dot(left, right):
        return sum_classes((left * right).sum(1, keepdims=True))  # [K, 1]

    def normalise(logits):
        """Return probabilities [C, N] and the logarithms of their denominators [K, N]."""
        logits = jnp.where(seen, logits, -jnp.inf)
        top = jnp.stack([logits[end - size : end].max(0) for size, end in zip(sizes, ends, strict=True)])
        shares = jnp.exp(logits - of_owner(top))
        totals = sum_classes(shares)
        return shares / of_owner(totals), jnp.log(totals) + top

    def loss(weights, logits):
        likelihood = dot(logits, targets) - normalise(logits)[1].sum(1, keepdims=True)
        return 0.5 * dot(penalty * weights, weights) - likelihood  # [K, 1]

    def newton_step(state):
        number, weights, _ = state
        logits = logits_of(weights)
        probabilities, _ = normalise(logits)

        def hessian_times(direction):
            moved = probabilities * logits_of(direction)
            return weights_of(moved - probabilities * of_owner(sum_classes(moved))) + penalty * direction

        downhill = weights_of(targets - probabilities) - penalty * weights
        direction = conjugate_gradients(hessian_times, downhill, num_inner_steps, dot, of_owner)
        change = logits_of(direction)
        # One length after the other: side by side they would need as many times the memory.
        losses = jax.lax.map(lambda length: loss(weights + length * direction, logits + length * change), STEP_LENGTHS)
        length = jnp.asarray(STEP_LENGTHS)[jnp.argmin(losses, axis=0)]
        moving = losses[0] - losses.min(0) > STANDSTILL * losses[0]  # the first length is 0
        return number + 1, weights + of_owner(length) * direction, moving.any()

    def goes_on(state):
        return (state[0] < num_steps) & state[2]

    start = (0, jnp.zeros((len(owner), num_features + 1)), True)
    weights = jax.lax.while_loop(goes_on, newton_step, start)[1] * unit
    return Classifier(centre, (weights[:, :-1] / spread).T, jnp.where(seen[:, 0], weights[:, -1], -jnp.inf))


def _per_unit(spread: jax.Array, per_class: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """Return s / sqrt(c s² + 1) and 1 / (c s² + 1), f32[C, D], of s = spread f32[D] and c = per_class f32[C, 1]."""
    below, above = jnp.minimum(spread, 1.0), jnp.maximum(spread, 1.0)
    shrunk = jnp.where(
        spread < 1, below / jnp.sqrt(per_class * below**2 + 1.0), 1.0 / jnp.sqrt(per_class + (1.0 / above) ** 2)
    )
    return shrunk, (shrunk / spread) ** 2


def conjugate_gradients(operator, target: jax.Array, num_steps: int, dot, of_owner) -> jax.Array:
    """Return x with operator(x) ≈ target, started from 0; operator symmetric, not negative.

    Any number of steps leaves a direction of descent, and a target in the operator's range keeps the steps in it. The
    steps end when FORCING of every column's residual is left, num_steps at the most.

    Args:
        operator: f32[C, D] -> f32[C, D], of K independent blocks of rows, which take their steps side by side.
        target: f32[C, D].
        num_steps: at most.
        dot: two f32[C, D] -> f32[K, 1], the scalar products of the blocks.
        of_owner: f32[K, 1] -> f32 that broadcasts to [C, D].
    """

    def ratio(numerator, denominator):  # 0 once the residual is gone: nothing is left to do
        return of_owner(jnp.where(denominator > 0, numerator / jnp.where(denominator > 0, denominator, 1.0), 0.0))

    def step(state):
        number, solution, residual, direction, square = state
        image = operator(direction)
        length = ratio(square, dot(direction, image))
        solution, residual = solution + length * direction, residual - length * image
        new_square = dot(residual, residual)
        return number + 1, solution, residual, residual + ratio(new_square, square) * direction, new_square

    square = dot(target, target)

    def goes_on(state):
        return (state[0] < num_steps) & (state[4] > FORCING**2 * square).any()

    return jax.lax.while_loop(goes_on, step, (0, jnp.zeros_like(target), target, target, square))[1]
