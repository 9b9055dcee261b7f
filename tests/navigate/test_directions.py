"""The geometry of directions."""

import numpy as np
import pytest

from jaxvae.navigate import directions

RANDOM = np.random.default_rng(0)


def unit(vectors):
    vectors = np.asarray(vectors, float)
    return (vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)).astype(np.float32)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_is_left_of_a_normal_leaves_the_distances_of_others_alone(count):
    normal, others = unit(RANDOM.normal(size=6)), unit(RANDOM.normal(size=(count, 6)))
    left = directions.condition(normal, others)
    np.testing.assert_allclose(others @ left, 0.0, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(left), 1.0, atol=1e-6)
    # It is the direction among those that gains most on its own attribute.
    basis = np.linalg.svd(others)[2][count:]
    np.testing.assert_allclose(left @ normal, np.linalg.norm(basis @ normal), atol=1e-5)


def test_one_other_is_projected_out_as_by_hand():
    normal, other = unit([1, 1, 0]), unit([1, 0, 0])
    np.testing.assert_allclose(directions.condition(normal, other[None]), [0, 1, 0], atol=1e-6)
    by_hand = normal - (normal @ other) * other
    np.testing.assert_allclose(directions.condition(normal, other[None]), unit(by_hand), atol=1e-6)


def test_others_may_be_collinear_and_none():
    normal, other = unit([1, 2, 3, 4]), unit([1, 0, 1, 0])
    once = directions.condition(normal, other[None])
    np.testing.assert_allclose(directions.condition(normal, np.stack([other, -other, other])), once, atol=1e-6)
    np.testing.assert_array_equal(directions.condition(normal, np.zeros((0, 4))), normal)
    np.testing.assert_allclose(directions.condition(normal, np.zeros((2, 4))), normal, atol=1e-6)


def test_nothing_is_left_of_what_others_explain():
    others = unit(RANDOM.normal(size=(3, 3)))
    np.testing.assert_array_equal(directions.condition(unit([1, 2, 3]), others), 0.0)
    np.testing.assert_array_equal(directions.condition(unit([1, 1e-3]), unit([[1, 0]])), 0.0)
    np.testing.assert_array_equal(directions.condition(np.zeros(3), others[:1]), 0.0)


def test_nearest_are_those_of_the_largest_cosine_either_way_and_never_itself():
    cosines = np.array([[1, 0.1, -0.9, 0.5], [0.1, 1, 0.0, 0.2], [-0.9, 0.0, 1, 0.3], [0.5, 0.2, 0.3, 1]])
    np.testing.assert_array_equal(directions.nearest(cosines, 2), [[2, 3], [3, 0], [0, 3], [0, 2]])
    assert directions.nearest(cosines, 9).shape == (4, 3)
    assert directions.nearest(np.ones((1, 1)), 3).shape == (1, 0)


def test_random_directions_are_unit_alive_and_of_a_seed():
    alive = np.array([True, False, True, True])
    drawn = directions.at_random(50, alive, 0)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), 1.0, atol=1e-6)
    np.testing.assert_array_equal(drawn[:, 1], 0.0)
    np.testing.assert_array_equal(drawn, directions.at_random(50, alive, 0))
    assert not np.array_equal(drawn, directions.at_random(50, alive, 1))
    np.testing.assert_array_equal(directions.at_random(2, np.zeros(4, bool), 0), 0.0)


def test_the_principal_component_is_the_direction_of_most_spread():
    axis = unit([3, 4, 0])
    units = RANDOM.normal(size=(500, 1)) * axis * 5 + 0.1 * RANDOM.normal(size=(500, 3))
    np.testing.assert_allclose(abs(directions.principal(units) @ axis), 1.0, atol=1e-3)


def test_moves_go_by_a_step_or_to_a_distance():
    units, normal = RANDOM.normal(size=(7, 5)).astype(np.float32), unit(RANDOM.normal(size=5))
    moved = directions.move(units, normal, 2.0)
    np.testing.assert_allclose((moved - units) @ normal, 2.0, atol=1e-5)
    direction = unit(RANDOM.normal(size=5))
    for along in (normal, direction):
        reached = directions.move_to(units, along, normal, 0.3, -1.5)
        np.testing.assert_allclose(reached @ normal + 0.3, -1.5, atol=1e-4)
        across = (reached - units) - ((reached - units) @ along)[:, None] * along
        np.testing.assert_allclose(across, 0.0, atol=1e-4)
    with pytest.raises(ValueError, match="along the boundary"):
        directions.move_to(units, unit([0, 1.0, 0, 0, 0]), unit([1.0, 0, 0, 0, 0]), 0.0, 1.0)
