"""Stacks of convolutions as matrix products, forwards and backwards. Knows no architecture.

XLA turns a `vmap` over convolution kernels into grouped convolutions, which are slow everywhere, and on CPU its
backward convolutions run at a tenth of the machine's matrix rate. Here every layer is one matrix product on a grid of
cells, forwards one and backwards two:

- a stride-s convolution with a k x k kernel is a stride-1 one with ceil(k/s) x ceil(k/s) taps on the space-to-depth
  image ("deep" below: s x s pixels are one cell of s*s*C channels); a transposed one is the same with its output deep;
- the taps are gathered on the thinner side. With fewer channels in than out, neighbours are gathered before the
  product; with more, the product makes a column for every tap and the results are scattered (shifted and added). So
  no array is ever wider than it must be: a 4x4 layer of 32 channels copies 4 cells, not 16 pixels;
- of a convolution that keeps the size and has as many channels in as out, each side gathers half (`crossed`);
- on CPU the batch is cut into blocks of images whose activations stay in cache from one layer to the next.

Kernels are laid out as Flax lays them out ([k, k, in, out]), so nothing outside this file can tell.
"""

import functools
import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer

from jaxvae.models import crossed
from jaxvae.parallel.parts import over_parts

CACHE_BYTES = 1024 * 1024
"""The largest activation of a block for each CPU core, some four of which are alive at once.

Measured on cores with caches of 2 MiB: half as much is equally fast for lanes on devices of one core each, and a sixth
slower for a lane that has two cores; without blocks, training takes half as long again.
"""


