"""Scores of edits, by hand."""

import numpy as np
import pytest

from jaxvae.navigate import comparing
from jaxvae.navigate.boundaries import Boundaries, Space
from jaxvae.navigate.scores import bootstrapped, effects, expected_by_labels, interval, score_row

STEPS = (1.0, 2.0, 4.0)


def of(curves, own=0, target=1.0):
    return effects(np.asarray(curves, np.float32), own, np.asarray(STEPS, np.float32), target)


def test_effects_are_read_off_the_line_between_two_steps():
    found = of([[0.4, 0.2, 0.0], [0.8, 0.6, -0.2], [1.6, 1.0, -0.4]])
    assert found.steerable
    np.testing.assert_allclose(found.step, 2.5, atol=1e-6)  # 0.8 + (1.6 - 0.8) / 4 is 1
    np.testing.assert_allclose(found.row, [1.0, 0.7, -0.25], atol=1e-6)
    np.testing.assert_allclose(found.selectivity, 1 / 1.95, atol=1e-6)
    np.testing.assert_allclose(found.gap, 0.3, atol=1e-6)
    np.testing.assert_allclose(found.leakage, np.sqrt((0.7**2 + 0.25**2) / 2), atol=1e-6)


def test_the_first_line_begins_at_nothing():
    found = of([[4.0, 2.0], [0, 0], [0, 0]])
    np.testing.assert_allclose([found.step, *found.row], [0.25, 1.0, 0.5], atol=1e-6)


