"""beta-TCVAE's decomposition of the KL, estimated from the batch.

Chen et al. 2018, Isolating Sources of Disentanglement in VAEs, eq. 2 and 4.
"""

from collections.abc import Callable

import jax

from jaxvae.objectives.base import Context, Term
from jaxvae.objectives.estimators import decompose, stratified_log_weights, uniform_log_weights
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput


def excess(hypers: Hypers, weighed: dict[str, jax.Array]) -> jax.Array:
    """Sum of (weight - 1) * part: what weighing the parts of a KL adds to that KL, of which each part has weight 1."""
    return sum((hypers[name] - 1.0) * part for name, part in weighed.items())


def _penalty(log_weights: Callable[[int, int], jax.Array]):
    def decomposed(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
        """(alpha-1) MI + (beta-1) TC + (gamma-1) DWKL: beside a KL of weight 1, alpha MI + beta TC + gamma DWKL.

        The three parts (Chen et al. 2018, eq. 2) sum to log q(z|x) - log p(z) of the sampled code. The prior term
        beside this one has the same KL in closed form, so the sum of the two is eq. 4 plus the closed form less its
        own Monte-Carlo estimate, whose expectation is zero: the objective is the paper's, with less noise, and at
        alpha = beta = gamma = 1 it is the ELBO. With another prior term (a capacity, say) the term adds the same.
        DWKL is taken to N(0, 1), whatever prior the prior term has; at gamma = 1 no prior enters. MI and TC are
        biased where the batch is small against the data; compare them between runs of one batch size only.

        Differs from: the paper, whose KL is a Monte-Carlo estimate as a whole; disentanglement_lib, which knows beta
        only, and with it is equal to tc_mws (it leaves out a constant of the logged TC).
        """
        parts = decompose(out.q, log_weights(len(out.q.z), ctx.num_images))
        mi, tc, dwkl = parts.information, parts.between, parts.dimension_wise
        return excess(hypers, {"alpha": mi, "beta": tc, "gamma": dwkl}), {"mi": mi, "tc": tc, "dwkl": dwkl}

    return decomposed


NUMBERS = (
    Hyper("alpha", 1.0, FROM_0, "weight of the index-code information"),
    Hyper("beta", 6.0, FROM_0, "weight of the total correlation"),
    Hyper("gamma", 1.0, FROM_0, "weight of the dimension-wise KL"),
)

TC_MWS = Term(
    name="tc_mws",
    numbers=NUMBERS,
    penalty=_penalty(uniform_log_weights),
    reference="Chen et al. 2018, beta-TCVAE, eq. 4, minibatch-weighted sampling, appendix C.1",
    min_batch=2,
    min_latents=2,
    needs_flat=True,
)

TC_MSS = Term(
    name="tc_mss",
    numbers=NUMBERS,
    penalty=_penalty(stratified_log_weights),
    reference="Chen et al. 2018, beta-TCVAE, eq. 4, minibatch stratified sampling, appendix C.2",
    min_batch=2,
    min_latents=2,
    needs_flat=True,
)
