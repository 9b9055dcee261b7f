"""Prior terms: how the KL between the posterior and the prior enters the loss."""

import jax
import jax.numpy as jnp

from jaxvae.objectives.base import BETA, Context, Schedule, Term
from jaxvae.types import FROM_0, Hyper, Hypers, Logs, ModelOutput


def weighted_kl(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """beta * KL(q(z|x) || p(z)), mean over the batch (Higgins et al. 2017, eq. 4). beta = 1 gives the ELBO."""
    return hypers["beta"] * out.q.kl.sum(-1).mean(), {}


def annealed_capacity(out: ModelOutput, extra, critic, hypers: Hypers, ctx: Context) -> tuple[jax.Array, Logs]:
    """gamma * |KL - C(t)|, C(t) rising from 0 to `capacity` nats over `capacity_steps` (Burgess et al. 2018, eq. 8).

    The KL is the batch mean, so the absolute value is taken once per batch and not per image; t counts VAE updates.
    """
    progress = jnp.clip(ctx.step / jnp.maximum(hypers["capacity_steps"], 1.0), 0.0, 1.0)
    target = hypers["capacity"] * progress
    return hypers["gamma"] * jnp.abs(out.q.kl.sum(-1).mean() - target), {"capacity": target}


KL = Term(
    name="kl",
    numbers=(BETA,),
    penalty=weighted_kl,
    reference="Higgins et al. 2017, beta-VAE, eq. 4; Kingma & Welling 2014 for beta = 1",
    is_prior_term=True,
)

CAPACITY = Term(
    name="capacity",
    numbers=(
        Hyper("gamma", 1000.0, FROM_0, "weight of |KL - capacity|"),
        Hyper("capacity", 25.0, FROM_0, "nats of KL that are aimed at in the end"),
        Hyper("capacity_steps", 100_000.0, FROM_0, "updates over which the aim rises from 0; 0: it is there at once"),
    ),
    penalty=annealed_capacity,
    reference="Burgess et al. 2018, Understanding disentangling in beta-VAE, eq. 8",
    schedule=Schedule("capacity_steps", lambda hypers: hypers["capacity_steps"]),
    is_prior_term=True,
)
