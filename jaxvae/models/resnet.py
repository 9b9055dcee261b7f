"""A residual convolutional VAE, for images with more to them than one convolution a size can say."""

import math

import flax.linen as nn
import jax

from jaxvae.models.conv import strides_for
from jaxvae.models.layers import Weights, stack
from jaxvae.models.vae import VAE

WIDTHS = (32, 64, 128, 128)
"""Channels of each level, from the largest images to the smallest."""

HIDDEN = 256
HE = nn.initializers.he_uniform()


def _convolution(
    module: nn.Module, x: jax.Array, name: str, features: int, stride: int, *, transposed: bool
) -> jax.Array:
    """Halve or double x [B, H, W, C] by a convolution of kernel 4, parameters under a name."""
    layer = Weights(features, 4, HE, parent=module, name=name)
    weights = tuple(a.astype(module.dtype) for a in layer(x.shape[-1]))
    return stack(x.astype(module.dtype), [weights], [stride], transposed=transposed)


class Residual(nn.Module):
    """x + W2 relu(W1 relu(x)), 3x3 convolutions that keep the number of channels (He et al. 2016b, figure 1b).

    W2 starts at zero, so that at first a block passes on what it is given, and depth needs no normalisation (Zhang,
    Dauphin & Ma 2019, Fixup).
    """

    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        weights, initialisers = [], (HE, nn.initializers.zeros)
        for index, initialiser in enumerate(initialisers):
            layer = Weights(x.shape[-1], 3, initialiser, name=f"Conv_{index}")
            weights.append(tuple(a.astype(self.dtype) for a in layer(x.shape[-1])))
        return x + stack(nn.relu(x), weights, [1, 1], transposed=False)


class ResidualEncoder(nn.Module):
    """At each level a convolution that halves, then a residual block; then dense layers: [B, H, W, C] -> [B, 2D]."""

    widths: tuple[int, ...]
    latent_dim: int
    dtype: str
    keeps_places = True

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for level, width in enumerate(self.widths):
            x = _convolution(self, x if level == 0 else nn.relu(x), f"Conv_{level}", width, 2, transposed=False)
            x = Residual(self.dtype, name=f"Residual_{level}")(x)
        x = nn.relu(x).reshape(x.shape[0], -1)
        x = nn.relu(nn.Dense(HIDDEN, dtype=self.dtype, kernel_init=HE)(x))
        return nn.Dense(2 * self.latent_dim, dtype="float32")(x)  # see conv.ConvEncoder; nothing is rectified after it


class ResidualDecoder(nn.Module):
    """Dense layers, then at each level a residual block and a convolution that doubles: [B, D] -> [B, H, W, C]."""

    start: tuple[int, int, int]
    widths: tuple[int, ...]  # after each doubling; the last are the image's channels
    dtype: str

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = nn.relu(nn.Dense(HIDDEN, dtype=self.dtype, kernel_init=HE)(x))
        x = nn.Dense(math.prod(self.start), dtype=self.dtype, kernel_init=HE)(x).reshape(x.shape[0], *self.start)
        for level, width in enumerate(self.widths):
            x = Residual(self.dtype, name=f"Residual_{level}")(x)
            x = _convolution(self, nn.relu(x), f"ConvTranspose_{level}", width, 2, transposed=True)
        return x


def resnet(image_shape: tuple[int, int, int], latent_dim: int, dtype: str) -> VAE:
    """Build a residual network with blocks of He et al. 2016b, "Identity mappings in deep residual networks".

    Encoder: as often as the image can be halved, at most four times, a convolution (kernel 4, stride 2) to 32, 64, 128,
    128 channels and a residual block of two 3x3 convolutions; then dense layers of 256 and 2D. Decoder: the mirror
    image, with transposed convolutions. ReLU, no normalisation, so images of a batch do not depend on each other. He
    uniform weights, but LeCun normal in the layer that says means and log-variances, which no ReLU follows; zero
    biases. Takes heights and widths that are multiples of 4.

    Raises:
        InputError: height or width is not a multiple of 4.
    """
    height, width, channels = image_shape
    levels = strides_for("resnet", image_shape, len(WIDTHS)).count(2)
    shrink, widths = 2**levels, WIDTHS[:levels]
    return VAE(
        encoder=ResidualEncoder(widths, latent_dim, dtype),
        decoder=ResidualDecoder((height // shrink, width // shrink, widths[-1]), (*widths[-2::-1], channels), dtype),
    )
