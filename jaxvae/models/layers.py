"""The one Conv and ConvTranspose everybody uses: convolutions written as matrix products. Knows no architecture.

XLA turns a `vmap` over convolution kernels into grouped convolutions, which are slow everywhere, and runs any
convolution inside a loop many times slower than outside on CPU. A matrix product suffers from neither. Parameters are
laid out as Flax lays them out ([kh, kw, in, out]), so nothing outside this file can tell.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.nn.initializers import Initializer


def space_to_depth(x: jax.Array, block: int) -> jax.Array:
    """Move block x block pixels into channels: [B, H, W, C] -> [B, H/block, W/block, block*block*C]."""
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // block, block, width // block, block, channels)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height // block, width // block, -1)


def depth_to_space(x: jax.Array, block: int) -> jax.Array:
    """Undo `space_to_depth`: [B, H, W, block*block*C] -> [B, H*block, W*block, C]."""
    batch, height, width, _ = x.shape
    x = x.reshape(batch, height, width, block, block, -1)
    return x.transpose(0, 1, 3, 2, 4, 5).reshape(batch, height * block, width * block, -1)


def _patches(x: jax.Array, taps: int) -> jax.Array:
    """Gather taps x taps neighbours into channels: [B, H, W, C] -> [B, H-taps+1, W-taps+1, taps*taps*C]."""
    height, width = x.shape[1] - taps + 1, x.shape[2] - taps + 1
    shifted = [x[:, i : i + height, j : j + width] for i in range(taps) for j in range(taps)]
    return jnp.concatenate(shifted, axis=-1) if taps > 1 else x


def _pad_kernel(kernel: jax.Array, stride: int) -> tuple[jax.Array, int]:
    """Extend a kernel with zeros to a whole number of strides; return it with that number, its taps per side."""
    taps = -(-kernel.shape[0] // stride)
    missing = taps * stride - kernel.shape[0]
    return jnp.pad(kernel, ((0, missing), (0, missing), (0, 0), (0, 0))), taps


def conv(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Correlate x [B, H, W, C] with kernel [k, k, C, F], "SAME" padding: [B, H/stride, W/stride, F].

    A stride-s convolution with a k x k kernel is a stride-1 convolution with k/s x k/s taps on the space-to-depth
    image, so a 4x4 stride-2 layer needs 4 shifted copies of its input, not 16.
    """
    low = (kernel.shape[0] - stride) // 2
    padded, taps = _pad_kernel(kernel, stride)
    high = (taps - 1) * stride - low
    x = space_to_depth(jnp.pad(x, ((0, 0), (low, high), (low, high), (0, 0))), stride)
    channels, features = kernel.shape[2:]
    matrix = padded.reshape(taps, stride, taps, stride, channels, features)
    matrix = matrix.transpose(0, 2, 1, 3, 4, 5).reshape(-1, features)
    return _patches(x, taps) @ matrix


def conv_transpose(x: jax.Array, kernel: jax.Array, stride: int) -> jax.Array:
    """Scatter x [B, H, W, C] through kernel [k, k, C, F], "SAME" cropping: [B, H*stride, W*stride, F].

    out[stride*i + a - (k - stride)//2] += x[i] kernel[a], the adjoint of `conv` (and PyTorch's ConvTranspose2d). All
    stride x stride output pixels of a cell depend on the same k/s x k/s input pixels, so one product on the input's
    grid, then depth-to-space, gives them.
    """
    low = (kernel.shape[0] - stride) // 2
    padded, taps = _pad_kernel(kernel, stride)
    height, width = x.shape[1] * stride, x.shape[2] * stride
    edge = taps - 1
    x = _patches(jnp.pad(x, ((0, 0), (edge, edge), (edge, edge), (0, 0))), taps)
    channels, features = kernel.shape[2:]
    matrix = padded.reshape(taps, stride, taps, stride, channels, features)
    # The neighbour before a pixel reaches it through the kernel's later taps, hence the reversal.
    matrix = matrix[::-1, :, ::-1].transpose(0, 2, 4, 1, 3, 5).reshape(taps * taps * channels, -1)
    return depth_to_space(x @ matrix, stride)[:, low : low + height, low : low + width]


class Conv(nn.Module):
    """A convolution over NHWC images with "SAME" padding; height and width must be multiples of `stride`."""

    features: int
    kernel: int
    stride: int = 1
    dtype: str = "float32"
    kernel_init: Initializer = nn.initializers.glorot_uniform()

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        x, kernel, bias = (a.astype(self.dtype) for a in (x, kernel, bias))
        return self.operation(x, kernel) + bias

    def operation(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv(x, kernel, self.stride)


class ConvTranspose(Conv):
    """A transposed convolution over NHWC images that multiplies height and width by `stride`."""

    def operation(self, x: jax.Array, kernel: jax.Array) -> jax.Array:
        return conv_transpose(x, kernel, self.stride)
