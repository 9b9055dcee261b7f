"""A batch over devices: where there are more devices than lanes, those that share a lane each do a part of its batch.

All of them compute everything else alike. Knows no lane, no loss and no model.
"""

from collections.abc import Callable
from typing import Any

import jax

PART = "part"  # the mesh axis that the parts of a batch are split over


def num_parts() -> int:
    """Return over how many devices the lane that is being traced is split; 1 outside any mesh."""
    try:
        return jax.lax.axis_size(PART)
    except NameError:  # traced without such an axis
        return 1


def over_parts(function: Callable[[Any, jax.Array], jax.Array]) -> Callable[[Any, jax.Array], jax.Array]:
    """Return a function like `function(weights, batch [B, ...]) -> [B, ...]`, done by all devices of a lane together.

    Rows of the batch must not depend on each other. Each device takes B / parts of them and has the results of all
    afterwards; backwards likewise, and gradients of the weights are summed. Only where the parts come out equal.
    """

    def shared(weights, batch):
        parts = num_parts()
        if parts == 1 or len(batch) % parts:
            return function(weights, batch)
        size = len(batch) // parts

        def own(rows):
            return jax.lax.dynamic_slice_in_dim(rows, jax.lax.axis_index(PART) * size, size)

        def whole(rows):
            return jax.lax.all_gather(rows, PART, tiled=True)

        # Left to itself, autodiff would take the copies of what follows for as many different losses.
        @jax.custom_vjp
        def apply(weights, batch):
            return whole(function(weights, own(batch)))

        def forward(weights, batch):
            out, pullback = jax.vjp(function, weights, own(batch))
            return whole(out), pullback

        def backward(pullback, gradient):
            of_weights, of_rows = pullback(own(gradient))
            return jax.lax.psum(of_weights, PART), whole(of_rows)

        apply.defvjp(forward, backward)
        return apply(weights, batch)

    return shared
