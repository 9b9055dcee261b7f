"""DIP-VAE: the covariance of the aggregate posterior is drawn to the identity.

Kumar et al. 2018, Variational Inference of Disentangled Latent Concepts from Unlabeled Observations, eq. 5 to 7.
"""

import jax
import jax.numpy as jnp

from jaxvae.objectives.base import Context, Term
from jaxvae.objectives.estimators import LOGVAR_RANGE, covariance
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput


def away_from_identity(matrix: jax.Array, hypers: Hypers) -> tuple[jax.Array, Logs]:
    """lambda_od sum_{i!=j} C_ij^2 + lambda_d sum_i (C_ii - 1)^2, lambda_d = lambda_d_factor * lambda_od.

    The first sum runs over both triangles. lambda_d is given as a factor, as in disentanglement_lib, so that a sweep
    over lambda_od keeps the ratio that the paper recommends.
    """
    diagonal = jnp.diagonal(matrix)
    off = ((matrix - jnp.diag(diagonal)) ** 2).sum()
    on = ((diagonal - 1.0) ** 2).sum()
    penalty = hypers["lambda_od"] * (off + hypers["lambda_d_factor"] * on)
    return penalty, {"dip_off_diagonal": off, "dip_diagonal": on}


def covariance_of_means(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """DIP-VAE-I: distance to the identity of the posterior means' covariance over the batch (Kumar et al. 2018, eq. 6).

    The covariance is the biased one (divided by B).
    """
    return away_from_identity(covariance(out.q.mean), hypers)


def covariance_of_codes(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """DIP-VAE-II: distance to the identity of the aggregate posterior's covariance (Kumar et al. 2018, eq. 7).

    Cov[z] = E[diag var(z|x)] + Cov[E(z|x)], the second biased (divided by B); log-variances clipped to LOGVAR_RANGE.
    """
    within = jnp.exp(jnp.clip(out.q.logvar, *LOGVAR_RANGE)).mean(0)
    return away_from_identity(jnp.diag(within) + covariance(out.q.mean), hypers)


LAMBDA_OD = Hyper("lambda_od", 10.0, FROM_0, "weight of the squared covariances off the diagonal")
LAMBDA_D_FACTOR = Hyper("lambda_d_factor", 10.0, FROM_0, "weight of (variance - 1)^2, in units of lambda_od")

DIP_I = Term(
    name="dip_i",
    numbers=(LAMBDA_OD, LAMBDA_D_FACTOR),
    penalty=covariance_of_means,
    reference="Kumar et al. 2018, DIP-VAE-I, eq. 6",
    min_batch=2,
    needs_flat=True,
)

DIP_II = Term(
    name="dip_ii",
    numbers=(LAMBDA_OD, LAMBDA_D_FACTOR._replace(default=1.0)),
    penalty=covariance_of_codes,
    reference="Kumar et al. 2018, DIP-VAE-II, eq. 7",
    min_batch=2,
    needs_flat=True,
)
