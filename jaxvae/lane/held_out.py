"""The loss of one run on images that it is not being trained on. Knows no lanes, no device, no clock."""

import functools

import jax
import jax.numpy as jnp

from jaxvae import models, objectives
from jaxvae.data.grid import Dataset
from jaxvae.lane.keys import Stream, key_for
from jaxvae.types import Hypers, Program, TrainState

MOST = 10_000
"""Images that a loss is a mean over, at most."""


def held_out_loss(
    program: Program, data: Dataset, hypers: Hypers, state: TrainState, num_images: jax.Array
) -> jax.Array:
    """Return nll + penalties f32[], nats per image: what `step.loss` returns, of a run that is only looked at.

    A mean over up to MOST images of `data`, in as many whole batches of the program's size as there are in them (one,
    with images in it more than once, where there are fewer). The order is drawn at random once and for all, since a
    batch of neighbours is no sample of the data, and some penalties compare the images of a batch. Nothing else is
    random from call to call either, so that lanes and steps compare.

    Differs from: the loss of training in what evaluation does without (statistics of the batch in place of the running
    ones, `noise_scale`), and in that nothing is updated. Schedules are where the step has them, the critic is the
    run's own, and penalties that ask for the size of the training set are given it, not that of `data`.

    Args:
        data: images with the labels that the program's objective reads.
        hypers: f32[] each.
        state: of which the optimisers' part is not read.
        num_images: i32[], of the training set, those that the run sees.
    """
    model, objective = models.build(program), objectives.objective(program.objective)
    likelihood, networks = models.likelihood(program), state.networks
    num_batches = max(1, min(len(data), MOST) // program.batch_size)

    def in_batches(number):
        order = jax.random.permutation(jax.random.fold_in(key_for(0, Stream.EVALUATE), number), len(data))
        size = num_batches * program.batch_size
        return jnp.resize(order, size).reshape(num_batches, -1)

    def forward(indices, key):
        images, labels = data.batch(indices), data.factors[indices]
        return images, labels, model.apply(networks.variables, images, key, labels=labels)

    def one_batch(batch):
        number, own, others = batch
        key = functools.partial(jax.random.fold_in, key_for(0, Stream.EVALUATE, number))
        images, labels, out = forward(own, key(0))
        context = objectives.Context(
            program, state.step, num_images, key(1), labels, lambda: forward(others, key(2))[2].q.z
        )
        penalty, _ = objective.penalty(out, networks.extra, state.params["critic"], hypers, context)
        return likelihood.nll(out.logits, images, hypers).mean() + penalty

    return jax.lax.map(one_batch, (jnp.arange(num_batches), in_batches(0), in_batches(1))).mean()
