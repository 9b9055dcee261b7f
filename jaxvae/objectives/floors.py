"""Prior terms with a floor under the KL: below it a latent is free, so none is pushed into saying nothing."""

import jax
import jax.numpy as jnp

from jaxvae import latents
from jaxvae.objectives.base import BETA, Context, Term, kl_of_groups
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput


def free_bits(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * sum_d max(floor, mean_b KL_bd): the mean over the batch is inside the maximum (Kingma et al. 2016).

    A group whose mean KL is under the floor has a gradient of exactly 0 from this term. Groups are single latents, as
    `q.kl` has them: closed form, against the architecture's own prior. A hierarchical code has groups of its own: there
    the maximum is taken of the KL of each, so floor is in nats a group. Logs how many groups are above the floor.
    """
    flat = latents.is_flat(ctx.program)
    kl = out.q.kl.mean(0) if flat else kl_of_groups(out.q.kl, latents.groups(ctx.program))
    floored = jnp.maximum(hypers["floor"], kl).sum()
    return hypers["beta"] * floored, {"above_floor": (kl > hypers["floor"]).sum().astype(jnp.float32)}


def clipped_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * mean_b sum_d max(floor, KL_bd): as `free_bits`, but every image has its own maximum.

    The mean of maxima is at least the maximum of means, so for the same floor the penalty is larger, and it vanishes in
    gradient only for those images whose latent is under the floor; a latent cannot be free for some images at the cost
    of others. Logs the part of (image, latent) pairs above the floor.
    """
    floored = jnp.maximum(hypers["floor"], out.q.kl).sum(-1).mean()
    return hypers["beta"] * floored, {"above_floor": (out.q.kl > hypers["floor"]).mean(dtype=jnp.float32)}


FLOOR = Hyper("floor", 0.5, FROM_0, "nats below which the KL of a latent is not charged")

FREE_BITS = Term(
    name="free_bits",
    numbers=(BETA, FLOOR),
    penalty=free_bits,
    reference="Kingma et al. 2016, Improving variational inference with inverse autoregressive flow, free bits",
    is_prior_term=True,
)

KL_CLIP = Term(
    name="kl_clip",
    numbers=(BETA, FLOOR),
    penalty=clipped_kl,
    reference="the free bits of Kingma et al. 2016 with the maximum taken per image instead of per batch",
    is_prior_term=True,
)
