"""The hierarchical architecture: its groups, its posterior, its state, what is asked of objectives, a whole sweep."""

import dataclasses
import functools
import itertools
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae import latents, models, objectives
from jaxvae.asked import spec
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.models import cells, hierarchical, spectral
from jaxvae.models.vae import reparameterise, standard_normal_kl
from jaxvae.types import InputError, ModelOutput, Posterior, Program
from tiny_sweep import run_in_process

SHAPE = (8, 8, 1)
TINY = Program("nvae", "vae", SHAPE, latent_dim=2, batch_size=8, sizes={"groups_per_scale": (1, 1), "stem_width": 4})
ONE_GROUP = dataclasses.replace(TINY, sizes={"groups_per_scale": (1,), "stem_width": 4})
QUICK = {"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True}


def jit(function, **options):
    """Compile without optimising: what is compiled here runs a few times."""
    return jax.jit(function, compiler_options=QUICK, **options)


def numbers(program, **changed):
    defaults = step.hyper_defaults(program) | changed
    return {n: jnp.asarray(v, jnp.uint32 if n == "seed" else jnp.float32) for n, v in defaults.items()}


@pytest.fixture(scope="module")
def data():
    pictures = (np.random.default_rng(0).random((40, *SHAPE)) < 0.3).astype(np.uint8) * 255
    return assemble("random", pictures, annotation="none")


def two_lanes():
    """Return a program and the hypers of two lanes, seeds 3 and 4."""
    program = dataclasses.replace(TINY, objective="kl_balanced+spectral")
    hypers = {n: jnp.stack([v, v]) for n, v in numbers(program, warmup_steps=2.0, lr=1e-3).items()}
    return program, hypers | {"seed": jnp.asarray([3, 4], jnp.uint32)}


def three_steps(program, data, hypers, state, lift=lambda function: function):
    once = jit(lift(lambda hypers, state: step.train_step(program, data, hypers, state)))
    for _ in range(3):
        state, logs = once(hypers, state)
    return state, logs


@pytest.fixture(scope="module")
def trained(data):
    """A program, the state of its second lane before and after three steps, and the logs of the last one."""
    program, hypers = two_lanes()
    hypers = jax.tree.map(lambda leaf: leaf[1], hypers)
    start = jit(lambda h: step.init_state(program, h))(hypers)
    return program, start, *three_steps(program, data, hypers, start)


# --- geometry ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shape", "scales", "padded", "halvings", "grids"),
    [
        ((28, 28, 1), 2, (32, 32), 2, ((4, 4), (8, 8))),
        ((28, 28, 1), 1, (28, 28), 2, ((7, 7),)),
        ((32, 32, 3), 4, (32, 32), 2, ((1, 1), (2, 2), (4, 4), (8, 8))),
        ((64, 64, 1), 2, (64, 64), 3, ((4, 4), (8, 8))),
        ((27, 20, 1), 3, (32, 32), 2, ((2, 2), (4, 4), (8, 8))),
        ((8, 8, 1), 2, (8, 8), 1, ((2, 2), (4, 4))),
    ],
)
def test_grids(shape, scales, padded, halvings, grids):
    assert latents.pyramid(shape, scales) == latents.Pyramid(padded, halvings, grids)


def test_groups_lie_from_the_top_down_and_flat_codes_are_one():
    program = Program("nvae", "vae", (32, 32, 1), latent_dim=3, sizes={"groups_per_scale": (2, 1)})
    assert latents.groups(program) == (48, 48, 192) and latents.number(program) == 288
    assert latents.number_scored(program) == 48 and not latents.is_flat(program)
    flat = Program("conv", "vae", (32, 32, 1), latent_dim=7)
    assert latents.groups(flat) == (7,) and latents.is_flat(flat)


