"""The same picture has the same code, in whatever form a model is given it, or is refused in one line."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jaxvae
from jaxvae.lane import step
from jaxvae.saved import Model
from jaxvae.types import InputError, Program

SIZE = 8
PROGRAM = Program("mlp", "vae", (SIZE, SIZE, 1), latent_dim=3)
BLACK_AND_WHITE = np.random.default_rng(0).integers(0, 2, (5, SIZE, SIZE, 1), np.uint8)
GREY = np.random.default_rng(1).integers(0, 256, (5, SIZE, SIZE, 1), np.uint8)


@pytest.fixture(scope="module")
def model():
    hypers = step.hyper_defaults(PROGRAM)
    state = step.init_state(PROGRAM, {n: np.float32(v) for n, v in hypers.items()} | {"seed": np.uint32(3)})
    return Model(PROGRAM, state.networks, {})


SAME = {
    "0 and 255": 255 * BLACK_AND_WHITE,
    "booleans": BLACK_AND_WHITE.astype(bool),
    "floats": BLACK_AND_WHITE.astype(float),
    "half floats": BLACK_AND_WHITE.astype(np.float16),
    "floats of JAX": jnp.asarray(BLACK_AND_WHITE, jnp.bfloat16),
    "0 and 255 of JAX": jnp.asarray(255 * BLACK_AND_WHITE),
    "booleans of JAX": jnp.asarray(BLACK_AND_WHITE, bool),
    "a list": BLACK_AND_WHITE.astype(float).tolist(),
    "rounding errors": BLACK_AND_WHITE.astype(np.float32) * np.float32(1.000001),
}
REFUSED = {
    "0 and 1, which may be nearly black": (BLACK_AND_WHITE, r"uint8 of nothing but 0 and 1.*astype\(bool\)"),
    "0 and 1 of JAX": (jnp.asarray(BLACK_AND_WHITE), r"uint8 of nothing but 0 and 1.*images / 255"),
    "int64": (GREY.astype(np.int64), r"are int64, they must be uint8 .*astype\(np.uint8\)"),
    "int32 of JAX": (jnp.asarray(GREY, jnp.int32), "are int32"),
    "int64 0 and 1": (BLACK_AND_WHITE.astype(np.int64), "are int64"),
    "int8": ((GREY // 2).astype(np.int8), "are int8"),
    "uint16": (257 * GREY.astype(np.uint16), "are uint16"),
    "floats in 0 … 255": (GREY.astype(np.float32), r"float32 from 0 to 255; floats must be in \[0, 1\]"),
    "floats around 0": (GREY / 127.5 - 1, r"float64 from -1 to 1; floats must be in \[0, 1\]"),
    "floats that are none": (GREY * np.nan, "from nan to nan"),
    "strings": (GREY.astype(str), "they must be uint8"),
}


@pytest.mark.parametrize("form", SAME)
def test_the_same_picture_has_the_same_code_in_every_form(form, model):
    data = jaxvae.data.from_arrays(BLACK_AND_WHITE)  # a whole set of 0 and 1: 1 is white
    mean, logvar = model.encode(data.batch(np.arange(5)))
    ours = model.encode(SAME[form])
    np.testing.assert_allclose(ours[0], mean, atol=1e-5)
    np.testing.assert_allclose(ours[1], logvar, atol=1e-5)
    np.testing.assert_allclose(model.reconstruct(SAME[form]), model.decode(mean), atol=1e-5)


@pytest.mark.parametrize("form", REFUSED)
def test_what_may_be_another_picture_is_refused(form, model):
    images, words = REFUSED[form]
    for method in (model.encode, model.reconstruct):
        with pytest.raises(InputError, match=words) as caught:
            method(images)
        assert "\n" not in str(caught.value)


def test_a_grey_picture_has_the_code_that_it_has_in_a_data_set(model):
    mean, _ = model.encode(jaxvae.data.from_arrays(GREY).batch(np.arange(5)))
    for form in (GREY, jnp.asarray(GREY), GREY / 255, (GREY / 255).astype(np.float32)):
        np.testing.assert_allclose(model.encode(form)[0], mean, atol=1e-5)


def test_a_picture_alone_has_the_code_that_it_has_among_others_or_none(model):
    dark = np.zeros((2, SIZE, SIZE, 1), np.uint8)
    dark[1, 0, 0] = 1
    together = model.encode(np.concatenate([GREY, dark]))[0]
    np.testing.assert_allclose(model.encode(dark[:1])[0], together[-2:-1], atol=1e-5)  # black is black
    with pytest.raises(InputError, match="nearly black"):
        model.encode(dark)
    np.testing.assert_allclose(model.encode(dark / 255)[0], together[-2:], atol=1e-5)


def test_a_traced_picture_is_taken_by_its_type(model):
    traced = jax.jit(lambda images: model.encode(images)[0])
    np.testing.assert_allclose(traced(GREY / np.float32(255)), model.encode(GREY)[0], atol=1e-5)
    with pytest.raises(InputError, match="give floats"):
        traced(GREY)
