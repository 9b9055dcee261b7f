"""Models side by side do what each does alone."""

import numpy as np
import pytest

from jaxvae.navigate.coders import BATCH, Coders
from jaxvae.types import InputError
from tiny_navigation import SIZE, Halves, halves, model

IMAGES = halves(BATCH + 5)[0]
SHAPE = (SIZE, SIZE, 1)


@pytest.fixture(scope="module")
def models():
    return [
        model(seed=0),
        model("burgess", seed=1, latent_dim=5),
        model(seed=2, objective="beta_vae", batch_size=7),
        Halves(),
    ]


@pytest.fixture(scope="module")
def coders(models):
    return Coders(models, SHAPE)


def test_models_that_share_an_architecture_share_a_program(coders):
    assert len(coders) == 4 and coders.num_latents == 5
    assert coders.sizes == [3, 5, 3, 3]
    assert sorted(map(sorted, coders._groups.values())) == [[0, 2], [1]] and coders._alone == [3]


@pytest.mark.parametrize("form", ["uint8", "floats"])
def test_they_encode_as_alone(form, models, coders):
    images = IMAGES if form == "uint8" else IMAGES / 255
    means, logvars = coders.encode(images)
    assert means.shape == logvars.shape == (4, len(IMAGES), 5) and means.dtype == np.float32
    for own, size, mean, logvar in zip(models, coders.sizes, means, logvars, strict=True):
        expected = own.encode(IMAGES.astype(np.float32) / 255)
        np.testing.assert_allclose(mean[:, :size], np.asarray(expected[0])[:, :size], atol=1e-5)
        np.testing.assert_allclose(logvar[:, :size], np.asarray(expected[1])[:, :size], atol=1e-5)
        np.testing.assert_array_equal(mean[:, size:], 0.0)
        np.testing.assert_array_equal(logvar[:, size:], 0.0)


def test_they_decode_as_alone_and_ignore_what_a_shorter_code_ends_in(models, coders):
    codes = np.random.default_rng(0).normal(size=(4, 9, coders.num_latents)).astype(np.float32)
    images = coders.decode(codes)
    assert images.shape == (4, 9, *SHAPE) and images.dtype == np.float32
    for own, size, code, image in zip(models, coders.sizes, codes, images, strict=True):
        np.testing.assert_allclose(image, own.decode(code[:, :size]), atol=1e-5)


def test_each_encodes_its_own_images(models, coders):
    images = np.random.default_rng(0).random((4, 9, *SHAPE)).astype(np.float32)
    means = coders.encode_own(images)
    for own, size, mean, image in zip(models, coders.sizes, means, images, strict=True):
        np.testing.assert_allclose(mean[:, :size], np.asarray(own.encode(image)[0])[:, :size], atol=1e-5)


def test_models_of_other_images_and_those_that_are_told_labels_are_refused(models):
    with pytest.raises(InputError, match="takes images 8x8x1, the data has 8x8x3"):
        Coders(models[:1], (SIZE, SIZE, 3))
    told = model("cvae+mlp", label_sizes=(2,))
    with pytest.raises(InputError, match="is told labels"):
        Coders([models[0], told], SHAPE)