def test_the_target_is_met_at_the_first_step_that_reaches_it():
    found = of([[0.0, 1.0], [2.0, 3.0], [0.5, 9.0]])
    np.testing.assert_allclose([found.step, *found.row], [1.5, 1.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(of([[0.5, 0.1], [1.0, 0.2], [1.5, 0.3]], target=0.5).step, 1.0, atol=1e-6)


def test_what_never_reaches_the_target_is_scored_at_the_longest_step():
    found = of([[0.9, 0.1], [0.8, 0.2], [0.3, 0.4]])
    assert not found.steerable
    np.testing.assert_allclose([found.step, *found.row], [4.0, 0.3, 0.4], atol=1e-6)
    np.testing.assert_allclose(found.gap, 1 - 0.4 / 0.3, atol=1e-5)
    backwards = of([[-1.0, 0.1], [-2.0, 0.1], [-3.0, 1.0]])
    assert not backwards.steerable and backwards.selectivity == 0.75


def test_rows_at_the_ends():
    alone = score_row(np.array([2.0], np.float32), 0, 1.0, True)
    assert (alone.selectivity, alone.gap, alone.leakage) == (1, 1, 0)
    nothing = score_row(np.zeros(3, np.float32), 1, 4.0, False)
    assert nothing.selectivity == 0 and nothing.gap == -np.inf and nothing.leakage == 0
    perfect = score_row(np.array([0.0, 1.0, 0.0], np.float32), 1, 1.0, True)
    assert (perfect.selectivity, perfect.gap, perfect.leakage) == (1, 1, 0)
    np.testing.assert_allclose(score_row(-np.ones(4, np.float32), 2, 1.0, True).selectivity, 0.25)


def planted(num=60, seed=0):
    """Responses [U, T, n, A] of two directions that move their own attribute by 0.8 a step, the other by 0.2."""
    random = np.random.default_rng(seed)
    size = np.array([[0.8, 0.2], [0.2, 0.8]])
    slopes = size[:, None, None] * np.asarray(STEPS)[:, None, None]
    return (slopes + 0.3 * random.normal(size=(2, 3, num, 2))).astype(np.float32)


def test_intervals_are_of_the_seed_cover_and_narrow():
    def made(num, seed=0, draws=0):
        value, again = bootstrapped(planted(num, draws), np.arange(2), STEPS, num=200, seed=seed)
        assert again.selectivity.shape == (200, 2) and again.row.shape == (200, 2, 2)
        return interval(value.selectivity, again.selectivity)

    one, same, other = made(60), made(60), made(60, seed=1)
    for left, right in zip(one, same, strict=True):
        np.testing.assert_array_equal(left, right)
    np.testing.assert_array_equal(one.value, other.value)
    assert (one.low != other.low).any()
    assert ((one.low < one.value) & (one.value < one.high)).all()
    many = made(2000)
    assert ((many.high - many.low) < 0.4 * (one.high - one.low)).all()
    intervals = [made(60, draws=draws) for draws in range(40)]
    covered = np.mean([(i.low <= 0.8) & (i.high >= 0.8) for i in intervals])
    assert covered > 0.8, covered


def test_intervals_of_what_is_not_finite():
    value = np.array([1.0, -np.inf, np.nan, 0.5], np.float32)
    resampled = np.tile(value, (50, 1))
    resampled[:10, 0] = -np.inf
    found = interval(value, resampled)
    assert found.low[0] == -np.inf and found.high[0] == 1.0
    assert np.isnan(found.low[1:3]).all() and found.low[3] == found.high[3] == 0.5


def test_what_labels_alone_would_give():
    random = np.random.default_rng(0)
    first = random.random(5000) < 0.5
    values = np.stack([first, first ^ (random.random(5000) < 0.1), random.random(5000) < 0.3], 1)
    found = expected_by_labels(values)
    np.testing.assert_allclose(found.sum(1), 1.0, atol=1e-6)
    rho = np.abs(np.corrcoef(values.T.astype(float)))
    np.testing.assert_allclose(np.diagonal(found), 1 / rho.sum(1), atol=1e-6)
    assert found[2, 2] > 0.9
    np.testing.assert_array_equal(expected_by_labels(values[:, :1]), [[1.0]])


@pytest.fixture(scope="module")
def fitted():
    normals = np.array([[1, 0.4, 0, 0], [0, 1, 0.4, 0], [0.4, 0, 1, 0]], np.float32) / np.sqrt(1.16, dtype=np.float32)
    nothing = np.zeros((1, 3), np.float32)
    boundaries = Boundaries(normals[None], nothing, normals[None, None], nothing, nothing, np.zeros((1, 3, 4)))
    space = Space(np.zeros((1, 4)), np.ones((1, 4)), np.array([[True, True, True, False]]))
    return boundaries, space, np.random.default_rng(0).normal(size=(1, 400, 4)).astype(np.float32)


def test_a_plan_holds_all_kinds_of_directions(fitted):
    boundaries, space, codes = fitted
    plan = comparing.plan_directions(boundaries, space, codes, None, 0)
    kinds = (plan.normals, plan.conditioned, plan.random, plan.principal, plan.latents)
    assert [kind.stop - kind.start for kind in kinds] == [3, 3, comparing.NUM_RANDOM, 1, 4]
    np.testing.assert_array_equal(plan.directions[:, plan.normals], boundaries.normals)
    np.testing.assert_array_equal(plan.directions[0, plan.latents], np.diag([1, 1, 1, 0]))
    lengths = np.linalg.norm(plan.directions[0], axis=-1)
    np.testing.assert_allclose(lengths[:-1], 1.0, atol=1e-5)
    for attribute, others in enumerate(plan.others[0]):
        own = plan.directions[0, plan.conditioned][attribute]
        np.testing.assert_allclose(boundaries.normals[0, others] @ own, 0.0, atol=1e-5)
        np.testing.assert_allclose(plan.left[0, attribute], own @ boundaries.normals[0, attribute], atol=1e-6)


def test_an_attribute_is_never_projected_out_of_itself(fitted):
    boundaries, space, codes = fitted
    conditions = [np.array([1, 2]), np.array([1, 1]), np.array([0, 2])]  # the second one is asked for nothing
    plan = comparing.plan_directions(boundaries, space, codes, conditions, 0)
    np.testing.assert_array_equal(plan.directions[0, plan.conditioned][1], boundaries.normals[0, 1])
    np.testing.assert_allclose(plan.left[0, 1], 1.0, atol=1e-6)
    once = comparing.plan_directions(boundaries, space, codes, [np.array([1]), np.array([0]), np.array([2])], 0)
    np.testing.assert_allclose(once.directions[0, once.conditioned][0] @ boundaries.normals[0, 1], 0.0, atol=1e-6)
    np.testing.assert_array_equal(once.directions[0, once.conditioned][2], boundaries.normals[0, 2])
