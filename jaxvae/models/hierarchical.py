"""A hierarchical VAE: groups of latents from coarse to fine, each with a prior that depends on those above.

Vahdat & Kautz 2020, NVAE: A Deep Hierarchical Variational Autoencoder, sections 2 and 3.
"""

from collections.abc import Callable
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.latents import Pyramid, pyramid
from jaxvae.models import spectral
from jaxvae.models.cells import Conv, DecoderCell, EncoderCell
from jaxvae.models.vae import true_sample
from jaxvae.types import ModelOutput, Posterior, Range, Size

STEM_WIDTH = Size(
    "stem_width",
    16,
    Range("multiples of 4", lambda width: width >= 4 and width % 4 == 0),
    "channels of nvae's first features, doubled at each halving",
    most=4096,
)

BOUND = 5.0
"""Means and logarithms of standard deviations stay within ±5, smoothly, as in the authors' code."""

TIMID = 0.1
"""The start of convolutions that say priors and posteriors, as a part of the usual one. Were priors as narrow, and
posteriors as far off them, as the usual start makes them, training would begin at thousands of nats a latent."""

POST_EXPAND = 3  # of the cells below the last group, half of the others'


class Normal(NamedTuple):
    """Independent normal distributions of one group's latents, each f32[B, h, w, c]."""

    mean: jax.Array
    log_sigma: jax.Array


def soft_clamp(x: jax.Array) -> jax.Array:
    """BOUND * tanh(x / BOUND): the identity near 0."""
    return BOUND * jnp.tanh(x / BOUND)


def residual_posterior(prior: Normal, change: Normal) -> tuple[Normal, Normal]:
    """Return (p, q) from what the network says of a prior and of the posterior's difference from it.

    q = N(mean_p + change of mean, sigma_p * exp(change of log sigma)) (Vahdat & Kautz 2020, section 3.2), with
    means and log sigmas of both clamped softly. No change: q is p.
    """
    p = Normal(*map(soft_clamp, prior))
    q = Normal(*(soft_clamp(a + b) for a, b in zip(prior, change, strict=True)))
    return p, q


def normal_kl(q: Normal, p: Normal) -> jax.Array:
    """KL(q || p) per latent in nats, of the arguments' shape."""
    ratio = 2.0 * (q.log_sigma - p.log_sigma)
    return 0.5 * ((q.mean - p.mean) ** 2 * jnp.exp(-2.0 * p.log_sigma) + jnp.exp(ratio) - ratio - 1.0)


def _normal(parameters: jax.Array) -> Normal:
    return Normal(*jnp.split(parameters.astype(jnp.float32), 2, axis=-1))