class Layer(NamedTuple):
    """The geometry of one convolution, all static."""

    kernel: int
    stride: int
    transposed: bool = False
    after_relu: bool = False  # whether it sees max(x, 0)

    @property
    def taps(self) -> int:
        """Cells a side that one deep cell sees."""
        return -(-self.kernel // self.stride)

    @property
    def low(self) -> int:
        """Rows of "SAME" padding above (and columns to the left)."""
        return (self.kernel - self.stride) // 2


class Weights(nn.Module):
    """The parameters of one convolution: kernel [k, k, in, out] and bias [out], which starts at zero."""

    features: int
    kernel: int
    kernel_init: Initializer

    @nn.compact
    def __call__(self, channels: int) -> tuple[jax.Array, jax.Array]:
        kernel = self.param("kernel", self.kernel_init, (self.kernel, self.kernel, channels, self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,))


def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Correlate x [B, H, W, C] with kernel [k, k, C, F], "SAME" padding: [B, H/stride, W/stride, F].

    Height and width must be multiples of `stride`.
    """
    return stack(x, [(kernel, jnp.zeros(kernel.shape[-1]))], [stride], transposed=False)


def conv_transpose(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Scatter x [B, H, W, C] through kernel [k, k, C, F], "SAME" cropping: [B, H*stride, W*stride, F].

    out[stride*i + a - (k - stride)//2] += x[i] kernel[a], the adjoint of `conv` (and PyTorch's ConvTranspose2d).
    """
    return stack(x, [(kernel, jnp.zeros(kernel.shape[-1]))], [stride], transposed=True)


def stack(
    x: jax.Array, weights: Sequence[tuple[jax.Array, jax.Array]], strides: Sequence[int], *, transposed: bool
) -> jax.Array:
    """Apply convolutions one after another to x [B, H, W, C], ReLU between (not after the last).

    Args:
        x: images or feature maps.
        weights: (kernel [k, k, in, out], bias [out]) of every layer.
        strides: of every layer.
        transposed: whether they scatter (`conv_transpose`) rather than gather (`conv`).
    """
    layers = tuple(
        Layer(kernel.shape[0], stride, transposed, after_relu=index > 0)
        for index, ((kernel, _), stride) in enumerate(zip(weights, strides, strict=True))
    )
    return over_parts(functools.partial(_run, layers))(tuple(weights), x)


def _run(layers: tuple[Layer, ...], weights, x: jax.Array) -> jax.Array:
    steps = [_prepared(layer, kernel) for layer, (kernel, _) in zip(layers, weights, strict=True)]

    def run(block):
        for (apply, matrices), (_, bias) in zip(steps, weights, strict=True):
            block = apply(block, *matrices, bias)
        return block

    size = _block_size(x, layers, weights)
    if size == len(x):
        return run(x)
    out = jax.lax.map(run, x.reshape(-1, size, *x.shape[1:]))
    return out.reshape(-1, *out.shape[2:])


def _prepared(layer: Layer, kernel: jax.Array) -> tuple[Callable, tuple[jax.Array, jax.Array]]:
    """Return what applies a layer to (x, *matrices, bias), and the matrices, made once for all blocks."""
    size, _, channels, features = kernel.shape
    if layer.stride == 1 and not layer.transposed and crossed.pays(size, channels, features):
        return functools.partial(crossed.apply, size, layer.after_relu), crossed.matrices(kernel)
    return functools.partial(_apply, layer), _matrices(layer, kernel)


def _on_cpu() -> bool:
    return jax.default_backend() == "cpu"


def _block_size(x: jax.Array, layers: Sequence[Layer], weights) -> int:
    """Return how many images go through the layers at a time, a divisor of the batch."""
    if not _on_cpu():
        return len(x)
    largest = area = x.shape[1] * x.shape[2]
    for layer, (kernel, _) in zip(layers, weights, strict=True):
        area = area * layer.stride**2 if layer.transposed else area // layer.stride**2
        largest = max(largest, area * kernel.shape[-1])
    cores = max(1, (os.cpu_count() or 1) // jax.local_device_count())  # that share the work of one device
    fitting = max(1, cores * CACHE_BYTES // (x.dtype.itemsize * largest))
    return max(size for size in range(1, min(fitting, len(x)) + 1) if len(x) % size == 0)


def _matrices(layer: Layer, kernel: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Return the matrix of a layer's product and its transpose.

    Thin layers have [taps*taps*c, f], wide ones [c, taps*taps*f], where c and f count the channels of a cell.
    """
    taps, stride, channels, features = layer.taps, layer.stride, *kernel.shape[2:]
    missing = taps * stride - layer.kernel
    padded = jnp.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0)))
    cells = padded.reshape(taps, stride, taps, stride, channels, features)
    if layer.transposed:
        # The neighbour before a cell reaches it through the kernel's later taps, hence the reversal.
        cells = cells[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5).reshape(taps, taps, channels, -1)
    else:
        cells = cells.transpose(0, 2, 1, 3, 4, 5).reshape(taps, taps, -1, features)
    ins, outs = cells.shape[2:]
    # Scattering looks from the other end of each tap.
    matrix = cells.reshape(-1, outs) if _thin(ins, outs) else cells[::-1, ::-1].transpose(2, 0, 1, 3).reshape(ins, -1)
    # XLA would fold the transposition into the product, and only plain products run at full speed on CPU.
    return matrix, jax.lax.optimization_barrier(jax.lax.stop_gradient(matrix).T)


def _thin(ins: int, outs: int) -> bool:
    """Whether a layer gathers its input (or scatters its output): the side with fewer channels is copied per tap."""
    return ins <= outs


def _to_depth(x: jax.Array, layer: Layer) -> jax.Array:
    """Pad x [B, H, W, C] for the taps and move stride x stride pixels into channels: [B, h, w, s*s*C]."""
    batch, height, width, channels = x.shape
    s = layer.stride
    h, w = height // s + layer.taps - 1, width // s + layer.taps - 1
    high = (h * s - height - layer.low, w * s - width - layer.low)
    x = jnp.pad(x, ((0, 0), (layer.low, high[0]), (layer.low, high[1]), (0, 0)))
    rows = x.reshape(batch, h, s, w, s * channels)
    # Not a transposition: XLA:CPU copies what is concatenated a row at a time, what is transposed a number at a time.
    return jnp.concatenate([rows[:, :, i] for i in range(s)], axis=-1)


def _from_depth(x: jax.Array, layer: Layer) -> jax.Array:
    """Undo `_to_depth`: pixels out of channels, padding off."""
    batch, h, w, channels = x.shape
    s = layer.stride
    height, width = (h - layer.taps + 1) * s, (w - layer.taps + 1) * s
    x = x.reshape(batch, h, w, s, channels // s).transpose(0, 1, 3, 2, 4).reshape(batch, h * s, w * s, -1)
    return x[:, layer.low : layer.low + height, layer.low : layer.low + width]


def _shifted(x: jax.Array, taps: int, full: bool, axis: int) -> list[jax.Array]:
    """Return x shifted to each of taps x taps neighbours, over the image axes `axis` and `axis + 1`.

    Without `full` only where all neighbours are inside, H - taps + 1 rows; with it wherever one is, H + taps - 1.
    """
    if full:
        edges = [(taps - 1, taps - 1) if a in (axis, axis + 1) else (0, 0) for a in range(x.ndim)]
        x = jnp.pad(x, edges)
    height, width = x.shape[axis] - taps + 1, x.shape[axis + 1] - taps + 1
    before = (slice(None),) * axis
    return [x[(*before, slice(i, i + height), slice(j, j + width))] for i in range(taps) for j in range(taps)]


def _gather(x: jax.Array, taps: int, full: bool) -> jax.Array:
    """Gather taps x taps neighbours into channels: [B, H, W, c] -> [B, h, w, taps*taps*c]."""
    return jnp.concatenate(_shifted(x, taps, full, axis=1), axis=-1)


def _scatter(x: jax.Array, taps: int, full: bool) -> jax.Array:
    """Add to every cell what its neighbours hold for it, the adjoint of `_gather`: [B, h, w, t*t*c] -> [B, H, W, c]."""
    batch, h, w, _ = x.shape
    x = x.reshape(batch, h, w, taps, taps, -1)
    edge = taps - 1

    def part(i, j):
        if full:  # what the gathering padded is cut off
            return x[:, edge - i : h - i, edge - j : w - j, i, j]
        return jnp.pad(x[:, :, :, i, j], ((0, 0), (i, edge - i), (j, edge - j), (0, 0)))

    return sum(part(i, j) for i in range(taps) for j in range(taps))


def _rows(x: jax.Array) -> jax.Array:
    return x.reshape(-1, x.shape[-1])


def _product(x: jax.Array, matrix: jax.Array) -> jax.Array:
    """Multiply the channels of every cell [B, h, w, c] with a matrix [c, f]."""
    return (_rows(x) @ matrix).reshape(*x.shape[:3], -1)


def _matrix_gradient(thin: jax.Array, wide: jax.Array, taps: int, full: bool) -> jax.Array:
    """Return Σ_cells gather(thin)^T wide: [B, H, W, c] and [B, h, w, f] -> [taps*taps*c, f]."""
    if not _on_cpu():
        return jax.lax.dot_general(_rows(_gather(thin, taps, full)), _rows(wide), (((0,), (0,)), ((), ())))
    # On CPU only plain products are fast. To transpose before gathering costs a copy of the thin side alone.
    shifted = _shifted(jax.lax.optimization_barrier(thin.transpose(3, 0, 1, 2)), taps, full, axis=2)
    columns = jnp.concatenate(shifted, axis=0)
    return jax.lax.optimization_barrier(columns.reshape(len(columns), -1) @ _rows(wide))


@functools.partial(jax.custom_vjp, nondiff_argnums=(0,))
def _apply(layer: Layer, x, matrix, transpose, bias):
    """Return one convolution of x [B, H, W, C], or of max(x, 0) where the layer comes after a ReLU.

    The ReLU belongs to the layer that it feeds because then one array serves three purposes backwards: the layer's
    input, the ReLU's mask, and nothing else has to be kept.
    """
    return _forward(layer, x, matrix, transpose, bias)[0]


def _forward(layer, x, matrix, transpose, bias):
    x = jnp.maximum(x, 0) if layer.after_relu else x
    cells = x if layer.transposed else _to_depth(x, layer)
    if matrix.shape[0] == layer.taps**2 * cells.shape[-1]:  # a row for every tap, not a column
        out = _product(_gather(cells, layer.taps, layer.transposed), matrix)
    else:
        out = _scatter(_product(cells, matrix), layer.taps, not layer.transposed)
    out = _from_depth(out, layer) if layer.transposed else out
    return out + bias, (cells, transpose)


def _backward(layer, kept, g):
    cells, transpose = kept
    bias_gradient = g.sum((0, 1, 2))
    g = _to_depth(g, layer) if layer.transposed else g
    taps, full = layer.taps, layer.transposed
    if transpose.shape[1] == taps**2 * cells.shape[-1]:
        matrix_gradient = _matrix_gradient(cells, g, taps, full)
        x_gradient = _scatter(_product(g, transpose), taps, full)
    else:
        matrix_gradient = _matrix_gradient(g, cells, taps, not full).T
        x_gradient = _product(_gather(g, taps, not full), transpose)
    if layer.after_relu:
        x_gradient = jnp.where(cells > 0, x_gradient, 0)
    x_gradient = x_gradient if layer.transposed else _from_depth(x_gradient, layer)
    return x_gradient, matrix_gradient, jnp.zeros_like(transpose), bias_gradient


_apply.defvjp(_forward, _backward)
