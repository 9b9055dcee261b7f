"""Every preset on every kind of network, as lanes: what is promised of an objective before one looks at its maths."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import objectives
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.types import Program

SHAPE = (8, 8, 1)
STEPS = 3

# What is compiled here runs once: optimising costs more than it saves.
jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = (rng.random((60, *SHAPE)) < 0.3).astype(np.uint8) * 255
    labels = rng.integers(0, 4, (60, 1))
    return assemble("random", images, labels, ("label",), annotation="labels", factor_sizes=(4,))


def program(objective, architecture="mlp", **changed):
    sizes = {"latent_dim": 3, "batch_size": 16, "sizes": {"critic_width": 8, "critic_depth": 2, "num_clusters": 3}}
    labels = (4,) if objectives.objective(objective).needs_labels else ()
    return Program(architecture, objective, SHAPE, label_sizes=labels, **sizes | changed)


def train(chosen, data, hypers, num_steps):
    """Return the state of one run after so many steps, and its losses."""

    def body(state, _):
        state, logs = step.train_step(chosen, data, hypers, state)
        return state, logs

    return jax.lax.scan(body, step.init_state(chosen, hypers), None, num_steps)


# Where every number plays its part within the first steps: schedules half-way through, no latent under its floor.
BASE = {
    **{"lr": 1e-2, "capacity_steps": 8.0, "floor": 0.0, "pretrain_steps": 2.0},
    **{"label_steps": 2.0, "label_sharpness": 0.5},
}
# A capacity matters by the side on which the KL is: of these two, one is below it after the first step and one above.
OTHER = {
    **{"seed": 1, "lr": 5e-3, "spike": 0.5, "group_size": 1.0, "first_group": 1.0},
    **{"capacity": 0.0, "capacity_steps": 1e6},
    "fraction": 0.5,
}


# Both kinds of network and both kinds of arithmetic, in two programs a preset; single steps of the mlp in float32 are
# elsewhere. Convolutions take three times as long to compile.
@pytest.mark.parametrize(
    ("architecture", "dtype"), [("mlp", "bfloat16"), pytest.param("conv", "float32", marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("name", objectives.OBJECTIVES)
def test_lanes_of_a_preset_train_and_each_of_its_numbers_makes_a_difference(name, architecture, dtype, data):
    chosen = program(name, architecture, dtype=dtype, likelihood="gaussian")
    base = {n: BASE.get(n, v) for n, v in step.hyper_defaults(chosen).items()}
    # Sparsity is of complete grids, which labels are not (see training/test_seeing.py).
    varied, names = [n for n in base if n != "sparsity"], list(base)
    # The base twice, and a lane for each number with another value of that number alone.
    lanes = [base, base, *(base | {n: OTHER.get(n, 1.5 * base[n] + 0.25)} for n in varied)]
    hypers = {n: jnp.asarray([lane[n] for lane in lanes], jnp.uint32 if n == "seed" else jnp.float32) for n in names}
    state, logs = jit(jax.vmap(lambda h: train(chosen, data, h, STEPS)))(hypers)

    assert state.status.tolist() == [-1] * len(lanes) and state.step.tolist() == [STEPS] * len(lanes)
    assert all(v.shape == (len(lanes), STEPS) and np.isfinite(v).all() for v in logs.values())
    # Whatever the networks compute in, losses and parameters are float32.
    assert {leaf.dtype for leaf in jax.tree.leaves((logs, state.params))} == {jnp.dtype("float32")}
    leaves = [np.asarray(leaf).reshape(len(lanes), -1) for leaf in jax.tree.leaves(state.params)]
    params = np.concatenate(leaves, axis=1)
    assert np.isfinite(params).all()
    moved = np.abs(params[1:] - params[0]).max(1)
    assert moved[0] < 1e-6  # the same numbers give the same run …
    still = [n for n, distance in zip(varied, moved[1:], strict=True) if distance < 1e-5]
    assert not still, f"{', '.join(still)} made no difference"  # … and others another


def test_factor_vae_trains_with_the_papers_discriminator(data):
    """Six layers of 1000 units (Kim & Mnih 2018, appendix A), as lanes that differ in gamma."""
    chosen = program("factor_vae", latent_dim=10, sizes={})
    defaults = step.hyper_defaults(chosen) | {"lr": 1e-3, "critic_lr": 1e-4}
    hypers = {n: jnp.full(2, v, jnp.uint32 if n == "seed" else jnp.float32) for n, v in defaults.items()}
    state, logs = jit(jax.vmap(lambda h: train(chosen, data, h, 3)))(hypers | {"gamma": jnp.float32([10.0, 40.0])})
    shapes = [layer["kernel"].shape[1:] for layer in state.params["critic"]["tc_critic"].values()]
    assert shapes == [(10, 1000), *[(1000, 1000)] * 5, (1000, 2)]
    assert state.status.tolist() == [-1, -1] and all(np.isfinite(v).all() for v in logs.values())
    # Both critics see the same codes at first; the VAEs, and with them the codes, part.
    losses = np.asarray(logs["critic_loss"])
    assert losses[0, 0] == pytest.approx(losses[1, 0], rel=1e-5) and losses[0, -1] != losses[1, -1]


@pytest.mark.slow
def test_factor_vae_at_gamma_100_trains_for_long(data):
    """2,000 steps at batch 64 and at 16, at usual rates of both players and at ten times those."""
    for batch_size in (16, 64):
        chosen = program(
            "factor_vae", latent_dim=10, batch_size=batch_size, sizes={"critic_width": 256, "critic_depth": 6}
        )
        hypers = {n: jnp.full(4, v, jnp.float32) for n, v in step.hyper_defaults(chosen).items()}
        hypers |= {"seed": jnp.arange(4, dtype=jnp.uint32), "gamma": jnp.full(4, 100.0)}
        hypers |= {"lr": jnp.float32([1e-4, 1e-3, 1e-4, 1e-3]), "critic_lr": jnp.float32([1e-4, 1e-4, 1e-3, 1e-3])}
        state, logs = jax.jit(jax.vmap(lambda h, c=chosen: train(c, data, h, 2000)))(hypers)
        assert state.status.tolist() == [-1] * 4 and state.step.tolist() == [2000] * 4
        assert all(np.isfinite(v).all() for v in logs.values())
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
        nll = np.asarray(logs["nll"])
        assert (nll[:, -100:].mean(1) < nll[:, :20].mean(1)).all()
