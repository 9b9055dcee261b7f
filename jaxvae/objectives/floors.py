"""Prior terms with a floor under the KL: below it a latent is free, so none is pushed into saying nothing.

One rule says what has a floor, for both terms and every architecture: a map, the latents that share their parameters
(Kingma et al. 2016, appendix C.8: feature maps of latents, or single dimensions where they share none). A map of a flat
code is a single latent; one of a hierarchical code is one of the latent_dim latents of a group, at all places of its
grid. So the nats that are free in all are the floor times latent_dim times the number of groups, however fine their
grids are.
"""

import jax
import jax.numpy as jnp
import numpy as np

from jaxvae import latents
from jaxvae.objectives.base import BETA, Context, Term
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput, Program


def kl_of_maps(kl: jax.Array, program: Program) -> jax.Array:
    """Return the KL of each map in nats, [..., M], of that of each latent [..., D]."""
    shapes = latents.maps(program)
    parts = jnp.split(kl, np.cumsum([np.prod(shape) for shape in shapes])[:-1], axis=-1)
    summed = [part.reshape(*kl.shape[:-1], *shape).sum(-2) for part, shape in zip(parts, shapes, strict=True)]
    return jnp.concatenate(summed, axis=-1)


def free_bits(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * sum_m max(floor, mean_b KL_bm): the mean over the batch is inside the maximum (Kingma et al. 2016).

    Maps m are single latents of a flat code (see this file's head for others), and a map whose mean KL is under the
    floor has a gradient of exactly 0 from this term. The KL is `q.kl`: closed form, against the architecture's own
    prior. Logs how many maps are above the floor.
    """
    kl = kl_of_maps(out.q.kl.mean(0), ctx.program)
    floored = jnp.maximum(hypers["floor"], kl).sum()
    return hypers["beta"] * floored, {"above_floor": (kl > hypers["floor"]).sum().astype(jnp.float32)}


def clipped_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * mean_b sum_m max(floor, KL_bm): as `free_bits`, but every image has its own maximum.

    The mean of maxima is at least the maximum of means, so for the same floor the penalty is larger, and it vanishes in
    gradient only for those images whose map is under the floor; a latent cannot be free for some images at the cost of
    others. Logs the part of (image, map) pairs above the floor.
    """
    kl = kl_of_maps(out.q.kl, ctx.program)
    floored = jnp.maximum(hypers["floor"], kl).sum(-1).mean()
    return hypers["beta"] * floored, {"above_floor": (kl > hypers["floor"]).mean(dtype=jnp.float32)}


FLOOR = Hyper(
    "floor", 0.5, FROM_0, "nats below which the KL of a latent (in a hierarchy at all places together) is not charged"
)

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