# --- cells ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["cpu", "gpu"])
def test_depthwise_convolutions_are_xlas_grouped_ones(backend, monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    x, g = jax.random.normal(jax.random.key(0), (2, 3, 6, 5, 4))
    kernel = jax.random.normal(jax.random.key(1), (5, 5, 4))

    def xlas(x, kernel):
        numbers = ("NHWC", "HWIO", "NHWC")
        return jax.lax.conv_general_dilated(
            x, kernel[:, :, None], (1, 1), "SAME", feature_group_count=4, dimension_numbers=numbers
        )

    found, expected = (jax.vjp(f, x, kernel) for f in (cells.depthwise, xlas))
    np.testing.assert_allclose(found[0], expected[0], atol=1e-4)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4), found[1](g), expected[1](g))


def test_images_are_doubled_as_jax_doubles_them():
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    for found, method in ((cells.repeated, "nearest"), (cells.interpolated, "bilinear")):
        np.testing.assert_allclose(found(x), jax.image.resize(x, (2, 6, 8, 5), method), atol=1e-6)


# --- posterior --------------------------------------------------------------------------------------------------------


def normals(seed, shape=(3, 2, 2, 2)):
    return hierarchical.Normal(*jax.random.normal(jax.random.key(seed), (2, *shape)))


def test_a_posterior_without_a_change_is_the_prior():
    p, q = hierarchical.residual_posterior(normals(0), hierarchical.Normal(*jnp.zeros((2, 3, 2, 2, 2))))
    jax.tree.map(np.testing.assert_array_equal, q, p)
    np.testing.assert_array_equal(hierarchical.normal_kl(q, p), 0)
    # Within the clamp's linear range, q is the residual normal of the paper.
    prior, change = (hierarchical.Normal(*(0.05 * part for part in normals(seed))) for seed in (1, 2))
    _, q = hierarchical.residual_posterior(prior, change)
    np.testing.assert_allclose(q.mean, prior.mean + change.mean, atol=2e-3)
    np.testing.assert_allclose(jnp.exp(q.log_sigma), jnp.exp(prior.log_sigma) * jnp.exp(change.log_sigma), atol=2e-3)
    assert float(jnp.abs(jnp.stack(hierarchical.residual_posterior(normals(0), normals(1))[1])).max()) < 5


def test_the_kl_per_latent_is_what_samples_say():
    q, p = hierarchical.residual_posterior(normals(0), normals(1))[::-1]
    samples = 200_000
    noise = jax.random.normal(jax.random.key(2), (samples, *q.mean.shape))

    def log_density(z, normal):
        return -0.5 * ((z - normal.mean) * jnp.exp(-normal.log_sigma)) ** 2 - normal.log_sigma

    z = q.mean + jnp.exp(q.log_sigma) * noise
    ratio = np.asarray(log_density(z, q) - log_density(z, p))
    error = np.abs(ratio.mean(0) - hierarchical.normal_kl(q, p))
    assert (error < 5 * ratio.std(0) / np.sqrt(samples) + 1e-4).all()


def test_one_group_is_a_flat_vae(data):
    """Its posterior, sample, KL and loss are the flat formulas."""
    hypers = numbers(ONE_GROUP)
    state = jit(step.init_state, static_argnums=0)(ONE_GROUP, hypers)
    module, key = models.build(ONE_GROUP), jax.random.key(5)
    pictures = data.batch(jnp.arange(8))
    variables = state.networks.variables
    out = jit(module.apply)(variables, pictures, key)
    mean, logvar = jit(lambda v, x: module.apply(v, x, method="encode"))(variables, pictures)
    np.testing.assert_allclose(out.q.mean, mean, atol=1e-6)
    np.testing.assert_allclose(out.q.logvar, logvar, atol=1e-6)
    np.testing.assert_allclose(out.q.z, reparameterise(key, mean, logvar), atol=1e-5)
    np.testing.assert_allclose(out.q.kl, standard_normal_kl(mean, logvar), atol=1e-5)
    decode = jit(lambda v, z: module.apply(v, z, method="decode"))
    np.testing.assert_allclose(decode(variables, out.q.z), out.logits, atol=1e-4)
    quiet = jit(module.apply)(variables, pictures, key, 0.0)  # the decoder is given means; q is sampled all the same
    np.testing.assert_allclose(quiet.q.z, out.q.z, atol=1e-5)
    np.testing.assert_allclose(decode(variables, quiet.q.mean), quiet.logits, atol=1e-4)
    _, (logs, _) = jit(step.loss, static_argnums=1)(state.params, ONE_GROUP, data, hypers, state)
    assert float(logs["loss"]) == pytest.approx(float(logs["nll"] + logs["kl"]), rel=1e-6)


