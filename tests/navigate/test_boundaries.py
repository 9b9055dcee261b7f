"""Boundaries of attributes in codes that were drawn."""

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.svm import LinearSVC

from jaxvae.navigate.boundaries import DEAD, Space, areas, fit_boundaries, resample, space_of

RANDOM = np.random.default_rng(0)
NUM, D = 600, 4
CODES = RANDOM.normal(size=(2, NUM, D)).astype(np.float32)
CODES[1] = CODES[0][:, ::-1]  # the second model has the latents of the first one in another order
THERE = RANDOM.normal(size=(2, 400, D)).astype(np.float32)
THERE[1] = THERE[0][:, ::-1]
SLOPES = np.array([[1.0, 0, 0, 0], [1.0, -1, 0.5, 0]])


def told(codes):
    return codes[0] @ SLOPES.T + 0.5 * np.random.default_rng(1).normal(size=(codes.shape[1], 2)) > (0, 0.8)


VALUES, ANSWERS = told(CODES), told(THERE)


@pytest.fixture(scope="module")
def found():
    return fit_boundaries((CODES, VALUES), (THERE, ANSWERS), resample(NUM, None, 6, 0))


def test_normals_and_offsets_are_scikit_learns(found):
    for model in range(2):
        for attribute, own in enumerate(VALUES.T):
            machine = LinearSVC(C=1.0, class_weight="balanced", dual=False, tol=1e-8).fit(CODES[model], own)
            length = np.linalg.norm(machine.coef_)
            np.testing.assert_allclose(found.normals[model, attribute], machine.coef_[0] / length, atol=1e-4)
            np.testing.assert_allclose(found.offsets[model, attribute], machine.intercept_[0] / length, atol=1e-4)
            distance = machine.decision_function(THERE[model])
            expected = (
                balanced_accuracy_score(ANSWERS[:, attribute], distance > 0),
                roc_auc_score(ANSWERS[:, attribute], distance),
            )
            scores = found.accuracy[model, attribute], found.area[model, attribute]
            np.testing.assert_allclose(scores, expected, atol=3e-3)


def test_what_is_said_of_single_latents(found):
    for model in range(2):
        expected = [[roc_auc_score(own, column) for column in CODES[model].T] for own in VALUES.T]
        np.testing.assert_allclose(found.latent_area[model], expected, atol=1e-5)
    assert found.best_latents[0, 0] == 0 and found.best_latents[1, 0] == 3


def test_models_are_fitted_side_by_side_as_alone(found):
    np.testing.assert_allclose(found.normals[1], found.normals[0][:, ::-1], atol=1e-4)
    np.testing.assert_allclose(found.resampled[1], found.resampled[0][..., ::-1], atol=1e-4)


def test_alignment_participation_and_cosines(found):
    np.testing.assert_allclose(np.linalg.norm(found.normals, axis=-1), 1.0, atol=1e-6)
    assert (found.alignment[:, 0] > 0.98).all() and (found.participation[:, 0] < 1.1).all()
    expected = 1 / ((SLOPES[1] / np.linalg.norm(SLOPES[1])) ** 4).sum()
    np.testing.assert_allclose(found.participation[:, 1], expected, atol=0.3)
    np.testing.assert_allclose(found.cosines[:, 0, 1], SLOPES[1, 0] / np.linalg.norm(SLOPES[1]), atol=0.1)
    nothing = found._replace(normals=np.zeros_like(found.normals))
    assert np.isnan(nothing.participation).all() and (nothing.alignment == 0).all()


def test_directions_that_are_there_are_stable_and_those_of_chance_are_not():
    random = np.random.default_rng(2)
    codes = random.normal(size=(1, 1500, 20)).astype(np.float32)
    chance = random.random((1500, 24)) < 0.4
    values = np.concatenate([chance, codes[0, :, :1] > 0.2], axis=1)
    found = fit_boundaries((codes, values), (codes, values), resample(1500, None, 4, 0))
    assert abs(found.stability[0, :-1].mean()) < 0.12  # bootstrap resamples would agree by half
    assert found.stability[0, -1] > 0.95


def test_halves_share_nobody_and_are_decided_by_the_seed():
    who = np.random.default_rng(0).integers(0, 40, 300) * 10
    halves = resample(300, who, 5, seed=1)
    assert halves.shape == (5, 300) and halves.dtype == np.float32 and set(np.unique(halves)) == {0, 1}
    np.testing.assert_array_equal(halves[0] + halves[1], 1.0)
    np.testing.assert_array_equal(halves[2] + halves[3], 1.0)
    for half in halves:
        assert not set(who[half > 0]) & set(who[half == 0])
        assert len(set(who[half > 0])) == 20
    np.testing.assert_array_equal(resample(300, who, 5, seed=1), halves)
    assert not np.array_equal(resample(300, who, 5, seed=2), halves)
    assert resample(11, None, 2, 0).sum(1).tolist() == [5, 6]


def test_an_odd_half_counts_for_nothing(found):
    fewer = found._replace(resampled=found.resampled[:, :4])
    np.testing.assert_array_equal(found._replace(resampled=found.resampled[:, :5]).stability, fewer.stability)


def test_areas_are_scikit_learns_and_none_without_a_curve():
    scores = np.round(RANDOM.normal(size=(3, 100)), 1)  # ties
    values = np.stack([RANDOM.random(100) < 0.3, RANDOM.random(100) < 0.5, np.ones(100, bool)], 1)
    found = areas(scores, values)
    np.testing.assert_allclose(found[:2], [roc_auc_score(values[:, a], scores[a]) for a in range(2)], atol=1e-6)
    assert np.isnan(found[2])


def test_latents_without_kl_or_spread_are_not_alive():
    means = np.stack(
        [5 + 3 * RANDOM.normal(size=200), 0.1 * RANDOM.normal(size=200), np.full(200, 2.0), [0.0] * 200], 1
    )
    logvars = np.tile([-4.0, -0.01, -4.0, 0.0], (200, 1))
    assert DEAD > 0.5 * 0.1**2
    space = space_of(means[None].astype(np.float32), logvars[None].astype(np.float32))
    assert space.alive.tolist() == [[True, False, False, False]]
    unit = space.standardise(means[None])
    np.testing.assert_allclose([unit[0, :, 0].mean(), unit[0, :, 0].std()], [0, 1], atol=1e-5)
    np.testing.assert_array_equal(unit[..., 1:], 0.0)
    np.testing.assert_allclose(space.restore(unit, means[None]), means[None], atol=1e-5)
    moved = space.restore(unit + 1, means[None])
    np.testing.assert_allclose(moved[0, :, 0] - means[:, 0], means[:, 0].std(), rtol=1e-4)
    np.testing.assert_array_equal(moved[..., 1:], means[None, :, 1:])  # a latent that is not alive stays as it is


def test_a_space_of_latents_that_are_all_dead_has_no_boundaries():
    dead = Space(np.zeros((2, D), np.float32), np.ones((2, D), np.float32), np.zeros((2, D), bool))
    codes, there = dead.standardise(CODES), dead.standardise(THERE)
    found = fit_boundaries((codes, VALUES), (there, ANSWERS), resample(NUM, None, 6, 0))
    assert (found.normals == 0).all() and (found.stability == 0).all()
    np.testing.assert_allclose(found.area, 0.5)
    assert np.isfinite(found.offsets).all() and (found.best_latents == 0).all()
