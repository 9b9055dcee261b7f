"""Conditional VAEs: any flat VAE whose encoder and decoder are both told the labels. Knows no layer.

Sohn, Lee & Yan 2015, Learning structured output representation using deep conditional generative models.
"""

import flax.linen as nn
import jax
import jax.numpy as jnp

from jaxvae.models.vae import VAE
from jaxvae.types import InputError, Program


class ConditionalVAE(VAE):
    """A flat VAE of p(x|y): q(z|x, y), p(x|z, y), and a standard normal prior that is the same for all y.

    Attributes:
        label_sizes: the number of values of each of K labels.
    """

    label_sizes: tuple[int, ...]

    def encode(self, images: jax.Array, labels: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
        """Return the mean and log-variance of q(z|x, y), each f32[B, D].

        The labels' one-hot codes are further channels, the same at every pixel, for an encoder that looks at places,
        and further inputs for one that does not.

        Args:
            images: f32[B, H, W, C] in [0, 1].
            labels: i32[B, K] in 0 … label_sizes[k] - 1.

        Raises:
            InputError: there are no labels, or as many columns as this model was not trained with.
        """
        told = self._one_hot(labels)
        if self.encoder.keeps_places:
            told = jnp.broadcast_to(told[:, None, None], (*images.shape[:3], told.shape[-1]))
        else:
            images = images.reshape(len(images), -1)
        return super().encode(jnp.concatenate([images, told], axis=-1))

    def decode(self, z: jax.Array, labels: jax.Array | None = None) -> jax.Array:
        """Return the logits f32[B, H, W, C] of p(x|z, y) for z [B, D], one-hot labels beside it; labels as above."""
        return super().decode(jnp.concatenate([z, self._one_hot(labels)], axis=-1))

    def _one_hot(self, labels: jax.Array | None) -> jax.Array:
        """Return f32[B, sum(label_sizes)], a block of zeros and a one for each label."""
        given = 0 if labels is None else labels.shape[-1]
        if given != len(self.label_sizes):
            raise InputError(
                f"a conditional VAE is told the labels of its images, here [B, {len(self.label_sizes)}] integers in "
                f"{', '.join(f'0 … {size - 1}' for size in self.label_sizes)}; "
                f"{'none were given' if not given else f'{given} columns were given'}"
            )
        blocks = [jax.nn.one_hot(labels[:, k], size) for k, size in enumerate(self.label_sizes)]
        return jnp.concatenate(blocks, axis=-1)


def condition(flat: nn.Module, program: Program) -> VAE:
    """Return a flat VAE that is told every label of the data set (Sohn, Lee & Yan 2015, section 4.1).

    Labels reach the encoder and the decoder as one-hot codes, beside what comes in first. Since the decoder has y from
    elsewhere, z is rid of what y already says: on digits, z is left with how they are written.

    Differs from: the paper, whose prior p(z|y) is a network of its own, and whose images are what is predicted, given
    others. Here z is independent of y, so that to keep z and change y means something.

    Raises:
        InputError: the data has no labels, or the architecture is not a flat one.
    """
    if not program.label_sizes:
        raise InputError(
            f"architecture {program.architecture!r} needs labels, and the data has none; choose data with labels or "
            "factors, or leave 'cvae+' out"
        )
    if type(flat) is not VAE:
        raise InputError(
            f"architecture {program.architecture!r} cannot be: cvae makes flat VAEs conditional, and this is a "
            f"{type(flat).__name__}"
        )
    return ConditionalVAE(flat.encoder, flat.decoder, program.label_sizes)
