"""Factors and labels in any numbering: numbered once at the door, in their order, and what they were called is kept."""

import numpy as np
import pytest

import jaxvae
import tiny_data
from jaxvae.data import DataError, from_arrays, load
from jaxvae.data.arrays import numbered_as
from jaxvae.evaluate import choose_metrics
from jaxvae.metrics.scoring import MAX_VALUES
from jaxvae.types import InputError

AZIMUTHS = np.arange(0, 316, 45)
GRID = tiny_data.grid((2, 8))
ANGLED = np.stack([GRID[:, 0], AZIMUTHS[GRID[:, 1]]], 1)
IMAGES = tiny_data.numbered(16, height=16, width=16)
SMALL = {"architecture": "mlp", "steps": 4, "batch_size": 4, "latent_dim": 2, "log_every": 4, "say": None}


def by_arrays(tmp_path, **arrays):
    return from_arrays(**arrays)


def by_npz(tmp_path, **arrays):
    np.savez(tmp_path / "mine.npz", **arrays)
    return load("npz", data_dir=tmp_path)


@pytest.mark.parametrize("door", [by_arrays, by_npz])
def test_a_factor_with_gaps_is_numbered_and_keeps_what_it_was_called(door, tmp_path):
    order = np.random.default_rng(0).permutation(16)
    data = door(tmp_path, images=IMAGES[order], factors=ANGLED[order], factor_names=["kind", "azimuth"])
    assert data.factor_sizes == (2, 8) and data.complete_grid
    np.testing.assert_array_equal(data.factors, GRID)
    np.testing.assert_array_equal(tiny_data.numbers(data.images(np.arange(16))), np.arange(16))
    assert data.factor_values == ((), tuple(AZIMUTHS.tolist()))
    assert data.values_of(0) == (0, 1) and data.values_of(1) == (0, 45, 90, 135, 180, 225, 270, 315)
    assert "kind:2, azimuth:8 (0 … 315)" in repr(data)


@pytest.mark.parametrize("door", [by_arrays, by_npz])
@pytest.mark.parametrize("largest", [20, 3_000_000, (1 << 63) - 1])
def test_large_identifiers_are_numbered(door, largest, tmp_path):
    ids = np.array([largest, 7, largest, 12, 7, 12, 12, 7] * 2)
    data = door(tmp_path, images=IMAGES, labels=ids)
    assert data.factor_sizes == (3,) and data.factor_values == ((7, 12, largest),)
    assert data.factors[:8, 0].tolist() == [2, 0, 2, 1, 0, 1, 1, 0]


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint64, bool])
def test_what_is_numbered_already_stays_as_it_is(dtype):
    factors = tiny_data.grid((2, 2, 2, 2)).astype(dtype)
    data = from_arrays(IMAGES, factors=factors)
    assert data.factor_sizes == (2,) * 4 and data.factor_values == ()
    np.testing.assert_array_equal(data.factors, factors)
    assert data.factors.dtype == np.int32


def test_sizes_that_a_source_declares_stay(tmp_path):
    digits = load("mnist", "train", tiny_data.write_idx(tmp_path, counts=(("train", 4),)))  # labels 0 … 3 alone
    assert digits.factor_sizes == (10,) and digits.factor_values == ()


def test_numbers_can_be_those_of_another_data_set():
    train = from_arrays(IMAGES, labels=AZIMUTHS[GRID[:, 1]])
    some = np.array([3, 11, 6])
    data = numbered_as("there", from_arrays(IMAGES[some], labels=AZIMUTHS[GRID[some, 1]]), train)
    assert data.factors[:, 0].tolist() == [3, 3, 6]
    assert data.factor_sizes == (8,) and data.factor_values == train.factor_values
    assert numbered_as("there", train, train) is train
    with pytest.raises(DataError, match="there has label 50, which the training set lacks"):
        numbered_as("there", from_arrays(IMAGES[:2], labels=[0, 50]), train)
    with pytest.raises(DataError, match="there has no labels of each image"):
        numbered_as("there", from_arrays(IMAGES[:2]), train)


def test_a_conditional_model_is_told_the_same_numbers_of_other_images(monkeypatch, tmp_path):
    monkeypatch.setattr("jaxvae.study.calling.run", lambda job, path, **_: job)  # no training, only what it would see
    labels = np.resize([2, 4, 7, 9], 16)
    call = SMALL | {"architecture": "mlp,cvae+mlp", "workdir": tmp_path / "run"}
    job = jaxvae.train(IMAGES, labels=labels, eval_data=IMAGES[[2, 3]], eval_labels=[7, 9], **call)
    assert job.train.factor_sizes == job.evaluation.factor_sizes == (4,)
    assert job.evaluation.factors[:, 0].tolist() == [2, 3]
    with pytest.raises(DataError, match="eval_data has label 8, which the training set lacks"):
        jaxvae.train(IMAGES, labels=labels, eval_data=IMAGES[:2], eval_labels=[2, 8], **call)
    call["architecture"] = "mlp"  # is told none, so these only have to tell classes apart
    job = jaxvae.train(IMAGES, labels=labels, eval_data=IMAGES[:2], eval_labels=[2, 8], **call)
    assert job.evaluation.factor_values == ((2, 8),)


def test_more_values_than_can_be_scored_are_refused_before_training(monkeypatch):
    many = MAX_VALUES - 1
    images = np.zeros((many, 2, 2), np.uint8)
    factors = np.stack([np.arange(many) % 2, np.arange(many) * 100], 1)
    with monkeypatch.context() as patch:
        patch.setattr("jaxvae.training.loop.fit", None)
        with pytest.raises(InputError, match=f"factor 'id' of arrays takes {many} values .* leave out") as caught:
            jaxvae.train(images, factors=factors, factor_names=["half", "id"], **SMALL)
    assert "\n" not in str(caught.value)
    data = from_arrays(images, factors=np.stack([np.zeros(many, int), np.arange(many)], 1))  # as many as there may be
    assert "mig" in choose_metrics(None, data)[0]
    labels = from_arrays(np.zeros((many + 2, 2, 2), np.uint8), labels=np.arange(many + 2))
    assert "more than 16384" in choose_metrics(None, labels)[1]["cluster_accuracy"]  # they are not scored by default


def test_names_of_nothing_are_refused():
    with pytest.raises(InputError, match="factor_names are given without factors or labels"):
        jaxvae.train(IMAGES, factor_names=["a"], **SMALL)
