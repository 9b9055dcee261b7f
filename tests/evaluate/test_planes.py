"""Codes and planes put on show: of which images, of which models, in which prior's units."""

import numpy as np
import pytest
import scipy.stats

import jaxvae
from jaxvae.evaluate import planes
from jaxvae.objectives import prior_moments

IMAGES = (np.random.default_rng(0).random((60, 8, 8)) * 255).astype(np.uint8)
LABELS = np.arange(60) % 3
FEW = {"architecture": "mlp", "steps": 3, "batch_size": 8, "lanes": "map", "metrics": (), "say": None}


@pytest.fixture(scope="module")
def data():
    return jaxvae.data.from_arrays(IMAGES, labels=LABELS)


@pytest.fixture(scope="module")
def model(data, no_report):
    sweep = jaxvae.train(data, objective="kl_anisotropic", latent_dim=2, sweep={"log_ratio": [3.0]}, **FEW)
    return sweep.model(0)


@pytest.fixture(scope="module")
def no_report():
    from jaxvae.report import saving

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(saving, "PLOTS", {})
        yield


def test_codes_are_posterior_means_of_labelled_images(model, data):
    shown = planes.shown_codes(model, data)
    np.testing.assert_allclose(shown.means, model.encode(IMAGES[..., None])[0], atol=1e-5)
    assert (shown.values == LABELS).all() and shown.called == (0, 1, 2) and shown.name == data.factor_names[0]
    factors = jaxvae.data.from_arrays(IMAGES, factors=LABELS[:, None])
    assert planes.shown_codes(model, factors) is None
    assert planes.shown_codes(model, jaxvae.data.from_arrays(IMAGES)) is None


def test_of_many_images_some_are_shown(model, data, monkeypatch):
    monkeypatch.setattr(planes, "SHOWN_CODES", 7)
    monkeypatch.setattr(planes, "BATCH", 4)
    shown = planes.shown_codes(model, data)
    means = np.asarray(model.encode(IMAGES[..., None])[0])
    rows = [int(np.linalg.norm(means - code, axis=1).argmin()) for code in shown.means]
    assert len(set(rows)) == 7 and (LABELS[rows] == shown.values).all()


def test_the_plane_is_decoded_at_quantiles_of_the_lanes_own_prior(model):
    found = planes.manifold(model)
    mean, deviation = (np.asarray(part) for part in prior_moments(model.program, model.networks.extra, model.about))
    assert abs(deviation[0] - deviation[1]) > 0.1, "this test tells nothing"
    quantiles = mean[:, None] + deviation[:, None] * scipy.stats.norm.ppf(found.shares)
    assert found.images.shape == (15, 15, 8, 8, 1) and found.shares[0] == 0.02 and found.shares[-1] == 0.98
    for row, column in ((0, 0), (0, 14), (14, 3), (7, 7)):
        expected = model.decode(np.array([[quantiles[0, column], quantiles[1, 14 - row]]]))[0]
        np.testing.assert_allclose(found.images[row, column], expected, atol=1e-5)


def test_other_models_have_no_plane(data, no_report):
    told = jaxvae.train(data, objective="vae", latent_dim=2, **FEW | {"architecture": "cvae+mlp"})
    assert planes.manifold(told.model(0)) is None
    assert planes.shown_codes(told.model(0), data).means.shape == (60, 2)
    three = jaxvae.train(data, objective="vae", latent_dim=3, **FEW)
    assert planes.manifold(three.model(0)) is None
