"""The residual cells of a hierarchical VAE, both ways (Vahdat & Kautz 2020, section 3.1). Know no latents.

All take and give feature maps [B, H, W, C]. Batch statistics are those of the batch while the collection
"batch_stats" may be written, which is when a model is trained, and running averages otherwise.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.models.layers import Weights, stack

RESIDUAL = 0.1  # the weight of a cell's branch beside its skip connection, as in the authors' code
MOMENTUM, EPSILON = 0.95, 1e-5  # of running averages; beside variances


class Conv(nn.Module):
    """One convolution with bias, "SAME" padding, as a matrix product (see layers.stack)."""

    features: int
    kernel: int
    dtype: str
    stride: int = 1
    transposed: bool = False
    scale: float = 1.0  # of the kernel at the start

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        init = nn.initializers.variance_scaling(self.scale**2, "fan_avg", "uniform")  # Glorot's
        weights = Weights(self.features, self.kernel, init, name="weights")(x.shape[-1])
        cast = tuple(array.astype(self.dtype) for array in weights)
        return stack(x.astype(self.dtype), [cast], [self.stride], transposed=self.transposed)


class Depthwise(nn.Module):
    """A k x k convolution of every channel by itself."""

    kernel: int
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, 1, x.shape[-1])
        # Glorot's fan counts: one channel in and one out.
        init = nn.initializers.variance_scaling(1.0, "fan_in", "uniform")
        kernel, bias = self.param("kernel", init, shape), self.param("bias", nn.initializers.zeros, x.shape[-1:])
        return depthwise(x.astype(self.dtype), kernel[:, :, 0].astype(self.dtype)) + bias.astype(self.dtype)


def _shifts(x: jax.Array, size: int):
    """Yield (row, column, x [B, H, W, C] moved so that tap (row, column) of a "SAME" kernel lies on each pixel)."""
    height, width = x.shape[1:3]
    low = (size - 1) // 2
    padded = jnp.pad(x, ((0, 0), (low, size - 1 - low), (low, size - 1 - low), (0, 0)))
    for row in range(size):
        for column in range(size):
            yield row, column, padded[:, row : row + height, column : column + width]


@jax.custom_vjp
def depthwise(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """Correlate every channel of x [B, H, W, C] with its own kernel [k, k, C], k odd, "SAME" padding.

    As shifted multiply-adds: a depthwise convolution is a grouped one, which is slow and, over lanes, slower.
    """
    return _correlate(x, kernel)


def _correlate(x: jax.Array, kernel: jax.Array) -> jax.Array:
    # Else whatever makes x is fused into the sum, and made anew for every tap; and the sum into all that reads it.
    x = jax.lax.optimization_barrier(x)
    return jax.lax.optimization_barrier(
        sum(moved * kernel[row, column] for row, column, moved in _shifts(x, len(kernel)))
    )


def _depthwise_backward(kept, gradient):
    x, kernel = kept
    gradient = jax.lax.optimization_barrier(gradient)
    # Left to itself, autodiff pads every one of the k * k gradients by itself.
    of_x = _correlate(gradient, kernel[::-1, ::-1])
    if jax.default_backend() == "cpu":
        of_taps = _tap_gradients_by_image(x, gradient, len(kernel))
    else:
        of_taps = [(moved * gradient).sum((0, 1, 2)) for _, _, moved in _shifts(x, len(kernel))]
    return of_x, jnp.stack(of_taps).reshape(kernel.shape).astype(kernel.dtype)


def _tap_gradients_by_image(x: jax.Array, gradient: jax.Array, size: int) -> list[jax.Array]:
    """Return sum over images and pixels of (moved x) * gradient for each row of taps, each [k, C].

    XLA:CPU does not vectorise sums over all but the last axis. Added up image by image, a row of pixels wide, they are
    elementwise: four to ten times as fast.
    """
    height, width, channels = gradient.shape[1:]
    low = (size - 1) // 2
    padded = jnp.pad(x, ((0, 0), (low, size - 1 - low), (low, size - 1 - low), (0, 0)))

    def add(image, sums):
        seen, g = (jax.lax.dynamic_index_in_dim(array, image, keepdims=False) for array in (padded, gradient))
        columns = jnp.stack([seen[:, column : column + width] for column in range(size)], axis=1)
        columns = jax.lax.optimization_barrier(columns)  # [H + size - 1, size, W, C]
        # A sum for every row of the kernel, not for every tap: there is less to compile.
        return [
            total + sum((columns[row + y] * g[y]).astype(jnp.float32) for y in range(height))
            for row, total in enumerate(sums)
        ]

    sums = jax.lax.fori_loop(0, len(x), add, [jnp.zeros((size, width, channels), jnp.float32)] * size)
    return [total.sum(1) for total in sums]


depthwise.defvjp(lambda x, kernel: (depthwise(x, kernel), (x, kernel)), _depthwise_backward)


class Normalised(nn.Module):
    """Batch normalisation with a scale and a shift of its own, statistics in float32."""

    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        trains = self.is_mutable_collection("batch_stats")
        return nn.BatchNorm(not trains, momentum=MOMENTUM, epsilon=EPSILON, dtype=self.dtype, name="norm")(x)


class SqueezeExcite(nn.Module):
    """Weigh channels by what all places together say (Hu et al. 2018)."""

    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        channels = x.shape[-1]
        hidden = nn.relu(nn.Dense(max(channels // 16, 4), dtype=self.dtype)(x.mean((1, 2))))
        return x * nn.sigmoid(nn.Dense(channels, dtype=self.dtype)(hidden))[:, None, None]


class EncoderCell(nn.Module):
    """Twice [batch norm, swish, 3x3 convolution], then squeeze-and-excite, beside a skip connection.

    With `down`, height and width are halved and the skip connection is four 1x1 convolutions, one for each pixel of a
    2x2 block, side by side.
    """

    features: int
    dtype: str
    down: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        conv = functools.partial(Conv, dtype=self.dtype)
        branch = nn.swish(Normalised(self.dtype)(x))
        branch = conv(self.features, 3, stride=2 if self.down else 1)(branch)
        branch = conv(self.features, 3)(nn.swish(Normalised(self.dtype)(branch)))
        branch = SqueezeExcite(self.dtype)(branch)
        skip = x
        if self.down:
            active = nn.swish(x)
            corners = [active[:, row::2, column::2] for row in range(2) for column in range(2)]
            skip = jnp.concatenate([conv(self.features // 4, 1)(corner) for corner in corners], axis=-1)
        return skip + RESIDUAL * branch


class DecoderCell(nn.Module):
    """1x1 convolution to `expand` times the channels, 5x5 depthwise, 1x1 back, squeeze-and-excite, beside a skip.

    Batch norm stands before and after each convolution, swish before the second and the third. With `up`, height and
    width are doubled: the branch repeats pixels, the skip connection interpolates. Both happen later than in the paper,
    after operations on single pixels that commute with them, at a quarter of the work.
    """

    features: int
    dtype: str
    expand: int = 6
    up: bool = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        hidden = self.expand * x.shape[-1]
        branch = Conv(hidden, 1, self.dtype)(Normalised(self.dtype)(x))
        branch = nn.swish(Normalised(self.dtype)(branch))
        if self.up:
            branch = repeated(branch)
        branch = nn.swish(Normalised(self.dtype)(Depthwise(5, self.dtype)(branch)))
        branch = Normalised(self.dtype)(Conv(self.features, 1, self.dtype)(branch))
        branch = SqueezeExcite(self.dtype)(branch)
        skip = x
        if self.up:
            skip = interpolated(Conv(self.features, 1, self.dtype)(x))
        return skip + RESIDUAL * branch


def _interleaved(first: jax.Array, second: jax.Array, axis: int) -> jax.Array:
    """Return first and second in turn along an axis, which becomes twice as long."""
    both = jnp.stack([first, second], axis + 1)
    return both.reshape(*first.shape[:axis], 2 * first.shape[axis], *first.shape[axis + 1 :])


def repeated(x: jax.Array) -> jax.Array:
    """Repeat every pixel of x [B, H, W, C] twice each way."""
    for axis in (1, 2):
        x = _interleaved(x, x, axis)
    return x


def interpolated(x: jax.Array) -> jax.Array:
    """Double height and width of x [B, H, W, C] by linear interpolation, edges repeated."""
    for axis in (1, 2):
        size = x.shape[axis]
        before = jnp.concatenate([jax.lax.slice_in_dim(x, 0, 1, axis=axis), x], axis)
        before = jax.lax.slice_in_dim(before, 0, size, axis=axis)
        after = jnp.concatenate([x, jax.lax.slice_in_dim(x, size - 1, size, axis=axis)], axis)
        after = jax.lax.slice_in_dim(after, 1, size + 1, axis=axis)
        x = _interleaved(0.75 * x + 0.25 * before, 0.75 * x + 0.25 * after, axis)
    return x
