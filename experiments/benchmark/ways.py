"""Other ways to compute the same sweep, each a patch that only the benchmark knows: what today's way is worth.

A way changes how a program is traced and compiled; once that is done the patch is gone and the program stays.
"""

import contextlib
import dataclasses
import inspect
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from contestants import Lanes
from jaxvae.data.grid import Dataset
from jaxvae.lane import step
from jaxvae.models import layers
from jaxvae.parallel import compiling
from jaxvae.training import sweep
from jaxvae.types import Program


def lax_stack(geometry, weights, x: jax.Array) -> jax.Array:
    """Apply what `layers._run` does by XLA's own convolutions, which `vmap` over kernels makes grouped ones of."""
    for layer, (kernel, bias) in zip(geometry, weights, strict=True):
        x = jnp.maximum(x, 0) if layer.after_relu else x
        high = layer.kernel - layer.stride - layer.low
        strides, dilation, padding = (layer.stride,) * 2, (1, 1), (layer.low, high)
        if layer.transposed:
            kernel, strides, dilation = kernel[::-1, ::-1], dilation, strides
            padding = (layer.kernel - 1 - layer.low, layer.kernel - 1 - high)
        x = bias + jax.lax.conv_general_dilated(
            x, kernel, strides, [padding] * 2, lhs_dilation=dilation, dimension_numbers=("NHWC", "HWIO", "NHWC")
        )
    return x


@contextlib.contextmanager
def _lax_conv() -> Iterator[None]:
    with mock.patch.object(layers, "_run", lax_stack):
        yield


@contextlib.contextmanager
def _shared_batch() -> Iterator[None]:
    """Give all lanes one batch a step: indices come from the loop's own counter, which lanes share, not from seeds."""
    loop = jax.lax.fori_loop
    counter = []

    def counted(first, last, body, carry):
        def with_counter(index, carry):
            counter.append(index)
            try:
                return body(index, carry)
            finally:
                counter.pop()

        return loop(first, last, with_counter, carry)

    def sample(data: Dataset, program: Program, hypers, stream, at) -> jax.Array:
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), stream), counter[-1] if counter else 0)
        return jax.random.randint(key, (program.batch_size,), 0, len(data), jnp.int32)

    # The steps' loop alone: what is below it is traced while that loop's counter is the last.
    with mock.patch.object(step, "_sample", sample), mock.patch.object(sweep.jax.lax, "fori_loop", counted):
        yield


class Way(NamedTuple):
    """What a way is: a patch while a program is traced and compiled, and perhaps another arithmetic."""

    words: str
    patched: Callable[[], AbstractContextManager] = contextlib.nullcontext
    dtype: str | None = None


WAYS = {
    "as_it_is": Way("matrix products, each lane's own batch, the device's default rounding of float32"),
    "lax_conv": Way("XLA's convolutions", _lax_conv),
    "full_float32": Way("float32 products in full, no TF32", lambda: jax.default_matmul_precision("highest")),
    "bfloat16": Way("networks in bfloat16", dtype="bfloat16"),
    "shared_batch": Way("one batch a step for all lanes", _shared_batch),
}
"""Today's first: the others are divided by it."""


def build(way: str, program: Program, train: Dataset, num_lanes: int, mode: str, seconds: float) -> Lanes:
    """Return lanes in training, traced and compiled in a way; nothing that was compiled otherwise is taken."""
    chosen = WAYS[way]
    program = dataclasses.replace(program, dtype=chosen.dtype or program.dtype)
    with contextlib.ExitStack() as stack:
        # What is remembered by program would be another way's.
        stack.enter_context(mock.patch.object(sweep, "compiled_steps", inspect.unwrap(sweep.compiled_steps)))
        stack.enter_context(mock.patch.object(compiling, "_begun", dict))
        stack.enter_context(chosen.patched())
        return Lanes(program, train, num_lanes, mode, seconds)
