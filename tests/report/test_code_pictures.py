"""Pictures of codes: what is projected, which colours classes get, and what hard codes do to them."""

import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.decomposition import PCA

from jaxvae.report import PLOTS, planes, projections
from jaxvae.types import Manifold, Results, Showcase, ShownCodes

RANDOM = np.random.default_rng(0)
VALUES = RANDOM.integers(4, size=80)
CODES = (6 * np.eye(5)[VALUES] + RANDOM.normal(size=(80, 5)) * [1, 2, 0.5, 1, 1]).astype(np.float32)


def results_of(*shown):
    empty = np.zeros((0, 8, 8, 1))
    rest = (empty, empty, np.zeros((0, 9, 8, 8, 1)), np.zeros(9), np.zeros(0))
    shown = [Showcase("best", 0, *rest, **one) for one in shown]
    lanes = [{"lane": 0, "objective": "vae", "architecture": "mlp", "seed": 0, "status": "ok"}]
    return Results({}, {}, lanes, ("seed",), (), (), {}, {}, np.zeros((1, 0)), shown)


def codes_of(means, values=VALUES, called=tuple("abcd")):
    return ShownCodes(np.asarray(means, np.float32), values, "kind_of_thing", called)


def drawn(means, values=VALUES, called=tuple("abcd")):
    return PLOTS["codes"](results_of({"codes": codes_of(means, values, called)}))


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e20])
def test_components_are_scikit_learns(scale):
    places, shares = projections.principal(CODES * np.float32(scale))
    expected = PCA(2).fit(CODES.astype(float))
    np.testing.assert_allclose(shares, expected.explained_variance_ratio_, rtol=1e-4)
    theirs = expected.transform(CODES.astype(float))
    for ours, other in zip(places.T, theirs.T, strict=True):
        assert abs(np.corrcoef(ours, other)[0, 1]) == pytest.approx(1, abs=1e-6)


def test_t_sne_keeps_classes_together_and_is_the_same_every_time():
    places = projections.t_sne(CODES)
    assert places.shape == (80, 2) and (places == projections.t_sne(CODES)).all()
    distances = np.linalg.norm(places[:, None] - places, axis=-1) + 1e9 * np.eye(80)
    assert (VALUES[distances.argmin(1)] == VALUES).mean() > 0.95
    few = projections.t_sne(CODES[:7])
    np.testing.assert_array_equal(few, projections.principal(CODES[:7])[0])


@pytest.mark.parametrize("means", [np.zeros((80, 5)), np.full((80, 3), 0.1), np.eye(80)[:, :5], 1e25 * CODES[:, :3]])
def test_codes_that_say_nothing_or_are_huge_are_drawn(means):
    figure = drawn(means)
    assert isinstance(figure, Figure) and len(figure.axes) == 2
    for axes in figure.axes:
        assert np.isfinite(axes.collections[0].get_offsets()).all()


def test_two_latents_are_their_own_plane():
    figure = drawn(CODES[:, :2])
    (axes,) = figure.axes
    np.testing.assert_allclose(axes.collections[0].get_offsets(), CODES[:, :2])
    assert axes.get_xlabel() == "z0" and {text.get_text() for text in axes.texts} <= set("abcd")


def test_what_has_no_plane_is_left_out():
    assert PLOTS["codes"](results_of({})) is None and PLOTS["manifold"](results_of({})) is None
    assert drawn(CODES[:, :1]) is None
    assert drawn(np.where(np.arange(80)[:, None] == 3, np.nan, CODES)) is None


@pytest.mark.parametrize("number", [2, 10, 11, 20, 21, 100])
def test_every_class_has_a_colour_and_is_explained(number):
    colours = planes.colours_of(number)
    assert len({str(colour) for colour in colours}) == len(colours) == number
    figure = drawn(CODES[:, :2], np.arange(80) % number, tuple(range(number)))
    if number > planes.FEW_CLASSES:
        assert any("kind of thing" in axes.get_ylabel() for axes in figure.axes) and not figure.legends
    else:
        assert [text.get_text() for text in figure.legends[0].get_texts()] == [str(k) for k in range(number)]


def test_latent_1_rises_upwards():
    images = np.zeros((3, 3, 4, 4, 1), np.float32)
    images[0] = 1.0  # the first row holds its largest value
    figure = PLOTS["manifold"](results_of({"manifold": Manifold(images, np.array([0.1, 0.5, 0.9]))}))["best"]
    (axes,) = figure.axes
    assert np.asarray(axes.images[0].get_array())[0, 0] == 1.0
    ticks = dict(zip((label.get_text() for label in axes.get_yticklabels()), axes.get_yticks(), strict=True))
    assert ticks["90%"] < ticks["50%"] < ticks["10%"]  # pictures have their origin at the top
    across = dict(zip((label.get_text() for label in axes.get_xticklabels()), axes.get_xticks(), strict=True))
    assert across["10%"] < across["90%"]


@pytest.mark.parametrize("number", [1, 2, 90, 2000])
def test_a_class_in_two_parts_is_named_in_one_of_them(number):
    places = RANDOM.normal(size=(number, 2)) + 50 * (np.arange(number) % 3 == 0)[:, None]
    place = planes.middle(places)
    assert (place == places).all(1).any() and (number < 3 or np.abs(place).max() < 1.5)