# --- state ------------------------------------------------------------------------------------------------------------


def test_statistics_and_vectors_move_in_training(trained):
    _, start, after, logs = trained
    assert set(start.model_state) == {"batch_stats", "spectral"}
    assert after.step == 3 and after.status < 0
    for kind in start.model_state:
        pairs = zip(*map(jax.tree.leaves, (after.model_state[kind], start.model_state[kind])), strict=True)
        assert max(np.abs(a - b).max() for a, b in pairs) > 1e-4, kind
    total = logs["nll"] + logs["kl"] + 0.01 * logs["roughness"]
    np.testing.assert_allclose(logs["loss"], total, rtol=1e-5)  # in the third step the warm-up is over


@pytest.mark.slow
def test_lanes_have_statistics_of_their_own_and_are_what_they_are_alone(trained, data):
    program, _, after, _ = trained
    hypers = two_lanes()[1]
    states = jit(jax.vmap(lambda h: step.init_state(program, h)))(hypers)
    lanes, _ = three_steps(program, data, hypers, states, jax.vmap)
    second = jax.tree.map(lambda leaf: leaf[1], lanes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-3), second.params, after.params)
    for kind, state in after.model_state.items():
        close = functools.partial(np.testing.assert_allclose, atol=5e-3, rtol=1e-2)
        jax.tree.map(close, second.model_state[kind], state)
        assert max(np.abs(leaf[0] - leaf[1]).max() for leaf in jax.tree.leaves(lanes.model_state[kind])) > 1e-4, kind


def test_evaluation_uses_running_averages_and_changes_nothing(trained, data):
    program, _, after, _ = trained
    variables = after.networks.variables
    module = models.build(program)
    encode = jit(lambda v, x: module.apply(v, x, method="encode")[0])
    whole = encode(variables, data.batch(jnp.arange(8)))
    # Were statistics those of the batch, an image's code would depend on its company.
    np.testing.assert_allclose(encode(variables, data.batch(jnp.arange(2))), whole[:2], atol=1e-4)
    other = variables | {"batch_stats": jax.tree.map(lambda leaf: leaf + 1.0, variables["batch_stats"])}
    assert float(jnp.abs(encode(other, data.batch(jnp.arange(2))) - whole[:2]).max()) > 1e-3


@pytest.mark.slow
def test_codes_decode_and_a_top_group_alone_is_completed_by_its_prior(trained, data):
    program, _, after, _ = trained
    variables = after.networks
    model = jaxvae.saved.Model(program, variables, {})
    mean, logvar = model.encode(data.batch(jnp.arange(3)))
    assert mean.shape == logvar.shape == (3, latents.number(program)) == (3, 40)
    assert model.decode(mean).shape == model.decode(mean[:, :8]).shape == (3, *SHAPE)
    assert model.traverse().shape == model.traverse(mean[0]).shape == (8, 9, *SHAPE)
    with pytest.raises(InputError, match="8 or 40"):
        model.decode(mean[:, :7])


# --- spectral norms ---------------------------------------------------------------------------------------------------


