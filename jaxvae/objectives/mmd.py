"""Divergence of the aggregate posterior from the prior, latent by latent.

Mathieu et al. 2019, Disentangling Disentanglement in Variational Autoencoders.
"""

import jax

from jaxvae.objectives.base import Context, Term
from jaxvae.objectives.estimators import per_latent_mmd
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput


def aggregate_against_prior(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """mmd_weight * D(q(z), p(z)), D the sum over latents of an MMD^2 with inverse multiquadratic kernels.

    The alpha term of the objective L_{alpha, beta} of Mathieu et al. 2019, with the statistic of their code. The codes
    are the batch's samples; as many are drawn from the prior: that of the objective's prior term, N(0, I) unless the
    term says otherwise. These are constants: codes are drawn to a prior that is learned, which is not drawn to them
    from here. The estimate is unbiased, so at the optimum it scatters around 0, below as often as above.

    Differs from: their loss, which is summed over the batch where ours is the mean; the weight means the same.
    """
    mmd = per_latent_mmd(out.q.z, ctx.prior_codes())
    return hypers["mmd_weight"] * mmd, {"mmd": mmd}


MMD = Term(
    name="mmd",
    numbers=(Hyper("mmd_weight", 100.0, FROM_0, "weight of the maximum mean discrepancy"),),
    penalty=aggregate_against_prior,
    reference="Mathieu et al. 2019, Disentangling Disentanglement in Variational Autoencoders, L_{alpha, beta}",
    min_batch=2,
    needs_flat=True,
)
