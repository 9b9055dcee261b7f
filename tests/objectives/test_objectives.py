"""Objectives: a contract every preset keeps, identities, and FactorVAE's two players."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import objectives
from jaxvae.data.grid import assemble
from jaxvae.lane import step
from jaxvae.objectives.factor_vae import init_critic, permute_latents, play
from jaxvae.types import InputError, Program

SHAPE = (8, 8, 1)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    images = (rng.random((60, *SHAPE)) < 0.3).astype(np.uint8) * 255
    labels = rng.integers(0, 4, (60, 1))
    return assemble("random", images, labels, ("label",), annotation="labels", factor_sizes=(4,))


def program(objective, dtype="float32"):
    sizes = {"latent_dim": 3, "batch_size": 16, "sizes": {"critic_width": 8, "critic_depth": 2}}
    labels = (4,) if objectives.objective(objective).needs_labels else ()
    return Program("mlp", objective, SHAPE, **sizes, label_sizes=labels, dtype=dtype)


def numbers(objective, **changed):
    defaults = step.hyper_defaults(program(objective)) | changed
    return {n: jnp.asarray(v, jnp.uint32 if n == "seed" else jnp.float32) for n, v in defaults.items()}


# Every program is compiled once and run a few times: what optimising costs is more than it saves.
_value_and_grad = jax.jit(
    jax.value_and_grad(step.loss, has_aux=True),
    static_argnums=1,
    compiler_options={"xla_backend_optimization_level": 0, "xla_llvm_disable_expensive_passes": True},
)


def value_and_grad(objective, data, **changed):
    hypers = numbers(objective, **changed)
    state = step.init_state(program(objective), hypers)
    (value, (logs, _)), grads = _value_and_grad(state.params, program(objective), data, hypers, state)
    return value, logs, grads


EVERY = [*objectives.OBJECTIVES, *(n for n, t in objectives.TERMS.items() if t.is_prior_term), "capacity+tc_critic"]


@pytest.mark.parametrize("name", EVERY)
def test_contract(name, data):
    state = step.init_state(program(name), numbers(name))
    value, logs, grads = value_and_grad(name, data)
    assert {"loss", "nll", "kl"} <= set(logs)
    assert all(v.shape == () and v.dtype == jnp.float32 and jnp.isfinite(v) for v in logs.values())
    assert set(grads) == {"vae", "critic"}
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(grads))
    assert set(state.params) == set(state.opt) == {"vae", "critic"}
    has_critic = any(term.name == "tc_critic" for term in objectives.objective(name).terms)
    assert bool(state.params["critic"]) == has_critic

    # Whatever the networks compute in, losses and parameters are float32.
    low = jax.eval_shape(
        lambda data, state: step.loss(state.params, program(name, "bfloat16"), data, numbers(name), state), data, state
    )
    assert {leaf.dtype for leaf in jax.tree.leaves(low)} == {jnp.dtype("float32")}

    if name == "factor_vae":  # the one with everything; eager is slow
        eager = step.loss(state.params, program(name), data, numbers(name), state)[0]
        np.testing.assert_allclose(value, eager, rtol=1e-5)


@pytest.mark.parametrize("name", objectives.TERMS)
def test_every_term_cites_its_source(name):
    term = objectives.TERMS[name]
    assert term.name == name and term.reference and term.penalty.__doc__


def test_the_vae_is_the_elbo_and_beta_weighs_the_kl(data):
    _, elbo, _ = value_and_grad("vae", data)
    assert float(elbo["loss"]) == pytest.approx(float(elbo["nll"] + elbo["kl"]), rel=1e-6)
    for beta in (0.0, 1.0, 7.0):
        _, logs, _ = value_and_grad("beta_vae", data, beta=beta)
        assert float(logs["loss"]) == pytest.approx(float(elbo["nll"] + beta * elbo["kl"]), rel=1e-6)
    assert "beta" not in step.hyper_defaults(program("vae"))


@pytest.mark.parametrize("name", ["vae", "dd_vae", "kl_student", "vade", "factor_vae", "beta_tcvae", "hfvae"])
def test_the_scale_of_the_noise_is_the_decoders_alone(name, data):
    """Whatever is said of q is said of samples of q."""
    _, usual, _ = value_and_grad(name, data)
    for scale in (0.0, 0.3, 2.0):
        _, scaled, _ = value_and_grad(name, data, noise_scale=scale)
        assert float(scaled["nll"]) != float(usual["nll"])
        for log in set(usual) - {"loss", "nll"}:
            assert float(scaled[log]) == pytest.approx(float(usual[log]), rel=1e-5, abs=1e-6), log


def test_capacity_at_zero_is_beta_vae_and_rises_with_the_step(data):
    _, beta, _ = value_and_grad("beta_vae", data, beta=5.0)
    _, annealed, _ = value_and_grad("annealed_vae", data, gamma=5.0, capacity=0.0)
    assert float(annealed["loss"]) == pytest.approx(float(beta["loss"]), rel=1e-6)

    hypers = numbers("annealed_vae", gamma=10.0, capacity=20.0, capacity_steps=100.0)
    state = step.init_state(program("annealed_vae"), hypers)
    for now, target in ((0, 0.0), (50, 10.0), (100, 20.0), (1000, 20.0)):
        at = state.replace(step=jnp.int32(now))
        loss, (logs, _) = step.loss(at.params, program("annealed_vae"), data, hypers, at)
        assert float(logs["capacity"]) == pytest.approx(target)
        # The absolute value is of the batch mean, not of each image.
        assert float(loss) == pytest.approx(float(logs["nll"] + 10 * abs(logs["kl"] - target)), rel=1e-5)


def test_the_two_players_do_not_leak_gradients_into_each_other(data):
    """The VAE's gradient must not contain the critic's cross-entropy, nor the critic's the VAE's penalty."""
    _, _, weak = value_and_grad("factor_vae", data, gamma=0.0)
    _, logs, strong = value_and_grad("factor_vae", data, gamma=40.0)
    # gamma scales the VAE's interest in the critic's verdict; the critic's own gradient must not see it.
    jax.tree.map(np.testing.assert_array_equal, weak["critic"], strong["critic"])
    assert any(jnp.abs(g).max() > 0 for g in jax.tree.leaves(strong["critic"]))
    # At gamma 0 the VAE's gradient is the plain VAE's: nothing comes through from the critic's cross-entropy.
    _, _, plain = value_and_grad("vae", data)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), weak["vae"]["model"], plain["vae"]["model"])
    # With gamma it is another one, through the critic's input; the decoder, which the critic never sees, stays.
    moved = jax.tree.map(lambda a, b: float(jnp.abs(a - b).max()), strong["vae"]["model"], plain["vae"]["model"])
    assert max(jax.tree.leaves(moved["encoder"])) > 1e-4 and max(jax.tree.leaves(moved["decoder"])) < 1e-5
    # What is reported is the VAE's loss alone.
    assert float(logs["loss"]) == pytest.approx(float(logs["nll"] + logs["kl"] + 40 * logs["tc"]), rel=1e-4)


def test_a_step_moves_the_critic_the_same_way_whatever_gamma_is(data):
    critics = []
    for gamma in (0.0, 40.0):
        hypers = numbers("factor_vae", gamma=gamma)
        state = step.init_state(program("factor_vae"), hypers)
        state, _ = jax.jit(step.train_step, static_argnums=0)(program("factor_vae"), data, hypers, state)
        critics.append(state.params["critic"])
    jax.tree.map(np.testing.assert_array_equal, *critics)


def test_the_players_shared_backward_pass_is_the_gradient_of_each_players_own_loss():
    critic = init_critic(jax.random.key(0), program("factor_vae"))
    codes, shuffled = jax.random.normal(jax.random.key(1), (2, 16, 3))

    def logits(critic, z):
        *hidden, last = critic.values()
        for layer in hidden:
            z = jax.nn.leaky_relu(z @ layer["kernel"] + layer["bias"], 0.2)
        return z @ last["kernel"] + last["bias"]

    def total_correlation(codes):
        return jnp.subtract(*logits(critic, codes).T).mean()

    def cross_entropy(critic):
        truth = jnp.repeat(jnp.arange(2), 16)
        both = jax.nn.log_softmax(logits(critic, jnp.concatenate([codes, shuffled])))
        return -jnp.take_along_axis(both, truth[:, None], 1).mean()

    def both(critic, codes):
        tc, ce, _ = play("float32", critic, codes, shuffled)
        return 3.0 * tc + 2.0 * ce, (tc, ce)

    (of_critic, of_codes), (tc, ce) = jax.grad(both, argnums=(0, 1), has_aux=True)(critic, codes)
    assert float(tc) == pytest.approx(float(total_correlation(codes)), rel=1e-5)
    assert float(ce) == pytest.approx(float(cross_entropy(critic)), rel=1e-5)
    np.testing.assert_allclose(of_codes, 3.0 * jax.grad(total_correlation)(codes), rtol=1e-4, atol=1e-7)
    expected = jax.grad(cross_entropy)(critic)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, 2.0 * b, rtol=1e-4, atol=1e-6), of_critic, expected)


def test_shuffled_latents_keep_their_values_and_lose_their_company():
    z = jax.random.normal(jax.random.key(0), (50, 4))
    shuffled = permute_latents(jax.random.key(1), z)
    np.testing.assert_array_equal(np.sort(shuffled, axis=0), np.sort(z, axis=0))
    order = [np.argsort(np.asarray(c)).tolist() for c in np.asarray(shuffled - z).T]
    assert len({tuple(o) for o in order}) == 4


def test_compositions():
    both = objectives.objective("capacity+tc_critic")
    # Two terms call a number gamma; each keeps its own under a qualified name.
    assert set(both.hypers()) == {"capacity.gamma", "tc_critic.gamma", "capacity", "capacity_steps", "critic_lr"}
    assert objectives.objective("kl+tc_critic").hypers() == objectives.objective("factor_vae").hypers()
    assert objectives.objective("beta_vae+tc_critic").hypers()["beta"] == 4.0
    assert "beta" not in objectives.objective("vae+tc_critic").hypers()
    # A number that is settled needs no other name to be told from one that is not.
    beta_tcvae = {"alpha": 1.0, "beta": 6.0, "gamma": 1.0}
    assert objectives.objective("beta_tcvae").hypers() == objectives.objective("vae+tc_mws").hypers() == beta_tcvae
    assert objectives.objective("beta_tcvae+dip_i").hypers().keys() == {*beta_tcvae, "lambda_od", "lambda_d_factor"}
    assert {"kl.beta", "tc_mss.beta"} <= objectives.objective("beta_vae+tc_mss").hypers().keys()
    assert objectives.objective("beta_vae+tc_mss").hypers()["kl.beta"] == 4.0
    assert objectives.objective("kl+hfvae").hypers()["kl.beta"] == 1.0
    with pytest.raises(ValueError, match="no term of"):
        objectives.Objective((objectives.TERMS["kl"],), fixed={"gamma": 1.0})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("beta_va", "did you mean 'beta_vae'"),
        ("kl+capacity", "exactly one term"),
        ("tc_critic", "exactly one term"),
        ("kl+tc_critic+tc_critic", "twice"),
        ("kl+", "unknown objective or term ''"),
    ],
)
def test_impossible_compositions_are_refused(name, message):
    with pytest.raises(InputError, match=message):
        objectives.objective(name)


def test_the_critic_starts_knowing_nothing():
    """At the start it sees a fraction of a nat of total correlation, so that gamma * TC is no more than a few."""
    chosen = Program("mlp", "factor_vae", SHAPE, latent_dim=10)
    codes = jax.random.normal(jax.random.key(0), (2, 64, 10))

    def seen(seed):
        return play("float32", init_critic(jax.random.key(seed), chosen), *codes)[0]

    found = jax.jit(jax.vmap(seen))(jnp.arange(8))
    assert 40 * jnp.abs(found).max() < 4  # 39 to 69 with He's initialisation, 4 to 12 times the gradient of the VAE


def test_the_critics_logits_are_not_rounded_to_bfloat16():
    chosen = Program("mlp", "factor_vae", SHAPE, latent_dim=3, sizes={"critic_width": 16})
    critic = init_critic(jax.random.key(1), chosen)
    codes = jax.random.normal(jax.random.key(0), (2, 64, 3))
    value, gradient = jax.jit(jax.value_and_grad(lambda critic: play("bfloat16", critic, *codes)[1]))(critic)
    exact, expected = jax.jit(jax.value_and_grad(lambda critic: play("float32", critic, *codes)[1]))(critic)
    assert float(value) == pytest.approx(float(exact), rel=5e-3) and value.dtype == jnp.float32
    for ours, theirs in zip(jax.tree.leaves(gradient), jax.tree.leaves(expected), strict=True):
        assert ours.dtype == jnp.float32
        # As a whole: where a unit is near its kink, rounding decides which side it is on.
        assert float(jnp.linalg.norm(ours - theirs)) < 0.1 * float(jnp.linalg.norm(theirs))
    last = gradient["Dense_6"]["bias"]
    assert float(jnp.abs(last - last.astype(jnp.bfloat16).astype(jnp.float32)).max()) > 0
