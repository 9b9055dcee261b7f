"""Multinomial logistic regression without a penalty, its classes balanced: where scikit-learn's L-BFGS stops."""

import functools

import jax
import jax.numpy as jnp

from jaxvae.learners.logistic import HIGHEST, Classifier, logits_of

MEMORY = 10  # pairs of steps that L-BFGS remembers, as SciPy's does
ARMIJO, CURVATURE = 1e-3, 0.9  # when SciPy's line search is content


@functools.partial(jax.jit, static_argnames=("num_classes", "num_steps", "tolerance"))
def fit_unpenalised(
    features: jax.Array, labels: jax.Array, num_classes: int, *, num_steps: int = 100, tolerance: float = 1e-4
) -> Classifier:
    """Return what `LogisticRegression(penalty=None, class_weight="balanced")` reaches: each class weighs the same.

    Minimises Σ_n -log softmax(x_n W + b)_{y_n} / (C N_y). Without a penalty the minimum may lie at infinity, where a
    linear function separates the classes, and then a fit is where it stops. So this goes the way that scikit-learn
    goes, L-BFGS from zeros, and stops when it does: when no entry of the gradient is above the tolerance, or after
    num_steps. Features should have mean 0 and variance 1, as the way depends on their scale.

    Args:
        features: f32[N, D].
        labels: i32[N] in 0 … num_classes-1. Classes without an example take no part.
        num_classes: number of classes C.
        num_steps: scikit-learn's default.
        tolerance: scikit-learn's default.
    """
    num_features = features.shape[1]
    targets = (labels == jnp.arange(num_classes)[:, None]).astype(jnp.float32)  # [C, N]
    seen = targets.any(1, keepdims=True)
    weights_of_rows = 1.0 / (targets.sum(1)[labels] * seen.sum())  # [N], they sum to 1
    inputs = jnp.concatenate([features.T, jnp.ones((1, len(features)))])  # [D + 1, N]

    def losses_and_residuals(logits):
        masked = jnp.where(seen, logits, -jnp.inf)
        normaliser = jax.nn.logsumexp(masked, axis=0)
        loss = (weights_of_rows * (normaliser - (logits * targets).sum(0))).sum()
        return loss, weights_of_rows * (jnp.exp(masked - normaliser) - targets)

    def gradient_of(residuals):
        return jnp.matmul(residuals, inputs.T, precision=HIGHEST)

    def step(state):
        number, weights, logits, loss, gradient, memory = state
        direction = -_times_inverse_hessian(memory, gradient)
        change = jnp.matmul(direction, inputs, precision=HIGHEST)
        slope = (direction * gradient).sum()

        def along(length):
            value, residuals = losses_and_residuals(logits + length * change)
            return value, (residuals * change).sum()

        first = jnp.minimum(1.0, 1.0 / jnp.maximum(jnp.sqrt((gradient**2).sum()), 1e-30))
        length = _search(along, loss, slope, jnp.where(number == 0, first, 1.0))
        new_logits = logits + length * change
        new_loss, residuals = losses_and_residuals(new_logits)
        new_gradient = gradient_of(residuals)
        memory = _remember(memory, length * direction, new_gradient - gradient)
        return number + 1, weights + length * direction, new_logits, new_loss, new_gradient, memory

    def goes_on(state):
        return (state[0] < num_steps) & (jnp.abs(state[4]).max() > tolerance)

    weights = jnp.zeros((num_classes, num_features + 1))
    logits = jnp.zeros((num_classes, len(features)))
    loss, residuals = losses_and_residuals(logits)
    empty = (jnp.zeros((MEMORY, *weights.shape)), jnp.zeros((MEMORY, *weights.shape)), jnp.zeros(MEMORY))
    start = (0, weights, logits, loss, gradient_of(residuals), empty)
    weights = jax.lax.while_loop(goes_on, step, start)[1]
    bias = jnp.where(seen[:, 0], weights[:, -1], -jnp.inf)
    return Classifier(jnp.zeros(num_features), weights[:, :-1].T, bias)


