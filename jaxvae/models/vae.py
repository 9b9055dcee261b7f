"""A VAE from an encoder and a decoder: sampling, the standard-normal KL, likelihoods. Knows no architecture."""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.types import ABOVE_0, Hyper, Hypers, ModelOutput, Posterior, Size


def reparameterise(
    key: jax.Array, mean: jax.Array, logvar: jax.Array, noise_scale: jax.Array | float = 1.0
) -> jax.Array:
    """Sample z [B, D] = mean + noise_scale * exp(logvar/2) * eps, eps ~ N(0, I) (Kingma & Welling 2014, section 2.4).

    noise_scale = 1 samples q(z|x). Finite for log-variances up to 177; beyond, the codes are infinite, the step is not
    taken, and the lane is named as diverged.
    """
    return mean + noise_scale * jnp.exp(0.5 * logvar) * jax.random.normal(key, mean.shape, jnp.float32)


def true_sample(scaled: jax.Array, sample: jax.Array, noise_scale: jax.Array | float) -> jax.Array:
    """Return `sample`, drawn from q(z|x), beside `scaled`, the same with its noise scaled, which the decoder is given.

    The decoder alone. Densities, divergences and statistics of q are taken where q was sampled: elsewhere a sampled KL
    or total correlation is that of no distribution, and may fall without bound. noise_scale = 0 is an autoencoder whose
    KL is still weighed.
    """
    # At 1 the two are one array, whose gradient is one too: not a sum of two that are rounded apart.
    return jnp.where(noise_scale == 1.0, scaled, sample)


def standard_normal_kl(mean: jax.Array, logvar: jax.Array) -> jax.Array:
    """KL(N(mean, exp(logvar)) || N(0, 1)) per latent in nats, [B, D] (Kingma & Welling 2014, appendix B).

    Finite for log-variances of -1e38 … 88 and means up to 1e19. Not clipped: outside a bound there would be no gradient
    that leads back, and a lane that runs so far is frozen and named.
    """
    return 0.5 * (mean**2 + jnp.exp(logvar) - logvar - 1.0)


class VAE(nn.Module):
    """A flat VAE with a standard normal prior.

    Labels i32[B, K] are there for architectures that are told them; a flat one does not look.

    Attributes:
        encoder: images f32[B, H, W, C] -> [B, 2D], means then log-variances. Its `keeps_places` says whether it looks
            at places, or at all numbers [B, …] alike.
        decoder: z f32[B, D] -> logits [B, H, W, C].
    """

    encoder: nn.Module
    decoder: nn.Module

    def encode(self, images: jax.Array, labels: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the mean and log-variance of q(z|x), each f32[B, D], for images [B, H, W, C] in [0, 1]."""
        mean, logvar = jnp.split(self.encoder(images).astype(jnp.float32), 2, axis=-1)
        return mean, logvar

    def decode(self, z: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        """Return the logits f32[B, H, W, C] of p(x|z) for z [B, D]."""
        return self.decoder(z).astype(jnp.float32)

    def __call__(
        self,
        images: jax.Array,
        key: jax.Array,
        noise_scale: jax.Array | float = 1.0,
        labels: jax.Array | None = None,
    ) -> ModelOutput:
        """Encode images f32[B, H, W, C] in [0, 1], sample once per image, decode (see true_sample)."""
        mean, logvar = self.encode(images, labels)
        scaled, sample = (reparameterise(key, mean, logvar, scale) for scale in (noise_scale, 1.0))
        z = true_sample(scaled, sample, noise_scale)
        return ModelOutput(self.decode(scaled, labels), Posterior(mean, logvar, z, standard_normal_kl(mean, logvar)))


class Architecture(NamedTuple):
    """A network by name.

    Attributes:
        build: (image_shape, latent_dim, dtype, **sizes) -> linen module with the methods of VAE; its docstring says
            what it is and where it is from. Raises InputError for a shape it cannot take.
        sizes: the further static sizes that it is built from, each given as a keyword.
    """

    build: Callable[..., nn.Module]
    sizes: tuple[Size, ...] = ()


class Likelihood(NamedTuple):
    """p(x|z) of pixels given the decoder's logits; pixels are independent."""

    numbers: tuple[Hyper, ...]  # the hypers it takes
    nll: Callable[[jax.Array, jax.Array, Hypers], jax.Array]  # (logits, images [B, H, W, C], hypers) -> nats [B]
    mean: Callable[[jax.Array], jax.Array]  # logits -> images in [0, 1]

    @property
    def hypers(self) -> dict[str, float]:
        """Return name -> default of the numbers it takes."""
        return {number.name: number.default for number in self.numbers}


def bernoulli_nll(logits: jax.Array, images: jax.Array, hypers: Hypers) -> jax.Array:
    """-log Bernoulli(x; sigmoid(logits)), nats per image [B]; x may be soft, then the minimum is not 0."""
    per_pixel = _cross_entropy(logits.reshape(len(logits), -1), images.reshape(len(logits), -1))
    # A product with ones: fused into a sum, logarithms and exponentials are not vectorised on CPU.
    return jnp.matmul(per_pixel, jnp.ones(per_pixel.shape[1]), precision="highest")


@jax.custom_vjp
def _cross_entropy(logits: jax.Array, images: jax.Array) -> jax.Array:
    """-x log sigmoid(l) - (1 - x) log(1 - sigmoid(l)) per pixel, with one exponential and one logarithm."""
    return jnp.maximum(logits, 0) - logits * images + jnp.log(1.0 + jnp.exp(-jnp.abs(logits)))


_cross_entropy.defvjp(
    lambda logits, images: (_cross_entropy(logits, images), (logits, images)),
    lambda kept, g: (g * (jax.nn.sigmoid(kept[0]) - kept[1]), -g * kept[0]),
)


def gaussian_nll(logits: jax.Array, images: jax.Array, hypers: Hypers) -> jax.Array:
    """-log N(x; sigmoid(logits), sigma^2 I), nats per image [B], constants included so that ELBOs compare."""
    scaled = (images - jax.nn.sigmoid(logits)) / hypers["sigma"]
    return (0.5 * scaled**2 + 0.5 * jnp.log(2.0 * jnp.pi) + jnp.log(hypers["sigma"])).sum((1, 2, 3))


LIKELIHOODS: dict[str, Likelihood] = {
    "bernoulli": Likelihood((), bernoulli_nll, jax.nn.sigmoid),
    "gaussian": Likelihood(
        (Hyper("sigma", 1.0, ABOVE_0, "standard deviation of a pixel"),), gaussian_nll, jax.nn.sigmoid
    ),
}
