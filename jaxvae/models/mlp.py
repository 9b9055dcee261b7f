"""Fully connected VAEs: the form the field uses on MNIST, and the one it uses on dSprites."""

import math
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.models.vae import VAE

CODES = "float32"
"""Of the layer that says means and log-variances, whatever the arithmetic (see conv.ConvEncoder)."""


class Dense(nn.Module):
    """A stack of dense layers [B, ...] -> [B, *output], the same activation after all but the last."""

    widths: tuple[int, ...]
    output: tuple[int, ...]
    activation: Callable[[jax.Array], jax.Array]
    dtype: str = "float32"
    last_dtype: str | None = None  # of the last layer, where it is another
    keeps_places = False

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = self.activation(nn.Dense(width, dtype=self.dtype, kernel_init=nn.initializers.glorot_uniform())(x))
        last = self.last_dtype or self.dtype
        x = nn.Dense(math.prod(self.output), dtype=last, kernel_init=nn.initializers.glorot_uniform())(x)
        return x.reshape(x.shape[0], *self.output)


def mlp(image_shape: tuple[int, int, int], latent_dim: int, dtype: str) -> VAE:
    """Build the MNIST form: one hidden layer of 500 tanh units each way (Kingma & Welling 2014, section 5).

    Takes any image shape.
    """
    return VAE(
        encoder=Dense((500,), (2 * latent_dim,), jnp.tanh, dtype, last_dtype=CODES),
        decoder=Dense((500,), image_shape, jnp.tanh, dtype),
    )


def mlp_dsprites(image_shape: tuple[int, int, int], latent_dim: int, dtype: str) -> VAE:
    """Build the dSprites form: 1200-1200 ReLU down, 1200-1200-1200 tanh up (Higgins et al. 2017, appendix A.1).

    Takes any image shape.
    """
    return VAE(
        encoder=Dense((1200, 1200), (2 * latent_dim,), nn.relu, dtype, last_dtype=CODES),
        decoder=Dense((1200, 1200, 1200), image_shape, jnp.tanh, dtype),
    )


def mlp_vade(image_shape: tuple[int, int, int], latent_dim: int, dtype: str) -> VAE:
    """Build the clustering form: 500-500-2000 ReLU down, mirrored up (Jiang et al. 2017, section 4.2).

    Takes any image shape.
    """
    widths = (500, 500, 2000)
    return VAE(
        encoder=Dense(widths, (2 * latent_dim,), nn.relu, dtype, last_dtype=CODES),
        decoder=Dense(widths[::-1], image_shape, nn.relu, dtype),
    )