def log_losses(classifier: Classifier, features: jax.Array, labels: jax.Array) -> jax.Array:
    """Return f32[N] in nats, -log p(y_n | x_n) of labels i32[N] given features f32[N, D]."""
    logits = logits_of(classifier, features)
    own = jnp.take_along_axis(logits, labels[None], axis=0)[0]
    return jax.nn.logsumexp(logits, axis=0) - own


def _times_inverse_hessian(memory, gradient: jax.Array) -> jax.Array:
    """Return H g, H the inverse Hessian that L-BFGS knows from memory (steps, changes, inverse products), oldest first.

    Nocedal and Wright, "Numerical Optimization", algorithm 7.4. Places of the memory that are still empty are zeros
    and change nothing.
    """
    steps, changes, inverse = memory

    def back(number, state):
        left, amounts = state
        index = MEMORY - 1 - number
        amount = inverse[index] * (steps[index] * left).sum()
        return left - amount * changes[index], amounts.at[index].set(amount)

    left, amounts = jax.lax.fori_loop(0, MEMORY, back, (gradient, jnp.zeros(MEMORY)))
    square = (changes[-1] ** 2).sum() * inverse[-1]
    left = left / jnp.where(square > 0, square, 1.0)

    def forth(index, left):
        amount = inverse[index] * (changes[index] * left).sum()
        return left + (amounts[index] - amount) * steps[index]

    return jax.lax.fori_loop(0, MEMORY, forth, left)


def _remember(memory, step: jax.Array, change: jax.Array):
    """Return the memory with one more pair, the oldest dropped; as it was if rounding has left no curvature."""
    product = (step * change).sum()
    useful = product > jnp.finfo(jnp.float32).eps * (change**2).sum()
    newest = (step, change, 1.0 / jnp.where(useful, product, 1.0))
    return jax.tree.map(lambda old, new: jnp.where(useful, jnp.concatenate([old[1:], new[None]]), old), memory, newest)


def _search(along, loss: jax.Array, slope: jax.Array, first: jax.Array) -> jax.Array:
    """Return a length along a direction of descent where a convex loss is lower and its slope less steep.

    Lengths grow fourfold until the minimum is behind them; then the zero of the slope is sought by the secant, kept
    inside the middle of the bracket. At most 20 lengths; 0 if rounding leaves nothing to gain.

    Args:
        along: length -> (loss, slope).
        loss: at length 0.
        slope: at length 0, negative.
        first: length to try first.
    """

    def content(length, value, own):
        return (value <= loss + ARMIJO * length * slope) & (jnp.abs(own) <= -CURVATURE * slope)

    def tries(state):
        return (state[0] < 20) & ~state[-1]

    def another(state):
        number, length, low, low_slope, high, high_slope, _ = state
        value, own = along(length)
        done = content(length, value, own)
        beyond = (own > 0) | (value > loss + ARMIJO * length * slope)
        high, high_slope = jnp.where(beyond, length, high), jnp.where(beyond, own, high_slope)
        low, low_slope = jnp.where(beyond, low, length), jnp.where(beyond, low_slope, own)
        rise = high_slope - low_slope
        zero = low - low_slope * (high - low) / jnp.where(rise > 0, rise, 1.0)
        inside = jnp.clip(jnp.where(rise > 0, zero, 0.0), low + 0.1 * (high - low), high - 0.1 * (high - low))
        trial = jnp.where(jnp.isinf(high), 4.0 * length, inside)
        return number + 1, jnp.where(done, length, trial), low, low_slope, high, high_slope, done

    start = (0, first, 0.0, slope, jnp.inf, jnp.inf, jnp.asarray(False))
    _, length, low, *_, done = jax.lax.while_loop(tries, another, start)
    return jnp.where(done, length, low)
