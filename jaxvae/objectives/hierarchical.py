"""Terms of hierarchical VAEs: a KL that is warmed up with its groups in balance, and smoothness of the networks.

Vahdat & Kautz 2020, NVAE: A Deep Hierarchical Variational Autoencoder.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents
from jaxvae.objectives.base import BETA, Context, Schedule, Term
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput

LEAST = 1e-4  # of the warm-up's weight: where it starts
OFFSET = 0.01  # nats, added to each group's KL, so that a group that says nothing is still charged


def kl_of_groups(kl: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return the KL of each group in nats, mean over the batch, [G], of that of each latent [B, D]."""
    return jnp.stack([group.sum() for group in jnp.split(kl.mean(0), np.cumsum(sizes)[:-1])])


def balance(kl: jax.Array, sizes: tuple[int, ...]) -> jax.Array:
    """Return the weight of each group, [G], mean 1, constant: proportional to (KL + 0.01) / alpha.

    alpha is the number of places of a group's grid over the number of groups on that grid, in units of the least.
    A group that says much is charged more, and so is one on a coarse grid, so that all groups come into use.

    Args:
        kl: [G] nats, mean over the batch.
        sizes: latents of each group; grids are told apart by them.
    """
    alpha = np.array([size / sizes.count(size) for size in sizes])
    weights = (jnp.abs(jax.lax.stop_gradient(kl)) + OFFSET) / (alpha / alpha.min())
    return weights / weights.mean()


def balanced_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * sum_l KL_l, and while it is warmed up beta * w(t) * sum_l c_l KL_l with groups l in `balance`.

    w rises linearly from 1e-4 to 1 over `warmup_steps` VAE updates (0: no warm-up); the paper's is 30% of training.
    From then on c_l is 1 and beta = 1 gives the ELBO. c_l is constant to the gradient. A flat code is one group, for
    which this is a KL that is warmed up. Logs w as kl_weight.

    Differs from: nothing in the authors' code but that its warm-up begins after the first 0.01% of training.
    """
    sizes = latents.groups(ctx.program)
    kl = kl_of_groups(out.q.kl, sizes)
    weight = jnp.clip(ctx.step / jnp.maximum(hypers["warmup_steps"], 1.0), LEAST, 1.0)
    weight = jnp.where(ctx.step >= hypers["warmup_steps"], 1.0, weight)
    shares = jnp.where(weight < 1.0, balance(kl, sizes), 1.0)
    return hypers["beta"] * weight * (shares * kl).sum(), {"kl_weight": weight}


def weighted_roughness(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """spectral_weight * (sum of spectral norms of convolutions + sum of max |scale| of batch normalisations).

    Bounds how much a change of the image can change what the encoder says, and so the KL of a deep hierarchy (Vahdat &
    Kautz 2020, section 3.2 "Spectral Regularization"). The architecture measures the sum (models.spectral). Logs it.
    """
    return hypers["spectral_weight"] * out.roughness, {"roughness": jnp.asarray(out.roughness)}


KL_BALANCED = Term(
    name="kl_balanced",
    numbers=(BETA, Hyper("warmup_steps", 90_000.0, FROM_0, "updates over which the KL's weight rises; 0: none")),
    penalty=balanced_kl,
    reference="Vahdat & Kautz 2020, NVAE, KL balancing; coefficients as in the authors' code",
    schedule=Schedule("warmup_steps", lambda hypers: hypers["warmup_steps"]),
    is_prior_term=True,
)

SPECTRAL = Term(
    name="spectral",
    numbers=(Hyper("spectral_weight", 0.01, FROM_0, "weight of the spectral norms"),),
    penalty=weighted_roughness,
    reference="Vahdat & Kautz 2020, NVAE, section 3.2",
    needs_roughness=True,
)
