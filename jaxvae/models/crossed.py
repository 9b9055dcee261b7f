"""Convolutions of stride 1 as one matrix product with the kernel's columns on one side and its rows on the other.

Of a k x k kernel, k neighbours along the width are gathered into channels before the product, and k results along the
height are added after it. Where a layer has about as many channels in as out, that moves k (C + F) numbers a pixel; to
gather all k * k neighbours would move k * k min(C, F). The product is nearly square, which suits it, too. Measured on
CPU, forwards and backwards, 3x3 kernels: 1.3 to 1.6 times as fast. Knows no stack.
"""

import functools

import jax
import jax.numpy as jnp


def pays(kernel: int, channels: int, features: int) -> bool:
    """Return whether a k x k convolution of stride 1 moves less this way."""
    return kernel % 2 == 1 and channels + features < kernel * min(channels, features)


def matrices(kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the matrix [k*C, k*F] of the product of kernel [k, k, C, F], and the [k*F, k*C] of its gradient's."""
    size, _, channels, features = kernel.shape
    matrix = kernel.transpose(1, 2, 0, 3).reshape(size * channels, size * features)
    mirrored = jax.lax.stop_gradient(kernel)[::-1, ::-1].transpose(1, 3, 0, 2)
    return matrix, jax.lax.optimization_barrier(mirrored.reshape(size * features, size * channels))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def apply(size: int, after_relu: bool, x: jax.Array, matrix: jax.Array, mirrored: jax.Array, bias: jax.Array):
    """Correlate x [B, H, W, C], or max(x, 0) where it comes after a ReLU, with a kernel of `size`: [B, H, W, F].

    `matrix` and `mirrored` are those of `matrices`. "SAME" padding.
    """
    return _forward(size, after_relu, x, matrix, mirrored, bias)[0]


def _forward(size, after_relu, x, matrix, mirrored, bias):
    x = jnp.maximum(x, 0) if after_relu else x
    return _correlate(size, x, matrix) + bias, (x, mirrored)


def _backward(size, after_relu, kept, g):
    x, mirrored = kept
    x_gradient = _correlate(size, g, mirrored)
    if after_relu:
        x_gradient = jnp.where(x > 0, x_gradient, 0)
    return x_gradient, _matrix_gradient(size, x, g), jnp.zeros_like(mirrored), g.sum((0, 1, 2))


apply.defvjp(_forward, _backward)


def _correlate(size: int, x: jax.Array, matrix: jax.Array) -> jax.Array:
    columns = jnp.concatenate(_moved(x, size, axis=2), axis=-1)
    product = columns.reshape(-1, columns.shape[-1]) @ matrix
    by_row = product.reshape(*x.shape[:3], size, -1)
    # Row i of the kernel meets the pixel i - size // 2 below, so its products belong that much higher.
    return sum(_shift(by_row[:, :, :, row], size // 2 - row, axis=1) for row in range(size))


def _matrix_gradient(size: int, x: jax.Array, g: jax.Array) -> jax.Array:
    """Return [k*C, k*F], for every pair of a column and a row of the kernel Σ over pixels of x^T g."""
    rows = jnp.concatenate([_shift(g, row - size // 2, axis=1) for row in range(size)], axis=-1)
    rows = rows.reshape(-1, rows.shape[-1])
    if jax.default_backend() != "cpu":
        columns = jnp.concatenate(_moved(x, size, axis=2), axis=-1)
        return jax.lax.dot_general(columns.reshape(-1, columns.shape[-1]), rows, (((0,), (0,)), ((), ())))
    # On CPU only plain products are fast. To transpose before gathering costs a copy of x alone.
    turned = jax.lax.optimization_barrier(x.transpose(3, 0, 1, 2))
    columns = jnp.concatenate(_moved(turned, size, axis=3), axis=0)
    return jax.lax.optimization_barrier(columns.reshape(columns.shape[0], -1) @ rows)


def _moved(x: jax.Array, size: int, axis: int) -> list[jax.Array]:
    """Return x as each column of the kernel sees it: moved by -size // 2 … size // 2 along an axis."""
    return [_shift(x, size // 2 - column, axis) for column in range(size)]


def _shift(x: jax.Array, by: int, axis: int) -> jax.Array:
    """Move x by so many places along an axis, zeros where nothing comes from; what goes over the end is lost."""
    if by == 0:
        return x
    length = x.shape[axis]
    kept = jax.lax.slice_in_dim(x, max(0, -by), length - max(0, by), axis=axis)
    return jnp.pad(kept, [(max(0, by), max(0, -by)) if a == axis else (0, 0) for a in range(x.ndim)])
