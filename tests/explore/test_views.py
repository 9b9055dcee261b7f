"""What is seen is what the model decodes, of a code that was turned as it is said."""

import numpy as np
import pytest

from jaxvae.explore import views
from jaxvae.explore.desk import turned
from jaxvae.navigate import edit, load
from tiny_explored import squares_data
from tiny_navigation import halves_data, model

FIRST = ("latent", 0)


@pytest.fixture(scope="module")
def plain():
    return model(seed=2)


@pytest.fixture(scope="module")
def told():
    return model("cvae+mlp", label_sizes=(2, 2))


def test_untouched_it_is_the_reconstruction_to_the_last_bit(plain):
    data = squares_data()
    start, prior = views.from_image(plain, data, 5), views.prior_of(plain)
    standing = dict(enumerate(views.shown(start, prior)))
    assert start.caption == "bright 0, y 1, x 1"
    np.testing.assert_array_equal(start.original, data.batch([5])[0])
    code = views.code_of(start, prior, turned(standing, {}, {}, FIRST), None)
    np.testing.assert_array_equal(code, start.code)
    frame = views.look(plain, start, turned(standing, {}, {}, FIRST), prior, None)
    np.testing.assert_allclose(frame.picture, plain.reconstruct(data.batch([5]))[0], atol=1e-6)


def test_a_strip_is_the_traversal_of_the_latent_under_the_hand(plain):
    start, prior = views.from_image(plain, squares_data(), 9), views.prior_of(plain)
    frame = views.look(plain, start, turned({1: 1.4}, {}, {}, ("latent", 1)), prior, None)
    strips = plain.traverse(start.code, views.TILES)
    np.testing.assert_allclose(frame.strip, strips[1], atol=1e-6)
    assert frame.captions[frame.here] == "+1" and frame.captions[3] == "0"
    moved = np.array(start.code)
    moved[1] = 1.4
    np.testing.assert_allclose(frame.picture, plain.decode(moved[None])[0], atol=1e-6)
    other = views.look(plain, start, turned({1: 1.4}, {}, {}, ("latent", 0)), prior, None)
    np.testing.assert_allclose(other.strip, plain.traverse(moved, views.TILES)[0], atol=1e-6)


def test_units_are_those_of_the_prior_that_was_trained(plain):
    prior = views.Prior(np.array([1.0, 0.0, 0.0], np.float32), np.array([0.5, 1.0, 1.0], np.float32))
    start = views.Start(np.array([2.0, 0.0, 9.0], np.float32), None, None, "")
    assert views.shown(start, prior).tolist() == [2.0, 0.0, views.REACH]  # beyond the reach of a hand
    same = views.code_of(start, prior, turned({0: 2.0, 2: views.REACH}, {}, {}, FIRST), None)
    assert same.tolist() == [2.0, 0.0, 9.0]
    assert views.code_of(start, prior, turned({0: -1.0}, {}, {}, FIRST), None).tolist() == [0.5, 0.0, 9.0]


def test_labels_are_swapped_as_the_model_swaps_them(told):
    data = halves_data()
    start, prior = views.from_image(told, data, 3), views.prior_of(told)
    own = np.asarray(data.factors[3])
    np.testing.assert_array_equal(start.labels, own)
    frame = views.look(told, start, turned({}, {1: 1 - own[1]}, {}, ("label", 1)), prior, None)
    wanted = np.array([[own[0], 0], [own[0], 1]])
    swapped = told.swap_labels(data.batch([3]), own[None], wanted)[0]
    np.testing.assert_allclose(frame.strip, swapped, atol=1e-6)
    np.testing.assert_allclose(frame.picture, swapped[1 - own[1]], atol=1e-6)
    assert frame.captions == ("0", "1") and frame.here == 1 - own[1]


def test_directions_move_as_the_study_edits(studied):
    folder, coder, data = studied
    study = load(folder)
    directions = views.directions_of(study, "plain", 3)
    assert set(directions.names) <= {"left", "right"} and views.directions_of(study, "other", 3) is None
    start, prior = views.from_image(coder, data, 7), views.prior_of(coder)
    number = 0
    frame = views.look(coder, start, turned({}, {}, {number: 2.0}, ("direction", number)), prior, directions)
    edited = edit(study, "plain", coder, data.batch([7]), directions.names[number], step=2.0)
    np.testing.assert_allclose(frame.picture, edited[0], atol=1e-5)
    np.testing.assert_allclose(frame.strip[5], edited[0], atol=1e-5)
    assert views.TILES[5] == 2.0 and frame.here == 5


def test_a_latent_under_the_hand_keeps_what_directions_add(studied):
    folder, coder, data = studied
    directions = views.directions_of(load(folder), "plain", 3)
    start, prior = views.from_image(coder, data, 7), views.prior_of(coder)
    frame = views.look(coder, start, turned({0: 1.0}, {}, {0: 1.5}, FIRST), prior, directions)
    np.testing.assert_allclose(frame.strip[4], frame.picture, atol=1e-6)
    assert views.TILES[4] == 1.0 and frame.here == 4


def test_noise_is_the_same_for_the_same_number_and_the_middle_is_the_priors(plain, told):
    assert (views.from_noise(plain, 4).code == views.from_noise(plain, 4).code).all()
    assert (views.from_noise(plain, 4).code != views.from_noise(plain, 5).code).all()
    assert views.from_middle(plain).code.tolist() == [0, 0, 0] and views.from_middle(plain).labels is None
    assert views.from_middle(told).labels.tolist() == [0, 0]


@pytest.mark.slow
def test_a_hierarchy_keeps_its_lower_groups():
    deep = model("nvae", image_shape=(8, 8, 1), latent_dim=2)
    start, prior = views.from_image(deep, squares_data(), 0), views.prior_of(deep)
    assert len(start.code) > len(prior.mean)
    frame = views.look(deep, start, turned({1: 0.5}, {}, {}, ("latent", 1)), prior, None)
    np.testing.assert_allclose(frame.strip, deep.traverse(start.code, views.TILES)[1], atol=1e-5)


def test_latents_are_ordered_by_kl_and_named_by_what_they_know():
    known = views.Known(np.array([0.001, 2.0, 3.5, np.nan]), np.array([[0.1, 0], [0.2, 0.6], [0.5, 0.3], [np.nan, 0]]))
    shown, folded = views.order(known, 4)
    assert shown == [2, 1, 3] and folded == [0]
    names = ("x_position", "scale")
    assert views.name_of(2, known, names) == "z2 · x position 50% · 3.50 nats"
    assert views.name_of(1, known, names) == "z1 · scale 60% · 2.00 nats"
    assert views.name_of(0, known, names) == "z0 · 0.00 nats"
    assert views.order(None, 2) == ([0, 1], []) and views.name_of(1, None, ()) == "z1"


def test_what_is_known_of_latents_is_what_a_report_says(explored):
    import jaxvae

    sweep = jaxvae.load_sweep(explored)
    known = views.look_at(sweep.model(0), squares_data())
    rows = [row for row in sweep.latents() if row["lane"] == 0]
    np.testing.assert_allclose(known.kl, [row["kl"] for row in rows], rtol=1e-3, atol=1e-5)
    assert known.information.shape == (3, 3) and (known.information >= 0).all() and (known.information <= 1).all()


def test_the_nearest_tile_is_marked_unless_none_is_near():
    assert views.nearest(0.4, views.TILES) == 3 and views.nearest(0.6, views.TILES) == 4
    assert views.nearest(9.0, views.TILES) is None and views.nearest(2, np.array([2])) == 0
