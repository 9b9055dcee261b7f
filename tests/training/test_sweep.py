"""Lanes: each equals a solo run, they do not touch each other, and numbers compile nothing."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.parallel.lanes import make_mesh, pad_lanes, padded_size, put_everywhere, put_lanes
from jaxvae.training import sweep
from jaxvae.types import Program, fate

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def data():
    templates = (np.random.default_rng(0).random((10, *SHAPE)) < 0.3).astype(np.uint8) * 255
    return assemble("templates", np.tile(templates, (20, 1, 1, 1)), annotation="none")


def program(objective="factor_vae"):
    return Program("mlp", objective, SHAPE, latent_dim=3, batch_size=16, sizes={"critic_width": 16, "critic_depth": 2})


def lanes(objective="factor_vae", **swept):
    size = len(next(iter(swept.values())))
    values = {n: [v] * size for n, v in step.hyper_defaults(program(objective)).items()} | swept
    return {n: np.asarray(v, np.uint32 if n == "seed" else np.float32) for n, v in values.items()}


def train(hypers, data, num_steps, *, objective="factor_vae", mode="vmap", devices=1, chunks=1):
    mesh = make_mesh(len(hypers["seed"]), jax.devices()[:devices], sharing=mode == "split")
    hypers = put_lanes(pad_lanes(hypers, padded_size(len(hypers["seed"]), mesh)), mesh)
    state = sweep.compiled_init(program(objective), mesh)(hypers)
    data = put_everywhere(data, mesh)
    logs = []
    for _ in range(chunks):
        run = sweep.compiled_steps(program(objective), mesh, mode)
        state, sums = run(data, hypers, state, jnp.int32(num_steps // chunks))
        logs.append({name: values.astype(np.float64).sum(-1) for name, values in jax.device_get(sums).items()})
    return jax.device_get(state), logs


def assert_close(a, b, **tolerance):
    jax.tree.map(lambda x, y: np.testing.assert_allclose(x, y, **tolerance), a, b)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


SWEPT = {"seed": [0, 1, 2], "beta": [1.0, 4.0, 2.0], "gamma": [0.0, 10.0, 5.0], "lr": [1e-3, 5e-4, 1e-3]}


ONE_DEVICE = [pytest.param(mode, 1, marks=pytest.mark.slow) for mode in ("vmap", "map")]


@pytest.mark.parametrize(("mode", "devices"), [*ONE_DEVICE, ("vmap", 4), ("map", 3)])
def test_every_lane_equals_a_solo_run(data, mode, devices):
    state, _ = train(lanes(**SWEPT), data, 20, mode=mode, devices=devices)
    for index in range(3):
        alone, _ = train(lanes(**{n: [v[index]] for n, v in SWEPT.items()}), data, 20)
        row = jax.tree.map(lambda leaf, i=index: leaf[i : i + 1], state)
        assert_close(row.params, alone.params, atol=2e-4)
        assert row.step == alone.step == 20


def test_a_lane_split_over_devices_equals_a_solo_run():
    objective = "beta_vae"
    images = np.random.default_rng(0).integers(0, 2, (64, 16, 16, 1), dtype=np.uint8) * 255
    chosen = dataclasses.replace(program(objective), architecture="conv", image_shape=(16, 16, 1))
    states = []
    for mode in ("map", "split"):
        mesh = make_mesh(1, sharing=mode == "split")
        hypers = put_lanes(lanes(objective, seed=[3], lr=[1e-3]), mesh)
        state = sweep.compiled_init(chosen, mesh)(hypers)
        steps = sweep.compiled_steps(chosen, mesh, mode)
        placed = put_everywhere(assemble("noise", images, annotation="none"), mesh)
        text = steps.lower(placed, hypers, state, jnp.int32(4)).compile().as_text()
        assert ("all-reduce" in text) == (mode == "split")  # gradients are summed over the parts of the batch
        state, _ = steps(placed, hypers, state, jnp.int32(4))
        assert len(state.step.devices()) == (4 if mode == "split" else 1)
        states.append(jax.device_get(state))
    assert_close(states[0].params, states[1].params, atol=2e-4)
    assert_close(states[0].opt["vae"][0].mu, states[1].opt["vae"][0].mu, rtol=2e-3, atol=1e-5)


def test_swept_numbers_matter(data):
    state, _ = train(lanes(seed=[0, 0, 0, 1], beta=[1.0, 8.0, 1.0, 1.0], lr=[1e-3, 1e-3, 1e-4, 1e-3]), data, 5)
    kernels = np.asarray(state.params["vae"]["model"]["encoder"]["Dense_0"]["kernel"])
    assert len({kernel.tobytes() for kernel in kernels}) == 4


def test_chunks_do_not_show(data):
    whole, once = train(lanes(**SWEPT), data, 12)
    cut, thrice = train(lanes(**SWEPT), data, 12, chunks=3)
    assert_equal(whole, cut)
    np.testing.assert_allclose(once[0]["loss"], sum(part["loss"] for part in thrice), rtol=1e-12)
    assert once[0]["count"].tolist() == [12, 12, 12]


@pytest.mark.parametrize("mode", ["vmap", "map"])
def test_a_diverging_lane_is_frozen_and_its_siblings_do_not_notice(data, mode):
    healthy, _ = train(lanes(seed=[0, 1, 2], lr=[1e-3, 1e-3, 1e-3]), data, 30, mode=mode)
    mixed, logs = train(lanes(seed=[0, 1, 2], lr=[1e-3, 1e25, 1e-3]), data, 30, mode=mode)
    assert healthy.status.tolist() == [-1, -1, -1]
    assert mixed.status[0] == mixed.status[2] == -1 and 0 <= mixed.status[1] < 30
    for lane in (0, 2):
        assert_equal(*(jax.tree.map(lambda leaf, i=lane: leaf[i], s) for s in (mixed, healthy)))
    # The lane stays where it last was well: finite, at the step that status names, and counted no further.
    assert all(np.isfinite(leaf[1]).all() for leaf in jax.tree.leaves(mixed.params))
    assert mixed.step[1] == mixed.status[1] == logs[0]["count"][1]


@pytest.mark.parametrize("mode", ["vmap", "map"])
def test_a_lane_whose_optimiser_overflows_has_stalled_and_is_not_ok(data, mode):
    """At beta 1e30 the gradient is finite and its square is not: Adam would divide by infinity and stand still."""
    healthy, _ = train(lanes(seed=[0, 1, 2]), data, 5, mode=mode)
    mixed, logs = train(lanes(seed=[0, 1, 2]) | {"beta": np.array([1, 1e30, 1], np.float32)}, data, 5, mode=mode)
    assert [fate(status) for status in mixed.status.tolist()] == ["ok", "stalled at step 0", "ok"]
    assert logs[0]["count"].tolist() == [5, 0, 5] and mixed.step.tolist() == [5, 0, 5]
    for lane in (0, 2):
        assert_equal(*(jax.tree.map(lambda leaf, i=lane: leaf[i], s) for s in (mixed, healthy)))
    assert fate(3) == "diverged at step 3" and fate(-1) == "ok"


@pytest.mark.parametrize(("wrong", "says"), [(np.nan, "diverged"), (-np.inf, "diverged"), (1e25, "stalled"), (0, "ok")])
def test_one_number_of_a_gradient_is_seen_whatever_the_loss(data, monkeypatch, wrong, says):
    whole = step.loss

    def loss(params, *rest):
        value, logs = whole(params, *rest)
        number = params["vae"]["model"]["encoder"]["Dense_0"]["kernel"][-1, -1]
        return value + _only_slope(number, jnp.float32(wrong)), logs

    monkeypatch.setattr(step, "loss", loss)
    chosen, hypers = program("beta_vae"), lanes("beta_vae", seed=[0])
    hypers = {name: values[0] for name, values in hypers.items()}
    state, logs = jax.jit(lambda h: step.train_step(chosen, data, h, step.init_state(chosen, h)))(hypers)
    assert np.isfinite(logs["loss"])
    assert fate(int(state.status)).split()[0] == says


@jax.custom_jvp
def _only_slope(number, slope):
    """Return 0 with a given slope in `number`."""
    return 0.0 * number


_only_slope.defjvp(lambda given, moved: (0.0 * given[0], moved[0] * given[1]))


def test_who_is_shown_compiles_nothing_else(data):
    mesh, chosen = make_mesh(3), program()
    others = sweep._hyper_shapes(chosen, 3), sweep.state_shapes(chosen, mesh, 3), jnp.int32(0)
    known = dataclasses.replace(data, identities=jnp.zeros(len(data), jnp.int32))
    texts = {sweep.compiled_steps(chosen, mesh, "map").lower(some, *others).as_text() for some in (data, known)}
    assert len(texts) == 1


def test_a_new_grid_of_numbers_compiles_nothing(data):
    mesh = make_mesh(3)
    train(lanes(**SWEPT), data, 3, mode="map", devices=3)
    steps = sweep.compiled_steps(program(), mesh, "map")
    before = steps._cache_size()
    changed = {n: [v * 3 + 1 for v in values] for n, values in SWEPT.items()} | {"critic_lr": [1e-3, 1e-2, 1e-5]}
    train(lanes(**changed), data, 7, mode="map", devices=3)
    assert steps._cache_size() == before == 1


@pytest.mark.parametrize("mode", ["vmap", "map"])
def test_the_sharded_program_has_no_collective_and_gives_its_input_away(data, mode):
    mesh = make_mesh(4)
    hypers = put_lanes(lanes(seed=[0, 1, 2, 3]), mesh)
    state = jax.eval_shape(sweep.compiled_init(program(), mesh), hypers)
    lowered = sweep.compiled_steps(program(), mesh, mode).lower(data, hypers, state, jnp.int32(3))
    text = lowered.compile().as_text()
    for collective in ("all-gather", "all-reduce", "all-to-all", "collective-permute", "reduce-scatter"):
        assert collective not in text
    assert "input_output_alias" in text


def test_lanes_are_spread_over_all_devices(data):
    mesh = make_mesh(6)
    assert mesh.size == len(jax.devices()) == 4
    hypers = pad_lanes(lanes(seed=list(range(6))), padded_size(6, mesh))
    state = sweep.compiled_init(program(), mesh)(put_lanes(hypers, mesh))
    shards = state.params["vae"]["model"]["encoder"]["Dense_0"]["kernel"].addressable_shards
    assert len({shard.device for shard in shards}) == 4 and {shard.data.shape[0] for shard in shards} == {2}


@pytest.mark.parametrize("objective", ["beta_vae", "factor_vae"])
def test_training_lowers_the_loss(data, objective):
    hypers = lanes(objective, seed=[0, 1], lr=[1e-2, 1e-2]) | {n: np.ones(2, np.float32) for n in ("beta", "gamma")}
    _, logs = train(hypers, data, 200, objective=objective, chunks=10)
    assert (logs[-1]["nll"] < 0.7 * logs[0]["nll"]).all()


def test_bfloat16_arithmetic_stays_near_float32_and_keeps_float32_parameters(data):
    losses = {}
    for dtype in ("float32", "bfloat16"):
        chosen = Program("mlp", "beta_vae", SHAPE, latent_dim=3, batch_size=16, dtype=dtype)
        hypers = {n: jnp.float32(v) for n, v in step.hyper_defaults(chosen).items()} | {"seed": jnp.uint32(0)}
        state = step.init_state(chosen, hypers)
        state, logs = jax.jit(step.train_step, static_argnums=0)(chosen, data, hypers, state)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(state.params))
        losses[dtype] = float(logs["loss"])
    assert losses["bfloat16"] == pytest.approx(losses["float32"], rel=0.02)
    assert losses["bfloat16"] != losses["float32"]
