"""A prior term that pulls means to the origin with their absolute value. Not a KL divergence, and no bound."""

import jax
import jax.numpy as jnp

from jaxvae.objectives.base import BETA, Context, Term
from jaxvae.types import Hypers, Logs, ModelOutput


def absolute_mean(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * mean_bd(|mean| + var - log var - 1) / 2: |mean| where the KL has mean^2, and a mean over latents.

    The pull on a mean is the same at any distance from the origin, so clusters may drift further apart than under the
    KL. Means between -1 and 1 are pulled harder than by the KL, those beyond less. It can be below the KL, so nll plus
    this term bounds nothing; and as a mean over D latents its weight against the nll is 1/D of that of `kl` at the same
    beta. Assumes a flat Gaussian posterior. Finite for log-variances up to 88, as the KL.
    """
    mean, logvar = out.q.mean, out.q.logvar
    value = 0.5 * (jnp.abs(mean) + jnp.exp(logvar) - logvar - 1.0).mean()
    return hypers["beta"] * value, {"kl_l1": value}


KL_L1 = Term(
    name="kl_l1",
    numbers=(BETA,),
    penalty=absolute_mean,
    reference="Kingma & Welling 2014, appendix B, with |mean| in place of mean^2 and a mean over latents (own variant)",
    is_prior_term=True,
    needs_flat=True,
)
