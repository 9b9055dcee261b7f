"""The judge: learns what is planted, is the same again, and is kept bit for bit."""

import json

import jax
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from jaxvae.navigate import load_classifier, train_classifier
from jaxvae.navigate.attributes import Attributes
from jaxvae.navigate.classifier import augment
from jaxvae.saved.export import ModelError
from jaxvae.types import InputError

SIZE, NUM = 32, 256


def planted(seed, num=NUM):
    """Return noise images uint8[N, 32, 32, 1] whose left half is brighter in half of them, the top in a fifth."""
    random = np.random.default_rng(seed)
    values = random.random((num, 2)) < (0.5, 0.2)
    images = random.integers(0, 140, (num, SIZE, SIZE, 1))
    images[:, :, : SIZE // 2] += 50 * values[:, 0, None, None, None]
    images[:, : SIZE // 2] += 50 * values[:, 1, None, None, None]
    return images.astype(np.uint8), Attributes(("left", "top"), values)


@pytest.fixture(scope="module")
def trained():
    said = []
    return train_classifier(*planted(0), steps=100, mirror=False, say=said.append)


def test_it_learns_what_is_planted(trained):
    images, attributes = planted(1)
    scores = trained(images)
    assert scores.shape == (NUM, 2) and scores.dtype == np.float32
    areas = [roc_auc_score(own, score) for own, score in zip(attributes.values.T, scores.T, strict=True)]
    assert min(areas) > 0.95, areas
    # Scores are odds against the attribute's own frequency: above 0 is balanced, for a rare one too.
    right = (scores > 0) == attributes.values
    for own, correct in zip(attributes.values.T, right.T, strict=True):
        assert min(correct[own].mean(), correct[~own].mean()) > 0.7
    assert trained.about["images"] == NUM and trained.about["steps"] == 100
    np.testing.assert_allclose(trained.about["frequency"]["top"], planted(0)[1].values[:, 1].mean(), atol=1e-4)


def test_it_takes_floats_and_bytes_alike_and_refuses_other_shapes(trained):
    images = planted(2, 8)[0]
    np.testing.assert_allclose(trained(images), trained(images / 255), atol=1e-5)
    for shape in ((8, 16, 16, 1), (SIZE, SIZE, 1), (8, SIZE, SIZE, 3)):
        with pytest.raises(InputError, match=r"takes images \[B, 32, 32, 1\]"):
            trained(np.zeros(shape, np.float32))


def test_it_is_kept_bit_for_bit(trained, tmp_path):
    path = trained.save(tmp_path / "judge")
    back = load_classifier(path)
    assert (back.attributes, back.image_shape, back.about) == (trained.attributes, trained.image_shape, trained.about)
    images = planted(3, 16)[0]
    np.testing.assert_array_equal(back(images), trained(images))
    with pytest.raises(ModelError, match="is there already"):
        trained.save(path)
    trained.save(path, overwrite=True)
    with pytest.raises(ModelError):
        load_classifier(tmp_path)
    about = path / "classifier.json"
    about.write_text(json.dumps(json.loads(about.read_text()) | {"attributes": ["left", "top", "hat"]}))
    with pytest.raises(ModelError, match="weights are not those"):
        load_classifier(path)


def test_it_is_decided_by_its_seed(monkeypatch):
    monkeypatch.setattr("jaxvae.navigate.classifier.CHUNK", 2)
    images, attributes = planted(0, 64)
    small = images[:, ::4, ::4]
    one, again, other = (train_classifier(small, attributes, steps=2, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one(small), again(small))
    assert not np.array_equal(one(small), other(small))


def test_augmented_images_keep_shape_and_range():
    images = planted(0, 32)[0] / np.float32(255)
    changed = augment(jax.random.key(0), images, mirror=True)
    assert changed.shape == images.shape and changed.dtype == np.float32
    assert changed.min() >= -0.05 - 1e-5 and changed.max() <= 1.15 + 1e-5  # 0.9 … 1.1 times, and 0.05 up or down
    np.testing.assert_array_equal(changed, augment(jax.random.key(0), images, mirror=True))
    assert not np.array_equal(changed, augment(jax.random.key(1), images, mirror=True))


def test_pictures_are_mirrored_only_where_they_may_be():
    ramp = np.tile(np.linspace(0, 1, SIZE, dtype=np.float32)[None, None, :, None], (64, SIZE, 1, 1))
    for mirror in (True, False):
        changed = np.asarray(augment(jax.random.key(0), ramp, mirror=mirror))
        rising = (changed[:, :, -4:].mean((1, 2, 3)) > changed[:, :, :4].mean((1, 2, 3))).mean()
        assert 0.2 < rising < 0.8 if mirror else rising == 1
