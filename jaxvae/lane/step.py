"""One run, one step. Knows no lanes, no device, no clock."""

import functools
from typing import Any

import flax
import jax
import jax.numpy as jnp
import optax

from jaxvae import models, objectives
from jaxvae.data.grid import Dataset
from jaxvae.lane import seeing
from jaxvae.lane.keys import Stream, key_for
from jaxvae.types import ABOVE_0, FROM_0, STALLED, Hyper, Hypers, Logs, Program, Range, TrainState

SEEDS = Range("whole numbers in 0 … 2^32 - 1", lambda value: 0 <= value < 2**32 and value == int(value))

RUN_NUMBERS = (
    Hyper("seed", 0, SEEDS, "of everything random in a run"),
    Hyper("lr", 1e-4, ABOVE_0, "learning rate of the VAE's Adam; the default is the 12,600-model study's"),
    # See models.vae.true_sample; evaluation samples q(z|x) as it is.
    Hyper("noise_scale", 1.0, FROM_0, "factor on the noise of the codes that the decoder is given while training"),
    *seeing.NUMBERS,
)
"""Numbers every run has, whatever its objective."""


def numbers(program: Program) -> dict[str, Hyper]:
    """Return name -> declaration of every number of a run of this program that can be swept."""
    found = (*RUN_NUMBERS, *models.likelihood(program).numbers, *objectives.objective(program.objective).numbers)
    return {number.name: number for number in found}


def hyper_defaults(program: Program) -> dict[str, float]:
    """Return name -> default of every number of a run of this program that can be swept."""
    return {name: number.default for name, number in numbers(program).items()}


def optimisers(hypers: Hypers) -> dict[str, optax.GradientTransformation]:
    """Return the two players' Adams, built from traced learning rates (Adam's state does not depend on them).

    The VAE's betas are Adam's defaults, the critic's 0.5 and 0.9 (Kim & Mnih 2018, appendix A).
    """
    return {"vae": optax.adam(hypers["lr"]), "critic": optax.adam(hypers.get("critic_lr", 0.0), b1=0.5, b2=0.9)}


def init_state(program: Program, hypers: Hypers) -> TrainState:
    """Return the state of one run before its first step."""
    model, objective = models.build(program), objectives.objective(program.objective)
    key = key_for(hypers["seed"], Stream.INIT)
    labels = jnp.zeros((1, len(program.label_sizes)), jnp.int32)
    variables = model.init(jax.random.fold_in(key, 0), jnp.zeros((1, *program.image_shape)), key, labels=labels)
    model_state, model_params = flax.core.pop(variables, "params")
    params = {
        "vae": {"model": model_params, "extra": objective.init_extra(jax.random.fold_in(key, 1), program)},
        "critic": objective.init_critic(jax.random.fold_in(key, 2), program),
    }
    opt = {player: optimiser.init(params[player]) for player, optimiser in optimisers(hypers).items()}
    return TrainState(jnp.int32(0), params, opt, dict(model_state), jnp.int32(-1))


def _sample(data: Dataset, program: Program, hypers: Hypers, stream: Stream, step: jax.Array) -> jax.Array:
    """Draw the indices [B] of a batch from the images that the lane sees, uniformly with replacement."""
    return seeing.draw(key_for(hypers["seed"], stream, step), program.batch_size, data, hypers)


def loss(
    params: dict[str, Any], program: Program, data: Dataset, hypers: Hypers, state: TrainState
) -> tuple[jax.Array, tuple[Logs, dict[str, Any]]]:
    """Return nll + penalties in nats per image, mean over the batch, with logs and the new model state.

    Differentiable in `params` of both players at once; the objective keeps them apart.
    """
    model, objective = models.build(program), objectives.objective(program.objective)
    key = functools.partial(key_for, hypers["seed"], step=state.step)
    indices = _sample(data, program, hypers, Stream.BATCH, state.step)
    images, labels = data.batch(indices), data.factors[indices]

    def forward(model_params, images, labels, noise):
        # Collections that may be written are batch statistics and the like: this is what tells a model that it trains.
        variables, written = {"params": model_params, **state.model_state}, list(state.model_state)
        return model.apply(variables, images, noise, hypers["noise_scale"], labels, mutable=written)

    def other_codes():
        other = _sample(data, program, hypers, Stream.OTHER_BATCH, state.step)
        constant = jax.lax.stop_gradient(params["vae"]["model"])
        return forward(constant, data.batch(other), data.factors[other], key(Stream.OTHER_NOISE))[0].q.z

    out, model_state = forward(params["vae"]["model"], images, labels, key(Stream.NOISE))
    nll = models.likelihood(program).nll(out.logits, images, hypers).mean()
    num_images = seeing.num_seen(data, hypers)
    context = objectives.Context(program, state.step, num_images, key(Stream.PENALTY), labels, other_codes)
    penalty, logs = objective.penalty(out, params["vae"]["extra"], params["critic"], hypers, context)
    total = nll + penalty
    return total, ({"loss": total, "nll": nll, "kl": out.q.kl.sum(-1).mean(), **logs}, dict(model_state))


def train_step(program: Program, data: Dataset, hypers: Hypers, state: TrainState) -> tuple[TrainState, Logs]:
    """Take one simultaneous step of both players.

    A lane is healthy as long as its loss and its gradient are finite, and so are the gradient's squares, which Adam
    keeps. A step for which they are not is not taken, nor is any after it: the state stays the one that it was asked
    of, the last that a healthy step led to, and `status` says which step that was (see types.fate). So the loss of a
    lane that diverged is not finite at the state it is left in; nothing is known of a state before it any more.

    Where squares overflow and nothing else does, Adam would divide by infinity and leave those parameters where they
    are for ever, with a loss that looks like any other: such a lane has stalled.
    """
    (_, (logs, model_state)), grads = jax.value_and_grad(loss, has_aux=True)(state.params, program, data, hypers, state)
    leaves = jax.tree.leaves(grads)
    squares = jnp.stack([jnp.isfinite(jnp.square(leaf)).all() for leaf in leaves]).all()

    def move():
        params, opt = {}, {}
        for player, optimiser in optimisers(hypers).items():
            updates, opt[player] = optimiser.update(grads[player], state.opt[player], state.params[player])
            params[player] = optax.apply_updates(state.params[player], updates)
        return TrainState(state.step + 1, params, opt, model_state, state.status)

    def stay():
        # Asked here alone: what is not finite has no finite square, and to look at every number again takes time.
        finite = jnp.stack([jnp.isfinite(logs["loss"]), *(jnp.isfinite(leaf).all() for leaf in leaves)]).all()
        lost = jnp.where(finite, state.step + STALLED, state.step)
        return state.replace(status=jnp.where(state.status < 0, lost, state.status))

    # A branch, not a choice between two results: that would read and write the optimiser's state once more. Side by
    # side (vmap) it becomes the choice.
    return jax.lax.cond(jnp.isfinite(logs["loss"]) & squares & (state.status < 0), move, stay), logs
