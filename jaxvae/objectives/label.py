"""Label guidance: a classifier on the sampled code, trained with the VAE, whose weight fades.

Malecki 2023, github.com/iliya-malecki/vaes (no paper): labels shape a latent space first, and are then let go.
"""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents
from jaxvae.objectives.base import Context, Schedule, Term
from jaxvae.types import FROM_0, FROM_1, WHOLE_FROM_1, Hyper, Hypers, InputError, Logs, ModelOutput, Program

WIDTH, DEPTH = 10, 2
"""Hidden layers of the classifier; small, so that classes must lie apart for it to tell them."""


class Classifier(nn.Module):
    """A leaky-ReLU MLP: z [B, D] -> logits [B, sum(sizes)], one block of logits for each label."""

    sizes: tuple[int, ...]
    dtype: str = "float32"

    @nn.compact
    def __call__(self, z: jax.Array) -> jax.Array:
        hidden = z
        for _ in range(DEPTH):
            hidden = nn.leaky_relu(nn.Dense(WIDTH, dtype=self.dtype)(hidden), 0.2)
        return nn.Dense(sum(self.sizes), dtype=self.dtype)(hidden).astype(z.dtype)


def classifier_of(program: Program) -> Classifier:
    """Return the classifier of a program.

    Raises:
        InputError: the program knows no labels.
    """
    if not program.label_sizes:
        raise InputError(f"objective {program.objective!r} needs labels, and the data has none")
    return Classifier(program.label_sizes, program.dtype)


def init_extra(key: jax.Array, program: Program):
    """Return the classifier's parameters."""
    return classifier_of(program).init(key, jnp.zeros((1, latents.number(program))))["params"]


def sigmoid_decay(step: jax.Array, hypers: Hypers) -> jax.Array:
    """final + (initial - final) * sigmoid(-sharpness * (t - steps)): half-way after label_steps updates."""
    left = jax.nn.sigmoid(-hypers["label_sharpness"] * (step - hypers["label_steps"]))
    return hypers["label_final"] + (hypers["label_initial"] - hypers["label_final"]) * left


def cosine_decay(step: jax.Array, hypers: Hypers) -> jax.Array:
    """low + high/2 * (cos(pi t/h) + 1) * (1 + decay/h)^-t, and low from the n-th trough on.

    Begins at high + low and swings ever lower; h = label_halfperiod updates, n = label_troughs: flat after (2n-1) h.
    """
    half = jnp.maximum(hypers["label_halfperiod"], 1.0)
    swing = 0.5 * hypers["label_high"] * (jnp.cos(jnp.pi * step / half) + 1.0)
    swing *= jnp.exp(-step * jnp.log1p(hypers["label_decay"] / half))
    return hypers["label_low"] + jnp.where(step > (2.0 * hypers["label_troughs"] - 1.0) * half, 0.0, swing)


def _penalty(schedule: Callable[[jax.Array, Hypers], jax.Array]):
    def guidance(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
        """w(t) * cross-entropy of the labels given the sampled code, nats per image, t in VAE updates.

        With several labels (factors, attributes) their cross-entropies are summed: each is given the code alone. The
        gradient reaches the encoder. Reported are the cross-entropy, the share of labels told right (chance 1/size)
        and the weight.
        """
        sizes = ctx.program.label_sizes
        logits = classifier_of(ctx.program).apply({"params": extra}, out.q.z)
        cross_entropy, right = 0.0, 0.0
        for k, block in enumerate(jnp.split(logits, np.cumsum(sizes)[:-1], axis=-1)):
            truth = ctx.labels[:, k]
            log_probability = jax.nn.log_softmax(block)
            cross_entropy -= jnp.take_along_axis(log_probability, truth[:, None], axis=-1).mean()
            right += (block.argmax(-1) == truth).mean() / len(sizes)
        weight = schedule(ctx.step, hypers)
        return weight * cross_entropy, {"label_loss": cross_entropy, "label_accuracy": right, "label_weight": weight}

    return guidance


LABEL = Term(
    name="label",
    numbers=(
        Hyper("label_initial", 20.0, FROM_0, "weight of the labels at first"),
        Hyper("label_final", 0.01, FROM_0, "weight of the labels in the end"),
        Hyper("label_steps", 4000.0, FROM_0, "updates until the weight has fallen half-way"),
        Hyper("label_sharpness", 0.1, FROM_0, "how steeply it falls there, per update"),
    ),
    penalty=_penalty(sigmoid_decay),
    reference="Malecki 2023, label-guided VAE, github.com/iliya-malecki/vaes, `decaying`",
    schedule=Schedule("label_steps", lambda hypers: hypers["label_steps"]),
    init_extra=init_extra,
    needs_labels=True,
)

LABEL_COSINE = Term(
    name="label_cosine",
    numbers=(
        Hyper("label_high", 10.0, FROM_0, "height of the weight's first swing above label_low"),
        Hyper("label_low", 3.0, FROM_0, "weight of the labels in the troughs, and after the last"),
        Hyper("label_halfperiod", 3000.0, FROM_1, "updates from a peak to the next trough"),
        Hyper("label_decay", 0.7, FROM_0, "how fast swings become smaller, per half-period"),
        Hyper("label_troughs", 2.0, WHOLE_FROM_1, "troughs until the weight stays low"),
    ),
    penalty=_penalty(cosine_decay),
    reference="Malecki 2023, label-guided VAE, github.com/iliya-malecki/vaes, `cos_decaying`",
    schedule=Schedule(
        "(2 label_troughs - 1) label_halfperiod",
        lambda hypers: (2.0 * hypers["label_troughs"] - 1.0) * hypers["label_halfperiod"],
    ),
    init_extra=init_extra,
    needs_labels=True,
)