def test_power_iteration_finds_the_largest_singular_values():
    keys = jax.random.split(jax.random.key(0), 4)
    params = {
        "a": {"kernel": jax.random.normal(keys[0], (3, 3, 4, 6)), "bias": jnp.ones(6)},
        "b": {"kernel": jax.random.normal(keys[1], (3, 3, 4, 6)), "scale": jnp.asarray([0.5, -2.0])},
        "c": {"kernel": jax.random.normal(keys[2], (5, 5, 1, 3))},
        "dense": {"kernel": 100 * jax.random.normal(keys[3], (4, 6))},
    }
    vectors = spectral.iterate(params, spectral.first_vectors(params), 200)
    norms = spectral.spectral_norms(params, vectors)
    matrices = {
        name: np.asarray(params[name]["kernel"]).reshape(-1, params[name]["kernel"].shape[-1]) for name in "abc"
    }
    expected = {name: np.linalg.svd(matrix, compute_uv=False)[0] for name, matrix in matrices.items()}
    np.testing.assert_allclose(norms["36x6"], [expected["a"], expected["b"]], rtol=1e-4)
    np.testing.assert_allclose(norms["25x3"], [expected["c"]], rtol=1e-4)
    assert float(spectral.roughness(params, vectors)) == pytest.approx(sum(expected.values()) + 2.0, rel=1e-4)
    # The gradient of a singular value is the product of its vectors.
    gradient = jax.grad(spectral.roughness)(params, vectors)
    left, _, right = np.linalg.svd(matrices["a"])
    np.testing.assert_allclose(gradient["a"]["kernel"].reshape(-1, 6), np.outer(left[:, 0], right[0]), atol=2e-3)
    assert (gradient["dense"]["kernel"] == 0).all() and gradient["b"]["scale"].tolist() == [0, -1]


@pytest.mark.slow
def test_training_keeps_the_vectors_near_the_singular_ones(trained):
    params, vectors = trained[2].params["vae"]["model"], trained[2].model_state["spectral"]["vectors"]
    for shape, found in spectral.spectral_norms(params, vectors).items():
        exact = np.linalg.svd(np.asarray(spectral.matrices(params)[shape]), compute_uv=False)[:, 0]
        np.testing.assert_allclose(found, exact, rtol=0.05)


# --- objectives -------------------------------------------------------------------------------------------------------


def output(kl, **more):
    return ModelOutput(jnp.zeros(()), Posterior(kl, kl, kl, kl), **more)


def context(now, program=TINY):
    return objectives.Context(
        program, jnp.int32(now), 100, jax.random.key(0), jnp.zeros((2, 0), jnp.int32), lambda: None
    )


def penalty(name, out, now=0, program=TINY, **changed):
    term = objectives.TERMS[name]
    return term.penalty(out, {}, {}, {**term.hypers, **changed}, context(now, program))


def test_groups_are_balanced_while_the_kl_is_warmed_up():
    program = dataclasses.replace(TINY, sizes={"groups_per_scale": (2, 1), "stem_width": 4}, latent_dim=1)
    sizes = latents.groups(program)
    assert sizes == (4, 4, 16)
    kl = jnp.asarray(np.repeat([[0.5, 0.0, 0.25]], 2, 0).repeat(sizes, axis=1), jnp.float32)
    per_group = np.array([2.0, 0.0, 4.0])
    # Places over groups on the grid: 4/2, 4/2, 16/1; in units of the least 1, 1, 8.
    weights = (per_group + 0.01) / np.array([1.0, 1.0, 8.0])
    weights /= weights.mean()
    expected = 3.0 * 0.25 * (weights * per_group).sum()
    value, logs = penalty("kl_balanced", output(kl), 25, program, beta=3.0, warmup_steps=100.0)
    assert float(value) == pytest.approx(expected, rel=1e-5) and float(logs["kl_weight"]) == 0.25
    value, logs = penalty("kl_balanced", output(kl), 0, program, warmup_steps=100.0)
    assert float(logs["kl_weight"]) == pytest.approx(1e-4)
    for now, steps in ((100, 100.0), (0, 0.0)):
        value, _ = penalty("kl_balanced", output(kl), now, program, warmup_steps=steps)
        assert float(value) == pytest.approx(6.0)

    def of(kl):
        return penalty("kl_balanced", output(kl), 25, program, warmup_steps=100.0)[0]

    # Weights are constants: every latent of a group has the same slope, weight / batch.
    slope = np.asarray(jax.grad(of)(kl))
    np.testing.assert_allclose(slope, np.repeat([0.25 * weights / 2], 2, 0).repeat(sizes, axis=1), rtol=1e-5)


