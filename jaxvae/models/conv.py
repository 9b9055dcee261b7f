"""Convolutional VAEs: the network of the 12,600-model study, and Burgess et al.'s."""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
from jax.nn.initializers import Initializer

from jaxvae.models.layers import Weights, stack
from jaxvae.models.vae import VAE
from jaxvae.types import InputError


class Stage(NamedTuple):
    """One (transposed) convolution."""

    features: int
    kernel: int
    stride: int


class ConvEncoder(nn.Module):
    """Convolutions, then dense layers, ReLU between: [B, H, W, C] -> [B, 2 * latent_dim]."""

    stages: tuple[Stage, ...]
    hidden: tuple[int, ...]
    latent_dim: int
    dtype: str
    kernel_init: Initializer
    keeps_places = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(_convolve(self, x, "Conv", transposed=False))
        x = x.reshape(x.shape[0], -1)
        for width in self.hidden:
            x = nn.relu(nn.Dense(width, dtype=self.dtype, kernel_init=self.kernel_init)(x))
        # In float32 whatever the arithmetic: bfloat16 would round a mean of 2 to the next 1/64.
        return nn.Dense(2 * self.latent_dim, dtype="float32", kernel_init=self.kernel_init)(x)


class ConvDecoder(nn.Module):
    """Dense layers, then transposed convolutions, ReLU between: [B, D] -> logits [B, H, W, C]."""

    start: tuple[int, int, int]
    hidden: tuple[int, ...]
    stages: tuple[Stage, ...]
    dtype: str
    kernel_init: Initializer

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for width in (*self.hidden, math.prod(self.start)):
            x = nn.relu(nn.Dense(width, dtype=self.dtype, kernel_init=self.kernel_init)(x))
        x = x.reshape(x.shape[0], *self.start)
        return _convolve(self, x, "ConvTranspose", transposed=True)


def _convolve(module: ConvEncoder | ConvDecoder, x: jax.Array, name: str, *, transposed: bool) -> jax.Array:
    """Put x [B, H, W, C] through a module's stages, ReLU between; parameters are named NAME_0, NAME_1, …"""
    weights, channels = [], x.shape[-1]
    for index, stage in enumerate(module.stages):
        layer = Weights(stage.features, stage.kernel, module.kernel_init, parent=module, name=f"{name}_{index}")
        weights.append(tuple(a.astype(module.dtype) for a in layer(channels)))
        channels = stage.features
    return stack(x.astype(module.dtype), weights, [stage.stride for stage in module.stages], transposed=transposed)


def strides_for(name: str, image_shape: tuple[int, int, int], layers: int) -> tuple[int, ...]:
    """Halve while both sides are even, then keep the size: 64 -> (2, 2, 2, 2), 28 -> (2, 2, 1, 1) for four layers."""
    height, width, _ = image_shape
    strides = []
    for _ in range(layers):
        stride = 2 if height % 2 == 0 and width % 2 == 0 else 1
        height, width = height // stride, width // stride
        strides.append(stride)
    if strides[:2] != [2, 2]:
        raise InputError(
            f"architecture {name!r} halves its images at least twice, so height and width must be multiples of 4; "
            f"got {image_shape[0]}x{image_shape[1]}. Resize the images, or use an mlp, which takes any size"
        )
    return tuple(strides)


def conv(image_shape: tuple[int, int, int], latent_dim: int, dtype: str) -> VAE:
    """Build the network of the 12,600-model study (Locatello et al. 2019, table 1 of the appendix).

    Encoder 32-32-64-64 with kernels 4, 4, 2, 2, a dense layer of 256; decoder dense 256, then 64-32-32-C with kernels
    of 4. Every layer has stride 2 on the 64x64 images it was made for; on sizes that cannot be halved four times the
    later layers keep the size. Glorot uniform weights, zero biases. Takes heights and widths that are multiples of 4.
    """
    strides = strides_for("conv", image_shape, 4)
    shrink = math.prod(strides)
    height, width, channels = image_shape
    glorot = nn.initializers.glorot_uniform()
    encoder = zip((32, 32, 64, 64), (4, 4, 2, 2), strides, strict=True)
    decoder = zip((64, 32, 32, channels), (4, 4, 4, 4), reversed(strides), strict=True)
    return VAE(
        encoder=ConvEncoder(tuple(Stage(*s) for s in encoder), (256,), latent_dim, dtype, glorot),
        decoder=ConvDecoder(
            (height // shrink, width // shrink, 64), (256,), tuple(Stage(*s) for s in decoder), dtype, glorot
        ),
    )


def burgess(image_shape: tuple[int, int, int], latent_dim: int, dtype: str) -> VAE:
    """Build the network of Burgess et al. 2018 (section 4.1) as the published pretrained networks have it.

    Convolutions of 32 channels, kernel 4, stride 2 (four on 64x64 images, three on smaller ones), two dense layers of
    256, and the mirror image up. He uniform weights; biases start at zero. Takes heights and widths that are multiples
    of 4.
    """
    height, width, channels = image_shape
    strides = strides_for("burgess", image_shape, 4 if min(height, width) >= 64 else 3)
    shrink = math.prod(strides)
    he = nn.initializers.he_uniform()
    features = (32,) * (len(strides) - 1)
    decoder = zip((*features, channels), reversed(strides), strict=True)
    return VAE(
        encoder=ConvEncoder(tuple(Stage(32, 4, s) for s in strides), (256, 256), latent_dim, dtype, he),
        decoder=ConvDecoder(
            (height // shrink, width // shrink, 32), (256, 256), tuple(Stage(f, 4, s) for f, s in decoder), dtype, he
        ),
    )
