"""The loss of a run on images that it is only shown: that of training, for every objective, with nothing updated."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import models, objectives
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.lane.held_out import held_out_loss
from jaxvae.types import Program

SHAPE, BATCH, SEEDS = (6, 6, 1), 16, 150

# What is compiled here runs once: optimising costs more than it saves.
jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = np.zeros((480, *SHAPE), np.uint8)
    labels = np.sort(rng.integers(0, 3, 480))[:, None]  # sorted: a batch of neighbours would be no sample
    for image, label in zip(images, labels[:, 0], strict=True):
        image[2 * label : 2 * label + 2] = 255
        image[rng.random(SHAPE) < 0.1] = 255
    return assemble("bars", images, labels, ("label",), annotation="labels", factor_sizes=(3,))


def program(objective, **changed):
    sizes = {"critic_width": 8, "critic_depth": 2, "num_clusters": 3}
    labels = (3,) if objectives.objective(objective).needs_labels else ()
    return Program("mlp", objective, SHAPE, latent_dim=3, batch_size=BATCH, label_sizes=labels, sizes=sizes, **changed)


QUICK = ("vae", "beta_vae", "factor_vae", "beta_tcvae", "label_guided_vae")
EVERY = [name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in objectives.OBJECTIVES]


@pytest.mark.parametrize("name", EVERY)
def test_it_is_the_loss_of_training_at_that_state(name, data):
    chosen = program(name)
    hypers = {n: jnp.float32(v) for n, v in step.hyper_defaults(chosen).items()} | {"seed": jnp.uint32(0)}
    # Where schedules are half-way through.
    hypers |= {n: jnp.float32(40) for n in ("capacity_steps", "pretrain_steps", "label_steps") if n in hypers}

    def both(data):
        state = step.init_state(chosen, hypers).replace(step=jnp.int32(25))
        # Moved at random, so that every network says something of its own.
        leaves, tree = jax.tree.flatten(state.params)
        keys = jax.random.split(jax.random.key(1), len(leaves))
        moved = [leaf + 0.1 * jax.random.normal(key, leaf.shape) for leaf, key in zip(leaves, keys, strict=True)]
        state = state.replace(params=jax.tree.unflatten(tree, moved))
        # A seed draws nothing here but batches and noise.
        trained = jax.lax.map(
            lambda seed: step.loss(state.params, chosen, data, hypers | {"seed": seed}, state)[0],
            jnp.arange(1, 1 + SEEDS, dtype=jnp.uint32),
        )
        return trained, held_out_loss(chosen, data, hypers, state, len(data))

    trained, looked_at = (np.asarray(found, float) for found in jit(both)(data))
    assert np.isfinite(looked_at) and np.isfinite(trained).all()
    # 30 batches of another draw: their mean is as far off as the spread of single batches says.
    error = trained.std(ddof=1) * np.sqrt(1 / SEEDS + BATCH / len(data))
    assert abs(looked_at - trained.mean()) < 4 * error + 1e-3 * abs(trained.mean())


@pytest.mark.slow
def test_a_hierarchy_is_looked_at_with_its_running_statistics():
    sizes = {"groups_per_scale": (1, 1), "stem_width": 4}
    images = (np.random.default_rng(0).random((96, 8, 8, 1)) < 0.3).astype(np.uint8) * 255
    pictures = assemble("random", images, annotation="none")
    for name in ("vae", "kl_balanced+spectral"):
        chosen = Program("nvae", name, (8, 8, 1), latent_dim=2, batch_size=16, sizes=sizes)
        hypers = {n: jnp.float32(v) for n, v in step.hyper_defaults(chosen).items()} | {"seed": jnp.uint32(0)}

        def trained(data, chosen=chosen, hypers=hypers):
            state = step.init_state(chosen, hypers)
            return jax.lax.fori_loop(0, 5, lambda _, s: step.train_step(chosen, data, hypers, s)[0], state)

        state = jit(trained)(pictures)
        found = jit(lambda s, chosen=chosen, hypers=hypers: held_out_loss(chosen, pictures, hypers, s, 96))(state)
        assert np.isfinite(found)
        if name == "vae":
            batch, model = pictures.batch(jnp.arange(96)), models.build(chosen)
            out = model.apply(state.networks.variables, batch, jax.random.key(3), labels=pictures.factors)
            nll = models.likelihood(chosen).nll(out.logits, batch, hypers)
            assert found == pytest.approx((nll + out.q.kl.sum(-1)).mean(), rel=0.03)