def test_a_floor_is_under_each_map_however_many_groups_there_are():
    """A map of a group is one of its latents at all places: they share parameters. Of the KL 0.1 at a place 1.6."""
    for groups, places in (((1,), (16,)), ((1, 1), (4, 16)), ((2, 1), (4, 4, 16))):
        chosen = dataclasses.replace(TINY, sizes={"groups_per_scale": groups, "stem_width": 4})
        of_place = np.array([0.1, 0.01], np.float32)  # of a group's two latents
        kl = jnp.asarray(np.repeat(np.concatenate([np.tile(of_place, n) for n in places])[None], 2, 0))
        sums = np.concatenate([n * of_place for n in places])
        for name, floor in itertools.product(("free_bits", "kl_clip"), (0.5, 0.3)):
            value, logs = penalty(name, output(kl), program=chosen, floor=floor)
            assert float(value) == pytest.approx(np.maximum(sums, floor).sum(), rel=1e-5)
            above = (sums > floor).sum() if name == "free_bits" else (sums > floor).mean()
            assert float(logs["above_floor"]) == pytest.approx(above)
        free, _ = penalty("free_bits", output(0 * kl), program=chosen, floor=0.5)
        assert float(free) == pytest.approx(0.5 * 2 * len(places))  # latent_dim of each group


def test_gradients_of_the_new_terms_equal_finite_differences_in_float64():
    with jax.enable_x64(True):
        rng = np.random.default_rng(0)
        kl, move = jnp.asarray(rng.random((2, 40))), jnp.asarray(rng.normal(size=(2, 40)))
        roughness = jnp.float64(3.0)

        def value(size, at):
            balanced = penalty("kl_balanced", output(kl + size * move), 10**6, beta=1.7)[0]
            smooth = penalty("spectral", output(kl, roughness=roughness + size), spectral_weight=0.3)[0]
            return balanced if at == "kl" else smooth

        for at in ("kl", "roughness"):
            slope = (value(1e-4, at) - value(-1e-4, at)) / 2e-4
            assert float(jax.grad(value)(0.0, at)) == pytest.approx(float(slope), rel=1e-6)
        params = {"kernel": jnp.asarray(rng.normal(size=(3, 3, 2, 4))), "scale": jnp.asarray(rng.normal(size=5))}
        turn = jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape)), params)
        vectors = spectral.iterate(params, spectral.first_vectors(params), 300)

        def norm(size):
            return spectral.roughness(jax.tree.map(lambda a, b: a + size * b, params, turn), vectors)

        slope = (norm(1e-5) - norm(-1e-5)) / 2e-5
        assert float(jax.grad(norm)(0.0)) == pytest.approx(float(slope), rel=1e-6)


def expand(objective, **changed):
    sizes = {"groups_per_scale": (1, 1), "stem_width": 4} | changed
    given = {"latent_dim": 2, "batch_size": 8, "sizes": sizes}
    return spec.expand(spec.Spec(objectives=(objective,), architectures=("nvae",), **given), SHAPE, 40)


