"""The residual network: a flat block at the start, colours learned, and more of an image than the study's network."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import evaluate, models
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.models.resnet import Residual
from jaxvae.types import Networks, Program

# What is compiled here runs a few times: optimising costs more than it saves.
jit = functools.partial(
    jax.jit, compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}
)


def coloured(count, size, seed=0):
    """Return images uint8[count, size, size, 3]: soft ellipses of any place, form and colour on a shaded ground."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] / size - 0.5
    images = np.empty((count, size, size, 3), np.uint8)
    for image in images:
        across, down = rng.uniform(-0.25, 0.25, 2)
        tilt, radii = rng.uniform(0, np.pi), rng.uniform(0.08, 0.25, 2)
        u, v = x - across, y - down
        turned = (u * np.cos(tilt) + v * np.sin(tilt), v * np.cos(tilt) - u * np.sin(tilt))
        far = sum((part / radius) ** 2 for part, radius in zip(turned, radii, strict=True))
        inside = 1 / (1 + np.exp(np.minimum(8 * (far - 1), 50)))[..., None]
        ground = rng.uniform(0, 1, 3) * (0.6 + 0.8 * y[..., None])
        image[:] = np.clip(255 * (inside * rng.uniform(0, 1, 3) + (1 - inside) * ground), 0, 255)
    return images


def hypers_of(program, **changed):
    given = step.hyper_defaults(program) | changed
    return {n: jnp.asarray(v, jnp.uint32 if n == "seed" else jnp.float32) for n, v in given.items()}


def test_a_block_passes_on_what_it_is_given_until_it_has_learned():
    block, x = Residual("float32"), jax.random.normal(jax.random.key(0), (2, 4, 4, 3))
    params = block.init(jax.random.key(1), x)
    np.testing.assert_array_equal(block.apply(params, x), x)
    slope = jax.grad(lambda params: (block.apply(params, x) ** 2).sum())(params)["params"]
    assert float(jnp.abs(slope["Conv_1"]["kernel"]).max()) > 1e-3  # zeros, but not for long


def test_parameters_are_those_counted_by_hand():
    module = models.build(Program("resnet", "vae", (64, 64, 3)))
    shapes = jax.eval_shape(module.init, jax.random.key(0), jnp.zeros((1, 64, 64, 3)), jax.random.key(0))["params"]

    def convolutions(kernel, *pairs):
        return sum(kernel**2 * ins * outs + outs for ins, outs in pairs)

    blocks = convolutions(3, *((c, c) for c in (32, 64, 128, 128) for _ in range(2)))
    down = convolutions(4, (3, 32), (32, 64), (64, 128), (128, 128))
    up = convolutions(4, (128, 128), (128, 64), (64, 32), (32, 3))
    flat = 4 * 4 * 128
    expected = {
        "encoder": down + blocks + (flat * 256 + 256) + (256 * 20 + 20),
        "decoder": up + blocks + (10 * 256 + 256) + (256 * flat + flat),
    }
    assert {part: sum(leaf.size for leaf in jax.tree.leaves(shapes[part])) for part in expected} == expected


@pytest.mark.slow
def test_it_learns_colours_and_lanes_equal_solo_runs():
    data = assemble("coloured", coloured(64, 12), annotation="none")
    program = Program("resnet", "vae", data.shape, latent_dim=4, batch_size=16)

    def run(hypers):
        def body(state, _):
            state, logs = step.train_step(program, data, hypers, state)
            return state, logs["loss"]

        return jax.lax.scan(body, step.init_state(program, hypers), None, 40)[1]

    lanes = jax.tree.map(lambda *leaves: jnp.stack(leaves), *(hypers_of(program, seed=s, lr=2e-3) for s in (0, 1)))
    losses = np.asarray(jit(jax.vmap(run))(lanes))
    assert (losses[:, -5:].mean(1) < 0.95 * losses[:, :3].mean(1)).all()
    solo = jit(run)(hypers_of(program, seed=1, lr=2e-3))
    np.testing.assert_allclose(losses[1], solo, rtol=2e-3)


@pytest.mark.slow
def test_it_rebuilds_coloured_images_at_least_as_well_as_the_studys_network():
    train, test = (
        assemble("coloured", coloured(count, 16, seed), annotation="none") for count, seed in ((4000, 0), (500, 1))
    )
    found = {}
    for architecture in ("conv", "resnet"):
        program = Program(architecture, "vae", train.shape, latent_dim=16, batch_size=32, likelihood="gaussian")
        hypers = hypers_of(program, lr=1e-3, sigma=0.1)

        advance = jax.jit(lambda data, hypers, state: step.train_step(program, data, hypers, state)[0])  # noqa: B023
        state = step.init_state(program, hypers)
        for _ in range(300):
            state = advance(train, hypers, state)
        lane = jax.tree.map(lambda leaf: np.asarray(leaf)[None], (hypers, state.networks))
        encoded = evaluate.encode(program, lane[0], Networks(*lane[1]), test)
        found[architecture] = float(encoded.reconstruction[0]), float(encoded.reconstruction[0] + encoded.kl[0])
        print(architecture, found[architecture])
    assert found["resnet"][0] <= found["conv"][0] and found["resnet"][1] <= found["conv"][1]