class BottomUp(nn.Module):
    """Images to the features that each group's posterior sees: [B, H, W, C] -> a list, the top group's first."""

    pyramid: Pyramid
    groups_per_scale: tuple[int, ...]
    widths: tuple[int, ...]  # channels after each halving, up to the coarsest grid
    dtype: str

    @nn.compact
    def __call__(self, images: jax.Array) -> list[jax.Array]:
        margins = [total - side for total, side in zip(self.pyramid.padded, images.shape[1:3], strict=True)]
        padded = jnp.pad(images, ((0, 0), *((margin // 2, margin - margin // 2) for margin in margins), (0, 0)))
        x = Conv(self.widths[0], 4, self.dtype, stride=2, name="stem")(2.0 * padded - 1.0)
        halvings, features = self.pyramid.halvings, []
        for width in self.widths[1:halvings]:
            x = EncoderCell(width, self.dtype, down=True)(x)
        for width, number in zip(self.widths[halvings - 1 :], reversed(self.groups_per_scale), strict=True):
            if features:
                x = EncoderCell(width, self.dtype, down=True)(x)
            for _ in range(number):
                x = EncoderCell(width, self.dtype)(x)
                features.append(x)
        features[-1] = nn.elu(Conv(self.widths[-1], 1, self.dtype, name="top")(nn.elu(x)))
        return features[::-1]


class TopDown(nn.Module):
    """A learned constant, and group by group latents into it, to logits [B, H, W, C].

    `choose` says which z [B, h, w, c] a group has: it is given the group's number, its prior and what the posterior
    adds to it (None without features).
    """

    pyramid: Pyramid
    groups_per_scale: tuple[int, ...]
    widths: tuple[int, ...]
    latents: int  # c, at each place of a grid
    image_shape: tuple[int, int, int]
    dtype: str

    @nn.compact
    def __call__(
        self,
        batch: int,
        features: list[jax.Array] | None,
        choose: Callable[[int, Normal, Normal | None], jax.Array],
    ) -> jax.Array:
        halvings, group = self.pyramid.halvings, 0
        widths = self.widths[halvings - 1 :][::-1]  # coarsest first
        start = self.param("start", nn.initializers.normal(1.0), (*self.pyramid.grids[0], widths[0]))
        x = jnp.broadcast_to(start.astype(self.dtype), (batch, *start.shape))
        for width, grid, number in zip(widths, self.pyramid.grids, self.groups_per_scale, strict=True):
            if group:
                x = DecoderCell(width, self.dtype, up=True)(x)
            for _ in range(number):
                z = choose(group, *self._prior_and_change(group, grid, x, features))
                x = jnp.concatenate([x, z.astype(self.dtype)], axis=-1)
                x = DecoderCell(width, self.dtype)(Conv(width, 1, self.dtype, name=f"combine_{group}")(x))
                group += 1
        for width in reversed(self.widths[: halvings - 1]):
            x = DecoderCell(width, self.dtype, expand=POST_EXPAND, up=True)(x)
        height, width, channels = self.image_shape
        logits = Conv(channels, 4, self.dtype, stride=2, transposed=True, name="logits")(nn.elu(x))
        top, left = ((total - side) // 2 for total, side in zip(self.pyramid.padded, (height, width), strict=True))
        return logits[:, top : top + height, left : left + width].astype(jnp.float32)

    def _prior_and_change(self, group: int, grid: tuple[int, int], x: jax.Array, features: list[jax.Array] | None):
        both = 2 * self.latents
        if group:
            prior = _normal(Conv(both, 1, "float32", scale=TIMID, name=f"prior_{group}")(nn.elu(x)))
        else:
            prior = Normal(*jnp.zeros((2, len(x), *grid, self.latents)))
        if features is None:
            return prior, None
        seen = features[group]
        if group:
            seen = seen + Conv(x.shape[-1], 1, self.dtype, name=f"state_{group}")(x)
        return prior, _normal(Conv(both, 3, "float32", scale=TIMID, name=f"posterior_{group}")(seen))


class HierarchicalVAE(nn.Module):
    """Groups of latents z_1 … z_G with priors p(z_l | z_1 … z_{l-1}), the first N(0, I), and residual posteriors.

    A code is the latents of all groups in one vector [B, D], from the top group down, each group's grid row by row.
    q.mean and q.logvar of a group below the first are those given the groups above it as the decoder was given them.

    Keeps batch statistics ("batch_stats") and power iteration's vectors ("spectral") besides its parameters. Both are
    brought up to date when they may be written, which is when the model is trained.

    Attributes:
        pyramid: the grids.
        groups_per_scale: number of groups on each, the coarsest first.
        latents: at each place of a group's grid.
        stem_width: channels at half the image's resolution, doubled with each further halving.
        image_shape: H, W, C.
        dtype: of the networks' arithmetic.
    """

    pyramid: Pyramid
    groups_per_scale: tuple[int, ...]
    latents: int
    stem_width: int
    image_shape: tuple[int, int, int]
    dtype: str

    def setup(self):
        halvings = self.pyramid.halvings + len(self.groups_per_scale) - 1
        widths = tuple(self.stem_width * 2**index for index in range(halvings))
        shared = (self.pyramid, self.groups_per_scale, widths)
        self.encoder = BottomUp(*shared, self.dtype)
        self.decoder = TopDown(*shared, self.latents, self.image_shape, self.dtype)

    def _grids(self) -> list[tuple[int, int, int]]:
        """Return the shape of each group."""
        return [
            (*grid, self.latents)
            for grid, number in zip(self.pyramid.grids, self.groups_per_scale, strict=True)
            for _ in range(number)
        ]

    def _split(self, z: jax.Array) -> list[jax.Array]:
        """Cut codes [B, D'] into groups [B, h, w, c], as many as there are."""
        parts, start = [], 0
        for height, width, latents in self._grids():
            size = height * width * latents
            if start + size <= z.shape[-1]:
                parts.append(z[:, start : start + size].reshape(-1, height, width, latents))
            start += size
        return parts

    def _infer(
        self, images: jax.Array, noise: jax.Array | None, noise_scale: jax.Array | float = 1.0
    ) -> tuple[jax.Array, Posterior]:
        """Return logits and the posterior, its samples mean + sigma * noise [B, D]; without noise, the means.

        The decoder, and with it the groups below, is given noise times noise_scale (see vae.true_sample).
        """
        eps, scaled = (None, None) if noise is None else map(self._split, (noise, noise_scale * noise))
        found = []

        def choose(group, prior, change):
            p, q = residual_posterior(prior, change)
            z = given = q.mean
            if eps is not None:
                given, z = (q.mean + jnp.exp(q.log_sigma) * drawn[group] for drawn in (scaled, eps))
                z = true_sample(given, z, noise_scale)
            found.append((q.mean, 2.0 * q.log_sigma, z, normal_kl(q, p)))
            return given

        logits = self.decoder(len(images), self.encoder(images), choose)
        found = zip(*found, strict=True)
        flat = [jnp.concatenate([part.reshape(len(images), -1) for part in parts], axis=-1) for parts in found]
        return logits, Posterior(*flat)

    def encode(self, images: jax.Array, labels: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the mean and log-variance of q(z|x), each f32[B, D], for images [B, H, W, C] in [0, 1].

        Those of a group below the first are given the means of the groups above it.
        """
        q = self._infer(images, None)[1]
        return q.mean, q.logvar

    def decode(self, z: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        """Return the logits f32[B, H, W, C] of p(x|z) for z [B, D].

        z may also hold the first groups alone; the others then take the means of their priors.
        """
        given = self._split(z)

        def choose(group, prior, _):
            return given[group] if group < len(given) else soft_clamp(prior.mean)

        return self.decoder(len(z), None, choose)

    def __call__(
        self,
        images: jax.Array,
        key: jax.Array,
        noise_scale: jax.Array | float = 1.0,
        labels: jax.Array | None = None,
    ) -> ModelOutput:
        """Encode images f32[B, H, W, C] in [0, 1], sampling each group given those above it, and decode.

        The noise that the decoder is given is multiplied by noise_scale (see vae.true_sample).
        """
        latents = sum(height * width * latents for height, width, latents in self._grids())
        logits, q = self._infer(images, jax.random.normal(key, (len(images), latents), jnp.float32), noise_scale)
        return ModelOutput(logits, q, self._roughness())

    def _roughness(self) -> jax.Array:
        """Return what models.spectral measures, after bringing its vectors up to date."""
        params = self.variables["params"]
        if not self.has_variable("spectral", "vectors"):
            self.put_variable("spectral", "vectors", spectral.first_vectors(params))
        elif self.is_mutable_collection("spectral"):
            before = self.get_variable("spectral", "vectors")
            self.put_variable("spectral", "vectors", spectral.iterate(params, before))
        return spectral.roughness(params, self.get_variable("spectral", "vectors"))


def nvae(
    image_shape: tuple[int, int, int],
    latent_dim: int,
    dtype: str,
    *,
    groups_per_scale: tuple[int, ...],
    stem_width: int,
) -> HierarchicalVAE:
    """Build a hierarchical VAE with the bidirectional encoder and residual normal posteriors of Vahdat & Kautz 2020.

    `latent_dim` latents at every place of every group. Images are halved to a finest grid of at most 8x8; further
    scales are half as fine each. One cell a group each way. Takes any image size: a margin is added, and cut off the
    logits.

    Differs from: the paper, which also has normalising flows in its posteriors (left out), cells at the image's full
    resolution (here the first convolution has stride 2), several cells a group, and weight-normalised convolutions. And
    the authors' code, which adds 0.01 to every standard deviation, starts the learned constant uniform in 0 … 1 (here
    N(0, 1)), pads convolutions of stride 2 by one pixel on both sides (here "SAME", which on even sizes pads the far
    side alone), and interpolates with the corners of both grids aligned (here pixels are areas, edges repeated).

    Raises:
        InputError: more scales than the image allows.
    """
    grids = pyramid(image_shape, len(groups_per_scale))
    return HierarchicalVAE(grids, tuple(groups_per_scale), latent_dim, stem_width, image_shape, dtype)
