"""HFVAE's two-level decomposition of the KL: total correlation between groups of latents and inside them.

Esmaeili et al. 2019, Structured Disentangled Representations, section 3 and the HFVAE objective there.
"""

import jax
import jax.numpy as jnp

from jaxvae.objectives.base import Context, Term
from jaxvae.objectives.estimators import decompose, own_and_others_log_weights
from jaxvae.objectives.tcvae import excess
from jaxvae.types import FROM_0, WHOLE_FROM_0, WHOLE_FROM_1, Hyper, Hypers, Logs, ModelOutput


def assign_groups(latent_dim: int, first_group: jax.Array | float, group_size: jax.Array | float) -> jax.Array:
    """Return the group of each latent, i32[D]: the first `first_group` latents are one, the rest are cut into blocks.

    Blocks have `group_size` latents, the last one what is left. Both numbers may be traced. first_group = 0: blocks
    only; group_size = 1: one block of first_group latents and singletons; group_size >= D: one group.
    """
    beyond = jnp.arange(latent_dim) - first_group
    block = jnp.floor(beyond / group_size) + (jnp.asarray(first_group) > 0)
    return jnp.where(beyond < 0, 0, block).astype(jnp.int32)


def two_levels(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """(alpha-1) MI + (beta-1) TC between groups + (gamma-1) TC inside groups + (delta-1) DWKL.

    Beside a KL of weight 1 these are the weights alpha, beta, gamma of Esmaeili et al. 2019, and delta, which they
    leave at 1; as in tc_mss the closed-form KL stands in for the Monte-Carlo one. All weights 1: the ELBO. Groups of
    one latent: beta-TCVAE with alpha, beta and delta for its gamma. The prior is N(0, I): it has no correlation of its
    own, so the prior's part of both total correlations is zero. DWKL is taken to N(0, 1), whatever prior the prior
    term has.

    Which latents form groups is a number too, so one program sweeps it (see assign_groups).

    Differs from: the paper, whose groups are variables of different kinds, some discrete; here all are Gaussian.
    """
    groups = assign_groups(out.q.z.shape[1], hypers["first_group"], hypers["group_size"])
    parts = decompose(out.q, own_and_others_log_weights(len(out.q.z), ctx.num_images), groups)
    weighed = dict(zip(("alpha", "beta", "gamma", "delta"), parts, strict=True))
    logs = {"mi": parts.information, "tc_between": parts.between, "tc_within": parts.within}
    return excess(hypers, weighed), logs | {"dwkl": parts.dimension_wise}


HFVAE = Term(
    name="hfvae",
    numbers=(
        Hyper("alpha", 1.0, FROM_0, "weight of the index-code information"),
        Hyper("beta", 6.0, FROM_0, "weight of the total correlation between groups of latents"),
        Hyper("gamma", 1.0, FROM_0, "weight of the total correlation inside groups"),
        Hyper("delta", 1.0, FROM_0, "weight of the dimension-wise KL"),
        Hyper("group_size", 2.0, WHOLE_FROM_1, "latents of a group"),
        Hyper("first_group", 0.0, WHOLE_FROM_0, "latents of the first group; 0: as many as of the others"),
    ),
    penalty=two_levels,
    reference="Esmaeili et al. 2019, Structured Disentangled Representations (HFVAE), section 3",
    min_batch=2,
    min_latents=2,
    needs_flat=True,
)
