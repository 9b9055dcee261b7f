"""Layers against XLA's own convolutions, architectures against published sizes, likelihoods against closed forms."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxvae import latents, models
from jaxvae.models import crossed, layers
from jaxvae.models.vae import standard_normal_kl
from jaxvae.types import InputError, Program

NHWC = ("NHWC", "HWIO", "NHWC")


GEOMETRIES = [(4, 2), (2, 2), (3, 1), (4, 1), (5, 1), (3, 2), (1, 1), (5, 2)]


def assert_same_function_and_gradients(ours, theirs, *inputs):
    def value_and_gradients(function, cotangent, *inputs):
        value, back = jax.vjp(function, *inputs)
        return value, *back(cotangent)

    cotangent = jax.random.normal(jax.random.key(2), jax.eval_shape(theirs, *inputs).shape)
    value, *gradients = jax.jit(value_and_gradients, static_argnums=0)(ours, cotangent, *inputs)
    expected, *wanted = jax.jit(value_and_gradients, static_argnums=0)(theirs, cotangent, *inputs)
    np.testing.assert_allclose(value, expected, atol=3e-5)
    for gradient, right in zip(gradients, wanted, strict=True):
        np.testing.assert_allclose(gradient, right, atol=2e-4)


def xla_conv(x, w, stride):
    low = (w.shape[0] - stride) // 2
    padding = [(low, w.shape[0] - stride - low)] * 2
    return jax.lax.conv_general_dilated(x, w, (stride, stride), padding, dimension_numbers=NHWC)


def xla_conv_transpose(x, w, stride):
    """The adjoint of a convolution with the same kernel, in and out swapped."""
    shape = (len(x), x.shape[1] * stride, x.shape[2] * stride, w.shape[-1])
    return jax.vjp(lambda y: xla_conv(y, w.swapaxes(2, 3), stride), jnp.zeros(shape))[1](x)[0]


@pytest.mark.parametrize(("kernel", "stride"), GEOMETRIES)
@pytest.mark.parametrize("channels", [(3, 5), (7, 2)], ids=str)
def test_convolutions_and_their_gradients_equal_xlas(kernel, stride, channels):
    x = jax.random.normal(jax.random.key(0), (2, 4, 12, channels[0]))
    w = jax.random.normal(jax.random.key(1), (kernel, kernel, *channels)) / kernel
    for ours, theirs in ((layers.conv, xla_conv), (layers.conv_transpose, xla_conv_transpose)):
        assert_same_function_and_gradients(
            functools.partial(ours, stride=stride), functools.partial(theirs, stride=stride), x, w
        )


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("after_relu", [True, False])
@pytest.mark.parametrize(("kernel", "channels"), [(3, (4, 4)), (3, (3, 5)), (5, (2, 7)), (1, (3, 2))], ids=str)
def test_crossed_convolutions_and_their_gradients_equal_xlas(kernel, channels, after_relu, on_cpu, monkeypatch):
    if not on_cpu:
        monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    x = jax.random.normal(jax.random.key(0), (2, 4, 6, channels[0]))
    w = jax.random.normal(jax.random.key(1), (kernel, kernel, *channels)) / kernel
    b = jax.random.normal(jax.random.key(3), channels[1:])

    def ours(x, w, b):
        return crossed.apply(kernel, after_relu, x, *crossed.matrices(w), b)

    def theirs(x, w, b):
        return xla_conv(jax.nn.relu(x) if after_relu else x, w, 1) + b

    assert_same_function_and_gradients(ours, theirs, x, w, b)


def test_layers_that_keep_size_and_channels_are_crossed():
    taken = [crossed.pays(*layer) for layer in ((3, 32, 32), (3, 64, 128), (5, 8, 24), (1, 8, 8), (2, 8, 8))]
    assert taken == [True, False, True, False, False]
    x, kernel = jnp.zeros((2, 8, 8, 4)), jnp.zeros((3, 3, 4, 4))
    text = jax.jit(lambda x, k: layers.conv(x, k, 1)).lower(x, kernel).as_text()
    assert "12x12" in text  # a matrix of 3 columns x 4 channels and 3 rows x 4 channels


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(("on_cpu", "cache"), [(True, 1), (True, 20_000), (False, 0)])
def test_stacks_equal_layer_by_layer_however_they_are_computed(transposed, on_cpu, cache, monkeypatch):
    monkeypatch.setattr(layers, "CACHE_BYTES", cache)
    monkeypatch.setattr(layers, "_on_cpu", lambda: on_cpu)
    keys = jax.random.split(jax.random.key(0), 7)
    x = jax.random.normal(keys[0], (6, 8, 8, 4))
    channels, kernels = (4, 9, 3, 2), (4, 2, 3)
    weights = [
        (jax.random.normal(keys[2 * i + 1], (k, k, *channels[i : i + 2])) / k, jax.random.normal(keys[2 * i + 2], (c,)))
        for i, (k, c) in enumerate(zip(kernels, channels[1:], strict=True))
    ]
    strides = (2, 2, 1)

    def one_by_one(x, weights):
        for index, ((w, b), stride) in enumerate(zip(weights, strides, strict=True)):
            x = jax.nn.relu(x) if index else x
            x = (xla_conv_transpose if transposed else xla_conv)(x, w, stride) + b
        return x

    def stacked(x, *flat):
        return layers.stack(x, list(zip(flat[::2], flat[1::2], strict=True)), strides, transposed=transposed)

    flat = [a for pair in weights for a in pair]
    assert_same_function_and_gradients(
        stacked, lambda x, *flat: one_by_one(x, list(zip(flat[::2], flat[1::2], strict=True))), x, *flat
    )


SHAPES = [(64, 64, 1), (64, 64, 3), (32, 32, 1), (32, 32, 3), (28, 28, 1), (28, 28, 3)]


@pytest.mark.parametrize("architecture", models.ARCHITECTURES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_architecture_takes_every_usual_shape(architecture, shape):
    program = Program(architecture, "vae", shape, latent_dim=7)
    module = models.build(program)
    key = jax.random.key(0)
    images = jnp.zeros((3, *shape))
    variables = jax.eval_shape(module.init, key, images, key)
    out = jax.eval_shape(module.apply, variables, images, key)
    assert out.logits.shape == (3, *shape) and out.logits.dtype == jnp.float32
    assert all(leaf.shape == (3, latents.number(program)) and leaf.dtype == jnp.float32 for leaf in out.q)


@pytest.mark.parametrize(
    ("architecture", "channels", "encoder", "decoder"),
    [
        ("conv", 1, 309_204, 381_313),  # Locatello et al. 2019, counted from disentanglement_lib
        ("conv", 3, 310_228, 382_339),
        ("burgess", 1, 252_052, 249_953),  # counted from the published state dicts
        ("burgess", 3, 253_076, 250_979),
        ("mlp_dsprites", 1, 6_381_620, 7_814_896),
    ],
)
def test_parameter_counts_are_the_published_ones(architecture, channels, encoder, decoder):
    shape = (64, 64, channels)
    module = models.build(Program(architecture, "vae", shape))
    key = jax.random.key(0)
    params = jax.eval_shape(module.init, key, jnp.zeros((1, *shape)), key)["params"]
    counts = {part: sum(leaf.size for leaf in jax.tree.leaves(params[part])) for part in ("encoder", "decoder")}
    assert counts == {"encoder": encoder, "decoder": decoder}


@pytest.mark.parametrize("architecture", ["mlp", "burgess"])
def test_bfloat16_networks_stay_near_float32(architecture):
    shape, key = (8, 8, 1), jax.random.key(0)
    images = jax.random.uniform(key, (4, *shape))
    logits = {}
    for dtype in ("float32", "bfloat16"):
        module = models.build(Program(architecture, "vae", shape, dtype=dtype))
        out = jax.jit(module.apply)(jax.jit(module.init)(key, images, key), images, key)
        assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(out))
        logits[dtype] = out.logits
    assert 0 < jnp.abs(logits["bfloat16"] - logits["float32"]).max() < 0.1


@pytest.mark.parametrize("architecture", ["conv", "burgess", "resnet"])
@pytest.mark.parametrize("shape", [(30, 30, 1), (27, 28, 1), (2, 2, 1)])
def test_shapes_that_cannot_be_halved_are_refused(architecture, shape):
    with pytest.raises(InputError, match="multiples of 4"):
        models.build(Program(architecture, "vae", shape))


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(InputError, match="did you mean 'conv'"):
        models.build(Program("convv", "vae", (64, 64, 1)))
    with pytest.raises(InputError, match="did you mean 'gaussian'"):
        models.likelihood(Program("conv", "vae", (64, 64, 1), likelihood="gausian"))


def test_kl_equals_its_integral():
    mean, logvar = 0.7, -1.1
    z = np.linspace(-12, 12, 200_001)
    log_q = -0.5 * ((z - mean) ** 2 / np.exp(logvar) + logvar + np.log(2 * np.pi))
    log_p = -0.5 * (z**2 + np.log(2 * np.pi))
    integral = np.trapezoid(np.exp(log_q) * (log_q - log_p), z)
    assert float(standard_normal_kl(jnp.float32(mean), jnp.float32(logvar))) == pytest.approx(integral, rel=1e-5)


def test_likelihoods_are_densities_that_sum_over_pixels():
    logits = jax.random.normal(jax.random.key(0), (2, 1, 2, 1))
    total = 0.0
    for pixels in itertools.product((0.0, 1.0), repeat=2):
        images = jnp.tile(jnp.array(pixels).reshape(1, 1, 2, 1), (2, 1, 1, 1))
        total += np.exp(-models.LIKELIHOODS["bernoulli"].nll(logits, images, {}))
    np.testing.assert_allclose(total, 1.0, rtol=1e-5)

    grid = jnp.linspace(-5, 6, 11_001).reshape(-1, 1, 1, 1)
    density = np.exp(-models.LIKELIHOODS["gaussian"].nll(jnp.zeros_like(grid), grid, {"sigma": jnp.float32(0.3)}))
    assert np.trapezoid(density, np.asarray(grid).ravel()) == pytest.approx(1.0, rel=1e-4)


@pytest.mark.parametrize("likelihood", models.LIKELIHOODS)
def test_doubling_the_image_doubles_the_reconstruction_and_doubling_the_batch_does_not(likelihood):
    chosen = models.LIKELIHOODS[likelihood]
    hypers = {n: jnp.float32(v) for n, v in chosen.hypers.items()}
    logits = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
    images = jax.random.uniform(jax.random.key(1), logits.shape)
    once = chosen.nll(logits, images, hypers)

    def twice(x, axis):
        return jnp.concatenate([x, x], axis)

    np.testing.assert_allclose(chosen.nll(twice(logits, 1), twice(images, 1), hypers), 2 * once, rtol=1e-5)
    np.testing.assert_allclose(chosen.nll(twice(logits, 0), twice(images, 0), hypers).mean(), once.mean(), rtol=1e-5)


SLOWEST = pytest.param("nvae", marks=pytest.mark.slow)


@pytest.mark.parametrize("architecture", ["mlp", "mlp_vade", "conv", "burgess", "resnet", SLOWEST])
def test_codes_are_not_rounded_to_bfloat16(architecture):
    """Arithmetic in bfloat16 has 8 bits; what says means and log-variances adds in float32, and is not cut to them."""
    program = Program(architecture, "vae", (8, 8, 1), latent_dim=3, dtype="bfloat16", sizes={"stem_width": 4})
    module = models.build(program)
    images = jax.random.uniform(jax.random.key(0), (16, 8, 8, 1))
    variables = jax.jit(module.init)(jax.random.key(1), images, jax.random.key(2))
    for values in jax.jit(functools.partial(module.apply, method="encode"))(variables, images):
        rounded = values.astype(jnp.bfloat16).astype(jnp.float32)
        assert values.dtype == jnp.float32 and (np.asarray(values) != np.asarray(rounded)).mean() > 0.5
