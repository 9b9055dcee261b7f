"""One attribute of pictures changed: by a step, to a distance, by an effect."""

import numpy as np
import pytest

from jaxvae.navigate import edit
from jaxvae.types import InputError
from tiny_navigation import Halves, halves, halves_data, judge, quick_study

IMAGES = halves(12, seed=5)[0]


@pytest.fixture(scope="module")
def coder():
    return Halves()


@pytest.fixture(scope="module")
def found(coder):
    return quick_study({"halves": coder}, halves_data())


def change(found, coder, images=IMAGES, **how):
    """Return what the judge sees move, f32[B, 2]."""
    before = np.asarray(coder.decode(coder.encode(images.astype(np.float32) / 255)[0]))
    return judge(edit(found, "halves", coder, images.astype(np.float32) / 255, "left", **how)) - judge(before)


def test_a_step_forwards_adds_and_a_step_back_takes_away(found, coder):
    grey = np.full((3, 8, 8, 1), 127, np.uint8)
    more, less = (change(found, coder, grey, step=step) for step in (0.5, -0.5))
    assert (more[:, 0] > 0.05).all() and (less[:, 0] < -0.05).all()
    assert np.abs(more[:, 1]).max() < 0.2 * more[:, 0].min()


def test_every_image_comes_to_lie_at_the_distance(found, coder):
    edited = edit(found, "halves", coder, IMAGES.astype(np.float32) / 255, "left", distance=0.25)
    codes = np.asarray(coder.encode(edited)[0])[None]
    units = found.space.standardise(codes)[0]
    distances = units @ found.boundaries.normals[0, 0] + found.boundaries.offsets[0, 0]
    np.testing.assert_allclose(distances, 0.25, atol=0.02)


def test_an_effect_is_the_studys_step_as_many_times(found, coder):
    assert found.normals.steerable[0, 0]
    step = float(found.normals.step.value[0, 0])
    for effect in (0.5, -1.0):
        same = edit(found, "halves", coder, IMAGES, "left", step=effect * step)
        np.testing.assert_array_equal(edit(found, "halves", coder, IMAGES, "left", effect=effect), same)


def test_without_another_its_distance_stays(found, coder):
    units = []
    for images in (IMAGES, edit(found, "halves", coder, IMAGES / 255.0, "left", without=["right"], step=0.3)):
        codes = np.asarray(coder.encode(np.asarray(images) / (255.0 if images.dtype == np.uint8 else 1.0))[0])[None]
        units.append(found.space.standardise(codes)[0] @ found.boundaries.normals[0, 1])
    inside = np.abs(judge(IMAGES / 255.0)).max(1) < 0.35  # what is nearly white or black cannot go further
    assert inside.sum() > 2
    np.testing.assert_allclose(units[0][inside], units[1][inside], atol=0.02)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({}, "exactly one of step, distance and effect"),
        ({"step": 1.0, "distance": 1.0}, "exactly one"),
        ({"step": float("nan")}, "a finite number"),
        ({"step": 1.0, "without": ["left"]}, "nothing of 'left' is left"),
        ({"step": 1.0, "without": ["rihgt"]}, "did you mean 'right'"),
        ({"effect": 1.0, "without": ["right"]}, "give step or distance"),
    ],
)
def test_what_cannot_be_done_is_said(how, words, found, coder):
    with pytest.raises(InputError, match=words):
        edit(found, "halves", coder, IMAGES, "left", **how)


def test_names_are_those_of_the_study(found, coder):
    with pytest.raises(InputError, match="unknown model of the study 'halve'; did you mean 'halves'"):
        edit(found, "halve", coder, IMAGES, "left", step=1.0)
    with pytest.raises(InputError, match="unknown attribute 'lfet'; did you mean 'left'"):
        edit(found, "halves", coder, IMAGES, "lfet", step=1.0)