@pytest.mark.parametrize(
    ("objective", "changed", "message"),
    [
        ("factor_vae", {}, "'tc_critic' .* assumes one group"),
        ("vade", {}, "'kl_mixture' .* assumes one group"),
        ("vae+mmd", {}, "'mmd' .* assumes one group"),
        ("vae", {"groups_per_scale": (1, 1, 1, 1)}, "4 scales, and a 8x8 image allows 1 to 3"),
        ("vae", {"groups_per_scale": (1, 0)}, "at least 1 group"),
        ("vae", {"groups_per_scale": ()}, "expected whole numbers, such as 2,2"),
        ("vae", {"stem_width": 6}, "multiples of 4, got 6"),
    ],
)
def test_what_makes_no_sense_is_refused_at_the_door(objective, changed, message):
    with pytest.raises(InputError, match=message):
        expand(objective, **changed)


def test_a_term_of_what_an_architecture_does_not_measure_is_refused():
    with pytest.raises(InputError, match="does not measure"):
        spec.expand(spec.Spec(objectives=("vae+spectral",), architectures=("mlp",)), SHAPE, 64)


def test_what_makes_sense_is_let_in():
    (group,) = expand("kl_balanced+spectral")
    assert group.program.sizes == {"groups_per_scale": (1, 1), "stem_width": 4}
    assert expand("factor_vae", groups_per_scale=(1,))[0].program.objective == "factor_vae"
    nvae = spec.Spec(architectures=("nvae",))
    chosen = spec.complete(dataclasses.replace(nvae, sizes={"groups_per_scale": (3, 1)}))
    assert chosen.sizes == {"groups_per_scale": (3, 1), "stem_width": 16}
    assert spec.from_json(chosen.to_json()) == chosen and not spec.differences(chosen.to_json(), chosen)
    saved = json.loads(json.dumps(chosen.to_json()))
    assert spec.from_json(saved) == chosen
    earlier = {name: value for name, value in spec.complete(nvae).to_json().items() if name != "sizes"}
    # Of versions without the size, and of those that had all sizes as fields: their sweeps go on.
    assert not spec.differences(earlier, spec.complete(nvae))
    assert not spec.differences(earlier | {"groups_per_scale": [3, 1], "critic_width": 1000}, chosen)
    assert spec.differences(earlier, chosen) == ["groups_per_scale: [2, 2] there, [3, 1] now"]


@pytest.mark.slow
def test_bfloat16_networks_have_float32_losses_and_stay_near(data):
    logits = {}
    for dtype in ("float32", "bfloat16"):
        program = dataclasses.replace(ONE_GROUP, dtype=dtype)
        module, key = models.build(program), jax.random.key(0)
        variables = jit(module.init)(key, jnp.zeros((1, *SHAPE)), key)
        out = jit(module.apply)(variables, data.batch(jnp.arange(4)), key)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves((out, variables)))
        logits[dtype] = out.logits
    assert 0 < float(jnp.abs(logits["bfloat16"] - logits["float32"]).max()) < 0.3


# --- a whole sweep ----------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_sweep_of_hierarchical_and_flat_models_is_scored_reported_and_opened(images, tmp_path):
    arguments = [
        "--dataset=npz", f"--data_dir={images}", "--objective=kl_balanced", "--architecture=nvae,mlp",
        "--groups_per_scale=1,1", "--stem_width=4", "--latent_dim=2", "--batch_size=8", "--steps=6", "--log_every=3",
        "--sweep=warmup_steps=4", "--sweep=seed=0:2", "--lanes=map", "--metrics=mig,active_units,udr",
        f"--workdir={tmp_path / 'run'}",
    ]  # fmt: skip
    assert run_in_process(*arguments) == 0
    sweep = jaxvae.load_sweep(tmp_path / "run")
    assert {row["architecture"] for row in sweep.results} == {"nvae", "mlp"}
    assert all(np.isfinite(row["elbo"]) and row["status"] == "ok" for row in sweep.results)
    model = sweep.select(architecture="nvae", seed=1)
    assert set(model.networks.variables) == {"params", "batch_stats", "spectral"}
    pictures = np.load(images)["images"][:4, ..., None]
    assert model.reconstruct(pictures).shape == pictures.shape
    assert (tmp_path / "run" / "report.html").exists()
